//! Numbers of an event and lists of objects in it: see [`Input::Lists`].
//!
//! [`Input::Lists`]: fb_core::Input::Lists

use fb_core::expression::{Expression, is_true};
use fb_core::{Error, Events, Features, Layout, List, Result, Variable};

use crate::expression::{Source, Values, evaluate, finite, finite_names, flat};
use crate::features::{fit_variable, interleave, scaled};

/// The columns of events, in which one of a list always is a list.
struct Columns<'a> {
    events: &'a Events,
    lists: &'a [List],
    /// Offsets of lists of one entry each.
    single: Vec<usize>,
}

impl Source for Columns<'_> {
    fn events(&self) -> usize {
        self.events.len()
    }

    fn values(&self, name: &str) -> Result<Values<'_>> {
        let mut values = self.events.values(name)?;
        if values.offsets.is_none() && self.lists.iter().any(|list| list.owns(name)) {
            values.offsets = Some(&self.single);
        }
        Ok(values)
    }
}

/// The entries of a list that are kept, event after event, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where the entries of each event begin among all: events + 1 offsets.
    pub all: Vec<usize>,
    /// Places of those that are kept among all.
    pub entries: Vec<usize>,
    /// Where those of each event begin: events + 1 offsets.
    pub offsets: Vec<usize>,
}

/// Which entries of a list of these events a network sees, and in which order.
///
/// # Errors
/// Columns that are missing, an order that is not finite, a list without a column of its own.
pub fn kept(list: &List, events: &Events) -> Result<Kept> {
    Columns::new(events, std::slice::from_ref(list)).kept(list)
}

impl<'a> Columns<'a> {
    /// The columns of `events`, some of which belong to `lists`.
    fn new(events: &'a Events, lists: &'a [List]) -> Self {
        Self { events, lists, single: (0..=events.len()).collect() }
    }

    /// Where the entries of each event begin: by the first column of the list that its expressions name.
    fn offsets(&self, list: &List) -> Result<Vec<usize>> {
        for text in list.expressions() {
            let expression = Expression::parse(text)?;
            if let Some(name) = expression.names().into_iter().find(|name| list.owns(name)) {
                return Ok(self.values(name)?.offsets.unwrap_or(&self.single).to_vec());
            }
        }
        let reason = format!("no expression names a column that starts with `{}_`", list.name);
        Err(Error::Config { place: format!("list `{}`", list.name), reason })
    }

    /// A number for each entry of a list.
    fn entries(&self, text: &str, offsets: &[usize]) -> Result<Vec<f64>> {
        let found = evaluate(&Expression::parse(text)?, self)?;
        match found.offsets {
            Some(own) if own == offsets => Ok(found.values),
            None => {
                let repeat = |(o, v): (&[usize], f64)| std::iter::repeat_n(v, o[1] - o[0]);
                Ok(offsets.windows(2).zip(found.values).flat_map(repeat).collect())
            }
            Some(_) => {
                let reason = "it has the entries of another list, or lists of the event differ in length".to_owned();
                Err(Error::Evaluation { text: text.to_owned(), reason })
            }
        }
    }

    fn kept(&self, list: &List) -> Result<Kept> {
        let offsets = self.offsets(list)?;
        if let Some(text) = &list.select {
            finite_names(text, self)?;
        }
        let select = list.select.as_ref().map(|text| self.entries(text, &offsets)).transpose()?;
        let order = list.order.as_ref().map(|text| Ok((text, self.entries(text, &offsets)?))).transpose()?;
        let (mut entries, mut ends) = (Vec::new(), vec![0]);
        for (event, o) in offsets.windows(2).enumerate() {
            let mut own: Vec<usize> =
                (o[0]..o[1]).filter(|&i| select.as_ref().is_none_or(|select| is_true(select[i]))).collect();
            if let Some((text, key)) = &order {
                if let Some(&i) = own.iter().find(|&&i| !key[i].is_finite()) {
                    return Err(Error::NotFinite { column: (*text).clone(), event, found: key[i] });
                }
                own.sort_by(|&a, &b| key[b].total_cmp(&key[a]));
            }
            own.truncate(list.max);
            if list.reversed {
                own.reverse();
            }
            entries.extend(own);
            ends.push(entries.len());
        }
        Ok(Kept { all: offsets, entries, offsets: ends })
    }

    /// A variable of the entries that are kept.
    fn column(&self, variable: &Variable, kept: &Kept) -> Result<Vec<f64>> {
        let all = self.entries(&variable.expression, &kept.all)?;
        let values: Vec<f64> = kept.entries.iter().map(|&i| all[i]).collect();
        finite(&variable.expression, &values, |i| kept.offsets.partition_point(|&o| o <= i) - 1)?;
        Ok(values)
    }

    /// Rows of the entries of a list.
    fn rows(&self, list: &List) -> Result<(Vec<f32>, Vec<usize>)> {
        let kept = self.kept(list)?;
        let column = |v: &Variable| scaled(v, self.column(v, &kept)?);
        let columns: Vec<Vec<f32>> = list.variables.iter().map(column).collect::<Result<_>>()?;
        Ok((interleave(&columns), kept.offsets))
    }
}

/// Numbers of the event and its sequences in one row per event, then the rows of each cloud.
pub(crate) fn prepare(event: &[Variable], lists: &[List], events: &Events) -> Result<Features> {
    let source = Columns::new(events, lists);
    let columns: Vec<Vec<f32>> =
        event.iter().map(|v| scaled(v, flat(&v.expression, &source)?)).collect::<Result<_>>()?;
    let slots = |list: &&List| list.layout == Layout::Sequence;
    let sequences = lists.iter().filter(slots).map(|list| list.max * list.variables.len());
    let width = columns.len() + sequences.sum::<usize>();
    let mut values = vec![0.0; events.len() * width];
    for (row, i) in values.chunks_exact_mut(width.max(1)).zip(0..) {
        row.iter_mut().zip(&columns).for_each(|(x, column)| *x = column[i]);
    }
    let (mut all, mut start) = (Vec::new(), columns.len());
    for list in lists {
        let ((rows, offsets), n) = (source.rows(list)?, list.variables.len());
        if list.layout == Layout::Cloud {
            all.push(Features { width: n, values: rows, offsets: Some(offsets), others: Vec::new() });
            continue;
        }
        for (row, o) in values.chunks_exact_mut(width.max(1)).zip(offsets.windows(2)) {
            row[start..start + (o[1] - o[0]) * n].copy_from_slice(&rows[o[0] * n..o[1] * n]);
        }
        start += list.max * n;
    }
    if width > 0 {
        all.insert(0, Features { width, values, offsets: None, others: Vec::new() });
    }
    let others = all.split_off(all.len().min(1));
    Ok(Features { others, ..all.pop().unwrap_or_default() })
}

/// Fits the variables that want it: those of lists over the entries that are kept.
pub(crate) fn fit(event: &mut [Variable], lists: &mut [List], events: &Events, weights: &[f64]) -> Result<()> {
    let known = lists.to_vec();
    let source = Columns::new(events, &known);
    let unknown = |v: &&mut Variable| v.center.is_none() || v.scale.is_none();
    for v in event.iter_mut().filter(unknown) {
        let values = flat(&v.expression, &source)?;
        fit_variable(v, &values, weights);
    }
    for (list, known) in lists.iter_mut().zip(&known) {
        let kept = source.kept(known)?;
        let repeat = |(o, &w): (&[usize], &f64)| std::iter::repeat_n(w, o[1] - o[0]);
        let weights: Vec<f64> = kept.offsets.windows(2).zip(weights).flat_map(repeat).collect();
        for v in list.variables.iter_mut().filter(unknown) {
            let values = source.column(v, &kept)?;
            fit_variable(v, &values, &weights);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fb_core::{Column, Data, Input};

    use super::*;
    use crate::features;

    fn events() -> Events {
        let offsets = Arc::new(vec![0, 4, 4, 6]);
        let jagged = |name: &str, x: Vec<f64>| Column::jagged(name, Data::F64(x), Arc::clone(&offsets));
        Events::new(vec![
            jagged("trk_sig", vec![1.0, 9.0, -2.0, 5.0, 3.0, 4.0]),
            jagged("trk_d0", vec![0.1, 0.2, 0.3, 0.4, 0.5, 50.0]),
            Column::flat("sv_mass", Data::F64(vec![2.0, 0.0, 4.0])),
            Column::flat("jet_pt", Data::F64(vec![10.0, 20.0, 30.0])),
        ])
        .unwrap()
    }

    fn list(name: &str, select: &str, max: usize, layout: Layout, variables: &[&str]) -> List {
        List {
            name: name.to_owned(),
            select: Some(select.to_owned()),
            order: (name == "trk").then(|| "trk_sig".to_owned()),
            max,
            layout,
            reversed: false,
            variables: variables.iter().map(|&v| Variable::plain(v)).collect(),
        }
    }

    #[test]
    fn entries_are_selected_ordered_and_cut() {
        let trk = list("trk", "trk_d0 < 2", 3, Layout::Cloud, &["trk_sig", "trk_d0 * jet_pt"]);
        let sv = list("sv", "sv_mass > 0", 1, Layout::Cloud, &["sv_mass / jet_pt"]);
        let event = vec![Variable::plain("jet_pt"), Variable::plain("sum(trk_sig) + sum(sv_mass)")];
        let features = features::prepare(&Input::Lists { event, lists: vec![trk.clone(), sv] }, &events()).unwrap();
        assert_eq!((features.width, &features.values[..]), (2, &[10.0, 15.0, 20.0, 0.0, 30.0, 11.0][..]));
        let [tracks, vertices] = &features.others[..] else { panic!("two lists") };
        assert_eq!(tracks.offsets.as_deref(), Some(&[0, 3, 3, 4][..]));
        assert_eq!(tracks.values, [9.0, 2.0, 5.0, 4.0, 1.0, 1.0, 3.0, 15.0]);
        assert_eq!(
            (&vertices.values[..], vertices.offsets.as_deref()),
            (&[0.2, 4.0 / 30.0][..], Some(&[0, 1, 1, 2][..]))
        );
        let reversed = List { reversed: true, ..trk };
        let alone = features::prepare(&Input::Lists { event: vec![], lists: vec![reversed] }, &events()).unwrap();
        assert_eq!(alone.values, [1.0, 1.0, 5.0, 4.0, 9.0, 2.0, 3.0, 15.0], "without numbers of the event");
        assert!(alone.others.is_empty());
    }

    #[test]
    fn sequences_join_the_row_of_the_event() {
        let trk = list("trk", "trk_d0 < 2", 2, Layout::Sequence, &["trk_sig", "trk_d0"]);
        let sv = list("sv", "sv_mass > 0", 1, Layout::Sequence, &["sv_mass"]);
        let input = Input::Lists { event: vec![Variable::plain("jet_pt")], lists: vec![trk, sv] };
        let features = features::prepare(&input, &events()).unwrap();
        let rows: Vec<f32> =
            vec![10.0, 9.0, 0.2, 5.0, 0.4, 2.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 30.0, 3.0, 0.5, 0.0, 0.0, 4.0];
        assert_eq!((features.width, features.values, features.others), (6, rows, Vec::new()));
    }

    #[test]
    fn statistics_are_of_the_entries_that_are_kept() {
        let mut trk = list("trk", "trk_d0 < 2", 1, Layout::Cloud, &[]);
        trk.variables = vec![Variable::standard("trk_sig")];
        let input = Input::Lists { event: vec![Variable::standard("jet_pt")], lists: vec![trk] };
        let fitted = features::fit(&input, &events(), &[1.0, 0.0, 1.0]).unwrap();
        let Input::Lists { event, lists } = &fitted else { panic!("lists") };
        assert_eq!((event[0].center, event[0].scale), (Some(20.0), Some(0.1)));
        assert_eq!((lists[0].variables[0].center, lists[0].variables[0].scale), (Some(6.0), Some(1.0 / 3.0)));
        assert_eq!(features::prepare(&fitted, &events()).unwrap().others[0].values, [1.0, -1.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let message = |list: List| {
            features::prepare(&Input::Lists { event: vec![], lists: vec![list] }, &events()).unwrap_err().to_string()
        };
        let cloud = |select: &str, variable: &str| list("trk", select, 3, Layout::Cloud, &[variable]);
        assert!(message(cloud("trk_d0 < 2", "log(trk_sig - 2)")).contains("not finite in event 0"));
        assert!(message(cloud("trk_dz < 2", "trk_sig")).contains("did you mean `trk_d0`"));
        let mut nothing = list("neu", "jet_pt > 1", 3, Layout::Cloud, &["jet_pt"]);
        assert!(message(nothing.clone()).contains("starts with `neu_`"));
        nothing.variables = vec![Variable::plain("neu_pt")];
        assert!(message(nothing).contains("no column `neu_pt`"));
        let fine = cloud("trk_sig > 0", "1 / (trk_sig + 2)");
        assert!(
            features::prepare(&Input::Lists { event: vec![], lists: vec![fine] }, &events()).is_ok(),
            "entry 2 is left out"
        );
    }
}
