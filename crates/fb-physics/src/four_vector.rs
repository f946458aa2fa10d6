//! Four-vectors in GeV.

use std::ops::AddAssign;

/// A momentum (px, py, pz, E) in GeV.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FourVector {
    /// Along x.
    pub px: f64,
    /// Along y.
    pub py: f64,
    /// Along the beam.
    pub pz: f64,
    /// Energy.
    pub e: f64,
}

impl FourVector {
    /// From transverse momentum, pseudorapidity, azimuth and mass.
    pub fn from_pt_eta_phi_m(pt: f64, eta: f64, phi: f64, m: f64) -> Self {
        let pz = pt * eta.sinh();
        Self { px: pt * phi.cos(), py: pt * phi.sin(), pz, e: (pt * pt + pz * pz + m * m).sqrt() }
    }

    /// From transverse momentum, rapidity, azimuth and mass.
    pub fn from_pt_y_phi_m(pt: f64, y: f64, phi: f64, m: f64) -> Self {
        let transverse = pt.hypot(m);
        Self { px: pt * phi.cos(), py: pt * phi.sin(), pz: transverse * y.sinh(), e: transverse * y.cosh() }
    }

    /// Transverse momentum.
    pub fn pt(&self) -> f64 {
        self.px.hypot(self.py)
    }

    /// Pseudorapidity, asinh(pz/pT); ±∞ along the beam.
    pub fn eta(&self) -> f64 {
        (self.pz / self.pt()).asinh()
    }

    /// Rapidity, ½ ln((E + pz) / (E − pz)), from pT² + m² so that nothing cancels; E² < p² counts as massless. ±∞ along
    /// the beam for a massless particle.
    pub fn rapidity(&self) -> f64 {
        let transverse = self.px * self.px + self.py * self.py;
        let mass = (self.e * self.e - transverse - self.pz * self.pz).max(0.0);
        let y = 0.5 * ((self.e + self.pz.abs()).powi(2) / (transverse + mass)).ln();
        // Not the sign of pz: y is negative where E + |pz| < pT, which rounded energies may be. FastJet has it so, too.
        if self.pz > 0.0 { y } else { -y }
    }

    /// Azimuth in (−π, π].
    pub fn phi(&self) -> f64 {
        self.py.atan2(self.px)
    }

    /// Mass, √(E² − p²); zero where E² < p².
    pub fn m(&self) -> f64 {
        let p = self.px * self.px + self.py * self.py + self.pz * self.pz;
        (self.e * self.e - p).max(0.0).sqrt()
    }
}

impl AddAssign for FourVector {
    fn add_assign(&mut self, other: Self) {
        self.px += other.px;
        self.py += other.py;
        self.pz += other.pz;
        self.e += other.e;
    }
}

/// φ₁ − φ₂ in (−π, π], for angles at most a turn outside of it.
pub fn delta_phi(phi1: f64, phi2: f64) -> f64 {
    use std::f64::consts::{PI, TAU};
    let mut delta = phi1 - phi2;
    while delta > PI {
        delta -= TAU;
    }
    while delta <= -PI {
        delta += TAU;
    }
    delta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinematics_round_trip() {
        let p = FourVector::from_pt_eta_phi_m(50.0, -1.3, 2.9, 4.2);
        assert!((p.pt() - 50.0).abs() < 1e-12 && (p.eta() + 1.3).abs() < 1e-12);
        assert!((p.phi() - 2.9).abs() < 1e-12 && (p.m() - 4.2).abs() < 1e-9);
        // A particle across the beam whose energy is rounded down.
        let low = FourVector { px: 3.0, py: 4.0, pz: 0.001, e: 4.99 };
        assert!((low.rapidity() - (4.991_f64 / (25.0_f64).sqrt()).ln()).abs() < 1e-15 && low.rapidity() < 0.0);
        let q = FourVector::from_pt_y_phi_m(50.0, p.rapidity(), 2.9, 4.2);
        assert!((q.pz - p.pz).abs() < 1e-12 && (q.e - p.e).abs() < 1e-12);
    }

    #[test]
    fn azimuth_wraps() {
        use std::f64::consts::PI;
        assert!((delta_phi(3.0, -3.0) - (6.0 - 2.0 * PI)).abs() < 1e-12);
        assert_eq!(delta_phi(PI, 0.0), PI);
        assert_eq!(delta_phi(-PI, 0.0), PI);
    }
}
