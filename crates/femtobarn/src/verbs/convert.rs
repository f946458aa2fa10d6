//! `fb convert`.

use std::path::{Path, PathBuf};

use fb_core::closest;
use fb_io::root::{Codec, Kind};
use fb_io::table::{Table, batches, schema};

use crate::console::Console;
use crate::failure::{Failure, Result};
use crate::workers::Threads;

/// Write the tables of files into one file of another format, with the names, types and lists they have.
///
/// Branches that cannot be read, or hold damaged entries, are left out and named on standard error. Several inputs are
/// chained in alphabetic order.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The input: `events.parquet`, `events.root:Events`, `"runs/*.root:Events"`.
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<String>,
    /// The output, whose name says its format.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// The branches to write [default: all that can be read].
    #[arg(long, value_delimiter = ',')]
    branches: Vec<String>,
    /// Write a ROOT file as an RNTuple, which has a place for columns of any kind, and not as a TTree.
    #[arg(long)]
    rntuple: bool,
    /// How a ROOT file is packed.
    #[arg(long, value_enum, default_value_t = Packing::Zstd)]
    codec: Packing,
    /// Threads; 0 stands for all of the machine.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Packing {
    None,
    Zlib,
    Lz4,
    Lzma,
    Zstd,
}

impl Packing {
    fn codec(self) -> Codec {
        match self {
            Self::None => Codec::Stored,
            Self::Zlib => Codec::Zlib,
            Self::Lz4 => Codec::Lz4,
            Self::Lzma => Codec::Lzma,
            Self::Zstd => Codec::Zstd,
        }
    }
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let workers = Threads::new(arguments.threads)?;
    let mut tables = Vec::new();
    for pattern in &arguments.inputs {
        for spec in fb_io::expand(pattern)? {
            let table = fb_io::open(&spec)?;
            tables.push((spec, table));
        }
    }
    let (first, others) = tables.split_first().ok_or_else(|| Failure::Usage("no input".to_owned()))?;
    let mut names = chosen(&*first.1, &arguments.branches)?;
    for (spec, table) in others {
        check_alike(&first.0, &*first.1, spec, &**table, &names)?;
    }
    let mut console = Console::default();
    // Damage shows only where it is read; what holds it is left out, and the rest is written.
    loop {
        if names.is_empty() {
            let place = first.0.display();
            return Err(Failure::Data(format!("{place}: no branch can be read, nothing is written")));
        }
        match write(&tables, &names, arguments, &workers)? {
            Ok(entries) => {
                let out = arguments.out.display();
                super::print(&format!("{entries} entries, {} columns  {out}\n", names.len()));
                return Ok(());
            }
            Err(damaged) => {
                for (name, reason) in &damaged {
                    console.warn(&format!("left out `{name}`: {reason}"));
                }
                names.retain(|name| damaged.iter().all(|(other, _)| other != name));
            }
        }
    }
}

/// The names of the branches to write; the others are told.
fn chosen(table: &dyn Table, asked: &[String]) -> Result<Vec<String>> {
    let mut console = Console::default();
    for name in asked {
        if !table.branches().iter().any(|branch| branch.name == *name) {
            let near = closest(name, table.branches().iter().map(|branch| branch.name.as_str()));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(Failure::Usage(format!("--branches: there is no branch `{name}`{hint}")));
        }
    }
    let mut names = Vec::new();
    for branch in table.branches() {
        if !asked.is_empty() && !asked.contains(&branch.name) {
            continue;
        }
        match &branch.content {
            Ok(_) => names.push(branch.name.clone()),
            Err(reason) => console.warn(&format!("left out `{}` ({}): {reason}", branch.name, branch.type_name)),
        }
    }
    Ok(names)
}

/// The indices of branches that are there and can be read.
fn indices(table: &dyn Table, names: &[String]) -> Vec<usize> {
    names.iter().filter_map(|name| table.branches().iter().position(|b| b.name == *name && b.content.is_ok())).collect()
}

/// Files that are chained have the same branches.
fn check_alike(first: &Path, table: &dyn Table, other: &Path, more: &dyn Table, names: &[String]) -> Result<()> {
    for name in names {
        let find = |table: &dyn Table| table.branches().iter().find(|b| b.name == *name).map(|b| b.content.clone());
        let (expected, found) = (find(table), find(more));
        if expected != found {
            let type_of = |content: Option<std::result::Result<_, String>>| match content {
                None => "absent".to_owned(),
                Some(Err(reason)) => reason,
                Some(Ok(content)) => format!("{content}"),
            };
            return Err(Failure::Data(format!(
                "{}, branch `{name}`: {}, expected {} as in {}; choose others with --branches",
                other.display(),
                type_of(found),
                type_of(expected),
                first.display()
            )));
        }
    }
    Ok(())
}

/// Branches that hold damage, each with its reason.
type Damaged = Vec<(String, String)>;

/// Writes all entries of these branches and gives their number.
fn write(
    tables: &[(PathBuf, Box<dyn Table>)],
    names: &[String],
    arguments: &Arguments,
    workers: &Threads,
) -> Result<std::result::Result<u64, Damaged>> {
    let Some((_, first)) = tables.first() else { return Ok(Ok(0)) };
    let kind = if arguments.rntuple { Kind::RNTuple } else { Kind::TTree };
    let schema = schema(&**first, &indices(&**first, names));
    let mut sink = fb_io::sink_as(&arguments.out, &schema, kind, arguments.codec.codec())?;
    let mut entries = 0;
    for (_, table) in tables {
        let branches = indices(&**table, names);
        for (cluster, batch) in batches(&**table, &branches, workers) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    let mut damaged = Vec::new();
                    for &branch in &branches {
                        if let Err(reason) = table.read(&[branch], cluster.clone()) {
                            damaged.push((table.branches()[branch].name.clone(), reason.to_string()));
                        }
                    }
                    return if damaged.is_empty() { Err(error.into()) } else { Ok(Err(damaged)) };
                }
            };
            entries += batch.num_rows() as u64;
            sink.write(&batch)?;
        }
    }
    sink.finish()?;
    Ok(Ok(entries))
}
