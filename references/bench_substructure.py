"""Server for `cargo xtask bench substructure`: times EnergyFlow and FastJet's contrib on jets of samples/top_tagging.

JSON lines in, JSON lines out: seconds a jet. The versions are those of requirements-substructure.txt.
"""

import json
import os
import sys
import time

import awkward as ak
import energyflow
import fastjet

from substructure_reference import contrib_axes, jets


def main():
    momenta = jets(400)
    events = ak.Array([[{"px": a, "py": b, "pz": c, "E": e} for a, b, c, e in p] for p in momenta], with_name="Momentum4D")
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    sets = {}
    print(json.dumps({"ready": True}), file=OUT, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("quit"):
            break
        n, what = request["jets"], request["what"]
        if what == "efp":
            degree = request["degree"]
            if degree not in sets:
                sets[degree] = energyflow.EFPSet(
                    f"d<={degree}", measure="hadr", beta=2, normed=True, coords="epxpypz")
            chosen = [p[:, [3, 0, 1, 2]] for p in momenta[:n]]
            start = time.perf_counter()
            for p in chosen:
                sets[degree].compute(p)
            seconds = time.perf_counter() - start
        else:
            chosen = events[:n]
            start = time.perf_counter()
            # Declustering needs the history; axes and correlators do not, so theirs is not counted.
            sequence = fastjet.ClusterSequence(chosen, definition)
            if what not in ("lund", "soft_drop"):
                start = time.perf_counter()
            if what == "lund":
                sequence.exclusive_jets_lund_declusterings(1)
            elif what == "soft_drop":
                sequence.exclusive_jets_softdrop_grooming(1)
            elif what == "d2":
                sequence.exclusive_jets_energy_correlator(njets=1, beta=1.0, func="d2")
            else:
                sequence.njettiness(njets=[1, 2, 3], axes_definition=contrib_axes(request["axes"]), beta=1.0, R0=0.8)
            seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds / n}), file=OUT, flush=True)


if __name__ == "__main__":
    # FastJet greets on standard output, which is for answers.
    OUT = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main()
