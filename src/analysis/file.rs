//! How much of each file is in the page cache.

pub mod mapped;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;

use super::note::Note;
use crate::analysis::file::mapped::{Identity, Mapped};
use crate::error::{Error, Result};
use crate::kernel::cached_pages::{CacheStat, How, State};
use crate::kernel::page_cache::{CachedFile, Found, open};
use crate::kernel::root::Root;
use crate::model::vma::Dev;
use crate::name::Name;
use crate::unit::PageSize;

/// What is known of one file, or of several together. `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FileCounts"))]
pub struct Counts {
    /// Size.
    pub size_bytes: Option<u64>,
    /// Size in pages, the last of which may be used in part.
    pub pages: Option<u64>,
    /// Cached pages.
    pub cached_pages: Option<u64>,
    /// Cached pages that are dirty.
    pub dirty_pages: Option<u64>,
    /// Cached pages under writeback.
    pub writeback_pages: Option<u64>,
    /// Pages remembered as evicted; on tmpfs, swapped out.
    pub evicted_pages: Option<u64>,
    /// Of these, pages evicted recently.
    pub recently_evicted_pages: Option<u64>,
    /// Cached pages mapped by any process; not known unless asked for.
    pub mapped_pages: Option<u64>,
}

impl Counts {
    fn new(size: u64, pages: u64, how: How, stat: CacheStat) -> Self {
        let told = |count| (how == How::Cachestat).then_some(count);
        Self {
            size_bytes: Some(size),
            pages: Some(pages),
            cached_pages: Some(stat.cached),
            dirty_pages: told(stat.dirty),
            writeback_pages: told(stat.writeback),
            evicted_pages: told(stat.evicted),
            recently_evicted_pages: told(stat.recently_evicted),
            mapped_pages: None,
        }
    }

    /// The sum of what is known.
    fn plus(self, other: Self) -> Self {
        let sum = |of: fn(&Self) -> Option<u64>| match (of(&self), of(&other)) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        Self {
            size_bytes: sum(|c| c.size_bytes),
            pages: sum(|c| c.pages),
            cached_pages: sum(|c| c.cached_pages),
            dirty_pages: sum(|c| c.dirty_pages),
            writeback_pages: sum(|c| c.writeback_pages),
            evicted_pages: sum(|c| c.evicted_pages),
            recently_evicted_pages: sum(|c| c.recently_evicted_pages),
            mapped_pages: sum(|c| c.mapped_pages),
        }
    }

    /// How much of it is cached, in whole per cent: 0 only if nothing is, 100 only if all of it is. `None` for an empty
    /// file, and if it is not known.
    pub fn cached_percent(&self) -> Option<u64> {
        match (self.cached_pages?, self.pages?) {
            (_, 0) => None,
            (0, _) => Some(0),
            (cached, pages) if cached >= pages => Some(100),
            (cached, pages) => {
                let percent = (u128::from(cached) * 200 + u128::from(pages)) / (u128::from(pages) * 2);
                Some((percent as u64).clamp(1, 99))
            }
        }
    }
}

/// A run of cached pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FileRun"))]
pub struct Run {
    /// Its offset in the file.
    pub offset_bytes: u64,
    /// Its length.
    pub pages: u64,
    /// The state of its pages.
    pub state: State,
}

/// One file.
#[derive(Clone, Debug)]
pub struct FileRow {
    /// The path, as given or found.
    pub path: Name,
    /// What is known about it.
    pub counts: Counts,
    /// How its pages were counted; `None` if they were not.
    pub how: Option<How>,
    /// Why they were not.
    pub refused: Option<&'static str>,
    /// Its runs of cached pages, if requested.
    pub runs: Option<Vec<Run>>,
    /// The file as maps identifies it, if known.
    identity: Option<Identity>,
    /// The same file is already listed under another name.
    is_repeated: bool,
}

impl FileRow {
    fn new(path: &Path, counts: Counts) -> Self {
        let path = Name::new(path.as_os_str().as_bytes());
        Self { path, counts, how: None, refused: None, runs: None, identity: None, is_repeated: false }
    }
}

/// Totals over the readable files, each counted once.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FileTotals"))]
pub struct Totals {
    /// The number of files.
    pub files: u64,
    /// The number of files that are not readable.
    pub refused_files: u64,
    /// Their sums.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Totals {
    /// A table row with these counts, under this name.
    pub fn row(&self, name: &str) -> FileRow {
        FileRow::new(Path::new(name), self.counts)
    }
}

/// What was found at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// A file; it is in the rows now.
    File,
    /// A directory.
    Directory,
    /// Something that has no pages in the page cache.
    Other,
}

/// The files to look at, one after the other.
#[derive(Debug)]
pub struct Files<'r> {
    root: &'r Root,
    with_runs: bool,
    with_mapped: bool,
    /// What was found for each file, in the order in which they were looked at.
    pub rows: Vec<FileRow>,
    /// The first refusal, with the path.
    pub refusal: Option<(Name, Error)>,
    seen: BTreeSet<Identity>,
    /// For each device, whether maps numbers its files as `stat` does.
    numbered_alike: BTreeMap<Dev, bool>,
    on_overlay: bool,
    /// What was found in page tables.
    mapped: Mapped,
}

impl<'r> Files<'r> {
    /// No files yet. `with_runs` and `with_mapped` say what else to find out.
    pub fn new(root: &'r Root, with_runs: bool, with_mapped: bool) -> Self {
        let (rows, seen, numbered_alike, mapped) = (Vec::new(), BTreeSet::new(), BTreeMap::new(), Mapped::of([]));
        Self { root, with_runs, with_mapped, rows, refusal: None, seen, numbered_alike, on_overlay: false, mapped }
    }

    /// Looks at what is at `path`; `follow` says whether to follow a link. A file this user may not query gets a row
    /// that says so.
    ///
    /// # Errors
    /// Any other failure.
    pub fn look(&mut self, path: &Path, follow: bool) -> Result<Looked> {
        let mut row = FileRow::new(path, Counts::default());
        let file = match open(path, follow) {
            Ok(Found::File(file)) => file,
            Ok(Found::Directory) => return Ok(Looked::Directory),
            Ok(Found::Other) => return Ok(Looked::Other),
            Err(error) => return self.refuse(row, error),
        };
        row.counts.size_bytes = Some(file.size);
        row.counts.pages = Some(file.pages(self.root.page_size()));
        row.is_repeated = !self.seen.insert(file.identity);
        row.identity = self.with_mapped.then(|| self.identity(&file)).flatten();
        self.on_overlay |= file.is_on_overlay();
        if let Err(error) = self.count(&file, &mut row) {
            return self.refuse(row, error);
        }
        self.rows.push(row);
        Ok(Looked::File)
    }

    fn refuse(&mut self, mut row: FileRow, error: Error) -> Result<Looked> {
        let Error::Hidden { what, .. } = error else { return Err(error) };
        row.refused = Some(what);
        self.refusal.get_or_insert((row.path.clone(), error));
        self.rows.push(row);
        Ok(Looked::File)
    }

    fn count(&self, file: &CachedFile, row: &mut FileRow) -> Result<()> {
        let page_size = self.root.page_size();
        let (how, stat) = file.count(page_size)?;
        row.how = Some(how);
        row.counts = Counts::new(file.size, file.pages(page_size), how, stat);
        if self.with_runs && how != How::Blocks {
            row.runs = Some(runs(file, how, page_size)?);
        }
        Ok(())
    }

    /// The file as maps identifies it; `None` if that is not known.
    fn identity(&mut self, file: &CachedFile) -> Option<Identity> {
        let (dev, _) = file.identity;
        let alike = self.numbered_alike.get(&dev).copied().or_else(|| {
            let alike = file.is_numbered_as_in_maps(self.root);
            alike.inspect(|&alike| _ = self.numbered_alike.insert(dev, alike))
        });
        // Only file systems without a device of their own number files in two ways.
        alike.unwrap_or(dev.major != 0).then_some(file.identity)
    }

    /// Finds the mapped pages of all files; `progress` gets the number of processes done and the total.
    ///
    /// # Errors
    /// If a process cannot be read for a reason other than that permission is denied or that it has ended.
    pub fn find_mapped(&mut self, progress: impl FnMut(usize, usize)) -> Result<()> {
        let mut mapped = Mapped::of(self.rows.iter().filter_map(|row| row.identity));
        mapped.look(self.root, progress)?;
        for row in &mut self.rows {
            row.counts.mapped_pages = row.identity.and_then(|identity| mapped.pages(&identity));
        }
        self.mapped = mapped;
        Ok(())
    }

    /// The totals over the files.
    pub fn totals(&self) -> Totals {
        let once = || self.rows.iter().filter(|row| !row.is_repeated);
        let known = || once().filter(|row| row.refused.is_none());
        Totals {
            files: known().count() as u64,
            refused_files: once().count() as u64 - known().count() as u64,
            counts: known().map(|row| row.counts).reduce(Counts::plus).unwrap_or_default(),
        }
    }

    /// Whether requested numbers are missing.
    pub fn is_incomplete(&self) -> bool {
        self.refusal.is_some()
            || !self.mapped.closed.is_empty()
            || self.unknown_mapped() > 0
            || self.maybe_more_mapped() > 0
    }

    fn unknown_mapped(&self) -> usize {
        if self.with_mapped { self.count_rows(|row| row.counts.mapped_pages.is_none()) } else { 0 }
    }

    /// How many files may have more pages mapped. On hugetlbfs the kernel does report which pages are the file's.
    fn maybe_more_mapped(&self) -> usize {
        let maybe_huge = |row: &FileRow| row.identity.is_some_and(|file| self.mapped.maybe_huge.contains(&file));
        self.count_rows(|row| row.how != Some(How::Blocks) && maybe_huge(row))
    }

    fn count_rows(&self, which: impl Fn(&FileRow) -> bool) -> usize {
        self.rows.iter().filter(|row| which(row)).count()
    }

    /// What the reader must know.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut note = |code, rows: usize, text: &dyn Fn(String) -> String| {
            if rows > 0 {
                notes.push(Note::general(
                    code,
                    text(if rows == 1 { "1 file".to_owned() } else { format!("{rows} files") }),
                ));
            }
        };
        note("same-file", self.count_rows(|row| row.is_repeated), &|files| {
            format!("{files} listed more than once (a link, or given twice): the totals count each file once")
        });
        note("not-permitted", self.count_rows(|row| row.refused.is_some()), &|files| {
            let why = "the cache state of a file needs read permission and ownership or write permission";
            format!("permission denied for {files}: {why}, or CAP_FOWNER")
        });
        note("mincore", self.count_rows(|row| row.how == Some(How::Mincore)), &|files| {
            let why = "an overlay, or a kernel without cachestat";
            format!("dirty, writeback and evicted pages of {files} are not known: read with mincore ({why})")
        });
        note("hugetlb", self.count_rows(|row| row.how == Some(How::Blocks)), &|files| {
            format!("for {files} on hugetlbfs only the number of pages is known, not which")
        });
        note("mapped-unknown", self.unknown_mapped(), &|files| {
            format!("mapped pages of {files} are not known: their file system may show other inode numbers in maps")
        });
        note("mapped-huge", self.maybe_more_mapped(), &|files| {
            let why = "before Linux 6.7 a file's huge page in a private mapping cannot be distinguished from copies";
            format!("mapped pages of {files} are a lower bound: {why}")
        });
        if self.with_mapped && self.on_overlay {
            let text = "for files on an overlay, mappings through another overlay or the layer below are not found";
            notes.push(Note::general("mapped-overlay", text));
        }
        if !self.mapped.closed.is_empty() {
            let text = format!(
                "mapped pages are a lower bound: permission to read {} was denied. CAP_SYS_PTRACE \
                 and CAP_DAC_READ_SEARCH would help, together with any capabilities these processes hold",
                names(&self.mapped.closed)
            );
            notes.push(Note::general("mapped-lower-bound", text));
        }
        notes
    }
}

/// The names of the processes; only the first few if there are many.
fn names(processes: &[(u32, Name)]) -> String {
    const NAMED: usize = 5;
    let named = processes.iter().take(NAMED).map(|(pid, comm)| format!("{pid} ({})", comm.escaped()));
    let named = named.collect::<Vec<_>>().join(", ");
    match processes.len() {
        0..=NAMED => format!("process {named}"),
        all => format!("{all} processes, {named} and others,"),
    }
}

/// The runs of a file; adjacent ones in the same state are merged.
fn runs(file: &CachedFile, how: How, page_size: PageSize) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    file.runs(how, page_size, |range, state| {
        let (offset_bytes, pages) = (page_size.bytes_of(range.start), range.end - range.start);
        match runs.last_mut() {
            Some(last) if last.state == state && last.offset_bytes + page_size.bytes_of(last.pages) == offset_bytes => {
                last.pages += pages;
            }
            _ => runs.push(Run { offset_bytes, pages, state }),
        }
    })?;
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_cent_never_say_all_or_nothing_where_it_is_not() {
        for (cached, pages, percent) in [
            (Some(0), 0, None),
            (None, 10, None),
            (Some(0), 10, Some(0)),
            (Some(1), 1 << 40, Some(1)),
            (Some(5), 1000, Some(1)),
            (Some(15), 1000, Some(2)),
            (Some(500), 1000, Some(50)),
            (Some(999), 1000, Some(99)),
            (Some(1000), 1000, Some(100)),
            (Some(1001), 1000, Some(100)),
            (Some(u64::MAX - 1), u64::MAX, Some(99)),
        ] {
            let counts = Counts { cached_pages: cached, pages: Some(pages), ..Counts::default() };
            assert_eq!(counts.cached_percent(), percent, "{cached:?} of {pages}");
        }
    }

    #[test]
    fn mapped_pages_that_may_be_more_are_told_but_of_hugetlbfs() {
        let root = Root::open("/".as_ref()).unwrap();
        let mut files = Files::new(&root, false, true);
        for (inode, how) in [(1, How::Cachestat), (2, How::Blocks), (3, How::Cachestat)] {
            let counts = Counts { mapped_pages: Some(0), ..Counts::default() };
            let row = FileRow::new(Path::new("file"), counts);
            files.rows.push(FileRow { how: Some(how), identity: Some((Dev::default(), inode)), ..row });
        }
        assert!(!files.is_incomplete());
        files.mapped.maybe_huge.extend([(Dev::default(), 1), (Dev::default(), 2)]);
        assert!(files.is_incomplete());
        let note = files.notes().into_iter().find(|note| note.code == "mapped-huge").unwrap();
        assert!(note.text.contains("of 1 file are"), "{}", note.text);
    }

    #[test]
    fn sums_are_over_what_is_known() {
        let some = |cached_pages| Counts { cached_pages, ..Counts::default() };
        assert_eq!(some(Some(2)).plus(some(None)), some(Some(2)));
        assert_eq!(some(Some(2)).plus(some(Some(3))), some(Some(5)));
        assert_eq!(some(Some(u64::MAX)).plus(some(Some(3))), some(Some(u64::MAX)));
        assert_eq!(some(None).plus(some(None)), Counts::default());
    }
}
