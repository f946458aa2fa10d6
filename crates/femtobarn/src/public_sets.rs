//! The public data sets of jets: where they are, and how their files become samples.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use fb_core::{Column, Data, Events, Unit};
use fb_io::table::{Table, leaves};

use crate::failure::{Failure, Result};

/// A data set.
#[derive(Debug, serde::Serialize)]
pub struct PublicSet {
    /// What `fb data import --set` calls it.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Where it is: the digital object identifier.
    pub doi: &'static str,
    /// The paper to cite.
    pub paper: &'static str,
    /// Of its files.
    pub format: &'static str,
    /// Events or jets.
    pub size: &'static str,
    /// How its files are read; without a loader `fb` reads them as they are.
    pub loader: Option<Loader>,
}

/// How files of a set become samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// A frame of pandas with 200 four-momenta a jet.
    TopTagging,
    /// A tree with lists of constituents and a column for each of ten classes.
    Jetclass,
    /// Arrays X (pT, y, φ, PDG id) and y.
    QuarkGluon,
    /// Arrays of particles relative to their jet, a file a class.
    Jetnet,
    /// Arrays of sixteen numbers of a constituent and of 59 of a jet, five of which tell its class.
    #[serde(rename = "hls4ml-jets")]
    Hls4ml,
}

/// All of them.
pub const SETS: [PublicSet; 9] = [
    PublicSet {
        name: "top-tagging",
        title: "Top Quark Tagging Reference Dataset",
        doi: "10.5281/zenodo.2603256",
        paper: "arXiv:1902.09914",
        format: "HDF5 (pandas)",
        size: "2,000,000 jets",
        loader: Some(Loader::TopTagging),
    },
    PublicSet {
        name: "jetclass",
        title: "JetClass: ten classes of jets",
        doi: "10.5281/zenodo.6619768",
        paper: "arXiv:2202.03772",
        format: "ROOT (tree)",
        size: "125,000,000 jets",
        loader: Some(Loader::Jetclass),
    },
    PublicSet {
        name: "quark-gluon",
        title: "Pythia8 Quark and Gluon Jets for Energy Flow",
        doi: "10.5281/zenodo.3164691",
        paper: "arXiv:1810.05165",
        format: "NumPy (npz)",
        size: "2,000,000 jets",
        loader: Some(Loader::QuarkGluon),
    },
    PublicSet {
        name: "top-qcd",
        title: "Pythia8 and Herwig7 Boosted Top & QCD Jets",
        doi: "10.5281/zenodo.16986897",
        paper: "doi:10.5281/zenodo.16986897",
        format: "NumPy (npz)",
        size: "4,000,000 jets",
        loader: Some(Loader::QuarkGluon),
    },
    PublicSet {
        name: "jetnet",
        title: "JetNet: gluon, light-quark, top, W and Z jets of 30 particles",
        doi: "10.5281/zenodo.6975118",
        paper: "arXiv:2106.11535",
        format: "HDF5",
        size: "880,000 jets",
        loader: Some(Loader::Jetnet),
    },
    PublicSet {
        name: "omnifold",
        title: "Pythia/Herwig + Delphes Jet Datasets for OmniFold Unfolding",
        doi: "10.5281/zenodo.3548091",
        paper: "arXiv:1911.09107",
        format: "NumPy (npz)",
        size: "12,800,000 jets",
        loader: None,
    },
    PublicSet {
        name: "hls4ml-jets",
        title: "HLS4ML LHC Jet dataset: gluon, quark, W, Z and top jets",
        doi: "10.5281/zenodo.3602260",
        paper: "arXiv:1804.06913",
        format: "HDF5",
        size: "880,000 jets",
        loader: Some(Loader::Hls4ml),
    },
    PublicSet {
        name: "secondary-vertices",
        title: "Secondary vertices in jets, for Set2Graph",
        doi: "10.5281/zenodo.4044628",
        paper: "arXiv:2008.02831",
        format: "ROOT (tree)",
        size: "three files of jets",
        loader: None,
    },
    PublicSet {
        name: "higgsml",
        title: "ATLAS Higgs Machine Learning Challenge 2014",
        doi: "10.7483/OPENDATA.ATLAS.ZBP2.M5T8",
        paper: "PMLR 42 (2015) 19",
        format: "CSV",
        size: "818,238 events",
        loader: None,
    },
];

/// The classes of JetClass in the order of the paper; `label` is the place.
const JETCLASS: [&str; 10] = ["QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"];
/// Numbers of a constituent in the jets of HLS4ML, of which its momentum comes first.
const HLS4ML_CONSTITUENT: usize = 16;
/// Numbers of a jet there, and where its five classes are: gluon, quark, W, Z and top; `label` is the place.
const HLS4ML_JET: usize = 59;
const HLS4ML_CLASSES: std::ops::Range<usize> = 53..58;
/// The files of JetNet; `label` is the place.
const JETNET: [&str; 5] = ["g", "q", "t", "w", "z"];

impl Loader {
    /// Which set a table is of, by its branches.
    pub fn of(table: &dyn Table) -> Option<Self> {
        let has = |name: &str| table.branches().iter().any(|branch| branch.name == name);
        [
            (Self::TopTagging, ["values_block_0", "values_block_1"]),
            (Self::Jetclass, ["part_energy", "label_QCD"]),
            (Self::QuarkGluon, ["X", "y"]),
            (Self::Jetnet, ["particle_features", "jet_features"]),
            (Self::Hls4ml, ["jetConstituentList", "jets"]),
        ]
        .into_iter()
        .find(|(_, names)| names.iter().all(|name| has(name)))
        .map(|(loader, _)| loader)
    }

    /// A sample of the entries of a file.
    ///
    /// # Errors
    /// [`Failure::Data`] if the columns do not have the layout of the set, or the name of a file does not tell its class.
    pub fn sample(self, path: &Path, batch: &RecordBatch) -> Result<Events> {
        let wrong = |reason: String| Failure::Data(format!("{}: {reason}", path.display()));
        let entries = batch.num_rows();
        // The numbers of a column, and how many an entry has.
        let block = |name: &str| -> Result<(Data, usize)> {
            let array = batch.column_by_name(name).ok_or_else(|| wrong(format!("no column `{name}`")))?;
            let found = leaves(name, array).into_iter().next();
            let (_, data) = found.ok_or_else(|| wrong(format!("`{name}` holds no numbers")))?;
            let width = data.len().checked_div(entries).unwrap_or(0);
            Ok((data, width))
        };
        let numbers = |name: &str, width: usize| match block(name)? {
            (data, found) if found == width || entries == 0 => Ok(data),
            (_, found) => Err(wrong(format!("`{name}` has {found} numbers an entry, expected {width}"))),
        };
        let columns = match self {
            Self::TopTagging => {
                let (block, labels) = (numbers("values_block_0", 804)?, numbers("values_block_1", 2)?);
                let names = ["part_E", "part_px", "part_py", "part_pz"];
                let mut columns = particles(&block, entries, (804, (4, 200)), &names, 0);
                let label = |at: usize| (0..entries).map(|i| labels.number(2 * i + at) as i64).collect();
                columns.push(Column::flat("label", Data::I64(label(1))));
                columns.push(Column::flat("ttv", Data::I64(label(0))));
                for (at, name) in ["top_E_true", "top_px_true", "top_py_true", "top_pz_true"].into_iter().enumerate() {
                    columns.push(every(&block, entries, 804, 800 + at, name));
                }
                columns
            }
            Self::QuarkGluon => {
                let (block, width) = block("X")?;
                let mut columns = particles(
                    &block,
                    entries,
                    (width, (4, width / 4)),
                    &["part_pt", "part_y", "part_phi", "part_pid"],
                    0,
                );
                columns.push(every(&numbers("y", 1)?, entries, 1, 0, "label"));
                columns
            }
            Self::Jetnet => {
                let ((block, width), jets) = (block("particle_features")?, numbers("jet_features", 4)?);
                let mut columns = particles(
                    &block,
                    entries,
                    (width, (4, width / 4)),
                    &["part_eta", "part_phi", "part_pt", "mask"],
                    3,
                );
                columns.pop();
                absolute(&mut columns, &jets);
                for (at, name) in ["jet_pt", "jet_eta", "jet_mass"].into_iter().enumerate() {
                    columns.push(every(&jets, entries, 4, at, name));
                }
                let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                let kind = stem.trim_end_matches(|c: char| c.is_ascii_digit());
                let label = JETNET.iter().position(|name| *name == kind).ok_or_else(|| {
                    wrong(format!("the name of the file tells the class, expected one of {}", JETNET.join(", ")))
                })?;
                columns.push(Column::flat("label", Data::I64(vec![label as i64; entries])));
                columns
            }
            Self::Hls4ml => {
                let ((block, width), jets) = (block("jetConstituentList")?, numbers("jets", HLS4ML_JET)?);
                let names = ["part_px", "part_py", "part_pz", "part_E"];
                // A constituent has energy.
                let of = (HLS4ML_CONSTITUENT, width / HLS4ML_CONSTITUENT);
                let mut columns = particles(&block, entries, (width, of), &names, 3);
                let class = |i: usize| {
                    let is = |class: &usize| jets.number(i * HLS4ML_JET + class) == 1.0;
                    let mut all = HLS4ML_CLASSES.filter(is);
                    match (all.next(), all.next()) {
                        (Some(class), None) => Ok((class - HLS4ML_CLASSES.start) as i64),
                        _ => Err(wrong(format!("entry {i} of a block is of no class, or of several"))),
                    }
                };
                columns.push(Column::flat("label", Data::I64((0..entries).map(class).collect::<Result<_>>()?)));
                columns
            }
            Self::Jetclass => {
                let classes: Vec<Data> =
                    JETCLASS.iter().map(|class| numbers(&format!("label_{class}"), 1)).collect::<Result<_>>()?;
                let class = |i: usize| {
                    let mut of = (0..classes.len()).filter(|&class| classes[class].number(i) == 1.0);
                    match (of.next(), of.next()) {
                        (Some(class), None) => Ok(class as i64),
                        _ => Err(wrong(format!("entry {i} of a block is of no class, or of several"))),
                    }
                };
                let label: Vec<i64> = (0..entries).map(class).collect::<Result<_>>()?;
                let (events, _) = fb_io::table::events(batch);
                let kept = events.columns().iter().filter(|column| !column.name.starts_with("label_"));
                let mut columns: Vec<Column> = kept.cloned().collect();
                for column in &mut columns {
                    if column.name == "part_energy" {
                        "part_E".clone_into(&mut column.name);
                    } else if let Some(truth) = column.name.strip_prefix("aux_") {
                        column.name = format!("{truth}_true");
                    }
                }
                columns.push(Column::flat("label", Data::I64(label)));
                columns
            }
        };
        let columns = columns.into_iter().map(with_unit).collect();
        Events::new(columns).map_err(|error| wrong(error.to_string()))
    }
}

/// Lists of particles from rows of fixed width, so many numbers for each of so many particles: those whose feature
/// `present` is not zero.
fn particles(
    block: &Data,
    entries: usize,
    (width, (each, most)): (usize, (usize, usize)),
    names: &[&str; 4],
    present: usize,
) -> Vec<Column> {
    let mut lists: [Vec<f32>; 4] = Default::default();
    let mut offsets = vec![0];
    for entry in 0..entries {
        for particle in 0..most {
            let at = entry * width + each * particle;
            if block.number(at + present) != 0.0 {
                for (k, list) in lists.iter_mut().enumerate() {
                    list.push(block.number(at + k) as f32);
                }
            }
        }
        offsets.push(lists[0].len());
    }
    let offsets = Arc::new(offsets);
    let column = |(name, list): (&&str, Vec<f32>)| Column::jagged(*name, Data::F32(list), Arc::clone(&offsets));
    names.iter().zip(lists).map(column).collect()
}

/// Momenta from those relative to jets: η and pT.
fn absolute(columns: &mut [Column], jets: &Data) {
    for (name, feature, product) in [("part_eta", 1, false), ("part_pt", 0, true)] {
        let Some(column) = columns.iter_mut().find(|column| column.name == name) else { continue };
        let Some(offsets) = column.offsets.clone() else { continue };
        let Data::F32(values) = &mut column.data else { continue };
        for (jet, o) in offsets.windows(2).enumerate() {
            let of_jet = jets.number(4 * jet + feature) as f32;
            for value in &mut values[o[0]..o[1]] {
                *value = if product { *value * of_jet } else { *value + of_jet };
            }
        }
    }
}

/// One number of each row.
fn every(block: &Data, entries: usize, width: usize, at: usize, name: &str) -> Column {
    if name == "label" {
        return Column::flat(name, Data::I64((0..entries).map(|i| block.number(i * width + at) as i64).collect()));
    }
    Column::flat(name, Data::F32((0..entries).map(|i| block.number(i * width + at) as f32).collect()))
}

/// Momenta are in GeV in all of the sets.
fn with_unit(mut column: Column) -> Column {
    let suffix = column.name.trim_end_matches("_true").rsplit('_').next().unwrap_or_default();
    if column.unit == Unit::Unknown && matches!(suffix, "px" | "py" | "pz" | "E" | "pt" | "mass" | "energy") {
        column.unit = Unit::Gev;
    }
    column
}
