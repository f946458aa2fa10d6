//! Work shared out over threads in pieces that own what they change.

use std::sync::Mutex;

use fb_core::Workers;

/// Calls `task` once for each item, on any thread, and gives the results in the order of the items.
pub(crate) fn map<T: Send, R: Send>(workers: &dyn Workers, items: Vec<T>, task: impl Fn(T) -> R + Sync) -> Vec<R> {
    if workers.count() < 2 || items.len() < 2 {
        return items.into_iter().map(task).collect();
    }
    let slots: Vec<Mutex<(Option<T>, Option<R>)>> = items.into_iter().map(|i| Mutex::new((Some(i), None))).collect();
    workers.for_each(slots.len(), &|i| {
        // Each slot is taken once, so nobody ever waits for the lock.
        let Ok(mut slot) = slots[i].lock() else { return };
        if let Some(item) = slot.0.take() {
            slot.1 = Some(task(item));
        }
    });
    slots.into_iter().filter_map(|slot| slot.into_inner().ok()?.1).collect()
}

/// The lengths of pieces of at most `most` that make up `n`.
pub(crate) fn pieces(n: usize, most: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..n).step_by(most.max(1)).map(move |start| start..(start + most).min(n))
}
