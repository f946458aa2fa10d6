"""Writes ROOT files with `fb` and reads them with uproot, and the other way round: every codec, every type, both kinds.

    .venv/bin/python references/round_trip.py --fb target/release/fb

Prints one line for each file and ends with 1 if a value differs.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

from root_corpus import same

EVENTS = 20_000
TYPES = "i1 i2 i4 i8 u1 u2 u4 u8 f4 f8".split()
CODECS = {"none": None, "zlib": uproot.ZLIB(1), "lz4": uproot.LZ4(4), "lzma": uproot.LZMA(4), "zstd": uproot.ZSTD(5)}


def columns(rng):
    """Flat columns, lists and arrays of every type of number, with the extremes of each."""
    counts = rng.poisson(3, EVENTS)

    def numbers(kind, n):
        if kind.startswith("f"):
            values = rng.normal(0, 1e3, n).astype(kind)
            values[:4] = [np.nan, np.inf, -np.inf, -0.0]
            return values
        limits = np.iinfo(kind)
        values = rng.integers(limits.min, limits.max, n, dtype=kind, endpoint=True)
        values[:2] = [limits.min, limits.max]
        return values

    found = {f"flat_{kind}": numbers(kind, EVENTS) for kind in TYPES}
    found["flag"] = rng.integers(0, 2, EVENTS).astype(bool)
    found |= {f"jet_{kind}": ak.unflatten(numbers(kind, counts.sum()), counts) for kind in TYPES}
    found["fixed"] = rng.normal(size=(EVENTS, 3))
    return found


def differing(expected, read):
    """Names of the columns whose values are not those expected."""
    return [name for name, values in expected.items() if not same(ak.to_list(values), read(name))]


def ours(fb, folder, codec, kind, found):
    """Written by us from Parquet, read by uproot."""
    source, out = folder / f"{kind}.parquet", folder / f"ours_{kind}_{codec}.root"
    if not source.exists():
        table = {}
        for name, values in found.items():
            array = ak.to_arrow(ak.Array(values), extensionarray=False)
            table[name] = array.cast(pa.list_(array.type.value_type)) if pa.types.is_large_list(array.type) else array
        pq.write_table(pa.table(table), source, row_group_size=EVENTS // 3)
    extra = ["--rntuple"] if kind == "RNTuple" else []
    subprocess.run([fb, "convert", source, f"{out}:events", "--codec", codec, *extra], check=True, capture_output=True)
    with uproot.open(out) as file:
        tree = file["events"]
        return differing(found, lambda name: ak.to_list(tree[name].array()))


def theirs(fb, folder, codec, kind, found):
    """Written by uproot, read by us into Parquet."""
    source, out = folder / f"theirs_{kind}_{codec}.root", folder / f"theirs_{kind}_{codec}.parquet"
    with uproot.recreate(source, compression=CODECS[codec]) as file:
        make = file.mkrntuple if kind == "RNTuple" else file.mktree
        make("events", {name: ak.Array(values) if kind == "RNTuple" else values for name, values in found.items()})
    subprocess.run([fb, "convert", f"{source}:events", out], check=True, capture_output=True)
    table = pq.read_table(out)
    return differing(found, lambda name: table[name].to_pylist())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fb", default="target/release/fb")
    arguments = parser.parse_args()
    rng = np.random.default_rng(5)
    plain = columns(rng)
    words = ["", "jet", "µ → e γ", "x" * 300]
    texts = ak.Array([words[i] for i in rng.integers(0, len(words), EVENTS)])
    inner = ak.unflatten(rng.normal(size=2 * EVENTS), np.full(EVENTS, 2))
    nested = ak.unflatten(inner, rng.permutation([0, 2] * (EVENTS // 2)))
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for direction in (ours, theirs):
            for kind in ("TTree", "RNTuple"):
                found = dict(plain)
                if direction is ours:
                    found["name"] = texts
                if kind == "RNTuple":
                    found["nested"] = nested
                for codec in CODECS:
                    wrong = direction(arguments.fb, pathlib.Path(folder), codec, kind, found)
                    failures += len(wrong)
                    says = f"{len(found)} columns equal" if not wrong else f"differ: {', '.join(wrong)}"
                    print(f"{'written by us' if direction is ours else 'written by uproot'}, {kind}, {codec}: {says}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
