"""Times the inference of one jet with ONNX Runtime.

A server like bench_torch.py: lines of JSON in, lines of JSON out, the first one says that it is ready.

    {"model": "model.onnx", "particles": 64, "repeat": 200, "threads": 1}
    {"quit": true}

The answer holds the median seconds of one call with one jet. Inputs come from the model: one of rank 3 is [1, P, 4] and
gets massless constituents (px, py, pz, E) of a jet of 600 GeV, the hardest first; others are [1] or [1, P] and get
numbers of order one. Further keys: "events_seed" (1), "jets" (different jets that take turns, 16).
"""

import argparse
import json
import re
import statistics
import sys
import time

import numpy as np
import onnxruntime

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
         "tensor(int32)": np.int32, "tensor(bool)": np.bool_}


def jet(rng, particles, pt=600.0):
    """A jet of three prongs, its momentum shared as in fragmentation: [P, 4]."""
    share = rng.dirichlet(np.full(particles, 0.5)) + 1e-4
    share = np.sort(share / share.sum())[::-1] * pt
    eta0, phi0 = rng.uniform(-2, 2), rng.uniform(-np.pi, np.pi)
    prongs = rng.normal(0, 0.25, (3, 2))
    place = prongs[rng.integers(0, 3, particles)] + rng.normal(0, 0.08, (particles, 2))
    eta, phi = eta0 + place[:, 0], phi0 + place[:, 1]
    return np.stack([share * np.cos(phi), share * np.sin(phi), share * np.sinh(eta), share * np.cosh(eta)], axis=1)


def feed(session, rng, particles):
    """One event for the inputs of the session."""
    values = {}
    for entry in session.get_inputs():
        shape = [d if isinstance(d, int) else (1 if i == 0 else particles) for i, d in enumerate(entry.shape)]
        if entry.type not in TYPES:
            raise ValueError(f"input `{entry.name}` has the type {entry.type}, expected a tensor of numbers")
        kind = TYPES[entry.type]
        if len(shape) == 3 and shape[2] == 4:
            value = np.stack([jet(rng, shape[1]) for _ in range(shape[0])])
        elif kind == np.bool_ or re.search("mask", entry.name):
            value = np.ones(shape)
        elif re.search("(^|_)(n|count|length)s?$", entry.name):
            value = np.full(shape, particles)
        else:
            value = rng.uniform(0.2, 1.0, shape)
        values[entry.name] = np.ascontiguousarray(value, dtype=kind)
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print(json.dumps({"ready": True, "onnxruntime": onnxruntime.__version__}), flush=True)
    sessions = {}
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            if request.get("quit"):
                break
            threads = int(request.get("threads", 1))
            key = (request["model"], threads)
            if key not in sessions:
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = threads
                options.inter_op_num_threads = 1
                options.log_severity_level = 3
                sessions[key] = onnxruntime.InferenceSession(request["model"], options,
                                                             providers=["CPUExecutionProvider"])
            session = sessions[key]
            rng = np.random.default_rng(request.get("events_seed", 1))
            feeds = [feed(session, rng, int(request.get("particles", 64))) for _ in range(request.get("jets", 16))]
            for values in feeds:
                output = session.run(None, values)
            seconds = []
            for i in range(max(1, int(request.get("repeat", 200)))):
                values = feeds[i % len(feeds)]
                start = time.perf_counter()
                output = session.run(None, values)
                seconds.append(time.perf_counter() - start)
            quantiles = np.quantile(seconds, [0.1, 0.9])
            answer = {"seconds": statistics.median(seconds), "q10": quantiles[0], "q90": quantiles[1],
                      "repeat": len(seconds), "finite": all(bool(np.isfinite(o).all()) for o in output)}
        except Exception as error:  # ONNX Runtime has many kinds of its own; the server goes on after all of them.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
