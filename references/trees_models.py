#!/usr/bin/env python3
"""Small models of XGBoost and LightGBM, and weight files in the layout of TMVA, with the scores of their own programs.

    .venv/bin/python references/trees_models.py

writes crates/fb-deploy/tests/data/trees/: the model files, and `expected.json` with events (null where a value is
missing) and the scores of every model on them. The tests of fb-deploy compare with these.

With `--old`, in an environment that has an early XGBoost and numpy alone (1.7.6 with numpy<2, 2.1.4), it adds a model
of that version.

TMVA is not needed: its files are made of random trees here and scored by its formulas, written out in numpy
(`tmva_scores`): cuts and events in single precision, x >= cut to the right for cut type 1, to the left for cut type 0.
"""

import json
import sys
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import xgboost as xgb

OUT = Path(__file__).resolve().parent.parent / "crates" / "fb-deploy" / "tests" / "data" / "trees"
COLUMNS = ["pt", "eta", "mass", "tau21", "zeros", "type"]
rng = np.random.default_rng(20)


def events(n):
    """Six columns, the fifth often zero, the last a category; some values are missing."""
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[:, 4] = np.where(rng.random(n) < 0.4, 0.0, x[:, 4])
    x[:, 5] = rng.integers(0, 9, n)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def truth(x):
    z = np.nan_to_num(x, nan=0.7)
    odd = np.isin(z[:, 5], [1, 4, 5, 8])
    return z[:, 0] - 0.5 * z[:, 1] * z[:, 2] + 0.8 * np.isnan(x[:, 3]) + np.where(odd, 1.0, -0.5) + 0.6 * (z[:, 4] == 0)


def rounded(scores):
    scores = np.asarray(scores, dtype=np.float64)
    scores = scores.reshape(len(scores), -1)
    return [[float(f"{s:.10g}") for s in row] for row in scores]


train, test = events(1500), events(50)
f = truth(train)
noisy = f + rng.normal(scale=0.5, size=len(f))
labels = (noisy > 0).astype(int)
classes = np.digitize(noisy, [-0.6, 0.6])
counts = rng.poisson(np.exp(0.4 * f))
positive = np.exp(0.3 * noisy)
expected = {}


def xgboost(name, objective, y, keep=None, rounds=8, columns=5, types=None, names=None, watch=False, **options):
    x = [train[:, :columns], test[:, :columns]]
    data = xgb.DMatrix(x[0], y, feature_types=types, feature_names=names, enable_categorical=types is not None)
    params = {"objective": objective, "max_depth": 3, "eta": 0.3, "nthread": 1, "seed": 1, **options}
    more = {"evals": [(data, "train")], "early_stopping_rounds": 3, "verbose_eval": False} if watch else {}
    booster = xgb.train(params, data, rounds, **more)
    booster.save_model(OUT / f"{name}.json")
    if keep is not False:
        seen = xgb.DMatrix(x[1], feature_types=types, feature_names=names, enable_categorical=types is not None)
        expected[f"{name}.json"] = rounded(booster.predict(seen))


def all_xgboost():
    xgboost("xgb_binary", "binary:logistic", labels)
    xgboost("xgb_logitraw", "binary:logitraw", labels)
    xgboost("xgb_reglogistic", "reg:logistic", labels * 0.8 + 0.1, rounds=4)
    xgboost("xgb_named", "binary:logistic", labels, names=COLUMNS[:5], watch=True, rounds=5)
    xgboost("xgb_multi", "multi:softprob", classes, num_class=3, rounds=5)
    xgboost("xgb_squared", "reg:squarederror", noisy)
    xgboost("xgb_huber", "reg:pseudohubererror", noisy, rounds=4)
    xgboost("xgb_quantile", "reg:quantileerror", noisy, quantile_alpha=0.8, rounds=4)
    xgboost("xgb_absolute", "reg:absoluteerror", noisy, rounds=4)
    xgboost("xgb_poisson", "count:poisson", counts, rounds=5)
    xgboost("xgb_gamma", "reg:gamma", positive, rounds=5)
    xgboost("xgb_tweedie", "reg:tweedie", positive, rounds=5)
    xgboost("xgb_dart", "binary:logistic", labels, booster="dart", rate_drop=0.4, rounds=10)
    xgboost("xgb_forest", "binary:logistic", labels, num_parallel_tree=4, subsample=0.6, rounds=2)
    xgboost("xgb_base", "binary:logistic", labels, base_score=0.03, rounds=3)
    xgboost("xgb_targets", "reg:squarederror", np.c_[noisy, f], rounds=3)
    types = ["float"] * 5 + ["c"]
    xgboost("xgb_categories", "binary:logistic", labels, columns=6, types=types, max_cat_to_onehot=1)
    xgboost("xgb_onehot", "binary:logistic", labels, columns=6, types=types, max_cat_to_onehot=20, rounds=4)
    # Refused, by name.
    xgboost("bad_xgb_hinge", "binary:hinge", labels, keep=False, rounds=1)
    xgboost("bad_xgb_linear", "reg:squarederror", noisy, keep=False, rounds=1, booster="gblinear", max_depth=None)
    xgboost("bad_xgb_leaves", "reg:squarederror", np.c_[noisy, f], keep=False, rounds=1,
            multi_strategy="multi_output_tree", tree_method="hist")


def lightgbm(name, objective, y, keep=None, rounds=8, columns=5, categories="auto", **options):
    x = [train[:, :columns].astype(np.float64), test[:, :columns].astype(np.float64)]
    params = {"objective": objective, "num_leaves": 7, "verbose": -1, "num_threads": 1, "seed": 1,
              "min_data_in_leaf": 10, "deterministic": True, "learning_rate": 0.3, "min_data_per_group": 20, **options}
    names = COLUMNS[:columns]
    data = lgb.Dataset(x[0], y, feature_name=names, categorical_feature=categories, params=params)
    booster = lgb.train(params, data, rounds)
    text = booster.model_to_string()
    # The parameters of the training are most of a small file, and mean nothing to its scores.
    head, tail = text.split("parameters:", 1)
    (OUT / f"{name}.txt").write_text(head + "parameters:\n" + tail[tail.index("end of parameters") - 1:])
    if keep is not False:
        again = lgb.Booster(model_file=str(OUT / f"{name}.txt"))
        expected[f"{name}.txt"] = rounded(again.predict(x[1]))
        assert np.array_equal(again.predict(x[1]), booster.predict(x[1]))


def all_lightgbm():
    lightgbm("lgb_binary", "binary", labels)
    lightgbm("lgb_sigmoid", "binary", labels, sigmoid=0.6, rounds=4)
    lightgbm("lgb_multi", "multiclass", classes, num_class=3, rounds=5)
    lightgbm("lgb_ova", "multiclassova", classes, num_class=3, rounds=5, sigmoid=1.3)
    lightgbm("lgb_regression", "regression", noisy)
    lightgbm("lgb_l1", "regression_l1", noisy, rounds=4)
    lightgbm("lgb_huber", "huber", noisy, rounds=4)
    lightgbm("lgb_quantile", "quantile", noisy, alpha=0.8, rounds=4)
    lightgbm("lgb_poisson", "poisson", counts, rounds=5)
    lightgbm("lgb_tweedie", "tweedie", positive, rounds=5)
    lightgbm("lgb_gamma", "gamma", positive, rounds=5)
    lightgbm("lgb_entropy", "cross_entropy", labels * 0.8 + 0.1, rounds=4)
    lightgbm("lgb_forest", "binary", labels, boosting="rf", bagging_freq=1, bagging_fraction=0.6, rounds=5)
    lightgbm("lgb_categories", "binary", labels, columns=6, categories=[5], max_cat_to_onehot=1)
    lightgbm("lgb_nothing_missing", "binary", labels, use_missing=False)
    lightgbm("lgb_stump", "binary", labels, rounds=2, min_data_in_leaf=1000)
    # Refused, by name.
    lightgbm("bad_lgb_linear", "regression", noisy, keep=False, rounds=1, linear_tree=True)
    lightgbm("bad_lgb_zeros", "binary", labels, keep=False, rounds=6, zero_as_missing=True)
    lightgbm("bad_lgb_sqrt", "regression", positive, keep=False, rounds=1, reg_sqrt=True)


def random_tree(depth, columns):
    """A random tree of TMVA: nested (variable, cut, cut type, left, right) and leaves (response, purity, type)."""
    if depth == 0 or rng.random() < 0.15:
        purity = np.float32(rng.random())
        return (np.float32(rng.normal(scale=0.4)), purity, 1 if purity > 0.5 else -1)
    cut = np.float32(rng.normal(scale=0.7))
    return (int(rng.integers(columns)), cut, int(rng.random() < 0.6),
            random_tree(depth - 1, columns), random_tree(depth - 1, columns))


def tmva_leaf(tree, event):
    while len(tree) == 5:
        variable, cut, cut_type, left, right = tree
        result = event[variable] >= cut
        goes_right = result if cut_type else not result
        tree = right if goes_right else left
    return tree


def tmva_node(tree, grad, pos="s", depth=0):
    blank = " " * (6 + 2 * depth)
    start = f'{blank}<Node pos="{pos}" depth="{depth}" NCoef="0"'
    if len(tree) == 3:
        response, purity, kind = tree
        kind = -99 if grad else kind
        return (f'{start} IVar="-1" Cut="0.0e+00" cType="1" res="{response:.9e}" '
                f'rms="0.0e+00" purity="{purity:.9e}" nType="{kind}"/>\n')
    variable, cut, cut_type, left, right = tree
    return (f'{start} IVar="{variable}" Cut="{cut:.9e}" cType="{cut_type}" res="0.0e+00" '
            f'rms="0.0e+00" purity="5.0e-01" nType="0">\n'
            + tmva_node(left, grad, "l", depth + 1) + tmva_node(right, grad, "r", depth + 1) + f"{blank}</Node>\n")


def tmva_scores(trees, weights, analysis, boost, yes_no, classes, event):
    leaves = [tmva_leaf(tree, event) for tree in trees]
    if analysis == "Multiclass":
        sums = [sum(float(leaf[0]) for leaf in leaves[k::classes]) for k in range(classes)]
        return [1 / (1 + sum(np.exp(sums[j] - sums[k]) for j in range(classes) if j != k)) for k in range(classes)]
    if boost == "Grad":
        total = sum(float(leaf[0]) for leaf in leaves)
        return [total + float(weights[0])] if analysis == "Regression" else [2 / (1 + np.exp(-2 * total)) - 1]
    values = [leaf[2] if yes_no else float(leaf[1]) for leaf in leaves]
    return [sum(float(w) * v for w, v in zip(weights, values)) / sum(float(w) for w in weights)]


def tmva(name, analysis, boost, n, yes_no=False, classes=2, keep=True, transformations=0):
    columns = 4
    names = ["pt", "abs(eta)", "mass/pt", "tau21"]
    grad = boost == "Grad"
    trees = [random_tree(3, columns) for _ in range(n)]
    weights = [np.float32(rng.random() + 0.1) for _ in range(n)]
    text = '<?xml version="1.0"?>\n<MethodSetup Method="BDT::BDT">\n  <GeneralInfo>\n'
    text += '    <Info name="TMVA Release" value="4.2.1 [262657]"/>\n'
    text += f'    <Info name="AnalysisType" value="{analysis}"/>\n  </GeneralInfo>\n  <Options>\n'
    text += f'    <Option name="NTrees" modified="Yes">{n}</Option>\n'
    text += f'    <Option name="BoostType" modified="Yes">{boost}</Option>\n'
    text += f'    <Option name="UseYesNoLeaf" modified="Yes">{yes_no}</Option>\n'
    text += f'    <Option name="DoPreselection" modified="No">False</Option>\n  </Options>\n  <Variables NVar="{columns}">\n'
    for i, expression in enumerate(names):
        shown = quoteattr(expression)
        text += (f'    <Variable VarIndex="{i}" Expression={shown} Label={shown} Title={shown} Unit="" Internal="v{i}" '
                 'Type="F" Min="-1.0" Max="1.0"/>\n')
    text += f'  </Variables>\n  <Spectators NSpec="0"/>\n  <Classes NClass="{classes}">\n'
    for k in range(classes):
        text += f'    <Class Name="class{k}" Index="{k}"/>\n'
    text += f'  </Classes>\n  <Targets NTrgt="{int(analysis == "Regression")}"/>\n'
    text += f'  <Transformations NTransformations="{transformations}"/>\n  <MVAPdfs/>\n'
    text += f'  <Weights NTrees="{n}" AnalysisType="{int(grad or analysis == "Regression")}">\n'
    for i, (tree, weight) in enumerate(zip(trees, weights)):
        text += f'    <BinaryTree type="DecisionTree" boostWeight="{weight:.9e}" itree="{i}">\n'
        text += tmva_node(tree, grad) + "    </BinaryTree>\n"
    (OUT / f"{name}.xml").write_text(text + "  </Weights>\n</MethodSetup>\n")
    if keep:
        # The features are taken as they are: expressions are computed before a forest sees them.
        scores = [tmva_scores(trees, weights, analysis, boost, yes_no, classes, event) for event in test[:, :columns]]
        expected[f"{name}.xml"] = rounded(scores)


def all_tmva():
    tmva("tmva_adaboost", "Classification", "AdaBoost", 6, yes_no=True)
    tmva("tmva_purity", "Classification", "AdaBoost", 6)
    tmva("tmva_bagging", "Classification", "Bagging", 5)
    tmva("tmva_grad", "Classification", "Grad", 6)
    tmva("tmva_multi", "Multiclass", "Grad", 6, classes=3)
    tmva("tmva_regression", "Regression", "Grad", 5, classes=1)
    # Refused, by name.
    tmva("bad_tmva_r2", "Regression", "AdaBoostR2", 2, classes=1, keep=False)
    tmva("bad_tmva_transformed", "Classification", "Grad", 2, keep=False, transformations=1)


def all_old():
    name = "xgb_" + xgb.__version__.replace(".", "_")
    xgboost(name, "binary:logistic", labels, rounds=3)
    xgboost(f"{name}_categories", "reg:gamma", positive, columns=6, types=["q"] * 5 + ["c"], rounds=3, tree_method="hist")


OUT.mkdir(parents=True, exist_ok=True)
versions = {"python": sys.version.split()[0], "xgboost": xgb.__version__}
if "--old" in sys.argv:
    all_old()
    whole = json.loads((OUT / "expected.json").read_text())
    versions, expected = whole["versions"], {**whole["scores"], **expected}
else:
    import lightgbm as lgb

    versions["lightgbm"] = lgb.__version__
    for old in OUT.glob("*"):
        old.unlink()
    all_xgboost()
    all_lightgbm()
    all_tmva()
rows = [[None if np.isnan(v) else float(v) for v in row] for row in test]
(OUT / "expected.json").write_text(json.dumps({"versions": versions, "rows": rows, "scores": expected},
                                              separators=(",", ":")) + "\n")
sizes = {p.name: p.stat().st_size for p in OUT.iterdir()}
print(f"{len(expected)} models scored, {len(sizes)} files, {sum(sizes.values())} bytes, largest {max(sizes, key=sizes.get)} "
      f"{max(sizes.values())}")
