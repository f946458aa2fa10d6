//! What the tests of the program share.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test file uses a part of it")]

mod mutate;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub use mutate::mutate;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// 400 jets.
pub fn tiny() -> PathBuf {
    root().join("samples/top_tagging/tiny.parquet")
}

/// The program.
pub fn fb() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fb"))
}

/// Runs the program.
pub fn run(arguments: &[&str]) -> Output {
    fb().args(arguments).output().unwrap()
}

/// An experiment file on 400 jets with these methods, and `read` as its further options.
pub fn experiment(folder: &Path, read: &str, methods: &str) -> String {
    let tiny = tiny().display().to_string();
    let text = format!(
        "[read]\nfiles = [\"{tiny}\"]\nlabel = \"label\"\nfolds = {{ by = \"event_id\", k = 4 }}\n{read}\n{methods}\n"
    );
    let path = folder.join("tiny.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// All numbers of a column.
pub fn numbers(events: &fb_core::Events, name: &str) -> Vec<f64> {
    let column = events.column(name).unwrap();
    (0..column.data.len()).map(|i| column.data.number(i)).collect()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the program and expects it to succeed.
pub fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "fb {arguments:?}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All models of a run, by path, with the SHA-256 of their bytes.
pub fn models(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.join("methods")];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else if entry.file_name() == "model.safetensors" {
                let name = entry.path().strip_prefix(folder).unwrap().to_owned();
                found.push((name, fb_io::fingerprint(entry.path()).unwrap().1));
            }
        }
    }
    found.sort();
    found
}
