"""Makes tracks for charged-particle identification: a toy of a forward spectrometer, no simulation.

    python pid_toy.py --events 12000 --seed 1 --out samples/pid/train.parquet

`label`: 0 electron, 1 muon, 2 pion, 3 kaon, 4 proton, 5 ghost (a track of hits of several particles); as many of each.
The truth is a momentum, log-uniform from 1 to 100 GeV, eta, flat from 2 to 4.9, and the number of tracks of the event.
All five kinds share these distributions; ghosts are softer and more frequent in busy events. -999: not measured. What
is simulated, all of it by formulas in this file:

Cherenkov  two gas radiators, n = 1.0014 (eta < 4.4 only) and n = 1.0005 (eta > 2.6 only): angle arccos(1/(n beta)),
           Poisson photons in proportion to its sine squared, resolution per photon and of the track, background photons
           with the number of tracks; no ring, no angle
dE/dx      Bethe-like, 9% and 12%, with Landau-like tails
calorimeter  electrons with 10%/sqrt(E) and radiated photons, muons as minimum-ionising, hadrons as minimum-ionising
           until they shower, neighbours with the number of tracks; eta < 4.5 only
muon chambers  four behind absorbers; decays in flight of pions and kaons, punch-through and noise
track      chi2 per degree of freedom, hits, match between parts

columns: label, weight (1), kinematics p, pt, eta, n_tracks (GeV, measured), then 30 observables:
    rich1_angle, rich1_photons, rich2_angle, rich2_photons (mrad), rich_dll_e, _mu, _k, _p (log-likelihood less that of a
    pion, both radiators, detector as it is thought to be), rich_above_k, rich_above_p (radiators above threshold for
    this particle), dedx_1, dedx_2 (in units of minimum-ionising), ecal_ep (energy over momentum), ecal_width, ecal_match,
    preshower (MIPs), hcal_ep, brem_energy, calo_dll_e, mu_hits, mu_match, mu_stations_needed, mu_dll, track_chi2,
    track_hits, track_missing_hits, track_match, track_ghost (a score of the four before), combined_e, combined_mu (sums
    of the above with other weights than are best)
"""

import argparse
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = ["electron", "muon", "pion", "kaon", "proton", "ghost"]
MASSES = np.array([0.000511, 0.10566, 0.13957, 0.49368, 0.93827])
MISSING = -999.0
MANTISSA_BITS = 11
# Index, photons of a ring at beta = 1, resolution per photon and of the track (mrad), photons of background per track.
RADIATORS = [(1.0014, 30.0, 1.6, 0.5, 0.02), (1.0005, 22.0, 0.75, 0.35, 0.01)]


def angle(index, p, mass):
    """Cherenkov angle in mrad, 0 below threshold."""
    cosine = np.sqrt(p * p + mass * mass) / (p * index)
    return 1000 * np.arccos(np.minimum(cosine, 1.0))


def expected_photons(index, most, theta):
    return most * np.sin(theta / 1000) ** 2 / (1 - 1 / index**2)


class Tracks:
    def __init__(self, events, seed):
        self.rng = rng = np.random.default_rng(seed)
        self.label = label = rng.permutation(np.arange(events) % 6)
        self.n = events
        ghost = label == 5
        self.true_p = np.exp(rng.uniform(0, np.log(100), events))
        self.true_p[ghost] = np.exp(rng.triangular(0, 0.8, np.log(100), ghost.sum()))
        self.true_eta = rng.uniform(2, 4.9, events)
        mean = np.where(ghost, 150, 110)
        self.n_tracks = np.clip(rng.gamma(4, mean / 4), 8, 500).astype(int)
        # What a ghost leaves in the detectors is that of some other particle, mostly a pion, of another momentum.
        self.kind = np.where(ghost, rng.choice(5, events, p=[0.08, 0.05, 0.67, 0.12, 0.08]), label)
        self.seen_p = np.where(ghost, self.true_p * np.exp(rng.normal(0, 0.7, events)), self.true_p)
        self.seen_p = np.clip(self.seen_p, 0.5, 200)
        self.mass = MASSES[self.kind]
        self.columns = {}

    def build(self):
        self.kinematics()
        self.cherenkov()
        self.ionisation()
        self.calorimeter()
        self.muons()
        self.track()
        self.combinations()
        return self.columns

    def kinematics(self):
        rng = self.rng
        # Electrons have radiated before the magnet: their measured momentum has a tail to lower values.
        loss = np.where(self.label == 0, 1 - 0.4 * rng.beta(0.25, 2.5, self.n), 1.0)
        self.radiated = self.true_p * (1 - loss)
        self.p = self.true_p * loss * (1 + 0.006 * rng.normal(size=self.n))
        self.eta = self.true_eta + 0.001 * rng.normal(size=self.n)
        self.columns |= {"p": self.p, "pt": self.p / np.cosh(self.eta), "eta": self.eta, "n_tracks": self.n_tracks}

    def cherenkov(self):
        rng, n = self.rng, self.n
        likelihood = np.zeros((5, n))
        above = np.zeros((5, n), int)
        for number, (index, most, per_photon, per_track, background) in enumerate(RADIATORS, 1):
            inside = self.eta < 4.4 if number == 1 else self.eta > 2.6
            theta = angle(index, self.seen_p, self.mass)
            busy = background * self.n_tracks
            signal = rng.poisson(expected_photons(index, most, theta) * np.where(self.label == 5, 0.6, 1))
            photons = signal + rng.poisson(busy)
            spread = np.hypot(per_photon / np.sqrt(np.maximum(signal, 1)), per_track) * (1 + self.n_tracks / 500)
            # One ring in 30 belongs to a neighbour.
            wrong = rng.random(n) < 0.0002 * self.n_tracks
            neighbour = angle(index, np.exp(rng.normal(2.3, 0.9, n)), MASSES[2])
            measured = np.where(wrong, neighbour, theta) + spread * rng.normal(size=n)
            ring = inside & (signal >= 3) & (measured > 0)
            self.columns[f"rich{number}_angle"] = np.where(ring, measured, MISSING)
            self.columns[f"rich{number}_photons"] = np.where(inside, photons, MISSING)
            for kind, mass in enumerate(MASSES):
                thought = angle(index, self.p, mass)
                light = expected_photons(index, most, thought)
                above[kind] += inside & (light > 0)
                width = np.hypot(per_photon / np.sqrt(np.maximum(light, 3)), per_track) * 1.2
                pull = np.where(ring, (measured - thought) / width, 0)
                shape = np.where(ring, -0.5 * np.minimum(pull * pull, 60) - np.log(width), 0)
                yield_ = light + 0.015 * self.n_tracks + 0.3
                likelihood[kind] += np.where(inside, shape + 0.5 * (photons * np.log(yield_) - yield_), 0)
        likelihood += 0.7 * rng.normal(size=likelihood.shape)
        for kind, name in ((0, "e"), (1, "mu"), (3, "k"), (4, "p")):
            self.columns[f"rich_dll_{name}"] = np.clip(likelihood[kind] - likelihood[2], -150, 150)
        self.columns |= {"rich_above_k": above[3], "rich_above_p": above[4]}

    def ionisation(self):
        gamma_beta = self.seen_p / self.mass
        beta2 = gamma_beta**2 / (1 + gamma_beta**2)
        rise = np.log(1 + gamma_beta**2 / (1 + (gamma_beta / 300) ** 2))
        loss = (1 + 0.085 * (rise - 2.4 * beta2)) / beta2
        for number, resolution in ((1, 0.09), (2, 0.12)):
            tail = self.rng.gumbel(0, 0.6, self.n) * resolution
            self.columns[f"dedx_{number}"] = loss * np.exp(resolution * 0.7 * self.rng.normal(size=self.n) + tail * 0.6)

    def calorimeter(self):
        rng, n, kind = self.rng, self.n, self.kind
        inside = self.eta < 4.5
        energy = self.seen_p
        neighbours = rng.exponential(0.004 * self.n_tracks) * (rng.random(n) < 0.5)
        electron, muon = kind == 0, kind == 1
        shower = rng.random(n) < 0.35
        fraction = np.where(shower, rng.beta(1.3, 2.2, n), 0)
        ionising = 0.3 * np.exp(0.25 * rng.normal(size=n))
        ecal = np.where(electron, energy * (1 + rng.normal(size=n) * np.hypot(0.1 / np.sqrt(energy), 0.015)) * 0.98,
                        np.where(muon, ionising, ionising + fraction * energy * 0.8))
        ecal = np.maximum(ecal + neighbours + 0.03 * rng.normal(size=n), 0)
        rest = np.where(electron, 0.01 * energy, np.where(muon, 1.7 * np.exp(0.3 * rng.normal(size=n)),
                                                         (1 - fraction) * energy))
        hcal = np.maximum(rest * (1 + rng.normal(size=n) * np.minimum(0.8 / np.sqrt(np.maximum(rest, 0.3)), 0.9))
                          + 2 * neighbours * rng.random(n), 0)
        width = np.where(electron, 1.0, np.where(shower & ~muon, 1.7, 0.6)) * np.exp(0.25 * rng.normal(size=n))
        match = rng.gamma(1.5, np.where(self.label == 5, 6.0, np.where(electron, 1.0, 2.2)))
        preshower = np.where(electron, rng.gamma(3, 1.0 + 0.8 * np.log(1 + energy)),
                             rng.gamma(3, 0.35, n) + np.where(shower & ~muon, rng.exponential(1.5, n) * 0.5, 0))
        brem = np.where(self.radiated > 0.15, self.radiated * (rng.random(n) < 0.7), 0) + neighbours * (rng.random(n) < 0.12)
        ep = ecal / self.p
        thought = np.hypot(0.12 / np.sqrt(self.p), 0.05)
        dll = -0.5 * np.minimum(((ep - 0.98) / thought) ** 2, 40) + 1.2 * np.log(preshower + 0.1) + rng.normal(size=n)
        values = {"ecal_ep": ep, "ecal_width": width, "ecal_match": match, "preshower": preshower,
                  "hcal_ep": hcal / self.p, "brem_energy": brem, "calo_dll_e": dll}
        self.columns |= {name: np.where(inside, v, MISSING) for name, v in values.items()}

    def muons(self):
        rng, n = self.rng, self.n
        needed = np.array([3.0, 5.0, 8.0, 10.0])
        range_ = np.where(self.kind == 1, self.seen_p * np.exp(0.08 * rng.normal(size=n)), 0)
        # Decays in flight before the absorbers: 1 - exp(-L m / (p c tau)).
        lifetime = np.select([self.kind == 2, self.kind == 3], [7.80, 3.71], 1e9)
        decays = rng.random(n) < 1 - np.exp(-10 * self.mass / (self.seen_p * lifetime))
        range_ = np.where(decays, self.seen_p * rng.uniform(0.55, 1, n), range_)
        punch = (self.kind >= 2) & (rng.random(n) < 0.004 + 0.0004 * self.seen_p)
        range_ = np.where(punch, np.maximum(range_, rng.uniform(0, 9, n)), range_)
        hits = np.zeros(n, int)
        for least in needed:
            hits += (rng.random(n) < np.where(range_ > least, 0.97, 0.0003 * self.n_tracks))
        true = range_ > 3
        match = rng.gamma(1.5, np.where(true & ~decays, 1.0 + 3 / self.seen_p, 4.0))
        match = np.where(hits > 0, match, MISSING)
        needed_hits = np.searchsorted(needed, self.p)
        dll = np.where(hits > 0, 2.0 * (hits - 0.5 * needed_hits) - 0.5 * np.minimum(match, 30), -2.0 * needed_hits)
        self.columns |= {"mu_hits": hits, "mu_match": match, "mu_stations_needed": needed_hits,
                         "mu_dll": dll + 0.5 * rng.normal(size=n)}

    def track(self):
        rng, n, ghost = self.rng, self.n, self.label == 5
        degrees = 24
        scale = np.where(ghost, rng.uniform(1.0, 3.2, n), 1 + 0.25 * np.exp(-self.true_p / 4))
        chi2 = rng.chisquare(degrees, n) / degrees * scale
        missing = rng.poisson(np.where(ghost, 2.6, 0.6 + 0.002 * self.n_tracks))
        hits = np.clip(34 - 2 * np.abs(self.eta - 3.4) + 1.8 * rng.normal(size=n) - missing, 12, 45).round()
        match = rng.gamma(2, np.where(ghost, 2.6, 1.0))
        score = 0.9 * chi2 + 0.3 * missing - 0.05 * hits + 0.25 * match + 0.4 * rng.normal(size=n)
        self.columns |= {"track_chi2": chi2, "track_hits": hits, "track_missing_hits": missing, "track_match": match,
                         "track_ghost": score}

    def combinations(self):
        c, rng = self.columns, self.rng
        calorimeter = np.where(c["calo_dll_e"] == MISSING, 0, c["calo_dll_e"])
        c["combined_e"] = 0.6 * c["rich_dll_e"] + calorimeter + 2 * rng.normal(size=self.n)
        c["combined_mu"] = 0.6 * c["rich_dll_mu"] + c["mu_dll"] - 0.1 * calorimeter + rng.normal(size=self.n)


def shorter(values):
    """float32 with 11 bits of mantissa, rounded to nearest; -999 is exact."""
    bits = values.astype(np.float32).view(np.uint32)
    drop = 23 - MANTISSA_BITS
    return ((bits + np.uint32(1 << (drop - 1))) & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)).view(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=12000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    tracks = Tracks(arguments.events, arguments.seed)
    columns = {"label": tracks.label.astype(np.int8), "weight": np.ones(arguments.events, np.float32)}
    for name, values in tracks.build().items():
        whole = np.issubdtype(np.asarray(values).dtype, np.integer)
        columns[name] = values.astype(np.int16) if whole else shorter(values)
    about = {"set": "pid", "generator": "pid_toy.py, formulas only", "seed": arguments.seed, "events": arguments.events,
             "classes": CLASSES, "units": "GeV, mrad", "missing": MISSING}
    table = pa.table(columns).replace_schema_metadata({"dataset": json.dumps(about)})
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, arguments.out, compression="zstd", compression_level=19, use_dictionary=False)
    print(f"{arguments.out.name}: {len(table)} rows, {len(columns)} columns, {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
