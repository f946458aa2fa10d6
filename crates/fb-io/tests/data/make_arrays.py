"""Writes the HDF5 and NumPy files of this folder: what other programs write, for the readers to be held against.

Run once, with h5py == 3.16.0, numpy == 2.4.6, pandas == 3.1.1 and tables == 3.11.1; the files are committed and the
expected values stand in tests/arrays.rs.
    python make_arrays.py
"""

import pathlib

import h5py
import numpy as np
import pandas as pd

FOLDER = pathlib.Path(__file__).parent
n = 50
i = np.arange(n)

# Every type, in one group each way of storing.
columns = {
    "i1": i.astype("i1"), "i2": -i.astype("i2"), "i4": i.astype("<i4"), "i8": i.astype("<i8"),
    "u1": i.astype("u1"), "u2": i.astype("u2"), "u4": i.astype("u4"), "u8": i.astype("u8"),
    "f2": (i / 4).astype("f2"), "f4": (i / 8).astype("f4"), "f8": i / 16,
    "be_i4": i.astype(">i4"), "be_f8": (i / 16).astype(">f8"), "bool": i % 3 == 0,
    "pair": np.stack([i, -i], axis=1).astype("f4"), "cube": np.arange(n * 6).reshape(n, 2, 3).astype("i2"),
}
ways = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": {"compression": "gzip", "shuffle": True},
    "lzf": {"compression": "lzf"},
    "checked": {"compression": "gzip", "fletcher32": True},
}
for libver in ["earliest", "v114", "latest"]:
    with h5py.File(FOLDER / f"types_{libver}.h5", "w", libver=(libver, "latest" if libver == "latest" else "v114")) as file:
        for way, options in ways.items():
            if way not in ("contiguous", "gzip") and libver != "v114":
                continue
            group = file.create_group(way)
            for name, values in columns.items():
                options = {**options, "chunks": (20, *values.shape[1:])} if options else {}
                group.create_dataset(name, data=values, **options)
            group["f8"].attrs["unit"] = "GeV"
        texts = file.create_group("texts")
        texts["any"] = np.array([f"event {k} µ" for k in i], dtype=h5py.string_dtype())
        texts["fixed"] = np.array([f"e{k}" for k in i], dtype="S4")
        texts.create_dataset("vlen", (n,), dtype=h5py.vlen_dtype(np.float32))

# ATLAS' layout for flavour tagging: jets, and their tracks in a second dimension.
jets = np.zeros(6, dtype=[("pt", "f4"), ("eta", "f2"), ("HadronConeExclTruthLabelID", "i4"), ("valid", "?")])
jets["pt"] = [20, 30, 40, 50, 60, 70]
jets["eta"] = [-2, -1, 0, 0.5, 1, 2]
jets["HadronConeExclTruthLabelID"] = [0, 4, 5, 0, 5, 15]
tracks = np.zeros((6, 4), dtype=[("d0", "f2"), ("charge", "i1"), ("valid", "?")])
for jet in range(6):
    for track in range(jet % 5):
        tracks[jet, track] = (jet + track / 8, 1 - 2 * (track % 2), True)
with h5py.File(FOLDER / "ftag.h5", "w") as file:
    file.create_dataset("jets", data=jets, compression="gzip", chunks=(4,))
    file.create_dataset("tracks", data=tracks, compression="lzf", chunks=(4, 4))
    file.create_dataset("towers", data=tracks[["d0", "charge"]])
    file.create_dataset("cutflow", data=np.array([100.0, 50.0, 6.0]))

# Frames of pandas, in its two formats.
frame = pd.DataFrame({"px": i / 2, "py": -i / 2, "n": i, "ok": i % 2 == 0})
frame.to_hdf(FOLDER / "frame.h5", key="df", mode="w", format="fixed")
frame.to_hdf(FOLDER / "frame.h5", key="as_table", mode="a", format="table", index=False)
pd.DataFrame(np.arange(12.0).reshape(4, 3)).to_hdf(FOLDER / "lhco.h5", key="df", mode="w", format="fixed")

# Lists as their values and where they begin.
lengths = i % 4
offsets = np.concatenate([[0], np.cumsum(lengths)])
jagged = {"x": i / 2.0, "part": np.arange(offsets[-1]).astype("f4"), "part_offsets": offsets, "other": np.arange(3)}
with h5py.File(FOLDER / "lists.h5", "w") as file:
    for name, values in jagged.items():
        file[name] = values
np.savez(FOLDER / "lists.npz", **jagged)
np.savez_compressed(FOLDER / "types.npz", fortran=np.asfortranarray(columns["pair"]), text=np.array(
    [f"event {k} µ" for k in i]), bytes=np.array([f"e{k}" for k in i], dtype="S4"), **columns)

# Single arrays.
np.save(FOLDER / "pairs.npy", columns["pair"])
np.save(FOLDER / "fortran.npy", np.asfortranarray(columns["cube"]))
np.save(FOLDER / "records.npy", np.array(
    [(1, 2.5, "a", [1, 2]), (-3, -4.5, "µ", [3, 4])], dtype=[("n", ">i4"), ("x", "<f8"), ("s", "U3"), ("v", "u1", (2,))]))
for version in [(2, 0), (3, 0)]:
    with open(FOLDER / f"version_{version[0]}.npy", "wb") as out:
        np.lib.format.write_array(out, columns["f8"], version=version)
