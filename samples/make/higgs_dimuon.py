"""Makes pairs of muons about the Higgs boson: Pythia 8 at 13 TeV, leading order, a parametric detector.

    python higgs_dimuon.py --events 4000 --seed 7 --out higgs_dimuon.parquet

`--events` events each of gluon fusion (`process` 1) and vector-boson fusion (2) to a Higgs boson of 125 GeV, Drell-Yan (3) and top pairs
(4), with muons of pT > 26 and 20 GeV, |eta| < 2.4 and opposite charge, 110 < m < 150 GeV. Needs pythia8mc==8.317.2, fastjet==3.5.2.0,
numpy and pyarrow. Columns, in GeV, NaN where there is no such jet:
    m_mumu, pt_mumu, y_mumu, cos_cs, phi_cs     the pair; angles of the negative muon in the frame of Collins and Soper
    mu1_pt_rel, mu2_pt_rel, mu1_eta, mu2_eta    the harder and the softer muon, pT over the mass of the pair
    njets, j1_pt, j1_eta, j2_pt, j2_eta         anti-kT jets (R = 0.4) above 25 GeV in |eta| < 4.7, 0.4 away from the muons
    soft_ht2, n_soft                            those between 5 and 25 GeV: sum of pT, number
    m_jj, deta_jj, dphi_jj                      the two hardest jets
    zeppenfeld, pt_balance                      (y_mumu - mean y of the two jets)/|difference|, |sum of pT vectors|/sum of pT
    min_deta_mumu_j, min_dphi_mumu_j            the nearer of the two jets, from the pair
    met, process, is_signal                     missing pT; what it is: no inputs
    weight                                      expected events at 137/fb, from the cross section of Pythia
"""

import argparse
import json

import fastjet
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from top_tagging import NEUTRAL, PHOTON, pseudojets, pythia, rounded, towers, tracks, wrap

LUMINOSITY = 137e3  # 1/pb
MUON_MASS = 0.10566
MASS = (110.0, 150.0)
PT = (20.0, 26.0)
COMMON = ["Beams:eCM = 13000.", "PartonLevel:MPI = off"]
HIGGS = ["25:m0 = 125.", "25:onMode = off", "25:onIfAny = 13"]
PROCESSES = {
    1: ["HiggsSM:gg2H = on", *HIGGS],
    2: ["HiggsSM:ff2Hff(t:ZZ) = on", "HiggsSM:ff2Hff(t:WW) = on", *HIGGS],
    3: ["WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", "23:onIfAny = 13", "PhaseSpace:mHatMin = 105.",
        "PhaseSpace:mHatMax = 165."],
    4: ["Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 13"],
}
ANTI_KT = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)
WHOLE = {"process": np.int8, "is_signal": np.int8, "njets": np.int8, "n_soft": np.int16}


def vector(pt, eta, phi, mass=0.0):
    """px, py, pz, E."""
    p = np.array([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    return np.append(p, np.sqrt(p @ p + mass ** 2))


def mass(p):
    return np.sqrt(max(p[3] ** 2 - p[:3] @ p[:3], 0.0))


def rapidity(p):
    return 0.5 * np.log((p[3] + p[2]) / (p[3] - p[2]))


def muons(event, rng):
    """The hardest muon of each charge as it is seen (negative first), and their places in the record; none if they are cut."""
    found = []
    for code in (13, -13):
        own = [p for p in event if p.isFinal() and p.id() == code and p.pT() > 18 and abs(p.eta()) < 2.4]
        if not own:
            return None
        found.append(max(own, key=lambda p: p.pT()))
    seen = [p.pT() * max(1 + np.hypot(0.01, 1e-4 * p.pT()) * rng.standard_normal(), 0.1) for p in found]
    pair = [vector(pt, p.eta(), p.phi(), MUON_MASS) for pt, p in zip(seen, found)]
    if min(seen) < PT[0] or max(seen) < PT[1] or not MASS[0] < mass(pair[0] + pair[1]) < MASS[1]:
        return None
    return pair, [p.index() for p in found]


def detect(event, without, rng):
    """pT, eta and phi of all else that is seen: tracks to |eta| = 2.5, towers to 4.7, of charged particles too where there are no tracks."""
    rows = [(p.px(), p.py(), p.pz(), p.e(), p.idAbs(), p.charge())
            for p in event if p.isFinal() and p.idAbs() not in (12, 14, 16) and p.index() not in without]
    px, py, pz, energy, kind, charge = np.array(rows).reshape(-1, 6).T
    pt = np.hypot(px, py)
    eta, phi = np.arcsinh(pz / np.maximum(pt, 1e-9)), np.arctan2(py, px)
    central, forward = np.abs(eta) < 2.5, np.abs(eta) < 4.7
    track = central & (charge != 0) & (pt > 0.5)
    parts = [tracks(eta[track], phi[track], pt[track], kind[track], rng)[:3]]
    photon = forward & (charge == 0) & (kind == 22)
    other = forward & (((charge == 0) & (kind != 22)) | ((charge != 0) & (kind != 13) & ~central))
    degree = np.pi / 180
    for mask, cell, resolution, threshold, name in ((photon, (0.0175, degree), (0.10, 0.01), 0.5, PHOTON),
                                                    (other, (0.1, 5 * degree), (0.52, 0.03), 1.0, NEUTRAL)):
        if mask.any():
            parts.append(towers(eta[mask], phi[mask], energy[mask], np.array(cell), resolution, threshold, name, rng)[:3])
    return tuple(np.concatenate(x) for x in zip(*parts))


def angles(minus, plus):
    """cos theta and phi of the negative lepton in the frame of Collins and Soper, its z axis along +z."""
    pair, difference = minus + plus, minus - plus
    m, pt = mass(pair), max(np.hypot(*pair[:2]), 1e-6)
    transverse = np.hypot(m, pt)
    cos = 2 * (minus[2] * plus[3] - minus[3] * plus[2]) / (m * transverse)
    along = (difference[0] * pair[0] + difference[1] * pair[1]) / pt
    across = (difference[1] * pair[0] - difference[0] * pair[1]) / pt
    return cos, np.arctan2(across, m / transverse * along)


def variables(pair, jets, momentum):
    """All columns but those that say what the event is."""
    minus, plus = pair
    both = minus + plus
    m, y, phi, pt = mass(both), rapidity(both), np.arctan2(both[1], both[0]), np.hypot(*both[:2])
    first, second = sorted(pair, key=lambda p: -np.hypot(*p[:2]))
    eta_of = lambda p: np.arcsinh(p[2] / np.hypot(*p[:2]))
    cos, angle = angles(minus, plus)
    far = [j for j in jets if abs(j.eta()) < 4.7
           and min(np.hypot(j.eta() - eta_of(p), wrap(j.phi_std() - np.arctan2(p[1], p[0]))) for p in pair) > 0.4]
    hard, soft = [j for j in far if j.pt() > 25], [j for j in far if j.pt() <= 25]
    out = {"m_mumu": m, "pt_mumu": pt, "y_mumu": y, "cos_cs": cos, "phi_cs": angle,
           "mu1_pt_rel": np.hypot(*first[:2]) / m, "mu2_pt_rel": np.hypot(*second[:2]) / m,
           "mu1_eta": eta_of(first), "mu2_eta": eta_of(second), "njets": len(hard),
           "soft_ht2": sum(j.pt() for j in soft), "n_soft": len(soft)}
    for n in (1, 2):
        out[f"j{n}_pt"], out[f"j{n}_eta"] = (hard[n - 1].pt(), hard[n - 1].eta()) if len(hard) >= n else (np.nan, np.nan)
    dijet = dict.fromkeys(("m_jj", "deta_jj", "dphi_jj", "zeppenfeld", "pt_balance"), np.nan)
    if len(hard) > 1:
        a, b = hard[:2]
        p = [np.array([j.px(), j.py(), j.pz(), j.e()]) for j in (a, b)]
        ya, yb = map(rapidity, p)
        total = both + p[0] + p[1]
        dijet = {"m_jj": mass(p[0] + p[1]), "deta_jj": abs(a.eta() - b.eta()), "dphi_jj": abs(wrap(a.phi_std() - b.phi_std())),
                 "zeppenfeld": (y - 0.5 * (ya + yb)) / max(abs(ya - yb), 1e-3),
                 "pt_balance": np.hypot(*total[:2]) / (a.pt() + b.pt() + pt)}
    out |= dijet
    out["min_deta_mumu_j"] = min((abs(j.eta() - y) for j in hard[:2]), default=np.nan)
    out["min_dphi_mumu_j"] = min((abs(wrap(j.phi_std() - phi)) for j in hard[:2]), default=np.nan)
    out["met"] = np.hypot(*(momentum + both[:2]))
    return out


def events(process, options, rng):
    generator, rows, tried = pythia([*COMMON, *PROCESSES[process]], 4 * options.seed + process), [], 0
    while len(rows) < options.events:
        if not generator.next():
            continue
        tried += 1
        found = muons(generator.event, rng)
        if found is None:
            continue
        pt, eta, phi = detect(generator.event, found[1], rng)
        sequence = fastjet.ClusterSequence(pseudojets(pt, eta, phi), ANTI_KT)
        momentum = np.array([(pt * np.cos(phi)).sum(), (pt * np.sin(phi)).sum()])
        jets = fastjet.sorted_by_pt(sequence.inclusive_jets(5.0))
        rows.append(variables(found[0], jets, momentum) | {"process": process, "is_signal": int(process <= 2)})
    # sigmaGen is in millibarn.
    weight = generator.infoPython().sigmaGen() * 1e9 * LUMINOSITY / tried
    return [row | {"weight": weight} for row in rows]


def main():
    parser = argparse.ArgumentParser(description="pairs of muons about the Higgs boson")
    parser.add_argument("--events", type=int, required=True, help="events of each process")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows = [row for process in PROCESSES for row in events(process, options, rng)]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    make = lambda name: (lambda x: np.asarray(x, WHOLE[name])) if name in WHOLE else rounded
    table = pa.table({name: pa.array(make(name)([row[name] for row in rows])) for name in rows[0]})
    note = {"set": "higgs_dimuon", "generator": "Pythia 8.317", "seed": options.seed, "units": "GeV",
            "cuts": "two muons of opposite charge, |eta|<2.4, pT>26 and 20, 110<m<150; jets anti-kT 0.4, pT>25, |eta|<4.7",
            "weight": "leading-order events at 137/fb"}
    table = table.replace_schema_metadata({"dataset": json.dumps(note)})
    pq.write_table(table, options.out, compression="zstd", compression_level=15)
    print(f"{options.out}: {len(rows)} events")


if __name__ == "__main__":
    main()
