//! Agreement of partitions against scikit-learn (`references/clustering_reference.py`).
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use fb_statistics::clustering::Agreement;
use serde_json::Value as Json;

#[test]
fn numbers_are_those_of_scikit_learn() {
    let cases: Json = serde_json::from_str(include_str!("../../../references/clustering.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 40);
    let mut unlike = 0;
    for case in cases {
        let groups =
            |key: &str| case[key].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect::<Vec<u32>>();
        let (found, truth) = (groups("found"), groups("truth"));
        let [tp, fp, fneg, _] = [0, 1, 2, 3].map(|i| case["pairs"][i].as_f64().unwrap());
        let is = |agreement: Agreement, expected: f64| {
            let found = agreement.of(&found, &truth).unwrap();
            assert!((found - expected).abs() < 1e-12, "{agreement:?}: {found} {expected}");
        };
        is(Agreement::AdjustedRand, case["ari"].as_f64().unwrap());
        is(Agreement::Rand, case["rand"].as_f64().unwrap());
        if tp > 0.0 {
            is(Agreement::Precision, tp / (tp + fp));
            is(Agreement::Recall, tp / (tp + fneg));
            is(Agreement::F1, 2.0 * tp / (2.0 * tp + fp + fneg));
            unlike += usize::from(fp != fneg);
        }
    }
    assert!(unlike > 20, "precision is not recall in {unlike}");
}
