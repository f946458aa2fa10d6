"""Writes uproot.root, and the values of all files of this folder as uproot reads them.

Run once, with uproot == 5.7.7 and awkward; the files are committed.
    python make.py
"""

import json
import pathlib

import awkward as ak
import numpy as np
import uproot

FOLDER = pathlib.Path(__file__).parent


def write():
    integers = {
        name: np.array([np.iinfo(name).min, 0, np.iinfo(name).max], name)
        for name in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    }
    columns = integers | {
        "float32": np.array([0.1, -1.5, np.finfo("f4").max], "f4"),
        "float64": np.array([0.1, -5e-324, 1e300], "f8"),
        "bool": np.array([True, False, True]),
        "text": ak.Array(["", "µ→e", "three"]),
        "list": ak.Array([[], [1.5], [2.5, -3.5]]),
        "nested": ak.Array([[[1, 2], []], [], [[3]]]),
        "texts": ak.Array([["a"], [], ["", "bc"]]),
        "record": ak.Array([{"x": 1, "y": [1.0]}, {"x": 2, "y": []}, {"x": 3, "y": [2.0, 3.0]}]),
        "records": ak.Array([[{"x": 1}], [], [{"x": 2}, {"x": 3}]]),
        "optional": ak.Array([1, None, 3]),
        "fixed": ak.Array(np.arange(6, dtype="i4").reshape(3, 2)),
    }
    with uproot.recreate(FOLDER / "uproot.root", compression=uproot.ZSTD(5)) as file:
        table = file.mkrntuple("ntuple", columns)
        table.extend(columns)


def struct(alternatives, at):
    """A variant as a struct of its alternatives."""
    return {f"_{i}": at[1] if i == at[0] else None for i in range(alternatives)}


def plain(value):
    """Tuples as structs."""
    if isinstance(value, tuple):
        return {f"_{i}": plain(v) for i, v in enumerate(value)}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def variant(value):
    if isinstance(value, list):
        return [variant(v) for v in value]
    return struct(2, (int(not isinstance(value, int)), value)) if value is not None else struct(2, (9, None))


def values(name):
    table = next(obj for obj in (uproot.open(FOLDER / f"{name}.root")[k] for k in ["ntuple", "rntpl"] if k in uproot.open(FOLDER / f"{name}.root")))
    fields = {}
    for field in table.keys(recursive=False):
        if field == "empty_struct":
            continue
        array = table[field].array()
        array = array[field] if array.fields == [field] else array
        is_variant = "variant" in table.fields[[f.name for f in table.fields].index(field)].typename
        fields[field] = (variant if is_variant else plain)(array.to_list())
    (FOLDER / f"{name}.json").write_text(json.dumps(fields, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    write()
    for path in sorted(FOLDER.glob("*.root")):
        values(path.stem)
