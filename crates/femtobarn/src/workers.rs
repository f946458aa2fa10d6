//! Threads.

use fb_core::Workers;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use crate::failure::{Failure, Result};

/// A fixed number of threads.
pub struct Threads(rayon::ThreadPool);

impl Threads {
    /// `count` threads; zero stands for as many as the machine has.
    pub fn new(count: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        pool.map(Self).map_err(|e| Failure::Usage(format!("cannot start {count} threads: {e}")))
    }
}

impl Workers for Threads {
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        if self.count() == 1 {
            return (0..n).for_each(task);
        }
        self.0.install(|| (0..n).into_par_iter().with_max_len(1).for_each(task));
    }

    fn count(&self) -> usize {
        self.0.current_num_threads()
    }
}
