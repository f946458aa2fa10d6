//! Jet taggers: the landscape of top taggers (arXiv:1902.09914).

pub mod adaptive_vertex;
pub mod csvv2;
pub mod deepcsv;
pub mod deepjet;
pub mod deeptau;
pub mod efn;
pub mod efp_linear;
pub mod goat;
pub mod hbb_interaction_network;
pub mod interaction_network;
pub mod jedi_net;
pub mod jet_image_cnn;
pub mod lbn;
pub mod logistic;
pub mod lola;
pub mod lorentznet;
pub mod lstm_tagger;
pub mod lundnet;
pub mod nsubjettiness_mlp;
pub mod p_cnn;
pub mod part;
pub mod part_small;
pub mod particlenet;
pub mod particlenet_lite;
pub mod particlenext;
pub mod pelican;
pub mod pfn;
pub mod resnext;
pub mod set2graph;
pub mod single_vertex;
pub mod topodnn;
pub mod treenin;

use fb_core::{Error, Frame, Input, Layout, List, Result, Variable};
use fb_nn::{Activation, Graph};

/// Names of the columns of constituents: `part_px`, `part_py`, `part_pz`, `part_E`.
const COLLECTION: &str = "part";

/// What networks with batch normalisation cannot keep to.
const UNWEIGHTED_NORM: &[(&str, &str)] = &[
    ("weight_two_is_twice", "batch normalisation takes its statistics over events, whatever their weights"),
    ("weight_zero_is_absent", "batch normalisation takes its statistics over events, whatever their weights"),
];

fn cloud(max: usize, variables: &[Variable]) -> Input {
    Input::Particles {
        collection: COLLECTION.to_owned(),
        max,
        layout: Layout::Cloud,
        frame: Frame::Jet,
        variables: variables.to_vec(),
    }
}

/// px, py, pz, E of the `max` hardest constituents side by side, in units of 100 GeV.
fn momenta(max: usize) -> Input {
    Input::Particles {
        collection: COLLECTION.to_owned(),
        max,
        layout: Layout::Sequence,
        frame: Frame::Jet,
        variables: ["px", "py", "pz", "E"].map(|p| Variable::affine(p, 0.0, 0.01)).to_vec(),
    }
}

/// A cloud whose last four numbers are px, py, pz, E of the constituent in GeV.
fn cloud_with_momenta(max: usize, variables: &[Variable]) -> Input {
    cloud(max, &[variables, &["px", "py", "pz", "E"].map(Variable::plain)].concat())
}

/// The seven variables of ParticleNet (arXiv:1902.08570, Table 1) with the ranges that bring them to order one. The
/// first two are the coordinates in which neighbours are sought.
fn particlenet_variables() -> Vec<Variable> {
    vec![
        Variable::plain("u"),
        Variable::plain("v"),
        Variable::affine("log(pt)", 1.7, 0.7).clipped(-5.0, 5.0),
        Variable::affine("log(E)", 2.0, 0.7).clipped(-5.0, 5.0),
        Variable::affine("log(pt / jet_pt)", -4.7, 0.7).clipped(-5.0, 5.0),
        Variable::affine("log(E / jet_E)", -4.7, 0.7).clipped(-5.0, 5.0),
        Variable::affine("dr(jet)", 0.2, 4.0).clipped(-5.0, 5.0),
    ]
}

/// Tracks of a jet, `trk_*`, the most displaced first; those from far decays of strange hadrons are left out.
fn tracks(max: usize, layout: Layout, variables: Vec<Variable>) -> List {
    List {
        name: "trk".to_owned(),
        select: Some("abs(trk_d0) < 2".to_owned()),
        order: Some("trk_sd0_sig".to_owned()),
        max,
        layout,
        reversed: false,
        variables,
    }
}

/// Neutral particles of a jet, `neu_*`, the hardest first.
fn neutrals(max: usize, variables: Vec<Variable>) -> List {
    List {
        name: "neu".to_owned(),
        select: None,
        order: Some("neu_pt".to_owned()),
        max,
        layout: Layout::Cloud,
        reversed: false,
        variables,
    }
}

/// Secondary vertices of a jet, `sv_*`, the one of most significant flight first; one without tracks is none.
fn vertices(max: usize, layout: Layout, variables: Vec<Variable>) -> List {
    List {
        name: "sv".to_owned(),
        select: Some("sv_ntracks > 0".to_owned()),
        order: Some("sv_flight_sig".to_owned()),
        max,
        layout,
        reversed: false,
        variables,
    }
}

/// Standardised variables within ±5.
fn standard<const N: usize>(expressions: [&str; N]) -> Vec<Variable> {
    expressions.map(|e| Variable::standard(e).clipped(-5.0, 5.0)).to_vec()
}

/// Fully connected layers with rectifiers.
fn dense(graph: &mut Graph, mut x: usize, widths: &[usize]) -> usize {
    for &width in widths {
        x = graph.linear(x, width, Activation::Relu);
    }
    x
}

/// Blocks of a network, at most.
const DEEPEST: usize = 256;

/// Refuses none.
fn at_least_one(method: &str, option: &str, found: usize) -> Result<()> {
    if found > 0 {
        return Ok(());
    }
    let reason = "found none, expected at least one".to_owned();
    Err(Error::Config { place: format!("method `{method}`, `{option}`"), reason })
}

/// Refuses a number of things that no machine could hold.
fn at_most(method: &str, option: &str, found: usize, limit: usize) -> Result<()> {
    if found <= limit {
        return Ok(());
    }
    let reason = format!("found {found}, expected at most {limit}");
    Err(Error::Config { place: format!("method `{method}`, `{option}`"), reason })
}

/// A logit for each class.
pub(crate) fn logits(graph: &mut Graph, x: usize, classes: usize) {
    graph.linear(x, classes, Activation::Identity);
}

/// One logit for two classes, else one for each.
fn logit(graph: &mut Graph, x: usize, classes: usize) {
    logits(graph, x, if classes == 2 { 1 } else { classes });
}
