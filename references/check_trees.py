"""Compares runs of `fb run` with `trees.json`, on the split and with the settings of trees_reference.py.

    python trees_reference.py --split target/trees
    fb run experiment.toml …                  with read.files and read.test from target/trees, see trees_reference.py
    python check_trees.py higgsml=RUN magic_gamma=RUN top_tagging=RUN [--fold 0]
    python check_trees.py higgsml=scores.parquet:target/trees/higgsml_fold0_test.parquet

A run is a folder with results.json, whose AUC and accuracy are compared; scores are a Parquet file of `fb predict` (column
`score`, row by row the test file after the colon), from which the AMS is computed as well. Each method is compared with
the same kind of trees, by its name and label (or the name of the file of scores): with `oblivious` in it with CatBoost's,
`ordered` as well with its ordered boosting, `leaves` with XGBoost's and LightGBM's that grow leaf by leaf, all others
with theirs of depth 6. Ends with status 1 if an AUC differs by 0.002 or more from XGBoost's or LightGBM's or by 0.003 or
more from CatBoost's, or the AMS at 15% of the events is lower than XGBoost's by more than 0.05. `spread` is the
standard deviation among trainings of XGBoost with 251 to 255 bins: differences of that size say nothing.
    --folds          arguments are set=RUN0,RUN1,…: the mean over the folds is compared with the mean of the reference,
                     which is less noisy than one test part
"""

import argparse
import json
import pathlib
import sys

import numpy as np

ALLOWED = {"xgboost": 0.002, "lightgbm": 0.002, "catboost": 0.003}


def models(label):
    """The trainings to compare with."""
    label = label.lower()
    if "oblivious" in label:
        return ["catboost_ordered" if "ordered" in label else "catboost"]
    return ["xgboost_leaves", "lightgbm"] if "leaves" in label else ["xgboost", "lightgbm_depth"]


def central(value):
    return value["central"] if isinstance(value, dict) else value


def of_run(folder):
    """Metrics of each method, by its label."""
    with open(folder / "results.json") as file:
        results = json.load(file)
    return {f"{m['name']} {m['label']}": {k: central(v) for k, v in m["metrics"].items() if k in ("auc", "accuracy")}
            for m in results["methods"]}


def of_scores(name, scores, test):
    import pyarrow.parquet as pq
    from trees_reference import metrics

    table = pq.read_table(test, columns=["label", "weight"])
    score = pq.read_table(scores)["score"].to_numpy().astype(float)
    if len(score) != len(table):
        raise SystemExit(f"{scores}: {len(score)} scores for {len(table)} events of {test}")
    found = metrics(name, score, table["label"].to_numpy(), table["weight"].to_numpy())
    return {scores.stem: found}


def read(name, source):
    scores, _, test = source.partition(":")
    path = pathlib.Path(scores)
    return of_scores(name, path, test) if test else of_run(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="SET=RUN")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--reference", type=pathlib.Path, default=pathlib.Path(__file__).with_name("trees.json"))
    arguments = parser.parse_args()
    with open(arguments.reference) as file:
        sets = json.load(file)["sets"]
    failed = False
    heads = f"{'set':12} {'method':24} {'AUC':>8}  {'reference':17} {'AUC':>8} {'delta':>9} {'spread':>8}"
    print(heads + f" {'accuracy':>9} {'AMS 15%':>8}")
    suffix = "_mean" if arguments.folds else ""
    for run in arguments.runs:
        name, _, sources = run.partition("=")
        if name not in sets:
            raise SystemExit(f"no reference for the set `{name}`; there are {', '.join(sets)}")
        references = sets[name]["models"]

        def theirs(model):
            return references[model]["auc_mean"] if arguments.folds else references[model]["auc_folds"][arguments.fold]

        spread = float(np.std(sets[name]["spread"]["auc_mean" if arguments.folds else "auc"], ddof=1))
        found = [read(name, source) for source in (sources.split(",") if arguments.folds else [sources])]
        for label, first in found[0].items():
            ours = {k: float(np.mean([f[label][k] for f in found])) for k in first}
            for model in models(label):
                reference, delta = references[model], ours["auc"] - theirs(model)
                cells = f"{name:12} {label:24} {ours['auc']:8.5f}  {model:17} {theirs(model):8.5f} {delta:+9.5f} {spread:8.5f}"
                good = abs(delta) < ALLOWED[model.split("_")[0]]
                if arguments.folds or arguments.fold == 0:
                    if "accuracy" in ours:
                        cells += f" {ours['accuracy'] - reference['accuracy' + suffix]:+9.5f}"
                    if "ams_15" in ours:
                        difference = ours["ams_15"] - reference["ams_15" + suffix]
                        cells += f" {difference:+8.3f}"
                        good &= difference > -0.05 or model.startswith("lightgbm")
                failed |= not good
                print(cells + ("" if good else "  <- outside"))
    sys.exit(failed)


if __name__ == "__main__":
    main()
