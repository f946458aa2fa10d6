"""Makes jets whose tracks come from several vertices: Pythia 8 at 13 TeV, a parametric tracker, anti-kT jets with R = 0.4.

    python vertices.py --events 1000 --seed 1 --out vertices.parquet

`--events` jets of each flavour: 0 light (u, d, s, g), 1 c, 2 b, with 30 < pT < 200 GeV, |eta| < 2.4 and at least two tracks.
`--resolution` scales all errors of the tracks; near zero every track is at its place. Needs pythia8mc==8.317.2,
fastjet==3.5.2.0, numpy and pyarrow; names are those of the public set (doi:10.5281/zenodo.4044628). Columns:
    jet_flavour, jet_pt, jet_eta, jet_phi, jet_M            GeV
    trk_d0, trk_z0                          impact parameters in mm, of the line that is tangent at the vertex
    trk_phi, trk_ctgtheta, trk_pt, trk_charge
    trk_vtx_index                           where the track begins: 0 the collision, from 1 on decays, nearest first
"""

import argparse
import json

import fastjet
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from top_tagging import list_column, pseudojets, pythia, rounded, wrap

PT = (30.0, 200.0)
LARGEST_ETA = 2.4
TRACK_PT = 0.5
EFFICIENCY = 0.95
SAME = 1e-3  # mm: places nearer than this are one
# What lives longer than this (mm/c) reaches the detector: K0S, Lambda and the other strange hadrons.
COMMON = ["Beams:eCM = 13000.", "PartonLevel:MPI = off",
          "ParticleDecays:limitTau0 = on", "ParticleDecays:tau0Max = 10.",
          "PhaseSpace:pTHatMin = 25.", "PhaseSpace:pTHatMax = 250.",
          "PhaseSpace:bias2Selection = on", "PhaseSpace:bias2SelectionPow = 4."]
PROCESSES = {
    0: ["HardQCD:gg2gg = on", "HardQCD:qg2qg = on", "HardQCD:qq2qq = on"],
    1: ["HardQCD:hardccbar = on"],
    2: ["HardQCD:hardbbbar = on"],
}
ANTI_KT = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)


def heavy(event):
    """(eta, phi, flavour) of hadrons with a b or c quark and pT > 5 GeV."""
    places = []
    for particle in event:
        digits = str(particle.idAbs() % 10000)
        quark = max((int(d) for d in digits[:-1]), default=0)
        if particle.isHadron() and quark in (4, 5) and particle.pT() > 5:
            places.append((particle.eta(), particle.phi(), quark - 3))
    return np.array(places).reshape(-1, 3)


def particles(event):
    """px, py, pz, charge and the place of birth of the final particles without neutrinos."""
    rows = [(p.px(), p.py(), p.pz(), p.charge(), p.xProd(), p.yProd(), p.zProd())
            for p in event if p.isFinal() and p.idAbs() not in (12, 14, 16)]
    return np.array(rows).reshape(-1, 7)


def vertex_indices(places):
    """The number of the vertex at which each track begins: 0 at the collision, then by distance from it."""
    distance = np.sqrt((places ** 2).sum(axis=1))
    index, found = np.zeros(len(places), dtype=np.int8), []
    for i in np.argsort(distance, kind="stable"):
        if distance[i] < SAME:
            continue
        near = [k for k, place in enumerate(found) if np.abs(place - places[i]).max() < SAME]
        if not near:
            found.append(places[i])
        index[i] = 1 + (near[0] if near else len(found) - 1)
    return index


def measured(tracks, rng, resolution):
    """Lists of the tracks of a jet: perigee parameters, smeared."""
    px, py, pz, charge, x, y, z = tracks.T
    pt, phi, ctg = np.hypot(px, py), np.arctan2(py, px), pz / np.hypot(px, py)
    noise = lambda sigma: resolution * sigma * rng.standard_normal(len(pt))
    d0 = y * np.cos(phi) - x * np.sin(phi)
    z0 = z - (x * np.cos(phi) + y * np.sin(phi)) * ctg
    sigma, angle = np.hypot(0.020, 0.100 / pt), np.hypot(0.0005, 0.001 / pt)
    seen = pt * np.maximum(1 + noise(np.hypot(0.01, 2e-4 * pt)), 0.05)
    return {"trk_d0": d0 + noise(sigma), "trk_z0": z0 + noise(1.5 * sigma), "trk_phi": wrap(phi + noise(angle)),
            "trk_ctgtheta": ctg + noise(angle * (1 + ctg ** 2)), "trk_pt": seen, "trk_charge": charge.astype(np.int8),
            "trk_vtx_index": vertex_indices(np.stack([x, y, z], axis=1))}


def jets(event, flavour, rng, resolution):
    seen = particles(event)
    px, py, pz, charge = seen.T[:4]
    pt = np.maximum(np.hypot(px, py), 1e-9)
    eta, phi = np.arcsinh(pz / pt), np.arctan2(py, px)
    inside = np.abs(eta) < 4
    seen, pt, eta, phi, charge = seen[inside], pt[inside], eta[inside], phi[inside], charge[inside]
    sequence = fastjet.ClusterSequence(pseudojets(pt, eta, phi), ANTI_KT)
    hadrons = heavy(event)
    for jet in fastjet.sorted_by_pt(sequence.inclusive_jets(PT[0]))[:2]:
        if not (jet.pt() < PT[1] and abs(jet.eta()) < LARGEST_ETA):
            continue
        near = np.hypot(hadrons[:, 0] - jet.eta(), wrap(hadrons[:, 1] - jet.phi_std())) < 0.4
        if hadrons[near, 2].max(initial=0) != flavour:
            continue
        rows = np.array([p.user_index() for p in jet.constituents()])
        rows = rows[(charge[rows] != 0) & (pt[rows] > TRACK_PT) & (rng.random(len(rows)) < EFFICIENCY)]
        rows = rows[np.argsort(-pt[rows], kind="stable")]
        if len(rows) >= 2:
            yield {"jet_flavour": flavour, "jet_pt": jet.pt(), "jet_eta": jet.eta(), "jet_phi": wrap(jet.phi_std()),
                   "jet_M": max(jet.m(), 0.0), **measured(seen[rows], rng, resolution)}


def column(rows, name, exact):
    whole = name in ("jet_flavour", "trk_charge", "trk_vtx_index")
    make = (lambda x: np.asarray(x, dtype=np.int8)) if whole else np.float32 if exact else rounded
    if not name.startswith("trk_"):
        return pa.array(make([row[name] for row in rows]))
    return list_column([row[name] for row in rows], make)


def main():
    parser = argparse.ArgumentParser(description="jets whose tracks come from several vertices")
    parser.add_argument("--events", type=int, required=True, help="jets of each flavour")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--resolution", type=float, default=1.0, help="factor on all errors of the tracks")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    kinds = []
    for flavour in PROCESSES:
        generator, rng = pythia([*COMMON, *PROCESSES[flavour]], 3 * options.seed + flavour), np.random.default_rng([options.seed, flavour])
        rows = []
        while len(rows) < options.events:
            if generator.next():
                rows.extend(jets(generator.event, flavour, rng, options.resolution))
        kinds.append(rows[:options.events])
    # Flavours take turns, so that any part of the file has all of them.
    rows = [row for turn in zip(*kinds) for row in turn]
    table = pa.table({name: column(rows, name, options.resolution < 1) for name in rows[0]})
    note = {"generator": "Pythia 8.317", "seed": options.seed, "resolution": options.resolution,
            "cuts": "anti-kT 0.4, 30 < pT < 200, |eta| < 2.4, tracks above 0.5", "units": "GeV, mm"}
    table = table.replace_schema_metadata({"dataset": json.dumps(note)})
    pq.write_table(table, options.out, compression="zstd", compression_level=19, use_byte_stream_split=False)


if __name__ == "__main__":
    main()
