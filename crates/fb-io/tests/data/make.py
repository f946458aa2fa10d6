"""Writes the Parquet files of this folder: what other programs write, for the reader to be held against.

Run once, with pyarrow == 26.0.1; the files are committed and the expected values stand in tests/fixtures.rs.
    python make.py
"""

import pathlib
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

assert pa.__version__ == "26.0.1", pa.__version__
FOLDER = pathlib.Path(__file__).parent
NAN, INF = float("nan"), float("inf")


def write(name, table, **options):
    pq.write_table(table, FOLDER / f"{name}.parquet", **options)


# Every flat type, at the ends of its range.
flat = pa.table({
    "int8": pa.array([-128, 0, 127], pa.int8()),
    "int16": pa.array([-32768, 0, 32767], pa.int16()),
    "int32": pa.array([-(2**31), 0, 2**31 - 1], pa.int32()),
    "int64": pa.array([-(2**63), 0, 2**63 - 1], pa.int64()),
    "uint8": pa.array([0, 1, 255], pa.uint8()),
    "uint16": pa.array([0, 1, 65535], pa.uint16()),
    "uint32": pa.array([0, 1, 2**32 - 1], pa.uint32()),
    "uint64": pa.array([0, 1, 2**63 - 1], pa.uint64()),
    "bool": pa.array([True, False, True]),
    "float32": pa.array([-0.0, NAN, 1e-45], pa.float32()),
    "float64": pa.array([INF, -INF, 5e-324], pa.float64()),
    "text": pa.array(["", "µ→e", "a,b\n\"c\""]),
    "large_text": pa.array(["x", "y", "z"], pa.large_string()),
    "dictionary": pa.array(["top", "qcd", "top"]).dictionary_encode(),
})
write("flat", flat)

# Integers that do not fit into 63 bits.
write("uint64_high", pa.table({"id": pa.array([1, 2**63, 2**64 - 1], pa.uint64())}))

# Lists.
lists = pa.table({
    "float": pa.array([[1.5, 2.5], [], [3.5]], pa.list_(pa.float32())),
    "int": pa.array([[1], [2, 3], []], pa.list_(pa.int32())),
    "large": pa.array([[], [], [1.0, NAN, 2.0]], pa.large_list(pa.float64())),
    "fixed": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float64(), 2)),
    "required": pa.array([[7.0], [], []], pa.list_(pa.field("element", pa.float32(), nullable=False))),
    "text": pa.array([["a"], [], ["b", ""]], pa.list_(pa.string())),
    "null": pa.array([[1.0, None], None, [None]], pa.list_(pa.float32())),
    "other": pa.array([[9.0, 8.0], [], [7.0]], pa.list_(pa.float32())),
})
write("lists", lists)

# Missing values.
nulls = pa.table({
    "float": pa.array([1.0, None, 3.0, None], pa.float32()),
    "int": pa.array([None, 2, None, 4], pa.int64()),
    "bool": pa.array([True, None, None, False]),
    "all": pa.array([None, None, None, None], pa.float64()),
})
write("nulls", nulls)
write("null_text", pa.table({"text": pa.array(["a", None])}))

# One table, however it is laid out: 200 rows, a flat column of each kind and a jagged one.
n = 200
table = pa.table({
    "i": pa.array(range(n), pa.int64()),
    "k": pa.array([(7 * i) % 13 for i in range(n)], pa.int32()),
    "x": pa.array([i / 8 for i in range(n)], pa.float32()),
    "y": pa.array([-i / 4 for i in range(n)], pa.float64()),
    "s": pa.array([f"event {i % 5}" for i in range(n)]),
    "part": pa.array([[float(i + j) for j in range(i % 4)] for i in range(n)], pa.list_(pa.float32())),
})
plain = ["i", "k", "x", "y", "s", "part.list.element"]
for codec in ["none", "snappy", "gzip", "lz4", "zstd"]:
    write(f"codec_{codec}", table, compression=codec)
write("page_v2", table, data_page_version="2.0", data_page_size=512, compression="zstd")
write("page_v1_many", table, data_page_version="1.0", data_page_size=512, write_batch_size=32)
write("plain", table, use_dictionary=False, compression="zstd")
write("groups", table, row_group_size=37, compression="zstd")
write("checksums", table, write_page_checksum=True, compression="zstd")
delta = {"i": "DELTA_BINARY_PACKED", "k": "DELTA_BINARY_PACKED", "s": "DELTA_BYTE_ARRAY"}
split = {"x": "BYTE_STREAM_SPLIT", "y": "BYTE_STREAM_SPLIT", "part.list.element": "BYTE_STREAM_SPLIT"}
write("delta", table, use_dictionary=False, column_encoding={**delta, **split}, compression="zstd")
length = {"i": "BYTE_STREAM_SPLIT", "s": "DELTA_LENGTH_BYTE_ARRAY"}
write("delta_length", table, use_dictionary=False, column_encoding=length, data_page_version="2.0", compression="zstd")

# No events: one row group without rows, and no row group at all.
write("empty", table.slice(0, 0))
pq.ParquetWriter(FOLDER / "no_groups.parquet", table.schema).close()

# What has a type that methods do not see, or that they see as another.
others = {
    "list_of_lists": pa.array([[[1.0], [2.0]], []], pa.list_(pa.list_(pa.float32()))),
    "struct": pa.array([{"a": 1.0, "b": 2.0}] * 2),
    "list_of_structs": pa.array([[{"pt": 1.0, "eta": 2.0}], []]),
    "list_of_small_structs": pa.array([[{"pt": 1.0}], []]),
    "struct_of_list": pa.array([{"a": [1.0]}, {"a": []}]),
    "map": pa.array([[("a", 1.0)], []], pa.map_(pa.string(), pa.float32())),
    "decimal_32": pa.array([Decimal("1.25"), Decimal("-2.5")], pa.decimal128(9, 2)),
    "decimal_128": pa.array([Decimal("1.25"), Decimal("-2.5")], pa.decimal128(30, 2)),
    "half": pa.array([1.5, 2.5], pa.float16()),
    "bytes": pa.array([b"ab", b"cd"], pa.binary(2)),
}
for name, array in others.items():
    options = {"store_decimal_as_integer": True} if name == "decimal_32" else {}
    write(name, pa.table({"x": pa.array([1.0, 2.0]), name: array}), **options)
