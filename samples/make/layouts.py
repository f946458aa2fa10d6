"""Makes small files in the layouts of public data sets, for the tests of `fb data import`: layouts/.

    python samples/make/layouts.py --out samples/layouts

The numbers are random; names, types, shapes and packing are those of the sets that `fb data list` names. Needs numpy, pandas,
tables, h5py, uproot and awkward; versions in requirements-layouts.txt.
"""

import argparse
import json
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import uproot

CLASSES = ["QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"]


def padded(rng, jets, most, features):
    """Rows of particles, [jets, most, features], zero behind the last one; and how many there are."""
    counts = rng.integers(1, min(most, 12), size=jets)
    rows = np.round(rng.normal(size=(jets, most, features)), 3)
    rows[np.arange(most) >= counts[:, None]] = 0
    return rows, counts


def top_tagging(rng, out, library):
    rows, _ = padded(rng, 3, 200, 4)
    rows[:, :, 0] = np.where(np.any(rows != 0, axis=2), np.round(np.linalg.norm(rows[:, :, 1:], axis=2) + 0.1, 3), 0)
    names = [f"{c}_{i}" for i in range(200) for c in ["E", "PX", "PY", "PZ"]]
    frame = pd.DataFrame(rows.reshape(3, 800).astype(np.float32), columns=names)
    truth = {f"truth{c}": np.round(rng.normal(size=3), 3).astype(np.float32) for c in ["E", "PX", "PY", "PZ"]}
    flags = {"ttv": np.zeros(3, dtype=np.int64), "is_signal_new": np.array([0, 1, 1], dtype=np.int64)}
    frame = pd.concat([frame, pd.DataFrame(truth), pd.DataFrame(flags)], axis=1)
    path = out / f"top_tagging_{library.split(':')[-1]}.h5"
    frame.to_hdf(path, key="table", format="table", mode="w", complib=library, complevel=5)
    return rows, truth


def quark_gluon(rng, out):
    rows, _ = padded(rng, 4, 15, 4)
    rows[:, :, 0] = np.abs(rows[:, :, 0])
    rows[:, :, 3] = np.where(rows[:, :, 0] > 0, 211, 0)
    np.savez_compressed(out / "QG_jets.npz", X=rows, y=np.array([0.0, 1.0, 1.0, 0.0]))
    return rows


def jetnet(rng, out):
    rows, counts = padded(rng, 3, 30, 4)
    rows[:, :, 3] = np.arange(30) < counts[:, None]
    jets = np.round(np.stack([rng.uniform(800, 1200, 3), rng.normal(size=3), rng.uniform(50, 200, 3), counts], axis=1), 3)
    with h5py.File(out / "t30.hdf5", "w") as file:
        file.create_dataset("particle_features", data=rows)
        file.create_dataset("jet_features", data=jets)
    return rows, jets


def hls4ml(rng, out):
    rows, counts = padded(rng, 3, 30, 16)
    rows[:, :, 3] = np.where(np.arange(30) < counts[:, None], np.abs(rows[:, :, 3]) + 0.1, 0)
    jets = np.round(rng.normal(size=(3, 59)), 3)
    jets[:, 53:] = np.eye(6)[[4, 0, 2]]
    with h5py.File(out / "hls4ml.h5", "w") as file:
        file.create_dataset("jetConstituentList", data=rows.astype(np.float32), compression="gzip")
        file.create_dataset("jets", data=jets.astype(np.float32), compression="gzip")
        file.create_dataset("jetImage", data=np.zeros((3, 100, 100), np.float32), compression="gzip")
        # Names are as many as there are columns, not jets.
        names = ["px", "py", "pz", "e", "erel", "pt", "ptrel", "eta", "etarel", "etarot", "phi", "phirel", "phirot",
                 "deltaR", "costheta", "costhetarel", "pdgid"]
        file.create_dataset("particleFeatureNames", data=np.array([f"j1_{name}" for name in names], dtype="S"))
        file.create_dataset("jetFeatureNames", data=np.array([f"j_{i}" for i in range(59)], dtype="S"))
    return rows[:, :, :4]


def jetclass(rng, out):
    counts = rng.integers(1, 8, size=3)

    def particles(kind=np.float32):
        return ak.unflatten(np.round(10 * rng.normal(size=counts.sum())).astype(kind), counts)

    tree = {f"part_{c}": particles() for c in ["px", "py", "pz", "energy", "deta", "dphi", "d0val", "dzval", "charge"]}
    tree |= {f"part_is{c}": particles(np.int32) for c in ["ChargedHadron", "Photon"]}
    tree |= {f"label_{c}": (np.array([9, 0, 4]) == i).astype(np.float32 if i == 0 else np.int32)
             for i, c in enumerate(CLASSES)}
    tree |= {f"jet_{c}": np.arange(3, dtype=np.float32) for c in ["pt", "eta", "phi", "energy", "sdmass"]}
    tree |= {f"aux_genpart_{c}": np.arange(3, dtype=np.float32) for c in ["pt", "pid"]}
    with uproot.recreate(out / "jetclass.root") as file:
        writer = file.mktree("tree", {name: array.type if hasattr(array, "type") else array.dtype
                                      for name, array in tree.items()})
        writer.extend(tree)
    return {name: ak.to_list(array) for name, array in tree.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for library in ["blosc:blosclz", "blosc:lz4", "blosc:zlib", "blosc:zstd"]:
        # The same numbers in all.
        rows, truth = top_tagging(np.random.default_rng(1), out, library)
    rng = np.random.default_rng(2)
    particles, jets = jetnet(rng, out)
    expected = {
        "top_tagging": {"rows": rows.tolist(), "truth": {k: v.tolist() for k, v in truth.items()}},
        "quark_gluon": {"rows": quark_gluon(rng, out).tolist()},
        "jetnet": {"rows": particles.tolist(), "jets": jets.tolist()},
        "jetclass": jetclass(rng, out),
        "hls4ml": {"rows": hls4ml(np.random.default_rng(3), out).tolist()},
    }
    for part in expected.values():
        if "rows" in part:
            part["rows"] = [[p for p in jet if any(p)] for jet in part["rows"]]
    (out / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
