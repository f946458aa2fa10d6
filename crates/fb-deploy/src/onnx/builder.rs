//! Writes a graph operation by operation; values are known by their names.

use std::collections::{BTreeMap, BTreeSet};

use super::proto::{Attribute, Dimension, Graph, Node, Shape, Tensor, TensorType, Type, ValueInfo};

/// The types of entries, by their numbers in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    F32 = 1,
    I32 = 6,
    I64 = 7,
    Bool = 9,
    F64 = 11,
}

/// The name of a value in the graph.
pub(super) type Value = String;

/// The value of an option of an operation.
pub(super) enum Setting {
    Integer(i64),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Text(&'static str),
    Texts(Vec<&'static str>),
    Computation(Graph),
}

/// A graph under construction.
#[derive(Default)]
pub(super) struct Builder {
    graph: Graph,
    /// Operations so far, those of inner computations included.
    count: usize,
    /// Constants by type, shape and content, so that each is stored once.
    constants: BTreeMap<(Element, Vec<i64>, Vec<u8>), Value>,
}

/// A size in a shape of an input or output.
pub(super) enum Size {
    Free(&'static str),
    Named(String),
    Fixed(usize),
}

impl Builder {
    /// Declares an input of 32-bit floats.
    pub fn input(&mut self, name: &str, shape: &[Size], meaning: &str) -> Value {
        self.graph.input.push(value_info(name, Element::F32, shape, meaning));
        name.to_owned()
    }

    /// Names `value` as the output.
    pub fn output(&mut self, name: &str, value: &str, shape: &[Size], meaning: &str) {
        self.graph.node.push(Node {
            input: vec![value.to_owned()],
            output: vec![name.to_owned()],
            name: Some(name.to_owned()),
            op_type: Some("Identity".to_owned()),
            attribute: Vec::new(),
            domain: None,
        });
        self.graph.output.push(value_info(name, Element::F32, shape, meaning));
    }

    /// The graph, without what its outputs do not depend on.
    pub fn finish(mut self, name: &str) -> Graph {
        self.graph.name = Some(name.to_owned());
        let mut used: BTreeSet<String> = self.graph.output.iter().filter_map(|o| o.name.clone()).collect();
        let mut kept = Vec::new();
        while let Some(node) = self.graph.node.pop() {
            if node.output.iter().any(|name| used.contains(name)) {
                used.extend(taken(&node));
                kept.push(node);
            }
        }
        kept.reverse();
        self.graph.node = kept;
        self.graph.initializer.retain(|tensor| tensor.name.as_ref().is_some_and(|name| used.contains(name)));
        self.graph
    }

    /// `state` again and again through `step`, until it changes no more, but `most` times at most (a list of one integer).
    /// What `step` takes from outside, it sees.
    pub fn until_it_stays(
        &mut self,
        state: &str,
        shape: &[Size],
        most: &str,
        step: impl FnOnce(&mut Self, &str) -> Value,
    ) -> Value {
        let [turn, before, given] = ["turn", "go_on", "state"].map(|name| format!("/{name}_{}", self.count));
        let outer = std::mem::take(&mut self.graph.node);
        let after = step(self, &given);
        let same = self.op("Equal", &[&after, &given]);
        let same = self.cast(&same, Element::F32);
        let same = self.op_with("ReduceMin", &[&same], vec![("keepdims", Setting::Integer(0))]);
        let one = self.f32(1.0);
        let changes = self.op("Less", &[&same, &one]);
        let node = std::mem::replace(&mut self.graph.node, outer);
        let info = |name: &str, element, shape: &[Size]| value_info(name, element, shape, "");
        let body = Graph {
            node,
            name: Some("step".to_owned()),
            initializer: Vec::new(),
            input: vec![
                info(&turn, Element::I64, &[]),
                info(&before, Element::Bool, &[]),
                info(&given, Element::F32, shape),
            ],
            output: vec![info(&changes, Element::Bool, &[]), info(&after, Element::F32, shape)],
        };
        let (axes, zero) = (self.integers(&[0]), self.integer(0));
        let most = self.op("Squeeze", &[most, &axes]);
        let start = self.op("Equal", &[&zero, &zero]);
        self.op_with("Loop", &[&most, &start, state], vec![("body", Setting::Computation(body))])
    }

    /// An operation without options.
    pub fn op(&mut self, op: &str, inputs: &[&str]) -> Value {
        self.op_with(op, inputs, Vec::new())
    }

    /// An operation with options; gives its first output.
    pub fn op_with(&mut self, op: &str, inputs: &[&str], options: Vec<(&str, Setting)>) -> Value {
        self.op_many(op, inputs, options, 1).remove(0)
    }

    /// An operation with several outputs.
    pub fn op_many(&mut self, op: &str, inputs: &[&str], options: Vec<(&str, Setting)>, outputs: usize) -> Vec<Value> {
        // No column has a stroke in its name.
        let name = format!("/{op}_{}", self.count);
        self.count += 1;
        let output: Vec<Value> =
            (0..outputs).map(|i| if i == 0 { name.clone() } else { format!("{name}_{i}") }).collect();
        self.graph.node.push(Node {
            input: inputs.iter().map(|&x| x.to_owned()).collect(),
            output: output.clone(),
            name: Some(name),
            op_type: Some(op.to_owned()),
            attribute: options.into_iter().map(|(name, value)| attribute(name, value)).collect(),
            domain: None,
        });
        output
    }

    /// An operation of another family.
    pub fn op_of(&mut self, domain: &str, op: &str, inputs: &[&str], options: Vec<(&str, Setting)>) -> Value {
        let value = self.op_with(op, inputs, options);
        if let Some(node) = self.graph.node.last_mut() {
            node.domain = Some(domain.to_owned());
        }
        value
    }

    fn constant(&mut self, element: Element, shape: &[usize], bytes: Vec<u8>) -> Value {
        let dims: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let next = format!("/constant_{}", self.constants.len());
        let graph = &mut self.graph;
        let name = self.constants.entry((element, dims.clone(), bytes.clone())).or_insert_with(|| {
            graph.initializer.push(Tensor {
                dims,
                data_type: Some(element as i32),
                name: Some(next.clone()),
                raw_data: Some(bytes),
            });
            next
        });
        name.clone()
    }

    /// A constant of 64-bit floats without dimensions.
    pub fn f64(&mut self, x: f64) -> Value {
        self.constant(Element::F64, &[], x.to_le_bytes().to_vec())
    }

    /// A constant of 32-bit floats without dimensions.
    pub fn f32(&mut self, x: f32) -> Value {
        self.floats(&[], &[x])
    }

    /// A constant of 32-bit floats.
    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> Value {
        self.constant(Element::F32, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A list of integers: a shape, or axes.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        self.constant(Element::I64, &[values.len()], values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// An integer without dimensions.
    pub fn integer(&mut self, x: i64) -> Value {
        self.constant(Element::I64, &[], x.to_le_bytes().to_vec())
    }

    /// `x` in another type.
    pub fn cast(&mut self, x: &str, to: Element) -> Value {
        self.op_with("Cast", &[x], vec![("to", Setting::Integer(to as i64))])
    }

    /// `x` where `condition`, else `y`.
    pub fn choose(&mut self, condition: &str, x: &str, y: &str) -> Value {
        self.op("Where", &[condition, x, y])
    }

    /// Sum along an axis that stays with the size one.
    pub fn sum_keep(&mut self, x: &str, axis: i64) -> Value {
        let axes = self.integers(&[axis]);
        self.op_with("ReduceSum", &[x, &axes], vec![("keepdims", Setting::Integer(1))])
    }

    /// Sum along an axis that goes.
    pub fn sum(&mut self, x: &str, axis: i64) -> Value {
        let axes = self.integers(&[axis]);
        self.op_with("ReduceSum", &[x, &axes], vec![("keepdims", Setting::Integer(0))])
    }

    /// Largest or smallest (`op`) along an axis that stays with the size one.
    pub fn extreme(&mut self, op: &str, x: &str, axis: i64) -> Value {
        let options = vec![("axes", Setting::Integers(vec![axis])), ("keepdims", Setting::Integer(1))];
        self.op_with(op, &[x], options)
    }

    /// `x` with a new axis of size one.
    pub fn unsqueeze(&mut self, x: &str, axis: i64) -> Value {
        let axes = self.integers(&[axis]);
        self.op("Unsqueeze", &[x, &axes])
    }

    /// `x` joined along an axis.
    pub fn concat(&mut self, parts: &[&str], axis: i64) -> Value {
        if let [one] = parts {
            return (*one).to_owned();
        }
        self.op_with("Concat", parts, vec![("axis", Setting::Integer(axis))])
    }

    /// Entries `from..to` along an axis.
    pub fn slice(&mut self, x: &str, axis: i64, from: usize, to: usize) -> Value {
        let [from, to, axes] = [from as i64, to as i64, axis].map(|i| self.integers(&[i]));
        self.op("Slice", &[x, &from, &to, &axes])
    }

    /// `x` in another shape; −1 for what follows from the others, 0 for what stays.
    pub fn reshape(&mut self, x: &str, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.op("Reshape", &[x, &shape])
    }

    /// `x` with its axes in another order.
    pub fn transpose(&mut self, x: &str, order: &[i64]) -> Value {
        self.op_with("Transpose", &[x], vec![("perm", Setting::Integers(order.to_vec()))])
    }

    /// The size of `x` along an axis, as a list of one.
    pub fn size(&mut self, x: &str, axis: i64) -> Value {
        let options = vec![("start", Setting::Integer(axis)), ("end", Setting::Integer(axis + 1))];
        self.op_with("Shape", &[x], options)
    }

    /// 0, 1, … up to the size of `x` along an axis.
    pub fn count_up(&mut self, x: &str, axis: i64) -> Value {
        let size = self.size(x, axis);
        let axes = self.integers(&[0]);
        let end = self.op("Squeeze", &[&size, &axes]);
        let [start, step] = [0, 1].map(|i| self.integer(i));
        self.op("Range", &[&start, &end, &step])
    }
}

/// All that an operation takes, what its inner computations take from outside included.
fn taken(node: &Node) -> Vec<String> {
    let inner = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()).flat_map(|graph| &graph.node);
    node.input.iter().cloned().chain(inner.flat_map(taken)).collect()
}

fn attribute(name: &str, value: Setting) -> Attribute {
    let name = Some(name.to_owned());
    match value {
        Setting::Integer(i) => Attribute { name, i: Some(i), kind: Some(2), ..Attribute::default() },
        Setting::Text(s) => Attribute { name, s: Some(s.as_bytes().to_vec()), kind: Some(3), ..Attribute::default() },
        Setting::Computation(graph) => Attribute { name, g: Some(graph), kind: Some(5), ..Attribute::default() },
        Setting::Floats(floats) => Attribute { name, floats, kind: Some(6), ..Attribute::default() },
        Setting::Texts(texts) => {
            let strings = texts.into_iter().map(|s| s.as_bytes().to_vec()).collect();
            Attribute { name, strings, kind: Some(8), ..Attribute::default() }
        }
        Setting::Integers(ints) => Attribute { name, ints, kind: Some(7), ..Attribute::default() },
    }
}

fn value_info(name: &str, element: Element, shape: &[Size], meaning: &str) -> ValueInfo {
    let dim = shape.iter().map(|size| match size {
        Size::Free(name) => Dimension { dim_value: None, dim_param: Some((*name).to_owned()) },
        Size::Named(name) => Dimension { dim_value: None, dim_param: Some(name.clone()) },
        Size::Fixed(n) => Dimension { dim_value: Some(*n as i64), dim_param: None },
    });
    let shape = Shape { dim: dim.collect() };
    let tensor_type = TensorType { elem_type: Some(element as i32), shape: Some(shape) };
    ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(Type { tensor_type: Some(tensor_type) }),
        doc_string: Some(meaning.to_owned()),
    }
}
