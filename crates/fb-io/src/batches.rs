//! Tables read by all workers, batch by batch.
//!
//! Work is shared out by (cluster, branch): several clusters are read at once, so that no thread waits at the end of each
//! for the longest branch. Where there are few clusters and branches, parts of a branch are read apart and put together.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_select::concat::concat;
use fb_core::Workers;

use crate::table::{Table, schema};
use crate::{Error, Result};

/// Tasks for each thread: the last ones to end keep the others waiting for a tenth of the time at most.
const TASKS: usize = 8;
/// Memory that the clusters that are read at once may take; a single one may take more.
const AHEAD: usize = 64 << 20;

/// All entries of some branches, in order, a batch for each cluster.
pub struct Batches<'a> {
    table: &'a dyn Table,
    branches: &'a [usize],
    workers: &'a dyn Workers,
    clusters: VecDeque<Range<u64>>,
    read: VecDeque<(Range<u64>, Result<RecordBatch>)>,
    /// Clusters that are read at once.
    ahead: usize,
}

/// Reads some branches with all workers, a few clusters at a time. The batches do not depend on the number of threads.
pub fn batches<'a>(table: &'a dyn Table, branches: &'a [usize], workers: &'a dyn Workers) -> Batches<'a> {
    let (clusters, ahead) = (table.clusters().into(), workers.count());
    Batches { table, branches, workers, clusters, read: VecDeque::new(), ahead }
}

impl Iterator for Batches<'_> {
    type Item = (Range<u64>, Result<RecordBatch>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() {
            let n = self.ahead.min(self.clusters.len());
            let clusters: Vec<_> = self.clusters.drain(..n).collect();
            let batches = read_clusters(self.table, self.branches, &clusters, self.workers);
            // How much memory a cluster takes is known once one is read.
            let size = batches.iter().flatten().map(RecordBatch::get_array_memory_size).max().unwrap_or(AHEAD);
            let most = if self.workers.count() > 1 { 4 * self.workers.count() } else { 1 };
            self.ahead = (AHEAD / size.max(1)).clamp(1, most);
            self.read.extend(clusters.into_iter().zip(batches));
        }
        self.read.pop_front()
    }
}

/// Reads entries of branches with all workers.
///
/// # Errors
/// Those of [`Table::read`].
pub fn read_batch(
    table: &dyn Table,
    branches: &[usize],
    entries: Range<u64>,
    workers: &dyn Workers,
) -> Result<RecordBatch> {
    let batch = read_clusters(table, branches, &[entries], workers).pop();
    batch.unwrap_or_else(|| Ok(RecordBatch::new_empty(schema(table, branches))))
}

/// A part of a branch in one of the clusters.
struct Task {
    cluster: usize,
    /// Position among the branches that are read.
    branch: usize,
    entries: Range<u64>,
    array: Mutex<Option<Result<ArrayRef>>>,
}

fn read_clusters(
    table: &dyn Table,
    branches: &[usize],
    clusters: &[Range<u64>],
    workers: &dyn Workers,
) -> Vec<Result<RecordBatch>> {
    if workers.count() < 2 || !table.is_columnar() || branches.is_empty() {
        let read = |entries: &Range<u64>| batch(table, branches, entries, table.read(branches, entries.clone())?);
        return clusters.iter().map(read).collect();
    }
    let parts = (TASKS * workers.count()).div_ceil(branches.len() * clusters.len().max(1));
    let mut tasks = Vec::new();
    for (cluster, entries) in clusters.iter().enumerate() {
        for (branch, &index) in branches.iter().enumerate() {
            for entries in table.parts(index, entries.clone(), parts) {
                tasks.push(Task { cluster, branch, entries, array: Mutex::default() });
            }
        }
    }
    // Each thread takes the next task when it is done with one.
    let next = AtomicUsize::new(0);
    workers.for_each(workers.count(), &|_| {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let array = table
                .read(&[branches[task.branch]], task.entries.clone())
                .and_then(|mut arrays| arrays.pop().ok_or_else(|| unreadable(table, "a branch without an array")));
            if let Ok(mut slot) = task.array.lock() {
                *slot = Some(array);
            }
        }
    });
    let mut found: Vec<Vec<Vec<Result<ArrayRef>>>> =
        clusters.iter().map(|_| branches.iter().map(|_| Vec::new()).collect()).collect();
    for task in tasks {
        let array = task.array.into_inner().ok().flatten();
        let array = array.unwrap_or_else(|| Err(unreadable(table, "a thread ended early")));
        found[task.cluster][task.branch].push(array);
    }
    let together = |(entries, columns): (&Range<u64>, Vec<Vec<Result<ArrayRef>>>)| {
        let columns = columns.into_iter().zip(branches).map(|(parts, &branch)| join(table, branch, entries, parts));
        batch(table, branches, entries, columns.collect::<Result<Vec<_>>>()?)
    };
    clusters.iter().zip(found).map(together).collect()
}

/// The array of a branch from its parts.
fn join(table: &dyn Table, branch: usize, entries: &Range<u64>, mut parts: Vec<Result<ArrayRef>>) -> Result<ArrayRef> {
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let arrays: Result<Vec<ArrayRef>> = parts.into_iter().collect();
    let joined = arrays.ok().and_then(|arrays| {
        let arrays: Vec<_> = arrays.iter().map(AsRef::as_ref).collect();
        concat(&arrays).ok()
    });
    // An error speaks of the whole cluster, as it does with one thread.
    joined.map_or_else(
        || table.read(&[branch], entries.clone())?.pop().ok_or_else(|| unreadable(table, "a branch without an array")),
        Ok,
    )
}

fn batch(table: &dyn Table, branches: &[usize], entries: &Range<u64>, arrays: Vec<ArrayRef>) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some((entries.end - entries.start) as usize));
    RecordBatch::try_new_with_options(schema(table, branches), arrays, &options)
        .map_err(|e| unreadable(table, &e.to_string()))
}

fn unreadable(table: &dyn Table, reason: &str) -> Error {
    Error::Unsupported { path: table.name().into(), place: "columns".to_owned(), reason: reason.to_owned() }
}
