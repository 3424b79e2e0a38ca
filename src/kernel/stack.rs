//! The stack of this process's main thread, which grows when touched.

#![allow(unsafe_code)]

use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags};
use nix::unistd::{pipe, write};

use super::memory::Mapping;
use super::process::Process;
use super::root::Root;
use crate::error::Result;
use crate::unit::VirtAddr;

/// The distance kept below the stack pointer.
const NEAR: u64 = 64 * 1024;

/// The stack, as read from `maps`. A forked child has it at the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The end of the mapping below it, a limit to its growth.
    pub floor: VirtAddr,
    /// Its lowest address.
    pub start: VirtAddr,
    /// Its end.
    pub end: VirtAddr,
}

impl Stack {
    /// Finds the stack of this process; `None` if this is not the main thread.
    ///
    /// # Errors
    /// Those of reading `maps`.
    pub fn own(root: &Root) -> Result<Option<Self>> {
        let process = Process::open(root, std::process::id())?;
        let (here, mut floor, mut stack) = (here(), VirtAddr(0), None);
        process.vmas(&process.open_file("maps")?, |vma| {
            if vma.range.contains(&here) && vma.name.bytes() == b"[stack]" {
                stack = Some(Self { floor, start: vma.range.start, end: vma.range.end });
            }
            floor = vma.range.end;
        })?;
        Ok(stack)
    }

    /// Has the kernel write a byte at an address below the stack pointer, where a function's frame could be: the stack grows
    /// down to it if it may. A direct write that is not allowed would kill the process (SIGSEGV).
    ///
    /// # Errors
    /// EFAULT if the stack may not grow that far; EINVAL if the address is not in the stack, or not well below the stack
    /// pointer.
    pub fn touch(&self, address: VirtAddr) -> nix::Result<()> {
        self.is_unused(&(address..VirtAddr(address.0 + 1)))?;
        // SAFETY: nothing relies on the contents of the unused part of the stack.
        unsafe { write_by_kernel(address) }
    }

    /// Releases the frames of a part of the stack below the stack pointer.
    ///
    /// # Errors
    /// EINVAL as for [`touch`](Self::touch), ENOMEM if the stack has not grown that far.
    pub fn discard(&self, part: Range<VirtAddr>) -> nix::Result<()> {
        self.is_unused(&part)?;
        let length = (part.end.0 - part.start.0) as usize;
        // SAFETY: nothing relies on the contents of the unused part of the stack.
        let done = unsafe { libc::madvise(part.start.0 as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        Errno::result(done).map(drop)
    }

    /// Between the mapping below and the stack pointer there is only the unused part of the stack. (A mapping placed there
    /// later, to measure the guard gap, is a [`Mapping`], which may change at any time.)
    fn is_unused(&self, part: &Range<VirtAddr>) -> nix::Result<()> {
        let here = here();
        let runs_on_it = self.start <= here && here < self.end;
        let is_inside = self.floor <= part.start && part.start < part.end && part.end.0 <= here.0.saturating_sub(NEAR);
        if runs_on_it && is_inside { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// An address in the frame of this function: approximately the stack pointer.
fn here() -> VirtAddr {
    let local = 0u8;
    VirtAddr(std::ptr::from_ref(std::hint::black_box(&local)) as u64)
}

/// Has the kernel write a zero byte.
///
/// # Safety
/// If the address is mapped, nothing may rely on its contents.
unsafe fn write_by_kernel(address: VirtAddr) -> nix::Result<()> {
    let (reader, writer) = pipe()?;
    write(&writer, &[0])?;
    // SAFETY: guaranteed by the caller. If nothing is mapped and no stack may grow, the kernel returns EFAULT.
    Errno::result(unsafe { libc::read(reader.as_raw_fd(), address.0 as *mut libc::c_void, 1) }).map(drop)
}

/// The guard gap in pages: how much the kernel keeps between a growing stack and the mapping below it. Probed with mappings
/// that grow like stacks, from `address` on, where plenty of addresses must be free. `None` if they do not grow, or keep no
/// distance.
///
/// # Errors
/// Those of `mmap`.
pub fn guard_gap(page: usize, address: usize) -> nix::Result<Option<usize>> {
    const MOST: usize = 1 << 16;
    if grows_with(page, address, 0)? {
        return Ok(None);
    }
    let mut enough = 1;
    while !grows_with(page, address, enough)? {
        enough *= 2;
        if enough > MOST {
            return Ok(None);
        }
    }
    let (mut too_few, mut enough) = (enough / 2, enough);
    while too_few + 1 < enough {
        let between = usize::midpoint(too_few, enough);
        if grows_with(page, address, between)? {
            enough = between;
        } else {
            too_few = between;
        }
    }
    Ok(Some(enough))
}

/// Whether a stack may grow until this many pages are left above the mapping below it.
fn grows_with(page: usize, address: usize, gap: usize) -> nix::Result<bool> {
    let read_write = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let map = |address, flags| Mapping::anonymous(page, read_write, MapFlags::MAP_PRIVATE | flags, Some(address));
    let grown = address + (gap + 1) * page;
    // No other memory is mapped there or in between: otherwise mmap fails and nothing is written.
    let all = grown + 2 * page - address;
    drop(Mapping::anonymous(
        all,
        ProtFlags::PROT_NONE,
        MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
        Some(address),
    )?);
    let _below = map(address, MapFlags::empty())?;
    let stack = map(grown + page, MapFlags::MAP_GROWSDOWN)?;
    // SAFETY: if anything is mapped there, it is the page the mapping has just grown by.
    match unsafe { write_by_kernel(VirtAddr(grown as u64)) } {
        Err(Errno::EFAULT) => Ok(false),
        Err(errno) => Err(errno),
        Ok(()) => {
            // The page it has grown by is unmapped too.
            drop(NonNull::new(grown as *mut libc::c_void).map(|start| Mapping { start, length: stack.length }));
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_as_stacks_do_keeps_away_from_what_is_below() {
        // SAFETY: it asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        // Addresses may have 39 bits.
        let free = |&address: &usize| {
            Mapping::anonymous(page, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE, Some(address)).is_ok()
        };
        let address = [0x1f00_0000_0000, 0x1f_0000_0000].into_iter().find(free).unwrap();
        let Some(gap) = guard_gap(page, address).unwrap() else { return };
        assert!(!grows_with(page, address, gap - 1).unwrap());
        assert!(grows_with(page, address, gap).unwrap());
        // Nothing is left there.
        let length = (gap + 3) * page;
        drop(Mapping::anonymous(length, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE, Some(address)).unwrap());
    }
}
