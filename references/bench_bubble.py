"""CosmoTransitions' side of `cargo xtask bench bubble`: answers one request a line with the seconds of one bounce.

    {"potential": "thin"}

Gradients are written by hand, as its users would. Versions are in requirements-theory.txt.
"""

import contextlib
import io
import json
import sys
import time

import numpy as np

np.product = np.prod  # gone from NumPy 2, asked for by CosmoTransitions 2.0.7

from cosmoTransitions import pathDeformation, tunneling1D  # noqa: E402


def quartic(a, b):
    return lambda x: x**4 / 4 - a * x**3 + b * x**2, lambda x: x**3 - 3 * a * x**2 + 2 * b * x


def curved(c):
    def value(points):
        x, y = np.asanyarray(points)[..., 0], np.asanyarray(points)[..., 1]
        return (x**2 + 5 * y**2) * (5 * (x - 1) ** 2 + (y - 1) ** 2) + c * (y**4 / 4 - y**3 / 3)

    def gradient(points):
        x, y = np.asanyarray(points)[..., 0], np.asanyarray(points)[..., 1]
        near, far = x**2 + 5 * y**2, 5 * (x - 1) ** 2 + (y - 1) ** 2
        return np.stack(
            [2 * x * far + 10 * (x - 1) * near, 10 * y * far + 2 * (y - 1) * near + c * (y**3 - y**2)], axis=-1)

    return value, gradient


ONE = {"thin": quartic(0.49, 0.235), "thick": quartic(0.4, 0.1)}
TWO = {"two_fields_thin": curved(2.0), "two_fields_thick": curved(80.0)}


def bounce(name):
    if name in ONE:
        value, slope = ONE[name]
        single = tunneling1D.SingleFieldInstanton(1.0, 0.0, value, slope, alpha=2)
        return single.findAction(single.findProfile())
    value, gradient = TWO[name]
    found = pathDeformation.fullTunneling(
        [np.ones(2), np.zeros(2)], value, gradient, tunneling_init_params={"alpha": 2})
    return found.action


print("{}", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request.get("quit"):
        break
    with contextlib.redirect_stdout(io.StringIO()):
        begin = time.perf_counter()
        action = bounce(request["potential"])
        seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "action": float(action)}), flush=True)
