//! Sweeping over all frames: kpageflags in windows, distributed over the CPUs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::scope;

use super::threads;
use super::words::Words;
use crate::error::Result;

/// Frames per window. Windows are aligned to their size, so no folio is split except hugetlb pages larger than 128 MiB (with 4
/// KiB pages): the largest block of the buddy allocator has 8,192 pages.
pub const WINDOW: u64 = 32 * 1024;

/// The maximum number of threads: the kernel's part of the work scales with CPUs until it is limited by memory bandwidth.
const MOST_THREADS: usize = 8;

/// Reads the words of frames `0..end`, or to the end of the file if that comes first, and passes each window to `each` with its
/// first frame and the thread's accumulator, which `new` creates. `progress` is called from time to time with the number of
/// frames read.
///
/// Returns the end of the frames read (exclusive), and the accumulator of each thread.
///
/// # Errors
/// Those of reading and of `each`; the first one ends the sweep.
pub fn sweep<T: Send>(
    words: &Words,
    end: u64,
    new: impl Fn() -> T + Sync,
    each: impl Fn(&mut T, u64, &[u64]) -> Result<()> + Sync,
    mut progress: impl FnMut(u64),
) -> Result<(u64, Vec<T>)> {
    let (next, end) = (AtomicU64::new(0), AtomicU64::new(end));
    let work = |progress: &mut dyn FnMut(u64)| -> Result<T> {
        let mut gathered = new();
        let mut window = vec![0; WINDOW as usize];
        loop {
            let first = next.fetch_add(WINDOW, Relaxed);
            let wanted = end.load(Relaxed).saturating_sub(first).min(WINDOW) as usize;
            if wanted == 0 {
                return Ok(gathered);
            }
            // A thread that fails stops the others.
            let stop_at = |place: u64| end.fetch_min(place, Relaxed);
            let got = words.read(first, &mut window[..wanted]).inspect_err(|_| {
                stop_at(0);
            })?;
            if got < wanted {
                stop_at(first + got as u64);
            }
            each(&mut gathered, first, &window[..got]).inspect_err(|_| {
                stop_at(0);
            })?;
            progress(first + got as u64);
        }
    };
    let gathered = scope(|scope| {
        let others: Vec<_> =
            (1..threads::worthwhile(MOST_THREADS)).map_while(|_| threads::start(scope, || work(&mut |_| ()))).collect();
        let own = work(&mut progress);
        std::iter::once(own).chain(others.into_iter().map(threads::join)).collect::<Result<Vec<T>>>()
    })?;
    Ok((end.into_inner(), gathered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::kernel::dir::Dir;

    /// A recorded file of `count` words, each its own number.
    fn words(count: u64) -> (tempfile::TempDir, Words) {
        let top = tempfile::tempdir().unwrap();
        std::fs::write(top.path().join("words"), format!("pmem-words 1 holes=zero\n0 {count:x} 0 1\n")).unwrap();
        let words = Words::open(&Dir::confined(top.path()).unwrap(), "words", true).unwrap();
        (top, words)
    }

    #[test]
    fn every_frame_is_seen_once() {
        for count in [1, WINDOW - 1, WINDOW, 10 * WINDOW + 7] {
            let (_top, words) = words(count);
            let add = |sum: &mut u64, first: u64, window: &[u64]| {
                assert!(window.iter().zip(first..).all(|(word, frame)| *word == frame));
                *sum += window.iter().sum::<u64>();
                Ok(())
            };
            let (end, sums) = sweep(&words, count, || 0, add, |_| ()).unwrap();
            assert_eq!((end, sums.iter().sum::<u64>()), (count, count * (count - 1) / 2));
        }
    }

    #[test]
    fn a_failure_ends_it() {
        let (_top, words) = words(100 * WINDOW);
        let fail = |_: &mut (), first, _: &[u64]| match first {
            0 => Err(Error::Unsupported { what: "no".to_owned() }),
            _ => Ok(()),
        };
        assert!(sweep(&words, 100 * WINDOW, || (), fail, |_| ()).is_err());
    }
}
