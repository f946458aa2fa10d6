//! Wrong input: the exit code, what is said, and that nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::{experiment, fb, models, run, stderr, succeed, tiny};
use fb_core::{Column, Data, Events, Philox};
use femtobarn::Experiment;

const PFN: &str = "[[method]]\nname = \"pfn\"\nmax = 10\nphi = [8]\nf = [8]\ntrain = { epochs = 2, batch = 100 }\n";

/// Runs an experiment file that must fail with this code and this text.
fn fails(file: &str, extra: &[&str], code: i32, expected: &[&str]) {
    let out = Path::new(file).with_file_name("out");
    let _ = std::fs::remove_dir_all(&out);
    let output = run(&[&["run", file, "--out", out.to_str().unwrap()], extra].concat());
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in expected {
        assert!(text.contains(part), "expected `{part}` in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// The tiny sample with a change, in a file of its own.
fn changed(folder: &Path, change: impl Fn(&mut Events)) -> String {
    let mut events = fb_io::read(tiny()).unwrap();
    change(&mut events);
    let path = folder.join("changed.parquet");
    fb_io::write(&path, &events).unwrap();
    let text = format!("[read]\nfiles = [\"{}\"]\nlabel = \"label\"\n{PFN}", path.display());
    let file = folder.join("changed.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn with_column(events: &mut Events, name: &str, change: impl Fn(&mut Vec<f32>)) {
    let mut column: Column = events.column(name).unwrap().clone();
    let Data::F32(values) = &mut column.data else { panic!("{name} holds floats") };
    change(values);
    events.push(column).unwrap();
}

#[test]
fn experiment_files_that_cannot_be_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fails(&experiment(dir, "selct = \"jet_pt > 1\"", PFN), &[], 2, &["unknown key `selct`", "did you mean `select`"]);
    fails(&experiment(dir, "", &PFN.replace("pfn", "pfm")), &[], 2, &["no method `pfm`", "did you mean `pfn`"]);
    fails(
        &experiment(dir, "", &PFN.replace("epochs", "epoch")),
        &[],
        2,
        &["unknown key `epoch`", "did you mean `epochs`"],
    );
    fails(&experiment(dir, "", PFN), &["--set", "train.epochs=0"], 2, &["`train.epochs`", "at least 1"]);
    fails(&experiment(dir, "", PFN), &["--set", "train.lr=\"fast\""], 2, &["pfn", "fast"]);
    fails(&experiment(dir, "", PFN), &["--set", "evaluate.metrics=[\"auk\"]"], 2, &["did you mean `auc`"]);
    fails(&experiment(dir, "select = \"jet_pt >\"", PFN), &[], 2, &["jet_pt >"]);
    fails(&experiment(dir, "", ""), &[], 2, &["no `[[method]]`"]);
    fails(&experiment(dir, "", &format!("{PFN}{PFN}")), &[], 2, &["two methods are called `pfn`"]);
    fails(&experiment(dir, "= 3", PFN), &[], 2, &["line 5"]);
    fails(
        &experiment(dir, "", PFN),
        &["--set", "read.files=[\"none/*.parquet\"]"],
        2,
        &["no file matches `none/*.parquet`"],
    );
    fails(&dir.join("none.toml").display().to_string(), &[], 2, &["cannot read"]);
}

#[test]
fn data_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let plain = experiment(dir, "", PFN);
    fails(
        &plain,
        &["--set", "read.label=\"lable\""],
        3,
        &["tiny.parquet", "no column `lable`", "did you mean `label`"],
    );
    fails(&plain, &["--set", "read.select=\"jet_ptt > 1\""], 3, &["no column `jet_ptt`", "did you mean `jet_pt`"]);
    fails(&plain, &["--set", "read.select=\"label == 1\""], 3, &["class 0 of the training part is empty", "select"]);
    fails(&plain, &["--set", "read.weight=\"0 - 1\""], 3, &["class 0", "sum up to"]);
    fails(&plain, &["--set", "read.weight=\"log(jet_pt - 600)\""], 3, &["not finite in event"]);
    let offsets = fb_io::read(tiny()).unwrap().column("part_px").unwrap().offsets.clone().unwrap();
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let file = changed(dir, |events| with_column(events, "part_E", |x| x[offsets[37] + 1] = value));
        fails(&file, &[], 3, &["changed.parquet", "`part_E` is not finite in event 37", shown]);
    }
    let mev = changed(dir, |events| {
        for name in ["jet_pt", "jet_m", "jet_msd", "part_px", "part_py", "part_pz", "part_E"] {
            with_column(events, name, |x| x.iter_mut().for_each(|x| *x *= 1000.0));
        }
    });
    fails(&mev, &[], 3, &["looks like MeV", "read.unit"]);
    let out = dir.join("mev");
    succeed(&["run", &mev, "--out", out.to_str().unwrap(), "--set", "read.unit=MeV"]);
    let no_list = changed(dir, |events| {
        let flat = Column::flat("part_px", Data::F32(vec![1.0; events.len()]));
        events.push(flat).unwrap();
    });
    fails(&no_list, &[], 2, &["part_px", "expected a list of constituents"]);
    let classes = changed(dir, |events| {
        let label = Column::flat("label", Data::I64((0..400).map(|i| i % 3).collect()));
        events.push(label).unwrap();
    });
    fails(&classes, &["--set", "evaluate.metrics=[\"ams@10,100\"]"], 2, &["ams@10,100"]);
    let broken = changed(dir, |events| {
        let label = Column::flat("label", Data::F64((0..400).map(|i| f64::from(i) * 0.5).collect()));
        events.push(label).unwrap();
    });
    fails(&broken, &[], 3, &["event 1 has the class 0.5", "expected a whole number"]);
}

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(tiny()).unwrap();
    let path = folder.path().join("broken.parquet");
    let file = folder.path().join("broken.toml");
    std::fs::write(&file, format!("[read]\nfiles = [\"{}\"]\nlabel = \"label\"\n{PFN}", path.display())).unwrap();
    let file = file.display().to_string();
    for part in [0, 3, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..part]).unwrap();
        fails(&file, &[], 3, &["broken.parquet"]);
    }
    // Without checksums in the file, some damage only changes numbers; all other is an error that names the file.
    let mut noticed = 0;
    for part in 0..10 {
        let mut bytes = whole.clone();
        let at = whole.len() * part / 10;
        bytes[at..at + 300].fill(0x5a);
        std::fs::write(&path, &bytes).unwrap();
        let out = folder.path().join(format!("out-{part}"));
        let output = run(&["run", &file, "--out", out.to_str().unwrap()]);
        let text = stderr(&output);
        assert!(!text.contains("panicked"), "{text}");
        if output.status.code() != Some(0) {
            assert_eq!(output.status.code(), Some(3), "{text}");
            assert!(text.contains("broken.parquet"), "{text}");
            noticed += 1;
        }
    }
    assert!(noticed > 3, "{noticed} of 10");
    std::fs::write(&path, &whole).unwrap();
    fails(&file, &["--set", "read.files=[\"Cargo.toml\"]"], 3, &["expected one of .root, .parquet, .csv"]);
}

#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "", &PFN.replace('8', "64"));
    let (calm, out) = (folder.path().join("calm"), folder.path().join("out"));
    succeed(&["run", &file, "--out", calm.to_str().unwrap()]);
    // No file may grow beyond 8 kB, as on a disk that is full: the model does not fit.
    let program = env!("CARGO_BIN_EXE_fb");
    let script = format!("trap '' XFSZ; ulimit -f 16; exec {program} run {file} --out {}", out.display());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot write"), "{}", stderr(&output));
    let mut open = vec![out.clone()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap().flatten() {
            assert!(!entry.path().to_string_lossy().ends_with(".tmp"), "no half-written file stays: {entry:?}");
            if entry.path().is_dir() {
                open.push(entry.path());
            }
        }
    }
    succeed(&["resume", out.to_str().unwrap()]);
    assert_eq!(models(&calm), models(&out));
}

#[test]
fn folders_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "", PFN);
    let occupied = folder.path().join("file");
    std::fs::write(&occupied, "x").unwrap();
    let output = run(&["run", &file, "--out", occupied.join("run").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("cannot create"), "{}", stderr(&output));
    // Nothing can be made below /proc, not even by the system's owner.
    let output = run(&["run", &file, "--out", "/proc/femtobarn"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let out = folder.path().join("run");
    succeed(&["run", &file, "--out", out.to_str().unwrap()]);
    let output = run(&["run", &file, "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("fb resume"), "{}", stderr(&output));
    let output = run(&["resume", folder.path().join("nothing").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn damaged_checkpoints_and_models_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "", PFN);
    let [calm, out] = ["calm", "out"].map(|name| folder.path().join(name));
    succeed(&["run", &file, "--out", calm.to_str().unwrap(), "--set", "train.epochs=400"]);
    let mut child = fb()
        .args(["run", &file, "--out", out.to_str().unwrap(), "--set", "train.epochs=400"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let home = out.join("methods/pfn/seed-1");
    let newer = home.join("checkpoint.0");
    while !newer.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let mut bytes = std::fs::read(&newer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newer, bytes).unwrap();
    let output = run(&["resume", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("checkpoint.0 is damaged"), "{}", stderr(&output));
    assert_eq!(models(&calm), models(&out));
    // A model that was altered is not used.
    let model = home.join("model.safetensors");
    let mut bytes = std::fs::read(&model).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let output = run(&["predict", out.to_str().unwrap(), tiny().to_str().unwrap(), "-o", "never.csv"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("digest"), "{}", stderr(&output));
    assert!(!Path::new("never.csv").exists());
}

#[test]
fn a_run_goes_on_with_its_own_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = changed(folder.path(), |_| {});
    let out = folder.path().join("run");
    succeed(&["run", &file, "--out", out.to_str().unwrap()]);
    changed(folder.path(), |events| with_column(events, "jet_pt", |x| x[0] += 1.0));
    let output = run(&["resume", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("start a new run"), "{}", stderr(&output));
}

#[test]
fn mutants_of_an_experiment_file_never_panic() {
    let mut seed =
        String::from("title = \"x\"\nseed = 3\nseeds = 2\n[read]\nfiles = [\"a.parquet\"]\nlabel = \"label\"\n");
    let _ = write!(seed, "select = \"jet_pt > 5 && abs(jet_eta) < 2\"\nfolds = {{ by = \"event_id\", k = 5 }}\n{PFN}");
    seed += "[evaluate]\nmetrics = [\"auc\", \"rejection@0.3\"]\nlearning_curve = [0.5]\n[deploy]\nonnx = false\n";
    assert!(Experiment::parse(&seed, "x", &[]).is_ok());
    let words = [
        "[[method]]",
        "name",
        "=",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\n",
        "1e999",
        "-1",
        "nan",
        "true",
        "'''",
        "\u{0}",
        "é",
        ".",
    ];
    let mut random = Philox::new(5, 0, 0);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..=random.below(4) {
            let at = random.below(text.len());
            match random.below(4) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, char::from(random.below(128) as u8)),
                2 => {
                    let word = words[random.below(words.len())];
                    text.splice(at..at, word.chars());
                }
                _ => {
                    let end = (at + random.below(40)).min(text.len());
                    let piece: Vec<char> = text[at..end].to_vec();
                    let to = random.below(text.len());
                    text.splice(to..to, piece);
                }
            }
        }
        let text: String = text.into_iter().collect();
        accepted += usize::from(Experiment::parse(&text, "x", &[]).is_ok());
    }
    assert!(accepted > 100, "some changes are harmless: {accepted}");
}
