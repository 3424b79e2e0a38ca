//! Tracking which of its own pages a process touches: clear_refs, and userfaultfd asynchronous write protection (since Linux
//! 6.7), with which the kernel resolves each fault itself and only records that the page was written.
//!
//! Layouts, numbers and error codes are those of `include/uapi/linux/userfaultfd.h`.

#![allow(unsafe_code)]
#![allow(unreachable_pub, private_interfaces, reason = "the ioctl macros make public functions")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;

use super::memory::Mapping;

/// What `clear_refs` clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// The accessed bits. The kernel does not flush the TLB: accesses through cached translations go unnoticed.
    Accessed,
    /// The soft-dirty bits. A kernel without them reports success and does nothing.
    SoftDirty,
}

/// Clears these bits in all memory of this process.
///
/// # Errors
/// Those of the system calls.
pub fn forget(what: Forget) -> nix::Result<()> {
    let file = open(c"/proc/self/clear_refs", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let number: &[u8] = match what {
        Forget::Accessed => b"1",
        Forget::SoftDirty => b"4",
    };
    nix::unistd::write(file, number).map(drop)
}

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_range`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Range {
    start: u64,
    length: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_writeprotect`.
#[repr(C)]
struct WriteProtect {
    range: Range,
    mode: u64,
}

nix::ioctl_readwrite! {
    /// UFFDIO_API.
    uffdio_api, 0xaa, 0x3f, Api
}
nix::ioctl_readwrite! {
    /// UFFDIO_REGISTER.
    uffdio_register, 0xaa, 0x00, Register
}
nix::ioctl_readwrite! {
    /// UFFDIO_WRITEPROTECT.
    uffdio_writeprotect, 0xaa, 0x06, WriteProtect
}

/// Tracks which pages of a mapping are written, as long as it is open. PAGEMAP_SCAN reports them
/// ([`category::WRITTEN`](super::scan::category::WRITTEN)).
#[derive(Debug)]
pub struct WriteWatch(OwnedFd);

impl WriteWatch {
    /// Starts watching a fully populated mapping: none of its pages counts as written yet.
    ///
    /// # Errors
    /// EINVAL on a kernel without asynchronous mode, ENOSYS or EPERM if this process may not use userfaultfd.
    pub fn begin(mapping: &Mapping) -> nix::Result<Self> {
        const USER_MODE_ONLY: libc::c_int = 1;
        const API: u64 = 0xaa;
        const FEATURE_WP_ASYNC: u64 = 1 << 15;
        const REGISTER_MODE_WP: u64 = 1 << 1;
        let flags = USER_MODE_ONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: the call takes only flags.
        let made = Errno::result(unsafe { libc::syscall(libc::SYS_userfaultfd, flags) })?;
        // SAFETY: the descriptor is new and not owned by anything else.
        let watch = Self(unsafe { OwnedFd::from_raw_fd(made as libc::c_int) });
        let mut api = Api { api: API, features: FEATURE_WP_ASYNC, ioctls: 0 };
        // SAFETY: `api` is laid out as the kernel's struct, and lives until after the call.
        unsafe { uffdio_api(watch.0.as_raw_fd(), &raw mut api) }?;
        let mut register = Register { range: range(mapping), mode: REGISTER_MODE_WP, ioctls: 0 };
        // SAFETY: as above. It changes how faults in the mapping are handled, but not its contents.
        unsafe { uffdio_register(watch.0.as_raw_fd(), &raw mut register) }?;
        watch.forget(mapping)?;
        Ok(watch)
    }

    /// Resets which pages of the mapping count as written.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn forget(&self, mapping: &Mapping) -> nix::Result<()> {
        const MODE_WP: u64 = 1;
        let mut protect = WriteProtect { range: range(mapping), mode: MODE_WP };
        // SAFETY: the struct is laid out as the kernel's and lives until after the call. Writes still succeed: the kernel
        // itself removes the protection of the page.
        unsafe { uffdio_writeprotect(self.0.as_raw_fd(), &raw mut protect) }.map(drop)
    }

    /// Its descriptor: the mapping is watched until it is closed.
    pub fn into_descriptor(self) -> OwnedFd {
        self.0
    }
}

fn range(mapping: &Mapping) -> Range {
    Range { start: mapping.address().0, length: mapping.length() as u64 }
}
