//! HDF5 and NumPy: files of other programs (see data/make_arrays.py), and what is written is read back.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Float32Type;
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Int8Array, Int64Array, LargeListArray, ListArray,
    RecordBatch, StringArray, UInt64Array,
};
use fb_core::{Data, Events, Unit};
use fb_io::table::{self, Table};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read(spec: &str) -> Events {
    fb_io::read(fixture(spec)).unwrap()
}

fn shown(events: &Events, name: &str) -> String {
    format!("{:?}", events.column(name).unwrap().data)
}

fn names(table: &dyn Table) -> Vec<&str> {
    table.branches().iter().map(|branch| branch.name.as_str()).collect()
}

/// The columns of `make_arrays.py`.
fn check_types(events: &Events, place: &str) {
    let n = 50;
    assert_eq!(events.len(), n, "{place}");
    let integers = |sign: i64| format!("{:?}", Data::I64((0..n as i64).map(|i| sign * i).collect()));
    for name in ["i1", "i4", "i8", "u1", "u2", "u4", "u8", "be_i4"] {
        assert_eq!(shown(events, name), integers(1), "{place} {name}");
    }
    assert_eq!(shown(events, "i2"), integers(-1), "{place}");
    let narrow = |by: f32| format!("{:?}", Data::F32((0..n).map(|i| i as f32 / by).collect()));
    let wide = format!("{:?}", Data::F64((0..n).map(|i| i as f64 / 16.0).collect()));
    assert_eq!((shown(events, "f2"), shown(events, "f4")), (narrow(4.0), narrow(8.0)), "{place}");
    assert_eq!((shown(events, "f8"), shown(events, "be_f8")), (wide.clone(), wide), "{place}");
    assert_eq!(
        shown(events, "bool"),
        format!("{:?}", Data::I64((0..n as i64).map(|i| i64::from(i % 3 == 0)).collect()))
    );
    let pair = format!("{:?}", Data::F32((0..n).flat_map(|i| [i as f32, -(i as f32) + 0.0]).collect()));
    assert_eq!(shown(events, "pair").replace("-0.0", "0.0"), pair.replace("-0.0", "0.0"), "{place}");
    assert_eq!(events.column("pair").unwrap().offsets.as_ref().unwrap()[n], 2 * n, "{place}");
}

#[test]
fn hdf5_of_every_way_of_storing_keeps_its_values() {
    for (file, ways) in [
        ("types_earliest.h5", &["contiguous", "gzip"][..]),
        ("types_v114.h5", &["contiguous", "chunked", "gzip", "lzf", "checked"]),
        ("types_latest.h5", &["contiguous"]),
    ] {
        for way in ways {
            let events = read(&format!("{file}:{way}"));
            check_types(&events, &format!("{file} {way}"));
            assert_eq!(events.column("f8").unwrap().unit, Unit::Gev);
        }
        let texts = read(&format!("{file}:texts"));
        let expected: Vec<String> = (0..50).map(|i| format!("event {i} µ")).collect();
        assert_eq!(shown(&texts, "any"), format!("{:?}", Data::Text(expected)));
        assert!(shown(&texts, "fixed").starts_with("Text([\"e0\", \"e1\","), "{file}");
    }
}

#[test]
fn hdf5_says_what_it_does_not_read() {
    let named = |spec: &str, column: &str| {
        let read = fb_io::for_each_block(fixture(spec), &[column], &mut |_| Ok::<(), fb_io::Error>(()));
        read.unwrap_err().to_string()
    };
    let message = named("types_v114.h5:texts", "vlen");
    assert!(message.contains("column `vlen`: sequences of variable length are not read"), "{message}");
    let message = named("types_latest.h5:gzip", "f8");
    assert!(message.contains("column `f8`: its layout is not read"), "{message}");
    let message = fb_io::open(fixture("types_v114.h5")).err().unwrap().to_string();
    assert!(message.contains("name one of its tables behind a colon (it has checked, chunked,"), "{message}");
    let message = fb_io::open(fixture("types_v114.h5:gzp")).err().unwrap().to_string();
    assert!(message.contains("no table `gzp`") && message.contains("did you mean `gzip`?"), "{message}");
}

#[test]
fn records_are_tables_and_the_second_dimension_lists() {
    let all = fb_io::open(fixture("ftag.h5")).unwrap();
    assert_eq!(names(&*all)[..2], ["jets_pt", "jets_eta"], "the members of all records of this length are one table");
    let jets = read("ftag.h5:jets");
    assert_eq!(shown(&jets, "pt"), "F32([20.0, 30.0, 40.0, 50.0, 60.0, 70.0])");
    assert_eq!(shown(&jets, "eta"), "F32([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])");
    let tracks = read("ftag.h5:tracks");
    assert_eq!(tracks.columns().len(), 2, "`valid` says which tracks there are, and is no column");
    let d0 = tracks.column("d0").unwrap();
    assert_eq!(d0.offsets.as_deref().unwrap(), &[0, 0, 1, 3, 6, 10, 10]);
    assert_eq!(format!("{:?}", d0.data), "F32([1.0, 2.0, 2.125, 3.0, 3.125, 3.25, 4.0, 4.125, 4.25, 4.375])");
    let towers = read("ftag.h5:towers");
    assert_eq!(towers.column("d0").unwrap().offsets.as_deref().unwrap(), &[0, 4, 8, 12, 16, 20, 24]);
    assert_eq!(shown(&read("ftag.h5:cutflow"), "cutflow"), "F64([100.0, 50.0, 6.0])");
}

#[test]
fn frames_of_pandas_are_tables_of_their_columns() {
    let frame = read("frame.h5:df");
    let names: Vec<&str> = frame.columns().iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["px", "py", "n", "ok"]);
    assert_eq!(shown(&frame, "py"), format!("{:?}", Data::F64((0..50).map(|i| f64::from(-i) / 2.0).collect())));
    assert_eq!(shown(&frame, "n"), format!("{:?}", Data::I64((0..50).collect())));
    let olympics = read("lhco.h5");
    assert_eq!(
        (shown(&olympics, "0"), shown(&olympics, "2")),
        ("F64([0.0, 3.0, 6.0, 9.0])".to_owned(), "F64([2.0, 5.0, 8.0, 11.0])".to_owned())
    );
    assert_eq!(read("frame.h5:as_table/table").len(), 50);
}

#[test]
fn numpy_keeps_its_values() {
    let events = read("types.npz");
    check_types(&events, "npz");
    assert_eq!(shown(&events, "fortran"), shown(&events, "pair"));
    assert!(shown(&events, "text").starts_with("Text([\"event 0 µ\", \"event 1 µ\""));
    assert!(shown(&events, "bytes").ends_with("\"e48\", \"e49\"])"));
    for version in ["version_2.npy", "version_3.npy"] {
        assert_eq!(shown(&read(version), "data"), shown(&events, "f8"), "{version}");
    }
    assert_eq!(shown(&read("pairs.npy"), "data"), shown(&events, "pair"));
    let records = read("records.npy");
    assert_eq!(shown(&records, "n"), "I64([1, -3])");
    assert_eq!(shown(&records, "x"), "F64([2.5, -4.5])");
    assert_eq!(shown(&records, "s"), "Text([\"a\", \"µ\"])");
    assert_eq!(shown(&records, "v"), "I64([1, 2, 3, 4])");
}

#[test]
fn the_order_of_fortran_is_put_right() {
    let whole = |spec: &str, column: &str| {
        let table = fb_io::open(fixture(spec)).unwrap();
        let at = table.branches().iter().position(|branch| branch.name == column).unwrap();
        format!("{:?}", table.read(&[at], 5..20).unwrap())
    };
    assert_eq!(whole("fortran.npy", "data"), whole("types.npz", "cube"));
}

#[test]
fn values_and_offsets_are_lists() {
    for file in ["lists.h5", "lists.npz"] {
        let events = read(file);
        let part = events.column("part").unwrap();
        let offsets = part.offsets.as_deref().unwrap();
        assert_eq!((events.len(), offsets[..5].to_vec(), offsets[50]), (50, vec![0, 0, 1, 3, 6], 73), "{file}");
        assert_eq!(format!("{:?}", part.data), format!("{:?}", Data::F32((0..73).map(|i| i as f32).collect())));
        assert_eq!(read(&format!("{file}:other")).len(), 3, "{file}");
    }
}

/// Columns of every kind that arrays hold.
fn batch() -> RecordBatch {
    let lists = |n: i32| {
        let list = (0..n).map(|i| Some((0..i % 4).map(|j| Some((i * j) as f32)).collect::<Vec<_>>()));
        ListArray::from_iter_primitive::<Float32Type, _, _>(list)
    };
    let wide = LargeListArray::from_iter_primitive::<Float32Type, _, _>(
        (0..40).map(|i| (i % 5 != 0).then(|| vec![Some(i as f32); i % 3])),
    );
    let pairs: ArrayRef = Arc::new(Float32Array::from((0..80).map(|i| i as f32).collect::<Vec<_>>()));
    let pairs = FixedSizeListArray::new(table::item(pairs.data_type().clone()), 2, pairs, None);
    let texts = StringArray::from_iter_values((0..40).map(|i| "µ".repeat(i % 3) + &"b".repeat(i % 7)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("small", Arc::new(Int8Array::from_iter_values(-20..20))),
        ("large", Arc::new(UInt64Array::from_iter_values((0..40).map(|i| u64::MAX - i)))),
        ("flag", Arc::new((0..40).map(|i| Some(i % 3 == 1)).collect::<BooleanArray>())),
        ("hole", Arc::new((0..40).map(|i| (i % 3 != 1).then_some(i as f32)).collect::<Float32Array>())),
        ("text", Arc::new(texts)),
        ("part", Arc::new(lists(40))),
        ("wide", Arc::new(wide)),
        ("pairs", Arc::new(pairs)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

#[test]
fn what_is_written_in_batches_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let batch = batch();
    let (expected, _) = table::events(&batch);
    for name in ["a.h5", "a.npz", "a.parquet"] {
        let path = folder.path().join(name);
        let mut sink = fb_io::sink(&path, batch.schema_ref()).unwrap();
        for (from, length) in [(0, 7), (7, 0), (7, 30), (37, 3)] {
            sink.write(&batch.slice(from, length)).unwrap();
        }
        assert!(!path.exists(), "{name}: it is there once it is whole");
        sink.finish().unwrap();
        let events = fb_io::read(&path).unwrap();
        assert_eq!((events.len(), events.columns().len()), (40, expected.columns().len()), "{name}");
        for column in expected.columns() {
            let found = events.column(&column.name).unwrap();
            assert_eq!(format!("{:?}", found.data), format!("{:?}", column.data), "{name} {}", column.name);
            assert_eq!(found.offsets, column.offsets, "{name} {}", column.name);
        }
    }
}

#[test]
fn no_entries_and_no_width_are_written_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let empty = batch().slice(0, 0);
    for name in ["a.h5", "a.npz"] {
        let path = folder.path().join(name);
        let mut sink = fb_io::sink(&path, empty.schema_ref()).unwrap();
        sink.write(&empty).unwrap();
        sink.finish().unwrap();
        let events = fb_io::read(&path).unwrap();
        assert_eq!((events.len(), events.columns().len()), (0, 8), "{name}");
    }
}

#[test]
fn units_are_kept_where_there_is_a_place_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut column = fb_core::Column::flat("m", Data::F32(vec![1.0]));
    column.unit = Unit::Gev;
    let events = Events::new(vec![column]).unwrap();
    for name in ["a.h5", "a.parquet"] {
        let path = folder.path().join(name);
        fb_io::write(&path, &events).unwrap();
        assert_eq!(fb_io::open(&path).unwrap().branches()[0].unit, Unit::Gev, "{name}");
        assert!(fb_io::read(&path).unwrap() == events, "{name}");
    }
}

#[test]
fn what_does_not_fit_into_arrays_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, column: ArrayRef| {
        let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
        let path = folder.path().join(name);
        let written = fb_io::sink(&path, batch.schema_ref()).and_then(|mut sink| sink.write(&batch));
        assert!(!path.exists());
        written.unwrap_err().to_string()
    };
    for name in ["a.h5", "a.npz"] {
        let message = refused(name, Arc::new(Int64Array::from(vec![Some(1), None])));
        assert!(message.contains("column `x`: a value is missing (null)"), "{message}");
        let inner: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0)])]));
        let message = refused(name, table::list(&[0, 1], inner).unwrap());
        assert!(message.contains("column `x`") && message.contains("write .parquet instead"), "{message}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn specifications_name_tables_and_patterns() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.h5", "b.h5", "c:d.h5"] {
        std::fs::copy(fixture("ftag.h5"), folder.path().join(name)).unwrap();
    }
    let at = |name: &str| folder.path().join(name).display().to_string();
    let found = fb_io::expand(&at("[ab].h5:jets")).unwrap();
    assert_eq!(found.iter().map(|spec| fb_io::name(spec)).collect::<Vec<_>>(), ["a.h5:jets", "b.h5:jets"]);
    assert_eq!(fb_io::read(&found[1]).unwrap().columns().len(), 4);
    assert_eq!(fb_io::fingerprint(&found[0]).unwrap(), fb_io::fingerprint(fixture("ftag.h5")).unwrap());
    assert_eq!(fb_io::name(Path::new(&at("c:d.h5"))), "c:d.h5", "a colon in the name of a file that is there");
    assert_eq!(fb_io::open(at("c:d.h5:tracks")).unwrap().name(), "tracks");
    assert!(matches!(fb_io::expand(&at("z.h5:jets")), Err(fb_io::Error::NoMatch { .. })));
    let message = fb_io::read(at("z.h5:jets")).unwrap_err().to_string();
    assert!(message.contains("z.h5: No such file"), "{message}");
    // The first bytes say what it is where the name does not.
    std::fs::copy(fixture("ftag.h5"), folder.path().join("nameless")).unwrap();
    assert_eq!(fb_io::tables(at("nameless")).unwrap().len(), 5);
}

/// A part of lists shows what it holds, and not what the whole does.
#[test]
fn leaves_of_a_part() {
    let whole = || [Some(vec![Some(1.0)]), Some(vec![Some(2.0), Some(3.0)]), Some(vec![]), Some(vec![Some(4.0)])];
    let lists: [ArrayRef; 2] = [
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(whole())),
        Arc::new(LargeListArray::from_iter_primitive::<Float32Type, _, _>(whole())),
    ];
    for list in lists {
        assert_eq!(table::leaves("x", &list.slice(1, 2)), [("x".to_owned(), Data::F32(vec![2.0, 3.0]))]);
    }
    let pairs = [Some(vec![Some(1.0), Some(2.0)]), Some(vec![Some(3.0), Some(4.0)])];
    let pairs: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(pairs, 2));
    assert_eq!(table::leaves("x", &pairs.slice(1, 1)), [("x".to_owned(), Data::F32(vec![3.0, 4.0]))]);
}
