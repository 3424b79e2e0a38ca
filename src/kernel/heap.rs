//! The heap of this process: the program break, and malloc.

#![allow(unsafe_code)]

#[cfg(target_env = "gnu")]
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;

use super::memory::Mapping;
use crate::unit::VirtAddr;

/// The program break: the end of the heap.
pub fn program_break() -> VirtAddr {
    // SAFETY: nothing is moved.
    VirtAddr(unsafe { libc::sbrk(0) } as u64)
}

/// Moves the break by this many bytes, through the C library, which tracks its position.
fn move_break(bytes: isize) -> nix::Result<()> {
    // SAFETY: raising it takes no memory from anyone; who lowers it owns what is given up.
    let before = unsafe { libc::sbrk(bytes) };
    if before as isize == -1 { Err(Errno::last()) } else { Ok(()) }
}

/// A part of the heap, as a mapping: if it is dropped without [lowering the break](Self::lower_break), it is unmapped.
impl Mapping {
    /// Raises the break to the next page boundary, and then by this many pages, which become a mapping.
    ///
    /// # Errors
    /// ENOMEM if there is no room, a limit is reached, or the C library does not allow it (musl).
    pub fn by_break(page: usize, pages: usize) -> nix::Result<Self> {
        let break_now = program_break().0 as usize;
        let start = break_now.next_multiple_of(page);
        let length = pages * page;
        move_break((start - break_now + length) as isize)?;
        let start = NonNull::new(start as *mut libc::c_void).ok_or(Errno::ENOMEM)?;
        Ok(Self { start, length: NonZeroUsize::new(length).ok_or(Errno::EINVAL)? })
    }

    /// Raises the break by further bytes.
    ///
    /// # Errors
    /// As [`by_break`](Self::by_break), and EBUSY if the break is no longer at the end of this mapping.
    pub fn raise_break(&mut self, bytes: usize) -> nix::Result<()> {
        self.is_last_of_heap()?;
        move_break(bytes as isize)?;
        self.length = self.length.saturating_add(bytes);
        Ok(())
    }

    /// Lowers the break to the start of this mapping.
    ///
    /// # Errors
    /// EBUSY if the break is no longer at its end: the memory above belongs to someone else.
    pub fn lower_break(self) -> nix::Result<()> {
        self.is_last_of_heap()?;
        let length = self.length() as isize;
        std::mem::forget(self);
        move_break(-length)
    }

    fn is_last_of_heap(&self) -> nix::Result<()> {
        let end = self.address().0 + self.length() as u64;
        if end == program_break().0 { Ok(()) } else { Err(Errno::EBUSY) }
    }
}

/// Memory from glibc's malloc, which is freed when dropped.
///
/// Its bytes are accessed only in the way those of a [`Mapping`] are.
#[cfg(target_env = "gnu")]
#[derive(Debug)]
pub struct Block {
    start: NonNull<libc::c_void>,
    length: usize,
}

#[cfg(target_env = "gnu")]
impl Block {
    /// Allocates a block.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(length: usize) -> nix::Result<Self> {
        // The compiler knows malloc and may remove an unused allocation; here its effect on the heap is the point. SAFETY:
        // malloc accepts any size.
        let start = black_box(unsafe { libc::malloc(length) });
        Ok(Self { start: NonNull::new(start).ok_or(Errno::ENOMEM)?, length })
    }

    /// Its start address.
    pub fn address(&self) -> VirtAddr {
        VirtAddr(self.start.as_ptr() as u64)
    }

    /// Writes its first byte, and the first byte of every further page it covers.
    pub fn write(&self, page: usize) {
        let to_next = page - self.address().0 as usize % page;
        for offset in std::iter::once(0).chain((to_next..self.length).step_by(page)) {
            // SAFETY: the offset is inside the block, which lives as long as `self`; no reference to it exists.
            unsafe { self.start.as_ptr().cast::<u8>().add(offset).write_volatile(1) }
        }
    }

    /// Whether malloc would currently use mmap for a block of this size. Asking does not change its behaviour.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn is_mapped(length: usize) -> nix::Result<bool> {
        let before = State::now();
        let mut block = Self::new(length)?;
        let is_mapped = State::now().mapped_blocks > before.mapped_blocks;
        // Freeing a mapped block raises the threshold to its size. A block shrunk first is below the threshold. SAFETY: the
        // pointer is malloc's, and is not used any more if realloc returns another.
        let small = unsafe { libc::realloc(block.start.as_ptr(), 1) };
        if let Some(small) = NonNull::new(small) {
            block.start = small;
        }
        Ok(is_mapped)
    }
}

#[cfg(target_env = "gnu")]
impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the pointer is malloc's, and nothing refers to the block any more.
        unsafe { libc::free(self.start.as_ptr()) }
    }
}

/// The state of glibc's malloc, by mallinfo.
#[cfg(target_env = "gnu")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The number of mapped blocks.
    pub mapped_blocks: u32,
    /// Their total size in bytes, which wraps at 4 GiB.
    pub mapped_bytes: u32,
    /// The size of the top chunk (the free end of the heap) in bytes, including its header.
    pub top_bytes: u32,
}

#[cfg(target_env = "gnu")]
impl State {
    /// Reads the current state.
    pub fn now() -> Self {
        // SAFETY: it only counts. (mallinfo2 has wider fields, but needs glibc 2.33.)
        let info = unsafe { libc::mallinfo() };
        let [mapped_blocks, mapped_bytes, top_bytes] = [info.hblks, info.hblkhd, info.keepcost].map(i32::cast_unsigned);
        Self { mapped_blocks, mapped_bytes, top_bytes }
    }
}

/// Makes glibc's malloc give back free memory: the end of the heap, and whole free pages inside it.
#[cfg(target_env = "gnu")]
pub fn trim() {
    // SAFETY: it touches only free memory.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    // The break itself is moved in the demos only: tests share this process with others.

    #[test]
    #[cfg(target_env = "gnu")]
    fn a_large_block_is_mapped_and_asking_so_changes_nothing() {
        const LARGE: usize = 64 << 20;
        assert_eq!(Block::is_mapped(LARGE), Ok(true), "larger than any threshold");
        assert_eq!(Block::is_mapped(LARGE), Ok(true));
        let block = Block::new(3 * 4096).unwrap();
        block.write(4096);
    }
}
