//! How much of a file is in the page cache: with cachestat (since Linux 6.5), or else mincore.
//!
//! Both calls can mislead:
//!
//! - mincore reports "everything" to callers not allowed to know (since Linux 5.2): those who neither own the file, nor may
//!   write to it, nor have CAP_FOWNER. It is trusted only if the kernel let pmem open the file with O_NOATIME, which has the
//!   same condition (`inode_owner_or_capable`). Without O_NOATIME, mapping the file would also change its access time.
//! - cachestat fails instead (and before about Linux 6.14 answers everyone). But it queries the opened file, and an overlay
//!   file system keeps the pages in the underlying files, so it reports "none". A mapping does reach those.
//! - Neither supports hugetlbfs: cachestat fails, and mincore reports only what the caller has mapped. There every allocated
//!   page is in memory, and `st_blocks` counts them.

#![allow(unsafe_code)]

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, mmap, munmap};
use serde::Serialize;

use super::memory::Mapping;
use super::page_cache::{CachedFile, Store};
use super::root::Root;
use crate::error::{Error, Result};
use crate::model::pagemap::Entry;
use crate::unit::{PageSize, Pfn};

/// How the pages of a file were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// cachestat(2).
    Cachestat,
    /// mincore(2), which knows only whether a page is cached.
    Mincore,
    /// `st_blocks`, for files on hugetlbfs.
    Blocks,
}

impl How {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cachestat => "cachestat",
            Self::Mincore => "mincore",
            Self::Blocks => "blocks",
        }
    }
}

/// The page-cache state of a range of a file, in base pages: `struct cachestat` of include/uapi/linux/mman.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CacheStat {
    /// Pages in the cache.
    pub cached: u64,
    /// Of these, dirty pages. A folio is dirty as a whole.
    pub dirty: u64,
    /// Of these, pages under writeback.
    pub writeback: u64,
    /// Evicted pages that still have a shadow entry; on tmpfs, swapped-out pages.
    pub evicted: u64,
    /// Of these, pages evicted so recently that reading them again would count as a refault.
    pub recently_evicted: u64,
}

/// The state of a run of cached pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FileState"))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Clean.
    Clean,
    /// Dirty.
    Dirty,
    /// Under writeback, and not dirty again.
    Writeback,
    /// Any of these: mincore does not distinguish them.
    Cached,
}

fn not_told() -> Error {
    Error::Hidden {
        what: "the kernel reports how much of it is cached only to its owner and to users who may write to it",
        help: "CAP_FOWNER is enough. (To others, mincore reports the whole file as cached, which is meaningless.)",
    }
}

fn not_mapped() -> Error {
    Error::Hidden {
        what: "only its owner can find the frame of one of its pages",
        help: "CAP_FOWNER is enough. (To find the frame, pmem maps the page, which would change the access time of \
               another user's file.)",
    }
}

impl CachedFile {
    /// How many of its pages are cached, and how they were counted. Only cachestat gives more than [`CacheStat::cached`].
    ///
    /// # Errors
    /// [`Error::Hidden`] if the kernel does not report it to this user.
    pub fn count(&self, page_size: PageSize) -> Result<(How, CacheStat)> {
        if let Store::Hugetlb(bytes) = self.store {
            return Ok((How::Blocks, CacheStat { cached: page_size.pages_in(bytes), ..CacheStat::default() }));
        }
        let all = 0..self.pages(page_size);
        if self.store == Store::Usual {
            match self.cachestat(&all, page_size) {
                Ok(counts) => return Ok((How::Cachestat, counts)),
                // EPERM comes from the kernel, or from a container's seccomp filter that does not know the call.
                Err(Errno::ENOSYS | Errno::EPERM | Errno::EOPNOTSUPP) => {}
                Err(e) => return Err(Error::from_errno(e, &self.path)),
            }
        }
        let mut counts = CacheStat::default();
        self.resident(all, page_size, |run| counts.cached += run.end - run.start)?;
        Ok((How::Mincore, counts))
    }

    /// Passes the runs of cached pages to `each` in ascending order, found in the way [`count`](Self::count) returned. Adjacent
    /// runs may have the same state. Nothing is reported for hugetlbfs.
    pub fn runs(&self, how: How, page_size: PageSize, mut each: impl FnMut(Range<u64>, State)) -> Result<()> {
        let all = 0..self.pages(page_size);
        match how {
            How::Blocks => Ok(()),
            How::Mincore => self.resident(all, page_size, |run| each(run, State::Cached)),
            How::Cachestat => {
                halve(all, |range| self.cachestat(range, page_size), each).map_err(|e| Error::from_errno(e, &self.path))
            }
        }
    }

    /// Calls cachestat for a range of pages.
    fn cachestat(&self, pages: &Range<u64>, page_size: PageSize) -> std::result::Result<CacheStat, Errno> {
        /// `struct cachestat_range`.
        #[repr(C)]
        struct ByteRange {
            offset: u64,
            length: u64,
        }
        // A length of 0 would mean the whole file.
        if pages.is_empty() {
            return Ok(CacheStat::default());
        }
        let length = page_size.bytes_of(pages.end - pages.start);
        let range = ByteRange { offset: page_size.bytes_of(pages.start), length };
        let mut counts = CacheStat::default();
        let (range, flags): (*const ByteRange, u32) = (&raw const range, 0);
        // SAFETY: both structs have the kernel's layout and live until after the call, which writes into the second only.
        let done = unsafe { libc::syscall(CACHESTAT, self.file.as_raw_fd(), range, &raw mut counts, flags) };
        Errno::result(done).map(|_| counts)
    }

    /// Passes the runs of resident pages to `each`, using mincore on mappings that are never touched.
    fn resident(&self, pages: Range<u64>, page_size: PageSize, mut each: impl FnMut(Range<u64>)) -> Result<()> {
        if !self.owned {
            return Err(not_told());
        }
        let mut resident = Vec::new();
        let mut start = pages.start;
        while start < pages.end {
            let end = pages.end.min(start.saturating_add(WINDOW));
            resident.resize((end - start) as usize, 0);
            mincore(&self.file, page_size.bytes_of(start), page_size, &mut resident)
                .map_err(|e| Error::from_errno(e, &self.path))?;
            let mut at = start;
            for stretch in resident.chunk_by(|a, b| a & 1 == b & 1) {
                let behind = at + stretch.len() as u64;
                if stretch[0] & 1 == 1 {
                    each(at..behind);
                }
                at = behind;
            }
            start = end;
        }
        Ok(())
    }

    /// The frame that holds one of its pages; `None` if the page is not in the page cache.
    ///
    /// The page is mapped briefly and unmapped before this returns, so its mapcount does not change. MADV_RANDOM prevents
    /// read-ahead and (since about Linux 6.3) keeps the access from counting as a use of the page. A page that is evicted
    /// between the two steps is read from the disk.
    ///
    /// # Errors
    /// As [`count`](Self::count); [`Error::Hidden`] if frame numbers are hidden, and for another user's file, because mapping
    /// it would change its access time.
    pub fn frame(&self, page: u64, root: &Root) -> Result<Option<Pfn>> {
        let (page_size, failed) = (root.page_size(), |e| Error::from_errno(e, &self.path));
        if page >= self.pages(page_size) || matches!(self.store, Store::Hugetlb(_)) {
            return Ok(None);
        }
        let range = page..page + 1;
        let cached = match self.cachestat(&range, page_size) {
            Ok(counts) if self.store == Store::Usual => counts.cached > 0,
            _ => {
                let mut cached = false;
                self.resident(range, page_size, |_| cached = true)?;
                cached
            }
        };
        if !cached {
            return Ok(None);
        }
        if !self.owned {
            return Err(not_mapped());
        }
        let (length, offset) = (page_size.bytes() as usize, page_size.bytes_of(page));
        let mapping =
            Mapping::file_at(&self.file, offset, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED).map_err(failed)?;
        let _ = mapping.advise(0, length, MmapAdvise::MADV_RANDOM);
        match mapping.try_touch(0) {
            // The file has been truncated in the meantime.
            Err(Errno::EFAULT) => return Ok(None),
            other => other.map_err(failed)?,
        }
        let mut words = [0];
        root.words("proc/self/pagemap")?.read(page_size.index_of(mapping.address()), &mut words)?;
        let entry = Entry(words[0]);
        match entry.pfn() {
            None if entry.is_present() => Err(Error::frames_hidden()),
            pfn => Ok(pfn),
        }
    }
}

/// The system call number, the same on every architecture.
const CACHESTAT: libc::c_long = 451;

/// Pages per mincore call: 1 GiB and a vector of 256 KiB, with 4 KiB pages.
const WINDOW: u64 = 256 * 1024;

/// The mincore vector for the pages of `file` from `offset` on, one byte per page.
fn mincore(file: &File, offset: u64, page_size: PageSize, resident: &mut [u8]) -> std::result::Result<(), Errno> {
    let length = page_size.bytes_of(resident.len() as u64) as usize;
    let Some(length) = NonZeroUsize::new(length) else { return Ok(()) };
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EFBIG)?;
    // SAFETY: without MAP_FIXED a new mapping takes no memory from anyone; it is never read from.
    let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, file, offset) }?;
    // SAFETY: the vector has a byte for each page of the mapping.
    let done = unsafe { libc::mincore(start.as_ptr(), length.get(), resident.as_mut_ptr()) };
    let done = Errno::result(done).map(drop);
    // SAFETY: the mapping is this function's own, and nothing refers to it.
    unsafe { munmap(start, length.get()) }?;
    done
}

/// Finds the runs of one state in a range of pages by bisection: counts halves until a part is uniform.
fn halve(
    all: Range<u64>,
    count: impl Fn(&Range<u64>) -> std::result::Result<CacheStat, Errno>,
    mut each: impl FnMut(Range<u64>, State),
) -> std::result::Result<(), Errno> {
    let mut waiting = vec![all];
    while let Some(range) = waiting.pop().filter(|range| !range.is_empty()) {
        let counts = count(&range)?;
        let pages = range.end - range.start;
        let mixed = |part: u64| part > 0 && part < pages;
        if counts.cached == 0 {
            continue;
        }
        if pages > 1 && [counts.cached, counts.dirty, counts.writeback].into_iter().any(mixed) {
            // Folios are naturally aligned.
            let middle = range.start + pages.next_power_of_two() / 2;
            waiting.extend([middle..range.end, range.start..middle]);
            continue;
        }
        let state = match counts {
            CacheStat { dirty: 0, writeback: 0, .. } => State::Clean,
            CacheStat { dirty: 0, .. } => State::Writeback,
            _ => State::Dirty,
        };
        each(range, state);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::page_cache::{Found, open};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn halving_finds_every_page_in_order(pages in prop::collection::vec(0u8..4, 0..200)) {
            let of = |range: &Range<u64>, kind: &[u8]| {
                let part = &pages[range.start as usize..range.end as usize];
                part.iter().filter(|page| kind.contains(page)).count() as u64
            };
            let count = |range: &Range<u64>| {
                let (cached, dirty, writeback) = (of(range, &[1, 2, 3]), of(range, &[2]), of(range, &[3]));
                Ok(CacheStat { cached, dirty, writeback, ..CacheStat::default() })
            };
            let mut found = vec![0; pages.len()];
            let mut last = 0;
            halve(0..pages.len() as u64, count, |run, state| {
                assert!(run.start >= last, "runs ascend");
                last = run.end;
                let kind = match state { State::Clean => 1, State::Dirty => 2, State::Writeback => 3, State::Cached => 9 };
                found[run.start as usize..run.end as usize].fill(kind);
            }).unwrap();
            prop_assert_eq!(found, pages);
        }
    }

    /// A memory file with these pages, opened as any other.
    fn with_pages(pages: &[u64], page_size: PageSize) -> CachedFile {
        use std::os::unix::fs::FileExt;
        let memory = nix::sys::memfd::memfd_create(c"page-cache", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap();
        let memory = File::from(memory);
        memory.set_len(page_size.bytes_of(2 * WINDOW)).unwrap();
        pages.iter().for_each(|&page| memory.write_all_at(&[1], page_size.bytes_of(page)).unwrap());
        match open(format!("/proc/self/fd/{}", memory.as_raw_fd()).as_ref(), true) {
            Ok(Found::File(file)) => file,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mincore_and_cachestat_find_the_same_pages() {
        let page_size = Root::open("/".as_ref()).unwrap().page_size();
        let pages = [0, 7, 8, 9, WINDOW - 1, WINDOW, WINDOW + 5, 2 * WINDOW - 1];
        let file = with_pages(&pages, page_size);
        let found = |how| {
            let mut found = Vec::new();
            file.runs(how, page_size, |run, _| found.extend(run)).map(|()| found)
        };
        assert_eq!(found(How::Mincore).unwrap(), pages);
        match file.count(page_size).unwrap() {
            (How::Cachestat, stat) => {
                assert_eq!(stat.cached, pages.len() as u64);
                assert_eq!(found(How::Cachestat).unwrap(), pages);
            }
            (_, stat) => assert_eq!(stat.cached, pages.len() as u64, "no cachestat on this kernel"),
        }
    }

    #[test]
    fn mincore_is_not_believed_of_a_file_of_others() {
        let page_size = Root::open("/".as_ref()).unwrap().page_size();
        let file = CachedFile { owned: false, store: Store::Overlay, ..with_pages(&[1], page_size) };
        assert!(matches!(file.count(page_size), Err(Error::Hidden { .. })));
        assert!(matches!(file.runs(How::Mincore, page_size, |_, _| ()), Err(Error::Hidden { .. })));
    }

    #[test]
    fn a_file_of_others_is_not_mapped_to_find_a_frame() {
        let root = Root::open("/".as_ref()).unwrap();
        let file = CachedFile { owned: false, ..with_pages(&[1], root.page_size()) };
        match file.frame(1, &root) {
            // By cachestat or without it.
            Err(Error::Hidden { help, .. }) => assert!(help.contains("CAP_FOWNER"), "{help}"),
            other => panic!("{other:?}"),
        }
        let file = CachedFile { owned: true, ..file };
        match file.frame(1, &root) {
            Ok(pfn) => assert!(pfn.is_some()),
            Err(error) => assert_eq!(error.to_string(), Error::frames_hidden().to_string()),
        }
    }

    #[test]
    fn a_large_empty_file_costs_one_question() {
        let asked = std::cell::Cell::new(0);
        let count = |_: &Range<u64>| {
            asked.set(asked.get() + 1);
            Ok(CacheStat::default())
        };
        halve(0..1 << 40, count, |_, _| panic!("nothing is cached")).unwrap();
        assert_eq!(asked.get(), 1);
    }
}
