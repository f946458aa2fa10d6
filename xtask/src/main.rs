//! Chores of the repository: `cargo xtask tidy | gen | new-method FOLDER/NAME | bench nn | bench io | bench trees |
//! bench trees-scaling | bench jets | bench substructure | bench statistics | bench solve | bench bubble | references`.

mod bench;
mod bench_io;
mod bench_jets;
mod bench_statistics;
mod bench_substructure;
mod bench_theory;
mod bench_trees;
mod generate;
mod new_method;
mod tidy;
mod worker;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

// The same allocator as in `fb`, so that what is timed is what is used.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["tidy"] => tidy::check(),
        ["gen"] => generate::write(),
        ["new-method", path] => new_method::write(path),
        ["bench", "nn", ref options @ ..] => bench::networks(options),
        ["bench", "io"] => bench_io::files(),
        ["bench", "solve"] => bench_theory::equations(),
        ["bench", "bubble"] => bench_theory::bounces(),
        ["bench", "jets"] => bench_jets::jets(),
        ["bench", "statistics"] => bench_statistics::statistics(None),
        ["bench", "statistics", atlas] => bench_statistics::statistics(Some(atlas)),
        ["bench", "trees-scaling"] => bench_trees::scaling(),
        ["bench", "trees", ref words @ ..] => bench_trees::trees(words),
        ["bench", "substructure"] => bench_substructure::substructure(),
        ["bench-trees-worker", threads] => bench_trees::serve(threads.parse()?),
        ["bench-worker", threads] => worker::serve(threads.parse()?),
        ["references"] => references(),
        _ => bail!(
            "expected: tidy | gen | new-method FOLDER/NAME | bench nn [NETWORK…] | bench io | bench trees [WORD…] | \
             bench trees-scaling | bench jets | bench substructure | bench statistics [ATLAS-FOLDER] | bench solve | bench bubble | references"
        ),
    }
}

/// Makes the Python environment and writes the reference files anew.
fn references() -> Result<()> {
    let run = |program: &str, arguments: &[&str]| -> Result<()> {
        let status = std::process::Command::new(program).args(arguments).current_dir(root()).status()?;
        if !status.success() {
            bail!("{program} {arguments:?} failed");
        }
        Ok(())
    };
    run("sh", &["references/venv.sh"])?;
    run(".venv/bin/python", &["references/torch_taggers.py"])?;
    run(".venv/bin/python", &["crates/fb-io/tests/data/make.py"])
}
