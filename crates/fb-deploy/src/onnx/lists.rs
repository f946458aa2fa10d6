//! Numbers of an event and lists of objects in it.

use std::collections::BTreeMap;

use fb_core::expression::Expression;
use fb_core::{Layout, List, Variable};

use super::builder::{Builder, Element, Setting, Size, Value};
use super::expressions::{Scope, Term};
use super::preparation::{Prepared, columns, sequence};
use crate::Error;
use crate::inputs::{Kind, Slot};

/// The row of the event, then the rows of each cloud: see [`fb_core::Input::Lists`].
pub(super) fn prepare(
    b: &mut Builder,
    slots: &[Slot],
    event: &[Variable],
    lists: &[List],
) -> Result<Vec<Prepared>, Error> {
    let mut masks = BTreeMap::new();
    let mut names = BTreeMap::new();
    // [event, 1] of any input, for the number of events.
    let mut first = None;
    for slot in slots {
        let term = if let Kind::Entry(list) = slot.kind {
            let x = b.input(
                &slot.name,
                &[Size::Free("events"), Size::Named(format!("{} entries", lists[list].name))],
                "one number per entry of the list; NaN is padding",
            );
            let value = b.cast(&x, Element::F64);
            let mask = masks.entry(&lists[list].name).or_insert_with(|| {
                let missing = b.op("IsNaN", &[&value]);
                b.op("Not", &[&missing])
            });
            Term { mask: Some(mask.clone()), value }
        } else {
            let x = b.input(&slot.name, &[Size::Free("events")], "one number per event");
            let x = b.cast(&x, Element::F64);
            Term { value: b.unsqueeze(&x, 1), mask: None }
        };
        first.get_or_insert_with(|| b.size(&term.value, 0));
        names.insert(slot.alias.clone(), term);
    }
    let Some(events) = first else {
        return Err(Error::Unsupported { reason: "the model sees no column".to_owned() });
    };
    let scope = Scope { names };
    let one = b.integers(&[1]);
    let shape = b.concat(&[&events, &one], 0);
    // A variable without a name in it is a plain number.
    let mut row: Vec<Value> = columns(b, &scope, event)?.iter().map(|x| b.op("Expand", &[x, &shape])).collect();
    let mut clouds = Vec::new();
    for list in lists {
        let none = || Error::Unsupported { reason: format!("list `{}` has no column", list.name) };
        let rows = kept(b, &scope, list, masks.get(&list.name).ok_or_else(none)?)?;
        if list.layout == Layout::Cloud {
            clouds.push(rows);
        } else {
            row.push(sequence(b, &rows.value, list.max, list.variables.len()));
        }
    }
    if !row.is_empty() {
        let value = b.concat(&row.iter().map(String::as_str).collect::<Vec<_>>(), 1);
        clouds.insert(0, Prepared { value, mask: None });
    }
    Ok(clouds)
}

/// The entries of a list that are kept, in their order.
fn kept(b: &mut Builder, scope: &Scope, list: &List, mask: &str) -> Result<Prepared, Error> {
    let mut own = mask.to_owned();
    if let Some(select) = &list.select {
        let condition = scope.evaluate(b, &Expression::parse(select)?)?.value;
        let condition = b.truth(&condition);
        own = b.op("And", &[&own, &condition]);
    }
    // Without an order, places fall from one entry to the next; equal keys stay in the order of the input, and what is
    // not taken comes last.
    let key = match &list.order {
        Some(order) => scope.evaluate(b, &Expression::parse(order)?)?.value,
        None => b.f64(0.0),
    };
    let key = b.or(&own, &key, f64::NEG_INFINITY);
    let (size, max) = (b.size(&key, 1), b.integers(&[list.max as i64]));
    let count = b.op("Min", &[&size, &max]);
    let options =
        vec![("axis", Setting::Integer(1)), ("largest", Setting::Integer(1)), ("sorted", Setting::Integer(1))];
    let top = b.op_many("TopK", &[&key, &count], options, 2);
    let mask = b.above(&top[0], f64::NEG_INFINITY);
    let mut place = top[1].clone();
    if list.reversed {
        // Entry i of n comes from place n − 1 − i; those that are not there stay.
        let ones = b.cast(&mask, Element::I64);
        let n = b.sum_keep(&ones, 1);
        let i = b.count_up(&mask, 1);
        let last = b.integer(-1);
        let back = b.sub(&n, &i);
        let back = b.op("Add", &[&back, &last]);
        let from = b.choose(&mask, &back, &i);
        place = b.op_with("GatherElements", &[&place, &from], vec![("axis", Setting::Integer(1))]);
    }
    let all = b.op("Shape", &[&own]);
    let mut rows = Vec::new();
    for x in columns(b, scope, &list.variables)? {
        let x = b.op("Expand", &[&x, &all]);
        let x = b.op_with("GatherElements", &[&x, &place], vec![("axis", Setting::Integer(1))]);
        let zero = b.f32(0.0);
        let x = b.choose(&mask, &x, &zero);
        rows.push(b.unsqueeze(&x, 2));
    }
    let value = b.concat(&rows.iter().map(String::as_str).collect::<Vec<_>>(), 2);
    Ok(Prepared { value, mask: Some(mask) })
}
