//! Interaction network for boosted H→bb̄ (arXiv:1909.12285, Moreno, Nguyen, Vlimant, Cerri, Newman, Periwal, Spiropulu,
//! Duarte, Pierini): messages among the tracks of a jet, and from its vertices to them.
//!
//! Every track gets Σ_j f_pp(x_i, x_j) from all other tracks and Σ_k f_pv(x_i, y_k) from all vertices, becomes
//! f_O(x_i, Σ f_pp, Σ f_pv), and the sum over tracks is classified by one linear layer. Sees 8 numbers of up to 60 tracks
//! and 8 of up to 5 vertices, where the paper has 30 and 14: what tracks with impact parameters and vertices have of
//! them. With 30 and 14 it has the 18,144 parameters of the authors' network, whose hidden layers have 60 and 30 nodes;
//! with two of 60, as a reading of the paper has it, 25,554. There is no decorrelation from the mass.

use fb_core::{Card, Error, Input, Layout, List, Paper, Promise, Result, Status, Task};
use fb_nn::{Activation, Graph, Rows, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at_least_one, dense, logits, tracks, vertices};
use crate::neural::Network;
use crate::taggers::deepcsv;
use crate::weights::Reweight;

/// Options of the interaction network of tracks and vertices.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Tracks, which receive messages, and vertices, which send them.
    pub lists: Vec<List>,
    /// Widths of each of the two message networks.
    pub messages: [usize; 3],
    /// Widths of the object network f_O.
    pub objects: Vec<usize>,
    /// How the spectra of classes are made alike; none leaves them as they are.
    pub reweight: Option<Reweight>,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        let mut variables = deepcsv::Config::default().lists.into_iter().map(|list| list.variables);
        let mut next = || variables.next().unwrap_or_default();
        Self {
            lists: vec![tracks(60, Layout::Cloud, next()), vertices(5, Layout::Cloud, next())],
            messages: [60, 30, 20],
            objects: vec![60, 30, 24],
            reweight: None,
            train: Train { epochs: 200, batch: 128, lr: 1e-4, ..Train::default() },
        }
    }
}

/// Interaction network of tracks and vertices.
pub struct HbbInteractionNetwork;

impl Network for HbbInteractionNetwork {
    const CARD: Card = Card {
        name: "hbb_interaction_network",
        title: "Interaction network of the tracks and vertices of a jet",
        tasks: &[Task::Classify],
        input: "tracks and vertices",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Moreno et al.", arxiv: "1909.12285" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Lists { event: Vec::new(), lists: config.lists.clone() })
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn reweight(config: &Config) -> Option<&Reweight> {
        config.reweight.as_ref()
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        let inputs: Vec<Rows> = graph.inputs().into_iter().map(|(rows, _)| rows).collect();
        if inputs != [Rows::Particle; 2] {
            let place = "method `hbb_interaction_network`, `lists`".to_owned();
            let reason = "expected two lists of layout `cloud`, tracks and vertices".to_owned();
            return Err(Error::Config { place, reason });
        }
        at_least_one("hbb_interaction_network", "objects", config.objects.len())?;
        let (tracks, vertices) = (Graph::INPUT, Graph::INPUT + 1);
        let own = graph.interaction(tracks, config.messages);
        let from_vertices = graph.interaction_with(tracks, vertices, config.messages, Activation::Relu);
        let x = graph.concat(&[tracks, own, from_vertices]);
        let x = dense(graph, x, &config.objects);
        let x = graph.sum(x);
        logits(graph, x, classes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With thirty numbers of tracks and fourteen of vertices.
    #[test]
    fn size_on_the_published_inputs() {
        let sizes = |config: Config| {
            let mut graph = Graph::new(Rows::Particle, 30);
            graph.input(Rows::Particle, 14);
            HbbInteractionNetwork::build(&config, 2, &mut graph).unwrap_or_else(|e| panic!("{e}"));
            graph.parameter_count()
        };
        assert_eq!(sizes(Config::default()), 18_144);
        let wide = Config { messages: [60, 60, 20], objects: vec![60, 60, 24], ..Config::default() };
        assert_eq!(sizes(wide), 25_554);
    }

    #[test]
    fn other_collections_are_refused() {
        let mut graph = Graph::new(Rows::Event, 30);
        graph.input(Rows::Particle, 14);
        let error = HbbInteractionNetwork::build(&Config::default(), 2, &mut graph).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("`lists`: expected two lists")));
    }
}
