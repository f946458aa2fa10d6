"""Impacts of nuisance parameters on the strength of the signal as pyhf has them, for the tests of fb-statistics.

    python references/impacts_reference.py --workspaces references/pyhf.json --out references/impacts.json

The parameter is held at its best value plus and minus its error, and plus and minus the error of its auxiliary measurement;
best values and errors are those of references/pyhf.json. Versions are in requirements-pyhf.txt.
"""

import argparse
import json
import pathlib

import numpy as np
import pyhf
from pyhf.infer import mle

NAMES = ["uncorrelated background", "shape, norm and statistics", "every modifier, two channels"]


def widths(config):
    """The errors of auxiliary measurements; nothing for free parameters."""
    found = {}
    for name in config.par_order:
        paramset, place = config.param_set(name), config.par_slice(name)
        if not paramset.constrained:
            continue
        if paramset.pdf_type == "normal":
            width = getattr(paramset, "sigmas", [1.0] * paramset.n_parameters)
        else:
            width = 1 / np.sqrt(paramset.factors)
        found.update(zip(range(place.start, place.stop), map(float, width)))
    return found


def impacts(reference):
    workspace = pyhf.Workspace(reference["workspace"])
    model = workspace.model()
    data, config = workspace.data(model), model.config
    bounds = config.suggested_bounds()
    best, errors = reference["best"]["values"], reference["best"]["errors"]
    poi, prior = config.poi_index, widths(config)

    def shift(i, by):
        start, fixed = list(best), list(config.suggested_fixed())
        start[i] = min(max(best[i] + by, bounds[i][0]), bounds[i][1])
        fixed[i] = True
        return float(mle.fit(data, model, init_pars=start, fixed_params=fixed)[poi]) - best[poi]

    result = []
    for i, name in enumerate(config.par_names):
        if i == poi or config.suggested_fixed()[i]:
            continue
        one = {"name": name, "up": shift(i, errors[i]), "down": shift(i, -errors[i])}
        if i in prior:
            one["constraint"] = errors[i] / prior[i]
            one["before"] = [shift(i, prior[i]), shift(i, -prior[i])]
        result.append(one)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspaces", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-9, strategy=2))
    models = {m["name"]: m for m in json.loads(arguments.workspaces.read_text())["models"]}
    found = {name: impacts(models[name]) for name in NAMES}
    text = json.dumps({"pyhf": pyhf.__version__, "impacts": found}, separators=(",", ":"))
    arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
