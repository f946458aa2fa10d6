#!/usr/bin/env python3
"""Loads exported forests in XGBoost and LightGBM and compares their scores with ours; TMVA's by its formulas.

    FB_TREE_EXPORTS=target/exports cargo nextest run -p fb-deploy --run-ignored only exports_for_other_programs
    .venv/bin/python references/check_tree_exports.py target/exports

Prints the largest difference of each file (relative where scores are above one) and ends with 1 if one is above 1e-6.
Without LightGBM (as beside an early XGBoost) its files are left out. TMVA itself is not loaded: `tmva_scores` is its
evaluation, written out.
"""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import xgboost as xgb

try:
    import lightgbm as lgb
except ImportError:
    lgb = None


def tmva_scores(path, rows):
    """MethodBDT's values of events (Float_t), for gradient and adaptive boosting; two classes, several, regression."""
    setup = ET.parse(path).getroot()
    options = {o.get("name"): o.text for o in setup.iter("Option")}
    analysis = next(i.get("value") for i in setup.iter("Info") if i.get("name") == "AnalysisType")
    weights = setup.find("Weights")
    assert int(weights.get("NTrees")) == len(weights)
    assert len(setup.find("Variables")) == int(setup.find("Variables").get("NVar"))
    regression = weights.get("AnalysisType") == "1"
    boosts = np.float32([t.get("boostWeight") for t in weights]).astype(float)

    def leaf(node, row):
        while int(node.get("nType")) == 0:
            result = row[int(node.get("IVar"))] >= np.float32(node.get("Cut"))
            right = result if int(node.get("cType")) == 1 else not result
            node = next(child for child in node if child.get("pos") == ("r" if right else "l"))
        if regression:
            return float(np.float32(node.get("res")))
        return float(int(node.get("nType"))) if options["UseYesNoLeaf"] == "True" else float(np.float32(node.get("purity")))

    scores = []
    for row in np.float32(rows):
        h = np.array([leaf(tree.find("Node"), row) for tree in weights])
        if analysis == "Multiclass":
            n = int(setup.find("Classes").get("NClass"))
            sums = [h[k::n].sum() for k in range(n)]
            scores.append([1 / (1 + sum(np.exp(sums[j] - sums[k]) for j in range(n) if j != k)) for k in range(n)])
        elif options["BoostType"] == "Grad":
            scores.append([h.sum() + boosts[0]] if analysis == "Regression" else [2 / (1 + np.exp(-2 * h.sum())) - 1])
        else:
            scores.append([(boosts * h).sum() / boosts.sum()])
    return np.array(scores)


def scores(path, about, rows):
    """The scores of the file's own program, and which rows it can score as we do."""
    keep = np.ones(len(rows), dtype=bool)
    if path.name.endswith("xgboost.json"):
        booster = xgb.Booster(model_file=str(path))
        types = ["float", "float", "c"] if about["sets"] else None
        data = xgb.DMatrix(rows.astype(np.float32), feature_types=types, enable_categorical=about["sets"])
        # XGBoost sees single precision alone.
        if not about["single"]:
            keep = (rows.astype(np.float32) == rows).all(axis=1) | np.isnan(rows).any(axis=1)
            keep &= ((rows.astype(np.float32) == rows) | np.isnan(rows)).all(axis=1)
        return booster.predict(data), keep
    if path.name.endswith("lightgbm.txt"):
        return (None, keep) if lgb is None else (lgb.Booster(model_file=str(path)).predict(rows), keep)
    if not about["single"]:
        keep = (rows.astype(np.float32) == rows).all(axis=1)
    keep &= ~np.isnan(rows).any(axis=1)
    found = tmva_scores(path, rows)
    return (found + 1) / 2 if about["link"] in ("logistic", "votes") else found, keep


worst = {}
folder = Path(sys.argv[1])
for path in sorted(folder.iterdir()):
    case, ending = path.name.split(".", 1)
    if ending == "about.json":
        continue
    about = json.loads((folder / f"{case}.about.json").read_text())
    rows = np.array([[np.nan if x is None else x for x in row] for row in about["rows"]])
    ours = np.array(about["scores"])
    theirs, keep = scores(path, about, rows)
    if theirs is None:
        continue
    theirs = np.asarray(theirs, dtype=float).reshape(ours.shape)
    difference = (np.abs(theirs - ours) / np.maximum(1, np.abs(ours)))[keep].max()
    print(f"{path.name:45s} {keep.sum():4d} events  {difference:.1e}")
    worst[ending] = max(worst.get(ending, (0, 0))[0], difference), worst.get(ending, (0, 0))[1] + 1
print({"xgboost": xgb.__version__, "lightgbm": lgb and lgb.__version__})
for ending, (difference, files) in worst.items():
    print(f"{ending:15s} {files:3d} files, largest difference {difference:.1e}")
sys.exit(any(difference > 1e-6 for difference, _ in worst.values()))
