//! `fb cluster`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use fb_core::{Column, Events, Unit, Workers as _};
use fb_io::table::{list, list_of};
use fb_physics::four_vector::FourVector;
use fb_physics::jets::pileup::{Kept, Origin, Puppi, soft_killer, subtract_area, subtract_constituents};
use fb_physics::jets::{Algorithm, Areas, Clustering, Definition, Ghosts, Grid, JetError, Scheme, Strategy};
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
/// lists that were read. With --area also jet_area, with --subtract area or constituents also rho, the density of diffuse
/// transverse momentum in GeV.
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
    /// Write the active area of each jet, from ghosts.
    #[arg(long)]
    area: bool,
    /// Take pile-up away: from jets by their areas, or from particles before they cluster. PUPPI also reads PREFIX_charge,
    /// PREFIX_vertex_z, lv_z and, if there is one, npu.
    #[arg(long, value_enum, value_name = "METHOD")]
    subtract: Option<Subtraction>,
    /// Ghosts and the cells of densities fill |y| below this.
    #[arg(long, value_name = "Y", default_value_t = 5.0)]
    max_rapidity: f64,
    /// The area of a ghost.
    #[arg(long, value_name = "A", default_value_t = 0.01)]
    ghost_area: f64,
    /// Charged particles this near in z belong to the leading vertex.
    #[arg(long, value_name = "DZ", default_value_t = 1.0)]
    vertex_window: f64,
    /// Of the places of ghosts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subtraction {
    /// p − ρ A of each jet.
    Area,
    /// Drops the softest particles.
    SoftKiller,
    /// Lowers the transverse momenta of particles.
    Constituents,
    /// Weights particles by what surrounds them.
    Puppi,
}

/// The side of the cells of ρ, as FastJet's.
const DENSITY_SIDE: f64 = 0.55;
/// The side of SoftKiller's cells.
const KILLER_SIDE: f64 = 0.5;
/// How far constituent subtraction reaches.
const REACH: f64 = 0.25;

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
        let spherical = matches!(self.algorithm, Algorithm::EeKt | Algorithm::EeGeneralisedKt(_));
        if spherical && (self.area || self.subtract.is_some()) {
            return Err(Failure::Usage(
                "--area and --subtract: not for e⁺e⁻ algorithms, whose jets have no y and φ".to_owned(),
            ));
        }
        Ok(definition)
    }

    fn with_areas(&self) -> bool {
        self.area || self.subtract == Some(Subtraction::Area)
    }

    fn with_density(&self) -> bool {
        matches!(self.subtract, Some(Subtraction::Area | Subtraction::Constituents))
    }

    /// The nodes of the jets of one event.
    fn nodes(&self, clustering: &Clustering) -> Vec<usize> {
        match (self.exclusive, self.dcut) {
            (Some(n), _) => clustering.exclusive(n),
            (None, Some(d)) => clustering.exclusive_dmin(d),
            (None, None) => clustering.inclusive(0.0),
        }
    }

    /// The jets of one event by falling transverse momentum, and ρ.
    fn jets(
        &self,
        event: &Event,
        cells: &Cells,
        definition: &Definition,
    ) -> std::result::Result<(Vec<Jet>, f64), JetError> {
        let rho = if self.with_density() { cells.density.density(event.particles) } else { 0.0 };
        let kept: Kept = match self.subtract {
            Some(Subtraction::SoftKiller) => soft_killer(event.particles, &cells.killer),
            Some(Subtraction::Constituents) => subtract_constituents(event.particles, rho, &cells.ghosts.grid, REACH),
            Some(Subtraction::Puppi) => Puppi::new(event.pileup).apply(event.particles, event.origin),
            Some(Subtraction::Area) | None => event.particles.iter().copied().enumerate().collect(),
        };
        let particles: Vec<FourVector> = kept.iter().map(|(_, p)| *p).collect();
        let places = |constituents: Vec<usize>| constituents.into_iter().map(|i| kept[i].0 as i32).collect();
        let hard = |p: &FourVector| p.px * p.px + p.py * p.py >= self.ptmin * self.ptmin || self.ptmin <= 0.0;
        let mut jets = Vec::new();
        if !self.with_areas() {
            let clustering = Clustering::new(&particles, definition)?;
            for node in self.nodes(&clustering) {
                let p = clustering.momentum(node);
                if hard(&p) {
                    jets.push(Jet { p, constituents: places(clustering.constituents(node)), area: 0.0 });
                }
            }
            return Ok((jets, rho));
        }
        let areas = Areas::new(&particles, definition, &cells.ghosts, event.number)?;
        for node in self.nodes(&areas.clustering) {
            let (constituents, (area, four)) = (areas.constituents(node), areas.area(node));
            let subtracted = self.subtract == Some(Subtraction::Area);
            let p = areas.clustering.momentum(node);
            let p = if subtracted { subtract_area(p, rho, four) } else { p };
            // Not the jets of ghosts alone, and not those of which nothing is left.
            if !constituents.is_empty() && hard(&p) && !(subtracted && p == FourVector::default()) {
                jets.push(Jet { p, constituents: places(constituents), area });
            }
        }
        jets.sort_by(|a, b| b.p.pt().total_cmp(&a.p.pt()));
        Ok((jets, rho))
    }
}

/// One event.
struct Event<'a> {
    /// In the whole input.
    number: u64,
    particles: &'a [FourVector],
    /// Of each particle, where PUPPI asks.
    origin: &'a [Origin],
    /// The number of pile-up vertices.
    pileup: f64,
}

/// A jet of one event.
struct Jet {
    p: FourVector,
    constituents: Vec<i32>,
    area: f64,
}

/// The cells of all events.
struct Cells {
    density: Grid,
    killer: Grid,
    ghosts: Ghosts,
}

impl Cells {
    fn new(arguments: &Arguments) -> Result<Self> {
        let grid =
            |side: f64| Grid::new(arguments.max_rapidity, side).map_err(|error| Failure::Usage(error.to_string()));
        let ghosts = Ghosts { grid: grid(arguments.ghost_area.sqrt())?, scatter: 1.0, seed: arguments.seed };
        Ok(Self { density: grid(DENSITY_SIDE)?, killer: grid(KILLER_SIDE)?, ghosts })
    }
}

/// Where the particles of a block come from, and the number of pile-up vertices of each event.
fn origins(events: &Events, arguments: &Arguments) -> fb_core::Result<(Vec<Origin>, Vec<f64>)> {
    let named = |name: &str| events.column(&format!("{}_{name}", arguments.prefix));
    let (charge, z, leading) = (named("charge")?, named("vertex_z")?, events.column("lv_z")?);
    let offsets = |column: &Column| column.offsets.clone().filter(|offsets| Some(offsets) == charge.offsets.as_ref());
    let Some(offsets) = offsets(z) else {
        let reason = format!("its lists differ from those of `{}`", charge.name);
        return Err(fb_core::Error::Config { place: format!("column `{}`", z.name), reason });
    };
    let mut origin = Vec::with_capacity(offsets.last().copied().unwrap_or_default());
    for (event, o) in offsets.windows(2).enumerate() {
        for entry in o[0]..o[1] {
            let near = (z.data.number(entry) - leading.data.number(event)).abs() < arguments.vertex_window;
            origin.push(match (charge.data.number(entry) != 0.0, near) {
                (false, _) => Origin::Unknown,
                (true, true) => Origin::Leading,
                (true, false) => Origin::Pileup,
            });
        }
    }
    let pileup = events.column("npu").ok();
    Ok((origin, (0..events.len()).map(|event| pileup.map_or(0.0, |n| n.data.number(event))).collect()))
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let definition = arguments.definition()?;
    let workers = Threads::new(arguments.threads)?;
    let mut paths = Vec::new();
    for pattern in &arguments.inputs {
        paths.extend(fb_io::expand(pattern)?);
    }
    let prefix = &arguments.prefix;
    let mut names: Vec<String> = SUFFIXES.iter().map(|suffix| format!("{prefix}_{suffix}")).collect();
    if arguments.subtract == Some(Subtraction::Puppi) {
        names.extend(["charge", "vertex_z"].map(|suffix| format!("{prefix}_{suffix}")));
        names.extend(["lv_z", "npu"].map(str::to_owned));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let schema = schema(arguments);
    let cells = Cells::new(arguments)?;
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
            let (origin, pileup) = match arguments.subtract {
                Some(Subtraction::Puppi) => origins(&events, arguments).map_err(|error| in_file(path, first, error))?,
                _ => (Vec::new(), vec![0.0; events.len()]),
            };
            let event = |event: usize| {
                let o = offsets[event]..offsets[event + 1];
                let origin = if origin.is_empty() { &[] } else { &origin[o.clone()] };
                Event { number: (rows + first + event) as u64, particles: &particles[o], origin, pileup: pileup[event] }
            };
            let jets_of = |number: usize| arguments.jets(&event(number), &cells, &definition);
            let found = cluster(events.len(), &jets_of, &workers).map_err(|(event, error)| {
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
    events: usize,
    jets: &(impl Fn(usize) -> std::result::Result<(Vec<Jet>, f64), JetError> + Sync),
    workers: &Threads,
) -> std::result::Result<Jets, Broken> {
    /// Events that one task takes.
    const TASK: usize = 16;
    let done: Vec<OnceLock<std::result::Result<Jets, Broken>>> = vec![OnceLock::new(); events.div_ceil(TASK)];
    workers.for_each(done.len(), &|task| {
        let jets = || {
            let mut all = Jets::default();
            for event in task * TASK..events.min((task + 1) * TASK) {
                let (jets, rho) = jets(event).map_err(|error| (event, error))?;
                all.push(&jets, rho);
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
    areas: Vec<f64>,
    rho: Vec<f64>,
    constituents: Vec<i32>,
    /// Where the constituents of each jet begin, and the end.
    particles: Vec<usize>,
    /// Where the jets of each event begin, and the end.
    events: Vec<usize>,
}

impl Default for Jets {
    fn default() -> Self {
        Self {
            momenta: Default::default(),
            areas: Vec::new(),
            rho: Vec::new(),
            constituents: Vec::new(),
            particles: vec![0],
            events: vec![0],
        }
    }
}

impl Jets {
    /// One more event.
    fn push(&mut self, jets: &[Jet], rho: f64) {
        for jet in jets {
            for (column, value) in self.momenta.iter_mut().zip([jet.p.px, jet.p.py, jet.p.pz, jet.p.e]) {
                column.push(value);
            }
            self.areas.push(jet.area);
            self.constituents.extend(&jet.constituents);
            self.particles.push(self.constituents.len());
        }
        self.rho.push(rho);
        self.events.push(self.momenta[0].len());
    }

    fn append(&mut self, other: &Self) {
        let (jets, particles) = (self.momenta[0].len(), self.constituents.len());
        for (column, more) in self.momenta.iter_mut().zip(&other.momenta) {
            column.extend_from_slice(more);
        }
        self.areas.extend_from_slice(&other.areas);
        self.rho.extend_from_slice(&other.rho);
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
        if schema.column_with_name(AREA).is_some() {
            columns.push(list(&self.events, Arc::new(Float64Array::from(self.areas))).ok_or_else(too_many)?);
        }
        if schema.column_with_name(RHO).is_some() {
            columns.push(Arc::new(Float64Array::from(self.rho)));
        }
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| Failure::Data(error.to_string()))
    }
}

/// Columns that are written on demand.
const AREA: &str = "jet_area";
const RHO: &str = "rho";

fn schema(arguments: &Arguments) -> SchemaRef {
    let gev: HashMap<String, String> = [(fb_io::table::UNIT.to_owned(), Unit::Gev.symbol().to_owned())].into();
    let numbers = |name: &str| Field::new(name, list_of(DataType::Float64), false);
    let mut fields: Vec<Field> =
        ["jet_px", "jet_py", "jet_pz", "jet_E"].map(|name| numbers(name).with_metadata(gev.clone())).into();
    fields.push(Field::new("jet_constituents", list_of(list_of(DataType::Int32)), false));
    if arguments.with_areas() {
        fields.push(numbers(AREA));
    }
    if arguments.with_density() {
        fields.push(Field::new(RHO, DataType::Float64, false).with_metadata(gev));
    }
    Arc::new(Schema::new(fields))
}
