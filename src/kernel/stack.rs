//! The stack of this process's first thread, which grows where it is touched.

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

/// What is left alone below the stack pointer.
const NEAR: u64 = 64 * 1024;

/// The stack, as `maps` had it. A forked child has it at the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The end of the mapping below it: the stack cannot grow beyond.
    pub floor: VirtAddr,
    /// Its lowest address.
    pub start: VirtAddr,
    /// Its end.
    pub end: VirtAddr,
}

impl Stack {
    /// That of this process; `None` where this is not the thread that has it.
    ///
    /// # Errors
    /// What reading `maps` says.
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

    /// Has the kernel write a byte at an address below the stack pointer, as a function's frame would be written there: the
    /// stack grows down to it, if it may. A write of one's own that may not be done ends the process (SIGSEGV).
    ///
    /// # Errors
    /// EFAULT where the stack may not grow so far; EINVAL where the address is not in the stack, or not well below the
    /// stack pointer.
    pub fn touch(&self, address: VirtAddr) -> nix::Result<()> {
        self.is_unused(&(address..VirtAddr(address.0 + 1)))?;
        // SAFETY: nothing relies on what is in the unused part of the stack.
        unsafe { write_by_kernel(address) }
    }

    /// Gives back the frames of a part of the stack below the stack pointer.
    ///
    /// # Errors
    /// EINVAL as for [`touch`](Self::touch), ENOMEM where the stack has not grown so far.
    pub fn discard(&self, part: Range<VirtAddr>) -> nix::Result<()> {
        self.is_unused(&part)?;
        let length = (part.end.0 - part.start.0) as usize;
        // SAFETY: nothing relies on what is in the unused part of the stack.
        let done = unsafe { libc::madvise(part.start.0 as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        Errno::result(done).map(drop)
    }

    /// Between the mapping below and the stack pointer there is nothing but the unused part of the stack. (What is mapped
    /// there later, to see how far the stack keeps away from it, is a [`Mapping`], which may change at any time.)
    fn is_unused(&self, part: &Range<VirtAddr>) -> nix::Result<()> {
        let here = here();
        let runs_on_it = self.start <= here && here < self.end;
        let is_inside = self.floor <= part.start && part.start < part.end && part.end.0 <= here.0.saturating_sub(NEAR);
        if runs_on_it && is_inside { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// An address in the frame of this function: the stack pointer, nearly.
fn here() -> VirtAddr {
    let local = 0u8;
    VirtAddr(std::ptr::from_ref(std::hint::black_box(&local)) as u64)
}

/// Has the kernel write a zero byte.
///
/// # Safety
/// Where the address is mapped, nothing may rely on what is there.
unsafe fn write_by_kernel(address: VirtAddr) -> nix::Result<()> {
    let (reader, writer) = pipe()?;
    write(&writer, &[0])?;
    // SAFETY: as the caller says. Where nothing is mapped, and no stack may grow, the kernel answers EFAULT.
    Errno::result(unsafe { libc::read(reader.as_raw_fd(), address.0 as *mut libc::c_void, 1) }).map(drop)
}

/// How many pages the kernel keeps between a stack that grows and what is mapped below it: tried by mappings that grow as
/// stacks do, from `address` on, where much must be free. `None` where none grows, or
/// they keep no distance.
///
/// # Errors
/// What `mmap` says.
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

/// Whether a stack may grow so that this many pages are left to the mapping below it.
fn grows_with(page: usize, address: usize, gap: usize) -> nix::Result<bool> {
    let read_write = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let map = |address, flags| Mapping::anonymous(page, read_write, MapFlags::MAP_PRIVATE | flags, Some(address));
    let grown = address + (gap + 1) * page;
    // Nobody else's memory is there, between them either: else this fails, and nothing is written.
    let all = grown + 2 * page - address;
    drop(Mapping::anonymous(
        all,
        ProtFlags::PROT_NONE,
        MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
        Some(address),
    )?);
    let _below = map(address, MapFlags::empty())?;
    let stack = map(grown + page, MapFlags::MAP_GROWSDOWN)?;
    // SAFETY: what is there, if anything is, is the page that the mapping has just grown by.
    match unsafe { write_by_kernel(VirtAddr(grown as u64)) } {
        Err(Errno::EFAULT) => Ok(false),
        Err(errno) => Err(errno),
        Ok(()) => {
            // The page that it has grown by is unmapped too.
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
