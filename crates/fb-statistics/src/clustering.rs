//! How well particles were put into groups: pairs of particles, together or apart in what was found and in truth.
//!
//! Of the pairs of an event, TP are together in both, FP only in what was found, FN only in truth, TN in neither. A particle
//! makes no pair with itself. Numbers of events are means over the events with their weights.

use fb_core::{Error, Partition, Result, closest};

/// A number that says how well two partitions of an event agree. A ratio of nothing to nothing is one where they agree in
/// all pairs, and zero else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Rand index, adjusted for chance: 2·(TP·TN − FN·FP) / ((TP + FN)(FN + TN) + (TP + FP)(FP + TN)); one for equal
    /// partitions, zero on average for unrelated ones of the same sizes (Hubert, Arabie, J. Classif. 2 (1985) 193).
    AdjustedRand,
    /// Rand index, (TP + TN) / all.
    Rand,
    /// 2·TP / (2·TP + FP + FN).
    F1,
    /// TP / (TP + FP).
    Precision,
    /// TP / (TP + FN).
    Recall,
}

impl Agreement {
    /// All of them with their names; the first is the leading one.
    pub const ALL: [(&'static str, Self); 5] = [
        ("ari", Self::AdjustedRand),
        ("rand", Self::Rand),
        ("f1", Self::F1),
        ("precision", Self::Precision),
        ("recall", Self::Recall),
    ];

    /// Of the partition that was `found` of an event and the true one.
    ///
    /// # Errors
    /// [`Error::Length`] if they are of different numbers of particles.
    pub fn of(self, found: &[u32], truth: &[u32]) -> Result<f64> {
        Ok(self.of_pairs(&pairs(found, truth)?))
    }

    fn of_pairs(self, &[tp, fp, fneg, tn]: &[f64; 4]) -> f64 {
        let (above, below) = match self {
            Self::AdjustedRand => (2.0 * (tp * tn - fneg * fp), (tp + fneg) * (fneg + tn) + (tp + fp) * (fp + tn)),
            Self::Rand => (tp + tn, tp + fp + fneg + tn),
            Self::F1 => (2.0 * tp, 2.0 * tp + fp + fneg),
            Self::Precision => (tp, tp + fp),
            Self::Recall => (tp, tp + fneg),
        };
        if below > 0.0 { above / below } else { f64::from(u8::from(fp + fneg == 0.0)) }
    }
}

/// TP, FP, FN, TN.
fn pairs(found: &[u32], truth: &[u32]) -> Result<[f64; 4]> {
    if found.len() != truth.len() {
        let what = "groups of the particles of an event".to_owned();
        return Err(Error::Length { what, expected: truth.len(), found: found.len() });
    }
    let mut counts = [0.0; 4];
    for i in 0..found.len() {
        for j in 0..i {
            let at = match (found[i] == found[j], truth[i] == truth[j]) {
                (true, true) => 0,
                (true, false) => 1,
                (false, true) => 2,
                (false, false) => 3,
            };
            counts[at] += 1.0;
        }
    }
    Ok(counts)
}

/// All agreements of every event of a sample: [agreement, event] in the order of [`Agreement::ALL`].
///
/// # Errors
/// [`Error::Length`] if the two are of different numbers of events or particles.
pub fn agreements(found: &Partition, truth: &Partition) -> Result<Vec<Vec<f64>>> {
    if found.events() != truth.events() {
        let what = "partitions of events".to_owned();
        return Err(Error::Length { what, expected: truth.events(), found: found.events() });
    }
    let counts = (0..truth.events()).map(|i| pairs(found.of(i), truth.of(i))).collect::<Result<Vec<_>>>()?;
    Ok(Agreement::ALL.map(|(_, agreement)| counts.iter().map(|c| agreement.of_pairs(c)).collect()).to_vec())
}

/// The mean of an agreement over the events of some classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clustering {
    /// Which one.
    pub agreement: Agreement,
    /// The classes; all where there are none.
    pub classes: Vec<u32>,
}

impl Clustering {
    /// From its name: `ari`, `rand`, `f1`, `precision`, `recall`; `ari(2)` or `ari(0+1)` of events of these classes.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the nearest name, [`Error::Config`] for classes that are no whole numbers.
    pub fn parse(name: &str) -> Result<Self> {
        let (short, rest) = name.split_once('(').unwrap_or((name, ""));
        let found = Agreement::ALL.iter().find(|(n, _)| *n == short);
        let (_, agreement) = found.ok_or_else(|| Error::UnknownName {
            what: "metric of groups",
            name: name.to_owned(),
            closest: closest(short, Agreement::ALL.iter().map(|(n, _)| *n)),
        })?;
        if short.len() == name.len() {
            return Ok(Self { agreement: *agreement, classes: Vec::new() });
        }
        let classes: Option<Vec<u32>> =
            rest.strip_suffix(')').and_then(|list| list.split('+').map(|class| class.trim().parse().ok()).collect());
        match classes {
            Some(classes) => Ok(Self { agreement: *agreement, classes }),
            None => Err(Error::Config {
                place: format!("metric `{name}`"),
                reason: format!("found the classes `({rest}`, expected whole numbers, as in `{short}(0+1)`"),
            }),
        }
    }

    /// The mean with these weights of the events; no number where there are none of its classes.
    ///
    /// `agreements` are those of [`agreements`], `labels` the classes of the events.
    pub fn mean(&self, agreements: &[Vec<f64>], labels: &[u32], weights: &[f64]) -> f64 {
        let at = Agreement::ALL.iter().position(|(_, a)| *a == self.agreement).unwrap_or(0);
        let (mut sum, mut total) = (0.0, 0.0);
        for ((x, label), w) in agreements[at].iter().zip(labels).zip(weights) {
            if self.classes.is_empty() || self.classes.contains(label) {
                sum += w * x;
                total += w;
            }
        }
        sum / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(found: &[u32], truth: &[u32]) -> [f64; 5] {
        Agreement::ALL.map(|(_, agreement)| agreement.of(found, truth).unwrap())
    }

    /// Worked out by hand: of 15 pairs, TP = 2, FP = 2, FN = 2, TN = 9.
    #[test]
    fn six_particles() {
        let found = all(&[0, 0, 0, 1, 1, 2], &[4, 4, 1, 1, 1, 3]);
        let expected = [2.0 * (18.0 - 4.0) / (4.0 * 11.0 + 4.0 * 11.0), 11.0 / 15.0, 0.5, 0.5, 0.5];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
    }

    #[test]
    fn limits() {
        assert_eq!(all(&[3, 3, 0], &[0, 0, 9]), [1.0; 5], "names do not matter");
        assert_eq!(all(&[], &[]), [1.0; 5], "no pair, no mistake");
        assert_eq!(all(&[0, 1, 2], &[5, 6, 7]), [1.0; 5], "nothing to find and nothing found");
        assert_eq!(all(&[0, 0, 0], &[5, 6, 7]), [0.0; 5], "nothing to find and all found");
        assert_eq!(all(&[0, 1, 2], &[5, 5, 5]), [0.0; 5]);
        assert_eq!(all(&[0, 0, 0, 0], &[1, 1, 1, 2]), [0.0, 0.5, 2.0 / 3.0, 0.5, 1.0], "one group");
        assert!(Agreement::Rand.of(&[0], &[0, 1]).unwrap_err().to_string().contains("expected 2 entries, found 1"));
    }

    /// Adjusted for chance: over all orders of one partition the mean is zero.
    #[test]
    fn chance_has_no_adjusted_rand_index() {
        let truth = [0, 0, 0, 1, 1];
        let mut groups = [0u32, 0, 1, 1, 2];
        // Heap's enumeration of all orders.
        let (mut sum, mut count, mut state) = (0.0, 0, [0usize; 5]);
        let mut add = |groups: &[u32]| {
            sum += Agreement::AdjustedRand.of(groups, &truth).unwrap();
            count += 1;
        };
        add(&groups);
        let mut i = 1;
        while i < 5 {
            if state[i] < i {
                groups.swap(if i % 2 == 0 { 0 } else { state[i] }, i);
                add(&groups);
                state[i] += 1;
                i = 1;
            } else {
                state[i] = 0;
                i += 1;
            }
        }
        assert!(count == 120 && f64::abs(sum) < 1e-12, "{count} {sum}");
    }

    #[test]
    fn means_are_of_the_classes_that_are_asked_for() {
        let (mut found, mut truth) = (Partition::default(), Partition::default());
        for groups in [[0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 2, 3]] {
            truth.push([0, 0, 0, 1]);
            found.push(groups);
        }
        let each = agreements(&found, &truth).unwrap();
        let mean = |name: &str| Clustering::parse(name).unwrap().mean(&each, &[2, 0, 1], &[1.0, 2.0, 1.0]);
        assert_eq!([mean("rand"), mean("rand(2)"), mean("rand(0+1)")], [0.625, 1.0, 0.5]);
        assert!(mean("ari(7)").is_nan());
        assert!(agreements(&found.take(&[0]), &truth).is_err());
        let refused = |name: &str| Clustering::parse(name).unwrap_err().to_string();
        assert!(refused("recal").contains("did you mean `recall`"));
        assert!(refused("ari(b)").contains("whole numbers") && refused("ari(1").contains("whole numbers"));
    }
}
