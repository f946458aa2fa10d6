//! `fb data`.

use std::path::PathBuf;

use fb_core::closest;
use fb_io::root::{Codec, Kind};
use fb_io::table::{Table, batch, batches};

use crate::failure::{Failure, Result};
use crate::public_sets::{Loader, SETS};
use crate::workers::Threads;

/// Public data sets of the field: which there are, and how a downloaded one becomes a sample.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Name the sets with their identifiers, formats, sizes and papers, and the loader that reads them.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Turn downloaded files into one sample: lists of constituents, `label`, columns of truth that end with `_true`.
    Import {
        /// The files, as they were downloaded; several are chained in alphabetic order.
        #[arg(required = true, value_name = "PATH")]
        inputs: Vec<String>,
        /// Which set they are of [default: as their columns tell].
        #[arg(long, value_name = "NAME")]
        set: Option<String>,
        /// The sample, whose name says its format.
        #[arg(short, long, value_name = "OUT")]
        out: PathBuf,
        /// Threads; 0 stands for all of the machine.
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        Action::List { json: true } => super::print_json(&serde_json::json!({ "sets": SETS })),
        Action::List { json: false } => {
            let lines = SETS.iter().map(|set| {
                let how = if set.loader.is_some() { "fb data import" } else { "read as it is" };
                let about = format!("{}, {}, doi:{}, {}; {how}", set.size, set.format, set.doi, set.paper);
                format!("{:<12} {}\n{:<12} {about}\n", set.name, set.title, "")
            });
            super::print(&lines.collect::<String>());
            Ok(())
        }
        Action::Import { inputs, set, out, threads } => import(inputs, set.as_deref(), out, *threads),
    }
}

fn import(inputs: &[String], set: Option<&str>, out: &std::path::Path, threads: usize) -> Result<()> {
    let workers = Threads::new(threads)?;
    let asked = set.map(named).transpose()?;
    let mut sink = None;
    let (mut entries, mut files) = (0, 0);
    for pattern in inputs {
        for path in fb_io::expand(pattern)? {
            let table = table(&path)?;
            let known = || {
                let reason = "its columns are those of no set that can be imported; `fb data list` names them";
                Failure::Data(format!("{}: {reason}", path.display()))
            };
            let loader = asked.or_else(|| Loader::of(&*table)).ok_or_else(known)?;
            let branches: Vec<usize> =
                (0..table.branches().len()).filter(|&b| table.branches()[b].content.is_ok()).collect();
            for (_, read) in batches(&*table, &branches, &workers) {
                let sample = batch(&loader.sample(&path, &read?)?);
                if sink.is_none() {
                    sink = Some(fb_io::sink_as(out, &sample.schema(), Kind::TTree, Codec::default())?);
                }
                if let Some(sink) = &mut sink {
                    sink.write(&sample)?;
                }
                entries += sample.num_rows();
            }
            files += 1;
        }
    }
    let Some(sink) = sink else {
        return Err(Failure::Data(format!("{}: no entries", inputs.join(", "))));
    };
    sink.finish()?;
    super::print(&format!("{entries} entries of {files} files  {}\n", out.display()));
    Ok(())
}

/// The table of a file; of several, the one that is of a set.
fn table(path: &std::path::Path) -> Result<Box<dyn Table>> {
    let tables = fb_io::tables(path).unwrap_or_default();
    match tables.into_iter().find(|table| Loader::of(&**table).is_some()) {
        Some(table) => Ok(table),
        None => Ok(fb_io::open(path)?),
    }
}

fn named(name: &str) -> Result<Loader> {
    let loaders = SETS.iter().filter_map(|set| Some((set.name, set.loader?)));
    if let Some((_, loader)) = loaders.clone().find(|(known, _)| *known == name) {
        return Ok(loader);
    }
    let hint = closest(name, loaders.map(|(known, _)| known));
    let hint = hint.map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
    Err(Failure::Usage(format!("--set: there is no loader for `{name}`{hint}")))
}
