"""Writes features.root and features.json: what the format allows and few programs write, byte by byte.

Alternative representations, columns that come late, projected fields, variants, low precision, large locators, frames with
more in them than is known, fields that are not read. Run once, with xxhash and numpy; the files are committed.
    python features.py
"""

import json
import pathlib
import struct

import numpy as np
import xxhash

FOLDER = pathlib.Path(__file__).parent
MORE = b"what later versions append"


def text(s):
    return struct.pack("<I", len(s.encode())) + s.encode()


def record(content):
    return struct.pack("<q", len(content) + 8) + content


def frames(items, more=b""):
    content = b"".join(items) + more
    return struct.pack("<qI", -(len(content) + 12), len(items)) + content


def envelope(kind, content):
    content = struct.pack("<Q", (len(content) + 16) << 16 | kind) + content
    return content + struct.pack("<Q", xxhash.xxh3_64_intdigest(content))


def field(parent, role, name, type_name, repeated=None, source=None):
    flags = (repeated is not None) | (source is not None) << 1
    fixed = struct.pack("<IIIHH", 0, 0, parent, role, flags)
    size = b"" if repeated is None else struct.pack("<Q", repeated)
    size += b"" if source is None else struct.pack("<I", source)
    return record(fixed + text(name) + text(type_name) + text("") + text("") + size + MORE)


def column(kind, bits, owner, representation=0, first=None, limits=None):
    flags = (first is not None) | (limits is not None) << 1
    fixed = struct.pack("<HHIHH", kind, bits, owner, flags, representation)
    fixed += b"" if first is None else struct.pack("<q", first)
    return record(fixed + (b"" if limits is None else struct.pack("<dd", *limits)) + MORE)


def split(array):
    array = np.asarray(array)
    return array.view("u1").reshape(len(array), -1).T.tobytes()


def packed(numbers, bits):
    """Integers of so many bits, the lowest first."""
    value = sum(int(n) << i * bits for i, n in enumerate(numbers))
    return value.to_bytes((len(numbers) * bits + 7) // 8, "little")


def ends(lists):
    return np.cumsum([len(x) for x in lists])


def switch(tags):
    seen, out = {}, b""
    for tag in tags:
        out += struct.pack("<QI", seen.get(tag, 0), tag)
        seen[tag] = seen.get(tag, 0) + 1
    return out


def delta(ends, dtype):
    return split(np.diff(ends, prepend=0).astype(dtype))


# Entries 0 to 3 are in the first cluster, 4 to 6 in the second.
E = {
    "i16": [-32768, -1, 0, 32767, 5, 6, 7],
    "u32": [0, 1, 2**32 - 1, 3, 4, 5, 6],
    "i64": [-(2**63), -1, 0, 2**63 - 1, 4, 5, 6],
    "half": [1.5, -0.25, 65504.0, 2.0**-24, 0.0, -2.0, 1.0],
    "split_half": [0.5, -1.0, 3.0, 4.0, 2.0**-14, 6.0, 7.0],
    "truncated": [1.0, -2.5, 0.0, 1024.0, 3.0, -0.5, 8.0],
    "quantized": [-1.0, 1.0, 0.0, 0.5, -0.5, 1.0, -1.0],
    "double32": [0.5, 1.5, -2.5, 3.5, 4.5, 5.5, 6.5],
    "vector": [[1.0], [], [2.0, 3.0], [4.0], [], [5.0, 6.0, 7.0], [8.0]],
    "text": ["a", "", "µe", "bcd", "", "xyz", "w"],
    "variant": [1, "two", None, 3, "four", "", 5],
    "pointer": [None, 1.5, None, 2.5, 3.5, None, 4.5],
    "bits": [[(i * 37 >> k) & 1 == 1 for k in range(10)] for i in range(7)],
    "enumeration": [1, -1, 2, 3, 4, 5, 6],
    "switched": [1.0, 2.0, 3.0, 4.0, 0.5, -0.5, 2.5],
    "late": [0, 0, 0, 0, 0, 55, 66],
    "late_vector": [[], [], [], [], [], [7, 8], [9]],
    "late_array": [[0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [1, 2], [3, 4]],
}
LIMITS, STEPS = (-1.0, 1.0), 2**12 - 1
QUANTA = [round((x + 1) / 2 * STEPS) for x in E["quantized"]]

fields = [
    field(0, 0, "i16", "std::int16_t"),
    field(1, 0, "u32", "std::uint32_t"),
    field(2, 0, "i64", "std::int64_t"),
    field(3, 0, "half", "float"),
    field(4, 0, "split_half", "float"),
    field(5, 0, "truncated", "float"),
    field(6, 0, "quantized", "double"),
    field(7, 0, "double32", "double"),
    field(8, 1, "vector", "std::vector<float>"),
    field(8, 0, "_0", "float"),
    field(10, 0, "text", "std::string"),
    field(11, 3, "variant", "std::variant<std::int32_t,std::string>"),
    field(11, 0, "_0", "std::int32_t"),
    field(11, 0, "_1", "std::string"),
    field(14, 1, "pointer", "std::unique_ptr<double>"),
    field(14, 0, "_0", "double"),
    field(16, 0, "bits", "std::bitset<10>", repeated=10),
    field(17, 0, "enumeration", "Colour"),
    field(17, 0, "_0", "std::int8_t"),
    field(19, 4, "streamed", "TObject"),
    field(20, 0, "switched", "float"),
    field(21, 0, "size", "ROOT::RNTupleCardinality<std::uint64_t>", source=8),
    field(22, 1, "projected", "ROOT::VecOps::RVec<float>", source=8),
    field(22, 0, "_0", "float", source=9),
    field(24, 0, "unknown", "float"),
]
# Owner, encoding, bits, and the bytes of a range of entries.
split_by = {}


def part(name, cut):
    return E[name][cut]


columns = [
    (column(0x05, 16, 0), lambda c: np.array(part("i16", c), "<i2").tobytes()),
    (column(0x08, 32, 1), lambda c: np.array(part("u32", c), "<u4").tobytes()),
    (column(0x09, 64, 2), lambda c: np.array(part("i64", c), "<i8").tobytes()),
    (column(0x0B, 16, 3), lambda c: np.array(part("half", c), "<f2").tobytes()),
    (column(0x17, 16, 4), lambda c: split(np.array(part("split_half", c), "<f2"))),
    (column(0x1C, 20, 5), lambda c: packed(np.array(part("truncated", c), "<f4").view("u4") >> 12, 20)),
    (column(0x1D, 12, 6, limits=LIMITS), lambda c: packed(QUANTA[c], 12)),
    (column(0x18, 32, 7), lambda c: split(np.array(part("double32", c), "<f4"))),
    (column(0x0E, 32, 8), lambda c: ends(part("vector", c)).astype("<u4").tobytes()),
    (column(0x0C, 32, 9), lambda c: np.array(sum(part("vector", c), []), "<f4").tobytes()),
    (column(0x1A, 32, 10), lambda c: delta(ends([s.encode() for s in part("text", c)]), "<u4")),
    (column(0x02, 8, 10), lambda c: "".join(part("text", c)).encode()),
    (column(0x10, 96, 11), lambda c: switch([{int: 1, str: 2}.get(type(x), 0) for x in part("variant", c)])),
    (column(0x07, 32, 12), lambda c: np.array([x for x in part("variant", c) if isinstance(x, int)], "<i4").tobytes()),
    (column(0x0F, 64, 13), lambda c: ends([x for x in part("variant", c) if isinstance(x, str)]).astype("<u8").tobytes()),
    (column(0x02, 8, 13), lambda c: "".join(x for x in part("variant", c) if isinstance(x, str)).encode()),
    (column(0x1B, 64, 14), lambda c: delta(np.cumsum([x is not None for x in part("pointer", c)]), "<u8")),
    (column(0x0D, 64, 15), lambda c: np.array([x for x in part("pointer", c) if x is not None], "<f8").tobytes()),
    (column(0x00, 1, 16), lambda c: packed(sum(part("bits", c), []), 1)),
    (column(0x03, 8, 18), lambda c: np.array(part("enumeration", c), "<i1").tobytes()),
    (column(0x0F, 64, 19), lambda c: np.arange(1, len(part("i16", c)) + 1).astype("<u8").tobytes()),
    (column(0x01, 8, 19), lambda c: bytes(len(part("i16", c)))),
    (column(0x0C, 32, 20, 0), lambda c: np.array(part("switched", c), "<f4").tobytes() if c.start == 0 else None),
    (column(0x17, 16, 20, 1), lambda c: split(np.array(part("switched", c), "<f2")) if c.start else None),
    (column(0x99, 32, 24), lambda c: bytes(4 * len(part("i16", c)))),
]
late_fields = [
    field(25, 0, "late", "std::int32_t"),
    field(26, 1, "late_vector", "std::vector<std::int16_t>"),
    field(26, 0, "_0", "std::int16_t"),
    field(28, 0, "late_array", "std::array<std::int8_t,2>", repeated=2),
    field(28, 0, "_0", "std::int8_t"),
]
late_columns = [
    (column(0x13, 32, 25, first=5), lambda c: split(np.array([2 * x for x in E["late"][5:]], "<u4"))),
    (column(0x1B, 64, 26, first=5), lambda c: delta(ends(E["late_vector"][5:]), "<u8")),
    (column(0x05, 16, 27), lambda c: np.array(sum(E["late_vector"], []), "<i2").tobytes()),
    (column(0x03, 8, 29, first=10), lambda c: np.array(sum(E["late_array"][5:], []), "<i1").tobytes()),
]
aliases = [struct.pack("<II", 8, 21), struct.pack("<II", 8, 22), struct.pack("<II", 9, 23)]

body = bytearray()


def key(class_name, name, length, at):
    texts = b"".join(bytes([len(s)]) + s.encode() for s in (class_name, name, ""))
    header = 26 + len(texts)
    return struct.pack(">iHiIHHII", header + length, 4, length, 0, header, 1, at, 100) + texts


def place(content):
    """Appends bytes and gives their place."""
    body.extend(key("RBlob", "", len(content), len(body)))
    body.extend(content)
    return len(body) - len(content)


def page_list(checksum, first, count, cluster_columns, cut):
    items = []
    for i, (description, make) in enumerate(cluster_columns):
        content = make(cut)
        if content is None:
            items.append(frames([], struct.pack("<q", -(2**63))))
            continue
        kind, bits = struct.unpack("<HH", description[8:12])
        n = {0x1C: count, 0x1D: count}.get(kind, len(content) * 8 // bits)
        n = count * 10 if kind == 0 else n
        # Every second page has a checksum, every third has its place in a large locator.
        check = struct.pack("<Q", xxhash.xxh3_64_intdigest(content)) if i % 2 else b""
        at = place(content + check)
        locator = struct.pack("<iQQ", -(0x01000000 | 20), len(content), at) if i % 3 == 0 else struct.pack("<iQ", len(content), at)
        pages = [struct.pack("<i", -n if check else n) + locator] if n else []
        items.append(frames(pages, struct.pack("<qI", first, 0)))
    summary = record(struct.pack("<QQ", first, count) + MORE)
    envelope_bytes = envelope(3, struct.pack("<Q", checksum) + frames([summary]) + frames([frames(items)]))
    at = place(envelope_bytes)
    link = struct.pack("<QiQ", len(envelope_bytes), len(envelope_bytes), at)
    return record(struct.pack("<QQI", first, count, 1) + link + MORE)


def main():
    name = "features"
    names = bytes([len(name)]) + name.encode() + b"\0"
    directory_size = len(names) + 60
    body.extend(bytes(100) + key("TFile", name, directory_size, 100)[:-0 or None])
    names_at = len(body)
    body.extend(names)
    directory_at = len(body)
    body.extend(bytes(60))
    nothing = frames([])
    schema = frames(fields, MORE) + frames([d for d, _ in columns]) + frames([record(a) for a in aliases]) + nothing
    header = envelope(1, struct.pack("<Q", 0) + text(name) + text("") + text("features.py") + schema + MORE)
    checksum = struct.unpack("<Q", header[-8:])[0]
    header_at = place(header)
    groups = [
        page_list(checksum, 0, 4, columns, slice(0, 4)),
        page_list(checksum, 4, 3, columns + late_columns, slice(4, 7)),
    ]
    extension = frames(late_fields) + frames([d for d, _ in late_columns]) + nothing + nothing
    footer = envelope(2, struct.pack("<QQ", 0, checksum) + record(extension) + frames(groups) + MORE)
    footer_at = place(footer)
    anchor = struct.pack(">4H7Q", 1, 0, 0, 0, header_at, len(header), len(header), footer_at, len(footer), len(footer), 1 << 30)
    anchor = struct.pack(">IH", 0x40000042, 2) + anchor + struct.pack(">Q", xxhash.xxh3_64_intdigest(anchor))
    anchor_key = key("ROOT::RNTuple", name, len(anchor), len(body))
    body.extend(anchor_key + anchor)
    keys_at = len(body)
    list_key = key("TFile", name, 4 + len(anchor_key), keys_at)
    body.extend(list_key + struct.pack(">i", 1) + anchor_key)
    infos_at = len(body)
    infos = struct.pack(">IHHIIBi", 0x40000011, 5, 1, 0, 0x02000000, 0, 0)
    infos_key = key("TList", "StreamerInfo", len(infos), infos_at)
    body.extend(infos_key + infos)
    end = len(body)
    head = b"root" + struct.pack(">IIIIIIIBIII", 63600, 100, end, 0, 0, 0, directory_at - 100, 4, 0, infos_at, end - infos_at)
    body[: len(head)] = head
    directory = struct.pack(">HIIiiIII", 5, 0, 0, infos_at - keys_at, directory_at - 100, 100, 0, keys_at)
    body[directory_at : directory_at + len(directory)] = directory
    assert names_at + len(names) == directory_at
    (FOLDER / "features.root").write_bytes(body)
    values = dict(E)
    values["variant"] = [
        {"_0": x if isinstance(x, int) else None, "_1": x if isinstance(x, str) else None} for x in E["variant"]
    ]
    values["size"] = [len(x) for x in E["vector"]]
    values["projected"] = E["vector"]
    values["quantized"] = [q * (2.0 / STEPS) - 1.0 for q in QUANTA]
    (FOLDER / "features.json").write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n")


main()
