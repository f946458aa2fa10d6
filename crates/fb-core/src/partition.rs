//! Particles of events put into groups: the tracks of a jet by the vertex at which they begin.

use crate::{Column, Error, Result};

/// For each particle of each event, in the order of the file, the number of its group, from zero. Numbers are names: that two
/// particles have the same one says that they belong together, and nothing else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Where the particles of each event begin: events + 1 offsets.
    offsets: Vec<usize>,
    groups: Vec<u32>,
}

impl Default for Partition {
    /// Of no event.
    fn default() -> Self {
        Self { offsets: vec![0], groups: Vec::new() }
    }
}

impl Partition {
    /// The groups that stand in a list column of events from number `first` on.
    ///
    /// # Errors
    /// [`Error::Config`] if it is no list, or an entry is no whole number from zero.
    pub fn from_column(column: &Column, first: usize) -> Result<Self> {
        let bad = |reason: String| Error::Config { place: format!("column `{}`", column.name), reason };
        let Some(offsets) = &column.offsets else {
            return Err(bad("found one entry per event, expected a list with the group of each particle".to_owned()));
        };
        let group = |i: usize| {
            let x = column.data.number(i);
            let event = || first + offsets.partition_point(|&from| from <= i) - 1;
            let whole = (0.0..f64::from(u32::MAX)).contains(&x) && x.fract() == 0.0;
            let fail = || bad(format!("found the group {x} in event {}, expected a whole number from 0", event()));
            if whole { Ok(x as u32) } else { Err(fail()) }
        };
        Ok(Self { offsets: offsets.to_vec(), groups: (0..column.data.len()).map(group).collect::<Result<_>>()? })
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Events + 1 offsets of the particles.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The groups of all particles, event after event.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// The groups of the particles of event `i`.
    pub fn of(&self, i: usize) -> &[u32] {
        &self.groups[self.offsets[i]..self.offsets[i + 1]]
    }

    /// Adds an event with these groups of its particles.
    pub fn push(&mut self, groups: impl IntoIterator<Item = u32>) {
        self.groups.extend(groups);
        self.offsets.push(self.groups.len());
    }

    /// Adds an event whose particles belong together where `edge` says so of two of them, or of a chain of pairs between
    /// them. Groups are numbered as their first particles come.
    pub fn push_connected(&mut self, particles: usize, edge: impl Fn(usize, usize) -> bool) {
        let mut root: Vec<usize> = (0..particles).collect();
        for i in 0..particles {
            for j in 0..i {
                if edge(i, j) {
                    let (a, b) = (find(&mut root, i), find(&mut root, j));
                    // The first particle of a group is its root.
                    root[a.max(b)] = a.min(b);
                }
            }
        }
        let mut names: Vec<u32> = Vec::with_capacity(particles);
        let mut groups = 0;
        for i in 0..particles {
            let first = find(&mut root, i);
            let is_new = first == i;
            names.push(if is_new { groups } else { names[first] });
            groups += u32::from(is_new);
        }
        self.push(names);
    }

    /// The events at `indices`, in that order.
    #[must_use]
    pub fn take(&self, indices: &[usize]) -> Self {
        let mut taken = Self::default();
        for &i in indices {
            taken.push(self.of(i).iter().copied());
        }
        taken
    }

    /// Appends the events of `other`.
    pub fn append(&mut self, other: &Self) {
        for i in 0..other.events() {
            self.push(other.of(i).iter().copied());
        }
    }
}

/// The first particle of the group of `i`; ways to it are made shorter.
fn find(root: &mut [usize], mut i: usize) -> usize {
    while root[i] != i {
        root[i] = root[root[i]];
        i = root[i];
    }
    i
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Data;

    #[test]
    fn chains_of_pairs_make_a_group() {
        let mut found = Partition::default();
        // 0–3–1 and 2–5; 4 is alone.
        let pairs = [(3, 0), (3, 1), (5, 2)];
        found.push_connected(6, |i, j| pairs.contains(&(i, j)));
        found.push_connected(0, |_, _| true);
        found.push_connected(3, |_, _| true);
        assert_eq!((found.of(0), found.of(1), found.of(2)), (&[0, 0, 1, 0, 2, 1][..], &[][..], &[0, 0, 0][..]));
        let taken = found.take(&[2, 0]);
        assert_eq!((taken.events(), taken.of(0), taken.of(1)), (2, found.of(2), found.of(0)));
        let mut twice = found.clone();
        twice.append(&taken);
        assert_eq!((twice.events(), twice.of(4)), (5, found.of(0)));
    }

    #[test]
    fn columns_that_name_no_groups_are_refused() {
        let list = |data| Column::jagged("trk_vtx_index", Data::F64(data), Arc::new(vec![0, 2, 3]));
        let fine = Partition::from_column(&list(vec![0.0, 7.0, 1.0]), 0);
        assert_eq!(fine.map(|p| p.groups().to_vec()).ok(), Some(vec![0, 7, 1]));
        let message = |column: &Column| Partition::from_column(column, 8).map_err(|e| e.to_string()).err();
        for wrong in [-1.0, 0.5, f64::NAN] {
            let found = message(&list(vec![0.0, 1.0, wrong])).unwrap_or_default();
            assert!(found.contains("`trk_vtx_index`") && found.contains("event 9, expected a whole number"), "{found}");
        }
        let flat = message(&Column::flat("jet_pt", Data::F64(vec![1.0]))).unwrap_or_default();
        assert!(flat.contains("expected a list"), "{flat}");
    }
}
