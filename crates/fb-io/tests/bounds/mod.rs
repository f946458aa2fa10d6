//! What reading a damaged file may take, and how it is told.

use std::time::Duration;

/// For a single file, where a whole one takes a few milliseconds.
pub const SLOWEST: Duration = Duration::from_secs(2);
/// Mutants of a format that every run tries.
pub const MUTANTS: u64 = 20_000;
/// Mutants in the slow set.
pub const MILLION: u64 = 1_000_000;

/// Largest memory that may be taken for files of so many bytes.
pub fn most_memory(largest_file: u64) -> u64 {
    (64 << 20) + 8 * largest_file
}

/// The largest resident memory of this process so far; zero where the system does not tell.
pub fn largest_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) << 10
}
