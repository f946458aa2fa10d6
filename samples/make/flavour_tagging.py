"""Makes jets for flavour tagging: Pythia 8 at 13 TeV, a parametric detector, anti-kT jets with R = 0.4.

    python flavour_tagging.py --events 1000 --seed 1 --out flavour_tagging.parquet

`--events` jets of each hard process (b pairs, c pairs, light quarks, gluons) with 30 < pT < 300 GeV and |eta| < 2.4. The spectrum
of the hard scatter is biased to be flat; jets carry no weight. Needs pythia8mc==8.317.2, fastjet==3.5.2.0, numpy and pyarrow.
Columns, in GeV and mm:
    label                   0 b, 1 two b, 2 b with a lepton from its decay, 3 c, 4 u, d or s, 5 gluon
    jet_pt, jet_eta, jet_phi, jet_m
    trk_pt, trk_deta, trk_dphi, trk_dr      up to 25 tracks, the hardest first; places relative to the jet
    trk_d0, trk_z0                          impact parameters, smeared
    trk_sd0_sig, trk_z0_sig                 over their errors; that of d0 is positive where the track crosses the jet's axis
                                            before the detector
    trk_class                               0 hadron, 3 electron, 4 muon
    neu_pt, neu_dr, neu_is_photon           up to 25 neutral particles
    sv_ntracks, sv_mass, sv_flight, sv_flight_sig, sv_pt_fraction, sv_cos_pointing
                                            a secondary vertex of displaced tracks at the median of their true places;
                                            nothing where there are less than two
"""

import argparse
import json

import fastjet
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from top_tagging import CHARGED, ELECTRON, MUON, NEUTRAL, PHOTON, list_column, pseudojets, pythia, rounded, towers, wrap

PT = (30.0, 300.0)
LARGEST_ETA = 2.4
MOST = 25
PION = 0.1396
COMMON = ["Beams:eCM = 13000.", "PartonLevel:MPI = off",
          "PhaseSpace:pTHatMin = 40.", "PhaseSpace:pTHatMax = 300.", "PhaseSpace:bias2Selection = on",
          "PhaseSpace:bias2SelectionPow = 4.", "PhaseSpace:bias2SelectionRef = 100."]
PROCESSES = [["HardQCD:hardbbbar = on"], ["HardQCD:hardccbar = on"],
             ["HardQCD:qq2qq = on", "HardQCD:qqbar2qqbarNew = on"], ["HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"]]
ANTI_KT = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)


def heaviest_quark(code):
    """4 or 5 for hadrons with a c or b quark, else 0."""
    digits = [(code // 10 ** k) % 10 for k in (1, 2, 3)]
    return max((d for d in digits if d in (4, 5)), default=0) if 400 < code < 10000 else 0


def hadrons(event):
    """(eta, phi, quark, whether a lepton comes from its decay) of hadrons with pT > 5 GeV that decay weakly."""
    found = []
    for particle in event:
        quark = heaviest_quark(particle.idAbs())
        if not quark or particle.isFinal() or particle.pT() < 5:
            continue
        children = [event[d].idAbs() for d in particle.daughterList()]
        if any(heaviest_quark(code) == quark for code in children):
            continue
        found.append((particle.eta(), particle.phi(), quark, any(code in (11, 13) for code in children)))
    return np.array(found, dtype=float).reshape(-1, 4)


def label(jet, heavy, partons):
    """The class of a jet; none if nothing says it."""
    near = lambda rows: rows[np.hypot(rows[:, 0] - jet.eta(), wrap(rows[:, 1] - jet.phi_std())) < 0.4]
    heavy = near(heavy)
    b = heavy[heavy[:, 2] == 5]
    if len(b):
        return 1 if len(b) > 1 else 2 if b[0, 3] else 0
    if len(heavy):
        return 3
    codes = near(partons)[:, 2]
    if len(codes) == 0:
        return None
    return 5 if codes[0] == 21 else 4 if codes[0] <= 3 else None


def detect(event, rng):
    """pT, eta, phi, class and true place of what is seen; towers have no place."""
    rows = [(p.px(), p.py(), p.pz(), p.e(), p.idAbs(), p.charge(), p.xProd(), p.yProd(), p.zProd())
            for p in event if p.isFinal() and p.idAbs() not in (12, 14, 16)]
    px, py, pz, energy, kind, charge, *place = np.array(rows).reshape(-1, 9).T
    place, pt = np.stack(place, axis=1), np.hypot(px, py)
    eta, phi = np.arcsinh(pz / np.maximum(pt, 1e-9)), np.arctan2(py, px)
    inside = np.abs(eta) < 2.5
    track = inside & (charge != 0) & (pt > 0.5) & (rng.random(len(pt)) < np.where(kind == 13, 0.99, 0.95))
    noise = lambda: rng.standard_normal(track.sum())
    angle = np.hypot(0.001, 0.002 / pt[track])
    seen = pt[track] * np.maximum(1 + np.hypot(0.01, 2e-4 * pt[track]) * noise(), 0.05)
    names = np.select([kind[track] == 11, kind[track] == 13], [ELECTRON, MUON], CHARGED)
    parts = [(seen, eta[track] + angle * noise(), phi[track] + angle * noise(), names, place[track])]
    degree = np.pi / 180
    for mask, cell, resolution, threshold, name in (
            (inside & (charge == 0) & (kind == 22), (0.0175, degree), (0.10, 0.01), 0.5, PHOTON),
            (inside & (charge == 0) & (kind != 22), (0.1, 5 * degree), (0.52, 0.03), 1.0, NEUTRAL)):
        if mask.any():
            found = towers(eta[mask], phi[mask], energy[mask], np.array(cell), resolution, threshold, name, rng)
            parts.append((*found, np.zeros((len(found[0]), 3))))
    pt, eta, phi, name, place = (np.concatenate(x) for x in zip(*parts))
    return pt, eta, wrap(phi), name, place


def vertex(pt, eta, phi, place, displaced, jet_pt, rng):
    """Tracks, mass, flight and its significance, share of pT and cosine of pointing of the displaced tracks."""
    if displaced.sum() < 2:
        return [0, 0.0, 0.0, 0.0, 0.0, 0.0]
    pt, eta, phi = pt[displaced], eta[displaced], phi[displaced]
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    energy, total = np.sqrt((p ** 2).sum(axis=1) + PION ** 2).sum(), p.sum(axis=0)
    centre = np.median(place[displaced], axis=0)
    distance = np.linalg.norm(centre)
    error = np.hypot(0.15, 0.05 * distance)
    flight = max(distance + error * rng.standard_normal(), 0.02)
    pointing = total @ centre / max(np.linalg.norm(total) * distance, 1e-9)
    return [int(displaced.sum()), np.sqrt(max(energy ** 2 - total @ total, 0.0)), flight, flight / error,
            np.hypot(*total[:2]) / jet_pt, pointing]


def jets(event, rng):
    """The two hardest jets of a collision, if they are in range and their class is told."""
    pt, eta, phi, name, place = detect(event, rng)
    heavy = hadrons(event)
    partons = np.array([(event[k].eta(), event[k].phi(), event[k].idAbs()) for k in (5, 6)])
    sequence = fastjet.ClusterSequence(pseudojets(pt, eta, phi), ANTI_KT)
    for jet in fastjet.sorted_by_pt(sequence.inclusive_jets(PT[0]))[:2]:
        if not (jet.pt() < PT[1] and abs(jet.eta()) < LARGEST_ETA):
            continue
        kind = label(jet, heavy, partons)
        if kind is None:
            continue
        rows = np.array([c.user_index() for c in jet.constituents()])
        rows = rows[np.argsort(-pt[rows], kind="stable")]
        charged = np.isin(name[rows], (CHARGED, ELECTRON, MUON))
        t, n = rows[charged][:MOST], rows[~charged][:MOST]
        x, y, z = place[t].T
        sigma, sigma_z = np.hypot(0.015, 0.06 / pt[t]), np.hypot(0.03, 0.10 / pt[t])
        d0 = y * np.cos(phi[t]) - x * np.sin(phi[t]) + sigma * rng.standard_normal(len(t))
        z0 = z - (x * np.cos(phi[t]) + y * np.sin(phi[t])) * np.sinh(eta[t]) + sigma_z * rng.standard_normal(len(t))
        sign = np.sign(d0 * np.sin(jet.phi_std() - phi[t]))
        displaced = ((np.linalg.norm(place[t], axis=1) > 0.1) & (np.hypot(x, y) < 50) & (np.abs(d0 / sigma) > 1.2)
                     & (pt[t] > 0.8) & (rng.random(len(t)) < 0.85))
        away = lambda i: (eta[i] - jet.eta(), wrap(phi[i] - jet.phi_std()))
        yield {"label": kind, "jet_pt": jet.pt(), "jet_eta": jet.eta(), "jet_phi": wrap(jet.phi_std()),
               "jet_m": max(jet.m(), 0.0), "trk_pt": pt[t], "trk_deta": away(t)[0], "trk_dphi": away(t)[1],
               "trk_dr": np.hypot(*away(t)), "trk_d0": d0, "trk_z0": z0, "trk_sd0_sig": np.abs(d0 / sigma) * sign,
               "trk_z0_sig": z0 / sigma_z, "trk_class": name[t], "neu_pt": pt[n], "neu_dr": np.hypot(*away(n)),
               "neu_is_photon": name[n] == PHOTON,
               **dict(zip(("sv_ntracks", "sv_mass", "sv_flight", "sv_flight_sig", "sv_pt_fraction", "sv_cos_pointing"),
                          vertex(pt[t], eta[t], phi[t], place[t], displaced, jet.pt(), rng)))}


def column(rows, name):
    whole = name in ("label", "trk_class", "neu_is_photon", "sv_ntracks")
    make = (lambda x: np.asarray(x, dtype=np.int8)) if whole else rounded
    if name[:4] not in ("trk_", "neu_"):
        return pa.array(make([row[name] for row in rows]))
    return list_column([row[name] for row in rows], make)


def main():
    parser = argparse.ArgumentParser(description="jets for flavour tagging")
    parser.add_argument("--events", type=int, required=True, help="jets of each hard process")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    rng, rows = np.random.default_rng(options.seed), []
    for process in range(len(PROCESSES)):
        generator, wanted = pythia([*COMMON, *PROCESSES[process]], 4 * options.seed + process), len(rows) + options.events
        while len(rows) < wanted:
            if generator.next():
                rows.extend(jets(generator.event, rng))
        del rows[wanted:]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    table = pa.table({name: column(rows, name) for name in rows[0]})
    note = {"set": "flavour_tagging", "generator": "Pythia 8.317", "seed": options.seed, "units": "GeV, mm",
            "cuts": "13 TeV, anti-kT R=0.4, 30<pT<300 GeV, |eta|<2.4, MPI off, pTHat biased to a flat spectrum"}
    table = table.replace_schema_metadata({"dataset": json.dumps(note)})
    pq.write_table(table, options.out, compression="zstd", compression_level=15)
    print(f"{options.out}: {len(rows)} jets")


if __name__ == "__main__":
    main()
