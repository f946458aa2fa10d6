//! Forests of XGBoost, LightGBM and TMVA: the files of `references/trees_models.py`, scored as in their own programs.

#![allow(clippy::unwrap_used, reason = "a test falls over where it fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fb_core::{Column, Data, Events, Input, Philox};
use fb_deploy::trees::{self, Format, Imported, cpp, lightgbm, tmva, xgboost};
use fb_deploy::{Inputs, Runtime};
use fb_trees::{Forest, Link, Node, Test, Tree};
use serde_json::json;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/trees")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Events, and the scores of the models by file.
struct Expected {
    rows: Vec<Vec<f64>>,
    scores: BTreeMap<String, Vec<Vec<f64>>>,
}

fn expected() -> Expected {
    let json: serde_json::Value = serde_json::from_str(&file("expected.json")).unwrap();
    let rows: Vec<Vec<Option<f64>>> = serde_json::from_value(json["rows"].clone()).unwrap();
    let rows = rows.into_iter().map(|row| row.into_iter().map(|x| x.unwrap_or(f64::NAN)).collect()).collect();
    Expected { rows, scores: serde_json::from_value(json["scores"].clone()).unwrap() }
}

/// The scores as other programs give them: of two classes, only that of the second.
fn shown(forest: &Forest, row: &[f64]) -> Vec<f64> {
    let scores = forest.scores_of(&row[..forest.features]);
    if matches!(forest.link, Link::Logistic | Link::Votes) { vec![scores[1]] } else { scores }
}

/// Largest difference of scores, relative where they are above one.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max)
}

fn read(name: &str) -> Imported {
    trees::read(file(name).as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}")).1
}

#[test]
fn models_score_as_in_their_own_programs() {
    let expected = expected();
    let mut worst = BTreeMap::new();
    for (name, scores) in &expected.scores {
        let (format, imported) = trees::read(file(name).as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(imported.names.len(), imported.forest.features);
        let found = expected.rows.iter().zip(scores).map(|(row, s)| difference(&shown(&imported.forest, row), s));
        let found = found.fold(0.0, f64::max);
        eprintln!("{name}: {found:.1e}");
        assert!(found <= 1e-6, "{name}: {found:e}");
        let of = worst.entry(format.name()).or_insert((0, 0.0f64));
        *of = (of.0 + 1, of.1.max(found));
    }
    eprintln!("{worst:?}");
    assert_eq!(worst.values().map(|w| w.0).collect::<Vec<_>>(), [16, 6, 22]);
    assert_eq!(read("xgb_named.json").names, ["pt", "eta", "mass", "tau21", "zeros"]);
    assert_eq!(read("xgb_binary.json").names, ["f0", "f1", "f2", "f3", "f4"]);
    assert_eq!(read("lgb_binary.txt").names[1], "eta");
    assert_eq!(read("tmva_grad.xml").names[1], "abs(eta)");
}

#[test]
fn what_a_forest_cannot_say_is_refused_by_name() {
    let refused = [
        ("bad_xgb_hinge.json", "objective: `binary:hinge` is not supported"),
        ("bad_xgb_linear.json", "found `gblinear`"),
        ("bad_xgb_leaves.json", "multi_output_tree"),
        ("bad_lgb_linear.txt", "leaves are linear"),
        ("bad_lgb_zeros.txt", "zero_as_missing"),
        ("bad_lgb_sqrt.txt", "reg_sqrt"),
        ("bad_tmva_r2.xml", "weighted median"),
        ("bad_tmva_transformed.xml", "VarTransform=None"),
    ];
    for (name, says) in refused {
        let message = trees::read(file(name).as_bytes()).unwrap_err().to_string();
        assert!(message.contains(says), "{name}: {message}");
    }
    for (text, says) in [
        (&b"{L\x00"[..], "UBJSON"),
        (b"[{}]", "save_model"),
        (b"\x89HDF", "binary"),
        (b"", "expected XGBoost"),
        (b"hello", "expected XGBoost"),
        (b"{}", "missing field `learner`"),
        (b"tree\nversion=v4", "not whole"),
        (b"<MethodSetup Method=\"MLP::MLP\"/>", "found the method `MLP::MLP`"),
    ] {
        let message = trees::read(text).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
}

/// A random forest with missing values, and sets of categories where asked for.
fn random(link: Link, outputs: usize, single: bool, sets: bool, seed: u64) -> Forest {
    let mut random = Philox::new(seed, 0, 0);
    // Votes are bounded.
    let spread = if link == Link::Votes { 0.05 } else { 0.3 };
    let mut trees = Vec::new();
    for t in 0..9 {
        let mut nodes: Vec<Node> = Vec::new();
        // Four nodes in a chain with leaves beside them.
        for i in 0..4u32 {
            let feature = random.below(3) as u32;
            let test = if sets && feature == 2 {
                let members: Vec<u32> = (0..40).filter(|_| random.uniform() < 0.4).collect();
                Test::OneOf(members.into())
            } else {
                let cut = 1.4 * random.normal();
                Test::Below(if single { f64::from(cut as f32) } else { cut })
            };
            let (a, b) = (2 * i + 1, 2 * i + 2);
            let (left, right) = if random.uniform() < 0.5 { (a, b) } else { (b, a) };
            let missing_left = random.uniform() < 0.5 && !matches!(test, Test::OneOf(_));
            nodes.push(Node { feature, test, missing_left, left, right, ..Node::leaf(0.0, 10.0) });
            nodes.push(Node::leaf(spread * random.normal(), 3.0));
        }
        nodes.push(Node::leaf(spread * random.normal(), 3.0));
        trees.push(Tree { output: t % outputs, nodes });
    }
    let base = (0..outputs).map(|k| 0.4 - 0.3 * k as f64).collect();
    let forest = Forest { features: 3, base, trees, link, single };
    forest.check().unwrap();
    forest
}

/// Events around the cuts, with missing values.
fn rows(forest: &Forest, n: usize) -> Vec<Vec<f64>> {
    let mut random = Philox::new(7, 0, 0);
    let nodes: Vec<&Node> = forest.trees.iter().flat_map(|t| &t.nodes).collect();
    let mut row = || {
        let mut feature = |i: u32| {
            let of: Vec<&&Node> = nodes.iter().filter(|n| !n.is_leaf() && n.feature == i).collect();
            let at = of.get(random.below(of.len().max(1))).map(|n| &n.test);
            match (at, random.below(6)) {
                (_, 0) => f64::NAN,
                (Some(Test::OneOf(_)), _) => random.below(44) as f64,
                (Some(Test::Below(cut)), 1) => *cut,
                (Some(Test::Below(cut)), 2) => f64::from((*cut as f32).next_down()),
                (Some(Test::Below(cut)), 3) => f64::from((*cut as f32).next_up()),
                _ => f64::from(random.normal() as f32),
            }
        };
        (0..3).map(&mut feature).collect()
    };
    (0..n).map(|_| row()).collect()
}

const LINKS: [(Link, usize); 9] = [
    (Link::Identity, 1),
    (Link::Identity, 3),
    (Link::Logistic, 1),
    (Link::Softmax, 3),
    (Link::Exp, 1),
    (Link::Sigmoids, 3),
    (Link::Symmetric, 1),
    (Link::Votes, 1),
    (Link::OneVsRest, 3),
];

#[test]
fn what_is_written_reads_back_with_the_same_scores() {
    let names: Vec<String> = ["pt", "abs(eta) < 1", "kind"].map(str::to_owned).into();
    let (mut written, mut seen) = (BTreeMap::new(), Vec::new());
    for (k, (link, outputs)) in LINKS.into_iter().enumerate() {
        for (single, sets) in [(true, false), (false, false), (true, true)] {
            let forest = random(link, outputs, single, sets, k as u64);
            for (format, text) in [
                (Format::Xgboost, xgboost::write(&forest, &names)),
                (Format::Lightgbm, lightgbm::write(&forest, &names)),
                (Format::Tmva, tmva::write(&forest, &names)),
            ] {
                let Ok(text) = text else {
                    seen.push(format!("{} {link:?} {sets}: {}", format.name(), text.unwrap_err()));
                    continue;
                };
                *written.entry(format.name()).or_insert(0) += 1;
                let (found, back) = trees::read(text.as_bytes()).unwrap_or_else(|e| panic!("{}: {e}", format.name()));
                assert_eq!(found, format);
                if format != Format::Lightgbm {
                    assert_eq!(back.names, names);
                }
                for row in rows(&forest, 400) {
                    // TMVA refuses events with missing values; single precision is all that XGBoost and TMVA see.
                    if format == Format::Tmva && row.iter().any(|x| x.is_nan()) {
                        continue;
                    }
                    let row: Vec<f64> = if format == Format::Lightgbm {
                        row
                    } else {
                        row.iter().map(|x| f64::from(*x as f32)).collect()
                    };
                    let (mut ours, theirs) = (shown(&forest, &row), shown(&back.forest, &row));
                    if format == Format::Tmva && matches!(link, Link::Logistic | Link::Votes) {
                        ours[0] = 2.0 * ours[0] - 1.0;
                    }
                    let difference = difference(&theirs, &ours);
                    assert!(difference < 1e-6, "{} {link:?} {single} {sets}: {difference:e} at {row:?}", format.name());
                }
            }
        }
    }
    // Identity, Logistic, Softmax, Exp everywhere they belong; sets of categories in all but TMVA.
    assert_eq!(written, BTreeMap::from([("XGBoost", 15), ("LightGBM", 18), ("TMVA", 10)]), "{seen:#?}");
}

#[test]
fn cpp_gives_the_same_scores() {
    let names: Vec<String> = ["p\"t\\\n", "abs(eta) ??= 1 \\", "kind"].map(str::to_owned).into();
    let place = tempfile::tempdir().unwrap();
    for (k, (link, outputs)) in LINKS.into_iter().chain([(Link::Shares, 2)]).enumerate() {
        let mut forest = random(link, outputs, k % 2 == 0, k % 3 != 0, 50 + k as u64);
        if k == 0 {
            forest.trees.clear();
        }
        let header = cpp::write(&forest, &names, if k % 2 == 0 { &[-999.0, -99.9] } else { &[] }, "model").unwrap();
        std::fs::write(place.path().join("model.hpp"), header).unwrap();
        let rows = rows(&forest, 200);
        let number = |x: &f64| if x.is_nan() { "NAN".to_owned() } else { format!("{x:?}") };
        let line = |(i, row): (usize, &Vec<f64>)| {
            let mut row: Vec<String> = row.iter().map(number).collect();
            // A missing value of the column may be said by a number.
            if k % 2 == 0 && row[2] == "NAN" && i % 3 > 0 {
                row[2] = ["-999.0", "-99.9"][i % 3 - 1].to_owned();
            }
            format!("{{{}}}", row.join(", "))
        };
        let table: Vec<String> = rows.iter().enumerate().map(line).collect();
        let main = format!(
            "#include \"model.hpp\"\n#include <cstdio>\nstatic const double table[][3] = {{{}}};\nint main() {{\n\
             for (const auto& row : table) {{\ndouble out[model::classes];\nmodel::scores(row, out);\n\
             for (double s : out) std::printf(\"%.17g \", s);\nstd::printf(\"\\n\");\n}}\n\
             return model::feature(0)[0] == 'p' ? 0 : 1;\n}}\n",
            table.join(",\n")
        );
        std::fs::write(place.path().join("main.cpp"), main).unwrap();
        let options = ["-std=c++11", "-Wall", "-Wextra", "-pedantic", "-Werror", "main.cpp", "-o", "main"];
        let built = Command::new("g++").args(options).current_dir(place.path()).output();
        let Ok(built) = built else {
            eprintln!("skipped: no g++");
            return;
        };
        assert!(built.status.success(), "{link:?}: {}", String::from_utf8_lossy(&built.stderr));
        let run = Command::new(place.path().join("main")).output().unwrap();
        assert!(run.status.success());
        let text = String::from_utf8(run.stdout).unwrap();
        for (row, line) in rows.iter().zip(text.lines()) {
            let found: Vec<f64> = line.split_whitespace().map(|x| x.parse().unwrap()).collect();
            for (a, b) in found.iter().zip(forest.scores_of(row)) {
                assert!((a - b).abs() <= 1e-12 * b.abs(), "{link:?}: {a} {b}");
            }
        }
        assert_eq!(text.lines().count(), rows.len());
    }
    assert!(cpp::write(&random(Link::Logistic, 1, true, false, 1), &names, &[], "1st").is_err());
}

/// Events of a table.
fn events(rows: &[Vec<f64>]) -> Events {
    let column = |i: usize| {
        Column::flat(["pt", "eta", "kind"][i], Data::F64(rows.iter().map(|row| f64::from(row[i] as f32)).collect()))
    };
    Events::new((0..3).map(column).collect()).unwrap()
}

fn artifact(forest: &Forest, expressions: [&str; 3]) -> fb_core::Artifact {
    let input = Input::Columns { variables: expressions.map(str::to_owned).into(), missing: vec![-999.0, -99.9] };
    forest.artifact(json!({"method": "bdt", "config": {}, "input": input}))
}

#[test]
fn onnx_gives_the_same_scores() {
    let plain = ["pt", "eta", "kind"];
    let sets = artifact(&random(Link::Logistic, 1, true, true, 3), plain);
    assert!(fb_deploy::onnx(&sets).unwrap_err().to_string().contains("set of categories"));
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from) else {
        eprintln!("skipped: ORT_DYLIB_PATH does not name an onnxruntime library");
        return;
    };
    for (k, (link, outputs)) in LINKS.into_iter().chain([(Link::Shares, 2)]).enumerate() {
        let mut forest = random(link, outputs, k % 2 == 0, false, 80 + k as u64);
        if k == 0 {
            forest.trees.clear();
        }
        let rows = rows(&forest, 300);
        // Every other missing value is said by a number.
        let shown = |(i, row): (usize, &Vec<f64>)| {
            let number = [-999.0, f64::NAN, -99.9, f64::NAN][i % 4];
            row.iter().map(|x| if x.is_nan() { number } else { *x }).collect()
        };
        let events = events(&rows.iter().enumerate().map(shown).collect::<Vec<_>>());
        for expressions in [plain, ["abs(pt)", "eta - 2 * pt", "kind"]] {
            let artifact = artifact(&forest, expressions);
            let input: Input = serde_json::from_value(artifact.header["input"].clone()).unwrap();
            let mut runtime = Runtime::open(Some(&library), &fb_deploy::onnx(&artifact).unwrap()).unwrap();
            let found = runtime.probabilities(&Inputs::new(&input, &events).unwrap()).unwrap();
            let classes = link.classes(outputs);
            assert_eq!(found.len(), rows.len() * classes);
            let mut worst = 0.0;
            for (row, found) in rows.iter().zip(found.chunks(classes)) {
                let [pt, eta, kind] = [row[0], row[1], row[2]].map(|x| f64::from(x as f32));
                let row = if expressions == plain { [pt, eta, kind] } else { [pt.abs(), eta - 2.0 * pt, kind] };
                let ours = forest.scores_of(&row.map(|x| f64::from(x as f32)));
                let found: Vec<f64> = found.iter().map(|x| f64::from(*x)).collect();
                worst = f64::max(worst, difference(&found, &ours));
            }
            eprintln!("{link:?}: {worst:.1e}");
            assert!(worst <= 1e-5, "{link:?}: {worst:e}");
        }
    }
}

/// Changes a model file here and there: bytes, numbers, pieces that go, come twice or change places.
fn mutant(original: &[u8], random: &mut Philox) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + 1 + random.below(40)).min(bytes.len()))),
            3 => {
                let piece = bytes[at..(at + 1 + random.below(200)).min(bytes.len())].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => {
                // The next number becomes another one.
                let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else { continue };
                let end = bytes[start..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |i| start + i);
                let numbers = [
                    "0",
                    "1",
                    "2",
                    "7",
                    "-1",
                    "4294967295",
                    "2147483647",
                    "9999999999999999999",
                    "1e400",
                    "nan",
                    "1e-40",
                    "",
                ];
                let number = numbers[random.below(numbers.len())];
                bytes.splice(start..end, number.bytes());
            }
        }
    }
    bytes
}

/// 20,000 mutants of a format: an error that says where, or a forest that can be evaluated.
fn survives(files: &[&str]) {
    let (mut refused, mut read) = (0, 0);
    for k in 0..20_000u64 {
        let mut random = Philox::new(11, k, 0);
        let original = file(files[k as usize % files.len()]);
        match trees::read(&mutant(original.as_bytes(), &mut random)) {
            Ok((_, imported)) => {
                read += 1;
                imported.forest.check().unwrap();
                assert_eq!(imported.names.len(), imported.forest.features);
                let row = vec![0.5; imported.forest.features];
                assert_eq!(imported.forest.outputs_of(&row).len(), imported.forest.outputs());
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(": "), "{error}");
            }
        }
    }
    eprintln!("{refused} refused, {read} read");
    assert!(refused > 4000 && read > 1000, "{refused} {read}");
}

#[test]
fn damaged_xgboost_files_are_survived() {
    survives(&["xgb_named.json", "xgb_onehot.json", "xgb_base.json", "xgb_targets.json"]);
}

#[test]
fn damaged_lightgbm_files_are_survived() {
    survives(&["lgb_l1.txt", "lgb_forest.txt", "lgb_categories.txt", "lgb_stump.txt"]);
}

#[test]
fn damaged_tmva_files_are_survived() {
    survives(&["tmva_bagging.xml", "tmva_regression.xml", "tmva_multi.xml"]);
}

/// Writes forests for `references/check_tree_exports.py`, which loads them in their own programs.
#[test]
#[ignore = "for a check by hand: FB_TREE_EXPORTS names a folder"]
fn exports_for_other_programs() {
    let Some(folder) = std::env::var_os("FB_TREE_EXPORTS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let names: Vec<String> = ["pt", "eta", "kind"].map(str::to_owned).into();
    for (k, (link, outputs)) in LINKS.into_iter().enumerate() {
        for (single, sets) in [(true, false), (false, false), (true, true)] {
            let mut forest = random(link, outputs, single, sets, k as u64);
            // A beginning that single precision would lose as a probability.
            forest.base[0] = if link == Link::Votes { 0.1 } else { 3.0 };
            let rows = rows(&forest, 300);
            let scores: Vec<Vec<f64>> = rows.iter().map(|row| shown(&forest, row)).collect();
            let rows: Vec<Vec<Option<f64>>> = rows
                .into_iter()
                .map(|row| row.into_iter().map(|x| Some(x).filter(|x| !x.is_nan())).collect())
                .collect();
            let case =
                format!("{link:?}{outputs}{}{}", if single { "" } else { "_double" }, if sets { "_sets" } else { "" });
            let about = json!({"rows": rows, "scores": scores, "sets": sets, "single": single, "link": link});
            std::fs::write(folder.join(format!("{case}.about.json")), about.to_string()).unwrap();
            for (ending, text) in [
                ("xgboost.json", xgboost::write(&forest, &names)),
                ("lightgbm.txt", lightgbm::write(&forest, &names)),
                ("tmva.xml", tmva::write(&forest, &names)),
            ] {
                if let Ok(text) = text {
                    std::fs::write(folder.join(format!("{case}.{ending}")), text).unwrap();
                }
            }
        }
    }
}
