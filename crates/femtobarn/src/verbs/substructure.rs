//! `fb substructure`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fb_core::{Column, Data, Error, Events, Workers as _};
use fb_io::table::{Sink, batch};
use fb_physics::four_vector::FourVector;
use fb_physics::particles::momenta;
use fb_physics::substructure::Jet;
use fb_physics::substructure::observable::{Observables, Value};

use crate::failure::{Failure, Result};
use crate::workers::Threads;

/// What the names of columns of particles may end with: see [`momenta`].
pub(super) const SUFFIXES: [&str; 10] = ["px", "py", "pz", "E", "pt", "eta", "y", "phi", "mass", "m"];
/// Jets whose values are in memory at a time.
const JETS: usize = 2048;
/// Jets of one task.
const TASK: usize = 16;

/// Compute observables of the inside of jets: N-subjettiness, energy correlators and flow polynomials, groomed masses,
/// Lund planes.
///
/// One entry is one jet, a list of particles in `part_px, part_py, part_pz, part_E` or in `part_pt`, `part_eta` or
/// `part_y`, `part_phi` and, if they are not massless, `part_mass`; momenta in GeV. The output has one entry a jet in the
/// same order. Names, parameters and defaults are in docs/substructure.md.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The input: `jets.parquet`, `jets.root:Events`, `"jets/*.h5"`.
    #[arg(value_name = "IN")]
    input: String,
    /// The observables: "tau1,tau32(beta=2),soft_drop_mass,wide=width,efp(d<=5),lund".
    #[arg(long, value_name = "NAMES")]
    set: String,
    /// What the names of the particles' columns begin with.
    #[arg(long, default_value = "part")]
    prefix: String,
    /// Columns of the input, with one number or text a jet, that the output has too.
    #[arg(long, value_delimiter = ',')]
    keep: Vec<String>,
    /// Where the values go: .parquet, .root, .h5, .npz, or, without lists, .csv.
    #[arg(short, long)]
    out: PathBuf,
    /// Threads; 0 stands for all of the machine.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let mut observables = Observables::parse(&arguments.set)?;
    let workers = Threads::new(arguments.threads)?;
    let columns = observables.columns();
    if let Some(name) = arguments.keep.iter().find(|name| columns.iter().any(|(other, _)| other == *name)) {
        let reason = "an observable has this name; give it another with `NAME = ...`";
        return Err(Failure::Usage(format!("--keep: column `{name}`: {reason}")));
    }
    let mut names: Vec<String> = SUFFIXES.iter().map(|suffix| format!("{}_{suffix}", arguments.prefix)).collect();
    if observables.needs_charge() {
        names.push(charges_of(&arguments.prefix));
    }
    names.extend(arguments.keep.iter().cloned());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let paths = fb_io::expand(&arguments.input)?;
    if let Some(path) = paths.first() {
        for row in observables.reference_rows() {
            let particles = reference(path, &names, &arguments.prefix, row)?;
            observables.set_reference(row, &particles);
        }
    }
    let (mut sink, mut jets) = (None, 0);
    for path in &paths {
        let mut first = 0;
        fb_io::for_each_block::<Failure>(path, &names, &mut |events| {
            let block = Block::new(path, &events, first, arguments, observables.needs_charge())?;
            // A block without jets still says what the columns are.
            let mut start = 0;
            while start < events.len() || (sink.is_none() && start == 0) {
                let end = events.len().min(start + JETS);
                let mut columns = block.kept(start, end)?;
                columns.extend(block.values(start, end, &observables, &workers)?);
                let batch = batch(&Events::new(columns)?);
                if sink.is_none() {
                    sink = Some(fb_io::sink(&arguments.out, batch.schema_ref())?);
                }
                sink.as_mut().map_or(Ok(()), |sink: &mut Box<dyn Sink>| sink.write(&batch))?;
                start += JETS;
            }
            first += events.len();
            Ok(())
        })?;
        jets += first;
    }
    sink.map_or(Ok(()), Sink::finish)?;
    super::print(&format!("{jets} jets, {} columns  {}\n", columns.len(), arguments.out.display()));
    Ok(())
}

fn charges_of(prefix: &str) -> String {
    format!("{prefix}_charge")
}

/// The particles of one jet of a file.
fn reference(path: &Path, names: &[&str], prefix: &str, row: usize) -> Result<Vec<FourVector>> {
    let (mut first, mut found) = (0, None);
    fb_io::for_each_block::<Failure>(path, names, &mut |events| {
        if (first..first + events.len()).contains(&row) {
            let (all, offsets) = momenta(&events, prefix).map_err(|error| in_file(path, first, error))?;
            found = Some(all[offsets[row - first]..offsets[row - first + 1]].to_vec());
        }
        first += events.len();
        Ok(())
    })?;
    found.ok_or_else(|| {
        let path = path.display();
        Failure::Usage(format!("`emd`: `row` is {row}, but {path} has {first} jets; the first is row 0"))
    })
}

/// Jets that were read together.
struct Block<'a> {
    path: &'a Path,
    events: &'a Events,
    /// The row of the first jet in its file.
    first: usize,
    keep: &'a [String],
    momenta: Vec<FourVector>,
    charges: Option<Vec<f64>>,
    offsets: Arc<Vec<usize>>,
}

impl<'a> Block<'a> {
    fn new(
        path: &'a Path,
        events: &'a Events,
        first: usize,
        arguments: &'a Arguments,
        with_charge: bool,
    ) -> Result<Self> {
        let here = |error| in_file(path, first, error);
        let (momenta, offsets) = momenta(events, &arguments.prefix).map_err(here)?;
        let mut charges = None;
        if with_charge {
            let column = events.column(&charges_of(&arguments.prefix)).map_err(here)?;
            if column.offsets.as_ref() != Some(&offsets) {
                let reason = "its lists differ in length from those of the momenta".to_owned();
                return Err(here(Error::Config { place: format!("column `{}`", column.name), reason }));
            }
            charges = Some((0..column.data.len()).map(|i| column.data.number(i)).collect());
        }
        Ok(Self { path, events, first, keep: &arguments.keep, momenta, charges, offsets })
    }

    /// The columns that are only passed on.
    fn kept(&self, start: usize, end: usize) -> Result<Vec<Column>> {
        let rows: Vec<usize> = (start..end).collect();
        let column = |name: &String| {
            let column = self.events.column(name).map_err(|error| in_file(self.path, self.first, error))?;
            if column.offsets.is_some() {
                let reason = "holds lists, expected one number or text a jet";
                return Err(Failure::Usage(format!("--keep: column `{name}` {reason}")));
            }
            Ok(Column { data: column.data.take(&rows), ..column.clone() })
        };
        self.keep.iter().map(column).collect()
    }

    /// The columns of the observables.
    fn values(&self, start: usize, end: usize, observables: &Observables, workers: &Threads) -> Result<Vec<Column>> {
        let tasks: Vec<Mutex<Vec<Result<Vec<Value>>>>> = (start..end).step_by(TASK).map(|_| Mutex::default()).collect();
        workers.for_each(tasks.len(), &|task| {
            let first = start + task * TASK;
            let values = (first..end.min(first + TASK)).map(|jet| self.jet(jet, observables)).collect();
            if let Ok(mut slot) = tasks[task].lock() {
                *slot = values;
            }
        });
        let mut columns: Vec<(Vec<f64>, Vec<usize>)> =
            observables.columns().iter().map(|_| (Vec::with_capacity(end - start), vec![0])).collect();
        for values in tasks.into_iter().flat_map(|task| task.into_inner().unwrap_or_default()) {
            for (value, (data, offsets)) in values?.into_iter().zip(&mut columns) {
                match value {
                    Value::Number(x) => data.push(x),
                    Value::List(list) => data.extend(list),
                }
                offsets.push(data.len());
            }
        }
        let column = |((name, is_list), (data, offsets)): ((String, bool), _)| {
            let data = Data::F64(data);
            if is_list { Column::jagged(name, data, Arc::new(offsets)) } else { Column::flat(name, data) }
        };
        Ok(observables.columns().into_iter().zip(columns).map(column).collect())
    }

    fn jet(&self, jet: usize, observables: &Observables) -> Result<Vec<Value>> {
        let particles = self.offsets[jet]..self.offsets[jet + 1];
        let charges = self.charges.as_ref().map(|charges| &charges[particles.clone()]);
        Jet::new(&self.momenta[particles], charges).and_then(|jet| observables.evaluate(&jet)).map_err(|error| {
            let (path, row) = (self.path.display(), self.first + jet);
            Failure::Data(format!("{path}: row {row}: {error}"))
        })
    }
}

/// An error in a block whose first entry has this number in the file.
pub(super) fn in_file(path: &Path, first: usize, error: Error) -> Failure {
    let source = match error {
        Error::NotFinite { column, event, found } => Error::NotFinite { column, event: first + event, found },
        other => other,
    };
    Failure::In { path: path.to_owned(), source }
}
