//! The pagemap of this process, read without allocating memory.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::memory::Mapping;
use crate::error::errno;
use crate::model::pagemap::Entry;
use crate::unit::PageSize;

/// The entries of the first pages of a mapping.
///
/// # Errors
/// Those of reading the file.
pub fn entries<const PAGES: usize>(mapping: &Mapping, page_size: PageSize) -> nix::Result<[Entry; PAGES]> {
    let mut words = [0_u64; PAGES];
    let place = page_size.index_of(mapping.address()) * size_of::<u64>() as u64;
    let file = File::open("/proc/self/pagemap").map_err(errno)?;
    file.read_exact_at(bytemuck::cast_slice_mut(&mut words), place).map_err(errno)?;
    Ok(words.map(Entry))
}
