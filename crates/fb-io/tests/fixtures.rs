//! Files of other programs (see data/make.py), read to the values that were written.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::{Path, PathBuf};

use fb_core::{Data, Events};
use fb_io::Error;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("{name}.parquet"))
}

fn read(name: &str) -> Events {
    fb_io::read(fixture(name)).unwrap()
}

/// The entries as text: NaN equals NaN there, and −0 differs from 0.
fn shown(events: &Events, name: &str) -> String {
    format!("{:?}", events.column(name).unwrap().data)
}

fn same(events: &Events, name: &str, expected: &Data) {
    assert_eq!(shown(events, name), format!("{expected:?}"), "column `{name}`");
}

fn texts(of: &[&str]) -> Data {
    Data::Text(of.iter().map(|&s| s.to_owned()).collect())
}

#[test]
fn every_flat_type_keeps_its_values() {
    let events = read("flat");
    assert_eq!((events.len(), events.columns().len()), (3, 14));
    let integers: [(&str, [i64; 3]); 9] = [
        ("int8", [-128, 0, 127]),
        ("int16", [-32768, 0, 32767]),
        ("int32", [i32::MIN.into(), 0, i32::MAX.into()]),
        ("int64", [i64::MIN, 0, i64::MAX]),
        ("uint8", [0, 1, 255]),
        ("uint16", [0, 1, 65535]),
        ("uint32", [0, 1, u32::MAX.into()]),
        ("uint64", [0, 1, i64::MAX]),
        ("bool", [1, 0, 1]),
    ];
    for (name, values) in integers {
        same(&events, name, &Data::I64(values.to_vec()));
    }
    same(&events, "float32", &Data::F32(vec![-0.0, f32::NAN, f32::from_bits(1)]));
    same(&events, "float64", &Data::F64(vec![f64::INFINITY, f64::NEG_INFINITY, f64::from_bits(1)]));
    same(&events, "text", &texts(&["", "µ→e", "a,b\n\"c\""]));
    same(&events, "large_text", &texts(&["x", "y", "z"]));
    same(&events, "dictionary", &texts(&["top", "qcd", "top"]));
}

#[test]
fn integers_beyond_63_bits_do_not_turn_negative() {
    same(&read("uint64_high"), "id", &Data::F64(vec![1.0, 2f64.powi(63), 2f64.powi(64)]));
}

#[test]
fn every_kind_of_list_keeps_its_lengths() {
    let events = read("lists");
    assert_eq!(events.len(), 3);
    let check = |name: &str, offsets: [usize; 4], data: &Data| {
        same(&events, name, data);
        assert_eq!(events.column(name).unwrap().offsets.as_deref().unwrap(), &offsets, "column `{name}`");
    };
    check("float", [0, 2, 2, 3], &Data::F32(vec![1.5, 2.5, 3.5]));
    check("int", [0, 1, 3, 3], &Data::I64(vec![1, 2, 3]));
    check("large", [0, 0, 0, 3], &Data::F64(vec![1.0, f64::NAN, 2.0]));
    check("fixed", [0, 2, 4, 6], &Data::F64(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    check("required", [0, 1, 1, 1], &Data::F32(vec![7.0]));
    check("text", [0, 1, 1, 3], &texts(&["a", "b", ""]));
    // A list that is missing counts as one without entries; a number that is missing is NaN.
    check("null", [0, 2, 2, 3], &Data::F32(vec![1.0, f32::NAN, f32::NAN]));
    let shared = |name: &str| std::sync::Arc::as_ptr(events.column(name).unwrap().offsets.as_ref().unwrap());
    assert_eq!(shared("float"), shared("other"), "lists of equal lengths share their offsets");
}

#[test]
fn missing_numbers_are_nan() {
    let events = read("nulls");
    same(&events, "float", &Data::F32(vec![1.0, f32::NAN, 3.0, f32::NAN]));
    same(&events, "int", &Data::F64(vec![f64::NAN, 2.0, f64::NAN, 4.0]));
    same(&events, "bool", &Data::F64(vec![1.0, f64::NAN, f64::NAN, 0.0]));
    same(&events, "all", &Data::F64(vec![f64::NAN; 4]));
}

#[test]
fn a_missing_text_is_refused_by_name() {
    let message = fb_io::read(fixture("null_text")).unwrap_err().to_string();
    assert!(
        message.contains("null_text.parquet") && message.contains("`text`") && message.contains("null"),
        "{message}"
    );
}

#[test]
fn the_layout_of_the_file_does_not_matter() {
    let n = 200i64;
    let lengths = || (0..200usize).map(|i| i % 4);
    let offsets: Vec<usize> = std::iter::once(0)
        .chain(lengths().scan(0, |sum, length| {
            *sum += length;
            Some(*sum)
        }))
        .collect();
    for name in [
        "codec_none",
        "codec_snappy",
        "codec_gzip",
        "codec_lz4",
        "codec_zstd",
        "page_v2",
        "page_v1_many",
        "plain",
        "groups",
        "checksums",
        "delta",
        "delta_length",
    ] {
        let events = read(name);
        assert_eq!((events.len(), events.columns().len()), (200, 6), "{name}");
        same(&events, "i", &Data::I64((0..n).collect()));
        same(&events, "k", &Data::I64((0..n).map(|i| (7 * i) % 13).collect()));
        same(&events, "x", &Data::F32((0..n).map(|i| i as f32 / 8.0).collect()));
        same(&events, "y", &Data::F64((0..n).map(|i| -i as f64 / 4.0).map(|y| y + 0.0 * y).collect()));
        same(&events, "s", &Data::Text((0..n).map(|i| format!("event {}", i % 5)).collect()));
        let part = (0..200).flat_map(|i| (0..i % 4).map(move |j| (i + j) as f32)).collect();
        same(&events, "part", &Data::F32(part));
        assert_eq!(events.column("part").unwrap().offsets.as_deref(), Some(&offsets), "{name}");
    }
}

#[test]
fn row_groups_come_one_by_one() {
    let mut lengths = Vec::new();
    fb_io::for_each_block(fixture("groups"), &["*"], &mut |block| {
        lengths.push(block.len());
        Ok::<(), Error>(())
    })
    .unwrap();
    assert_eq!(lengths, [37, 37, 37, 37, 37, 15]);
}

#[test]
fn files_without_events_keep_their_columns() {
    for name in ["empty", "no_groups"] {
        let events = read(name);
        assert_eq!(events.len(), 0, "{name}");
        let names: Vec<&str> = events.columns().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["i", "k", "x", "y", "s", "part"], "{name}");
        same(&events, "x", &Data::F32(vec![]));
        same(&events, "s", &Data::Text(vec![]));
        assert_eq!(events.column("part").unwrap().offsets.as_deref(), Some(&vec![0]), "{name}");
    }
}

#[test]
fn numbers_that_arrow_keeps_apart_are_floats_for_methods() {
    same(&read("decimal_32"), "decimal_32", &Data::F64(vec![1.25, -2.5]));
    same(&read("decimal_128"), "decimal_128", &Data::F64(vec![1.25, -2.5]));
    same(&read("half"), "half", &Data::F32(vec![1.5, 2.5]));
}

#[test]
fn what_methods_do_not_see_is_left_out_or_refused_by_name() {
    for (name, reason) in [
        ("list_of_lists", "lists of lists are not read"),
        ("struct", "records are not read"),
        ("list_of_structs", "lists of records are not read"),
        ("list_of_small_structs", "lists of records are not read"),
        ("struct_of_list", "records are not read"),
        ("map", "maps are not read"),
        ("bytes", "values of this type are not read"),
    ] {
        let events = read(name);
        assert_eq!((events.columns().len(), events.columns()[0].name.as_str()), (1, "x"), "{name}");
        let refused = fb_io::for_each_block(fixture(name), &["x", name], &mut |_| Ok::<(), Error>(()));
        let error = refused.unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Unsupported { .. }), "{name}: {message}");
        assert!(message.contains(&format!("column `{name}`")) && message.contains(reason), "{name}: {message}");
    }
}

/// Every branch of a file as Arrow writes it.
fn table(name: &str) -> Vec<String> {
    let table = fb_io::open(fixture(name)).unwrap();
    let all: Vec<usize> = (0..table.branches().len()).collect();
    let arrays = table.read(&all, 0..table.entries()).unwrap();
    for (array, branch) in arrays.iter().zip(table.branches()) {
        assert_eq!(Ok(array.data_type()), branch.content.as_ref(), "{name}, {}", branch.name);
    }
    arrays.iter().map(|array| format!("{array:?}").split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn tables_keep_what_methods_do_not_see() {
    for (name, expected) in [
        ("list_of_lists", &["1.0, ]", "2.0, ]"][..]),
        ("struct", &["StructArray", "\"a\"", "1.0", "2.0"]),
        ("list_of_structs", &["StructArray", "\"pt\"", "\"eta\"", "1.0", "2.0"]),
        ("struct_of_list", &["StructArray", "\"a\"", "1.0"]),
        ("map", &["MapArray", "\"a\"", "1.0"]),
        ("bytes", &["FixedSizeBinaryArray", "97, 98", "99, 100"]),
    ] {
        let shown = table(name);
        for part in expected {
            assert!(shown[1].contains(part), "{name}: {part} in {}", shown[1]);
        }
    }
}

#[test]
fn ranges_of_entries_are_parts_of_the_whole() {
    for name in ["groups", "page_v1_many", "page_v2", "delta", "lists"] {
        let table = fb_io::open(fixture(name)).unwrap();
        let all: Vec<usize> = (0..table.branches().len()).collect();
        let whole = table.read(&all, 0..table.entries()).unwrap();
        for range in [0..1, 1..3, 0..0, 2..table.entries(), table.entries() / 2..table.entries()] {
            let part = table.read(&all, range.clone()).unwrap();
            for (part, whole) in part.iter().zip(&whole) {
                let expected = whole.slice(range.start as usize, (range.end - range.start) as usize);
                assert_eq!(format!("{part:?}"), format!("{expected:?}"), "{name} {range:?}");
            }
        }
    }
}

#[test]
fn names_and_patterns_choose_columns() {
    let chosen = |patterns: &[&str]| {
        let mut names = Vec::new();
        fb_io::for_each_block(fixture("flat"), patterns, &mut |events| {
            names = events.columns().iter().map(|c| c.name.clone()).collect();
            Ok::<(), Error>(())
        })
        .unwrap();
        names.join(" ")
    };
    assert_eq!(chosen(&["int8", "none"]), "int8");
    assert_eq!(chosen(&["float*", "*text"]), "float32 float64 text large_text");
    assert_eq!(chosen(&["u*6*"]), "uint16 uint64");
    assert_eq!(chosen(&["int8*8", "t*t*t"]), "", "parts do not overlap");
}
