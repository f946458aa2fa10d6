"""Actions and times of CosmoTransitions for the potentials of experiments/bubble (docs/bubble.md).

    python references/bubble_reference.py

prints a line of JSON for each potential. Versions are in requirements-theory.txt.
"""

import contextlib
import io
import json
import re
import time
import tomllib
from pathlib import Path

import numpy as np

np.product = np.prod  # gone from NumPy 2, asked for by CosmoTransitions 2.0.7

from cosmoTransitions import pathDeformation, tunneling1D  # noqa: E402
from scipy.optimize import minimize  # noqa: E402


def functions(bubble):
    """The potential and its gradient by central differences of order four, over arrays of points."""
    formula = compile(re.sub(r"\^", "**", bubble["potential"]), "potential", "eval")
    names = bubble["fields"]

    def potential(x):
        x = np.asanyarray(x)
        return eval(formula, {"log": np.log}, {name: x[..., i] for i, name in enumerate(names)})

    def gradient(x, h=1e-4):
        x = np.asanyarray(x, dtype=float)
        columns = []
        for step in h * np.eye(len(names)):
            outer = potential(x - 2 * step) - potential(x + 2 * step)
            columns.append((outer + 8 * (potential(x + step) - potential(x - step))) / (12 * h))
        return np.stack(columns, axis=-1)

    return potential, gradient


def action(bubble):
    potential, gradient = functions(bubble)
    start, end = np.array(bubble["false_vacuum"]), np.array(bubble["true_vacuum"])
    end = minimize(potential, end, jac=gradient, tol=1e-10).x
    alpha = bubble["dimension"] - 1
    begun = time.perf_counter()
    if len(start) == 1:
        single = tunneling1D.SingleFieldInstanton(
            end[0], start[0], lambda x: potential(np.asarray(x)[..., None]),
            lambda x: gradient(np.asarray(x)[..., None])[..., 0], alpha=alpha)
        found = single.findAction(single.findProfile())
    else:
        found = pathDeformation.fullTunneling(
            [end, start], potential, gradient, tunneling_init_params={"alpha": alpha}).action
    return float(found), time.perf_counter() - begun


if __name__ == "__main__":
    for path in sorted((Path(__file__).parent.parent / "experiments/bubble").glob("*.toml")):
        bubble = tomllib.loads(path.read_text())["bubble"]
        if "temperature" in bubble or path.stem == "logarithmic":
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            found, seconds = action(bubble)
        print(json.dumps({"potential": path.stem, "action": found, "seconds": round(seconds, 4)}), flush=True)
