//! Fits and limits against closed forms, and what is wrong with workspaces that cannot be used.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fb_core::run::Alone;
use fb_core::{Error, Kind};
use fb_statistics::histfactory::{Likelihood, Limits, Model, Scan, Workspace, best_fit, test_with_toys};
use serde_json::{Value, json};

/// One bin with a signal of 10, a background of 50, `seen` counts and a relative error of the background.
fn counting(seen: f64, error: Option<f64>) -> Value {
    let modifiers = error.map_or_else(
        || json!([]),
        |error| json!([{"name": "b", "type": "normsys", "data": {"lo": 1.0 / error.exp(), "hi": error.exp()}}]),
    );
    json!({
        "channels": [{"name": "one", "samples": [
            {"name": "signal", "data": [10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": null}]},
            {"name": "background", "data": [50.0], "modifiers": modifiers},
        ]}],
        "observations": [{"name": "one", "data": [seen]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    })
}

fn model(json: &Value) -> Result<(Workspace, Model), Error> {
    let workspace = Workspace::parse(json)?;
    let model = Model::new(&workspace, workspace.measurement(None)?)?;
    Ok((workspace, model))
}

fn with<T>(json: &Value, ask: impl FnOnce(Likelihood) -> Result<T, Error>) -> Result<T, Error> {
    let (workspace, model) = model(json)?;
    ask(Likelihood::new(&model, model.observed(&workspace)))
}

#[test]
fn pseudo_experiments_give_the_shares_of_poisson() {
    // q̃ falls with the count below s + b, so CLs = P(n ≤ seen | s + b)/P(n ≤ seen | b).
    let share = |mean: f64, seen: u32| -> f64 {
        let term = |n: u32| (f64::from(n) * mean.ln() - mean - libm::lgamma(f64::from(n) + 1.0)).exp();
        (0..=seen).map(term).sum()
    };
    for seen in [42, 50, 57] {
        let found = with(&counting(f64::from(seen), None), |l| test_with_toys(&l, 1.0, 4000, 3, &Alone)).unwrap();
        let exact = share(60.0, seen) / share(50.0, seen);
        let off = (found.observed.central - exact).abs() / found.observed.error();
        assert!(off < 3.0 && found.observed.error() < 0.02 && found.failed == 0, "{seen}: {found:?}, {exact}");
        assert!(found.expected.is_sorted() && (found.expected[2] - share(60.0, 50) / share(50.0, 50)).abs() < 0.05);
    }
}

#[test]
fn a_counting_experiment_has_its_closed_form() {
    let fitted = with(&counting(64.0, None), |likelihood| best_fit(&likelihood)).unwrap();
    // μ̂ = (n − b)/s, σ = √n/s
    assert!((fitted.fit.theta[0] - 1.4).abs() < 1e-6);
    assert!((fitted.errors[0] - 0.8).abs() < 1e-5);
    // −2 ln Pois(64 | 64)
    let log_factorial: f64 = (1..=64).map(|n| f64::from(n).ln()).sum();
    assert!((fitted.fit.twice_nll - 2.0 * (64.0 - 64.0 * 64.0_f64.ln() + log_factorial)).abs() < 1e-9);
}

#[test]
fn a_nuisance_parameter_widens_the_error_by_its_share() {
    let error = 0.1_f64;
    let fitted = with(&counting(60.0, Some(error)), |likelihood| best_fit(&likelihood)).unwrap();
    // At n = s + b the best values are the nominal ones. Fisher: V = (n + (b ln κ)²)/s², exact because n = λ.
    assert!((fitted.fit.theta[0] - 1.0).abs() < 1e-5 && fitted.fit.theta[1].abs() < 1e-5, "{fitted:?}");
    let expected = (60.0 + (50.0 * error).powi(2)).sqrt() / 10.0;
    assert!((fitted.errors[0] / expected - 1.0).abs() < 1e-4, "{} against {expected}", fitted.errors[0]);
    // Their covariance is that of b α + s μ = const.
    let covariance = fitted.covariance.unwrap();
    assert!((covariance.row(0)[1] + 50.0 * error / 10.0).abs() < 1e-3, "{covariance:?}");
}

#[test]
fn the_limit_without_errors_is_where_cls_of_its_closed_form_is() {
    let q = |n: f64, mu: f64| {
        let nll = |mu: f64| 2.0 * (50.0 + 10.0 * mu - n * (50.0 + 10.0 * mu).ln());
        nll(mu) - nll(((n - 50.0) / 10.0).max(0.0))
    };
    let (test, Limits { observed, .. }) = with(&counting(53.0, None), |likelihood| {
        let mut scan = Scan::new(likelihood)?;
        Ok((scan.test(1.0)?, scan.limits(0.05)?))
    })
    .unwrap();
    let phi = fb_statistics::special::normal_cdf;
    let cls = |mu: f64| {
        let (root, asimov) = (q(53.0, mu).sqrt(), q(50.0, mu).sqrt());
        phi(-root) / phi(asimov - root)
    };
    assert!((test.observed - cls(1.0)).abs() < 1e-9, "{} against {}", test.observed, cls(1.0));
    assert!((cls(observed) - 0.05).abs() < 1e-7, "{observed}");
    let asimov = q(50.0, 1.0).sqrt();
    assert!((test.expected[2] - phi(-asimov) / 0.5).abs() < 1e-9);
}

#[test]
fn what_nothing_depends_on_leaves_no_covariance() {
    let mut json = counting(53.0, Some(0.1));
    json["channels"][0]["samples"][0]["data"] = json!([0.0]);
    let fitted = with(&json, |likelihood| best_fit(&likelihood)).unwrap();
    assert!(fitted.covariance.is_none() && fitted.errors.iter().all(|error| error.is_nan()));
    let error = with(&json, |likelihood| Scan::new(likelihood)?.limits(0.05)).unwrap_err();
    assert!(matches!(error, Error::Fit { .. }) && error.to_string().contains("no upper limit"), "{error}");
}

#[test]
fn a_bin_whose_expectation_wants_to_be_negative_is_named() {
    // Without counts, a shift of one bin below zero would pay.
    let mut json = counting(0.0, None);
    json["channels"][0]["samples"][1]["modifiers"] =
        json!([{"name": "t", "type": "histosys", "data": {"lo_data": [150.0], "hi_data": [-50.0]}}]);
    let error = with(&json, |likelihood| best_fit(&likelihood)).unwrap_err();
    assert_eq!(error.kind(), Kind::Diverged);
    assert!(error.to_string().contains("bin 0 of channel `one`"), "{error}");
}

#[test]
fn workspaces_that_cannot_be_used_are_named() {
    let good = counting(53.0, Some(0.1));
    let sample = "/channels/0/samples/1";
    for (path, value, said) in [
        ("/channels", json!({}), "workspace.channels: found an object, expected a list"),
        ("/channels", json!([]), "has no channels"),
        ("/version", json!("2.0.0"), "expected \"1.0.0\""),
        ("/observations", json!([]), "has nothing for channel `one`"),
        ("/observations/0/data", json!([1.0, 2.0]), "found 2 numbers, expected 1"),
        ("/observations/0/data/0", json!(-1.0), "bin 0 holds -1"),
        ("/measurements", json!([]), "workspace.measurements: is empty"),
        ("/measurements/0/config/poi", json!("nu"), "`nu`: is no parameter"),
        ("/measurements/0/config/parameters", json!([{"name": "b", "inits": [0, 1]}]), "`inits` has 2 entries"),
        ("/measurements/0/config/parameters", json!([{"name": "b", "sigmas": [2]}]), "has no `sigmas`"),
        ("/measurements/0/config/parameters", json!([{"name": "mu", "bounds": [[2, 1]]}]), "the lower bound 2"),
        ("/channels/0/samples/1/name", json!("signal"), "has `signal` twice"),
        ("/channels/0/samples/1/data", json!([-90.0]), "bin 0 of channel `one`"),
        ("/channels/0/samples/1/modifiers/0/type", json!("normsis"), "did you mean `normsys`?"),
        ("/channels/0/samples/1/modifiers/0/data/lo", json!(0.0), "are positive"),
        ("/channels/0/samples/1/modifiers/0/data", json!({"low": 1, "hi": 2}), "has no `lo` (there is `low`)"),
        (
            sample,
            json!({"name": "c", "data": [1], "modifiers": [{"name": "lumi", "type": "lumi", "data": null}]}),
            "`lumi`: the measurement must give its `inits`",
        ),
        (
            sample,
            json!({"name": "c", "data": [1], "modifiers": [{"name": "mu", "type": "shapefactor"}]}),
            "another modifier of a different law",
        ),
    ] {
        let mut json = good.clone();
        *json.pointer_mut(path).unwrap() = value;
        let error = with(&json, |likelihood| best_fit(&likelihood)).unwrap_err();
        assert_eq!(error.kind(), Kind::Data, "{error}");
        assert!(error.to_string().contains(said), "{path}: {error}");
    }
    assert!(with(&good, |likelihood| best_fit(&likelihood)).is_ok());
}
