"""Makes jets for top tagging: Pythia 8 at 14 TeV, a parametric detector, anti-kT jets with R = 0.8.

    python top_tagging.py --events 1000 --seed 1 --out top_tagging.parquet

Signal (label 1) are jets of hadronic tops, background (label 0) jets of QCD dijets. Needs pythia8mc==8.317.2,
fastjet==3.5.2.0, numpy and pyarrow. Columns, momenta in GeV:
    label, event_id                         the identity of the collision, within this file
    jet_pt, jet_eta, jet_phi, jet_m         all constituents of the jet
    jet_msd                                 mass after soft drop, z = 0.1, beta = 0
    jet_tau1, jet_tau2, jet_tau3            N-subjettiness, exclusive kT axes, beta = 1
    n_constituents                          that are kept, at most 200
    part_px, part_py, part_pz, part_E       the constituents, the hardest first
    part_class                              0 charged hadron, 1 neutral hadron, 2 photon, 3 electron, 4 muon
"""

import argparse
import json
import math
import os
import time

import fastjet
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pythia8mc

RADIUS = 0.8
PT = (550.0, 650.0)
LARGEST_ETA = 2.0
MOST_CONSTITUENTS = 200
MANTISSA_BITS = 10
COMMON = ["Beams:eCM = 14000.", "PartonLevel:MPI = off",
          "PhaseSpace:pTHatMin = 500.", "PhaseSpace:pTHatMax = 750."]
PROCESSES = {
    0: ["HardQCD:all = on"],
    1: ["Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"],
}
CHARGED, NEUTRAL, PHOTON, ELECTRON, MUON = range(5)


def pythia(settings, seed):
    """Pythia with these settings."""
    generator = pythia8mc.Pythia("", False)
    for setting in ["Print:quiet = on", "Random:setSeed = on", f"Random:seed = {1 + seed % 900_000_000}", *settings]:
        if not generator.readString(setting):
            raise SystemExit(f"Pythia does not know the setting `{setting}`")
    if not generator.init():
        raise SystemExit("Pythia does not start")
    return generator


def wrap(phi):
    return np.pi - (np.pi - phi) % (2 * np.pi)


# ---------------------------------------------------------------------------------------------------------------------
# Truth


def hadronic_tops(event):
    """(η, φ) of each hadronic top and of its three quarks, [top, 4, 2]."""
    tops = []
    for i in range(event.size()):
        if event[i].idAbs() != 6 or event[i].iBotCopyId() != i:
            continue
        place = [(event[i].eta(), event[i].phi())]
        for d in event[i].daughterList():
            if event[d].idAbs() == 24:
                w = event[d].iBotCopyId()
                place += [(event[q].eta(), event[q].phi()) for q in event[w].daughterList() if event[q].idAbs() < 6]
            elif event[d].idAbs() < 6:
                place.append((event[d].eta(), event[d].phi()))
        if len(place) == 4:
            tops.append(place)
    return np.array(tops).reshape(-1, 4, 2)


def holds_a_top(tops, eta, phi):
    """Whether some top and all of its quarks are within the radius of the jet."""
    distance = np.hypot(tops[:, :, 0] - eta, wrap(tops[:, :, 1] - phi))
    return bool((distance < RADIUS).all(axis=1).any())


# ---------------------------------------------------------------------------------------------------------------------
# Detector


def visible(event):
    """px, py, pz, E, PDG id and charge of the final particles without neutrinos, [particle, 6]."""
    rows = [(p.px(), p.py(), p.pz(), p.e(), p.idAbs(), p.charge())
            for p in event if p.isFinal() and p.idAbs() not in (12, 14, 16)]
    return np.array(rows).reshape(-1, 6)


def tracks(eta, phi, pt, kind, rng):
    """Tracks of charged particles with |η| < 2.5 and pT > 0.5 GeV."""
    found = rng.random(len(pt)) < np.where(kind == 13, 0.99, 0.95)
    eta, phi, pt, kind = eta[found], phi[found], pt[found], kind[found]
    angle = np.hypot(0.001, 0.002 / pt)
    seen = pt * np.maximum(1 + np.hypot(0.01, 2e-4 * pt) * rng.standard_normal(len(pt)), 0.05)
    names = np.select([kind == 11, kind == 13], [ELECTRON, MUON], CHARGED)
    return (seen, eta + angle * rng.standard_normal(len(pt)), phi + angle * rng.standard_normal(len(pt)), names)


def towers(eta, phi, energy, cell, resolution, threshold, name, rng):
    """Energies added up in cells of (Δη, Δφ), smeared by stochastic ⊕ constant term, somewhere inside the cell."""
    cells, which = np.unique(np.stack([np.floor(eta / cell[0]), np.floor(phi / cell[1])], axis=1), axis=0,
                             return_inverse=True)
    energy = np.bincount(which.reshape(-1), weights=energy, minlength=len(cells))
    sigma = np.minimum(np.hypot(resolution[0] / np.sqrt(energy), resolution[1]), 0.8)
    energy = energy * np.exp(sigma * rng.standard_normal(len(cells)))  # stays positive
    place = (cells + rng.random(cells.shape)) * cell
    seen = energy > threshold
    eta, phi, energy = place[seen, 0], place[seen, 1], energy[seen]
    return energy / np.cosh(eta), eta, phi, np.full(len(eta), name)


def detect(particles, rng):
    """What the detector sees: pT, η, φ and class of massless objects."""
    px, py, pz, energy, kind, charge = particles.T
    pt = np.hypot(px, py)
    eta, phi = np.arcsinh(pz / np.maximum(pt, 1e-9)), np.arctan2(py, px)
    inside = np.abs(eta) < 2.5
    charged = inside & (charge != 0) & (pt > 0.5)
    photon = inside & (charge == 0) & (kind == 22)
    neutral = inside & (charge == 0) & (kind != 22)
    parts = [tracks(eta[charged], phi[charged], pt[charged], kind[charged], rng)]
    degree = math.pi / 180
    for mask, cell, resolution, threshold, name in (
            (photon, (0.0175, degree), (0.10, 0.01), 0.5, PHOTON),
            (neutral, (0.1, 5 * degree), (0.52, 0.03), 1.0, NEUTRAL)):
        if mask.any():
            parts.append(towers(eta[mask], phi[mask], energy[mask], np.array(cell), resolution, threshold, name, rng))
    pt, eta, phi, name = (np.concatenate(x) for x in zip(*parts))
    return pt, eta, wrap(phi), name


# ---------------------------------------------------------------------------------------------------------------------
# Jets


ANTI_KT = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
CAMBRIDGE = fastjet.JetDefinition(fastjet.cambridge_algorithm, fastjet.JetDefinition.max_allowable_R)
KT = fastjet.JetDefinition(fastjet.kt_algorithm, fastjet.JetDefinition.max_allowable_R)


def pseudojets(pt, eta, phi):
    """FastJet's momenta of massless objects, numbered."""
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
    out = []
    for i, row in enumerate(p.tolist()):
        jet = fastjet.PseudoJet(*row)
        jet.set_user_index(i)
        out.append(jet)
    return out


def soft_drop_mass(constituents, z=0.1):
    """Mass after soft drop with β = 0: softer branches of the angular-ordered tree fall off until one carries z."""
    sequence = fastjet.ClusterSequence(constituents, CAMBRIDGE)
    jet = sequence.exclusive_jets(1)[0]
    a, b = fastjet.PseudoJet(), fastjet.PseudoJet()
    while jet.has_parents(a, b):
        if min(a.pt(), b.pt()) > z * (a.pt() + b.pt()):
            break
        jet = fastjet.PseudoJet(a if a.pt() > b.pt() else b)
    return max(jet.m(), 0.0)


def subjettiness(constituents, pt, eta, phi, most=3):
    """τ₁, τ₂, …: Σ pT·(distance to the nearest of n exclusive kT axes) / Σ pT·R."""
    sequence = fastjet.ClusterSequence(constituents, KT)
    taus = []
    for n in range(1, most + 1):
        if len(pt) <= n:
            taus.append(0.0)
            continue
        axes = np.array([(axis.eta(), axis.phi_std()) for axis in sequence.exclusive_jets(n)])
        distance = np.hypot(eta[:, None] - axes[:, 0], wrap(phi[:, None] - axes[:, 1]))
        taus.append(float((pt * distance.min(axis=1)).sum() / (pt.sum() * RADIUS)))
    return taus


def jets_of(event, label, rng):
    """The jets of a collision that are kept: of the two hardest those in range, with a top if it is signal."""
    particles = visible(event)
    if len(particles) == 0:
        return
    pt, eta, phi, name = detect(particles, rng)
    sequence = fastjet.ClusterSequence(pseudojets(pt, eta, phi), ANTI_KT)
    tops = hadronic_tops(event) if label == 1 else None
    for jet in fastjet.sorted_by_pt(sequence.inclusive_jets(400.0))[:2]:
        if not (PT[0] < jet.pt() < PT[1] and abs(jet.eta()) < LARGEST_ETA):
            continue
        if label == 1 and not holds_a_top(tops, jet.eta(), jet.phi_std()):
            continue
        rows = np.array([c.user_index() for c in jet.constituents()])
        rows = rows[np.argsort(-pt[rows], kind="stable")][:MOST_CONSTITUENTS]
        constituents = pseudojets(pt[rows], eta[rows], phi[rows])
        yield {
            "jet_pt": jet.pt(), "jet_eta": jet.eta(), "jet_phi": jet.phi_std(), "jet_m": max(jet.m(), 0.0),
            "jet_msd": soft_drop_mass(constituents),
            "taus": subjettiness(constituents, pt[rows], eta[rows], phi[rows]),
            "momenta": np.array([[c.px(), c.py(), c.pz(), c.e()] for c in constituents]),
            "class": name[rows],
        }


# ---------------------------------------------------------------------------------------------------------------------
# File


def rounded(x):
    """float32 with few bits of mantissa, so that the file compresses."""
    x = np.ascontiguousarray(x, np.float32)
    drop = 23 - MANTISSA_BITS
    bits = x.view(np.uint32).astype(np.uint64)
    bits = (bits + (1 << (drop - 1))) >> drop << drop
    return bits.astype(np.uint32).view(np.float32)


def list_column(lists, make):
    """A column of lists, whose entries `make` turns into an array."""
    offsets = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(make(np.concatenate(lists))))


def write(jets, path, about):
    columns = {"label": np.array([j["label"] for j in jets], np.int8),
               "event_id": np.array([j["event_id"] for j in jets], np.int64)}
    for key in ("jet_pt", "jet_eta", "jet_phi", "jet_m", "jet_msd"):
        columns[key] = rounded([j[key] for j in jets])
    for n in range(3):
        columns[f"jet_tau{n + 1}"] = rounded([j["taus"][n] for j in jets])
    counts = np.array([len(j["class"]) for j in jets])
    columns["n_constituents"] = counts.astype(np.int16)
    offsets = pa.array(np.insert(np.cumsum(counts), 0, 0).astype(np.int32))
    momenta = rounded(np.concatenate([j["momenta"] for j in jets]))
    for i, key in enumerate(("px", "py", "pz", "E")):
        values = pa.array(np.ascontiguousarray(momenta[:, i]))
        columns[f"part_{key}"] = pa.ListArray.from_arrays(offsets, values)
    classes = pa.array(np.concatenate([j["class"] for j in jets]).astype(np.int8))
    columns["part_class"] = pa.ListArray.from_arrays(offsets, classes)
    table = pa.table({key: pa.array(c) if isinstance(c, np.ndarray) else c for key, c in columns.items()})
    table = table.replace_schema_metadata({"dataset": json.dumps(about)})
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    whole = ["label", "event_id", "n_constituents"]
    pq.write_table(table, f"{path}.tmp", compression="zstd", compression_level=15, row_group_size=20000,
                   use_dictionary=whole)
    os.replace(f"{path}.tmp", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1000, help="jets in the file, half of each class")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    jets, version, collisions = [], "", 0
    for label in (0, 1):
        wanted = options.events // 2 if label else (options.events + 1) // 2
        generator = pythia([*COMMON, *PROCESSES[label]], 2 * options.seed + label)
        version = f"{generator.parm('Pythia:versionNumber'):.3f}"
        got, told = 0, time.monotonic()
        while got < wanted:
            if not generator.next():
                continue
            collisions += 1
            for jet in jets_of(generator.event, label, rng):
                if got < wanted:
                    jets.append({"label": label, "event_id": collisions} | jet)
                    got += 1
            if time.monotonic() - told > 20:
                told = time.monotonic()
                print(f"label {label}: {got} of {wanted} jets", flush=True)
    about = {
        "set": "top_tagging", "generator": f"Pythia {version}, FastJet 3.5.2", "seed": options.seed,
        "cuts": "14 TeV, anti-kT R=0.8, 550<pT<650 GeV, |eta|<2; signal: the top and its three quarks within 0.8; MPI off",
        "units": "GeV", "mantissa_bits": MANTISSA_BITS,
    }
    write([jets[i] for i in rng.permutation(len(jets))], options.out, about)
    print(f"{options.out}: {len(jets)} jets from {collisions} collisions, {os.path.getsize(options.out) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
