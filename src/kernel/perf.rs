//! A hardware event counter for this process: TLB misses.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, RawFd};

use nix::errno::Errno;
use nix::libc;

/// Counts this thread's user-mode loads that miss the data TLB.
#[derive(Debug)]
pub struct TlbMisses {
    event: File,
}

/// `struct perf_event_attr` in its first version, which all kernels accept. (include/uapi/linux/perf_event.h)
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
}

const PERF_TYPE_HW_CACHE: u32 = 3;
/// PERF_COUNT_HW_CACHE_DTLB, OP_READ in the second byte, RESULT_MISS in the third.
const DTLB_READ_MISSES: u64 = 3 | 1 << 16;
/// PERF_FORMAT_TOTAL_TIME_ENABLED and _RUNNING: two more words after the count.
const WITH_TIMES: u64 = 0b11;
/// `exclude_kernel` and `exclude_hv`: an ordinary user may count only user mode.
const USER_ONLY: u64 = 1 << 5 | 1 << 6;

impl TlbMisses {
    /// Starts counting.
    ///
    /// # Errors
    /// Those of `perf_event_open`: `ENOENT` if the CPU does not have the counter, as in most virtual machines; `EACCES` if
    /// `kernel.perf_event_paranoid` forbids it.
    pub fn open() -> nix::Result<Self> {
        let attributes = Attributes {
            kind: PERF_TYPE_HW_CACHE,
            size: size_of::<Attributes>() as u32,
            config: DTLB_READ_MISSES,
            read_format: WITH_TIMES,
            flags: USER_ONLY,
            ..Attributes::default()
        };
        let (this_thread, any_processor, no_group) = (0, -1, -1);
        // SAFETY: the attributes have the size they state; the call reads them and creates a descriptor.
        let descriptor = Errno::result(unsafe {
            let attributes = std::ptr::from_ref(&attributes);
            let close_on_exec: libc::c_ulong = 1 << 3;
            libc::syscall(libc::SYS_perf_event_open, attributes, this_thread, any_processor, no_group, close_on_exec)
        })?;
        // SAFETY: the descriptor is new and not owned by anything else.
        Ok(Self { event: unsafe { File::from_raw_fd(descriptor as RawFd) } })
    }

    /// The misses since it was opened, extrapolated if the counter was multiplexed with others. `None` if it never ran.
    pub fn count(&mut self) -> Option<u64> {
        let mut words = [0; 24];
        self.event.read_exact(&mut words).ok()?;
        let word = |index: usize| words.as_chunks::<8>().0.get(index).map(|word| u64::from_ne_bytes(*word));
        let (count, enabled, running) = (word(0)?, word(1)?, word(2)?);
        let scaled = u128::from(count) * u128::from(enabled);
        u64::try_from(scaled.checked_div(u128::from(running))?).ok()
    }
}
