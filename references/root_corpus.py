"""Compares `fb` with uproot on ROOT files, branch by branch: number of entries, of elements, and all values.

    .venv/bin/python references/root_corpus.py --fb target/release/fb FOLDER... > table.md

Prints a table in Markdown, and what differs or is not read on standard error. A branch counts where uproot reads it.
*Numeric* are branches of numbers and texts, single, in arrays or in (nested) vectors; *objects* are all others.
"""

import argparse
import collections
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import warnings

import awkward as ak
import pyarrow.parquet as pq
import uproot

TREES = ("TTree", "TNtuple", "TNtupleD")
TUPLE = "ROOT::RNTuple"


def same(a, b):
    """Equal, where NaN is NaN; what is no UTF-8 is marked by us and escaped by uproot."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return a == b or (isinstance(a, str) and isinstance(b, str) and "\ufffd" in b)


def is_numeric(interpretation):
    name, text = type(interpretation).__name__, repr(interpretation)
    if name in ("AsDtype", "AsDouble32", "AsFloat16", "AsStrings"):
        return True
    plain = not any(word in text for word in ("Model", "Unknown", "Strided", "AsPointer"))
    return name in ("AsJagged", "AsObjects") and plain


def columns(tree, kind):
    """(name, path, category, array or None) of all that uproot reads."""
    if kind == TUPLE:
        for name in tree.keys(recursive=False):
            yield name, name, "RNTuple fields", lambda name=name: tree[name].array()
        return
    for path in tree.keys():
        branch = tree[path]
        interpretation = branch.interpretation
        if type(interpretation).__name__ in ("AsGrouped", "UnknownInterpretation"):
            continue
        category = "numeric branches" if is_numeric(interpretation) else "object branches"
        yield branch.name, path, category, branch.array


def compare(fb, path, counts):
    shown = subprocess.run([fb, "inspect", "--json", path], capture_output=True, text=True)
    trees = {tree["name"]: tree for tree in json.loads(shown.stdout)["trees"]} if shown.returncode == 0 else {}
    with uproot.open(path) as file, tempfile.TemporaryDirectory() as folder:
        for name, kind in file.classnames(cycle=False).items():
            if kind not in (*TREES, TUPLE):
                continue
            what = "RNTuples" if kind == TUPLE else "TTrees"
            counts[what, "all"] += 1
            try:
                tree = file[name]
            except Exception:
                counts[what, "uproot fails"] += 1
                continue
            if name not in trees or trees[name]["reason"]:
                print(path.name, name, "not opened", trees.get(name, {}).get("reason"), file=sys.stderr)
                continue
            counts[what, "exact"] += 1
            out = pathlib.Path(folder) / "table.parquet"
            out.unlink(missing_ok=True)
            subprocess.run([fb, "convert", f"{path}:{name}", out], capture_output=True)
            table = pq.ParquetFile(out) if out.exists() else None
            there = set(table.schema_arrow.names) if table else set()
            reasons = {branch["name"]: branch["reason"] for branch in trees[name]["branches"]}
            for branch, long, category, read in columns(tree, kind):
                counts[category, "all"] += 1
                try:
                    expected = ak.to_list(read())
                except Exception:
                    counts[category, "uproot fails"] += 1
                    continue
                column = next((c for c in (branch, long) if c in there), None)
                if column is None:
                    counts[category, "not read"] += 1
                    print(path.name, name, long, "not read:", reasons.get(branch, reasons.get(long)), file=sys.stderr)
                elif same(expected, table.read([column]).column(0).to_pylist()):
                    counts[category, "exact"] += 1
                else:
                    counts[category, "different"] += 1
                    print(path.name, name, long, "different", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fb", default="target/release/fb")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    counts = collections.Counter()
    for path in sorted(path for folder in arguments.folders for path in folder.glob("*.root")):
        compare(arguments.fb, path, counts)
    print("| | all | uproot fails | exact | not read | different | exact of what uproot reads |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for what in ("TTrees", "RNTuples", "numeric branches", "object branches", "RNTuple fields"):
        cells = [counts[what, column] for column in ("all", "uproot fails", "exact", "not read", "different")]
        readable = cells[0] - cells[1]
        print(f"| {what} | {' | '.join(f'{n:,}' for n in cells)} | {100 * cells[2] / max(readable, 1):.2f}% |")


if __name__ == "__main__":
    main()
