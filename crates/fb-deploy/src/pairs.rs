//! The probabilities of pairs by our own engine, laid out as an export gives them.

use fb_core::run::Alone;
use fb_core::{Artifact, Features};
use fb_nn::{Edges, Graph, Model};

use crate::Error;

/// Of a stored network that puts particles into groups, what its export says of events that it sees as `features`:
/// [event, particle, particle], as many particles as the longest event has. None for other models.
///
/// # Errors
/// [`Error::Model`] for an artifact that is not well formed.
pub fn pairs(artifact: &Artifact, features: &Features) -> Result<Option<Vec<f32>>, Error> {
    let Ok(graph) = serde_json::from_value::<Graph>(artifact.header["graph"].clone()) else { return Ok(None) };
    let model = Model::from_tensors(graph, artifact)?;
    if !model.graph.is_of_pairs() {
        return Ok(None);
    }
    let logits = model.outputs(features, &Alone);
    let n = |i: usize| features.rows(i).len();
    let most = (0..features.events()).map(n).max().unwrap_or(0);
    let mut all = vec![0.0; features.events() * most * most];
    let mut first = 0;
    for (event, square) in all.chunks_exact_mut((most * most).max(1)).enumerate() {
        for i in 0..n(event) {
            for j in 0..i {
                let p = 1.0 / (1.0 + (-logits[first + Edges::place(i, j)]).exp());
                (square[i * most + j], square[j * most + i]) = (p, p);
            }
        }
        first += Edges::Unordered.count(n(event));
    }
    Ok(Some(all))
}
