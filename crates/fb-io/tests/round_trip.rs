//! What is written is read back.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use fb_core::{Column, Data, Events, Philox};
use fb_io::Error;

fn texts(of: &[&str]) -> Data {
    Data::Text(of.iter().map(|&s| s.to_owned()).collect())
}

/// Columns as text: NaN equals NaN there, and −0 differs from 0.
fn shown(events: &Events) -> String {
    format!("{:?}", events.columns())
}

fn there_and_back(events: &Events, name: &str) -> Events {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fb_io::write(&path, events).unwrap();
    fb_io::read(&path).unwrap()
}

fn flat() -> Vec<Column> {
    vec![
        Column::flat("f32", Data::F32(vec![0.1, f32::NAN, -0.0, f32::MAX])),
        Column::flat("f64", Data::F64(vec![0.1, f64::NAN, f64::NEG_INFINITY, 5e-324])),
        Column::flat("i64", Data::I64(vec![i64::MIN, -1, 0, i64::MAX])),
        Column::flat("text", texts(&["µ", "", "a,b\n\"c\"", "1 2"])),
    ]
}

#[test]
fn parquet_keeps_every_bit() {
    let offsets = Arc::new(vec![0, 0, 2, 2, 5]);
    let mut columns = flat();
    columns.push(Column::jagged("part_pt", Data::F32(vec![1.0, f32::NAN, -0.0, 3.0, 4.0]), Arc::clone(&offsets)));
    columns.push(Column::jagged("part_E", Data::F64(vec![1.0, 2.0, f64::NAN, 3.0, 4.0]), Arc::clone(&offsets)));
    columns.push(Column::jagged("part_id", Data::I64(vec![11, -11, 22, 211, -211]), Arc::clone(&offsets)));
    columns.push(Column::jagged("part_name", texts(&["e", "", "γ", "π+", "π-"]), offsets));
    columns.push(Column::jagged("none", Data::F32(vec![]), Arc::new(vec![0; 5])));
    let events = Events::new(columns).unwrap();
    assert_eq!(shown(&there_and_back(&events, "a.parquet")), shown(&events));
    for len in [0, 1, 3] {
        let indices: Vec<usize> = (0..len).collect();
        let part = events.take(&indices);
        assert_eq!(shown(&there_and_back(&part, "a.parquet")), shown(&part), "{len} events");
    }
}

#[test]
fn parquet_keeps_any_name_of_a_column() {
    let names = ["jet pt", "Muon.pt", "log(x) / 2", "µ", "1;{", "a`b", "x = 3", "list"];
    let columns = names.map(|name| Column::flat(name, Data::F64(vec![1.0])));
    let events = Events::new(columns.to_vec()).unwrap();
    assert_eq!(shown(&there_and_back(&events, "a.parquet")), shown(&events));
}

#[test]
fn parquet_keeps_long_random_lists() {
    let mut random = Philox::new(1, 0, 0);
    let mut offsets = vec![0];
    for i in 0..20_000 {
        // Some events have more particles than the reader asks for at a time.
        let length = if i % 7919 == 0 { 40_000 } else { random.below(5) };
        offsets.push(offsets[i] + length);
    }
    let values = (0..offsets[20_000]).map(|_| random.normal() as f32).collect();
    let events = Events::new(vec![Column::jagged("part_pt", Data::F32(values), Arc::new(offsets))]).unwrap();
    assert!(there_and_back(&events, "a.parquet") == events);
}

#[test]
fn csv_keeps_numbers_and_texts() {
    let events = Events::new(flat()).unwrap();
    let back = there_and_back(&events, "a.csv");
    assert_eq!(back.len(), 4);
    // The format has one type of float; the shortest text of a 32-bit float leads back to it.
    let Data::F64(wide) = &back.column("f32").unwrap().data else { panic!("floats are floats") };
    let narrow = Data::F32(wide.iter().map(|&x| x as f32).collect());
    assert_eq!(format!("{narrow:?}"), format!("{:?}", events.column("f32").unwrap().data));
    for name in ["f64", "i64", "text"] {
        assert_eq!(format!("{:?}", back.column(name)), format!("{:?}", events.column(name)), "{name}");
    }
}

#[test]
fn csv_keeps_floats_that_are_whole() {
    let events = Events::new(vec![Column::flat("x", Data::F64(vec![3.0, -0.0, 1e300, 1e-300]))]).unwrap();
    assert_eq!(shown(&there_and_back(&events, "a.csv")), shown(&events));
}

fn csv(text: &str) -> Result<Events, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.csv");
    std::fs::write(&path, text).unwrap();
    fb_io::read(&path)
}

#[test]
fn csv_columns_are_what_all_their_lines_allow() {
    let events = csv("i, x, s,hole\n1, 2, a, 1\n-3, 4.5e1, 7, \n").unwrap();
    let data = |name: &str| format!("{:?}", events.column(name).unwrap().data);
    assert_eq!(data("i"), "I64([1, -3])");
    assert_eq!(data("x"), "F64([2.0, 45.0])");
    assert_eq!(data("s"), "Text([\"a\", \"7\"])");
    assert_eq!(data("hole"), "F64([1.0, NaN])");
    let marked = csv("\u{feff}x,y\r\n1,2\r\n").unwrap();
    assert_eq!(marked.column("x").unwrap().data, Data::I64(vec![1]), "a byte order mark is no part of the name");
}

#[test]
fn csv_comes_in_blocks_of_one_type() {
    let mut text = "n,x\n".to_owned();
    for i in 0..150_000 {
        writeln!(text, "{i},{}", if i == 149_999 { "0.5" } else { "1" }).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.csv");
    std::fs::write(&path, text).unwrap();
    let (mut blocks, mut next) = (0, 0);
    fb_io::for_each_block(&path, &["*"], &mut |block| {
        let Data::I64(n) = &block.columns()[0].data else { panic!("n is of integers") };
        assert!(matches!(block.columns()[1].data, Data::F64(_)), "x is of numbers from the first block on");
        assert!(n.iter().all(|&n| {
            next += 1;
            n == next - 1
        }));
        blocks += 1;
        Ok::<(), Error>(())
    })
    .unwrap();
    assert!(next == 150_000 && blocks > 1, "{next} events in {blocks} blocks");
}

#[test]
fn csv_without_events_keeps_its_columns() {
    let events = csv("a,b\n").unwrap();
    assert_eq!((events.len(), events.columns().len()), (0, 2));
}

#[test]
fn what_does_not_fit_into_csv_is_refused() {
    let jagged = Column::jagged("part_pt", Data::F32(vec![]), Arc::new(vec![0, 0]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let error = fb_io::write(&path, &Events::new(vec![jagged]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("column `part_pt`: lists do not fit into CSV"), "{error}");
    assert!(!path.exists(), "nothing is left behind");
}

#[test]
fn errors_name_the_file_and_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let message = fb_io::read(&path).unwrap_err().to_string();
        assert!(message.contains(&path.display().to_string()), "{message}");
        message
    };
    for name in ["none.csv", "none.parquet"] {
        assert!(message(name, None).contains("cannot open"));
    }
    for name in ["folder.csv", "folder.parquet"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let message = message(name, None);
        assert!(message.contains("cannot open") && message.contains("directory"), "{message}");
    }
    assert!(message("a.parqet", Some(b"")).contains("did you mean .parquet?"));
    assert!(message("a.exe", Some(b"")).contains("extension `exe`: expected one of .root, .parquet"));
    assert!(message("none", Some(b"")).contains("extension ``: expected one of .root, .parquet"));
    assert!(message("a.parquet", Some(b"")).contains("(footer)"));
    assert!(message("b.parquet", Some(b"PAR1 is not all of it PAR1")).contains("(footer)"));
    assert!(message("a.csv", Some(b"")).contains("(header)"));
    assert!(message("b.csv", Some(b"x,y\n1,2\n3\n")).contains("(line 3): 1 fields, expected 2"));
    assert!(message("c.csv", Some(b"x,y\n1,\xff\n")).contains("(line 2): the text is not UTF-8"));
    assert!(message("d.csv", Some(b"x,x\n1,2\n")).contains("(header): the column `x` stands there twice"));
    let error = fb_io::expand(&folder.path().join("*.xyz:").display().to_string()).unwrap_err();
    assert!(matches!(error, Error::NoMatch { .. }) && error.to_string().contains("*.xyz:"));
}

#[test]
fn damage_inside_names_row_group_and_column() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/groups.parquet");
    let whole = std::fs::read(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.parquet");
    let mut bytes = whole.clone();
    bytes[4..60].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let message = fb_io::read(&path).unwrap_err().to_string();
    assert!(message.contains("bad.parquet") && message.contains("(row group 0, column `i`)"), "{message}");
}
