//! Models of HS3, the high-energy physics statistics serialisation standard, as workspaces.
//!
//! Read are likelihoods of HistFactory distributions over binned data; all else is refused by its name.
//! Source: HS3 0.2, <https://hep-statistics-serialization-standard.github.io>.

use fb_core::Result;
use serde_json::{Value, json};

use super::json::Node;

/// Whether a document is one of HS3, and not a workspace.
pub fn is_hs3(document: &Value) -> bool {
    document.get("distributions").is_some() && document.get("channels").is_none()
}

/// The workspace of pyhf that says the same. Its measurements are the analyses; parameters keep their names, those of
/// statistical errors the name of their modifier, with that of the channel where several channels have it.
///
/// # Errors
/// [`fb_core::Error::Model`] with the place in the document, for what is missing and for what a workspace cannot say: other
/// distributions, constraints and interpolations, and analyses of different likelihoods.
pub fn from_hs3(document: &Value) -> Result<Value> {
    let root = Node::root(document, "document");
    let analyses = root.get("analyses")?.map_or_else(|| Ok(Vec::new()), |node| node.list())?;
    let likelihoods = root.need("likelihoods")?.list()?;
    let likelihood = match analyses.split_first() {
        None if likelihoods.len() == 1 => likelihoods[0].clone(),
        None => return Err(root.error("has no analyses that say which likelihood is meant")),
        Some((first, others)) => {
            let name = first.need("likelihood")?.text()?;
            for other in others {
                if other.need("likelihood")?.text()? != name {
                    return Err(other.error(format!("is of another likelihood than the first, `{name}`")));
                }
            }
            named(&likelihoods, name, &first.need("likelihood")?)?
        }
    };
    let (distributions, data) = (root.need("distributions")?.list()?, root.need("data")?.list()?);
    let (names, seen) = (likelihood.need("distributions")?.list()?, likelihood.need("data")?.list()?);
    if names.len() != seen.len() {
        return Err(likelihood.error(format!("has {} distributions and {} sets of data", names.len(), seen.len())));
    }
    let found = names.iter().map(|name| named(&distributions, name.text()?, name)).collect::<Result<Vec<_>>>()?;
    let (mut channels, mut observations) = (Vec::new(), Vec::new());
    for (distribution, data_name) in found.iter().zip(&seen) {
        let name = distribution.need("name")?.text()?;
        channels.push(json!({"name": name, "samples": samples(distribution, name, &found)?}));
        let observed = named(&data, data_name.text()?, data_name)?;
        expect(&observed, "binned", "a HistFactory distribution")?;
        observations.push(json!({"name": name, "data": observed.need("contents")?.numbers()?}));
    }
    let parameters = parameters(&root)?;
    let measurement = |name: &str, poi: &str| json!({"name": name, "config": {"poi": poi, "parameters": parameters}});
    let mut measurements = Vec::new();
    for analysis in &analyses {
        let interest = analysis.get("parameters_of_interest")?.map_or_else(|| Ok(Vec::new()), |node| node.list())?;
        // A workspace has one; the others are parameters as all.
        let poi = interest.first().map_or(Ok(""), Node::text)?;
        measurements.push(measurement(analysis.need("name")?.text()?, poi));
    }
    if measurements.is_empty() {
        measurements.push(measurement(likelihood.need("name")?.text()?, ""));
    }
    Ok(json!({"channels": channels, "observations": observations, "measurements": measurements, "version": "1.0.0"}))
}

/// The entry of this name, which stands at `place`.
fn named<'a>(entries: &[Node<'a>], name: &str, place: &Node<'_>) -> Result<Node<'a>> {
    for entry in entries {
        if entry.get("name")?.map(|n| n.text()).transpose()? == Some(name) {
            return Ok(entry.clone());
        }
    }
    Err(place.error(format!("`{name}` is nowhere in the document")))
}

fn expect(node: &Node<'_>, kind: &str, purpose: &str) -> Result<()> {
    let found = node.need("type")?.text()?;
    let name = node.need("name")?.text()?;
    if found == kind {
        return Ok(());
    }
    Err(node.error(format!("`{name}` is a `{found}`, which is not read; expected `{kind}` for {purpose}")))
}

fn samples(distribution: &Node<'_>, channel: &str, all: &[Node<'_>]) -> Result<Vec<Value>> {
    expect(distribution, "histfactory_dist", "a channel")?;
    let mut samples = Vec::new();
    for sample in distribution.need("samples")?.list()? {
        let data = sample.need("data")?;
        let contents = data.need("contents")?.numbers()?;
        let listed = sample.get("modifiers")?.map_or_else(|| Ok(Vec::new()), |node| node.list())?;
        let modifiers =
            listed.iter().map(|m| modifier(m, &data, &contents, channel, all)).collect::<Result<Vec<_>>>()?;
        samples.push(json!({"name": sample.need("name")?.text()?, "data": contents, "modifiers": modifiers}));
    }
    Ok(samples)
}

/// A modifier of a sample with these data.
fn modifier(node: &Node<'_>, data: &Node<'_>, contents: &[f64], channel: &str, all: &[Node<'_>]) -> Result<Value> {
    let (kind, name) = (node.need("type")?.text()?, node.need("name")?.text()?);
    let parameter = node.get("parameter")?.map_or(Ok(name), |p| p.text())?;
    if let Some(other) = node.get("constraint_name")? {
        return Err(other.error(format!("`{name}`: constraints that are distributions of their own are not read")));
    }
    if let Some(code) = node.get("interpolation")?.filter(|code| code.value.as_f64() != Some(4.0)) {
        let reason = format!("`{name}`: found {}, only the interpolation 4 is read", code.value);
        return Err(code.error(reason));
    }
    let law = |expected: &str, said: bool| -> Result<()> {
        let found = node.get("constraint")?.map(|c| c.text()).transpose()?;
        if found == Some(expected) || (found.is_none() && !said) {
            return Ok(());
        }
        let found = found.map_or_else(|| "no constraint".to_owned(), |f| format!("the constraint `{f}`"));
        Err(node.error(format!("{kind} `{name}` has {found}, only `{expected}` is read")))
    };
    let (name, data) = match kind {
        "normsys" => {
            law("Gauss", false)?;
            let data = node.need("data")?;
            (parameter.to_owned(), json!({"lo": data.need("lo")?.number()?, "hi": data.need("hi")?.number()?}))
        }
        "histosys" => {
            law("Gauss", false)?;
            let data = node.need("data")?;
            let side = |key: &str| data.need(key)?.need("contents")?.numbers();
            (parameter.to_owned(), json!({"lo_data": side("lo")?, "hi_data": side("hi")?}))
        }
        "shapesys" => {
            law("Poisson", false)?;
            // Relative here, absolute in a workspace.
            let errors = node.need("data")?.need("vals")?.bins(contents.len())?;
            let errors: Vec<f64> = errors.iter().zip(contents).map(|(error, x)| error * x).collect();
            (name.to_owned(), json!(errors))
        }
        "staterror" => {
            // The constraint that is meant where none is said is that of Poisson.
            law("Gauss", true)?;
            let shared = all.iter().filter(|other| has_staterror(other, name)).count() > 1;
            let name = if shared { format!("{name}_{channel}") } else { name.to_owned() };
            (name, json!(data.need("errors")?.bins(contents.len())?))
        }
        "normfactor" => (parameter.to_owned(), Value::Null),
        "shapefactor" => (name.to_owned(), Value::Null),
        other => return Err(node.error(format!("`{name}` is a `{other}`, which is not read"))),
    };
    Ok(json!({"name": name, "type": kind, "data": data}))
}

fn has_staterror(distribution: &Node<'_>, name: &str) -> bool {
    let lists = |value: &'_ Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |modifier: &Value| modifier["type"] == "staterror" && modifier["name"] == name;
    lists(distribution.value, "samples").iter().any(|sample| lists(sample, "modifiers").iter().any(is))
}

/// Starting values, bounds and what is constant, of the first point and of all domains.
fn parameters(root: &Node<'_>) -> Result<Vec<Value>> {
    let mut configs: Vec<(String, Value)> = Vec::new();
    let mut config = |name: &str, key: &str, value: Value| {
        let at = configs.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            configs.push((name.to_owned(), json!({"name": name})));
            configs.len() - 1
        });
        configs[at].1[key] = value;
    };
    let list = |key: &str| root.get(key)?.map_or_else(|| Ok(Vec::new()), |node| node.list());
    for domain in list("domains")? {
        for axis in domain.get("axes")?.map_or_else(|| Ok(Vec::new()), |node| node.list())? {
            if let (Some(low), Some(high)) = (axis.get("min")?, axis.get("max")?) {
                let bounds = json!([[low.number()?, high.number()?]]);
                config(axis.need("name")?.text()?, "bounds", bounds);
            }
        }
    }
    if let Some(point) = list("parameter_points")?.first() {
        for parameter in point.need("parameters")?.list()? {
            let name = parameter.need("name")?.text()?;
            config(name, "inits", json!([parameter.need("value")?.number()?]));
            if let Some(fixed) = parameter.get("const")? {
                config(name, "fixed", json!(fixed.boolean()?));
            }
        }
    }
    Ok(configs.into_iter().map(|(_, config)| config).collect())
}
