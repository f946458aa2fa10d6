"""Jets of FastJet: writes jets.json, which the tests compare with, and checks the output of `fb cluster`.

    python fastjet_reference.py --top-tagging ../samples/top_tagging/tiny.parquet   # writes jets.json
    python fastjet_reference.py --events events.parquet --pythia 100 --random 1000  # events for a large check
    python fastjet_reference.py --check jets.parquet --events events.parquet --algorithm anti-kt --R 0.4 --scheme E

Needs fastjet, pythia8mc, numpy and pyarrow of requirements.txt.
"""

import argparse
import json
import pathlib
import sys

import fastjet
import fastjet._swig as fj
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMES = {"E": fj.E_scheme, "pt": fj.pt_scheme, "pt2": fj.pt2_scheme, "wta-pt": fj.WTA_pt_scheme}
ALGORITHMS = ["anti-kt", "kt", "cambridge-aachen", "genkt:0.5", "genkt:-0.7", "ee-kt", "ee-genkt:-1", "ee-genkt:1"]


def definition(algorithm, radius, scheme):
    name, _, power = algorithm.partition(":")
    scheme = SCHEMES[scheme]
    if name == "ee-kt":
        return fj.JetDefinition(fj.ee_kt_algorithm, scheme)
    if power:
        kind = {"genkt": fj.genkt_algorithm, "ee-genkt": fj.ee_genkt_algorithm}[name]
        return fj.JetDefinition(kind, radius, float(power), scheme)
    kind = {"anti-kt": fj.antikt_algorithm, "kt": fj.kt_algorithm, "cambridge-aachen": fj.cambridge_algorithm}[name]
    return fj.JetDefinition(kind, radius, scheme)


def vector(particles):
    pseudojets = fj.vectorPJ()
    for index, p in enumerate(particles):
        pseudojet = fj.PseudoJet(*map(float, p))
        pseudojet.set_user_index(index)
        pseudojets.append(pseudojet)
    return pseudojets


def cluster(particles, algorithm, radius, scheme, ptmin=0.0):
    """Jets by falling pT with their constituents, and the sequence, which has to outlive the jets."""
    sequence = fj.ClusterSequence(vector(particles), definition(algorithm, radius, scheme))
    jets = sorted(sequence.inclusive_jets(ptmin), key=lambda jet: -jet.pt2())
    momenta = [[jet.px(), jet.py(), jet.pz(), jet.E()] for jet in jets]
    constituents = [sorted(c.user_index() for c in sequence.constituents(jet)) for jet in jets]
    return momenta, constituents, sequence


def pythia(count, seed):
    import pythia8mc

    generator = pythia8mc.Pythia("", False)
    for setting in ["Print:quiet = on", "HardQCD:all = on", "PhaseSpace:pTHatMin = 60", "Beams:eCM = 13000",
                    "Random:setSeed = on", f"Random:seed = {seed}"]:
        generator.readString(setting)
    generator.init()
    while count > 0:
        if not generator.next():
            continue
        count -= 1
        found = [p for p in (generator.event[i] for i in range(generator.event.size())) if p.isFinal() and p.isVisible()]
        yield [[p.px(), p.py(), p.pz(), p.e()] for p in found if abs(p.eta()) < 5]


def random_event(rng, n):
    pt, y, phi = rng.exponential(2.0, n) + 0.1, rng.uniform(-4, 4, n), rng.uniform(0, 2 * np.pi, n)
    m = np.where(rng.random(n) < 0.3, 0.14, 0.0)
    mt = np.hypot(pt, m)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), mt * np.sinh(y), mt * np.cosh(y)], 1).tolist()


def top_tagging(path, count):
    table = pq.read_table(path).slice(0, count)
    columns = [table[f"part_{c}"].to_pylist() for c in ("px", "py", "pz", "E")]
    return [list(map(list, zip(*event))) for event in zip(*columns)]


def reference(arguments):
    rng = np.random.default_rng(7)
    events = [random_event(rng, n) for n in (30, 80)]
    events += top_tagging(arguments.top_tagging, 3)
    # Six digits are input enough, and keep the file small.
    events += [[[float(f"{x:.6g}") for x in p] for p in event] for event in pythia(2, 11)]
    cases = []
    for index, event in enumerate(events):
        for algorithm in ALGORITHMS:
            for scheme in SCHEMES:
                for radius in (0.4, 1.0):
                    if (algorithm == "ee-kt" or index > 4) and radius == 1.0:
                        continue
                    momenta, constituents, sequence = cluster(event, algorithm, radius, scheme)
                    case = {"event": index, "algorithm": algorithm, "R": radius, "scheme": scheme}
                    jet_of = [0] * len(event)
                    for jet, members in enumerate(constituents):
                        for particle in members:
                            jet_of[particle] = jet
                    case["jet_of"] = jet_of
                    case["jets"] = momenta[:4]
                    if index == 0 and radius == 0.4:
                        # Every node by its particles, and the distance of every step.
                        nodes = list(sequence.jets())[len(event):]
                        case["nodes"] = [sorted(c.user_index() for c in sequence.constituents(node)) for node in nodes]
                        case["distances"] = [sequence.exclusive_dmerge(n) for n in reversed(range(len(event)))]
                    case["scales"] = [sequence.exclusive_dmerge(n) for n in (1, 2, 3)]
                    cases.append(case)
    text = json.dumps({"fastjet": "3.5.2", "events": events, "cases": cases}, separators=(",", ":"))
    pathlib.Path(__file__).with_name("jets.json").write_text(text + "\n")
    print(len(cases), "cases", len(text), "bytes")


def write_events(arguments):
    rng = np.random.default_rng(arguments.seed)
    events = [[]] + list(pythia(arguments.pythia, arguments.seed))
    events += [random_event(rng, int(rng.integers(1, 400))) for _ in range(arguments.random)]
    columns = {f"part_{c}": [[p[k] for p in event] for event in events] for k, c in enumerate(("px", "py", "pz", "E"))}
    kind = pa.list_(pa.float64())
    pq.write_table(pa.table({name: pa.array(v, kind) for name, v in columns.items()}), arguments.events)


def check(arguments):
    events = pq.read_table(arguments.events)
    events = list(zip(*(events[f"part_{c}"].to_pylist() for c in ("px", "py", "pz", "E"))))
    jets = pq.read_table(arguments.check)
    found = list(zip(*(jets[f"jet_{c}"].to_pylist() for c in ("px", "py", "pz", "E", "constituents"))))
    assert len(events) == len(found), (len(events), len(found))
    worst, total = 0.0, 0
    for index, (event, ours) in enumerate(zip(events, found)):
        momenta, constituents, _ = cluster(list(zip(*event)), arguments.algorithm, arguments.R, arguments.scheme, arguments.ptmin)
        assert [len(column) for column in ours] == [len(momenta)] * 5, f"event {index}: {len(momenta)} jets, found {len(ours[0])}"
        theirs = {tuple(c): p for c, p in zip(constituents, momenta)}
        previous = np.inf
        for *p, members in zip(*ours):
            q = theirs.get(tuple(members))
            assert q is not None, f"event {index}: no jet of FastJet has the constituents {members}"
            pt, expected = np.hypot(p[0], p[1]), np.hypot(q[0], q[1])
            assert pt <= previous * (1 + 1e-12), f"event {index}: jets are not sorted"
            previous = pt
            worst = max(worst, abs(pt / expected - 1), max(abs(a - b) for a, b in zip(p, q)) / q[3])
            total += 1
    print(f"{arguments.algorithm} {arguments.scheme} R={arguments.R}: {len(events)} events, {total} jets, "
          f"same constituents, largest relative difference {worst:.2e}")
    sys.exit(worst > 1e-10)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--top-tagging", default="../samples/top_tagging/tiny.parquet")
parser.add_argument("--events")
parser.add_argument("--pythia", type=int, default=100)
parser.add_argument("--random", type=int, default=1000)
parser.add_argument("--seed", type=int, default=5)
parser.add_argument("--check")
parser.add_argument("--algorithm", default="anti-kt")
parser.add_argument("--R", type=float, default=0.4)
parser.add_argument("--scheme", default="E", choices=SCHEMES)
parser.add_argument("--ptmin", type=float, default=0.0)
arguments = parser.parse_args()
fastjet.ClusterSequence  # the package prints its banner once, when it is first used
if arguments.check:
    check(arguments)
elif arguments.events:
    write_events(arguments)
else:
    reference(arguments)
