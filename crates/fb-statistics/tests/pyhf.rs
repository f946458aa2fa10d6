//! Models, fits and limits against pyhf 0.7.6 (references/pyhf_reference.py).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fb_core::run::Alone;
use fb_statistics::histfactory::{
    Constraint, Likelihood, Model, Scan, Workspace, best_fit, goodness, impacts, profile_scan,
};
use fb_statistics::minimise::Objective as _;
use serde_json::Value;

struct Reference {
    name: String,
    workspace: Workspace,
    model: Model,
    json: Value,
}

fn references() -> Vec<Reference> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../references/pyhf.json");
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let models = json["models"].as_array().unwrap();
    assert!(models.len() >= 8);
    let reference = |json: &Value| {
        let workspace = Workspace::parse(&json["workspace"]).unwrap();
        let model = Model::new(&workspace, workspace.measurement(None).unwrap()).unwrap();
        Reference { name: json["name"].as_str().unwrap().to_owned(), workspace, model, json: json.clone() }
    };
    models.iter().map(reference).collect()
}

impl Reference {
    fn likelihood(&self) -> Likelihood<'_> {
        Likelihood::new(&self.model, self.model.observed(&self.workspace))
    }
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn parameters_have_the_same_names_order_and_state() {
    for reference in references() {
        let names: Vec<&str> = reference.model.parameters().iter().map(|p| p.name.as_str()).collect();
        let expected: Vec<&str> =
            reference.json["parameters"].as_array().unwrap().iter().map(|x| x.as_str().unwrap()).collect();
        assert_eq!(names, expected, "{}", reference.name);
        let fixed: Vec<bool> = reference.model.parameters().iter().map(|p| p.fixed).collect();
        let expected: Vec<bool> =
            reference.json["fixed"].as_array().unwrap().iter().map(|x| x.as_bool().unwrap()).collect();
        assert_eq!(fixed, expected, "{}", reference.name);
        assert_eq!(reference.model.inits(), numbers(&reference.json["points"][0]), "{}", reference.name);
    }
}

#[test]
fn the_likelihood_is_the_same_at_every_point() {
    for reference in references() {
        let likelihood = reference.likelihood();
        let values = numbers(&reference.json["twice_nll"]);
        for (point, value) in reference.json["points"].as_array().unwrap().iter().zip(values) {
            let found = likelihood.twice_nll(&numbers(point));
            assert!((found - value).abs() < 1e-8, "{}: {found} against {value}", reference.name);
        }
    }
}

#[test]
fn gradients_are_those_of_the_likelihood() {
    for reference in references() {
        let likelihood = reference.likelihood();
        for point in reference.json["points"].as_array().unwrap() {
            let point = numbers(point);
            let gradient = likelihood.gradient(&point);
            for i in 0..point.len() {
                let h = 1e-5;
                let at = |d: f64| {
                    let mut moved = point.clone();
                    moved[i] += d;
                    likelihood.twice_nll(&moved)
                };
                // Fourth order: some widths of statistical errors are a few per mille.
                let numerical = (8.0 * (at(h) - at(-h)) - at(2.0 * h) + at(-2.0 * h)) / (12.0 * h);
                if numerical.is_finite() {
                    let (name, parameter) = (&reference.name, &reference.model.parameters()[i].name);
                    let error = (numerical - gradient[i]).abs() / (1.0 + gradient[i].abs());
                    assert!(error < 1e-6, "{name}, {parameter}: {} against {numerical}", gradient[i]);
                }
            }
        }
    }
}

#[test]
fn the_best_fit_is_the_same() {
    for reference in references() {
        let fitted = best_fit(&reference.likelihood()).unwrap();
        let best = &reference.json["best"];
        let name = &reference.name;
        let twice_nll = best["twice_nll"].as_f64().unwrap();
        // Ours is never above theirs, and hardly below.
        assert!(fitted.fit.twice_nll < twice_nll + 1e-7, "{name}: {} against {twice_nll}", fitted.fit.twice_nll);
        assert!(fitted.fit.twice_nll > twice_nll - 1e-5, "{name}: {} against {twice_nll}", fitted.fit.twice_nll);
        assert!(fitted.covariance.is_some(), "{name}");
        let (values, errors) = (numbers(&best["values"]), numbers(&best["errors"]));
        for (i, parameter) in reference.model.parameters().iter().enumerate() {
            let (value, error) = (fitted.fit.theta[i], fitted.errors[i]);
            let pull = (value - values[i]).abs() / error.max(1e-12);
            let fixed = parameter.fixed && error == 0.0 && value == values[i];
            assert!(fixed || pull < 1e-4, "{name}, {}: {value} against {}", parameter.name, values[i]);
            if !parameter.fixed {
                let ratio = error / errors[i];
                assert!((ratio - 1.0).abs() < 1e-3, "{name}, {}: {error} against {}", parameter.name, errors[i]);
            }
        }
    }
}

#[test]
fn tests_and_limits_are_the_same() {
    for reference in references() {
        let mut scan = Scan::new(reference.likelihood()).unwrap();
        let test = scan.test(1.0).unwrap();
        let limits = scan.limits(0.05).unwrap();
        let one = |key: &str| vec![reference.json[key].as_f64().unwrap()];
        let name = &reference.name;
        for (key, found, expected) in [
            ("CLs", vec![test.observed], one("cls_observed")),
            ("expected CLs", test.expected.to_vec(), numbers(&reference.json["cls_expected"])),
            ("limit", vec![limits.observed], one("upper_limit_observed")),
            ("expected limits", limits.expected.to_vec(), numbers(&reference.json["upper_limits_expected"])),
        ] {
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-4 * expected.max(0.1),
                    "{name}, {key}: {found} against {expected}"
                );
            }
        }
    }
}

#[test]
fn impacts_are_those_of_refits() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../references/impacts.json");
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let expected = json["impacts"].as_object().unwrap();
    assert_eq!(expected.len(), 3);
    for reference in references().iter().filter(|r| expected.contains_key(&r.name)) {
        let likelihood = reference.likelihood();
        let fitted = best_fit(&likelihood).unwrap();
        let found = impacts(&likelihood, &fitted, &Alone).unwrap();
        let expected = expected[&reference.name].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        assert!(found.is_sorted_by(|a, b| a.size() >= b.size()));
        for impact in &found {
            let parameter = &reference.model.parameters()[impact.parameter];
            let expected = expected.iter().find(|e| e["name"] == parameter.name.as_str()).unwrap();
            let same = |found: f64, key: &Value, what: &str| {
                let expected = key.as_f64().unwrap();
                let near = (found - expected).abs() < 1e-4 * (1.0 + expected.abs());
                assert!(near, "{}, {}, {what}: {found} against {expected}", reference.name, parameter.name);
            };
            same(impact.up, &expected["up"], "up");
            same(impact.down, &expected["down"], "down");
            assert_eq!(impact.constraint.is_some(), parameter.constraint.is_some());
            if let (Some(constraint), Some(before)) = (impact.constraint, impact.before) {
                same(constraint, &expected["constraint"], "constraint");
                (0..2).for_each(|k| same(before[k], &expected["before"][k], "before"));
            }
        }
        let poi = reference.model.poi().unwrap();
        let scan = profile_scan(&likelihood, &fitted, poi, 13, &Alone);
        let lowest = scan.iter().map(|(_, rise)| *rise).fold(f64::INFINITY, f64::min);
        assert!(scan.len() == 13 && lowest > -1e-6 && scan[12].1 > 4.0, "{}: {scan:?}", reference.name);
    }
}

#[test]
fn the_ratio_to_the_saturated_model_is_that_of_the_two_likelihoods() {
    for reference in references() {
        let likelihood = reference.likelihood();
        let best = best_fit(&likelihood).unwrap().fit;
        let found = goodness(&likelihood, &best, None, &Alone).unwrap();
        // −2 ln L of a model with a parameter for every datum is the sum of the terms at λ = n and θ = a.
        let data = likelihood.data();
        let pois = |n: f64| 2.0 * (n - if n > 0.0 { n * n.ln() } else { 0.0 } + libm::lgamma(n + 1.0));
        let mut saturated: f64 = data.counts.iter().map(|n| pois(*n)).sum();
        for ((parameter, a), theta) in reference.model.parameters().iter().zip(&data.auxiliary).zip(&best.theta) {
            saturated += match parameter.constraint {
                None => 0.0,
                Some(Constraint::Normal { sigma, .. }) => {
                    let off = if parameter.fixed { (a - theta) / sigma } else { 0.0 };
                    off * off + 2.0 * sigma.ln() + std::f64::consts::TAU.ln()
                }
                Some(Constraint::Poisson { factor, .. }) if parameter.fixed => {
                    let mean = factor * theta;
                    2.0 * (mean - a * mean.ln() + libm::lgamma(a + 1.0))
                }
                Some(Constraint::Poisson { .. }) => pois(*a),
            };
        }
        let difference = best.twice_nll - saturated;
        assert!((found.statistic - difference).abs() < 1e-7, "{}: {found:?}, {difference}", reference.name);
    }
}
