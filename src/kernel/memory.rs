//! Memory of this process: mapping, touching and releasing it, for probes, demos and the test workloads.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use nix::libc;
use nix::sys::mman::{
    MRemapFlags, MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, mprotect, mremap, munlock,
    munmap,
};
use nix::unistd::{ForkResult, Pid, fork};

use crate::unit::VirtAddr;

/// A mapping of this process, unmapped when dropped.
///
/// Its memory is accessed only by volatile reads and writes of single bytes, never as a slice: other processes and the kernel
/// (`MADV_DONTNEED`, guard regions) change it behind the compiler's back.
#[derive(Debug)]
pub struct Mapping {
    pub(super) start: NonNull<libc::c_void>,
    pub(super) length: NonZeroUsize,
}

impl Mapping {
    /// Maps `length` bytes of anonymous memory with the given flags (`MAP_PRIVATE` or `MAP_SHARED`, …), at `address` if given
    /// (`MAP_FIXED_NOREPLACE`: an occupied address is an error).
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
        Self::file_placed(file, offset, length, protection, flags, None)
    }

    /// Likewise, at `address` if given (`MAP_FIXED_NOREPLACE`: an occupied address is an error).
    pub fn file_placed(
        file: impl AsFd,
        offset: u64,
        length: usize,
        protection: ProtFlags,
        flags: MapFlags,
        address: Option<usize>,
    ) -> nix::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(|_| nix::errno::Errno::EFBIG)?;
        let length = NonZeroUsize::new(length).ok_or(nix::errno::Errno::EINVAL)?;
        let address = address.and_then(NonZeroUsize::new);
        let flags = if address.is_some() { flags | MapFlags::MAP_FIXED_NOREPLACE } else { flags };
        // SAFETY: as above. The memory is accessed only by volatile single-byte accesses, so changes to the file by others are
        // not data races on a reference.
        let start = unsafe { mmap(address, length, protection, flags, file, offset) }?;
        Ok(Self { start, length })
    }

    /// Maps private anonymous memory, readable and writable.
    pub fn private(length: usize) -> nix::Result<Self> {
        Self::anonymous(length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE, None)
    }

    /// The start of the mapping.
    pub fn address(&self) -> VirtAddr {
        VirtAddr(self.start.as_ptr() as u64)
    }

    /// Its length in bytes.
    pub fn length(&self) -> usize {
        self.length.get()
    }

    /// Writes one byte at `offset`, which must be inside the mapping and writable (or the process dies of SIGSEGV).
    pub fn write(&self, offset: usize, value: u8) {
        assert!(offset < self.length(), "offset {offset} is outside the mapping");
        // SAFETY: the address is inside this mapping, which lives as long as `self`; no reference to it exists.
        unsafe { self.start.as_ptr().cast::<u8>().add(offset).write_volatile(value) }
    }

    /// Reads one byte at `offset`, which must be inside the mapping and readable.
    pub fn read(&self, offset: usize) -> u8 {
        assert!(offset < self.length(), "offset {offset} is outside the mapping");
        // SAFETY: as for `write`.
        unsafe { self.start.as_ptr().cast::<u8>().add(offset).read_volatile() }
    }

    /// Has the kernel read the byte at `offset`, which faults the page in like a read.
    ///
    /// # Errors
    /// EFAULT if it cannot be read, for example beyond the end of a file, where a direct read would raise SIGBUS.
    pub fn try_touch(&self, offset: usize) -> nix::Result<()> {
        let (_reader, writer) = nix::unistd::pipe()?;
        let address = self.at(offset, 1);
        // SAFETY: the address is inside this mapping; the kernel reads one byte there, or returns EFAULT.
        nix::errno::Errno::result(unsafe { libc::write(writer.as_raw_fd(), address.as_ptr(), 1) }).map(drop)
    }

    /// Has the kernel write the byte at `offset`, which faults the page in like a write.
    ///
    /// # Errors
    /// EFAULT if it cannot be written, where a direct write would kill the process.
    pub fn try_write(&self, offset: usize, value: u8) -> nix::Result<()> {
        let (reader, writer) = nix::unistd::pipe()?;
        nix::unistd::write(&writer, &[value])?;
        let address = self.at(offset, 1);
        // SAFETY: the address is inside this mapping, to which no reference exists; the kernel writes one byte there, or
        // returns EFAULT.
        nix::errno::Errno::result(unsafe { libc::read(reader.as_raw_fd(), address.as_ptr(), 1) }).map(drop)
    }

    /// `madvise` on `length` bytes from `offset` on.
    pub fn advise(&self, offset: usize, length: usize, advice: MmapAdvise) -> nix::Result<()> {
        // SAFETY: the range is inside this mapping, whose contents nobody holds a reference to.
        unsafe { madvise(self.at(offset, length), length, advice) }
    }

    /// Disables huge pages for the mapping (MADV_NOHUGEPAGE). A kernel without huge pages rejects the advice, which is fine.
    pub fn keep_small(&self) {
        let _ = self.advise(0, self.length(), MmapAdvise::MADV_NOHUGEPAGE);
    }

    /// `madvise` with an advice value that `nix` does not define (`MADV_GUARD_INSTALL` is 102).
    pub fn advise_raw(&self, offset: usize, length: usize, advice: c_int) -> nix::Result<()> {
        // SAFETY: as for `advise`.
        nix::errno::Errno::result(unsafe { libc::madvise(self.at(offset, length).as_ptr(), length, advice) }).map(drop)
    }

    /// `mprotect` on `length` bytes from `offset` on.
    pub fn protect(&self, offset: usize, length: usize, protection: ProtFlags) -> nix::Result<()> {
        // SAFETY: the range is inside this mapping; later accesses go only through `read` and `write`.
        unsafe { mprotect(self.at(offset, length), length, protection) }
    }

    /// Locks `length` bytes from `offset` on (`mlock`): they are faulted in and stay resident.
    pub fn lock(&self, offset: usize, length: usize) -> nix::Result<()> {
        // SAFETY: the range is inside this mapping; its contents do not change.
        unsafe { mlock(self.at(offset, length), length) }
    }

    /// Likewise, but locks each page when it is touched (`mlock2` with `MLOCK_ONFAULT`).
    pub fn lock_on_fault(&self, offset: usize, length: usize) -> nix::Result<()> {
        // SAFETY: as for `lock`.
        let locked =
            unsafe { libc::syscall(libc::SYS_mlock2, self.at(offset, length).as_ptr(), length, libc::MLOCK_ONFAULT) };
        nix::errno::Errno::result(locked).map(drop)
    }

    /// Undoes both.
    pub fn unlock(&self, offset: usize, length: usize) -> nix::Result<()> {
        // SAFETY: as for `lock`.
        unsafe { munlock(self.at(offset, length), length) }
    }

    /// Grows or shrinks the mapping in place.
    ///
    /// # Errors
    /// ENOMEM if there is no room after it.
    pub fn resize(&mut self, length: usize) -> nix::Result<()> {
        let length = NonZeroUsize::new(length).ok_or(nix::errno::Errno::EINVAL)?;
        // SAFETY: without MREMAP_MAYMOVE it grows into free addresses or not at all; the removed part was accessible only
        // through `self`, which has the new length afterwards.
        unsafe { mremap(self.start, self.length.get(), length.get(), MRemapFlags::empty(), None) }?;
        self.length = length;
        Ok(())
    }

    /// Moves the mapping, with its frames, to `address`, which must be free.
    pub fn move_to(&mut self, address: usize) -> nix::Result<()> {
        self.start = self.remap(MRemapFlags::empty(), address)?;
        Ok(())
    }

    /// Moves the pages of this mapping to a new one at `address`, which must be free. This mapping stays, empty (Linux 5.7).
    pub fn move_pages_to(&self, address: usize) -> nix::Result<Self> {
        let start = self.remap(MRemapFlags::MREMAP_DONTUNMAP, address)?;
        Ok(Self { start, length: self.length })
    }

    fn remap(&self, flags: MRemapFlags, address: usize) -> nix::Result<NonNull<libc::c_void>> {
        // MREMAP_FIXED replaces whatever is there; this guarantees that it is only this mapping.
        let reserved = Self::anonymous(self.length(), ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE, Some(address))?;
        let flags = flags | MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        // SAFETY: the old addresses are accessible only through `self`; the new ones belong to the mapping just created, of the
        // same length.
        let start = unsafe { mremap(self.start, self.length(), self.length(), flags, Some(reserved.start)) }?;
        std::mem::forget(reserved);
        Ok(start)
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
        // SAFETY: the range belongs to this mapping and nothing refers to it any more. On failure it stays mapped.
        let _ = unsafe { munmap(self.start, self.length.get()) };
    }
}

/// Asks for huge pages for a vector's memory before it is filled: ten megabytes of rows otherwise take 2,600 faults, 5 ms. No
/// effect if huge pages are not available.
pub fn prefer_huge_pages<T>(vector: &Vec<T>) {
    const PAGE: usize = 4096;
    let start = (vector.as_ptr() as usize).next_multiple_of(PAGE);
    let length = (vector.as_ptr() as usize + vector.capacity() * size_of::<T>()).saturating_sub(start);
    if let Some(start) = NonNull::new(start as *mut libc::c_void) {
        // SAFETY: the range is inside the vector's allocation, and the advice changes nothing in it. The kernel rejects an
        // address that is not a multiple of a larger base page, which does no harm.
        let _ = unsafe { madvise(start, length / PAGE * PAGE, MmapAdvise::MADV_HUGEPAGE) };
    }
}

/// A SysV shared memory segment of `length` bytes, attached and already marked for removal: it is freed with its last user.
///
/// # Errors
/// Those of `shmget` and `shmat`.
pub fn sysv(length: usize, flags: c_int) -> nix::Result<Mapping> {
    let length = NonZeroUsize::new(length).ok_or(nix::errno::Errno::EINVAL)?;
    // SAFETY: shmget only creates a segment.
    let id = nix::errno::Errno::result(unsafe {
        libc::shmget(libc::IPC_PRIVATE, length.get(), libc::IPC_CREAT | 0o600 | flags)
    })?;
    // SAFETY: attaching where the kernel chooses takes no memory from anyone.
    let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    // SAFETY: IPC_RMID uses no buffer. It is called before the result of shmat is checked, so that no segment is left over.
    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    match NonNull::new(start) {
        Some(start) if start.as_ptr() as isize != -1 => Ok(Mapping { start, length }),
        _ => Err(nix::errno::Errno::last()),
    }
}

/// A new file of secret memory: its pages can be mapped by holders of the file, but not by the kernel.
///
/// # Errors
/// Those of `memfd_secret`: `ENOSYS` if the kernel does not have it, or it is disabled.
pub fn secret_memory() -> nix::Result<OwnedFd> {
    // The system call number is the same on all architectures that have it.
    const MEMFD_SECRET: libc::c_long = 447;
    // SAFETY: the call takes only flags and creates a descriptor.
    unsafe { new_descriptor(libc::syscall(MEMFD_SECRET, libc::O_CLOEXEC)) }
}

/// A new io_uring with this many entries. Its file can be mapped from offset 0: the submission ring.
///
/// # Errors
/// Those of `io_uring_setup`: `ENOSYS` or `EPERM` if it is not available to this process.
pub fn io_uring(entries: u32) -> nix::Result<OwnedFd> {
    // struct io_uring_params: 120 bytes, all 0 for the defaults.
    let mut parameters = [0u64; 15];
    // SAFETY: the kernel fills in the parameters, which have the size it expects, and creates a descriptor.
    unsafe { new_descriptor(libc::syscall(libc::SYS_io_uring_setup, entries, parameters.as_mut_ptr())) }
}

/// # Safety
/// `returned` must be the result of a system call that creates a descriptor, and nothing else may own that descriptor.
unsafe fn new_descriptor(returned: libc::c_long) -> nix::Result<OwnedFd> {
    let descriptor = nix::errno::Errno::result(returned)? as RawFd;
    // SAFETY: guaranteed by the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Runs `work` in a forked child, which then exits with the returned status and runs nothing else of this program: no buffer of
/// the parent is flushed a second time. If `work` panics, the status is 101.
///
/// Only for single-threaded processes (the workloads, and pmem when a demo begins): in a child of a multi-threaded program, a
/// lock held by another thread would stay locked forever.
///
/// # Errors
/// Those of `fork`.
pub fn forked(work: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: the caller has one thread, so the child may do anything the parent could.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
            // SAFETY: it ends this process; nothing of it is used any more.
            unsafe { libc::_exit(status) }
        }
    }
}

/// Faults in the pages of a range of this process, as writing (`write`) or reading them would, without changing them.
///
/// # Errors
/// Those of the kernel, if the range cannot be accessed in this way.
pub fn populate(range: &Range<VirtAddr>, write: bool) -> nix::Result<()> {
    let advice = if write { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
    let length = range.end.0.saturating_sub(range.start.0) as usize;
    // SAFETY: the advice changes no contents, whatever the range.
    match nix::errno::Errno::result(unsafe { libc::madvise(range.start.0 as *mut libc::c_void, length, advice) }) {
        // Supported since Linux 5.14.
        Err(nix::errno::Errno::EINVAL) => populate_by_copying(range, write),
        done => done.map(drop),
    }
}

/// Fallback: has the kernel read a byte of each page, or write it back. A page that cannot be accessed is skipped; a direct
/// access would kill the process.
fn populate_by_copying(range: &Range<VirtAddr>, write: bool) -> nix::Result<()> {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(4096);
    let own = nix::unistd::getpid().as_raw();
    for address in (range.start.0..range.end.0).step_by(page as usize) {
        let there = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: 1 };
        let mut byte = 0u8;
        let here = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: the kernel checks every address. A read goes to `byte`; a write stores the byte just read, and no other
        // thread of this process writes there meanwhile, since callers are single-threaded.
        let _ = unsafe {
            if write {
                libc::process_vm_writev(own, &raw const there, 1, &raw const there, 1, 0)
            } else {
                libc::process_vm_readv(own, &raw const here, 1, &raw const there, 1, 0)
            }
        };
    }
    Ok(())
}

/// Disables transparent huge pages for this process and its future children, even where they are advised.
///
/// # Errors
/// Those of `prctl`.
pub fn disable_huge_pages() -> nix::Result<()> {
    // SAFETY: the call takes only numbers.
    nix::errno::Errno::result(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) }).map(drop)
}

/// Allocates new pages of this process on the node it runs on, and keeps them there: NUMA balancing no longer unmaps its
/// entries to find out which node uses a page, which would add faults.
///
/// # Errors
/// ENOSYS on kernels without NUMA.
pub fn keep_pages_on_nodes() -> nix::Result<()> {
    // SAFETY: a policy without nodes needs no node mask.
    nix::errno::Errno::result(unsafe {
        libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_LOCAL, std::ptr::null::<libc::c_ulong>(), 0)
    })
    .map(drop)
}

/// Sets whether KSM may merge all memory of this process and of its future children (`PR_SET_MEMORY_MERGE`).
///
/// # Errors
/// EINVAL on kernels without this setting.
pub fn set_merging(merge: bool) -> nix::Result<()> {
    const PR_SET_MEMORY_MERGE: c_int = 67;
    // SAFETY: the call takes only numbers.
    nix::errno::Errno::result(unsafe { libc::prctl(PR_SET_MEMORY_MERGE, c_int::from(merge), 0, 0, 0) }).map(drop)
}

/// Starts a process that shares this one's address space (`CLONE_VM`) and only waits to be killed.
///
/// # Errors
/// Those of `clone`.
pub fn process_of_same_memory() -> nix::Result<Pid> {
    extern "C" fn wait(_: *mut libc::c_void) -> c_int {
        // SAFETY: it ends when the thread that started it ends.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        loop {
            // SAFETY: it waits for a signal.
            unsafe { libc::pause() };
        }
    }
    // Its stack stays mapped for the lifetime of this process.
    let stack = std::mem::ManuallyDrop::new(Mapping::private(64 * 1024)?);
    let flags = libc::CLONE_VM | libc::SIGCHLD;
    // SAFETY: the child has exclusive use of the stack, from its end downwards, touches no other memory of this process, and
    // never returns.
    let pid = unsafe { libc::clone(wait, stack.start.as_ptr().byte_add(stack.length()), flags, std::ptr::null_mut()) };
    nix::errno::Errno::result(pid).map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    /// A multiple of every page size there is.
    const LENGTH: usize = 64 * 1024;

    #[test]
    fn nothing_is_moved_to_where_something_is() {
        let (mut moved, other) = (Mapping::private(LENGTH).unwrap(), Mapping::private(LENGTH).unwrap());
        moved.write(0, 1);
        other.write(0, 2);
        let taken = other.address().0 as usize;
        assert_eq!(moved.move_to(taken), Err(Errno::EEXIST));
        assert_eq!(moved.move_pages_to(taken).err(), Some(Errno::EEXIST));
        assert_eq!((moved.read(0), other.read(0)), (1, 2));
    }

    #[test]
    fn pages_are_faulted_in_by_copying_and_keep_what_they_are() {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap() as usize;
        let mapping = Mapping::private(4 * page).unwrap();
        mapping.write(page, 7);
        mapping.protect(3 * page, page, ProtFlags::PROT_NONE).unwrap();
        let start = mapping.address().0;
        populate_by_copying(&(VirtAddr(start)..VirtAddr(start + mapping.length() as u64)), true).unwrap();
        let present = |number: usize| {
            let mut word = [0; 8];
            let pagemap = std::fs::File::open("/proc/self/pagemap").unwrap();
            std::os::unix::fs::FileExt::read_exact_at(&pagemap, &mut word, (start / page as u64 + number as u64) * 8)
                .unwrap();
            crate::model::pagemap::Entry(u64::from_ne_bytes(word)).is_present()
        };
        assert_eq!([0, 1, 2, 3].map(present), [true, true, true, false]);
        assert_eq!([0, 1, 2].map(|number| mapping.read(number * page)), [0, 7, 0]);
    }
}
