"""FastJet's side of `cargo xtask bench jets`: answers one request a line with the seconds of one clustering.

A request holds `events`, each a list of (px, py, pz, E), and R; what is timed is FastJet's C++ `ClusterSequence` on a vector of
PseudoJets that stands ready, and the list of inclusive jets. Needs fastjet of requirements.txt.
"""

import json
import os
import sys
import time

import fastjet._swig as fj

# FastJet greets on standard output, which is for answers.
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
print("{}", file=out, flush=True)
events = []
for line in sys.stdin:
    request = json.loads(line)
    if request.get("quit"):
        break
    if "events" in request:
        events = []
        for event in request["events"]:
            vector = fj.vectorPJ()
            for p in event:
                vector.append(fj.PseudoJet(*p))
            events.append(vector)
    kind = {"anti-kt": fj.antikt_algorithm, "kt": fj.kt_algorithm, "cambridge-aachen": fj.cambridge_algorithm}
    definition = fj.JetDefinition(kind[request["algorithm"]], request["R"])
    fj.ClusterSequence(events[0], definition)
    begin = time.perf_counter()
    for event in events:
        fj.ClusterSequence(event, definition)
    print(json.dumps({"seconds": (time.perf_counter() - begin) / len(events)}), file=out, flush=True)
