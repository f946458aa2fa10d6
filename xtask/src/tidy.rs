//! Rules that no compiler checks: which crate may see which, how long a file may be, that nothing below the program
//! looks at a clock or prints, that what is generated is up to date.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value as Json;

use crate::root;

/// The arrows between crates: (crate, what it may see).
const ARROWS: [(&str, &[&str]); 9] = [
    ("fb-core", &[]),
    ("fb-io", &["fb-core"]),
    ("fb-physics", &["fb-core"]),
    ("fb-statistics", &["fb-core"]),
    ("fb-nn", &["fb-core"]),
    ("fb-trees", &["fb-core"]),
    ("fb-methods", &["fb-core", "fb-physics", "fb-nn", "fb-trees", "fb-statistics"]),
    ("fb-deploy", &["fb-core", "fb-nn", "fb-trees"]),
    ("femtobarn", &["fb-core", "fb-io", "fb-physics", "fb-statistics", "fb-nn", "fb-trees", "fb-methods", "fb-deploy"]),
];

const LONGEST: usize = 800;
const LONGEST_METHOD: usize = 400;

/// Fails with everything that is not tidy.
pub fn check() -> Result<()> {
    let mut faults = arrows()?;
    for path in sources(&root())? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        faults.extend(file(path.strip_prefix(root()).unwrap_or(&path), &text));
    }
    faults.extend(crate::generate::stale()?);
    if faults.is_empty() {
        return Ok(());
    }
    bail!("not tidy:\n  {}", faults.join("\n  "))
}

/// Dependencies on crates of the workspace that the architecture does not allow.
fn arrows() -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .context("cargo metadata")?;
    let metadata: Json = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = text(&package["name"]);
        if name == "xtask" {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(n, _)| *n == name) else {
            faults.push(format!("crate {name}: a new crate needs its arrows here and a paragraph in ARCHITECTURE.md"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // What only tests use is no arrow.
            let (other, is_test) = (text(&dependency["name"]), dependency["kind"] == "dev");
            let ours = ARROWS.iter().any(|(n, _)| *n == other);
            if ours && !is_test && !allowed.contains(&other.as_str()) {
                faults.push(format!("crate {name} must not see {other}"));
            }
        }
    }
    Ok(faults)
}

/// Every Rust file of the repository.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn file(path: &Path, text: &str) -> Vec<String> {
    let (name, lines) = (path.display(), text.lines().count());
    let mut faults = Vec::new();
    let is_method = path.starts_with("crates/fb-methods/src") && path.components().count() > 4;
    let longest = if is_method { LONGEST_METHOD } else { LONGEST };
    if lines > longest {
        faults.push(format!("{name}: {lines} lines, at most {longest}: a part of it wants a file of its own"));
    }
    let is_library =
        path.starts_with("crates") && !path.starts_with("crates/femtobarn") && path.to_string_lossy().contains("/src/");
    if is_library {
        // The context of a run brings all of these.
        for word in ["println!", "Instant::now", "SystemTime::now", "std::env::", "ThreadPoolBuilder", "thread_rng"] {
            for (i, line) in
                text.lines().enumerate().filter(|(_, l)| l.contains(word) && !l.trim_start().starts_with("//"))
            {
                let _ = line;
                faults.push(format!("{name}:{}: `{word}` belongs above the libraries", i + 1));
            }
        }
    }
    // Spelt in two parts, so that this file does not find itself.
    for word in ["TO", "FIX"].map(|first| format!("{first}{}", if first == "TO" { "DO" } else { "ME" })) {
        if text.contains(&word) {
            faults.push(format!("{name}: `{word}`: do it or delete it"));
        }
    }
    if path.components().any(|c| c.as_os_str() == "src") && !text.starts_with("//!") {
        faults.push(format!("{name}: the first line says what the file is (`//! …`)"));
    }
    faults
}
