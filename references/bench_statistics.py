"""pyhf's side of `cargo xtask bench statistics`: answers one request a line with the seconds of one task.

A request holds a `workspace` (kept until the next), a `backend` (numpy or jax), an `optimiser` (scipy or minuit) and a `task`:
fit, or limits (CLs scan for the observed and the five expected upper limits). Models are built and, for jax, compiled before the
clock starts. Needs requirements-pyhf.txt.
"""

import json
import sys
import time
import warnings

import numpy as np
import pyhf

warnings.filterwarnings("ignore")
print("{}", flush=True)
workspace = None
for line in sys.stdin:
    request = json.loads(line)
    if request.get("quit"):
        break
    workspace = request.get("workspace") or workspace
    pyhf.set_backend(request["backend"], pyhf.optimize.minuit_optimizer() if request["optimiser"] == "minuit" else request["optimiser"])
    model = pyhf.Workspace(workspace).model(
        modifier_settings={"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
    )
    data = pyhf.Workspace(workspace).data(model)

    def run():
        if request["task"] == "fit":
            pars, value = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
            return float(np.asarray(value).reshape(-1)[0])
        observed, _ = pyhf.infer.intervals.upper_limits.upper_limit(data, model, scan=None, rtol=1e-4)
        return float(np.asarray(observed).reshape(-1)[0])

    try:
        if request["backend"] == "jax":
            run()
        begin = time.perf_counter()
        found = run()
        print(json.dumps({"seconds": time.perf_counter() - begin, "found": found}), flush=True)
    except Exception as error:  # a backend that cannot do it has no time
        print(json.dumps({"failed": str(error)[:80]}), flush=True)
