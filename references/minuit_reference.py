"""Fits of spectra by iminuit: best values, errors and MINOS intervals of 20 problems, for the tests of fits to spectra.

python references/minuit_reference.py > references/minuit.json    (iminuit 2.33.0, scipy 1.17.1, numpy 2.4.6)
"""
import json

import numpy as np
from iminuit import Minuit
from scipy.integrate import quad
from scipy.special import voigt_profile

LOW, HIGH = 100.0, 160.0
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


def crystal_ball(t, alpha, n):
    tail = np.exp(-0.5 * alpha**2) * (1 - alpha / n * (alpha + np.minimum(t, -alpha))) ** -n
    return np.where(t < -alpha, tail, np.exp(-0.5 * t**2))


def bernstein(x, *c):
    from math import comb

    u, n = (x - LOW) / (HIGH - LOW), len(c)
    return sum(ck * comb(n, k) * u**k * (1 - u) ** (n - k) for k, ck in enumerate((1.0, *c)))


SHAPES = {
    "gaussian": lambda x, m, s: np.exp(-0.5 * ((x - m) / s) ** 2),
    "crystal_ball": lambda x, m, s, a, n: crystal_ball((x - m) / s, a, n),
    "double_crystal_ball": lambda x, m, s, al, nl, ah, nh: np.where(
        x > m, crystal_ball(-(x - m) / s, ah, nh), crystal_ball((x - m) / s, al, nl)
    ),
    "breit_wigner": lambda x, m, w: 1 / ((x - m) ** 2 + w**2 / 4),
    "voigt": lambda x, m, w, s: voigt_profile(x - m, s, w / 2),
    "exponential": lambda x, k: np.exp(-k * (x - LOW)),
    "power_law": lambda x, p: (x / LOW) ** -p,
    "bernstein:2": bernstein,
    "bernstein:3": bernstein,
    "modified_breit_wigner": lambda x, a, b, p: np.exp(a * (x - LOW) / (HIGH - LOW) + b * ((x - LOW) / (HIGH - LOW)) ** 2)
    / (np.abs(x - 91.1880) ** p + (2.4955 / 2) ** p),
}
NAMES = {
    "gaussian": ["mean", "sigma"],
    "crystal_ball": ["mean", "sigma", "alpha", "n"],
    "double_crystal_ball": ["mean", "sigma", "alpha_low", "n_low", "alpha_high", "n_high"],
    "breit_wigner": ["mean", "width"],
    "voigt": ["mean", "width", "sigma"],
    "exponential": ["slope"],
    "power_law": ["power"],
    "bernstein:2": ["c1", "c2"],
    "bernstein:3": ["c1", "c2", "c3"],
    "modified_breit_wigner": ["a", "b", "power"],
}


def bins(shape, edges, p):
    """Integrals over the bins; the kinks of the tails are in the middle of none by more than the nodes resolve."""
    half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    x = middle[:, None] + half[:, None] * NODES
    return (SHAPES[shape](x, *p) * WEIGHTS).sum(1) * half


def norm(shape, p):
    edges = np.linspace(LOW, HIGH, 241)
    return bins(shape, edges, p).sum()


def sample(rng, shape, p, n):
    edges = np.linspace(LOW, HIGH, 6001)
    c = np.concatenate([[0], np.cumsum(bins(shape, edges, p))])
    return np.interp(rng.random(n) * c[-1], c, edges)


# (components: (name, shape, parameters, yield), bins or None, fixed, constraints, categories)
PROBLEMS = [
    ([("s", "gaussian", [125, 2], 300), ("b", "exponential", [0.03], 3000)], 60, {}, {}),
    ([("s", "gaussian", [125, 2], 120), ("b", "exponential", [0.03], 600)], None, {}, {}),
    ([("s", "gaussian", [131, 3], 900)], 30, {}, {}),
    ([("s", "gaussian", [131, 3], 150)], None, {}, {}),
    ([("s", "crystal_ball", [125, 2, 1.2, 3], 4000)], 120, {}, {}),
    ([("s", "crystal_ball", [125, 2, 1.2, 3], 1500), ("b", "bernstein:2", [0.6, 0.4], 6000)], 120, {"s.n"}, {}),
    ([("s", "double_crystal_ball", [125, 1.8, 1.3, 4, 1.6, 5], 20000)], 120, {}, {}),
    ([("s", "breit_wigner", [120, 3], 1500)], 60, {}, {}),
    ([("s", "breit_wigner", [120, 3], 400)], None, {}, {}),
    ([("s", "voigt", [120, 2.5, 1.5], 5000)], 120, {}, {}),
    ([("s", "voigt", [120, 2.5, 1.5], 800), ("b", "power_law", [4], 4000)], 60, {"s.width"}, {}),
    ([("b", "power_law", [5], 5000)], 60, {}, {}),
    ([("b", "power_law", [5], 300)], None, {}, {}),
    ([("b", "bernstein:3", [0.8, 0.5, 0.3], 20000)], 60, {}, {}),
    ([("b", "modified_breit_wigner", [0, 0, 1.8], 50000)], 60, {"b.b"}, {}),
    ([("s", "gaussian", [125, 2], 60), ("b", "exponential", [0.02], 1200)], 60, {}, {"s.sigma": (2.0, 0.1), "s.mean": (125.0, 0.2)}),
    ([("s", "gaussian", [125, 2], 20), ("b", "exponential", [0.02], 150)], None, {"s.mean", "s.sigma"}, {}),
    ([("s", "gaussian", [115, 1.5], 300), ("t", "gaussian", [140, 2.5], 500), ("b", "exponential", [0.01], 2000)], 90, {}, {}),
    ([("s", "double_crystal_ball", [125, 1.8, 1.3, 4, 1.6, 5], 500), ("b", "exponential", [0.04], 20000)], 120,
     {"s.alpha_low", "s.n_low", "s.alpha_high", "s.n_high"}, {}),
    ([("b", "exponential", [0.05], 40)], None, {}, {}),
]


def solve(number, components, nbins, fixed, constraints):
    rng = np.random.default_rng(100 + number)
    x = np.concatenate([sample(rng, shape, p, rng.poisson(size)) for _, shape, p, size in components])
    edges = np.linspace(LOW, HIGH, nbins + 1) if nbins else None
    counts = np.histogram(x, edges)[0].astype(float) if nbins else None
    x = np.round(np.sort(x), 6)
    names, starts = [], []
    for name, shape, p, size in components:
        names += [f"{name}.{k}" for k in NAMES[shape]] + [f"{name}.yield"]
        starts += [*p, size]

    def nll(theta):
        at, total, mean = 0, 0.0, 0.0
        for _, shape, p, _ in components:
            q, size = theta[at : at + len(p)], theta[at + len(p)]
            at += len(p) + 1
            if nbins:
                f = bins(shape, edges, q)
                mean = mean + size * f / f.sum()
            else:
                mean = mean + size * SHAPES[shape](x, *q) / norm(shape, q)
            total += size
        with np.errstate(all="ignore"):
            if nbins:
                seen = np.where(counts > 0, counts, 1.0)
                value = 2 * np.sum(mean - counts + np.where(counts > 0, counts * np.log(seen / mean), 0.0))
            else:
                value = 2 * (total - np.log(mean).sum())
        value += sum(((theta[names.index(k)] - m) / s) ** 2 for k, (m, s) in constraints.items())
        return value

    m = Minuit(nll, np.array(starts, float), name=names)
    m.errordef = 1
    m.strategy = 2
    m.tol = 1e-4
    for name, start in zip(names, starts):
        m.fixed[name] = name in fixed
        if not name.endswith((".mean", ".slope", ".power", ".a", ".b")):
            m.limits[name] = (1e-6, None)
    m.migrad(iterate=20)
    m.hesse()
    assert m.valid and m.accurate, (number, m.fmin)
    m.minos()
    free = [n for n in names if n not in fixed]
    assert all(m.merrors[n].is_valid for n in free), (number, m.merrors)
    component = []
    for (name, shape, p, size) in components:
        settings = {}
        for key, value in zip(NAMES[shape] + ["yield"], [*p, size]):
            full = {"start": value}
            if f"{name}.{key}" in fixed:
                full["fixed"] = True
            if f"{name}.{key}" in constraints:
                full["constraint"] = constraints[f"{name}.{key}"]
            settings[key] = full
        component.append({"name": name, "shape": shape, **settings})
    return {
        "component": component,
        "window": [LOW, HIGH],
        "counts": None if counts is None else counts.tolist(),
        "x": None if nbins else x.tolist(),
        "twice_nll": m.fval,
        "best": {n: m.values[n] for n in free},
        "errors": {n: m.errors[n] for n in free},
        "low": {n: m.values[n] + m.merrors[n].lower for n in free},
        "high": {n: m.values[n] + m.merrors[n].upper for n in free},
    }


if __name__ == "__main__":
    print(json.dumps([solve(i, *problem) for i, problem in enumerate(PROBLEMS)]))
