"""Makes candidates for hadronic tau decays: Pythia 8 at 13 TeV, a parametric detector, anti-kT jets with R = 0.4.

    python tau.py --events 600 --seed 1 --out tau.parquet

`--events` candidates of each label: 0 electrons and 1 muons of Z decays, 2 hadronic tau decays of Z, 3 QCD jets, each the jet
nearest to its particle, 20 < pT < 100 GeV, |eta| < 2.3. Needs pythia8mc==8.317.2, fastjet==3.5.2.0, numpy and pyarrow;
the detector is that of top_tagging.py. Columns, momenta in GeV:
    label
    tau_pt, tau_eta, tau_m                  the jet
    cand_pt, cand_deta, cand_dphi           particles within 0.525 of the jet's axis in both angles, the hardest first
    cand_class                              0 charged hadron, 1 neutral hadron, 2 photon, 3 electron, 4 muon
"""

import argparse
import json

import fastjet
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from top_tagging import detect, list_column, pseudojets, pythia, rounded, visible, wrap

PT = (20.0, 100.0)
LARGEST_ETA = 2.3
HALF_WIDTH = 0.525
COMMON = ["Beams:eCM = 13000.", "PartonLevel:MPI = off"]
Z = ["WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 60.", "23:onMode = off"]
PROCESSES = {
    0: [*Z, "23:onIfAny = 11"],
    1: [*Z, "23:onIfAny = 13"],
    2: [*Z, "23:onIfAny = 15"],
    # A flat spectrum is nearer to that of the others.
    3: ["HardQCD:all = on", "PhaseSpace:pTHatMin = 20.", "PhaseSpace:pTHatMax = 150.", "PhaseSpace:bias2Selection = on",
        "PhaseSpace:bias2SelectionPow = 4."],
}
ANTI_KT = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)


def sought(event, label):
    """(eta, phi) of what a candidate must be near to; none for jets, which may be anywhere."""
    places = []
    for particle in event:
        if label < 2 and particle.isFinal() and particle.idAbs() == (11, 13)[label] and particle.pT() > 15:
            places.append((particle.eta(), particle.phi()))
        elif label == 2 and particle.idAbs() == 15 and not particle.isFinal():
            daughters = [event[d] for d in particle.daughterList()]
            if all(d.idAbs() not in (11, 13, 15) for d in daughters):
                seen = [d for d in daughters if d.idAbs() != 16]
                p = [sum(d.px() for d in seen), sum(d.py() for d in seen), sum(d.pz() for d in seen)]
                places.append((np.arcsinh(p[2] / max(np.hypot(p[0], p[1]), 1e-9)), np.arctan2(p[1], p[0])))
    return np.array(places).reshape(-1, 2)


def candidates(event, label, rng):
    particles = visible(event)
    if len(particles) == 0:
        return
    pt, eta, phi, name = detect(particles, rng)
    sequence = fastjet.ClusterSequence(pseudojets(pt, eta, phi), ANTI_KT)
    places = sought(event, label)
    for jet in fastjet.sorted_by_pt(sequence.inclusive_jets(PT[0]))[:2]:
        if not (jet.pt() < PT[1] and abs(jet.eta()) < LARGEST_ETA):
            continue
        if label < 3 and not (np.hypot(places[:, 0] - jet.eta(), wrap(places[:, 1] - jet.phi_std())) < 0.2).any():
            continue
        deta, dphi = eta - jet.eta(), wrap(phi - jet.phi_std())
        rows = np.nonzero((np.abs(deta) < HALF_WIDTH) & (np.abs(dphi) < HALF_WIDTH))[0]
        rows = rows[np.argsort(-pt[rows], kind="stable")]
        yield {"label": label, "tau_pt": jet.pt(), "tau_eta": jet.eta(), "tau_m": max(jet.m(), 0.0),
               "cand_pt": pt[rows], "cand_deta": deta[rows], "cand_dphi": dphi[rows], "cand_class": name[rows]}


def column(rows, name):
    whole = name in ("label", "cand_class")
    make = (lambda x: np.asarray(x, dtype=np.int8)) if whole else rounded
    if not name.startswith("cand_"):
        return pa.array(make([row[name] for row in rows]))
    return list_column([row[name] for row in rows], make)


def main():
    parser = argparse.ArgumentParser(description="candidates for hadronic tau decays")
    parser.add_argument("--events", type=int, required=True, help="candidates of each label")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    kinds = []
    for label in PROCESSES:
        generator, rng = pythia([*COMMON, *PROCESSES[label]], 4 * options.seed + label), np.random.default_rng([options.seed, label])
        rows = []
        while len(rows) < options.events:
            if generator.next():
                rows.extend(candidates(generator.event, label, rng))
        kinds.append(rows[:options.events])
    # Labels take turns, so that any part of the file has all of them.
    rows = [row for turn in zip(*kinds) for row in turn]
    table = pa.table({name: column(rows, name) for name in rows[0]})
    note = {"generator": "Pythia 8.317", "seed": options.seed, "cuts": "anti-kT 0.4, 20 < pT < 100, |eta| < 2.3",
            "units": "GeV"}
    table = table.replace_schema_metadata({"dataset": json.dumps(note)})
    pq.write_table(table, options.out, compression="zstd", compression_level=19, use_byte_stream_split=False)


if __name__ == "__main__":
    main()
