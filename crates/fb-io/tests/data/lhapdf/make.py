"""Writes the set `tiny` and what LHAPDF gives for it (and for a public set), as LIBRARY from Sherpa's wheel computes it.

    python make.py LIBRARY [FOLDER_OF_NNPDF31_nnlo_as_0118_mc]

The library is `lib64/SHERPA-MC/libLHAPDF.so` of sherpa-mc 3.0.3b2 (LHAPDF 6). Only the golden values of the public set
are kept here, not the set.
"""

import ctypes
import json
import math
import pathlib
import random
import sys

here = pathlib.Path(__file__).parent
flavours = [-2, -1, 1, 2, 21]
x_knots = [1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
q_knots = [[1.3, 1.8, 2.5, 3.5, 4.75], [4.75, 10.0, 20.0, 91.1876, 300.0, 1000.0], [1000.0, 3000.0], [3000.0, 5000.0, 10000.0]]


def xf(pdg, x, q, upper):
    rise = math.log(math.log(q / 0.2))
    hard = {21: 4.0, 1: 3.0, 2: 2.5, -1: 6.0, -2: 6.5}[pdg]
    return (1.0 + 0.1 * upper) * x ** (-0.1 * rise if pdg in (21, -1, -2) else 0.4) * (1 - x) ** (hard + rise)


def write():
    folder = here / "tiny"
    folder.mkdir(exist_ok=True)
    text = "PdfType: central\nFormat: lhagrid1\n---\n"
    for upper, q in enumerate(q_knots):
        text += " ".join(f"{v:.7e}" for v in x_knots) + "\n" + " ".join(f"{v:.7e}" for v in q) + "\n"
        text += " ".join(map(str, flavours)) + "\n"
        for x in x_knots:
            for v in q:
                text += " ".join(f"{xf(pdg, x, v, upper):.7e}" for pdg in flavours) + "\n"
        text += "---\n"
    (folder / "tiny_0000.dat").write_text(text)
    info = f"""SetDesc: "Closed forms, to test readers"
SetIndex: 999999
Authors: none
Format: lhagrid1
DataVersion: 1
NumMembers: 1
Particle: 2212
Flavors: {flavours}
OrderQCD: 0
FlavorScheme: variable
NumFlavors: 5
ErrorType: replicas
XMin: 1e-5
XMax: 1.0
QMin: 1.3
QMax: 10000.0
MZ: 91.1876
MUp: 0
MDown: 0
MStrange: 0
MCharm: 1.3
MBottom: 4.75
MTop: 172.0
AlphaS_MZ: 0.118
AlphaS_OrderQCD: 0
AlphaS_Type: ipol
AlphaS_Qs: [1.3, 4.75, 91.1876, 1000.0]
AlphaS_Vals: [0.4, 0.22, 0.118, 0.088]
"""
    (folder / "tiny.info").write_text(info)


def golden(library, library_path, folder, name, points, pdgs):
    settings = library_path.parents[2] / "share/SHERPA-MC/LHAPDF"
    ctypes.CDLL(None).setenv(b"LHAPDF_DATA_PATH", f"{folder}:{settings}".encode(), 1)
    number = ctypes.c_int(golden.sets)
    golden.sets += 1
    spaced = name.encode().ljust(100)
    library.initpdfsetbynamem_(ctypes.byref(number), spaced, len(spaced))
    library.initpdfm_(ctypes.byref(number), ctypes.byref(ctypes.c_int(0)))
    rows = []
    for x, q2 in points:
        q = math.sqrt(q2)
        q2 = q * q
        values = (ctypes.c_double * 13)()
        library.evolvepdfm_(
            ctypes.byref(number), ctypes.byref(ctypes.c_double(x)), ctypes.byref(ctypes.c_double(q)), values
        )
        rows.append([x, q2, {str(pdg): values[6 + (0 if pdg == 21 else pdg)] for pdg in pdgs}])
    return rows


golden.sets = 1


def points(x_min, q_min, q_max, thresholds, seed):
    random.seed(seed)
    uniform = lambda low, high: math.exp(random.uniform(math.log(low), math.log(high)))
    chosen = [(uniform(x_min, 1.0), uniform(q_min, q_max) ** 2) for _ in range(60)]
    chosen += [(uniform(x_min, 1.0), q * q * f) for q in thresholds for f in (0.98, 1.0, 1.02)]
    return chosen + [(x_min * 1.01, q_min**2 * 1.01), (0.99, q_max**2 * 0.99), (0.1, 100.0), (x_min, q_min**2)]


if __name__ == "__main__":
    write()
    path = pathlib.Path(sys.argv[1]).resolve()
    library = ctypes.CDLL(path)
    result = {"tiny": golden(library, path, here, "tiny", points(1e-5, 1.3, 10000.0, [4.75, 1000.0, 3000.0], 1), flavours)}
    if len(sys.argv) > 2:
        public = pathlib.Path(sys.argv[2])
        every = [-5, -4, -3, -2, -1, 21, 1, 2, 3, 4, 5]
        at = points(1e-9, 1.65, 1e5, [4.92], 2)
        result[public.name] = golden(library, path, public.parent, public.name, at, every)
    lines = [f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for name, rows in result.items()]
    (here / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
