"""Times the boosted trees of the Python world, for `cargo xtask bench trees`, and makes the rows they are timed on.

    python bench_trees.py --make FOLDER [--rows 10000 100000 1000000]     rows and labels as .npy
    python bench_trees.py --serve                                         JSON lines in, JSON lines out

A server serves one peer: memory of another library would count in its own. Training:

    {"peer": "xgboost", "data": {"rows": 1000000, "features": 28, "seed": 1}, "trees": 100, "depth": 6, "threads": 2}
    -> {"seconds": 3.1, "cpu_seconds": 6.0, "auc": 0.81, "peak_rss_mb": 700.0, "idle_rss_mb": 420.0, "version": "…"}

`data` is a description as above, a `.npy` file of --make (with its `_labels.npy` and `test{F}.npy` beside it), or a
flat Parquet file with `label` (and `weight`), whose last fifth is held out. `seconds` is everything from the float32
array in memory to the trained model: conversion, binning and trees, without the AUC; `cpu_seconds` the same summed over
threads, which other work on the machine disturbs less. `idle_rss_mb` is the process with
the arrays before the training, `peak_rss_mb` the largest during it. The data of the last request is kept.

    {"what": "predict", "threads": 1, "repeat": 5}
    -> {"seconds": 0.2, "rows": 200000, "row_us": 30.0, "row_fast_us": 3.0}

predicts with the model trained last: `seconds` is the median time for all held-out rows (float32 array to array of
scores), `row_us` the median for one row through the public function, `row_fast_us` for one row through the
prepared single-row function of the C interface (LightGBM only).

XGBoost and LightGBM run on OpenMP, whose threads wait by spinning: beside other work on the machine that makes two
threads slower than one by a factor of several. Time on an idle machine, or start the server with OMP_WAIT_POLICY=passive
as well and count the faster.

Settings of every request, with their defaults: `trees` 100, `depth` 6 or `leaves` (31), `learning_rate` 0.1, `bins` 255,
`threads` 1, `l2` 1, `min_child_weight` 1, and `params`, passed on to the library as they are. With `leaves` the trees
grow leaf by leaf without a limit of depth, with `depth` level by level. Nothing is sampled, there is no early stopping,
the loss is the logistic one.

xgboost    `tree_method` hist, `grow_policy` depthwise (depth) or lossguide (leaves, `max_depth` 0), `max_bin` = bins,
           `reg_lambda` = l2. Rows through QuantileDMatrix, which bins while it reads and keeps no float copy;
           "matrix": "dmatrix" takes the plain DMatrix. No evaluation set, verbosity 0.
lightgbm   `num_leaves` = leaves, or 2^depth with `max_depth` = depth; `max_bin` = bins, `lambda_l2` = l2,
           `min_sum_hessian_in_leaf` = min_child_weight, `min_data_in_leaf` 1 (20 is its default; the others have no
           such limit). Dataset with `free_raw_data`, so that the rows are not held twice. Layout of histograms
           "layout": "auto" (tries both at the start and takes the faster), "col" or "row". Bins from 200,000 sampled
           rows (`bin_construct_sample_cnt`, its default).
catboost   Oblivious trees of `depth`, `border_count` = min(bins, 254), `l2_leaf_reg` = l2, `boosting_type` "Plain" or, with
           "boosting": "Ordered", its ordered boosting; `bootstrap_type` No and `random_strength` 0 ("random": false)
           or its own defaults, a Bayesian bootstrap and strength 1 ("random": true). "leaf_iterations": Newton steps for
           the values of the leaves, 1 here as in the other libraries; its own default is 10. Files are not written.
           With `leaves` grow_policy is Lossguide.
hep_ml     UGradientBoostingClassifier with "loss": "bin", "knn" (flat in the column "flat", 0, among the background; its
           defaults of 10 bins, 100 neighbours, coefficient "flatness" 3) or "ada". The trees see the other columns.
           Exact trees of scikit-learn, one thread; `bins`, `l2` and `min_child_weight` have no meaning there. The frame
           of pandas is made before the clock starts.
"""

import argparse
import ctypes
import json
import pathlib
import statistics
import sys
import time

import numpy as np

BLOCK = 100_000
HELD_OUT = 200_000
DEFAULTS = {"trees": 100, "learning_rate": 0.1, "bins": 255, "threads": 1, "l2": 1.0, "min_child_weight": 1.0}

# ---------------------------------------------------------------------------------------------------------------------
# Rows


def block(features, seed, index):
    """100,000 rows and labels: like the HIGGS set, three quarters of the columns are measured, the others made of them.

    Measured columns come from three Gaussians per class, some made momentum-like (exp), some an angle (no signal), every
    tenth of four values. Derived columns are masses and ratios of pairs. What separates most is in products of pairs.
    """
    low = 3 * features // 4
    fixed = np.random.default_rng([20140, features])
    centre = fixed.normal(0, 0.25, (2, 3, low))
    width = fixed.uniform(0.8, 1.3, (2, 3, low))
    share = np.array([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25]])
    first, second = fixed.integers(0, low, (2, features - low))

    rng = np.random.default_rng([seed, features, index])
    label = rng.integers(0, 2, BLOCK)
    component = (rng.random(BLOCK)[:, None] > np.cumsum(share, axis=1)[label][:, :2]).sum(axis=1)
    z = rng.normal(size=(BLOCK, low)) * width[label, component] + centre[label, component]
    # Neighbouring columns are correlated, in signal otherwise than in background.
    tilt = np.where(label == 1, 0.35, -0.05)[:, None]
    z[:, 1:low - 1:3] += tilt * z[:, 0:low - 2:3] * np.abs(z[:, 2::3][:, :len(range(1, low - 1, 3))])
    x = np.empty((BLOCK, features))
    x[:, :low] = z
    x[:, 0:low:3] = np.exp(0.5 * z[:, 0:low:3])
    x[:, 2:low:6] = rng.uniform(-np.pi, np.pi, (BLOCK, len(range(2, low, 6))))
    x[:, 9:low:10] = np.digitize(z[:, 9:low:10], [-0.5, 0.5, 1.2])
    noise = rng.normal(1, 0.15, (BLOCK, features - low))
    a, b = z[:, first], z[:, second]
    x[:, low:] = np.sqrt(1 + a * a + b * b + a * b) * noise
    x[:, low::3] = (np.exp(0.4 * a) / (1 + np.abs(b)) * noise)[:, ::3]
    return x.astype(np.float32), label.astype(np.float32)


def synthetic(rows, features, seed):
    """The first rows of the endless table of this seed."""
    x, y = np.empty((rows, features), np.float32), np.empty(rows, np.float32)
    for start in range(0, rows, BLOCK):
        values, label = block(features, seed, start // BLOCK)
        stop = min(rows, start + BLOCK)
        x[start:stop], y[start:stop] = values[:stop - start], label[:stop - start]
    return x, y


def make(folder, sizes):
    folder.mkdir(parents=True, exist_ok=True)
    for rows in sizes:
        features = 28 if rows >= 1_000_000 else 30
        x, y = synthetic(rows, features, 1)
        np.save(folder / f"rows{rows}x{features}.npy", x)
        np.save(folder / f"rows{rows}x{features}_labels.npy", y)
        if not (folder / f"test{features}.npy").exists():
            x, y = synthetic(HELD_OUT, features, 1_000_001)
            np.save(folder / f"test{features}.npy", x)
            np.save(folder / f"test{features}_labels.npy", y)


def load(data):
    """Training rows, labels, weights or None, and the same of the held-out rows."""
    if isinstance(data, dict):
        features, seed = data.get("features", 28), data.get("seed", 1)
        held = synthetic(data.get("held_out", HELD_OUT), features, 1_000_000 + seed)
        return *synthetic(data["rows"], features, seed), None, *held, None
    path = pathlib.Path(data)
    if path.suffix == ".npy":
        x, test = np.load(path), None
        test = path.with_name(f"test{x.shape[1]}.npy")
        labels = [np.load(p.with_name(f"{p.stem}_labels.npy")) for p in (path, test)]
        return x, labels[0], None, np.load(test), labels[1], None
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    names = [name for name in table.column_names if name not in ("label", "weight")]
    x = np.column_stack([table[name].to_numpy().astype(np.float32) for name in names])
    y = table["label"].to_numpy().astype(np.float32)
    w = table["weight"].to_numpy().astype(np.float32) if "weight" in table.column_names else None
    cut = len(y) - len(y) // 5
    return x[:cut], y[:cut], None if w is None else w[:cut], x[cut:], y[cut:], None if w is None else w[cut:]


def auc(score, label, weight=None):
    """Area under the ROC curve, ties counted half."""
    weight = np.ones(len(label)) if weight is None else weight.astype(float)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    curves = []
    for is_class in (label[order] == 1, label[order] != 1):
        sums = np.cumsum(weight[order] * is_class)[last]
        curves.append(np.insert(sums / sums[-1], 0, 0.0))
    signal, background = curves
    return float(np.sum(np.diff(background) * (signal[1:] + signal[:-1]) / 2))


# ---------------------------------------------------------------------------------------------------------------------
# Peers. Each has `prepare` (not timed), `train`, `predict` and `row`, a function that scores one row.


class XGBoost:
    def __init__(self):
        import xgboost

        self.library, self.version = xgboost, xgboost.__version__

    def prepare(self, x, request):
        pass

    def train(self, x, y, w, request):
        xgb = self.library
        params = {"objective": "binary:logistic", "tree_method": "hist", "max_bin": request["bins"], "verbosity": 0,
                  "eta": request["learning_rate"], "lambda": request["l2"], "nthread": request["threads"],
                  "min_child_weight": request["min_child_weight"]}
        if "leaves" in request:
            params |= {"grow_policy": "lossguide", "max_leaves": request["leaves"], "max_depth": 0}
        else:
            params |= {"grow_policy": "depthwise", "max_depth": request.get("depth", 6)}
        params |= request.get("params", {})
        if request.get("matrix") == "dmatrix":
            rows = xgb.DMatrix(x, y, weight=w, nthread=request["threads"])
        else:
            rows = xgb.QuantileDMatrix(x, y, weight=w, max_bin=request["bins"], nthread=request["threads"])
        self.model = xgb.train(params, rows, request["trees"])

    def predict(self, x, threads):
        self.model.set_param({"nthread": threads})
        return self.model.inplace_predict(x)

    def row(self, x):
        return lambda: self.model.inplace_predict(x)


class LightGBM:
    def __init__(self):
        import lightgbm

        self.library, self.version = lightgbm, lightgbm.__version__

    def prepare(self, x, request):
        pass

    def train(self, x, y, w, request):
        params = {"objective": "binary", "max_bin": request["bins"], "verbosity": -1, "num_threads": request["threads"],
                  "learning_rate": request["learning_rate"], "lambda_l2": request["l2"], "min_data_in_leaf": 1,
                  "min_sum_hessian_in_leaf": request["min_child_weight"]}
        if "leaves" in request:
            params |= {"num_leaves": request["leaves"], "max_depth": -1}
        else:
            depth = request.get("depth", 6)
            params |= {"num_leaves": 1 << depth, "max_depth": depth}
        layout = request.get("layout", "auto")
        if layout != "auto":
            params[f"force_{layout}_wise"] = True
        params |= request.get("params", {})
        rows = self.library.Dataset(x, y, weight=w, params=params, free_raw_data=True)
        self.model = self.library.train(params, rows, request["trees"])

    def predict(self, x, threads):
        return self.model.predict(x, num_threads=threads)

    def row(self, x):
        return lambda: self.model.predict(x, num_threads=1)

    def fast_row(self, x):
        """LGBM_BoosterPredictForMatSingleRowFast, prepared once."""
        library, handle = self.library.basic._LIB, ctypes.c_void_p()
        booster = getattr(self.model, "_handle", None) or self.model.handle
        status = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            booster, ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(0), ctypes.c_int(x.shape[1]),
            ctypes.c_char_p(b"num_threads=1"), ctypes.byref(handle))
        if status:
            raise RuntimeError("LightGBM: no single-row prediction")
        self.kept = x, np.zeros(1), ctypes.c_int64()
        row = x.ctypes.data_as(ctypes.c_void_p)
        score, length = self.kept[1].ctypes.data_as(ctypes.c_void_p), ctypes.byref(self.kept[2])
        function = library.LGBM_BoosterPredictForMatSingleRowFast
        return lambda: function(handle, row, length, score)


class CatBoost:
    def __init__(self):
        import catboost

        self.library, self.version = catboost, catboost.__version__

    def prepare(self, x, request):
        pass

    def train(self, x, y, w, request):
        params = {"loss_function": "Logloss", "iterations": request["trees"], "learning_rate": request["learning_rate"],
                  "border_count": min(request["bins"], 254), "l2_leaf_reg": request["l2"],
                  "thread_count": request["threads"], "boosting_type": request.get("boosting", "Plain"),
                  "leaf_estimation_iterations": request.get("leaf_iterations", 1),
                  "allow_writing_files": False, "logging_level": "Silent", "random_seed": request.get("seed", 1)}
        if "leaves" in request:
            params |= {"grow_policy": "Lossguide", "max_leaves": request["leaves"], "depth": 16}
        else:
            params |= {"depth": request.get("depth", 6)}
        if not request.get("random", False):
            params |= {"bootstrap_type": "No", "random_strength": 0}
        params |= request.get("params", {})
        rows = self.library.Pool(x, y, weight=w, thread_count=request["threads"])
        self.model = self.library.CatBoostClassifier(**params)
        self.model.fit(rows)

    def predict(self, x, threads):
        return self.model.predict(x, prediction_type="RawFormulaVal", thread_count=threads)

    def row(self, x):
        x = x[0]
        return lambda: self.model.predict(x, prediction_type="RawFormulaVal", thread_count=1)


class HepML:
    def __init__(self):
        from importlib.metadata import version

        import hep_ml.gradientboosting
        import pandas

        self.library, self.pandas, self.version = hep_ml.gradientboosting, pandas, version("hep_ml")

    def frame(self, x):
        return self.pandas.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])

    def prepare(self, x, request):
        self.rows = self.frame(x)

    def train(self, x, y, w, request):
        flat = f"x{request.get('flat', 0)}"
        kind = request.get("loss", "bin")
        if kind == "ada":
            loss = self.library.AdaLossFunction()
        else:
            loss = {"bin": self.library.BinFlatnessLossFunction, "knn": self.library.KnnFlatnessLossFunction}[kind]
            loss = loss([flat], uniform_label=0, fl_coefficient=request.get("flatness", 3.0))
        size = {"max_leaf_nodes": request["leaves"], "max_depth": None} if "leaves" in request else {
            "max_depth": request.get("depth", 6)}
        self.model = self.library.UGradientBoostingClassifier(
            loss=loss, n_estimators=request["trees"], learning_rate=request["learning_rate"], random_state=1,
            train_features=[c for c in self.rows.columns if c != flat], **size, **request.get("params", {}))
        self.model.fit(self.rows, y.astype(int), sample_weight=w)

    def predict(self, x, threads):
        return self.model.decision_function(self.frame(x))

    def row(self, x):
        x = self.frame(x)
        return lambda: self.model.decision_function(x)


PEERS = {"xgboost": XGBoost, "lightgbm": LightGBM, "catboost": CatBoost, "hep_ml": HepML}

# ---------------------------------------------------------------------------------------------------------------------
# Server


def memory(key):
    """VmRSS or VmHWM of this process in MB; None where the system does not tell."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))
    except (OSError, StopIteration):
        return None


def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


class Server:
    def __init__(self):
        self.peer, self.name, self.data, self.key = None, None, None, None

    def train(self, request):
        request = DEFAULTS | request
        if self.name not in (None, request["peer"]):
            raise ValueError("one server serves one peer")
        if self.peer is None:
            self.name, self.peer = request["peer"], PEERS[request["peer"]]()
        key = json.dumps(request["data"])
        if key != self.key:
            self.data = None
            self.data, self.key = load(request["data"]), key
        x, y, w, x_test, y_test, w_test = self.data
        self.peer.model = None
        self.peer.prepare(x, request)
        forget_peak()
        idle = memory("VmRSS")
        start, cpu = time.perf_counter(), time.process_time()
        self.peer.train(x, y, w, request)
        seconds, cpu, peak = time.perf_counter() - start, time.process_time() - cpu, memory("VmHWM")
        score = np.asarray(self.peer.predict(x_test, request["threads"]))
        return {"seconds": seconds, "cpu_seconds": cpu, "auc": auc(score, y_test, w_test), "peak_rss_mb": peak,
                "idle_rss_mb": idle, "version": self.peer.version}

    def predict(self, request):
        x = self.data[3]
        threads, times = request.get("threads", 1), []
        for _ in range(request.get("repeat", 5)):
            start = time.perf_counter()
            self.peer.predict(x, threads)
            times.append(time.perf_counter() - start)

        def one(function, calls):
            each = []
            for _ in range(calls):
                start = time.perf_counter_ns()
                function()
                each.append(time.perf_counter_ns() - start)
            return statistics.median(each) / 1000

        row = np.ascontiguousarray(x[:1])
        answer = {"seconds": statistics.median(times), "rows": len(x), "row_us": one(self.peer.row(row), 1000)}
        if hasattr(self.peer, "fast_row"):
            answer["row_fast_us"] = one(self.peer.fast_row(row), 10_000)
        return answer

    def answer(self, request):
        return self.predict(request) if request.get("what") == "predict" else self.train(request)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=pathlib.Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--serve", action="store_true")
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make, arguments.rows)
    if arguments.serve:
        print("{}", flush=True)
        server = Server()
        for line in sys.stdin:
            request = json.loads(line)
            if request.get("quit"):
                break
            try:
                answer = server.answer(request)
            except Exception as error:  # The bench says what failed and goes on.
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
