"""Rand indices and pair counts of random partitions by scikit-learn, into clustering.json."""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score, rand_score
from sklearn.metrics.cluster import pair_confusion_matrix


def main():
    rng = np.random.default_rng(7)
    cases = []
    for i in range(40):
        n = 2 + i
        truth = rng.integers(0, 1 + i % 6, n)
        # From equal partitions over similar ones to unrelated ones.
        found = np.where(rng.random(n) < (i % 5) / 4, rng.integers(0, 1 + i % 4, n), truth)
        # scikit-learn counts each pair twice.
        (tn, fp), (fn, tp) = (pair_confusion_matrix(truth, found) // 2).tolist()
        cases.append({"truth": truth.tolist(), "found": found.tolist(), "ari": adjusted_rand_score(truth, found),
                      "rand": rand_score(truth, found), "pairs": [tp, fp, fn, tn]})
    text = json.dumps(cases, separators=(",", ":")).replace("},{", "},\n{")
    Path(__file__).with_name("clustering.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
