//! Goodness of fit, intervals by Feldman and Cousins, searches and sPlot against closed forms and pseudo-experiments.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fb_core::run::Alone;
use fb_core::{Error, Philox, Workers};
use fb_statistics::feldman_cousins::counting;
use fb_statistics::histfactory::{Data, Fit, Likelihood, Model, Workspace, best_fit, feldman_cousins, goodness};
use fb_statistics::spectrum::search::LEVEL;
use fb_statistics::spectrum::{self, Description, Spectra, Splot};
use fb_statistics::toys::poisson;
use serde_json::{Value, json};

/// Three bins with a signal and a background whose yield is known to 5%, or one bin and a known background of 100.
fn workspace(bins: usize) -> (Workspace, Model) {
    let [signal, background, seen] = match bins {
        1 => [vec![1.0], vec![100.0], vec![130.0]],
        _ => [vec![10.0, 50.0, 20.0], vec![300.0, 200.0, 80.0], vec![310.0, 250.0, 100.0]],
    };
    let norm = json!([{"name": "b", "type": "normsys", "data": {"lo": 0.95, "hi": 1.05}}]);
    let document = json!({
        "channels": [{"name": "c", "samples": [
            {"name": "s", "data": signal, "modifiers": [{"name": "mu", "type": "normfactor", "data": null}]},
            {"name": "b", "data": background, "modifiers": if bins == 1 { json!([]) } else { norm }},
        ]}],
        "observations": [{"name": "c", "data": seen}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[0.0, 200.0]]}]}}],
        "version": "1.0.0",
    });
    let workspace = Workspace::parse(&document).unwrap();
    let model = Model::new(&workspace, workspace.measurement(None).unwrap()).unwrap();
    (workspace, model)
}

/// Largest distance of p-values from a flat distribution, times √n: above 1.95 once in a thousand.
fn distance(mut p: Vec<f64>) -> f64 {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    let off = |(i, p): (usize, &f64)| (p - i as f64 / n).max((i as f64 + 1.0) / n - p);
    p.iter().enumerate().map(off).fold(0.0, f64::max) * n.sqrt()
}

fn described(json: Value, window: (f64, f64), data: spectrum::Data) -> Spectra {
    let description: Description = serde_json::from_value(json).unwrap();
    description.spectra(window, vec![("all".to_owned(), data)]).unwrap()
}

fn bins(count: usize, (low, high): (f64, f64), content: f64) -> spectrum::Data {
    let edges = (0..=count).map(|i| low + (high - low) * i as f64 / count as f64).collect();
    spectrum::Data::Binned { edges, contents: vec![content; count], variances: vec![content; count] }
}

#[test]
fn p_values_of_good_fits_are_flat() {
    let (_, model) = workspace(3);
    let (mut asymptotic, mut with_toys) = (Vec::new(), Vec::new());
    for toy in 0..600 {
        let mut random = Philox::new(31, 0, toy);
        let counts = model.expected(&[1.0, 0.0]).into_iter().map(|mean| poisson(&mut random, mean)).collect();
        let auxiliary = model.parameters().iter().map(|p| if p.constraint.is_some() { random.normal() } else { 0.0 });
        let likelihood = Likelihood::new(&model, Data { counts, auxiliary: auxiliary.collect() });
        let best: Fit = best_fit(&likelihood).unwrap().fit;
        let toys = (toy < 100).then_some((79, toy));
        let found = goodness(&likelihood, &best, toys, &Alone).unwrap();
        let (degrees, p) = found.asymptotic.unwrap();
        assert_eq!(degrees, 2);
        asymptotic.push(p);
        with_toys.extend(found.toys.map(|t| t.p.central));
    }
    let found = [distance(asymptotic), distance(with_toys)];
    assert!(found.iter().all(|d| *d < 1.95), "{found:?}");
}

#[test]
fn p_values_of_good_spectra_are_flat_in_bins_and_event_by_event() {
    let shape = || json!({"component": [{"name": "b", "shape": "exponential", "slope": 0.1, "yield": 200.0}]});
    let window = (0.0, 20.0);
    let events = spectrum::Data::Events { x: vec![1.0], weights: vec![1.0] };
    for data in [bins(20, window, 10.0), events] {
        let truth = described(shape(), window, data);
        let mut p = Vec::new();
        for toy in 0..60 {
            let drawn = truth.drawn(&truth.start(), &mut Philox::new(37, 0, toy));
            let best = drawn.fit(&truth.start(), &drawn.bounds()).unwrap();
            p.push(drawn.goodness(&best, Some((59, toy)), &Alone).unwrap().toys.unwrap().p.central);
        }
        let found = distance(p);
        assert!(found < 1.95, "{found}");
    }
    // A peak on top is no exponential.
    let truth = described(shape(), window, bins(20, window, 10.0));
    let best = truth.fit(&truth.start(), &truth.bounds()).unwrap();
    let mut spoilt = truth.clone();
    if let spectrum::Data::Binned { contents, variances, .. } = &mut spoilt.categories[0].data {
        (contents[9], variances[9]) = (60.0, 60.0);
    }
    let again = spoilt.fit(&truth.start(), &truth.bounds()).unwrap();
    assert!(spoilt.goodness(&again, None, &Alone).unwrap().asymptotic.unwrap().1 < 1e-6);
    assert!(best.twice_nll < 1e-6, "{}", best.twice_nll);
    let unbinned = described(shape(), window, spectrum::Data::Events { x: vec![1.0, 2.0], weights: vec![1.0; 2] });
    let best = unbinned.fit(&unbinned.start(), &unbinned.bounds()).unwrap();
    assert!(matches!(unbinned.goodness(&best, None, &Alone), Err(Error::Config { .. })));
}

#[test]
fn intervals_with_pseudo_experiments_are_those_of_counting() {
    let (workspace, model) = workspace(1);
    let likelihood = Likelihood::new(&model, model.observed(&workspace));
    let (low, high) = counting(130, 100.0, 0.9);
    let found = feldman_cousins(&likelihood, 0.9, (2000, 5), &Alone).unwrap();
    // Counts are whole numbers, and so are their steps in the strength.
    for (end, expected) in found.ends.iter().zip([low, high]) {
        assert!((end.central - expected).abs() < 3.0 * end.error() + 0.5, "{end:?} against {expected}");
        assert!(end.error() > 0.05 && end.error() < 1.0, "{end:?}");
    }
    let again = feldman_cousins(&likelihood, 0.9, (2000, 5), &Backwards).unwrap();
    assert_eq!(found, again);
}

/// Workers that take tasks in another order.
struct Backwards;

impl Workers for Backwards {
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..n).rev().for_each(task);
    }

    fn count(&self) -> usize {
        2
    }
}

/// A narrow peak on a flat background.
fn peak(content: f64) -> Spectra {
    let window = (0.0, 40.0);
    let shape = json!({"component": [
        {"name": "peak", "shape": "gaussian", "mean": 20.0, "sigma": {"start": 1.0, "fixed": true}, "yield": {"start": 0.0, "high": 1e5}},
        {"name": "flat", "shape": "bernstein:1", "c1": {"start": 1.0, "fixed": true}, "yield": {"start": 80.0 * content, "high": 1e6}},
    ]});
    described(shape, window, bins(80, window, content))
}

#[test]
fn upward_crossings_are_those_of_the_closed_form() {
    // √q₀ of white noise that is looked at through a Gaussian is a Gaussian process with the correlation e^(−Δ²/4σ²); Rice:
    // N = L/(2π) √(1/2σ²) e^(−c/2).
    let spectra = peak(400.0);
    let means: Vec<f64> = (0..=120).map(|k| 5.0 + 0.25 * f64::from(k)).collect();
    let found = spectra.search("peak.mean", &means, Some((60, 11)), &Alone).unwrap();
    let exact = 30.0 / std::f64::consts::TAU * 0.5_f64.sqrt() * (-0.5 * LEVEL).exp();
    let off = (found.upcrossings.central - exact).abs() / found.upcrossings.error();
    assert!(off < 3.0 && found.upcrossings.error() < 0.3, "{:?} against {exact}", found.upcrossings);
    // Nothing was seen but the mean everywhere.
    assert!(found.points.iter().all(|p| p.q0 < 1e-3) && found.toys.unwrap().0.central > 0.98);
}

#[test]
fn the_global_significance_is_that_of_pseudo_experiments() {
    let mut spectra = peak(100.0);
    // An excess of three standard deviations at 12.
    let bump: Vec<f64> = spectra.categories[0].contributions(&[12.0, 1.0, 78.0, 1.0, 0.0], &edges())[0].clone();
    if let spectrum::Data::Binned { contents, variances, .. } = &mut spectra.categories[0].data {
        contents.iter_mut().zip(&bump).for_each(|(n, more)| *n += more);
        variances.clone_from(contents);
    }
    let means: Vec<f64> = (0..=60).map(|k| 5.0 + 0.5 * f64::from(k)).collect();
    let found = spectra.search("peak.mean", &means, Some((200, 3)), &Alone).unwrap();
    let best = found.points[found.best];
    assert!((best.mean - 12.0).abs() < 0.3 && (best.significance() - 3.0).abs() < 0.5, "{best:?}");
    assert!((best.size - 78.0).abs() < 3.0, "{best:?}");
    let (shared, failed) = found.toys.unwrap();
    let off = (shared.central - found.global.central).abs() / shared.error().hypot(found.global.error());
    assert!(off < 3.0 && failed == 0, "{shared:?} against {:?}", found.global);
    assert!(shared.central > 5.0 * best.p(), "{shared:?}, {}", best.p());
    let error = spectra.search("flat.yield", &means, None, &Alone).unwrap_err();
    assert!(error.to_string().contains("of its own"), "{error}");
    assert!(matches!(spectra.search("peak.meen", &means, None, &Alone), Err(Error::UnknownName { .. })));
}

fn edges() -> Vec<f64> {
    (0..=80).map(|i| 0.5 * f64::from(i)).collect()
}

#[test]
fn weights_take_the_components_apart() {
    // A mass, and a time that the fit does not see: of mean 1 for signal, 3 for background.
    let window = (0.0, 10.0);
    let (mut mass, mut time) = (Vec::new(), Vec::new());
    let mut random = Philox::new(41, 0, 0);
    for i in 0..6000 {
        let signal = i % 3 == 0;
        let x = if signal { 5.0 + 0.6 * random.normal() } else { -4.0 * (1.0 - 0.917 * random.uniform()).ln() };
        if x >= window.0 && x < window.1 {
            mass.push(x);
            time.push(if signal { -1.0 } else { -3.0 } * (1.0 - random.uniform()).ln());
        }
    }
    let shape = |fixed: bool| {
        let at = |start: f64| json!({"start": start, "fixed": fixed});
        json!({"component": [
            {"name": "signal", "shape": "gaussian", "mean": at(5.0), "sigma": at(0.6)},
            {"name": "background", "shape": "exponential", "slope": at(0.25)},
        ]})
    };
    let data = || spectrum::Data::Events { x: mass.clone(), weights: vec![1.0; mass.len()] };
    for fixed in [true, false] {
        let spectra = described(shape(fixed), window, data());
        let best = spectra.fit(&spectra.start(), &spectra.bounds()).unwrap();
        let splot = Splot::new(&spectra, &spectra.categories[0], &best).unwrap();
        let weights = splot.weights(&mass);
        let yields =
            ["signal.yield", "background.yield"].map(|n| spectra.parameters.iter().position(|p| p.name == n).unwrap());
        for n in 0..2 {
            // Σ s_n = N_n, Σ s_n s_j = V_nj, and V is that of a fit of the yields alone.
            let sum: f64 = weights[n].iter().sum();
            assert!((sum / best.theta[yields[n]] - 1.0).abs() < 1e-5, "{sum} against {}", best.theta[yields[n]]);
            for j in 0..2 {
                let product: f64 = weights[n].iter().zip(&weights[j]).map(|(a, b)| a * b).sum();
                let v = splot.covariance().row(n)[j];
                assert!((product / v - 1.0).abs() < 1e-9, "{product} against {v}");
                if fixed {
                    let fitted = best.covariance.as_ref().unwrap().row(yields[n])[yields[j]];
                    assert!((v / fitted - 1.0).abs() < 1e-4, "{v} against {fitted}");
                }
            }
            // The share of the component below some times.
            let mean: f64 = [1.0, 3.0][n];
            for limit in [0.5, 1.0, 2.0, 4.0] {
                let share = 1.0 - (-limit / mean).exp();
                let inside = |t: &f64| f64::from(u8::from(*t < limit)) - share;
                let off: f64 = weights[n].iter().zip(&time).map(|(s, t)| s * inside(t)).sum();
                let error = weights[n].iter().zip(&time).map(|(s, t)| (s * inside(t)).powi(2)).sum::<f64>().sqrt();
                assert!(off.abs() < 3.0 * error, "{n}, {limit}: {off} ± {error}");
            }
        }
    }
    // A yield that is held is not where the data want it.
    let mut held = shape(false);
    held["component"][0]["yield"] = json!({"start": 900.0, "fixed": true});
    let spectra = described(held, window, data());
    let best = spectra.fit(&spectra.start(), &spectra.bounds()).unwrap();
    let error = Splot::new(&spectra, &spectra.categories[0], &best).unwrap_err();
    assert!(error.to_string().contains("is not where the likelihood alone puts it"), "{error}");
    let binned = described(shape(false), window, bins(10, window, 5.0));
    let best = binned.fit(&binned.start(), &binned.bounds()).unwrap();
    assert!(Splot::new(&binned, &binned.categories[0], &best).is_err());
}
