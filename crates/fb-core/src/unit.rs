//! Units of columns and values. femtobarn computes in GeV, rad, mm, ns and pb.

use serde::{Deserialize, Serialize};

/// The unit of a column or a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Nobody said.
    #[default]
    Unknown,
    /// A pure number.
    One,
    /// Energy, momentum or mass in GeV.
    Gev,
    /// Energy, momentum or mass in MeV; converted to GeV where it is read.
    Mev,
    /// Angle in radians.
    Rad,
    /// Length in millimetres.
    Mm,
    /// Time in nanoseconds.
    Ns,
    /// Cross section in picobarns.
    Pb,
}

impl Unit {
    /// How one writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Unknown | Self::One => "",
            Self::Gev => "GeV",
            Self::Mev => "MeV",
            Self::Rad => "rad",
            Self::Mm => "mm",
            Self::Ns => "ns",
            Self::Pb => "pb",
        }
    }

    /// The unit that one writes so; unknown if it is none of ours.
    pub fn from_symbol(symbol: &str) -> Self {
        let all = [Self::Gev, Self::Mev, Self::Rad, Self::Mm, Self::Ns, Self::Pb];
        all.into_iter().find(|unit| unit.symbol() == symbol).unwrap_or_default()
    }
}

/// True for names of columns that hold an energy, a momentum or a mass: `jet_pt`, `part_E`, `m_jj`, `met`.
pub fn is_energy(name: &str) -> bool {
    let name = name.to_lowercase();
    name.split('_')
        .any(|word| matches!(word, "pt" | "e" | "px" | "py" | "pz" | "m" | "mass" | "energy" | "met" | "msd" | "ht"))
}
