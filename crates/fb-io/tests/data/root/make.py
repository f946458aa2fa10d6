"""Writes the ROOT files of this folder that begin with `made_`, and `expected.json` for all of them.

Run once, with uproot == 5.7.7 and awkward == 2.14.0; the files are committed.
    python make.py
"""

import json
import math
import pathlib

import awkward as ak
import numpy as np
import uproot

assert uproot.__version__ == "5.7.7", uproot.__version__
FOLDER = pathlib.Path(__file__).parent
EVENTS = 40
CODECS = {
    "stored": None,
    "zlib": uproot.ZLIB(4),
    "lz4": uproot.LZ4(4),
    "zstd": uproot.ZSTD(4),
    "lzma": uproot.LZMA(4),
}


def make(name, codec):
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 4, EVENTS)
    flat = {t: rng.integers(0, 100, EVENTS).astype(t) for t in "i1 i2 i4 i8 u1 u2 u4 u8 f4 f8".split()}
    lists = {
        t: ak.unflatten(rng.integers(0, 100, counts.sum()).astype(t), counts) for t in "i1 i2 i4 i8 u1 u2 u4 u8 f4 f8".split()
    }
    with uproot.recreate(FOLDER / f"made_{name}.root", compression=codec) as file:
        file.mktree("events", {
            **flat,
            "flag": rng.integers(0, 2, EVENTS).astype(bool),
            "fixed": rng.normal(size=(EVENTS, 2, 3)),
            "jet": ak.zip(lists),
        })
        file.mktree("folder/inner/more", {"x": np.array([1.5, math.nan, math.inf])})


def plain(value):
    """Values as JSON can hold them: what is no finite number as a text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def expected(path):
    with uproot.open(path) as file:
        trees = {}
        for name, kind in file.classnames(cycle=False).items():
            if kind not in ("TTree", "TNtuple"):
                continue
            tree = trees.setdefault(name, {})
            for branch in file[name].values():
                if type(branch.interpretation).__name__ not in ("AsGrouped", "UnknownInterpretation"):
                    tree[branch.name] = plain(ak.to_list(branch.array()))
        return trees


if __name__ == "__main__":
    for name, codec in CODECS.items():
        make(name, codec)
    paths = sorted(FOLDER.glob("*.root"))
    text = json.dumps({path.name: expected(path) for path in paths}, separators=(",", ":"))
    (FOLDER / "expected.json").write_text(text + "\n")
