//! How far `statm` may be from the truth.
//!
//! Resident pages are counted by `mm_counter`s. Up to Linux 6.1 every thread keeps a cache that it hands in after 64
//! faults; from 6.2 on they are per-CPU counters with a batch of max(32, 2 × CPUs), which statm sums exactly only since
//! 6.16 (and in stable kernels with commit 82241a83cd15). Whether it does is probed:
//! [`Features::statm_exact`](crate::kernel::features::Features::statm_exact).

use crate::unit::PageSize;

/// The most pages by which statm may differ from the page tables on a kernel where it is not exact.
///
/// `release` is the kernel's, as `uname -r` gives it; `threads` the process's. A release that cannot be read gets the
/// larger of both bounds.
pub fn bound_pages(release: &str, cpus: u64, threads: u64, page_size: PageSize) -> u64 {
    // A file fault maps the pages around it too, 64 KiB by default, and counts as one (562 pages were seen missing on
    // Linux 6.1 with 4 KiB pages); the cache is handed in by the 66th. (mm/memory.c, check_sync_rss_stat)
    let around = page_size.pages_in(64 * 1024).max(1);
    let per_thread = threads.max(1).saturating_mul(66 * around);
    // Three counters (anonymous, file, shared memory) add up to the number.
    let per_cpu = cpus.saturating_mul(cpus.saturating_mul(2).max(32)).saturating_mul(3);
    match version(release) {
        Some(version) if version < (6, 2) => per_thread,
        Some(_) => per_cpu,
        None => per_thread.max(per_cpu),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_one_of_the_kernels_counters() {
        let bound = |release, cpus, threads| bound_pages(release, cpus, threads, PageSize::new(4096).unwrap());
        assert_eq!(bound("5.10.0-28-amd64", 8, 3), 3 * 66 * 16);
        assert_eq!(bound("6.1.192", 2, 1), 66 * 16);
        assert_eq!(bound("6.8.0-45-generic", 2, 1), 3 * 2 * 32);
        assert_eq!(bound("6.8.0", 64, 1), 3 * 64 * 128);
        assert_eq!(bound("unknown", 2, 1), 66 * 16);
        assert_eq!(bound("6.8.0", u64::MAX, 1), u64::MAX);
        assert_eq!(bound_pages("6.1.0", 2, 1, PageSize::new(65536).unwrap()), 66);
    }
}
