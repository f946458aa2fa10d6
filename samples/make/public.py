"""Makes the samples of boosted trees from their sources: Parquet with zstd, `label` 0/1 and `weight`.

    python public.py --higgsml higgsml.csv --magic magic04.csv --htt htt.parquet --b-flavour y4s.parquet [--out samples]

Any of them may be left out. Rows keep the order of the source.
    --higgsml    CSV of the ATLAS Higgs challenge with Weight and Label (s/b): the inputs as they are, -999 is missing.
                 `weight` is the challenge's KaggleWeight where there is one, label 1 is the signal.
    --magic      CSV with the ten image parameters and `class` (g/h): label 1 is a gamma, weight 1.
    --htt        Parquet with the same inputs as --higgsml, `process`, `label`, `weight`; as it is.
    --b-flavour  Parquet of tag-side B mesons with lists of tracks and photons: cut to --b-events, with label 1 for a
                 B0 (`tag_flavour` +1) and weight 1 added.
"""

import argparse
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq


def write(table, path, **about):
    path.parent.mkdir(parents=True, exist_ok=True)
    if about:
        table = table.replace_schema_metadata({"dataset": json.dumps(about)})
    pq.write_table(table, path, compression="zstd", compression_level=19, use_dictionary=False)
    print(f"{path.name}: {len(table)} rows, {path.stat().st_size} bytes")


def columns(table, names):
    """Integers as they are (small), reals as float32."""
    out = {}
    for name in names:
        values = table[name].to_numpy()
        whole = np.issubdtype(values.dtype, np.integer)
        out[name] = values.astype(np.int8 if whole and abs(values).max() < 128 else np.int32 if whole else np.float32)
    return out


def higgsml(path, out):
    table = pyarrow.csv.read_csv(path)
    inputs = [n for n in table.column_names if n.startswith(("DER_", "PRI_"))]
    label = np.asarray(table["Label"].to_pylist()) == "s"
    weight = table["KaggleWeight" if "KaggleWeight" in table.column_names else "Weight"].to_numpy()
    made = columns(table, inputs)
    made |= {"weight": weight.astype(np.float32), "label": label.astype(np.int8)}
    write(pa.table(made), out / "higgsml/higgsml.parquet", set="higgsml", source="ATLAS Higgs challenge 2014, a subset",
          doi="10.7483/OPENDATA.ATLAS.ZBP2.M5T8", units="GeV", missing=-999,
          weight="KaggleWeight; a subset: scale each class to the sums of the full set (signal 691.99, background 410999.85)")


def magic(path, out):
    table = pyarrow.csv.read_csv(path)
    inputs = [n for n in table.column_names if n != "class"]
    label = np.asarray(table["class"].to_pylist()) == "g"
    made = columns(table, inputs) | {"weight": np.ones(len(table), np.float32), "label": label.astype(np.int8)}
    write(pa.table(made), out / "magic_gamma/magic.parquet", set="magic_gamma", units="mm, degrees",
          source="MAGIC gamma telescope, R. K. Bock et al., NIM A 516 (2004) 511", label="1 gamma, 0 hadron")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--higgsml", type=pathlib.Path)
    parser.add_argument("--magic", type=pathlib.Path)
    parser.add_argument("--htt", type=pathlib.Path)
    parser.add_argument("--b-flavour", type=pathlib.Path)
    parser.add_argument("--b-events", type=int, default=8000)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    if arguments.higgsml:
        higgsml(arguments.higgsml, arguments.out)
    if arguments.magic:
        magic(arguments.magic, arguments.out)
    if arguments.htt:
        write(pq.read_table(arguments.htt), arguments.out / "higgs_tautau/htt.parquet")
    if arguments.b_flavour:
        table = pq.read_table(arguments.b_flavour).slice(0, arguments.b_events)
        label = (table["tag_flavour"].to_numpy() > 0).astype(np.int8)
        table = table.append_column("label", pa.array(label))
        write(table.append_column("weight", pa.array(np.ones(len(table), np.float32))), arguments.out / "b_flavour/y4s.parquet")


if __name__ == "__main__":
    main()
