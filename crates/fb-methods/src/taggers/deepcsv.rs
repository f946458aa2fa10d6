//! DeepCSV: a dense network on tracks, secondary vertex and jet (CMS, arXiv:1712.07158, section 5.1).
//!
//! Sees 68 numbers: 8 of each of the six most displaced tracks, 8 of the secondary vertex and 12 of the jet; what is not
//! there is zero, the mean. Five layers of 100 rectifiers and a probability for each class: with the four of the paper (b, bb, c, light)
//! 47,704 parameters. The inputs stand for those of the paper as far as tracks with impact parameters and one vertex have them.
//! In training, jets are weighted so that all classes have the spectrum in pT and |η| of b jets.

use fb_core::{Card, Input, Layout, List, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::{Activation, Graph, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{logits, standard, tracks, vertices};
use crate::neural::Network;
use crate::weights::Reweight;

/// Options of DeepCSV.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Numbers of the jet.
    pub event: Vec<Variable>,
    /// Objects in the jet.
    pub lists: Vec<List>,
    /// Widths of the layers.
    pub layers: Vec<usize>,
    /// Share of the outputs of each layer that a training step leaves out.
    pub dropout: f64,
    /// How the spectra of classes are made alike; none leaves them as they are.
    pub reweight: Option<Reweight>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        let good = "abs(trk_d0) < 2";
        let event = [
            "log(jet_pt)".to_owned(),
            "abs(jet_eta)".to_owned(),
            "jet_m / jet_pt".to_owned(),
            format!("count({good})"),
            "count(trk_class > 2)".to_owned(),
            "sum(trk_pt) / jet_pt".to_owned(),
            "sum(trk_pt * trk_dr) / jet_pt".to_owned(),
            format!("count({good} && trk_sd0_sig > 3)"),
            format!("count({good} && trk_sd0_sig < -3)"),
            format!("sum(if({good}, max(min(trk_sd0_sig, 20), 0), 0))"),
            "sum(if(trk_class > 2, trk_pt, 0)) / jet_pt".to_owned(),
            "sum(sv_ntracks > 0)".to_owned(),
        ];
        let track = standard([
            "asinh(trk_sd0_sig)",
            "asinh(trk_z0_sig)",
            "asinh(20 * trk_d0)",
            "asinh(20 * trk_z0)",
            "log(trk_pt)",
            "log(trk_pt / jet_pt)",
            "trk_dr",
            "trk_class > 2",
        ]);
        let vertex = standard([
            "sv_ntracks",
            "sv_mass",
            "log(1 + sv_mass)",
            "asinh(sv_flight)",
            "asinh(sv_flight_sig)",
            "sv_pt_fraction",
            "log(0.1 + sv_pt_fraction * jet_pt)",
            "sv_cos_pointing",
        ]);
        Self {
            event: event.map(|e| Variable::standard(e).clipped(-5.0, 5.0)).to_vec(),
            lists: vec![tracks(6, Layout::Sequence, track), vertices(1, Layout::Sequence, vertex)],
            layers: vec![100; 5],
            dropout: 0.1,
            reweight: Some(Reweight::jets()),
            train: Train { epochs: 50, batch: 256, schedule: Schedule::Cosine, ..Train::default() },
        }
    }
}

/// DeepCSV.
pub struct DeepCsv;

impl Network for DeepCsv {
    const CARD: Card = Card {
        name: "deepcsv",
        title: "DeepCSV, a dense network on displaced tracks and a vertex",
        tasks: &[Task::Classify],
        input: "tracks, vertices and a table",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "CMS", arxiv: "1712.07158" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Lists { event: config.event.clone(), lists: config.lists.clone() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn reweight(config: &Config) -> Option<&Reweight> {
        config.reweight.as_ref()
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let mut x = Graph::INPUT;
        for &width in &config.layers {
            x = graph.linear(x, width, Activation::Relu);
            if config.dropout > 0.0 {
                x = graph.dropout(x, config.dropout);
            }
        }
        logits(graph, x, classes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_parameters_of_the_paper() {
        let config = Config::default();
        let inputs = fb_nn::graph::of_lists(config.event.len(), &config.lists);
        assert_eq!(inputs, [(fb_nn::Rows::Event, 68)]);
        for (classes, expected) in [(4, 47_704), (6, 47_906)] {
            let mut graph = Graph::new(fb_nn::Rows::Event, 68);
            DeepCsv::build(&config, classes, &mut graph).unwrap();
            assert_eq!(graph.parameter_count(), expected);
        }
    }
}
