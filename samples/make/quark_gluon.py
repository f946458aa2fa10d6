"""Turns quark and gluon jets into the columns that taggers read: part_pt, part_eta, part_phi, part_pid.

    python quark_gluon.py QG_jets.npz qg.parquet

The input is a file of the EnergyFlow set (arrays X [jet, particle, (pt, rapidity, phi, PDG id)], rows of zeros are padding,
and y, 1 for quarks; doi:10.5281/zenodo.3164691) or a Parquet file with the lists part_pt, part_y, part_phi, part_pid. Needs numpy and pyarrow. The rapidity
of a particle takes the place of its pseudorapidity, as in the set itself: particles count as massless.
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LISTS = ("pt", "eta", "phi", "pid")


def from_arrays(path):
    with np.load(path) as data:
        x, label = data["X"], data["y"]
    there = x[:, :, 0] > 0
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    columns = {"label": pa.array(label.astype(np.int8))}
    for i, name in enumerate(LISTS):
        values = x[:, :, i][there].astype(np.int32 if name == "pid" else np.float32)
        columns[f"part_{name}"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
    return pa.table(columns)


def main():
    source, target = sys.argv[1:]
    if source.endswith(".npz"):
        table = from_arrays(source)
    else:
        table = pq.read_table(source)
        table = table.rename_columns(["part_eta" if name == "part_y" else name for name in table.column_names])
    pq.write_table(table, target, compression="zstd", compression_level=19, use_byte_stream_split=False)


if __name__ == "__main__":
    main()
