"""Workspaces of HistFactory and what pyhf makes of them, for the tests of fb-statistics.

    python references/pyhf_reference.py --out references/pyhf.json [--published FOLDER]

`--published` is the unpacked archive of INSPIRE 1748602 (HEPData); without it the published workspaces are left as they are
in the file. Versions are in requirements-pyhf.txt.
"""

import argparse
import copy
import json
import pathlib

import jsonpatch
import numpy as np
import pyhf
from pyhf.infer import hypotest, mle
from pyhf.infer.intervals.upper_limits import toms748_scan


def modifier(name, kind, data=None):
    return {"name": name, "type": kind, "data": data}


def sample(name, data, *modifiers):
    return {"name": name, "data": data, "modifiers": list(modifiers)}


def workspace(channels, observations, parameters=(), poi="mu"):
    return {
        "channels": [{"name": name, "samples": samples} for name, samples in channels.items()],
        "observations": [{"name": name, "data": data} for name, data in observations.items()],
        "measurements": [{"name": "main", "config": {"poi": poi, "parameters": list(parameters)}}],
        "version": "1.0.0",
    }


def synthetic():
    mu = modifier("mu", "normfactor")
    lumi = modifier("lumi", "lumi")
    lumi_config = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.02], "bounds": [[0.5, 1.5]], "inits": [1.0]}

    yield "uncorrelated background", workspace(
        {"one": [sample("signal", [5, 10], mu), sample("background", [50, 60], modifier("errors", "shapesys", [5, 12]))]},
        {"one": [53, 65]},
    )
    yield "shape, norm and statistics", workspace(
        {
            "one": [
                sample("signal", [5, 8], mu),
                sample(
                    "background",
                    [50, 40],
                    modifier("jes", "histosys", {"lo_data": [46, 42], "hi_data": [55, 37]}),
                    modifier("xs", "normsys", {"lo": 0.9, "hi": 1.12}),
                    modifier("st", "staterror", [2, 3]),
                ),
            ]
        },
        {"one": [57, 47]},
    )
    yield "every modifier, two channels", workspace(
        {
            "signal region": [
                sample("signal", [2.0, 6.0, 4.0], mu, lumi, modifier("jes", "normsys", {"lo": 0.95, "hi": 1.03})),
                sample(
                    "top",
                    [20.0, 12.0, 3.0],
                    lumi,
                    modifier("top", "normfactor"),
                    modifier("jes", "histosys", {"lo_data": [18.5, 11.8, 3.3], "hi_data": [21.9, 12.4, 2.6]}),
                    modifier("theory", "normsys", {"lo": 0.8, "hi": 1.15}),
                    modifier("stat SR", "staterror", [1.1, 0.9, 0.4]),
                ),
                sample(
                    "other",
                    [5.0, 0.0, 2.0],
                    modifier("stat SR", "staterror", [0.5, 0.0, 0.3]),
                    modifier("other", "shapesys", [1.0, 0.5, 0.0]),
                ),
            ],
            "control region": [
                sample(
                    "top",
                    [120.0, 80.0],
                    lumi,
                    modifier("top", "normfactor"),
                    modifier("jes", "histosys", {"lo_data": [115.0, 82.0], "hi_data": [127.0, 77.0]}),
                    modifier("stat CR", "staterror", [3.0, 2.0]),
                ),
                sample("fakes", [30.0, 10.0], modifier("fakes", "shapefactor")),
            ],
            "fakes region": [sample("fakes", [60.0, 25.0], modifier("fakes", "shapefactor"))],
        },
        {"signal region": [29, 21, 8], "control region": [158, 92], "fakes region": [66, 21]},
        [lumi_config, {"name": "theory", "inits": [0.3], "bounds": [[-3.0, 3.0]], "auxdata": [0.2]}],
    )
    yield "empty bins and fixed parameters", workspace(
        {
            "one": [
                sample("signal", [3.0, 1.0, 0.5], mu),
                sample(
                    "background",
                    [7.0, 2.0, 0.0],
                    modifier("stat", "staterror", [0.8, 0.5, 0.0]),
                    modifier("tilt", "histosys", {"lo_data": [6.0, 2.2, 0.0], "hi_data": [8.4, 1.9, 0.0]}),
                    modifier("scale", "normsys", {"lo": 0.7, "hi": 1.4}),
                ),
            ]
        },
        {"one": [6, 1, 0]},
        [{"name": "scale", "inits": [0.5], "fixed": True}, {"name": "mu", "bounds": [[0.0, 20.0]]}],
    )
    yield "a deficit", workspace(
        {
            "one": [
                sample("signal", [4.0, 9.0], mu),
                sample(
                    "background",
                    [30.0, 22.0],
                    modifier("bkg", "normsys", {"lo": 0.85, "hi": 1.2}),
                    modifier("stat", "staterror", [1.5, 1.4]),
                ),
            ]
        },
        {"one": [26, 14]},
    )
    yield "an excess far out", workspace(
        {
            "one": [
                sample("signal", [1.0, 2.0], mu, modifier("acceptance", "normsys", {"lo": 0.9, "hi": 1.1})),
                sample("background", [100.0, 50.0], modifier("b", "normsys", {"lo": 0.95, "hi": 1.06})),
            ]
        },
        {"one": [112, 63]},
        [{"name": "mu", "bounds": [[0.0, 50.0]]}],
    )
    # From 1 a fit goes to μ = 0, where there is a minimum that is not the lowest.
    stat = "stat"

    def norm(lo, hi):
        return modifier("sys", "normsys", {"lo": lo, "hi": hi})

    def shape(lo, hi):
        return modifier("sys", "histosys", {"lo_data": lo, "hi_data": hi})

    yield "two minima", workspace(
        {
            "a": [
                sample("s0", [14.7], mu, norm(0.9669, 1.106), lumi, modifier(stat, "staterror", [1.35])),
                sample("s1", [106.6], norm(0.9595, 1.075), lumi, modifier(stat, "staterror", [4.01])),
                sample(
                    "s2",
                    [78.5],
                    shape([71.08], [85.15]),
                    lumi,
                    modifier("shape", "shapesys", [3.698]),
                    modifier(stat, "staterror", [4.445]),
                ),
            ],
            "b": [
                sample("s0", [8.642, 4.298], mu, shape([8.103, 4.004], [9.02, 4.772]), lumi),
                sample("s1", [59.53, 41.76], shape([56.19, 38.61], [66.33, 42.81]), lumi),
                sample("s2", [71.67, 24.56], shape([67.17, 22.36], [80.22, 25.91]), lumi),
            ],
            "c": [
                sample("s0", [8.125, 4.033, 2.727, 10.9, 5.618], mu, norm(0.881, 1.08), lumi),
                sample("s1", [76.44, 23.66, 31.5, 95.49, 47.2], norm(0.8687, 1.099), lumi),
            ],
        },
        {"a": [194.0], "b": [152.0, 71.0], "c": [85.0, 26.0, 29.0, 83.0, 31.0]},
        [lumi_config],
    )


def published(folder):
    """The region of three bins with two of its signals, cut down to what is small: without the sources of systematic
    error but the first three of each kind."""
    for region, patch in [("RegionC", "patch.sbottom_600_595_60.json"), ("RegionA", "patch.sbottom_1300_950_60.json")]:
        spec = json.loads((folder / region / "BkgOnly.json").read_text())
        spec = jsonpatch.apply_patch(spec, json.loads((folder / region / patch).read_text()))
        names = {}
        for channel in spec["channels"]:
            for one in channel["samples"]:
                for each in one["modifiers"]:
                    names.setdefault(each["type"], set()).add(each["name"])
        keep = {kind: set(sorted(of)[:3]) for kind, of in names.items() if kind in ("histosys", "normsys")}
        for channel in spec["channels"]:
            for one in channel["samples"]:
                one["modifiers"] = [m for m in one["modifiers"] if m["name"] in keep.get(m["type"], {m["name"]})]
        config = spec["measurements"][0]["config"]
        config["parameters"] = [p for p in config["parameters"] if p["name"] != config["poi"]]
        config["parameters"].append({"name": config["poi"], "bounds": [[0.0, 40.0]]})
        yield f"sbottom {region}, three sources", spec


STEP = 0.004
STENCIL = [(-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)]
SECOND = [(-2, -1 / 12), (-1, 4 / 3), (0, -5 / 2), (1, 4 / 3), (2, -1 / 12)]


def derivatives(theta, free, data, model):
    """Gradient and second derivatives of pyhf's likelihood by differences of fourth order."""

    def moved(*shifts):
        x = np.array(theta)
        for i, step in shifts:
            x[i] += step * STEP
        return float(np.ravel(mle.twice_nll(x, data, model))[0])

    gradient = np.array([sum(w * moved((i, s)) for s, w in STENCIL) / STEP for i in free])
    hessian = np.zeros((len(free), len(free)))
    for a, i in enumerate(free):
        hessian[a, a] = sum(w * moved((i, s)) for s, w in SECOND) / STEP**2
        for b, j in enumerate(free[:a]):
            mixed = sum(u * v * moved((i, s), (j, t)) for s, u in STENCIL for t, v in STENCIL) / STEP**2
            hessian[a, b] = hessian[b, a] = mixed
    return gradient, hessian


def polished(theta, data, model):
    """Minuit's minimum after two of Newton's steps, and errors from second derivatives: those of Minuit are in variables
    that the bounds bend."""
    fixed, bounds = model.config.suggested_fixed(), model.config.suggested_bounds()
    free = [i for i in range(len(theta)) if not fixed[i]]
    theta = np.array(theta)
    for i in free:
        # Minuit comes near to a bound, never to it.
        if theta[i] - bounds[i][0] < 1e-4 and derivatives(theta, [i], data, model)[0][0] > 0:
            theta[i] = bounds[i][0]
    inner = [i for i in free if bounds[i][0] < theta[i] < bounds[i][1]]
    for _ in range(2):
        gradient, hessian = derivatives(theta, inner, data, model)
        theta[inner] -= np.linalg.solve(hessian, gradient)
    _, hessian = derivatives(theta, free, data, model)
    errors = np.zeros(len(theta))
    errors[free] = np.sqrt(np.diag(2.0 * np.linalg.inv(hessian)))
    return theta, errors


def references(spec):
    model_workspace = pyhf.Workspace(spec)
    model = model_workspace.model()
    data = model_workspace.data(model)
    config = model.config
    rng = np.random.default_rng(7)
    inits, bounds = np.array(config.suggested_init()), np.array(config.suggested_bounds())
    fixed = config.suggested_fixed()
    points = [inits.tolist()]
    for _ in range(4):
        width = np.where(bounds[:, 0] < -1, 1.2, 0.08) * rng.standard_normal(len(inits))
        points.append(np.clip(inits + np.where(fixed, 0.0, width), bounds[:, 0], bounds[:, 1]).tolist())
    values = [float(np.ravel(mle.twice_nll(np.array(p), data, model))[0]) for p in points]

    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4, strategy=2))
    best, errors = polished(mle.fit(data, model), data, model)
    best_value = np.ravel(mle.twice_nll(best, data, model))[0]
    cls, expected = hypotest(1.0, data, model, return_expected_set=True)
    poi_bounds = bounds[config.poi_index]
    limit, limits = toms748_scan(data, model, poi_bounds[0], poi_bounds[1], rtol=1e-7)
    return {
        "parameters": config.par_names,
        "fixed": fixed,
        "points": points,
        "twice_nll": values,
        "best": {"values": best.tolist(), "errors": errors.tolist(), "twice_nll": float(best_value)},
        "cls_observed": float(cls),
        "cls_expected": [float(x) for x in expected],
        "upper_limit_observed": float(limit),
        "upper_limits_expected": [float(x) for x in limits],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--published", type=pathlib.Path)
    arguments = parser.parse_args()
    models = list(synthetic())
    kept = []
    if arguments.published:
        models += published(arguments.published)
    elif arguments.out.exists():
        kept = [m for m in json.loads(arguments.out.read_text())["models"] if m["name"].startswith("sbottom")]
    result = []
    for name, spec in models:
        print(name, flush=True)
        pyhf.set_backend("numpy")
        result.append({"name": name, "workspace": spec, **references(copy.deepcopy(spec))})
    text = json.dumps({"pyhf": pyhf.__version__, "models": result + kept}, separators=(",", ":"))
    arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
