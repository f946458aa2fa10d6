//! The model of one measurement: its parameters, and what each bin expects of them.

use fb_core::{Error, Result};

use super::interpolate::{Factor, Shift};
use super::workspace::{Channel, Measurement, Modifier, ModifierKind, ParameterConfig, Workspace};
use crate::matrix::{Matrix, dot};

/// Bins, parameters, and the yields that follow from them.
#[derive(Debug, Clone)]
pub struct Model {
    parameters: Vec<Parameter>,
    poi: Option<usize>,
    templates: Vec<Template>,
    channels: Vec<(String, usize)>,
    bins: usize,
}

/// One component of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// `name`, or `name[i]` where the parameter has a component a bin.
    pub name: String,
    /// Where a fit starts.
    pub init: f64,
    /// Where it may go.
    pub bounds: (f64, f64),
    /// Whether fits leave it at `init`.
    pub fixed: bool,
    /// What is known of it from elsewhere.
    pub constraint: Option<Constraint>,
}

/// The law of an auxiliary measurement a of a parameter θ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Constraint {
    /// a ~ N(θ, σ)
    Normal {
        /// σ
        sigma: f64,
        /// a
        auxiliary: f64,
    },
    /// a ~ Pois(τ θ)
    Poisson {
        /// τ
        factor: f64,
        /// a
        auxiliary: f64,
    },
}

impl Constraint {
    /// The parameter as the auxiliary measurement alone has it, with its standard deviation: a and σ, or a/τ and √a/τ.
    pub fn measured(self) -> (f64, f64) {
        match self {
            Self::Normal { sigma, auxiliary } => (auxiliary, sigma),
            Self::Poisson { factor, auxiliary } => (auxiliary / factor, auxiliary.sqrt() / factor),
        }
    }
}

/// What was observed.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Counts of the bins, channels in the order of their names.
    pub counts: Vec<f64>,
    /// Auxiliary measurements, one a parameter; 0 for parameters without constraint.
    pub auxiliary: Vec<f64>,
}

/// A sample in a channel.
#[derive(Debug, Clone)]
struct Template {
    sample: String,
    /// Its first bin among all.
    first: usize,
    nominal: Vec<f64>,
    scales: Vec<(usize, Option<Factor>)>,
    shifts: Vec<(usize, Vec<Shift>)>,
    /// First parameters of factors that each bin has its own of.
    per_bin: Vec<usize>,
}

impl Model {
    /// The model of a measurement of a workspace.
    ///
    /// # Errors
    /// [`Error::Model`] where modifiers of one name contradict each other, the configuration of a parameter does not fit
    /// it, or the parameter of interest is none of the model or has several components.
    pub fn new(workspace: &Workspace, measurement: &Measurement) -> Result<Self> {
        let sets = sets(&workspace.channels, measurement)?;
        let mut parameters = Vec::new();
        for set in &sets {
            parameters.extend(set.parameters()?);
        }
        if parameters.is_empty() {
            return Err(Error::Model { place: "workspace".to_owned(), reason: "has no parameters".to_owned() });
        }
        let starts: Vec<usize> = sets
            .iter()
            .scan(0, |next, set| {
                let start = *next;
                *next += set.size;
                Some(start)
            })
            .collect();
        let poi = match sets.iter().position(|set| set.name == measurement.poi) {
            _ if measurement.poi.is_empty() => None,
            Some(at) if sets[at].size == 1 => Some(starts[at]),
            found => {
                let reason = match found {
                    Some(at) => format!("has {} components, expected one", sets[at].size),
                    None => "is no parameter of the model".to_owned(),
                };
                return Err(Error::Model { place: format!("parameter of interest `{}`", measurement.poi), reason });
            }
        };
        let (mut templates, mut channels, mut first) = (Vec::new(), Vec::new(), 0);
        // Bins of a statistical error that stands in several channels follow each other.
        let mut used = vec![0; sets.len()];
        for channel in &workspace.channels {
            let mut stat = Vec::new();
            for sample in &channel.samples {
                let mut template = Template {
                    sample: sample.name.clone(),
                    first,
                    nominal: sample.data.clone(),
                    scales: Vec::new(),
                    shifts: Vec::new(),
                    per_bin: Vec::new(),
                };
                for Modifier { name, kind } in &sample.modifiers {
                    let Some(at) = sets.iter().position(|set| set.name == *name) else { continue };
                    match kind {
                        ModifierKind::HistoSys { lo, hi } => {
                            let shifts =
                                lo.iter().zip(&sample.data).zip(hi).map(|((lo, x), hi)| Shift::new(*lo, *x, *hi));
                            template.shifts.push((starts[at], shifts.collect()));
                        }
                        ModifierKind::NormSys { lo, hi } => {
                            template.scales.push((starts[at], Some(Factor::new(*lo, *hi))));
                        }
                        ModifierKind::Lumi | ModifierKind::NormFactor => template.scales.push((starts[at], None)),
                        ModifierKind::ShapeFactor | ModifierKind::ShapeSys(_) => template.per_bin.push(starts[at]),
                        ModifierKind::StatError(_) => {
                            template.per_bin.push(starts[at] + used[at]);
                            stat.push(at);
                        }
                    }
                }
                templates.push(template);
            }
            stat.sort_unstable();
            stat.dedup();
            for at in stat {
                used[at] += channel.bins;
            }
            channels.push((channel.name.clone(), first));
            first += channel.bins;
        }
        Ok(Self { parameters, poi, templates, channels, bins: first })
    }

    /// The parameters, in pyhf's order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter of interest.
    pub fn poi(&self) -> Option<usize> {
        self.poi
    }

    /// The parameter of interest, which `purpose` needs free.
    ///
    /// # Errors
    /// [`Error::Model`] if the measurement names none or fixes it.
    pub(super) fn interest(&self, purpose: &str) -> Result<usize> {
        let wrong = |reason: String| Err(Error::Model { place: "parameter of interest".to_owned(), reason });
        match self.poi {
            None => wrong(format!("the measurement names none, a {purpose} needs one")),
            Some(i) if self.parameters[i].fixed => {
                wrong(format!("is fixed by the measurement, a {purpose} needs it free"))
            }
            Some(i) => Ok(i),
        }
    }

    /// The number of bins of all channels.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// `bin 2 of channel SR`, for messages.
    pub fn bin_name(&self, bin: usize) -> String {
        let channel = self.channels.iter().rev().find(|(_, first)| *first <= bin);
        channel.map_or_else(|| format!("bin {bin}"), |(name, first)| format!("bin {} of channel `{name}`", bin - first))
    }

    /// The starting values.
    pub fn inits(&self) -> Vec<f64> {
        self.parameters.iter().map(|parameter| parameter.init).collect()
    }

    /// What the workspace observed, and the auxiliary measurements.
    pub fn observed(&self, workspace: &Workspace) -> Data {
        let counts = workspace.channels.iter().flat_map(|channel| &workspace.observations[&channel.name]);
        let auxiliary = self.parameters.iter().map(|parameter| match parameter.constraint {
            Some(Constraint::Normal { auxiliary, .. } | Constraint::Poisson { auxiliary, .. }) => auxiliary,
            None => 0.0,
        });
        Data { counts: counts.copied().collect(), auxiliary: auxiliary.collect() }
    }

    /// Asimov data: what is expected at these parameters, auxiliary measurements included (arXiv:1007.1727, eq. 24).
    pub fn asimov(&self, theta: &[f64]) -> Data {
        let auxiliary = self.parameters.iter().zip(theta).map(|(parameter, theta)| match parameter.constraint {
            Some(Constraint::Normal { .. }) => *theta,
            Some(Constraint::Poisson { factor, .. }) => factor * theta,
            None => 0.0,
        });
        Data { counts: self.expected(theta), auxiliary: auxiliary.collect() }
    }

    /// The parameters that move a yield the same way up and down: values of both signs can expect the same, so the
    /// likelihood can have a maximum at each.
    pub(super) fn bent(&self) -> Vec<usize> {
        let mut bent: Vec<usize> = Vec::new();
        for template in &self.templates {
            let factors = template.scales.iter().filter(|(_, factor)| factor.as_ref().is_some_and(Factor::is_bent));
            bent.extend(factors.map(|(parameter, _)| *parameter));
            let shifts = template.shifts.iter().filter(|(_, shifts)| shifts.iter().any(Shift::is_bent));
            bent.extend(shifts.map(|(parameter, _)| *parameter));
        }
        bent.sort_unstable();
        bent.dedup();
        bent
    }

    /// The channels and their bins among all.
    pub fn channels(&self) -> impl Iterator<Item = (&str, std::ops::Range<usize>)> {
        let ends = self.channels.iter().skip(1).map(|(_, first)| *first).chain([self.bins]);
        self.channels.iter().zip(ends).map(|((name, first), end)| (name.as_str(), *first..end))
    }

    /// λ_b(θ)
    pub fn expected(&self, theta: &[f64]) -> Vec<f64> {
        let mut expected = vec![0.0; self.bins];
        for template in &self.templates {
            template.add(theta, &mut expected[template.first..]);
        }
        expected
    }

    /// What each sample adds to λ_b(θ): (name, its first bin, yields of the bins of its channel).
    pub fn contributions(&self, theta: &[f64]) -> Vec<(&str, usize, Vec<f64>)> {
        let mut all = Vec::new();
        for template in &self.templates {
            let mut yields = vec![0.0; template.nominal.len()];
            template.add(theta, &mut yields);
            all.push((template.sample.as_str(), template.first, yields));
        }
        all
    }

    /// ∂λ_b/∂θ_j, [bin, parameter].
    pub fn jacobian(&self, theta: &[f64]) -> Vec<f64> {
        let mut jacobian = vec![0.0; self.bins * theta.len()];
        self.derivatives(theta, |bin, parameter, slope| jacobian[bin * theta.len() + parameter] += slope);
        jacobian
    }

    /// Standard deviations of λ_b for a covariance V of the parameters, √(∂λ V ∂λᵀ) to first order.
    pub fn spread(&self, theta: &[f64], covariance: &Matrix) -> Vec<f64> {
        let jacobian = self.jacobian(theta);
        jacobian.chunks_exact(theta.len()).map(|row| dot(row, &covariance.times(row)).max(0.0).sqrt()).collect()
    }

    /// Calls `visit(b, j, ∂y_b/∂θ_j)` for each yield y of a sample and each parameter that it depends on; the derivative of
    /// λ_b is the sum.
    pub fn derivatives(&self, theta: &[f64], mut visit: impl FnMut(usize, usize, f64)) {
        for template in &self.templates {
            let scales: Vec<(f64, f64)> = template.scales.iter().map(|scale| factor(scale, theta)).collect();
            let values: Vec<f64> = scales.iter().map(|(value, _)| *value).collect();
            let scale: f64 = values.iter().product();
            // A factor can be zero, so the product of the others is not a quotient.
            let slopes: Vec<f64> = (0..scales.len()).map(|i| scales[i].1 * product_without(&values, i)).collect();
            let mut factors = vec![0.0; template.per_bin.len()];
            for bin in 0..template.nominal.len() {
                for (factor, start) in factors.iter_mut().zip(&template.per_bin) {
                    *factor = theta[start + bin];
                }
                let (per_bin, shifted): (f64, f64) = (factors.iter().product(), template.shifted(bin, theta));
                let at = template.first + bin;
                for ((parameter, _), slope) in template.scales.iter().zip(&slopes) {
                    visit(at, *parameter, slope * per_bin * shifted);
                }
                for (parameter, shifts) in &template.shifts {
                    visit(at, *parameter, scale * per_bin * shifts[bin].at(theta[*parameter]).1);
                }
                for (i, start) in template.per_bin.iter().enumerate() {
                    visit(at, start + bin, scale * product_without(&factors, i) * shifted);
                }
            }
        }
    }
}

impl Template {
    /// Adds its yields to those of its bins.
    fn add(&self, theta: &[f64], bins: &mut [f64]) {
        let scale: f64 = self.scales.iter().map(|scale| factor(scale, theta).0).product();
        for (bin, sum) in bins.iter_mut().enumerate().take(self.nominal.len()) {
            let per_bin: f64 = self.per_bin.iter().map(|start| theta[start + bin]).product();
            *sum += scale * per_bin * self.shifted(bin, theta);
        }
    }

    fn shifted(&self, bin: usize, theta: &[f64]) -> f64 {
        let shifts = self.shifts.iter().map(|(parameter, shifts)| shifts[bin].at(theta[*parameter]).0);
        self.nominal[bin] + shifts.sum::<f64>()
    }
}

fn factor((parameter, factor): &(usize, Option<Factor>), theta: &[f64]) -> (f64, f64) {
    factor.as_ref().map_or((theta[*parameter], 1.0), |factor| factor.at(theta[*parameter]))
}

fn product_without(factors: &[f64], i: usize) -> f64 {
    factors[..i].iter().product::<f64>() * factors[i + 1..].iter().product::<f64>()
}

/// A parameter with its components.
#[derive(Debug, Clone, PartialEq)]
struct Set {
    name: String,
    size: usize,
    scalar: bool,
    inits: Option<Vec<f64>>,
    bounds: Option<Vec<(f64, f64)>>,
    fixed: Vec<bool>,
    law: Law,
}

/// How the components are constrained.
#[derive(Debug, Clone, PartialEq)]
enum Law {
    Free,
    Normal { auxdata: Option<Vec<f64>>, sigmas: Sigmas },
    Poisson { auxdata: Vec<f64>, factors: Vec<f64> },
}

#[derive(Debug, Clone, PartialEq)]
enum Sigmas {
    /// One, and not to be configured.
    Unit,
    Given(Option<Vec<f64>>),
}

/// The parameters in pyhf's order: by the type of modifier; statistical errors by name, others as they come in channels,
/// samples and modifiers that are sorted by name.
fn sets(channels: &[Channel], measurement: &Measurement) -> Result<Vec<Set>> {
    let mut found: Vec<(usize, Set)> = Vec::new();
    for channel in channels {
        for sample in &channel.samples {
            for Modifier { name, kind } in &sample.modifiers {
                let place =
                    || format!("channel `{}`, sample `{}`, {} `{name}`", channel.name, sample.name, kind.name());
                let error = |reason: String| Error::Model { place: place(), reason };
                let known = found.iter().find(|(rank, set)| *rank == kind.rank() && set.name == *name);
                match (kind, known) {
                    (ModifierKind::ShapeSys(_), Some(_)) => {
                        return Err(error("stands on another sample too; each needs a name of its own".to_owned()));
                    }
                    (ModifierKind::ShapeFactor, Some((_, set))) if channel.bins > set.size => {
                        let reason =
                            format!("the channel has {} bins, but the parameter has {}", channel.bins, set.size);
                        return Err(error(reason));
                    }
                    (_, Some(_)) => {}
                    (_, None) => found.push((kind.rank(), set(name, kind, &sample.data, channels)?)),
                }
            }
        }
    }
    found.sort_by_key(|(rank, set)| (*rank, if *rank == 6 { set.name.clone() } else { String::new() }));
    let mut sets: Vec<Set> = Vec::new();
    for (rank, set) in found {
        match sets.iter().find(|other| other.name == set.name) {
            Some(other) if *other == set => {}
            Some(_) => {
                let reason = format!("is a {} and another modifier of a different law", ModifierKind::NAMES[rank]);
                return Err(Error::Model { place: format!("parameter `{}`", set.name), reason });
            }
            None => sets.push(set),
        }
    }
    for config in &measurement.parameters {
        if let Some(set) = sets.iter_mut().find(|set| set.name == config.name) {
            set.configure(config)?;
        }
    }
    Ok(sets)
}

/// What a modifier asks of its parameter.
fn set(name: &str, kind: &ModifierKind, nominal: &[f64], channels: &[Channel]) -> Result<Set> {
    let many = |size: usize, bounds: (f64, f64), fixed: Vec<bool>, law: Law| Set {
        name: name.to_owned(),
        size,
        scalar: false,
        inits: Some(vec![1.0; size]),
        bounds: Some(vec![bounds; size]),
        fixed,
        law,
    };
    let one = |init: Option<f64>, bounds: Option<(f64, f64)>, law: Law| Set {
        name: name.to_owned(),
        size: 1,
        scalar: true,
        inits: init.map(|init| vec![init]),
        bounds: bounds.map(|bounds| vec![bounds]),
        fixed: vec![false],
        law,
    };
    Ok(match kind {
        ModifierKind::HistoSys { .. } | ModifierKind::NormSys { .. } => {
            one(Some(0.0), Some((-5.0, 5.0)), Law::Normal { auxdata: Some(vec![0.0]), sigmas: Sigmas::Unit })
        }
        ModifierKind::Lumi => one(None, None, Law::Normal { auxdata: None, sigmas: Sigmas::Given(None) }),
        ModifierKind::NormFactor => one(Some(1.0), Some((0.0, 10.0)), Law::Free),
        ModifierKind::ShapeFactor => many(nominal.len(), (0.0, 10.0), vec![false; nominal.len()], Law::Free),
        ModifierKind::ShapeSys(errors) => {
            let valid = |(x, error): (&f64, &f64)| *x > 0.0 && *error > 0.0;
            let pairs = || nominal.iter().zip(errors);
            let factors: Vec<f64> =
                pairs().map(|pair| if valid(pair) { (pair.0 / pair.1).powi(2) } else { 1.0 }).collect();
            let fixed = pairs().map(|pair| !valid(pair)).collect();
            many(nominal.len(), (1e-10, 10.0), fixed, Law::Poisson { auxdata: factors.clone(), factors })
        }
        ModifierKind::StatError(_) => {
            let errors = statistical(name, channels)?;
            let fixed: Vec<bool> = errors.iter().map(|error| *error == 0.0).collect();
            // What is fixed still has a term in the likelihood, of width one.
            let sigmas = errors.iter().map(|error| if *error == 0.0 { 1.0 } else { *error }).collect();
            let law = Law::Normal { auxdata: Some(vec![1.0; errors.len()]), sigmas: Sigmas::Given(Some(sigmas)) };
            many(errors.len(), (1e-10, 10.0), fixed, law)
        }
    })
}

/// Relative statistical errors of the bins of the channels that have one of this name, √Σσ² / Σν over the samples that it
/// stands on.
fn statistical(name: &str, channels: &[Channel]) -> Result<Vec<f64>> {
    // For each sample: the channels that it is subject to the error in. All must be the same ones.
    let mut places: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut errors = Vec::new();
    for channel in channels {
        let (mut yields, mut squares, mut any) = (vec![0.0; channel.bins], vec![0.0; channel.bins], false);
        for sample in &channel.samples {
            let found = sample.modifiers.iter().find_map(|modifier| match &modifier.kind {
                ModifierKind::StatError(sigmas) if modifier.name == name => Some(sigmas),
                _ => None,
            });
            let Some(sigmas) = found else { continue };
            any = true;
            for (bin, sigma) in sigmas.iter().enumerate() {
                yields[bin] += sample.data[bin];
                squares[bin] += sigma * sigma;
            }
            match places.iter_mut().find(|(other, _)| *other == sample.name) {
                Some((_, channels)) => channels.push(&channel.name),
                None => places.push((&sample.name, vec![&channel.name])),
            }
        }
        if any {
            let relative = |(x, square): (&f64, &f64)| if *x > 0.0 { square.sqrt() / x } else { 0.0 };
            errors.extend(yields.iter().zip(&squares).map(relative));
        }
    }
    if let Some((sample, _)) = places.iter().find(|(_, channels)| *channels != places[0].1) {
        let reason = format!("stands on samples `{}` and `{sample}` in different channels", places[0].0);
        return Err(Error::Model { place: format!("staterror `{name}`"), reason });
    }
    Ok(errors)
}

impl Set {
    fn error(&self, reason: String) -> Error {
        Error::Model { place: format!("parameter `{}`", self.name), reason }
    }

    /// Takes over what a measurement says.
    fn configure(&mut self, config: &ParameterConfig) -> Result<()> {
        let lengths = [
            ("inits", config.inits.as_ref().map(Vec::len)),
            ("bounds", config.bounds.as_ref().map(Vec::len)),
            ("auxdata", config.auxdata.as_ref().map(Vec::len)),
            ("sigmas", config.sigmas.as_ref().map(Vec::len)),
            ("factors", config.factors.as_ref().map(Vec::len)),
        ];
        for (key, length) in lengths {
            if let Some(length) = length
                && length != self.size
            {
                return Err(self.error(format!("`{key}` has {length} entries, expected {}", self.size)));
            }
        }
        let unused = |set: &Self, key: &str| set.error(format!("has no `{key}` that could be configured"));
        self.inits = config.inits.clone().or(self.inits.take());
        self.bounds = config.bounds.clone().or(self.bounds.take());
        if let Some(fixed) = config.fixed {
            self.fixed = vec![fixed; self.size];
        }
        let mut law = self.law.clone();
        if let Some(given) = &config.auxdata {
            match &mut law {
                Law::Normal { auxdata, .. } => *auxdata = Some(given.clone()),
                Law::Poisson { auxdata, .. } => auxdata.clone_from(given),
                Law::Free => return Err(unused(self, "auxdata")),
            }
        }
        if let Some(given) = &config.sigmas {
            match &mut law {
                Law::Normal { sigmas: Sigmas::Given(sigmas), .. } => *sigmas = Some(given.clone()),
                _ => return Err(unused(self, "sigmas")),
            }
        }
        if let Some(given) = &config.factors {
            match &mut law {
                Law::Poisson { factors, .. } => factors.clone_from(given),
                _ => return Err(unused(self, "factors")),
            }
        }
        self.law = law;
        Ok(())
    }

    /// The components.
    fn parameters(&self) -> Result<Vec<Parameter>> {
        let missing = |key: &str| self.error(format!("the measurement must give its `{key}`"));
        let inits = self.inits.as_ref().ok_or_else(|| missing("inits"))?;
        let bounds = self.bounds.as_ref().ok_or_else(|| missing("bounds"))?;
        let component = |i: usize| {
            let constraint = match &self.law {
                Law::Free => None,
                Law::Normal { auxdata, sigmas } => {
                    let auxiliary = auxdata.as_ref().ok_or_else(|| missing("auxdata"))?[i];
                    let sigma = match sigmas {
                        Sigmas::Unit => 1.0,
                        Sigmas::Given(sigmas) => sigmas.as_ref().ok_or_else(|| missing("sigmas"))?[i],
                    };
                    if sigma <= 0.0 {
                        return Err(self.error(format!("sigma {i} is {sigma}, expected a positive number")));
                    }
                    Some(Constraint::Normal { sigma, auxiliary })
                }
                Law::Poisson { auxdata, factors } => {
                    let (auxiliary, factor) = (auxdata[i], factors[i]);
                    if auxiliary < 0.0 || factor <= 0.0 {
                        let reason = format!(
                            "component {i} has auxiliary count {auxiliary} and factor {factor}, expected positive numbers"
                        );
                        return Err(self.error(reason));
                    }
                    Some(Constraint::Poisson { factor, auxiliary })
                }
            };
            let name = if self.scalar { self.name.clone() } else { format!("{}[{i}]", self.name) };
            Ok(Parameter { name, init: inits[i], bounds: bounds[i], fixed: self.fixed[i], constraint })
        };
        (0..self.size).map(component).collect()
    }
}
