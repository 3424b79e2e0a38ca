//! Memory of pmem's own: what the probes and the tests' workloads map, touch and give back.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap};
use nix::unistd::{ForkResult, Pid, fork};

use crate::unit::VirtAddr;

/// A mapping of this process, unmapped when dropped.
///
/// Its memory is only reached through volatile reads and writes of single bytes, never as a slice: other processes and
/// the kernel (`MADV_DONTNEED`, guard regions) change it behind the compiler's back.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<libc::c_void>,
    length: NonZeroUsize,
}

impl Mapping {
    /// Maps `length` bytes of anonymous memory with the given further flags (`MAP_PRIVATE` or `MAP_SHARED`, …), at
    /// `address` where one is given (`MAP_FIXED_NOREPLACE`: an occupied address is an error).
    pub fn anonymous(
        length: usize,
        protection: ProtFlags,
        flags: MapFlags,
        address: Option<usize>,
    ) -> nix::Result<Self> {
        let length = NonZeroUsize::new(length).ok_or(nix::errno::Errno::EINVAL)?;
        let address = address.and_then(NonZeroUsize::new);
        let flags = if address.is_some() { flags | MapFlags::MAP_FIXED_NOREPLACE } else { flags };
        // SAFETY: without MAP_FIXED (and no caller passes it: MAP_FIXED_NOREPLACE refuses an occupied address) a new
        // mapping takes no memory from anyone.
        let start = unsafe { mmap_anonymous(address, length, protection, flags) }?;
        Ok(Self { start, length })
    }

    /// Maps `length` bytes of `file` from its beginning.
    pub fn file(file: impl AsFd, length: usize, protection: ProtFlags, flags: MapFlags) -> nix::Result<Self> {
        Self::file_at(file, 0, length, protection, flags)
    }

    /// Maps `length` bytes of `file` from `offset` on.
    pub fn file_at(
        file: impl AsFd,
        offset: u64,
        length: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> nix::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(|_| nix::errno::Errno::EFBIG)?;
        let length = NonZeroUsize::new(length).ok_or(nix::errno::Errno::EINVAL)?;
        // SAFETY: as above. The memory is only reached by volatile single-byte accesses, so that a change of the file
        // by others is no data race on a reference.
        let start = unsafe { mmap(None, length, protection, flags, file, offset) }?;
        Ok(Self { start, length })
    }

    /// Private anonymous memory for reading and writing: what most callers want.
    pub fn private(length: usize) -> nix::Result<Self> {
        Self::anonymous(length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE, None)
    }

    /// Where the mapping begins.
    pub fn address(&self) -> VirtAddr {
        VirtAddr(self.start.as_ptr() as u64)
    }

    /// Its length in bytes.
    pub fn length(&self) -> usize {
        self.length.get()
    }

    /// Writes one byte at `offset`, which must be inside and writable (else the process ends with SIGSEGV).
    pub fn write(&self, offset: usize, value: u8) {
        assert!(offset < self.length(), "offset {offset} is outside the mapping");
        // SAFETY: the address is inside this mapping, which lives as long as `self`; no reference to it exists.
        unsafe { self.start.as_ptr().cast::<u8>().add(offset).write_volatile(value) }
    }

    /// Reads one byte at `offset`, which must be inside and readable.
    pub fn read(&self, offset: usize) -> u8 {
        assert!(offset < self.length(), "offset {offset} is outside the mapping");
        // SAFETY: as for `write`.
        unsafe { self.start.as_ptr().cast::<u8>().add(offset).read_volatile() }
    }

    /// Has the kernel read the byte at `offset`, which maps its page as a read does.
    ///
    /// # Errors
    /// EFAULT where there is nothing to read, as behind the end of a file: reading it here would end the process (SIGBUS).
    pub fn try_touch(&self, offset: usize) -> nix::Result<()> {
        let (_reader, writer) = nix::unistd::pipe()?;
        let address = self.at(offset, 1);
        // SAFETY: the address is inside this mapping; the kernel reads one byte there, or answers EFAULT.
        nix::errno::Errno::result(unsafe { libc::write(writer.as_raw_fd(), address.as_ptr(), 1) }).map(drop)
    }

    /// `madvise` on `length` bytes from `offset` on.
    pub fn advise(&self, offset: usize, length: usize, advice: MmapAdvise) -> nix::Result<()> {
        // SAFETY: the range is inside this mapping, whose contents nobody holds a reference to.
        unsafe { madvise(self.at(offset, length), length, advice) }
    }

    /// `madvise` with an advice that `nix` has no name for (`MADV_GUARD_INSTALL` is 102).
    pub fn advise_raw(&self, offset: usize, length: usize, advice: c_int) -> nix::Result<()> {
        // SAFETY: as for `advise`.
        nix::errno::Errno::result(unsafe { libc::madvise(self.at(offset, length).as_ptr(), length, advice) }).map(drop)
    }

    /// `mprotect` on `length` bytes from `offset` on.
    pub fn protect(&self, offset: usize, length: usize, protection: ProtFlags) -> nix::Result<()> {
        // SAFETY: the range is inside this mapping; later accesses to it go through `read` and `write` only.
        unsafe { mprotect(self.at(offset, length), length, protection) }
    }

    fn at(&self, offset: usize, length: usize) -> NonNull<libc::c_void> {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= self.length()),
            "{length} bytes from {offset} on are not inside the mapping"
        );
        // SAFETY: the offset was just checked to be inside the mapping.
        unsafe { self.start.byte_add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping's own and nothing refers to it any more. Failure leaves it mapped.
        let _ = unsafe { munmap(self.start, self.length.get()) };
    }
}

/// Asks for huge pages behind a vector's memory, before it is filled: ten megabytes of rows else take 2,600 faults, 5 ms.
/// Where there are none, nothing changes.
pub fn prefer_huge_pages<T>(vector: &Vec<T>) {
    const PAGE: usize = 4096;
    let start = (vector.as_ptr() as usize).next_multiple_of(PAGE);
    let length = (vector.as_ptr() as usize + vector.capacity() * size_of::<T>()).saturating_sub(start);
    if let Some(start) = NonNull::new(start as *mut libc::c_void) {
        // SAFETY: the range is inside the vector's allocation, and the advice changes nothing in it. An address that is
        // no multiple of a larger base page is refused by the kernel, and that is as well.
        let _ = unsafe { madvise(start, length / PAGE * PAGE, MmapAdvise::MADV_HUGEPAGE) };
    }
}

/// A SysV shared memory segment of `length` bytes, attached and already marked for removal: it goes with its last user.
///
/// # Errors
/// What `shmget` and `shmat` say.
pub fn sysv(length: usize, flags: c_int) -> nix::Result<Mapping> {
    let length = NonZeroUsize::new(length).ok_or(nix::errno::Errno::EINVAL)?;
    // SAFETY: shmget only makes a segment.
    let id = nix::errno::Errno::result(unsafe {
        libc::shmget(libc::IPC_PRIVATE, length.get(), libc::IPC_CREAT | 0o600 | flags)
    })?;
    // SAFETY: attaching where the kernel chooses takes no memory from anyone.
    let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    // SAFETY: IPC_RMID uses no buffer. It is done before the result of shmat is looked at, so that nothing stays behind.
    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    match NonNull::new(start) {
        Some(start) if start.as_ptr() as isize != -1 => Ok(Mapping { start, length }),
        _ => Err(nix::errno::Errno::last()),
    }
}

/// A new file of secret memory: its pages are mapped by who has the file, and by the kernel not at all.
///
/// # Errors
/// What `memfd_secret` says: `ENOSYS` where the kernel has it not, or has it switched off.
pub fn secret_memory() -> nix::Result<OwnedFd> {
    // The number is the same on all architectures that have it.
    const MEMFD_SECRET: libc::c_long = 447;
    // SAFETY: the call takes flags only, and makes a descriptor.
    unsafe { new_descriptor(libc::syscall(MEMFD_SECRET, libc::O_CLOEXEC)) }
}

/// A new io_uring for so many entries. Its file can be mapped from its beginning: the ring of submissions.
///
/// # Errors
/// What `io_uring_setup` says: `ENOSYS` or `EPERM` where there is none for this process.
pub fn io_uring(entries: u32) -> nix::Result<OwnedFd> {
    // struct io_uring_params: 120 bytes, all 0 for a ring like any other.
    let mut parameters = [0u64; 15];
    // SAFETY: the kernel fills in the parameters, which are as long as it takes them to be, and makes a descriptor.
    unsafe { new_descriptor(libc::syscall(libc::SYS_io_uring_setup, entries, parameters.as_mut_ptr())) }
}

/// # Safety
/// `returned` is what a system call returned that makes a descriptor, which nobody else has.
unsafe fn new_descriptor(returned: libc::c_long) -> nix::Result<OwnedFd> {
    let descriptor = nix::errno::Errno::result(returned)? as RawFd;
    // SAFETY: as the caller says.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Runs `work` in a forked child, which then exits with the status it returned.
///
/// For single-threaded programs only (the workloads are): in a child of a program with threads, a lock that another
/// thread held would stay locked for ever.
///
/// # Errors
/// What `fork` says.
pub fn in_child(work: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: the caller has one thread, so the child may do what the parent could.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => std::process::exit(work()),
    }
}

/// Starts a process that has this one's address space (`CLONE_VM`), and only waits until it is ended.
///
/// # Errors
/// What `clone` says.
pub fn process_of_same_memory() -> nix::Result<Pid> {
    extern "C" fn wait(_: *mut libc::c_void) -> c_int {
        // SAFETY: it ends when the thread that started it does.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        loop {
            // SAFETY: it waits for a signal.
            unsafe { libc::pause() };
        }
    }
    // Its stack stays mapped as long as this process lives.
    let stack = std::mem::ManuallyDrop::new(Mapping::private(64 * 1024)?);
    let flags = libc::CLONE_VM | libc::SIGCHLD;
    // SAFETY: what runs in it has the stack to itself, down from its end, touches no other memory of this process, and
    // never returns.
    let pid = unsafe { libc::clone(wait, stack.start.as_ptr().byte_add(stack.length()), flags, std::ptr::null_mut()) };
    nix::errno::Errno::result(pid).map(Pid::from_raw)
}
