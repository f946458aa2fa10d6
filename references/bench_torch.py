"""Times training steps (or single-event evaluations) of the PyTorch taggers.

A server: each line of JSON on the standard input is answered by one line of JSON, so that another program can
alternate runs. The first line it writes says that it is ready.

    {"network": "particlenet_lite", "batch": 128, "particles": 64, "k": 7, "steps": 5, "variant": "fast"}
    {"network": "pfn", "particles": 64, "infer": 1, "steps": 100}
    {"quit": true}

Further keys: "threads" (else that of the command line), "warmup" (steps that are not counted, 2), "events_seed" (1),
"pixels" (of the image networks). A step is zero_grad, forward, cross entropy, backward and Adam with rate 1e-3, on one
batch of random events that all have `particles` constituents; the batch is made before the clock starts. With "infer"
it is one event in evaluation mode. "peak_rss_mb" is VmHWM since this network was made, "idle_rss_mb" what the process
held before: Python and the libraries, of which the CUDA build of PyTorch is a large part.
"""

import argparse
import ctypes
import gc
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

import torch_taggers


def memory_mb(what):
    """VmHWM, the largest resident memory, or VmRSS, the present one."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(what):
                return round(int(line.split()[1]) / 1024, 1)
    return None


def forget_peak():
    """Lets the peak start again from what is in use now, so that it belongs to the present network."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        pass
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def loss_of(logits, labels):
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    return F.cross_entropy(logits, labels)


def keep_memory():
    """Tells the C library to keep freed memory: a fresh page for each large tensor costs about as much as filling it.

    What jemalloc or tcmalloc would do; with one thread a step of ParticleNet-Lite takes a quarter less time.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, 2_000_000_000) and mallopt(top_pad, 1 << 26))
    except (OSError, AttributeError):
        return False


class Job:
    """A network with its optimiser and one batch."""

    def __init__(self, request):
        name, particles = request["network"], request.get("particles", 64)
        options = {}
        if "k" in request and name.startswith("particlenet"):
            options["k"] = request["k"]
        if name in ("p_cnn", "topodnn"):
            options["particles"] = particles
        options |= {key: request[key] for key in ("hidden", "depth") if key in request}
        if "pixels" in request and name.startswith("jet_image"):
            options["pixels"] = request["pixels"]
        seed = request.get("events_seed", 1)
        torch.manual_seed(seed)
        self.model = torch_taggers.network(name, request.get("variant", "stock"), **options)
        self.infer = bool(request.get("infer"))
        events = 1 if self.infer else request.get("batch", 128)
        generator = torch.Generator().manual_seed(seed)
        self.inputs = torch_taggers.example(self.model, events, particles, generator)
        classes = getattr(self.model, "classes", 2)
        self.labels = torch.randint(classes, (events,), generator=generator)
        fused = request.get("variant") == "fast"  # one kernel for all parameters
        self.optimiser = torch.optim.Adam([p for p in self.model.parameters() if p.requires_grad], lr=1e-3,
                                          fused=fused or None)
        self.model.train(not self.infer)

    def step(self):
        if self.infer:
            with torch.no_grad():
                self.model(*self.inputs)
            return
        self.optimiser.zero_grad()
        loss_of(self.model(*self.inputs), self.labels).backward()
        self.optimiser.step()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--malloc", choices=["keep", "plain"], default="keep",
                        help="keep: freed memory stays with the process, faster; plain: as Python comes")
    options = parser.parse_args()
    kept = options.malloc == "keep" and keep_memory()
    torch.set_num_interop_threads(1)
    torch.set_num_threads(options.threads)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()  # loads the rest of the library
    ready = {"ready": True, "torch": torch.__version__, "threads": options.threads, "malloc": "keep" if kept else "plain",
             "capability": torch.backends.cpu.get_cpu_capability()}
    print(json.dumps(ready), flush=True)
    job, current, idle = None, None, None
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            if request.get("quit"):
                break
            steps = max(1, int(request.get("steps", 5)))
            torch.set_num_threads(request.get("threads", options.threads))
            key = {k: v for k, v in request.items() if k not in ("steps", "warmup", "threads")}
            if key != current:
                job, current = None, None
                forget_peak()
                idle = memory_mb("VmRSS")
                job, current = Job(request), key
            for _ in range(int(request.get("warmup", 2))):
                job.step()
            seconds = []
            for _ in range(steps):
                start = time.perf_counter()
                job.step()
                seconds.append(time.perf_counter() - start)
            median = statistics.median(seconds)
            answer = {"seconds" if job.infer else "seconds_per_step": median, "all": seconds,
                      "peak_rss_mb": memory_mb("VmHWM"), "idle_rss_mb": idle, "network": request["network"],
                      "variant": type(job.model).__name__}
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
