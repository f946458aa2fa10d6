//! Whether a graph can be run.

use fb_core::{Error, Result};

use super::{Convolution, Edges, Graph, Op, Rows, conv_shape};

impl Graph {
    /// Whether the graph can be run: options may not fit together, and a stored graph may have been altered.
    ///
    /// It is built again from its own operations; the result must be the same.
    ///
    /// # Errors
    /// [`Error::Artifact`] naming the node.
    pub fn check(&self) -> Result<()> {
        const LARGEST: usize = 1 << 24;
        let bad =
            |node: usize, reason: &str| Error::Artifact { reason: format!("node {node} of the network: {reason}") };
        let Some(first) = self.nodes.first() else { return Err(bad(0, "there is none")) };
        let inputs = self.inputs();
        if inputs.is_empty() || inputs.iter().any(|&(_, width)| width == 0 || width > LARGEST) {
            return Err(bad(0, "it must be the input, with a positive width"));
        }
        let mut again = Self::new(first.rows, first.width);
        for &(rows, width) in &inputs[1..] {
            again.input(rows, width);
        }
        (again.edges, again.fixed) = (self.edges, self.fixed.clone());
        let sound = match self.edges {
            None | Some(Edges::Unordered | Edges::Ordered | Edges::All) => true,
            Some(Edges::Nearest { k }) => k > 0 && k <= LARGEST && first.width >= 2,
            Some(Edges::Listed { from, to }) => from < to && to <= first.width,
        };
        let fits = self.fixed.iter().all(|row| row.len() == first.width && row.iter().all(|x| x.is_finite()));
        if !sound || !fits || (first.rows != Rows::Particle && (self.edges.is_some() || !self.fixed.is_empty())) {
            return Err(bad(0, "its edges or fixed rows do not fit"));
        }
        for (i, node) in self.nodes.iter().enumerate().skip(inputs.len()) {
            let x = |n: usize| match node.inputs.get(n) {
                Some(&j) if j < i => Ok(j),
                _ => Err(bad(i, "an input is missing or comes later")),
            };
            let width = |n: usize| x(n).map(|j| self.nodes[j].width);
            let rows = |n: usize| x(n).map(|j| self.nodes[j].rows);
            let sized = |sizes: &[usize]| match sizes.iter().try_fold(1usize, |a, &b| a.checked_mul(b)) {
                Some(1..=LARGEST) => Ok(()),
                _ => Err(bad(i, "a size is zero or too large")),
            };
            let require = |ok: bool, reason: &str| if ok { Ok(()) } else { Err(bad(i, reason)) };
            let many = |n: usize| {
                require(!matches!(rows(n)?, Rows::Event | Rows::Joint), "its input must have particles or edges")
            };
            let edges = |n: usize| require(rows(n)? == Rows::Edge, "its input must have edges");
            let square = || require(self.edges == Some(Edges::All), "its edges must be all pairs");
            let particles = |n: usize| require(rows(n)? == Rows::Particle, "its input must have particles");
            let moves = |&j: &usize| j < i && matches!(self.nodes[j].op, Op::Displace { .. });
            if node.inputs.iter().any(moves) && !matches!(node.op, Op::Minkowski | Op::Displace { .. }) {
                return Err(bad(i, "momenta that moved are for `minkowski` and `displace`"));
            }
            let seen = node.inputs.iter().filter_map(|&j| self.nodes.get(j)).filter(|n| n.rows != Rows::Event);
            let mut collections = seen.map(|node| node.collection);
            let first = collections.next();
            let crosses = matches!(node.op, Op::Interaction { .. });
            require(crosses || collections.all(|c| Some(c) == first), "it takes particles of two collections")?;
            match node.op {
                Op::Input => return Err(bad(i, "inputs come before operations")),
                Op::Columns { from, to } => {
                    require(from < to && to <= width(0)?, "its columns are out of range")?;
                    again.columns(x(0)?, from, to);
                }
                Op::Linear { bias, activation } => {
                    sized(&[node.width, width(0)?])?;
                    again.linear_with(x(0)?, node.width, bias, activation);
                }
                Op::BatchNorm { channels, activation } => {
                    sized(&[channels])?;
                    require(width(0)?.is_multiple_of(channels), "its channels do not divide its width")?;
                    again.batch_norm(x(0)?, channels, activation);
                }
                Op::Dropout { rate } => {
                    require((0.0..1.0).contains(&rate), "its rate is not from 0 to below 1")?;
                    again.dropout(x(0)?, rate);
                }
                Op::Add { activation } => {
                    require((rows(0)?, width(0)?) == (rows(1)?, width(1)?), "its inputs differ in shape")?;
                    again.add(x(0)?, x(1)?, activation);
                }
                Op::Sum | Op::Mean => {
                    many(0)?;
                    if node.op == Op::Sum {
                        again.sum(x(0)?)
                    } else {
                        again.mean(x(0)?)
                    };
                }
                Op::WeightedSum => {
                    many(0)?;
                    require(rows(0)? == rows(1)?, "its inputs differ in rows")?;
                    require(width(0)?.is_multiple_of(width(1)?), "the weights do not divide its width")?;
                    again.weighted_sum(x(0)?, x(1)?);
                }
                Op::EdgeConv { k, channels } => {
                    particles(0)?;
                    particles(1)?;
                    sized(&[k])?;
                    sized(&[2 * width(1)?, channels[0]])?;
                    sized(&channels)?;
                    again.edge_conv(x(0)?, x(1)?, k, channels);
                }
                Op::Interaction { channels, activation } => {
                    let from = node.inputs.len() - 1;
                    require(from < 2, "it has one or two inputs")?;
                    particles(0)?;
                    particles(from)?;
                    let of = |n: usize| x(n).map(|j| self.nodes[j].collection);
                    require(from == 0 || of(0)? != of(1)?, "both of its inputs are of one collection")?;
                    sized(&[width(0)? + width(from)?, channels[0]])?;
                    sized(&channels)?;
                    again.interaction_with(x(0)?, x(from)?, channels, activation);
                }
                Op::Tree => {
                    (0..3).try_for_each(particles)?;
                    require(width(0)? == width(1)?, "its inputs differ in width")?;
                    require(width(2)? == 2, "its third input must be two places")?;
                    sized(&[3, width(0)?, width(0)?])?;
                    again.tree([x(0)?, x(1)?], x(2)?);
                }
                Op::Grid { cells, size } => {
                    particles(0)?;
                    particles(1)?;
                    require(width(0)? == 2, "its first input must be places")?;
                    require(size > 0.0 && size.is_finite(), "its size is not positive")?;
                    sized(&[cells, cells, width(1)?])?;
                    again.grid(x(0)?, x(1)?, cells, size);
                }
                Op::Flatten { max } => {
                    particles(0)?;
                    sized(&[max, width(0)?])?;
                    again.flatten(x(0)?, max);
                }
                Op::Lstm { hidden } => {
                    particles(0)?;
                    sized(&[hidden, hidden])?;
                    sized(&[hidden, width(0)?])?;
                    again.lstm(x(0)?, hidden);
                }
                Op::Conv { shape, out, kernel, stride, padding, groups, bias, activation } => {
                    sized(&shape)?;
                    sized(&[kernel, kernel, shape[2], out])?;
                    sized(&[stride])?;
                    require(shape.iter().product::<usize>() == width(0)?, "its shape does not fit its input")?;
                    require(padding < kernel, "its padding is not smaller than its kernel")?;
                    require(
                        groups > 0 && shape[2].is_multiple_of(groups) && out.is_multiple_of(groups),
                        "its groups do not divide its channels",
                    )?;
                    let fits = |n: usize| n + 2 * padding >= kernel;
                    require(
                        fits(shape[1]) && (shape[0] == 1 || fits(shape[0])),
                        "its kernel is larger than its input",
                    )?;
                    sized(&conv_shape(shape, out, kernel, stride, padding))?;
                    again.conv(x(0)?, shape, Convolution { out, kernel, stride, padding, groups, bias, activation });
                }
                Op::MaxPool { shape, window } => {
                    sized(&shape)?;
                    sized(&[window.size, window.stride])?;
                    require(shape.iter().product::<usize>() == width(0)?, "its shape does not fit its input")?;
                    require(window.padding < window.size, "its padding is not smaller than its window")?;
                    let fits = |n: usize| n + 2 * window.padding >= window.size;
                    require(fits(shape[0]) && fits(shape[1]), "there is nothing to pool")?;
                    again.max_pool(x(0)?, shape, window);
                }
                Op::MeanPositions { channels } => {
                    sized(&[channels])?;
                    require(width(0)?.is_multiple_of(channels), "its channels do not divide its width")?;
                    again.mean_positions(x(0)?, channels);
                }
                Op::Gelu | Op::LayerNorm | Op::Softmax => {
                    if node.op == Op::Softmax {
                        many(0)?;
                    }
                    match node.op {
                        Op::Gelu => again.gelu(x(0)?),
                        Op::LayerNorm => again.layer_norm(x(0)?),
                        _ => again.softmax(x(0)?),
                    };
                }
                Op::Scale { groups } => {
                    sized(&[groups])?;
                    require(width(0)?.is_multiple_of(groups), "its groups do not divide its width")?;
                    again.scale(x(0)?, groups);
                }
                Op::Multiply => {
                    let alike = rows(0)? == rows(1)? && width(0)?.is_multiple_of(width(1)?);
                    let of_event = rows(1)? == Rows::Event && width(0)? == width(1)?;
                    require(alike || of_event, "its inputs differ in shape")?;
                    again.multiply(x(0)?, x(1)?);
                }
                Op::Concat => {
                    let parts: Vec<usize> = (0..node.inputs.len().max(1)).map(x).collect::<Result<_>>()?;
                    let same = parts.iter().all(|&part| self.nodes[part].rows == self.nodes[parts[0]].rows);
                    require(same, "its inputs differ in rows")?;
                    sized(&[node.width])?;
                    again.concat(&parts);
                }
                Op::Token => {
                    sized(&[node.width])?;
                    require(x(0)? == Self::INPUT, "its input must be the input")?;
                    again.token(node.width);
                }
                Op::Spread => {
                    require(
                        [Rows::Event, Rows::Particle].contains(&rows(0)?),
                        "its input must have events or particles",
                    )?;
                    again.spread(x(0)?);
                }
                Op::Senders => {
                    particles(0)?;
                    again.senders(x(0)?);
                }
                Op::Head { k } => {
                    edges(0)?;
                    sized(&[k])?;
                    again.head(x(0)?, k);
                }
                Op::Join { activation } => {
                    particles(0)?;
                    particles(1)?;
                    require((2..=4).contains(&node.inputs.len()), "it has two to four inputs")?;
                    if node.inputs.len() > 3 {
                        edges(2)?;
                        particles(3)?;
                    } else if node.inputs.len() > 2 {
                        require([Rows::Edge, Rows::Particle].contains(&rows(2)?), "its third input has no edges")?;
                    }
                    for n in 0..node.inputs.len() {
                        require(width(n)? == width(0)?, "its inputs differ in width")?;
                    }
                    again.join(x(0)?, x(1)?, &node.inputs[2..], activation);
                }
                Op::PairKinematics => {
                    particles(0)?;
                    require(width(0)? == 4, "its input must be px, py, pz, E")?;
                    again.pair_kinematics(x(0)?);
                }
                Op::Minkowski => {
                    particles(0)?;
                    require([4, 8].contains(&width(0)?), "its input must be px, py, pz, E")?;
                    again.minkowski(x(0)?);
                }
                Op::Displace { step, limit } => {
                    particles(0)?;
                    edges(1)?;
                    require([4, 8].contains(&width(0)?), "its input must be px, py, pz, E")?;
                    require(width(1)? == 1, "its second input must have one column")?;
                    require(step.is_finite() && limit > 0.0, "its step or limit is out of range")?;
                    again.displace(x(0)?, x(1)?, step, limit);
                }
                Op::Attention { heads, dropout } => {
                    sized(&[heads])?;
                    require((3..=4).contains(&node.inputs.len()), "it has three or four inputs")?;
                    for n in 0..3 {
                        particles(n)?;
                        require(width(n)? == width(0)?, "its inputs differ in width")?;
                    }
                    require(width(0)?.is_multiple_of(heads), "its heads do not divide its width")?;
                    require((0.0..1.0).contains(&dropout), "its rate is not from 0 to below 1")?;
                    let bias = if node.inputs.len() > 3 { Some(x(3)?) } else { None };
                    if bias.is_some() {
                        edges(3)?;
                        require(width(3)? == heads, "its bias must have a column for each head")?;
                        require(self.edges == Some(Edges::Unordered), "its bias must be on unordered pairs")?;
                    }
                    again.attention([x(0)?, x(1)?, x(2)?], bias, heads, dropout);
                }
                Op::Unit { activation } => {
                    again.unit(x(0)?, activation);
                }
                Op::SetAttention => {
                    (0..3).try_for_each(particles)?;
                    require(width(0)? == width(1)?, "its queries and keys differ in width")?;
                    again.set_attention([x(0)?, x(1)?, x(2)?]);
                }
                Op::Stack => {
                    particles(1)?;
                    require(rows(0)? == Rows::Event, "its first input must have events")?;
                    require(width(0)? == width(1)?, "its inputs differ in width")?;
                    again.stack(x(0)?, x(1)?);
                }
                Op::ClassAttention { heads } => {
                    sized(&[heads])?;
                    for n in 0..3 {
                        let expected = if n == 0 { Rows::Event } else { Rows::Joint };
                        require(rows(n)? == expected, "its inputs differ in rows")?;
                        require(width(n)? == width(0)?, "its inputs differ in width")?;
                    }
                    require(width(0)?.is_multiple_of(heads), "its heads do not divide its width")?;
                    again.class_attention([x(0)?, x(1)?, x(2)?], heads);
                }
                Op::Boost { combinations } | Op::Lola { combinations, .. } => {
                    require(rows(0)? == Rows::Event, "its input must have events")?;
                    require(width(0)?.is_multiple_of(4), "its input must be px, py, pz, E of particles")?;
                    sized(&[width(0)? / 4, combinations])?;
                    let n = 1 + width(0)? / 4 + combinations;
                    sized(&[7, n, n])?;
                    match node.op {
                        Op::Lola { learned, .. } => again.lola(x(0)?, combinations, learned),
                        _ => again.boost(x(0)?, combinations),
                    };
                }
                Op::Diagonal => {
                    edges(0)?;
                    square()?;
                    again.diagonal(x(0)?);
                }
                Op::Invariants => {
                    particles(0)?;
                    sized(&[node.width])?;
                    require(width(0)? == 4, "its input must be px, py, pz, E")?;
                    again.invariants(x(0)?, node.width);
                }
                Op::Equivariant { mean } => {
                    edges(0)?;
                    square()?;
                    sized(&[15, node.width, width(0)?])?;
                    require(mean > 0.0 && mean.is_finite(), "its mean is not positive")?;
                    again.equivariant(x(0)?, node.width, mean);
                }
                Op::Multiplicity { mean, activation } => {
                    require(mean > 0.0 && mean.is_finite(), "its mean is not positive")?;
                    again.multiplicity(x(0)?, mean, activation);
                }
            }
            if again.nodes[i].rows == Rows::Edge && (self.edges.is_none() || again.nodes[i].collection > 0) {
                return Err(bad(i, "the network names no pairs of these particles"));
            }
            if again.nodes[i].width != node.width || again.nodes[i].rows != node.rows {
                return Err(bad(i, "its width or rows are not those of its operation"));
            }
        }
        let result = &self.nodes[self.output()];
        // A pair has one logit whichever of its two comes first.
        let of_pairs = (result.rows, result.width, self.edges) == (Rows::Edge, 1, Some(Edges::Unordered));
        if result.rows != Rows::Event && !(of_pairs && self.fixed.is_empty()) {
            let reason = "the result must have one row per event, or one number per unordered pair of particles";
            return Err(bad(self.output(), reason));
        }
        if self.numbers.is_some_and(|n| n == 0 || result.rows != Rows::Event || ![n, 2 * n].contains(&result.width)) {
            return Err(bad(
                self.output(),
                "the result must have one or two entries for each number that is predicted",
            ));
        }
        again.numbers = self.numbers;
        // How they start is for the method to say.
        again.parameters.iter_mut().zip(&self.parameters).for_each(|(again, p)| again.init = p.init);
        if *self != again {
            return Err(bad(self.output(), "its parameters are not those of its operations"));
        }
        Ok(())
    }
}
