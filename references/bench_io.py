"""Files for `cargo xtask bench io`, and the readers of the Python world that are timed on them.

    python bench_io.py --make FOLDER      500,000 events in ROOT (each codec), Parquet and HDF5
    python bench_io.py --serve            JSON lines in ({"path": ...}), seconds of reading all columns out
"""

import argparse
import json
import pathlib
import sys
import time

EVENTS = 500_000
BLOCK = 50_000


def make(folder):
    import awkward as ak
    import h5py
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import uproot

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    codecs = {"zlib": uproot.ZLIB(1), "lz4": uproot.LZ4(4), "zstd": uproot.ZSTD(5), "lzma": uproot.LZMA(4)}
    files = {name: uproot.recreate(folder / f"{name}.root", compression=codec) for name, codec in codecs.items()}
    tables = []
    for block in range(EVENTS // BLOCK):
        counts = rng.poisson(4, BLOCK)
        # Rounded as in NanoAOD, so that there is something to pack.
        real = lambda n, scale: (rng.exponential(scale, n).astype("f4").view("u4") & 0xFFFFF000).view("f4")
        flat = {
            "run": np.full(BLOCK, 1, "u4"),
            "event": np.arange(block * BLOCK, (block + 1) * BLOCK, dtype="u8"),
            "met": real(BLOCK, 40),
            "ht": real(BLOCK, 200),
            "weight": rng.choice([-1.0, 1.0], BLOCK, p=[0.1, 0.9]),
        }
        lists = {name: ak.unflatten(real(counts.sum(), 30), counts) for name in ("pt", "eta", "phi", "mass")}
        lists["id"] = ak.unflatten(rng.integers(0, 7, counts.sum()).astype("i4"), counts)
        for file in files.values():
            columns = {**flat, "Jet": ak.zip(lists)}
            if block == 0:
                file.mktree("events", columns)
            else:
                file["events"].extend(columns)
        lists = {f"Jet_{name}": ak.to_arrow(values, extensionarray=False) for name, values in lists.items()}
        tables.append(pa.table({**flat, **lists}))
    for file in files.values():
        file.close()
    table = pa.concat_tables(tables)
    pq.write_table(table, folder / "zstd.parquet", compression="zstd", row_group_size=BLOCK)
    with h5py.File(folder / "gzip.h5", "w") as file:
        for name in ("run", "event", "met", "ht", "weight"):
            file.create_dataset(name, data=table[name].to_numpy(), compression="gzip", shuffle=True, chunks=(BLOCK,))


def read(path):
    start = time.perf_counter()
    if path.suffix == ".root":
        import uproot

        with uproot.open(path) as file:
            file["events"].arrays()
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.read_table(path, use_threads=False)
    else:
        import h5py

        with h5py.File(path) as file:
            for data in file.values():
                data[:]
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--make", type=pathlib.Path)
    parser.add_argument("--serve", action="store_true")
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make)
    if arguments.serve:
        print("{}", flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            if request.get("quit"):
                break
            print(json.dumps({"seconds": read(pathlib.Path(request["path"]))}), flush=True)


if __name__ == "__main__":
    main()
