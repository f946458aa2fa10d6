//! ROOT trees: what others write is read as they read it, and what we write is read back equal.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use fb_core::run::Alone;
use fb_io::root::{Codec, Kind};
use fb_io::table::{Table, batches, leaves, read_batch, schema};
use serde_json::{Value as Json, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/root")
}

/// A row of a column as JSON; numbers that are not finite as texts.
fn row(array: &ArrayRef, i: usize) -> Json {
    let list = |items: ArrayRef| (0..items.len()).map(|i| row(&items, i)).collect::<Json>();
    let real = |x: f64, text: String| if x.is_finite() { json!(x) } else { json!(text.to_lowercase()) };
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(i)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(i)),
        DataType::List(_) => list(array.as_list::<i32>().value(i)),
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(i)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), row(column, i))).collect()
        }
        DataType::Float32 => {
            let x = array.as_primitive::<Float32Type>().value(i);
            real(x.into(), x.to_string())
        }
        DataType::Float64 => {
            let x = array.as_primitive::<Float64Type>().value(i);
            real(x, x.to_string())
        }
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(i)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(i)),
        _ => match &leaves("", array)[0].1 {
            fb_core::Data::I64(values) => json!(values[i]),
            other => panic!("{other:?}"),
        },
    }
}

fn column(table: &dyn Table, branch: usize) -> Json {
    let arrays = table.read(&[branch], 0..table.entries()).unwrap();
    (0..arrays[0].len()).map(|i| row(&arrays[0], i)).collect()
}

#[test]
fn trees_of_others_are_read_as_uproot_reads_them() {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: serde_json::Map<String, Json> = serde_json::from_str(&text).unwrap();
    let mut compared = 0;
    for (file, trees) in &expected {
        for (tree, branches) in trees.as_object().unwrap() {
            let table = fb_io::open(folder().join(format!("{file}:{tree}"))).unwrap();
            for (name, values) in branches.as_object().unwrap() {
                let at = table.branches().iter().position(|branch| branch.name == *name);
                let at = at.unwrap_or_else(|| panic!("{file}:{tree} has no branch {name}"));
                assert_eq!(&column(&*table, at), values, "{file}:{tree}, branch {name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 140, "{compared} branches");
}

#[test]
fn any_range_of_entries_is_the_part_of_the_whole() {
    let table = fb_io::open(folder().join("issue165_multiple_baskets.root")).unwrap();
    let readable: Vec<usize> = (0..table.branches().len()).filter(|&b| table.branches()[b].content.is_ok()).collect();
    let n = table.entries();
    let whole = read_batch(&*table, &readable, 0..n, &Alone).unwrap();
    for from in (0..n).step_by(7) {
        let to = (from + 11).min(n);
        let part = read_batch(&*table, &readable, from..to, &Alone).unwrap();
        assert_eq!(part, whole.slice(from as usize, (to - from) as usize));
    }
    assert_eq!(table.clusters().iter().map(|c| c.end - c.start).sum::<u64>(), n);
}

/// What uproot wrote with any codec is written by us with any codec and read back.
#[test]
fn what_is_written_is_read_back_equal() {
    let source = fb_io::open(folder().join("made_zstd.root:events")).unwrap();
    let all: Vec<usize> = (0..source.branches().len()).collect();
    let schema = schema(&*source, &all);
    let temporary = tempfile::tempdir().unwrap();
    for codec in [Codec::Stored, Codec::Zlib, Codec::Lz4, Codec::Lzma, Codec::Zstd] {
        let path = temporary.path().join(format!("{codec:?}.root"));
        let mut sink = fb_io::root::sink(&path, "copy", &schema, Kind::TTree, codec).unwrap();
        for from in [0, 15, 30] {
            sink.write(&read_batch(&*source, &all, from..(from + 15).min(40), &Alone).unwrap()).unwrap();
        }
        assert!(!path.exists(), "a file is there only once it is whole");
        sink.finish().unwrap();
        let copy = fb_io::open(&path).unwrap();
        assert_eq!((copy.name(), copy.kind(), copy.entries()), ("copy", "TTree", 40));
        for (i, branch) in source.branches().iter().enumerate() {
            let at = copy.branches().iter().position(|other| other.name == branch.name).unwrap();
            assert_eq!(copy.branches()[at].content, branch.content, "{}", branch.name);
            assert_eq!(column(&*copy, at), column(&*source, i), "{codec:?}, {}", branch.name);
        }
    }
}

#[test]
fn lists_share_a_counter_where_their_lengths_are_equal() {
    let events = |n: usize| {
        let list = |lengths: [i32; 3]| {
            let offsets = [0, lengths[0], lengths[0] + lengths[1], lengths.iter().sum()].map(|o| o as usize);
            let values: ArrayRef = Arc::new(arrow_array::Float32Array::from(vec![n as f32; offsets[3]]));
            fb_io::table::list(&offsets, values).unwrap()
        };
        let counts: ArrayRef = Arc::new(arrow_array::UInt32Array::from(vec![1, 0, 2]));
        let texts: ArrayRef = Arc::new(arrow_array::StringArray::from(vec!["a", "", "µ"]));
        let columns = [
            ("Jet_pt", list([2, 0, 1])),
            ("Jet_eta", list([2, 0, 1])),
            ("Jet_odd", list([0, 1, 1])),
            ("nMuon", counts),
            ("Muon_pt", list([1, 0, 2])),
            ("name", texts),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("lists.root");
    let mut sink = fb_io::sink(&path, events(1).schema_ref()).unwrap();
    sink.write(&events(1)).unwrap();
    sink.write(&events(2)).unwrap();
    sink.finish().unwrap();
    let table = fb_io::open(&path).unwrap();
    let names: Vec<&str> = table.branches().iter().map(|branch| branch.name.as_str()).collect();
    assert_eq!(names, ["nJet", "Jet_pt", "Jet_eta", "nJet_", "Jet_odd", "nMuon", "Muon_pt", "name"]);
    assert_eq!(column(&*table, 0), json!([2, 0, 1, 2, 0, 1]));
    assert_eq!(column(&*table, 4), json!([[], [1.0], [1.0], [], [2.0], [2.0]]));
    assert_eq!(column(&*table, 7), json!(["a", "", "µ", "a", "", "µ"]));
}

#[test]
fn columns_that_a_tree_has_no_place_for_are_named() {
    let nested = fb_io::open(folder().join("tree_with_doubly_jagged.root")).unwrap();
    let all: Vec<usize> = (0..nested.branches().len()).collect();
    let temporary = tempfile::tempdir().unwrap();
    let error = fb_io::sink(&temporary.path().join("x.root"), &schema(&*nested, &all)).err().unwrap().to_string();
    assert!(error.contains("column `") && error.contains("RNTuple"), "{error}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_wrong_tree_is_answered_with_those_there_are() {
    let error = fb_io::open(folder().join("made_zlib.root:event")).err().unwrap().to_string();
    assert!(error.contains("did you mean `events`?") && error.contains("folder/inner/more"), "{error}");
}

/// Friends in the same file and in another are read beside the tree's own branches; those that cannot be say why.
#[test]
fn friends_are_read_beside_their_tree() {
    let table = fb_io::open(folder().join("made_friends.root:events")).unwrap();
    let at = |name: &str| table.branches().iter().position(|branch| branch.name == name);
    let of_file = |spec: &str, name: &str| {
        let table = fb_io::open(folder().join(spec)).unwrap();
        let at = table.branches().iter().position(|branch| branch.name == name).unwrap();
        column(&*table, at)
    };
    assert_eq!(column(&*table, at("n").unwrap()), (0..40).collect::<Json>());
    for (branch, spec, name) in [
        ("scores.score", "made_friends.root:scores", "score"),
        ("scores.n", "made_friends.root:scores", "n"),
        ("other.f4", "made_zstd.root:events", "f4"),
        ("other.jet_f4", "made_zstd.root:events", "jet_f4"),
    ] {
        assert_eq!(column(&*table, at(branch).unwrap()), of_file(spec, name), "{branch}");
    }
    for (branch, reason) in [
        ("lost.*", "`not_there.root` is not a file here"),
        ("few.*", "has 3 entries, expected 40"),
        ("absent.*", "`nothing` is not a tree of"),
    ] {
        let content = table.branches()[at(branch).unwrap()].content.clone();
        assert!(content.as_ref().is_err_and(|found| found.contains(reason)), "{branch}: {content:?}");
    }
    assert!(at("few.x").is_none());
}

/// Threads in a number that does not matter.
struct Scoped(usize);

impl fb_core::Workers for Scoped {
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| (0..n).for_each(|i| drop(scope.spawn(move || task(i)))));
    }

    fn count(&self) -> usize {
        self.0
    }
}

#[test]
fn batches_do_not_depend_on_the_number_of_threads() {
    for name in ["issue165_multiple_baskets.root", "made_friends.root:events", "made_lz4.root:events"] {
        let table = fb_io::open(folder().join(name)).unwrap();
        let all: Vec<usize> = (0..table.branches().len()).filter(|&b| table.branches()[b].content.is_ok()).collect();
        let of = |workers: &dyn fb_core::Workers| -> Vec<_> {
            batches(&*table, &all, workers).map(|(entries, batch)| (entries, batch.unwrap())).collect()
        };
        let alone = of(&Alone);
        assert_eq!(alone.iter().map(|(_, batch)| batch.num_rows() as u64).sum::<u64>(), table.entries());
        assert_eq!(alone.iter().map(|(entries, _)| entries.clone()).collect::<Vec<_>>(), table.clusters());
        for count in [2, 3, 16] {
            assert_eq!(of(&Scoped(count)), alone, "{name}, {count} threads");
        }
        // Parts of a branch that are read apart are its whole.
        let whole = 0..table.entries();
        for n in [1, 2, 7, 1000] {
            let parts = table.parts(all[0], whole.clone(), n);
            assert!(parts[0].start == 0 && parts[parts.len() - 1].end == whole.end);
            assert!(parts.windows(2).all(|p| p[0].end == p[1].start) && parts.len() <= n, "{parts:?}");
        }
    }
}
