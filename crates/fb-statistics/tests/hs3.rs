//! Models of HS3 against workspaces that say the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fb_core::Kind;
use fb_statistics::histfactory::{Likelihood, Model, Workspace, from_hs3, is_hs3};
use serde_json::{Value, json};

/// The second workspace of references/pyhf.json ("shape, norm and statistics"), and a control region with relative errors.
fn document() -> Value {
    json!({
        "metadata": {"hs3_version": "0.2.0"},
        "distributions": [
            {"name": "one", "type": "histfactory_dist", "axes": [{"name": "x", "min": 0, "max": 2, "nbins": 2}], "samples": [
                {"name": "signal", "data": {"contents": [5.0, 8.0]}, "modifiers": [
                    {"name": "mu", "type": "normfactor", "parameter": "mu"}]},
                {"name": "background", "data": {"contents": [50.0, 40.0], "errors": [2.0, 3.0]}, "modifiers": [
                    {"name": "jes", "type": "histosys", "parameter": "alpha_jes", "constraint": "Gauss",
                     "data": {"lo": {"contents": [46.0, 42.0]}, "hi": {"contents": [55.0, 37.0]}}},
                    {"name": "xs", "type": "normsys", "parameter": "alpha_xs", "constraint": "Gauss", "data": {"lo": 0.9, "hi": 1.12}},
                    {"name": "st", "type": "staterror", "constraint": "Gauss", "parameters": ["g0", "g1"]}]},
            ]},
            {"name": "control", "type": "histfactory_dist", "axes": [], "samples": [
                {"name": "background", "data": {"contents": [80.0, 20.0]}, "modifiers": [
                    {"name": "jes", "type": "normsys", "parameter": "alpha_jes", "data": {"lo": 0.95, "hi": 1.04}},
                    {"name": "errors", "type": "shapesys", "constraint": "Poisson", "data": {"vals": [0.05, 0.2]}}]},
            ]},
            {"name": "unused", "type": "gaussian_dist", "mean": 0, "sigma": 1, "x": "y"},
        ],
        "data": [
            {"name": "seen", "type": "binned", "axes": [], "contents": [57.0, 47.0]},
            {"name": "seen there", "type": "binned", "axes": [], "contents": [85.0, 18.0]},
        ],
        "likelihoods": [{"name": "L", "distributions": ["one", "control"], "data": ["seen", "seen there"]}],
        "analyses": [{"name": "main", "likelihood": "L", "parameters_of_interest": ["mu"], "domains": ["d"]}],
        "domains": [{"name": "d", "type": "product_domain", "axes": [{"name": "mu", "min": 0.0, "max": 20.0}]}],
        "parameter_points": [{"name": "default_values", "parameters": [{"name": "mu", "value": 0.5}]}],
    })
}

fn same() -> Value {
    let m = |name: &str, kind: &str, data: Value| json!({"name": name, "type": kind, "data": data});
    json!({
        "channels": [
            {"name": "one", "samples": [
                {"name": "signal", "data": [5.0, 8.0], "modifiers": [m("mu", "normfactor", Value::Null)]},
                {"name": "background", "data": [50.0, 40.0], "modifiers": [
                    m("alpha_jes", "histosys", json!({"lo_data": [46.0, 42.0], "hi_data": [55.0, 37.0]})),
                    m("alpha_xs", "normsys", json!({"lo": 0.9, "hi": 1.12})),
                    m("st", "staterror", json!([2.0, 3.0]))]},
            ]},
            {"name": "control", "samples": [{"name": "background", "data": [80.0, 20.0], "modifiers": [
                m("alpha_jes", "normsys", json!({"lo": 0.95, "hi": 1.04})),
                m("errors", "shapesys", json!([4.0, 4.0]))]}]},
        ],
        "observations": [{"name": "one", "data": [57.0, 47.0]}, {"name": "control", "data": [85.0, 18.0]}],
        "measurements": [{"name": "main", "config": {"poi": "mu", "parameters": [
            {"name": "mu", "inits": [0.5], "bounds": [[0.0, 20.0]]}]}}],
        "version": "1.0.0",
    })
}

#[test]
fn the_likelihood_is_that_of_the_same_workspace() {
    assert!(is_hs3(&document()) && !is_hs3(&same()));
    let read = |json: &Value| {
        let workspace = Workspace::parse(json).unwrap();
        let model = Model::new(&workspace, workspace.measurement(Some("main")).unwrap()).unwrap();
        (workspace, model)
    };
    let ((ours, a), (theirs, b)) = (read(&from_hs3(&document()).unwrap()), read(&same()));
    assert_eq!(a.parameters(), b.parameters());
    assert_eq!(a.poi(), b.poi());
    let (ours, theirs) = (Likelihood::new(&a, a.observed(&ours)), Likelihood::new(&b, b.observed(&theirs)));
    for shift in [0.0, 0.1, -0.07] {
        let theta: Vec<f64> = a.inits().iter().enumerate().map(|(i, x)| x + shift * (1.0 + 0.1 * i as f64)).collect();
        assert!((ours.twice_nll(&theta) - theirs.twice_nll(&theta)).abs() < 1e-12);
    }
}

#[test]
fn what_a_workspace_cannot_say_is_refused_by_its_name() {
    for (path, value, said) in [
        ("/likelihoods/0/distributions/1", json!("unused"), "`unused` is a `gaussian_dist`, which is not read"),
        ("/likelihoods/0/distributions/1", json!("other"), "`other` is nowhere"),
        ("/likelihoods/0/data", json!(["seen"]), "2 distributions and 1 sets of data"),
        ("/data/0/type", json!("unbinned"), "`seen` is a `unbinned`, which is not read"),
        (
            "/distributions/0/samples/1/modifiers/2/constraint",
            json!("Poisson"),
            "staterror `st` has the constraint `Poisson`",
        ),
        ("/distributions/0/samples/1/modifiers/1/constraint", json!("LogNormal"), "only `Gauss` is read"),
        ("/distributions/0/samples/1/modifiers/1/type", json!("custom"), "`xs` is a `custom`, which is not read"),
        ("/distributions/0/samples/1/data", json!({"contents": [50.0, 40.0]}), "has no `errors`"),
        ("/distributions/1/samples/0/modifiers/1/data/vals", json!([0.1]), "found 1 numbers, expected 2"),
        ("/analyses/0/likelihood", json!("M"), "`M` is nowhere in the document"),
    ] {
        let mut json = document();
        *json.pointer_mut(path).unwrap() = value;
        let error = from_hs3(&json).unwrap_err();
        assert!(error.kind() == Kind::Data && error.to_string().contains(said), "{path}: {error}");
    }
}
