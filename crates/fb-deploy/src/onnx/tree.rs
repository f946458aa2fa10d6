//! Recursive networks: all nodes at once, again and again until none changes. That takes as many turns as the tree is high;
//! the export is for checks and small loads.

use fb_nn::Node;

use super::builder::{Element, Setting, Size, Value};
use super::network::Network;
use crate::Error;

impl Network<'_> {
    /// The first node of a tree, from u of nodes with daughters, of those without, and the places of daughters.
    pub(super) fn tree(&mut self, node: &Node, inputs: &[Value]) -> Result<Value, Error> {
        let (width, mask) = (node.width, self.particles()?.0);
        let mut layers = Vec::new();
        for at in (0..node.parameters.len()).step_by(2) {
            layers.push([self.constant(node, at)?, self.constant(node, at + 1)?]);
        }
        let b = &mut *self.b;
        let zero = b.f32(0.0);
        let [u, leaf, links] = [&inputs[0], &inputs[1], &inputs[2]];
        let places: Vec<Value> = (0..2).map(|i| b.slice(links, -1, i, i + 1)).collect();
        let has_daughters = b.op("GreaterOrEqual", &[&places[0], &zero]);
        // Places [event, node, 1], in range even where there are none.
        let senders: Vec<Value> = places
            .iter()
            .map(|place| {
                let place = b.op("Max", &[place, &zero]);
                b.cast(&place, Element::I64)
            })
            .collect();
        // Which nodes are the jet [node, 1], and which its daughters [event, node, 1].
        let count = b.count_up(links, 1);
        let count = b.unsqueeze(&count, 1);
        let first = b.integer(0);
        let is_first = b.op("Equal", &[&count, &first]);
        let count = b.cast(&count, Element::F32);
        let of_first: Vec<Value> = places
            .iter()
            .map(|place| {
                let of_jet = b.slice(place, 1, 0, 1);
                b.op("Equal", &[&count, &of_jet])
            })
            .collect();
        let layer = |b: &mut super::builder::Builder, x: &str, [weight, bias]: &[Value; 2]| {
            let z = b.op("MatMul", &[x, weight]);
            let z = b.add(&z, bias);
            b.op("Relu", &[&z])
        };
        let start = b.mul(u, &zero);
        let most = b.size(links, 1);
        let shape = [Size::Free("events"), Size::Free("nodes"), Size::Fixed(width)];
        let all = b.until_it_stays(&start, &shape, &most, |b, e| {
            let mut parts: Vec<Value> = senders
                .iter()
                .map(|place| b.op_with("GatherND", &[e, place], vec![("batch_dims", Setting::Integer(1))]))
                .collect();
            parts.push(u.clone());
            let merged = b.concat(&parts.iter().map(String::as_str).collect::<Vec<_>>(), -1);
            let h = layer(b, &merged, &layers[0]);
            let h = b.choose(&has_daughters, &h, leaf);
            let kinds: Vec<Value> = layers[1..]
                .chunks_exact(2)
                .map(|two| {
                    let between = layer(b, &h, &two[0]);
                    layer(b, &between, &two[1])
                })
                .collect();
            let e = b.choose(&has_daughters, &kinds[2], &kinds[3]);
            let e = b.choose(&of_first[1], &kinds[1], &e);
            let e = b.choose(&of_first[0], &kinds[0], &e);
            b.choose(&is_first, &h, &e)
        });
        let jet = b.slice(&all, 1, 0, 1);
        let jet = b.reshape(&jet, &[-1, width as i64]);
        let some = b.slice(&mask, 1, 0, 1);
        Ok(b.choose(&some, &jet, &zero))
    }
}
