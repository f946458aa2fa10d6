//! `RNTuple`s: those of other programs read to the values that uproot reads (see data/rntuple/make.py), and ours read back.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int16Array, Int32Array, ListArray,
    MapArray, RecordBatch, StringArray, StructArray, UInt8Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema};
use fb_io::root::{Codec, Kind, sink};
use fb_io::table::{Table, UNIT};
use serde_json::{Map, Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rntuple").join(name)
}

fn open(path: &Path) -> Box<dyn Table> {
    fb_io::tables(path).unwrap().pop().unwrap()
}

/// An entry as JSON. Variants and records are objects of their members.
fn shown(array: &dyn Array, i: usize) -> Value {
    if array.is_null(i) {
        return Value::Null;
    }
    let list = |inner: ArrayRef| Value::Array((0..inner.len()).map(|i| shown(&inner, i)).collect());
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(i)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(i)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(i)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(i)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(i)),
        DataType::UInt8 => json!(array.as_primitive::<UInt8Type>().value(i)),
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(i)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(i)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(i)),
        DataType::Float32 => json!(f64::from(array.as_primitive::<Float32Type>().value(i))),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(i)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(i)),
        DataType::List(_) => list(array.as_list::<i32>().value(i)),
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(i)),
        DataType::Map(..) => list(Arc::new(array.as_map().value(i))),
        DataType::Struct(fields) => {
            let members = fields.iter().zip(array.as_struct().columns());
            Value::Object(members.map(|(field, inner)| (field.name().clone(), shown(inner, i))).collect())
        }
        other => panic!("{other}"),
    }
}

fn readable(table: &dyn Table) -> Vec<usize> {
    (0..table.branches().len()).filter(|&i| table.branches()[i].content.is_ok()).collect()
}

/// All entries of all branches that are read.
fn values(table: &dyn Table) -> Value {
    let mut all = Map::new();
    for branch in readable(table) {
        let array = table.read(&[branch], 0..table.entries()).unwrap().remove(0);
        assert_eq!(Ok(array.data_type()), table.branches()[branch].content.as_ref());
        all.insert(table.branches()[branch].name.clone(), (0..array.len()).map(|i| shown(&array, i)).collect());
    }
    Value::Object(all)
}

#[test]
fn files_of_other_programs() {
    let names = [
        "bit",
        "class_inheritance",
        "emptystruct_invalidvar",
        "int_vfloat_tlv_vtlv",
        "nested_structs",
        "stl_containers",
        "uproot",
        "features",
    ];
    for name in names {
        let expected = std::fs::read_to_string(fixture(&format!("{name}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let table = open(&fixture(&format!("{name}.root")));
        assert_eq!(table.kind(), "RNTuple");
        let found = values(table.as_ref());
        for (field, expected) in expected.as_object().unwrap() {
            assert_eq!(&found[field], expected, "{name}, field {field}");
        }
        assert_eq!(found.as_object().unwrap().len(), expected.as_object().unwrap().len(), "{name}");
    }
    let refused = |name: &str, field: &str| {
        let table = open(&fixture(name));
        table.branches().iter().find(|b| b.name == field).unwrap().content.clone().unwrap_err()
    };
    assert_eq!(refused("emptystruct_invalidvar.root", "empty_struct"), "it holds no values");
    assert_eq!(refused("features.root", "streamed"), "`TObject` is written by a streamer, which is not read");
    assert_eq!(refused("features.root", "unknown"), "columns of type 0x99 are not known");
}

#[test]
fn any_range_is_that_of_the_whole() {
    for name in ["stl_containers", "uproot", "class_inheritance", "int_vfloat_tlv_vtlv", "features"] {
        any_range(open(&fixture(&format!("{name}.root"))).as_ref(), 1);
    }
}

fn any_range(table: &dyn Table, step: usize) {
    let branches = readable(table);
    let n = table.entries();
    let whole = table.read(&branches, 0..n).unwrap();
    for from in (0..=n).step_by(step) {
        for to in (from..=n).step_by(step) {
            for (array, whole) in table.read(&branches, from..to).unwrap().iter().zip(&whole) {
                assert_eq!(array.len() as u64, to - from);
                for i in 0..array.len() {
                    assert_eq!(shown(array, i), shown(whole, from as usize + i), "{from}..{to}");
                }
            }
        }
    }
    assert!(table.read(&branches, 0..n + 1).is_err());
}

#[test]
fn threads_share_a_table() {
    let table = open(&fixture("features.root"));
    let expected = values(table.as_ref());
    std::thread::scope(|scope| {
        let readers = [0; 4].map(|_| scope.spawn(|| values(table.as_ref())));
        for reader in readers {
            assert_eq!(reader.join().unwrap(), expected);
        }
    });
}

fn numbers<T>(n: usize, of: impl Fn(usize) -> T) -> Vec<T> {
    (0..n).map(of).collect()
}

fn list_of(field: Field, sizes: Vec<usize>, content: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(ListArray::new(Arc::new(field), OffsetBuffer::from_lengths(sizes), content, nulls))
}

/// Every kind of column, with entries that are missing if `with_nulls`.
fn batch(n: usize, with_nulls: bool) -> RecordBatch {
    let nulls = || with_nulls.then(|| NullBuffer::from(numbers(n, |i| i % 3 != 1)));
    let item = |data_type| Field::new("item", data_type, true);
    let sizes = numbers(n, |i| i % 4);
    let inner: usize = sizes.iter().sum();
    let floats: ArrayRef = Arc::new(Float32Array::from(numbers(inner, |i| i as f32 * 0.3 - 2.0)));
    let lists = list_of(item(DataType::Float32), sizes.clone(), floats, nulls());
    let short: ArrayRef = Arc::new(Int16Array::new(
        numbers(inner, |i| i as i16 - 5).into(),
        with_nulls.then(|| NullBuffer::from(numbers(inner, |i| i % 5 != 2))),
    ));
    let members = vec![
        (Arc::new(Field::new("id", DataType::Int16, true)), short),
        (
            Arc::new(Field::new("name", DataType::Utf8, true)),
            Arc::new(StringArray::from(numbers(inner, |i| "µ".repeat(i % 3)))) as ArrayRef,
        ),
    ];
    let records: ArrayRef = Arc::new(StructArray::from(members));
    let pairs = StructArray::from(vec![
        (
            Arc::new(Field::new("key", DataType::Utf8, false)),
            Arc::new(StringArray::from(numbers(inner, |i| format!("k{i}")))) as ArrayRef,
        ),
        (
            Arc::new(Field::new("value", DataType::Int32, true)),
            Arc::new(Int32Array::from(numbers(inner, |i| -(i as i32)))) as ArrayRef,
        ),
    ]);
    let entries = Arc::new(Field::new("entries", pairs.data_type().clone(), false));
    let map = MapArray::new(entries, OffsetBuffer::from_lengths(sizes.clone()), pairs, nulls(), false);
    let fixed: ArrayRef = Arc::new(UInt8Array::from(numbers(2 * n, |i| i as u8)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("bool", Arc::new(BooleanArray::new(numbers(n, |i| i % 3 == 0).into(), nulls()))),
        ("int8", Arc::new(arrow_array::Int8Array::new(numbers(n, |i| i as i8).into(), nulls()))),
        ("int16", Arc::new(Int16Array::new(numbers(n, |i| -(i as i16)).into(), nulls()))),
        ("int32", Arc::new(Int32Array::new(numbers(n, |i| i32::MIN + i as i32).into(), nulls()))),
        ("int64", Arc::new(arrow_array::Int64Array::new(numbers(n, |i| i64::MAX - i as i64).into(), nulls()))),
        ("uint8", Arc::new(UInt8Array::new(numbers(n, |i| i as u8).into(), nulls()))),
        ("uint16", Arc::new(arrow_array::UInt16Array::new(numbers(n, |i| !(i as u16)).into(), nulls()))),
        ("uint32", Arc::new(arrow_array::UInt32Array::new(numbers(n, |i| !(i as u32)).into(), nulls()))),
        ("uint64", Arc::new(arrow_array::UInt64Array::new(numbers(n, |i| !(i as u64)).into(), nulls()))),
        ("float32", Arc::new(Float32Array::new(numbers(n, |i| i as f32 / 7.0).into(), nulls()))),
        ("float64", Arc::new(Float64Array::new(numbers(n, |i| i as f64 / -7.0).into(), nulls()))),
        (
            "text",
            Arc::new((0..n).map(|i| (!with_nulls || i % 3 != 1).then(|| "xµ".repeat(i % 5))).collect::<StringArray>()),
        ),
        ("lists", Arc::clone(&lists)),
        ("nested", list_of(item(lists.data_type().clone()), numbers(n, |_| 1), lists, None)),
        ("records", list_of(item(records.data_type().clone()), sizes, records, None)),
        ("fixed", Arc::new(FixedSizeListArray::new(Arc::new(item(DataType::UInt8)), 2, fixed, nulls()))),
        ("map", Arc::new(map)),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

/// Writes batches and opens the file.
fn written(folder: &Path, batches: &[RecordBatch], codec: Codec) -> Box<dyn Table> {
    let path = folder.join("events.root");
    drop(std::fs::remove_file(&path));
    let mut file = sink(&path, "Events", &batches[0].schema(), Kind::RNTuple, codec).unwrap();
    for batch in batches {
        file.write(batch).unwrap();
    }
    assert!(!path.exists(), "it appears when it is whole");
    file.finish().unwrap();
    let table = open(&path);
    assert_eq!((table.name(), table.entries()), ("Events", batches.iter().map(|b| b.num_rows() as u64).sum()));
    table
}

/// The table holds the batches, with the same types.
fn same(table: &dyn Table, batches: &[RecordBatch]) {
    for (branch, field) in batches[0].schema().fields().iter().enumerate() {
        assert_eq!(table.branches()[branch].content.as_ref(), Ok(field.data_type()), "{}", field.name());
        let mut start = 0;
        for batch in batches {
            let end = start + batch.num_rows() as u64;
            let array = table.read(&[branch], start..end).unwrap().remove(0);
            let expected = batch.column(branch);
            for i in 0..batch.num_rows() {
                assert_eq!(shown(&array, i), shown(expected, i), "{}, entry {i}", field.name());
            }
            start = end;
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for codec in [Codec::Stored, Codec::Zlib, Codec::Lz4, Codec::Lzma, Codec::Zstd] {
        for batches in
            [vec![batch(50, false)], vec![batch(50, true)], vec![batch(20, false), batch(0, true), batch(30, true)]]
        {
            let table = written(folder.path(), &batches, codec);
            same(table.as_ref(), &batches);
            any_range(table.as_ref(), 7);
        }
    }
}

#[test]
fn an_empty_table() {
    let folder = tempfile::tempdir().unwrap();
    let table = written(folder.path(), &[batch(0, false)], Codec::Zstd);
    assert!(table.clusters().is_empty());
    assert_eq!(table.read(&[0], 0..0).unwrap()[0].len(), 0);
}

/// Entries that are first missing in a later cluster: the columns that tell so are written for those before as well.
#[test]
fn several_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let n = 400_000;
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let make = |late: bool| {
        let content: ArrayRef =
            Arc::new(Int32Array::from(numbers(3 * n, |i| (i as i32).wrapping_mul(0x9e37_79b1_u32 as i32))));
        let nulls = |late: bool| late.then(|| NullBuffer::from(numbers(n, |i| i % 10 != 0)));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("x", Arc::new(Float64Array::new(numbers(n, |i| i as f64).into(), nulls(late)))),
            (
                "l",
                Arc::new(ListArray::new(
                    Arc::clone(&item),
                    OffsetBuffer::from_repeated_length(3, n),
                    content,
                    nulls(late),
                )),
            ),
            ("b", Arc::new(BooleanArray::new(numbers(n, |i| i % 7 == 0).into(), nulls(late)))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    };
    let batches = [make(false), make(false), make(false), make(true), make(false)];
    let table = written(folder.path(), &batches, Codec::Lz4);
    let clusters = table.clusters();
    assert!(clusters.len() > 2, "{clusters:?}");
    let mut start = 0;
    for batch in &batches {
        let end = start + n as u64;
        let arrays = table.read(&[0, 1, 2], start..end).unwrap();
        for (array, expected) in arrays.iter().zip(batch.columns()) {
            assert_eq!(array.null_count(), expected.null_count());
            for i in (0..n).step_by(997).chain([n - 1]) {
                assert_eq!(shown(array, i), shown(expected, i), "entry {i}");
            }
        }
        assert_eq!(arrays[0].as_ref(), batch.column(0).as_ref());
        start = end;
    }
}

#[test]
fn missing_records_are_missing_members_and_missing_lists_of_records_empty() {
    let folder = tempfile::tempdir().unwrap();
    let x: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let member = vec![Field::new("x", DataType::Int32, true)];
    let records = StructArray::new(member.into(), vec![x], Some(vec![true, false, true].into()));
    let item = Field::new("item", records.data_type().clone(), true);
    let lists = list_of(item, vec![2, 1, 0], Arc::new(records.clone()), Some(vec![true, false, true].into()));
    let batch = RecordBatch::try_from_iter([("r", Arc::new(records) as ArrayRef), ("l", lists)]).unwrap();
    let table = written(folder.path(), &[batch], Codec::Zstd);
    let expected = json!({
        "r": [{"x": 1}, {"x": null}, {"x": 3}],
        "l": [[{"x": 1}, {"x": null}], [], []],
    });
    assert_eq!(values(table.as_ref()), expected);
}

#[test]
fn names_and_units() {
    let folder = tempfile::tempdir().unwrap();
    let unit = std::collections::HashMap::from([(UNIT.to_owned(), "GeV".to_owned())]);
    let fields = vec![
        Field::new("Jet.pt", DataType::Int32, false).with_metadata(unit),
        Field::new("Jet_pt", DataType::Int32, false),
        Field::new("", DataType::Int32, false),
    ];
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![column; 3]).unwrap();
    let table = written(folder.path(), &[batch], Codec::Zstd);
    let names: Vec<(&str, &str)> = table.branches().iter().map(|b| (&b.name[..], b.unit.symbol())).collect();
    assert_eq!(names, [("Jet_pt", "GeV"), ("Jet_pt_", ""), ("_", "")]);
}

#[test]
fn what_has_no_place_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("d", DataType::Decimal128(10, 2), false)]));
    let error =
        sink(&folder.path().join("x.root"), "Events", &schema, Kind::RNTuple, Codec::Zstd).err().unwrap().to_string();
    assert!(error.contains("`d`") && error.contains("Decimal128"), "{error}");
}
