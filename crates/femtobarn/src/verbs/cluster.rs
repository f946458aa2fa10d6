//! `fb cluster`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use fb_core::{Unit, Workers as _};
use fb_io::table::{list, list_of};
use fb_physics::four_vector::FourVector;
use fb_physics::jets::{Algorithm, Clustering, Definition, JetError, Scheme, Strategy};
use fb_physics::particles::momenta;

use super::substructure::{SUFFIXES, in_file};
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
    #[value(name = "E", alias = "e")]
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
    let mut paths = Vec::new();
    for pattern in &arguments.inputs {
        paths.extend(fb_io::expand(pattern)?);
    }
    let prefix = &arguments.prefix;
    let names: Vec<String> = SUFFIXES.iter().map(|suffix| format!("{prefix}_{suffix}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let schema = schema();
    let mut sink = fb_io::sink_as(&arguments.out, &schema, fb_io::root::Kind::RNTuple, fb_io::root::Codec::default())?;
    let (mut rows, mut jets) = (0usize, 0usize);
    for path in &paths {
        let mut first = 0;
        fb_io::for_each_block::<Failure>(path, &names, &mut |events| {
            let (particles, offsets) = momenta(&events, prefix).map_err(|error| in_file(path, first, error))?;
            let has = |suffix: &str| events.column(&format!("{prefix}_{suffix}")).is_ok();
            if first == 0 && !has("px") && !has("mass") && !has("m") {
                Console::default().warn(&format!("{}: no `{prefix}_mass`, particles are massless", path.display()));
            }
            let found = cluster(&particles, &offsets, arguments, &definition, &workers).map_err(|(event, error)| {
                Failure::Data(format!("{}: event {}: {error}", path.display(), first + event))
            })?;
            first += events.len();
            jets += found.momenta[0].len();
            Ok(sink.write(&found.batch(&schema)?)?)
        })?;
        rows += first;
    }
    sink.finish()?;
    super::print(&format!("{rows} events, {jets} jets  {}\n", arguments.out.display()));
    Ok(())
}

/// What fails in which event.
type Broken = (usize, JetError);

/// The jets of all events, or what is wrong with the first that cannot be clustered.
fn cluster(
    particles: &[FourVector],
    offsets: &[usize],
    arguments: &Arguments,
    definition: &Definition,
    workers: &Threads,
) -> std::result::Result<Jets, Broken> {
    /// Events that one task takes.
    const TASK: usize = 16;
    let events = offsets.len() - 1;
    let done: Vec<OnceLock<std::result::Result<Jets, Broken>>> = vec![OnceLock::new(); events.div_ceil(TASK)];
    workers.for_each(done.len(), &|task| {
        let jets = || {
            let mut all = Jets::default();
            for event in task * TASK..events.min((task + 1) * TASK) {
                let particles = &particles[offsets[event]..offsets[event + 1]];
                let clustering = Clustering::new(particles, definition).map_err(|error| (event, error))?;
                all.push(&clustering, &arguments.jets(&clustering));
            }
            Ok(all)
        };
        let _ = done[task].set(jets());
    });
    let mut all = Jets::default();
    for jets in done.into_iter().filter_map(OnceLock::into_inner) {
        all.append(&jets?);
    }
    Ok(all)
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
    events: Vec<usize>,
}

impl Default for Jets {
    fn default() -> Self {
        Self { momenta: Default::default(), constituents: Vec::new(), particles: vec![0], events: vec![0] }
    }
}

impl Jets {
    /// The jets of one more event.
    fn push(&mut self, clustering: &Clustering, jets: &[usize]) {
        for &jet in jets {
            let p = clustering.momentum(jet);
            for (column, value) in self.momenta.iter_mut().zip([p.px, p.py, p.pz, p.e]) {
                column.push(value);
            }
            self.constituents.extend(clustering.constituents(jet).iter().map(|&i| i as i32));
            self.particles.push(self.constituents.len());
        }
        self.events.push(self.momenta[0].len());
    }

    fn append(&mut self, other: &Self) {
        let (jets, particles) = (self.momenta[0].len(), self.constituents.len());
        for (column, more) in self.momenta.iter_mut().zip(&other.momenta) {
            column.extend_from_slice(more);
        }
        self.constituents.extend_from_slice(&other.constituents);
        self.particles.extend(other.particles[1..].iter().map(|o| o + particles));
        self.events.extend(other.events[1..].iter().map(|o| o + jets));
    }

    fn batch(self, schema: &SchemaRef) -> Result<RecordBatch> {
        let too_many = || Failure::Data("more than 2³¹ constituents in one block of the input".to_owned());
        let mut columns: Vec<ArrayRef> = Vec::new();
        for column in self.momenta {
            columns.push(list(&self.events, Arc::new(Float64Array::from(column))).ok_or_else(too_many)?);
        }
        let constituents = list(&self.particles, Arc::new(Int32Array::from(self.constituents))).ok_or_else(too_many)?;
        columns.push(list(&self.events, constituents).ok_or_else(too_many)?);
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| Failure::Data(error.to_string()))
    }
}

fn schema() -> SchemaRef {
    let numbers = |name: &str| {
        let unit: HashMap<String, String> = [(fb_io::table::UNIT.to_owned(), Unit::Gev.symbol().to_owned())].into();
        Field::new(name, list_of(DataType::Float64), false).with_metadata(unit)
    };
    let mut fields: Vec<Field> = ["jet_px", "jet_py", "jet_pz", "jet_E"].map(numbers).into();
    fields.push(Field::new("jet_constituents", list_of(list_of(DataType::Int32)), false));
    Arc::new(Schema::new(fields))
}
