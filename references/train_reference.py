"""Trains a PyTorch tagger on Parquet files of jets, prepared, started and trained as `fb` does it.

    python train_reference.py --train train.parquet --test test.parquet --method pfn --epochs 2 --out pfn.json

What is not given on the command line is the default of the method in `fb`. The result is a JSON file with AUC, accuracy
and background rejections on the test file.
"""

import argparse
import hashlib
import json
import math
import time

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F

import torch_taggers

# ---------------------------------------------------------------------------------------------------------------------
# Methods: what they see and how they are trained by default.

TRAIN = {"epochs": 20, "batch": 256, "lr": 1e-3, "optimiser": "adam", "weight_decay": 0.0, "schedule": "constant",
         "clip": None}
ADAMW = {"optimiser": "adamw", "weight_decay": 1e-4}
METHODS = {
    "logistic": {"input": "table", "epochs": 10, "batch": 128, "lr": 0.02, "schedule": "cosine"},
    "topodnn": {"input": "topodnn", "max": 30, "epochs": 40, "batch": 96},
    "pfn": {"input": "pfn", "max": 128, "batch": 500},
    "efn": {"input": "pfn", "max": 128, "batch": 500},
    "lstm_tagger": {"input": "lstm", "max": 120, "clip": 5.0},
    "p_cnn": {"input": "particlenet", "max": 100, "epochs": 30, "batch": 1024, "schedule": "step"} | ADAMW,
    "interaction_network": {"input": "particlenet", "max": 50},
    "jet_image_cnn": {"input": "image", "max": 200, "pixels": 40, "epochs": 15, "batch": 128},
    "jet_image_cnn_small": {"input": "image", "max": 200, "pixels": 32, "epochs": 15, "batch": 128},
    "particlenet": {"input": "particlenet", "max": 100, "batch": 384, "lr": 3e-3, "schedule": "one_cycle"} | ADAMW,
    "particlenet_lite": {"input": "particlenet", "max": 100, "batch": 1024, "lr": 5e-3, "schedule": "one_cycle"} | ADAMW,
}
HALF_WIDTH = 0.8

# ---------------------------------------------------------------------------------------------------------------------
# Jets


class Jets:
    """The constituents of all jets, the hardest first in each and cut to `limit`: flat arrays and the number of each."""

    def __init__(self, table, limit):
        columns = [table[f"part_{name}"].combine_chunks() for name in ("px", "py", "pz", "E")]
        offsets = columns[0].offsets.to_numpy().astype(np.int64)
        flat = [c.values.to_numpy(zero_copy_only=False)[offsets[0]:offsets[-1]].astype(np.float64) for c in columns]
        jets = len(offsets) - 1
        event = np.repeat(np.arange(jets), np.diff(offsets))
        pt = np.hypot(flat[0], flat[1])
        real = (pt > 0) & (flat[3] > 0)
        # Hardest first; lexsort keeps the order of the file for equal momenta.
        order = np.lexsort((-pt[real], event[real]))
        px, py, pz, e, pt, event = (x[real][order] for x in (*flat, pt, event))
        counts = np.bincount(event, minlength=jets)
        rank = np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = rank < limit
        self.px, self.py, self.pz, self.e, self.pt, self.event, self.rank = (
            x[kept] for x in (px, py, pz, e, pt, event, rank))
        self.counts = np.minimum(counts, limit)
        self.first = np.cumsum(self.counts) - self.counts
        self.jets = jets
        self.eta = np.arcsinh(self.pz / self.pt)
        self.phi = np.arctan2(self.py, self.px)
        # The jet is the sum of what is kept.
        self.jet_px, self.jet_py, self.jet_pz, self.jet_e = (self.sum(x) for x in (self.px, self.py, self.pz, self.e))
        self.jet_pt = np.hypot(self.jet_px, self.jet_py)
        self.jet_eta = np.arcsinh(self.jet_pz / np.where(self.jet_pt > 0, self.jet_pt, 1.0))
        self.jet_phi = np.arctan2(self.jet_py, self.jet_px)

    def sum(self, x):
        return np.bincount(self.event, weights=x, minlength=self.jets)

    def around(self, eta, phi):
        """(η − η₀, φ − φ₀) with one (η₀, φ₀) for each jet, the second in (−π, π]."""
        delta = self.phi - phi[self.event]
        delta = np.where(delta > np.pi, delta - 2 * np.pi, delta)
        delta = np.where(delta <= -np.pi, delta + 2 * np.pi, delta)
        return self.eta - eta[self.event], delta

    def at(self, x, rank, default=0.0):
        """The value of the constituent of this rank of each jet."""
        has = self.counts > rank
        out = np.full(self.jets, default)
        out[has] = x[self.first[has] + rank]
        return out

    def jet_frame(self):
        u, v = self.around(self.jet_eta, self.jet_phi)
        return u * np.where(self.jet_eta < 0, -1.0, 1.0)[self.event], v

    def leading_frame(self):
        """The hardest at the origin, the second below it, the third to the right."""
        a, b = self.around(self.at(self.eta, 0), self.at(self.phi, 0))
        a1, b1 = self.at(a, 1), self.at(b, 1)
        length = np.hypot(a1, b1)
        safe = np.where(length > 0, length, 1.0)
        cos = np.where(length > 0, -b1 / safe, 1.0)[self.event]
        sin = np.where(length > 0, a1 / safe, 0.0)[self.event]
        u, v = cos * a + sin * b, -sin * a + cos * b
        second = self.rank == 1
        u[second], v[second] = 0.0, -length[self.event[second]]
        return u * np.where(self.at(u, 2) < 0, -1.0, 1.0)[self.event], v

    def principal_frame(self):
        """pT centroid at the origin, the axis of largest spread along v, more pT at u > 0 and at v > 0."""
        u, v = self.around(self.jet_eta, self.jet_phi)
        total = self.sum(self.pt)
        total = np.where(total > 0, total, 1.0)

        def mean(x):
            return self.sum(self.pt * x) / total

        u, v = u - mean(u)[self.event], v - mean(v)[self.event]
        uv, half = mean(u * v), (mean(u * u) - mean(v * v)) / 2
        root = np.hypot(half, uv)
        a = np.where(half > 0, half + root, uv)
        b = np.where(half > 0, uv, root - half)
        length = np.hypot(a, b)
        safe = np.where(length > 0, length, 1.0)
        cos = np.where(length > 0, b / safe, 1.0)[self.event]
        sin = np.where(length > 0, a / safe, 0.0)[self.event]
        u, v = cos * u - sin * v, sin * u + cos * v
        for x in (u, v):
            x *= np.where(self.sum(self.pt * (x < 0)) > self.sum(self.pt * (x > 0)), -1.0, 1.0)[self.event]
        return u, v


def affine(x, centre, scale, clip=None):
    x = (x - centre) * scale
    return x if clip is None else np.clip(x, -clip, clip)


def particlenet_rows(jets):
    u, v = jets.jet_frame()
    deta, dphi = jets.around(jets.jet_eta, jets.jet_phi)
    return [
        u,
        v,
        affine(np.log(jets.pt), 1.7, 0.7, 5),
        affine(np.log(jets.e), 2.0, 0.7, 5),
        affine(np.log(jets.pt / jets.jet_pt[jets.event]), -4.7, 0.7, 5),
        affine(np.log(jets.e / jets.jet_e[jets.event]), -4.7, 0.7, 5),
        affine(np.hypot(deta, dphi), 0.2, 4.0, 5),
    ]


def pfn_rows(jets):
    return [jets.pt / jets.sum(jets.pt)[jets.event], *jets.around(jets.jet_eta, jets.jet_phi)]


def lstm_rows(jets):
    deta, dphi = jets.around(jets.jet_eta, jets.jet_phi)
    return [affine(np.log(jets.pt), 1.7, 0.7, 5), 4.0 * deta, 4.0 * dphi]


def topodnn_rows(jets):
    return [*jets.leading_frame(), jets.pt / jets.jet_pt[jets.event]]


ROWS = {"particlenet": particlenet_rows, "pfn": pfn_rows, "lstm": lstm_rows, "topodnn": topodnn_rows}


def images(jets, pixels):
    """pT of each pixel over that of all [jet, 1, v, u]."""
    u, v = jets.principal_frame()
    column, row = (np.floor((x + HALF_WIDTH) / (2 * HALF_WIDTH) * pixels).astype(np.int64) for x in (u, v))
    inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
    place = (jets.event * pixels + row) * pixels + column
    image = np.bincount(place[inside], weights=jets.pt[inside], minlength=jets.jets * pixels * pixels)
    image = image.reshape(jets.jets, -1)
    total = image.sum(axis=1, keepdims=True)
    image = np.divide(image, total, out=np.zeros_like(image), where=total > 0)
    return image.astype(np.float32).reshape(-1, 1, pixels, pixels)


class Data:
    """What a network sees of all jets of some files, and their labels."""

    def __init__(self, files, method, limit, most=None, centres=None):
        kind = METHODS[method]["input"]
        parts = [f"part_{name}" for name in ("px", "py", "pz", "E")]
        names = ["jet_m", "jet_msd", "jet_tau1", "jet_tau2", "jet_tau3"] if kind == "table" else parts
        dense, rows, counts, labels = [], [], [], []
        left = most
        for file in files:
            table = pq.read_table(file, columns=["label", *names])
            table = table if left is None else table.slice(0, left)
            left = left if left is None else left - len(table)
            labels.append(table["label"].to_numpy().astype(np.int64))
            if kind == "table":
                x = {name: table[name].to_numpy().astype(np.float64) for name in names}
                ratios = x["jet_tau2"] / np.maximum(x["jet_tau1"], 1e-3), x["jet_tau3"] / np.maximum(x["jet_tau2"], 1e-3)
                dense.append(np.stack([x["jet_m"], x["jet_msd"], *ratios], axis=1))
                continue
            for start in range(0, len(table), 10000):
                jets = Jets(table.slice(start, 10000), limit)
                if kind == "image":
                    dense.append(images(jets, METHODS[method]["pixels"]))
                else:
                    rows.append(np.stack(ROWS[kind](jets), axis=1).astype(np.float32))
                    counts.append(jets.counts)
        self.labels = torch.from_numpy(np.concatenate(labels))
        self.limit = limit
        self.centres = centres
        self.dense = None
        if kind == "table":
            x = np.concatenate(dense)
            if centres is None:
                width = x.std(axis=0)
                self.centres = x.mean(axis=0), np.where(width > 0, width, 1.0)
            mean, width = self.centres
            self.dense = torch.from_numpy(np.clip((x - mean) / width, -5, 5).astype(np.float32))
        elif kind == "image":
            self.dense = torch.from_numpy(np.concatenate(dense))
        else:
            self.rows = torch.from_numpy(np.concatenate(rows))
            self.counts = torch.from_numpy(np.concatenate(counts))
            self.first = torch.cumsum(self.counts, 0) - self.counts
        values = self.dense if self.dense is not None else self.rows
        if not bool(values.isfinite().all()):
            raise SystemExit(f"a variable of `{method}` is not finite in {', '.join(files)}")

    def __len__(self):
        return len(self.labels)

    def batch(self, model, events):
        """The inputs of `model` for these events."""
        if self.dense is not None:
            return (self.dense[events],)
        counts = self.counts[events]
        longest = self.limit if model.layout == "sequence" else max(1, int(counts.max()))
        mask = torch.arange(longest) < counts.unsqueeze(1)
        if model.layout == "ragged":
            place = (self.first[events].unsqueeze(1) + torch.arange(longest))[mask]
            return self.rows[place], counts
        x = self.rows.new_zeros(len(events), longest, self.rows.shape[1])
        x[mask] = self.rows[(self.first[events].unsqueeze(1) + torch.arange(longest))[mask]]
        return (x,) if model.layout == "sequence" else (x, mask)


# ---------------------------------------------------------------------------------------------------------------------
# Training


def scheduler(optimiser, kind, lr, epochs, steps):
    total = epochs * steps
    if kind == "one_cycle":
        # Up over 30% of the steps from lr/25, down to lr/250,000.
        return torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=lr, total_steps=max(2, total), pct_start=0.3,
                                                   anneal_strategy="cos", div_factor=25.0, final_div_factor=1e4,
                                                   cycle_momentum=False)
    factor = {
        "constant": lambda s: 1.0,
        "cosine": lambda s: (1 + math.cos(math.pi * s / max(2, total))) / 2,
        "step": lambda s: [1.0, 0.1, 0.01][(s >= 0.5 * total) + (s >= 0.75 * total)],
    }[kind]
    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def loss_of(logits, labels):
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    return F.cross_entropy(logits, labels)


def train(model, data, options):
    """Trains the network and returns the seconds that took."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.optimiser]
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = kind(parameters, lr=options.lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=options.weight_decay)
    # Batches of nearly equal size, as many as fit best.
    steps = max(1, math.floor(len(data) / options.batch + 0.5))
    rates = scheduler(optimiser, options.schedule, options.lr, options.epochs, steps)
    random = torch.Generator().manual_seed(options.seed)
    begin = time.perf_counter()
    for epoch in range(options.epochs):
        model.train()
        start, loss_sum = time.perf_counter(), 0.0
        order = torch.randperm(len(data), generator=random)
        for step in range(steps):
            events = order[len(data) * step // steps:len(data) * (step + 1) // steps]
            optimiser.zero_grad()
            loss = loss_of(model(*data.batch(model, events)), data.labels[events])
            loss.backward()
            if options.clip:
                torch.nn.utils.clip_grad_norm_(parameters, options.clip)
            optimiser.step()
            rates.step()
            loss_sum += loss.item()
        print(f"epoch {epoch + 1}/{options.epochs}: loss {loss_sum / steps:.4f}, "
              f"{time.perf_counter() - start:.1f} s", flush=True)
    return time.perf_counter() - begin


def scores(model, data, batch=256):
    """Probability of class 1 of each event."""
    model.eval()
    out = []
    with torch.no_grad():
        for events in torch.arange(len(data)).split(batch):
            logits = model(*data.batch(model, events))
            out.append(torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else F.softmax(logits, 1)[:, 1])
    return torch.cat(out).numpy()


def metrics(score, label):
    """AUC with ties counted half, accuracy at 1/2, and 1/ε_B at the first cut with this signal efficiency or more."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    signal = np.insert(np.cumsum(label[order] == 1)[last] / np.sum(label == 1), 0, 0.0)
    background = np.insert(np.cumsum(label[order] == 0)[last] / np.sum(label == 0), 0, 0.0)
    result = {"auc": float(np.sum(np.diff(background) * (signal[1:] + signal[:-1]) / 2)),
              "accuracy": float(np.mean((score > 0.5) == (label == 1)))}
    for efficiency in (0.3, 0.5):
        left = background[np.argmax(signal >= efficiency - 1e-12)]
        result[f"rejection@{efficiency}"] = float(1 / left) if left > 0 else None
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--variant", choices=["stock", "fast"], default="fast",
                        help="fast: rows without padding where there is such a version, as `fb` computes it")
    parser.add_argument("--max", type=int, help="train on the first so many jets of the files only")
    parser.add_argument("--max-test", type=int)
    parser.add_argument("--max-particles", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--schedule", choices=["constant", "one_cycle", "cosine", "step"])
    parser.add_argument("--optimiser", choices=["adam", "adamw"])
    parser.add_argument("--weight-decay", type=float)
    parser.add_argument("--clip", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", required=True)
    parser.add_argument("--scores", help="write labels and scores of the test jets to this .npz")
    options = parser.parse_args()
    for key, value in (TRAIN | METHODS[options.method]).items():
        if getattr(options, key, None) is None and key in TRAIN:
            setattr(options, key, value)
    limit = options.max_particles or METHODS[options.method].get("max", 0)

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    sized = {"particles": limit} if options.method in ("p_cnn", "topodnn") else {}
    model = torch_taggers.network(options.method, options.variant, **sized)
    data = Data(options.train, options.method, limit, options.max)
    test = Data([options.test], options.method, limit, options.max_test, data.centres)
    print(f"{options.method}: {torch_taggers.parameter_count(model)} parameters, {len(data)} training jets, "
          f"{len(test)} test jets", flush=True)
    seconds = train(model, data, options)
    score, label = scores(model, test), test.labels.numpy()
    result = {"method": options.method, "seed": options.seed, "train_jets": len(data), "test_jets": len(test)}
    result |= metrics(score, label)
    result |= {"seconds": seconds, "scores_sha256": hashlib.sha256(score.astype("<f4").tobytes()).hexdigest()}
    result |= {"parameters": torch_taggers.parameter_count(model), "torch": torch.__version__,
               "threads": options.threads, "variant": type(model).__name__, "max_particles": limit}
    result |= {key: getattr(options, key) for key in TRAIN}
    with open(options.out, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    if options.scores:
        np.savez_compressed(options.scores, label=label.astype(np.int8), score=score)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
