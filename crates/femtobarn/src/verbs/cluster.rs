//! `fb cluster`.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use fb_core::{Column, Events, Unit, Workers as _};
use fb_io::table::{Table, batches, events, list, list_of};
use fb_physics::four_vector::FourVector;
use fb_physics::jets::{Algorithm, Clustering, Definition, Scheme, Strategy};

use crate::console::Console;
use crate::failure::{Failure, Result};
use crate::workers::Threads;

/// Cluster the particles of each event into jets.
///
/// Reads the lists PREFIX_px, PREFIX_py, PREFIX_pz, PREFIX_E, or PREFIX_pt, PREFIX_eta (or PREFIX_y, the rapidity), PREFIX_phi
/// and PREFIX_mass (without it particles are massless), in GeV. Writes one row an event, in the same order: lists jet_px,
/// jet_py, jet_pz, jet_E by falling transverse momentum, and jet_constituents, for each jet the indices of its particles in the
/// lists that were read.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The input: `events.parquet`, `events.root:Events`, `"runs/*.root:Events"`.
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<String>,
    /// The output, whose name says its format; lists of lists have a place in Parquet and in RNTuples.
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,
    /// anti-kt, kt, cambridge-aachen, genkt:P with a power P, ee-kt (Durham), ee-genkt:P.
    #[arg(long, default_value = "anti-kt", value_parser = algorithm, allow_hyphen_values = true)]
    algorithm: Algorithm,
    /// The jet radius.
    #[arg(long = "R", value_name = "R", default_value_t = 0.4)]
    radius: f64,
    /// How momenta are recombined.
    #[arg(long, value_enum, default_value_t = Recombination::E)]
    scheme: Recombination,
    /// How neighbours are found; the jets are the same.
    #[arg(long, value_enum, default_value_t = Search::Best)]
    strategy: Search,
    /// Only jets with at least this transverse momentum in GeV.
    #[arg(long, value_name = "PT", default_value_t = 0.0)]
    ptmin: f64,
    /// The jets that are left when there are N, and not those that met the beam.
    #[arg(long, value_name = "N", conflicts_with = "dcut")]
    exclusive: Option<usize>,
    /// The jets that are left when no distance up to D is, and not those that met the beam.
    #[arg(long, value_name = "D")]
    dcut: Option<f64>,
    /// What the names of the columns of particles begin with.
    #[arg(long, default_value = "part")]
    prefix: String,
    /// Threads; 0 stands for all of the machine.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Recombination {
    E,
    Pt,
    Pt2,
    WtaPt,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Search {
    Best,
    Plain,
    Tiled,
    #[value(name = "n-ln-n")]
    NLnN,
}

fn algorithm(text: &str) -> std::result::Result<Algorithm, String> {
    let power = |text: &str| text.parse::<f64>().map_err(|_| format!("power `{text}`, expected a number"));
    match text.split_once(':') {
        Some(("genkt", p)) => Ok(Algorithm::GeneralisedKt(power(p)?)),
        Some(("ee-genkt", p)) => Ok(Algorithm::EeGeneralisedKt(power(p)?)),
        None if text == "anti-kt" => Ok(Algorithm::AntiKt),
        None if text == "kt" => Ok(Algorithm::Kt),
        None if text == "cambridge-aachen" => Ok(Algorithm::CambridgeAachen),
        None if text == "ee-kt" => Ok(Algorithm::EeKt),
        _ => Err("expected anti-kt, kt, cambridge-aachen, genkt:P, ee-kt or ee-genkt:P".to_owned()),
    }
}

impl Arguments {
    fn definition(&self) -> Result<Definition> {
        let definition = Definition {
            algorithm: self.algorithm,
            radius: self.radius,
            scheme: match self.scheme {
                Recombination::E => Scheme::E,
                Recombination::Pt => Scheme::Pt,
                Recombination::Pt2 => Scheme::Pt2,
                Recombination::WtaPt => Scheme::WtaPt,
            },
            strategy: match self.strategy {
                Search::Best => Strategy::Best,
                Search::Plain => Strategy::Plain,
                Search::Tiled => Strategy::Tiled,
                Search::NLnN => Strategy::NLnN,
            },
        };
        // What is wrong with a definition is wrong without particles, and no fault of the data.
        Clustering::new(&[], &definition).map_err(|error| Failure::Usage(error.to_string()))?;
        for (option, value) in [("ptmin", Some(self.ptmin)), ("dcut", self.dcut)] {
            if value.is_some_and(f64::is_nan) {
                return Err(Failure::Usage(format!("--{option}: NaN, expected a number")));
            }
        }
        Ok(definition)
    }

    /// The jets of one event.
    fn jets(&self, clustering: &Clustering) -> Vec<usize> {
        let mut jets = match (self.exclusive, self.dcut) {
            (Some(n), _) => clustering.exclusive(n),
            (None, Some(d)) => clustering.exclusive_dmin(d),
            (None, None) => return clustering.inclusive(self.ptmin),
        };
        jets.retain(|&jet| clustering.momentum(jet).pt() >= self.ptmin);
        jets
    }
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let definition = arguments.definition()?;
    let workers = Threads::new(arguments.threads)?;
    let mut tables = Vec::new();
    for pattern in &arguments.inputs {
        for spec in fb_io::expand(pattern)? {
            let table = fb_io::open(&spec)?;
            let columns = Columns::find(&*table, &arguments.prefix)
                .map_err(|reason| Failure::Data(format!("{}: {reason}", spec.display())))?;
            if columns.massless {
                let prefix = &arguments.prefix;
                Console::default().warn(&format!("{}: no `{prefix}_mass`, particles are massless", spec.display()));
            }
            tables.push((spec, table, columns));
        }
    }
    let schema = schema();
    let mut sink = fb_io::sink_as(&arguments.out, &schema, fb_io::root::Kind::RNTuple, fb_io::root::Codec::default())?;
    let (mut rows, mut jets) = (0usize, 0usize);
    for (spec, table, columns) in &tables {
        for (cluster, batch) in batches(&**table, &columns.branches, &workers) {
            let (events, _) = events(&batch?);
            let place = |event: usize, what: &str| {
                Failure::Data(format!("{}: event {}: {what}", spec.display(), cluster.start + event as u64))
            };
            let columns = columns.of(&events)?;
            let found = columns.cluster(&events, arguments, &definition, &workers);
            let found = found.map_err(|(event, what)| place(event, &what))?;
            rows += events.len();
            jets += found.momenta[0].len();
            sink.write(&found.batch(&schema)?)?;
        }
    }
    sink.finish()?;
    super::print(&format!("{rows} events, {jets} jets  {}\n", arguments.out.display()));
    Ok(())
}

/// How momenta are given.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// px, py, pz, E.
    Cartesian,
    /// pT, η, φ, mass if there is one.
    Pseudorapidity,
    /// pT, y, φ, mass if there is one.
    Rapidity,
}

/// The columns of particles in a table.
struct Columns {
    form: Form,
    massless: bool,
    branches: Vec<usize>,
    names: Vec<String>,
}

impl Columns {
    fn find(table: &dyn Table, prefix: &str) -> std::result::Result<Self, String> {
        let at = |name: &String| table.branches().iter().position(|branch| branch.name == *name);
        let names = |parts: &[&str]| parts.iter().map(|part| format!("{prefix}_{part}")).collect::<Vec<_>>();
        let forms = [
            (Form::Cartesian, names(&["px", "py", "pz", "E"])),
            (Form::Pseudorapidity, names(&["pt", "eta", "phi"])),
            (Form::Rapidity, names(&["pt", "y", "phi"])),
        ];
        let Some((form, mut names)) = forms.into_iter().find(|(_, names)| names.iter().all(|name| at(name).is_some()))
        else {
            return Err(format!(
                "no columns `{prefix}_px`, `{prefix}_py`, `{prefix}_pz`, `{prefix}_E`, nor `{prefix}_pt`, `{prefix}_eta` or \
                 `{prefix}_y`, `{prefix}_phi`; name them with --prefix"
            ));
        };
        let mass = format!("{prefix}_mass");
        let massless = !matches!(form, Form::Cartesian) && at(&mass).is_none();
        if !massless && !matches!(form, Form::Cartesian) {
            names.push(mass);
        }
        let mut branches = Vec::new();
        for name in &names {
            let branch = at(name).ok_or_else(|| format!("no column `{name}`"))?;
            let content = table.branches()[branch].content.as_ref();
            let content = content.map_err(|reason| format!("column `{name}`: {reason}"))?;
            let inner = match content {
                DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.data_type(),
                other => other,
            };
            if inner == content || !inner.is_numeric() {
                return Err(format!("column `{name}`: {content}, expected lists of numbers"));
            }
            branches.push(branch);
        }
        Ok(Self { form, massless, branches, names })
    }

    /// These columns of some events.
    fn of<'a>(&self, events: &'a Events) -> Result<Particles<'a>> {
        let columns = self.names.iter().map(|name| events.column(name)).collect::<fb_core::Result<_>>()?;
        Ok(Particles { form: self.form, columns })
    }
}

/// The particles of some events.
struct Particles<'a> {
    form: Form,
    /// In the order of the form.
    columns: Vec<&'a Column>,
}

impl Particles<'_> {
    /// The momenta of an event.
    fn momenta(&self, event: usize) -> std::result::Result<Vec<FourVector>, String> {
        let first = self.columns[0];
        let range = first.range(event);
        for column in &self.columns[1..] {
            let (found, expected) = (column.range(event).len(), range.len());
            if found != expected {
                let (name, first) = (&column.name, &first.name);
                return Err(format!("`{name}` has {found} entries, expected {expected} as `{first}` has"));
            }
        }
        let value = |column: usize, i: usize| {
            self.columns.get(column).map_or(0.0, |column| column.data.number(column.range(event).start + i))
        };
        let energy = |column: usize, i: usize| {
            let mev = self.columns.get(column).is_some_and(|column| column.unit == Unit::Mev);
            value(column, i) * if mev { 1e-3 } else { 1.0 }
        };
        let momentum = |i: usize| match self.form {
            Form::Cartesian => FourVector { px: energy(0, i), py: energy(1, i), pz: energy(2, i), e: energy(3, i) },
            Form::Pseudorapidity => FourVector::from_pt_eta_phi_m(energy(0, i), value(1, i), value(2, i), energy(3, i)),
            Form::Rapidity => {
                let (pt, y, phi, m) = (energy(0, i), value(1, i), value(2, i), energy(3, i));
                let transverse = pt.hypot(m);
                FourVector {
                    px: pt * phi.cos(),
                    py: pt * phi.sin(),
                    pz: transverse * y.sinh(),
                    e: transverse * y.cosh(),
                }
            }
        };
        Ok((0..range.len()).map(momentum).collect())
    }

    /// The jets of all events, or what is wrong with the first that cannot be clustered.
    fn cluster(
        &self,
        events: &Events,
        arguments: &Arguments,
        definition: &Definition,
        workers: &Threads,
    ) -> std::result::Result<Jets, (usize, String)> {
        /// Events that one task takes.
        const TASK: usize = 16;
        let tasks = events.len().div_ceil(TASK);
        let done: Vec<OnceLock<std::result::Result<Jets, (usize, String)>>> = vec![OnceLock::new(); tasks];
        workers.for_each(tasks, &|task| {
            let range = task * TASK..events.len().min((task + 1) * TASK);
            let _ = done[task].set(self.cluster_range(range, arguments, definition));
        });
        let mut all = Jets::default();
        for jets in done.into_iter().filter_map(OnceLock::into_inner) {
            all.append(&jets?);
        }
        Ok(all)
    }

    fn cluster_range(
        &self,
        events: Range<usize>,
        arguments: &Arguments,
        definition: &Definition,
    ) -> std::result::Result<Jets, (usize, String)> {
        let mut all = Jets::default();
        for event in events {
            let particles = self.momenta(event).map_err(|what| (event, what))?;
            let clustering = Clustering::new(&particles, definition).map_err(|error| (event, error.to_string()))?;
            for jet in arguments.jets(&clustering) {
                let p = clustering.momentum(jet);
                for (column, value) in all.momenta.iter_mut().zip([p.px, p.py, p.pz, p.e]) {
                    column.push(value);
                }
                all.constituents.extend(clustering.constituents(jet).iter().map(|&i| i as i32));
                all.particles.push(all.constituents.len());
            }
            all.jets.push(all.momenta[0].len());
        }
        Ok(all)
    }
}

/// Jets of many events.
#[derive(Clone)]
struct Jets {
    /// px, py, pz, E.
    momenta: [Vec<f64>; 4],
    constituents: Vec<i32>,
    /// Where the constituents of each jet begin, and the end.
    particles: Vec<usize>,
    /// Where the jets of each event begin, and the end.
    jets: Vec<usize>,
}

impl Default for Jets {
    fn default() -> Self {
        Self { momenta: Default::default(), constituents: Vec::new(), particles: vec![0], jets: vec![0] }
    }
}

impl Jets {
    fn append(&mut self, other: &Self) {
        let (jets, particles) = (self.momenta[0].len(), self.constituents.len());
        for (column, more) in self.momenta.iter_mut().zip(&other.momenta) {
            column.extend_from_slice(more);
        }
        self.constituents.extend_from_slice(&other.constituents);
        self.particles.extend(other.particles[1..].iter().map(|o| o + particles));
        self.jets.extend(other.jets[1..].iter().map(|o| o + jets));
    }

    fn batch(self, schema: &SchemaRef) -> Result<RecordBatch> {
        let too_many = || Failure::Data("more than 2³¹ constituents in one block of the input".to_owned());
        let mut columns: Vec<ArrayRef> = Vec::new();
        for column in self.momenta {
            columns.push(list(&self.jets, Arc::new(Float64Array::from(column))).ok_or_else(too_many)?);
        }
        let constituents = list(&self.particles, Arc::new(Int32Array::from(self.constituents))).ok_or_else(too_many)?;
        columns.push(list(&self.jets, constituents).ok_or_else(too_many)?);
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| Failure::Data(error.to_string()))
    }
}

fn schema() -> SchemaRef {
    let numbers = |name: &str| {
        let unit = [(fb_io::table::UNIT.to_owned(), Unit::Gev.symbol().to_owned())].into();
        Field::new(name, list_of(DataType::Float64), false).with_metadata(unit)
    };
    let mut fields: Vec<Field> = ["jet_px", "jet_py", "jet_pz", "jet_E"].map(numbers).into();
    fields.push(Field::new("jet_constituents", list_of(list_of(DataType::Int32)), false));
    Arc::new(Schema::new(fields))
}
