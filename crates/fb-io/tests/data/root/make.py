"""Writes the ROOT files of this folder that begin with `made_`, and `expected.json` for all of them.

Run once, with uproot == 5.7.7 and awkward == 2.14.0; the files are committed.
    python make.py
"""

import inspect
import json
import math
import pathlib
import struct
import textwrap

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


def friends(links):
    """The bytes of a list of friends (name, tree, file), as ROOT streams a `TList` of `TFriendElement`."""
    text = lambda value: bytes([len(value)]) + value.encode()
    counted = lambda data: struct.pack(">I", 0x40000000 | len(data)) + data
    base = lambda version: struct.pack(">HII", version, 0, 0x02000000)
    new = lambda name, data: counted(struct.pack(">I", 0xFFFFFFFF) + name.encode() + b"\0" + data)
    items = b""
    for name, tree, file in links:
        named = counted(struct.pack(">H", 1) + base(1) + text(name) + text(file))
        element = counted(struct.pack(">H", 2) + named + text(tree) + b"\0")
        # Each element names its class anew, which is allowed.
        items += new("TFriendElement", element) + b"\0"
    head = struct.pack(">H", 5) + base(1) + text("") + struct.pack(">I", len(links))
    return new("TList", counted(head + items))


def make_friends():
    """uproot has no way to write friends: the pointer to their list, which it writes as null, is put in its place."""
    import uproot.writing._cascadetree as cascade

    source = textwrap.dedent(inspect.getsource(cascade.Tree._build_out))
    null = 'out.append(b"\\x00" * 28)'
    assert null in source
    source = source.replace(null, 'out.append(b"\\x00" * 16 + FRIENDS + b"\\x00" * 8)')
    # The size of the tree is counted from what was written.
    before = cascade.Tree._build_out
    with uproot.recreate(FOLDER / "made_friends.root", compression=None) as file:
        file.mktree("few", {"x": np.arange(3.0)})
        file.mktree("scores", {"score": np.linspace(0, 1, EVENTS), "n": np.arange(EVENTS)})
        cascade.FRIENDS = friends([
            ("scores", "scores", ""), ("other", "events", "made_zstd.root"), ("lost", "events", "not_there.root"),
            ("few", "few", ""), ("absent", "nothing", ""),
        ])
        exec(source, vars(cascade))
        cascade.Tree._build_out = vars(cascade).pop("_build_out")
        file.mktree("events", {"n": np.arange(EVENTS)})
        cascade.Tree._build_out = before


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
    make_friends()
    paths = sorted(FOLDER.glob("*.root"))
    text = json.dumps({path.name: expected(path) for path in paths}, separators=(",", ":"))
    (FOLDER / "expected.json").write_text(text + "\n")
