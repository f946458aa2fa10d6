"""Substructure of the first jets of samples/top_tagging/tiny.parquet by FastJet, its contrib, EnergyFlow and SciPy.

Writes substructure.json and the table of graphs that `fb_physics::substructure::efp` reads. EnergyFlow needs an older
NumPy than the other peers: use an environment with the versions of requirements-substructure.txt.
"""

import argparse
import json
from pathlib import Path

import awkward as ak
import energyflow
import fastjet
import fastjet._swig as fj
import numpy as np
import pyarrow.parquet as pq
from scipy.optimize import linprog

ROOT = Path(__file__).resolve().parent.parent
LETTERS = "abcdefghijklmn"
AXES = ["kt", "ca", "wta_kt", "wta_ca", "onepass_kt", "onepass_ca", "onepass_wta_kt", "onepass_wta_ca"]
NAMES = {"kt": "KT_Axes", "ca": "CA_Axes", "wta_kt": "WTA_KT_Axes", "wta_ca": "WTA_CA_Axes"}


def jets(count):
    """Momenta (px, py, pz, E) of each jet."""
    table = pq.read_table(ROOT / "samples/top_tagging/tiny.parquet", columns=[f"part_{x}" for x in ["px", "py", "pz", "E"]])
    columns = [table[i].to_pylist()[:count] for i in range(4)]
    return [np.array(components, dtype=float).T for components in zip(*columns)]


def contrib_axes(name):
    return "OnePass_" + NAMES[name.removeprefix("onepass_")] if name.startswith("onepass_") else NAMES[name]


def contrib(p, with_correlators):
    """What the Python interface of FastJet's contrib gives."""
    event = ak.Array([{"px": a, "py": b, "pz": c, "E": e} for a, b, c, e in p], with_name="Momentum4D")
    sequence = fastjet.ClusterSequence(ak.Array([event]), fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0))
    tau = {}
    for axes in AXES:
        for beta in [1.0, 2.0]:
            values = sequence.njettiness(njets=[1, 2, 3, 4], axes_definition=contrib_axes(axes), beta=beta, R0=0.8)
            tau[f"{axes} {beta:g}"] = [float(x) for x in np.asarray(values)[0]]
    plain = sequence.njettiness(
        measure_definition="UnnormalizedMeasure", njets=[1, 2, 3, 4], axes_definition="KT_Axes", beta=1.0, R0=0.8)
    correlators = {}
    for beta in [0.5, 1.0, 2.0] if with_correlators else []:

        def one(func, **options):
            value = sequence.exclusive_jets_energy_correlator(njets=1, beta=beta, func=func, **options)
            return float(np.asarray(value)[0])

        values = {f"{series}{n}": one(f"{series}series", npoint=n) for series in "cnmu" for n in [1, 2, 3]}
        values["d2"] = one("d2")
        values |= {f"ecf{n}": one("generic", npoint=n, normalized=False) for n in [1, 2, 3, 4]}
        angles = {2: [1], 3: [1, 2, 3], 4: [1, 2, 3, 4, 5, 6]}
        values |= {
            f"{v}e{n}": one("generalized", npoint=n, angles=v, normalized=True) for n, vs in angles.items() for v in vs}
        correlators[f"{beta:g}"] = values
    soft_drop = []
    for z, beta in [(0.1, 0.0), (0.1, 1.0), (0.2, 2.0), (0.05, -1.0)]:
        jet = sequence.exclusive_jets_softdrop_grooming(njets=1, beta=beta, symmetry_cut=z, R0=0.8)
        found = {"z": z, "beta": beta, "particles": len(jet.constituents[0])}
        found |= {"mass": float(jet.msoftdrop[0]), "pt": float(jet.ptsoftdrop[0])}
        found |= {"rg": float(jet.deltaRsoftdrop[0]), "zg": float(jet.symmetrysoftdrop[0])}
        soft_drop.append(found)
    lund = sequence.exclusive_jets_lund_declusterings(1)[0][0]
    return {
        "tau": tau,
        "tau_plain": [float(x) for x in np.asarray(plain)[0]],
        "correlators": correlators,
        "soft_drop": soft_drop,
        "lund": {"delta": [float(x) for x in lund.Delta], "kt": [float(x) for x in lund.kt]},
    }


def grooming(p):
    """Trimming, pruning and filtering of FastJet itself."""
    particles = [fj.PseudoJet(*map(float, x)) for x in p]
    sequence = fj.ClusterSequence(particles, fj.JetDefinition(fj.cambridge_algorithm, 1000.0))
    (jet,) = sequence.inclusive_jets(0.0)
    groomers = {
        "trimmed": fj.Filter(fj.JetDefinition(fj.kt_algorithm, 0.2), fj.SelectorPtFractionMin(0.03)),
        "pruned": fj.Pruner(fj.cambridge_algorithm, 0.1, 0.5),
        "filtered": fj.Filter(fj.JetDefinition(fj.cambridge_algorithm, 0.3), fj.SelectorNHardest(3)),
    }
    found = {}
    for name, groomer in groomers.items():
        groomed = groomer(jet)
        found[name] = {"mass": groomed.m(), "pt": groomed.pt(), "particles": len(groomed.constituents())}
    return found


def transport(a, b, radius, beta, normed):
    """The energy mover's distance as a linear program."""
    weights = [np.hypot(p[:, 0], p[:, 1]) for p in (a, b)]
    if normed:
        weights = [w / w.sum() for w in weights]
    places = [np.array([[q.rap(), q.phi()] for q in (fj.PseudoJet(*map(float, x)) for x in p)]) for p in (a, b)]
    delta = places[0][:, None] - places[1][None]
    delta[..., 1] = (delta[..., 1] + np.pi) % (2 * np.pi) - np.pi
    cost = (np.hypot(delta[..., 0], delta[..., 1]) / radius) ** beta
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones((1, m)))
    columns = np.kron(np.ones((1, n)), np.eye(m))
    totals = [w.sum() for w in weights]
    found = linprog(
        cost.ravel(),
        A_ub=np.vstack([rows, columns]),
        b_ub=np.concatenate(weights),
        A_eq=np.ones((1, n * m)),
        b_eq=[min(totals)],
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return found.fun + abs(totals[0] - totals[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jets", type=int, default=24)
    parser.add_argument("--out", type=Path, default=ROOT / "references/substructure.json")
    options = parser.parse_args()
    momenta = jets(options.jets)
    measure = dict(measure="hadr", normed=True, coords="epxpypz")
    seven = energyflow.EFPSet("d<=7", beta=2, **measure)
    four = energyflow.EFPSet("d<=4", beta=0.5, **measure)
    plain = energyflow.EFPSet("d<=4", beta=1, kappa=2, measure="hadr", normed=False, coords="epxpypz")
    graphs = [" ".join(sorted(LETTERS[min(e)] + LETTERS[max(e)] for e in graph)) or "-" for graph in seven.graphs()]
    table = ROOT / "crates/fb-physics/src/substructure/efp/graphs.txt"
    table.write_text("\n".join(graphs) + "\n")
    found = []
    for i, p in enumerate(momenta):
        jet = {"particles": p.tolist()} | contrib(p, i < 5) | {"groomed": grooming(p)}
        if i < 6:
            q = p[:, [3, 0, 1, 2]]
            jet["efp4_half"] = [float(x) for x in four.compute(q)]
            jet["efp4_kappa2"] = [float(x) for x in plain.compute(q)]
        if i < 4:
            jet["efp7"] = [float(x) for x in seven.compute(q)]
        found.append(jet)
    distances = []
    for i in range(8):
        for radius, beta, normed in [(1.0, 1.0, False), (0.8, 1.0, True), (0.5, 2.0, False)]:
            distances.append([i, i + 1, radius, beta, normed, transport(momenta[i], momenta[i + 1], radius, beta, normed)])
    options.out.write_text(json.dumps({"jets": found, "emd": distances}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
