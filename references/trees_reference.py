"""Trains XGBoost, LightGBM, CatBoost and hep_ml on fixed splits of public samples and writes what `fb` is compared with.

    python trees_reference.py --split FOLDER                      train and test files of every set and fold, for `fb run`
    python trees_reference.py --out references/trees.json         trains everything and writes the metrics
    python trees_reference.py --shap FILE.json                    a small XGBoost model with its SHAP values

Split: row i of the file (from 0) is a test event of fold k if i % 5 == k; fold 0 is "the split", the mean over the five
folds is quoted beside it because the test parts are small. (Two jets of one collision may be in both parts of
`top_tagging`: the same for everybody.) The files of --split are named `{set}_fold{k}_{train,test}.parquet`: float32
columns, `label` 0/1, `weight`, and -999 where a value is missing.

higgsml      samples/higgsml/higgsml.parquet. In each part the weights of each class are scaled to half the number of
             its events, so that the mean weight is 1 and a hessian of 1 means the same as without weights. AMS is with
             b_reg = 10 after scaling the classes of the test part to the sums of the full set, 691.99 and
             410,999.85: at the score with 15% of the test events (their number) above it, and the largest over all
             cuts with at least 25 background events above (below that it is noise). `oof` is the AMS of all events,
             each scored by the fold that did not see it, and `oof_error` the standard deviation of its difference from
             that of `xgboost` over 200 bootstrap samples of the events.
magic_gamma  samples/magic_gamma/magic.parquet, no weights.
top_tagging  samples/top_tagging/train.parquet: jet_pt, jet_eta, jet_m, jet_msd, tau21, tau32 (with tau1 and tau2 at
             least 0.001) and n_constituents, no weights.

Settings as the defaults of `bdt`: 200 trees, depth 6 (or 31 leaves without a limit of depth), learning rate 0.1, 255 bins,
one thread, l2 = 1, min_child_weight = 1, nothing sampled, logistic loss, -999 is missing. LightGBM with `min_data_in_leaf` 1. CatBoost
with 254 borders and symmetric trees: `catboost` is plain boosting with one Newton step, no bootstrap, no noise on the
scores of splits; `catboost_ordered` the same with ordered boosting; `catboost_default` with its default bootstrap, noise
and 10 Newton steps. `spread` is
`xgboost` with 251, 252, … 255 bins: how far apart trainings are that nobody would call different. Accuracy is at a score
of 1/2.

Flatness: label 1 against 0 of `top_tagging`, without jet_m, jet_msd and jet_pt among the inputs, flat in `jet_m` among the
background. hep_ml's own metrics on the test part (fold 0): `cvm` and `sde` in 10 bins of equal width between the least and
the largest jet_m (BinBasedCvM, BinBasedSDE with cuts at 0.5 to 0.9), `knn_cvm` with 50 neighbours, and `cvm_quantile`, the
same in 10 bins of equal population, written here. 100 trees of depth 4, learning rate 0.1, coefficient 3, 10
bins, 100 neighbours.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench_trees import auc

FOLDS = 5
FULL = (410_999.85, 691.99)
SETTINGS = {"trees": 200, "depth": 6, "leaves": 31, "learning_rate": 0.1, "bins": 255, "l2": 1.0, "min_child_weight": 1.0}
FLAT_INPUTS = ["jet_eta", "tau21", "tau32", "n_constituents"]
ROOT = pathlib.Path(__file__).resolve().parent.parent

# ---------------------------------------------------------------------------------------------------------------------
# Data


def higgsml():
    table = pq.read_table(ROOT / "samples/higgsml/higgsml.parquet")
    names = [n for n in table.column_names if n.startswith(("DER_", "PRI_"))]
    return names, table, table["weight"].to_numpy()


def magic_gamma():
    table = pq.read_table(ROOT / "samples/magic_gamma/magic.parquet")
    return [n for n in table.column_names if n not in ("label", "weight")], table, None


def top_tagging():
    names = ["jet_pt", "jet_eta", "jet_m", "jet_msd", "n_constituents"]
    table = pq.read_table(ROOT / "samples/top_tagging/train.parquet",
                          columns=["label", *names, "jet_tau1", "jet_tau2", "jet_tau3"])
    tau = [table[f"jet_tau{k}"].to_numpy().astype(np.float32) for k in (1, 2, 3)]
    least = np.float32(0.001)
    table = table.append_column("tau21", pa.array(tau[1] / np.maximum(tau[0], least)))
    table = table.append_column("tau32", pa.array(tau[2] / np.maximum(tau[1], least)))
    return [*names[:4], "tau21", "tau32", "n_constituents"], table, None


SETS = {"higgsml": higgsml, "magic_gamma": magic_gamma, "top_tagging": top_tagging}


def columns(name):
    names, table, weight = SETS[name]()
    x = np.column_stack([table[n].to_numpy().astype(np.float32) for n in names])
    return names, x, table["label"].to_numpy().astype(np.int8), weight


def parts(x, label, weight, fold):
    """(x, label, weight) of the training and of the test events."""
    test = np.arange(len(label)) % FOLDS == fold
    out = []
    for part in (~test, test):
        y = label[part]
        w = np.ones(len(y))
        if weight is not None:
            w = weight[part].astype(float)
            for k in (0, 1):
                w[y == k] *= len(y) / 2 / w[y == k].sum()
        out.append((x[part], y, w.astype(np.float32)))
    return out


def split(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        names, x, label, weight = columns(name)
        for fold in range(FOLDS):
            for part, (rows, y, w) in zip(("train", "test"), parts(x, label, weight, fold)):
                table = pa.table({"label": y, "weight": w} | {n: rows[:, i] for i, n in enumerate(names)})
                pq.write_table(table, folder / f"{name}_fold{fold}_{part}.parquet", compression="zstd")


# ---------------------------------------------------------------------------------------------------------------------
# Metrics


def ams(score, label, weight, times=None):
    """AMS with 15% of the events above the cut, and the largest with at least 25 background events above it.

    `times`: how often each event is there, in a bootstrap sample.
    """
    if times is not None:
        score, label, weight = (np.repeat(v, times) for v in (score, label, weight))
    weight = weight.astype(float)
    for k in (0, 1):
        weight = np.where(label == k, weight * FULL[k] / weight[label == k].sum(), weight)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    s, b = (np.cumsum(weight[order] * (label[order] == k)) for k in (1, 0))
    background = np.cumsum(label[order] == 0)
    value = np.sqrt(2 * ((s + b + 10) * np.log1p(s / (b + 10)) - s))
    # A cut is between two different scores.
    cuts = np.flatnonzero(last)
    fixed = cuts[np.argmin(np.abs(cuts + 1 - 0.15 * len(label)))]
    allowed = cuts[background[cuts] >= 25]
    best = allowed[np.argmax(value[allowed])]
    return {"ams_15": float(value[fixed]), "ams_best": float(value[best]),
            "best_share": float((best + 1) / len(label))}


def ams_error(score, other, label, weight):
    """Standard deviations of the differences of the two values of AMS between two scores of the same events."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(200):
        times = rng.poisson(1, len(label))
        a, b = (ams(s, label, weight, times) for s in (score, other))
        found.append([a[k] - b[k] for k in ("ams_15", "ams_best")])
    return dict(zip(("ams_15", "ams_best"), np.std(found, axis=0).tolist()))


def metrics(name, score, label, weight):
    result = {"auc": auc(score, label, weight),
              "accuracy": float(np.average((score > 0.5) == (label == 1), weights=weight))}
    return result | (ams(score, label, weight) if name == "higgsml" else {})


# ---------------------------------------------------------------------------------------------------------------------
# Models: each trains on (x, label, weight) and gives probabilities of other rows.


def xgboost_model(train, test, leaves=False, bins=SETTINGS["bins"]):
    import xgboost as xgb

    params = {"objective": "binary:logistic", "tree_method": "hist", "max_bin": bins, "lambda": SETTINGS["l2"],
              "eta": SETTINGS["learning_rate"], "min_child_weight": SETTINGS["min_child_weight"], "verbosity": 0,
              "nthread": 1}
    params |= {"grow_policy": "lossguide", "max_leaves": SETTINGS["leaves"], "max_depth": 0} if leaves else {
        "max_depth": SETTINGS["depth"]}
    rows = xgb.QuantileDMatrix(train[0], train[1], weight=train[2], max_bin=bins, nthread=1)
    model = xgb.train(params, rows, SETTINGS["trees"])
    return model.inplace_predict(test[0])


def lightgbm_model(train, test, leaves=True):
    import lightgbm as lgb

    params = {"objective": "binary", "max_bin": SETTINGS["bins"], "lambda_l2": SETTINGS["l2"], "verbosity": -1,
              "learning_rate": SETTINGS["learning_rate"], "min_data_in_leaf": 1, "num_threads": 1,
              "min_sum_hessian_in_leaf": SETTINGS["min_child_weight"], "deterministic": True, "force_row_wise": True}
    params |= {"num_leaves": SETTINGS["leaves"]} if leaves else {
        "num_leaves": 1 << SETTINGS["depth"], "max_depth": SETTINGS["depth"]}
    model = lgb.train(params, lgb.Dataset(train[0], train[1], weight=train[2], params=params), SETTINGS["trees"])
    return model.predict(test[0])


def catboost_model(train, test, boosting="Plain", default=False):
    import catboost as cb

    params = {"loss_function": "Logloss", "iterations": SETTINGS["trees"], "learning_rate": SETTINGS["learning_rate"],
              "depth": SETTINGS["depth"], "border_count": 254, "l2_leaf_reg": SETTINGS["l2"], "boosting_type": boosting,
              "thread_count": 1, "random_seed": 1, "allow_writing_files": False, "logging_level": "Silent"}
    if not default:
        params |= {"bootstrap_type": "No", "random_strength": 0, "leaf_estimation_iterations": 1}
    model = cb.CatBoostClassifier(**params)
    model.fit(cb.Pool(train[0], train[1], weight=train[2], thread_count=1))
    return model.predict_proba(test[0])[:, 1]


MODELS = {
    "xgboost": lambda a, b: xgboost_model(a, b),
    "xgboost_leaves": lambda a, b: xgboost_model(a, b, leaves=True),
    "lightgbm": lambda a, b: lightgbm_model(a, b),
    "lightgbm_depth": lambda a, b: lightgbm_model(a, b, leaves=False),
    "catboost": lambda a, b: catboost_model(a, b),
    "catboost_ordered": lambda a, b: catboost_model(a, b, boosting="Ordered"),
    "catboost_default": lambda a, b: catboost_model(a, b, default=True),
}


def together(scores):
    """Scores of all events from those of the folds."""
    out = np.empty(sum(map(len, scores)))
    for fold, s in enumerate(scores):
        out[fold::FOLDS] = s
    return out


def spread(name, folds):
    """XGBoost with slightly other numbers of bins: AUC of fold 0, the mean over folds, for higgsml the AMS as well."""
    result = {"bins": list(range(SETTINGS["bins"] - 4, SETTINGS["bins"] + 1)), "auc": [], "auc_mean": []}
    for bins in result["bins"]:
        scores = [np.asarray(xgboost_model(*fold, bins=bins), float) for fold in folds]
        each = [metrics(name, s, fold[1][1], fold[1][2]) for s, fold in zip(scores, folds)]
        result["auc"].append(each[0]["auc"])
        result["auc_mean"].append(float(np.mean([m["auc"] for m in each])))
        if name == "higgsml":
            oof = ams(together(scores), *columns(name)[2:])
            for key, value in (("ams_15", each[0]["ams_15"]), ("ams_best", each[0]["ams_best"]),
                               ("ams_15_mean", float(np.mean([m["ams_15"] for m in each]))),
                               ("oof_ams_15", oof["ams_15"]), ("oof_ams_best", oof["ams_best"])):
                result.setdefault(key, []).append(value)
    return result


def all_models():
    result = {}
    for name in SETS:
        names, x, label, weight = columns(name)
        missing = np.where(x == -999, np.float32(np.nan), x)
        folds = [parts(missing, label, weight, fold) for fold in range(FOLDS)]
        entry = {"events": len(label), "test_events": len(folds[0][1][1]), "inputs": len(names), "models": {}}
        for model, run in MODELS.items():
            scores = [np.asarray(run(*fold), float) for fold in folds]
            each = [metrics(name, s, fold[1][1], fold[1][2]) for s, fold in zip(scores, folds)]
            found = each[0] | {"auc_folds": [m["auc"] for m in each], "auc_mean": float(np.mean([m["auc"] for m in each])),
                               "accuracy_mean": float(np.mean([m["accuracy"] for m in each]))}
            if name == "higgsml":
                all_scores = together(scores)
                found["oof"] = ams(all_scores, label, weight)
                if model == "xgboost":
                    first = all_scores
                else:
                    found["oof_error"] = ams_error(all_scores, first, label, weight)
                found["ams_15_mean"] = float(np.mean([m["ams_15"] for m in each]))
            entry["models"][model] = found
            print(name, model, json.dumps(rounded(found)), file=sys.stderr, flush=True)
        entry["spread"] = spread(name, folds)
        print(name, "spread", json.dumps(rounded(entry["spread"])), file=sys.stderr, flush=True)
        result[name] = entry
    return result


# ---------------------------------------------------------------------------------------------------------------------
# Flatness


def cvm_quantile(score, flat, bins=10):
    """Sum over bins of equal population of their share times the mean of (F_bin - F)^2; half steps at the scores."""
    place = np.searchsorted(np.quantile(flat, np.linspace(0, 1, bins + 1)[1:-1]), flat)
    values, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    share = counts / len(score)
    overall = np.cumsum(share) - share / 2
    total = 0.0
    for k in range(bins):
        local = np.bincount(index[place == k], minlength=len(values)) / np.sum(place == k)
        total += np.mean(place == k) * np.sum(share * (np.cumsum(local) - local / 2 - overall) ** 2)
    return float(total)


def flatness():
    import pandas
    from hep_ml import gradientboosting as gb
    from hep_ml import metrics as flat_metrics

    names, x, label, weight = columns("top_tagging")
    train, test = (part for part in parts(x, label, weight, 0))
    frames = [pandas.DataFrame(part[0].astype(float), columns=names) for part in (train, test)]
    losses = {"ada": gb.AdaLossFunction(), "log": gb.LogLossFunction(),
              "bin_flatness": gb.BinFlatnessLossFunction(["jet_m"], uniform_label=0),
              "knn_flatness": gb.KnnFlatnessLossFunction(["jet_m"], uniform_label=0)}
    losses |= {f"bin_flatness_c{c}": gb.BinFlatnessLossFunction(["jet_m"], uniform_label=0, fl_coefficient=c)
               for c in (0.3, 1, 10)}
    measures = {"cvm": flat_metrics.BinBasedCvM(["jet_m"], uniform_label=0),
                "sde": flat_metrics.BinBasedSDE(["jet_m"], uniform_label=0),
                "knn_cvm": flat_metrics.KnnBasedCvM(["jet_m"], uniform_label=0),
                "knn_sde": flat_metrics.KnnBasedSDE(["jet_m"], uniform_label=0)}
    for measure in measures.values():
        measure.fit(frames[1], test[1].astype(int))
    result = {"set": "top_tagging", "inputs": FLAT_INPUTS, "flat": "jet_m", "flat_label": 0,
              "settings": {"trees": 100, "depth": 4, "learning_rate": 0.1, "flatness": 3.0, "bins": 10, "neighbours": 100},
              "models": {}}
    for name, loss in losses.items():
        model = gb.UGradientBoostingClassifier(loss=loss, n_estimators=100, max_depth=4, learning_rate=0.1,
                                               train_features=FLAT_INPUTS, random_state=1)
        model.fit(frames[0], train[1].astype(int))
        score, proba = model.decision_function(frames[1]), model.predict_proba(frames[1])
        background = test[1] == 0
        found = {"auc": auc(score, test[1]), "auc_train": auc(model.decision_function(frames[0]), train[1])}
        found |= {key: float(measure(test[1], proba, None)) for key, measure in measures.items()}
        found["cvm_quantile"] = cvm_quantile(score[background], frames[1]["jet_m"].to_numpy()[background])
        result["models"][name] = found
        print("flatness", name, json.dumps(rounded(found)), file=sys.stderr, flush=True)
    return result


# ---------------------------------------------------------------------------------------------------------------------
# SHAP


def shap(path):
    """8 trees of depth 4 on five columns, one often missing: margins, contributions and interactions of 20 rows.

    `contributions` are [row][input..., bias], `interactions` [row][input or bias][input or bias], as XGBoost computes them,
    in float32: they sum to the margin to about 1e-6. `null` is a missing value.
    """
    import xgboost as xgb

    rng = np.random.default_rng(13)
    x = rng.normal(size=(2000, 5)).astype(np.float32)
    # Few digits keep the file small and the numbers exact.
    x = np.round(x * 64) / np.float32(64)
    y = x[:, 0] * x[:, 1] + np.abs(x[:, 2]) - 0.8 + 0.5 * x[:, 3] + rng.normal(0, 0.5, 2000) > 0
    x[rng.random(2000) < 0.3, 3] = np.nan
    rows = xgb.DMatrix(x, y.astype(int), feature_names=[f"x{i}" for i in range(5)])
    model = xgb.train({"objective": "binary:logistic", "tree_method": "hist", "max_depth": 4, "eta": 0.3,
                       "min_child_weight": 5, "verbosity": 0, "nthread": 1}, rows, 8)
    test = rows.slice(list(range(20)))
    result = {
        "xgboost": xgb.__version__,
        "rows": [[None if np.isnan(v) else float(v) for v in row] for row in x[:20]],
        "margins": model.predict(test, output_margin=True).tolist(),
        "contributions": model.predict(test, pred_contribs=True).tolist(),
        "interactions": model.predict(test, pred_interactions=True).tolist(),
        "model": json.loads(model.save_raw("json")),
    }
    text = json.dumps(rounded(result, 9), separators=(",", ":"), allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    print(f"{path.name}: {len(text)} bytes, {len(result['model']['learner']['gradient_booster']['model']['trees'])} trees",
          file=sys.stderr)


def rounded(value, digits=6):
    """Floats with so many significant digits."""
    if isinstance(value, dict):
        return {key: rounded(v, digits) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v, digits) for v in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--shap", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.split:
        split(arguments.split)
    if arguments.shap:
        shap(arguments.shap)
    if arguments.out:
        from importlib.metadata import version

        result = {"versions": {n: version(n) for n in ("xgboost", "lightgbm", "catboost", "hep_ml")}, "settings": SETTINGS}
        result |= {"sets": all_models(), "flatness": flatness()}
        arguments.out.write_text(json.dumps(rounded(result), indent=1) + "\n")


if __name__ == "__main__":
    main()
