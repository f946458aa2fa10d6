"""Areas of jets and subtraction of pile-up by FastJet and its contrib: writes pileup.json.

Events are random: particles that fall off in pT over a flat background. Compiles pileup_reference.cc with the headers and
libraries that the fastjet wheel of requirements.txt brings; needs a C++ compiler.
"""

import json
import math
import random
import subprocess
import tempfile
from pathlib import Path

import fastjet

HERE = Path(__file__).resolve().parent
WHEEL = Path(fastjet.__file__).resolve().parent


def event(seed, soft, hard):
    """Momenta (px, py, pz, E): soft massless particles in |y| < 4.5, and hard ones in pairs."""
    rng = random.Random(seed)
    particles = []

    def add(pt, y, phi):
        particles.append([pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(y), pt * math.cosh(y)])

    for _ in range(soft):
        add(0.2 + rng.expovariate(1.2), rng.uniform(-4.5, 4.5), rng.uniform(0, 2 * math.pi))
    for _ in range(hard):
        y, phi, pt = rng.uniform(-2.5, 2.5), rng.uniform(0, 2 * math.pi), 20 + rng.expovariate(0.03)
        for share in [0.6, 0.3, 0.1]:
            add(share * pt, y + rng.gauss(0, 0.1), phi + rng.gauss(0, 0.1))
    # As written to the file, so that all see the same numbers.
    return [[float(f"{x:.9g}") for x in p] for p in particles]


def main():
    events = [event(1, 300, 3), event(2, 600, 2), event(3, 20, 2)]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "reference"
        libraries = WHEEL / "lib64"
        subprocess.run(
            ["g++", "-O2", "-std=c++17", HERE / "pileup_reference.cc", "-o", program, f"-I{WHEEL / 'include'}", f"-L{libraries}",
             "-lfastjetcontribfragile", "-lfastjettools", "-lfastjet", f"-Wl,-rpath,{libraries}"],
            check=True)
        text = "\n".join(f"{len(e)} " + " ".join(repr(x) for p in e for x in p) for e in events)
        answer = subprocess.run([program], input=text, capture_output=True, text=True, check=True).stdout
    cases = [{"particles": e} | json.loads(line) for e, line in zip(events, answer.splitlines(), strict=True)]
    (HERE / "pileup.json").write_text(json.dumps({"fastjet": fastjet.__version__, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
