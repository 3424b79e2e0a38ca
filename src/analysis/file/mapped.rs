//! Which pages of files are in page tables now: one look at every process for any number of files.
//!
//! They are found without touching a file: by the lines of maps with its device and inode, and their page-table
//! entries. A page that a process has written to in a private mapping is its own copy, and no longer a page of the
//! file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::analysis::gap::Reason;
use crate::analysis::processes::visit;
use crate::error::Result;
use crate::kernel::features::Features;
use crate::kernel::process::{Process, pids};
use crate::kernel::root::{Root, text};
use crate::kernel::scan::category;
use crate::kernel::walk::{Walk, walk};
use crate::kernel::words::{WINDOW, Words};
use crate::model::pagemap::Entry;
use crate::model::vma::{Dev, Vma};
use crate::name::Name;
use crate::unit::{PageSize, Pfn, VirtAddr};

/// A file as maps identifies it: device and inode.
pub type Identity = (Dev, u64);

/// The mapped pages of some files.
#[derive(Debug)]
pub struct Mapped {
    files: BTreeMap<Identity, PageSet>,
    /// The processes that could not be read: permission was denied.
    pub closed: Vec<(u32, Name)>,
    /// Files that may have more pages mapped, as huge pages in private mappings that the kernel does not report as the
    /// file's.
    pub maybe_huge: BTreeSet<Identity>,
}

/// Facts that are the same for every process.
struct Machine {
    features: Features,
    page_size: PageSize,
    /// The number of base pages in a huge page; `None` if there are no huge pages.
    huge_pages: Option<u64>,
}

impl Machine {
    fn of(root: &Root) -> Self {
        let huge: Option<u64> =
            text(root.dir(), "sys/kernel/mm/transparent_hugepage/hpage_pmd_size").and_then(|size| size.parse().ok());
        let huge_pages = huge.map(|bytes| root.page_size().pages_in(bytes)).filter(|&pages| pages > 1);
        Self { features: root.features_cheaply(), page_size: root.page_size(), huge_pages }
    }
}

impl Mapped {
    /// Nothing found yet, for these files.
    pub fn of(files: impl IntoIterator<Item = Identity>) -> Self {
        let files = files.into_iter().map(|file| (file, PageSet::default())).collect();
        Self { files, closed: Vec::new(), maybe_huge: BTreeSet::new() }
    }

    /// Reads every process; `progress` gets the number done and the total.
    ///
    /// # Errors
    /// If the list of processes cannot be read, or a file is malformed. Processes that end during the search no longer
    /// map anything; those that may not be read are in [`closed`](Self::closed).
    pub fn look(&mut self, root: &Root, mut progress: impl FnMut(usize, usize)) -> Result<()> {
        let machine = Machine::of(root);
        let pids = pids(root)?;
        for (done, &pid) in pids.iter().enumerate() {
            progress(done, pids.len());
            match visit::process(root, pid, |seen| Ok(self.look_at(seen.address_space()?, &machine)?)) {
                Err(Reason::Denied(_)) => {
                    let comm = Process::open(root, pid).and_then(|process| process.comm());
                    self.closed.push((pid, comm.unwrap_or_default()));
                }
                Err(Reason::Failed(error)) => return Err(error),
                // A process without an address space maps nothing, nor does one that has ended.
                _ => {}
            }
        }
        Ok(())
    }

    fn look_at(&mut self, process: &Process, machine: &Machine) -> Result<()> {
        let mut vmas: Vec<Vma> = Vec::new();
        process.vmas(&process.open_file("maps")?, |vma| {
            if vma.inode != 0 && self.files.contains_key(&(vma.dev, vma.inode)) {
                vmas.push(vma);
            }
        })?;
        if vmas.is_empty() {
            return Ok(());
        }
        let pagemap = process.pagemap()?;
        for vma in vmas {
            let file = (vma.dev, vma.inode);
            let Some(pages) = self.files.get_mut(&file) else { continue };
            let page_size = machine.page_size;
            let first = page_size.pages_in(vma.offset);
            let maybe_huge = for_each_file_page(&pagemap, machine, &vma, |part| {
                let index = |address: VirtAddr| {
                    first.saturating_add(page_size.pages_in(address.0.saturating_sub(vma.range.start.0)))
                };
                pages.insert(index(part.start)..index(part.end));
            })?;
            if maybe_huge {
                self.maybe_huge.insert(file);
            }
        }
        Ok(())
    }

    /// How many distinct pages of a file are mapped; `None` for a file that was not searched for.
    pub fn pages(&mut self, file: &Identity) -> Option<u64> {
        self.files.get_mut(file).map(PageSet::count)
    }
}

/// The most pages of address space to look at in one call: the process may wait that long for its mmap lock, and a scan
/// that distinguishes file pages from copies takes 80 ns per page of 4 KiB.
const MAX_PAGES: u64 = 16 * 1024;

/// Passes on the addresses in a mapping whose entries are present and map its file. Returns whether there may be more,
/// in huge pages.
fn for_each_file_page(
    pagemap: &Words,
    machine: &Machine,
    vma: &Vma,
    mut each: impl FnMut(Range<VirtAddr>),
) -> Result<bool> {
    if pagemap.live().is_none() || !machine.features.scans(category::FILE) {
        return by_words(pagemap, machine, vma, each);
    }
    let mut start = vma.range.start;
    while start < vma.range.end {
        let end = VirtAddr(start.0.saturating_add(machine.page_size.bytes_of(MAX_PAGES))).min(vma.range.end);
        let report = category::PRESENT | category::FILE;
        let part = Walk { start, end, any_of: category::PRESENT, report, tables: u64::MAX };
        walk(pagemap, &part, |regions| {
            let of_file = regions.iter().filter(|region| region.categories & category::FILE != 0);
            of_file.for_each(|region| each(region.start..region.end));
            Ok(())
        })?;
        start = end;
    }
    Ok(false)
}

/// The same on a kernel without PAGEMAP_SCAN, word by word.
///
/// There, the entries of a huge page that is mapped as a whole do not show that it belongs to a file. In a shared
/// mapping everything does; in a private one it looks like as many copies side by side.
fn by_words(pagemap: &Words, machine: &Machine, vma: &Vma, mut each: impl FnMut(Range<VirtAddr>)) -> Result<bool> {
    let page_size = machine.page_size;
    let mut huge = HugePages { pages: machine.huge_pages, ..HugePages::default() };
    let mut words = vec![0; WINDOW];
    let range = page_size.index_of(vma.range.start)..page_size.index_of(vma.range.end);
    pagemap.windows(range, &mut words, |first, part| {
        for (at, entry) in (first..).zip(part.iter().map(|&word| Entry(word))) {
            if entry.is_present() && (entry.is_file() || vma.perm.is_shared()) {
                each(VirtAddr(page_size.bytes_of(at))..VirtAddr(page_size.bytes_of(at + 1)));
            } else if entry.is_present() {
                huge.see(at, entry);
            }
        }
        Ok(())
    })?;
    Ok(huge.found)
}

/// The search for possible huge pages among present entries that are not marked as a file's.
#[derive(Debug, Default)]
struct HugePages {
    /// The number of base pages in a huge page; `None` if there are no huge pages.
    pages: Option<u64>,
    /// The contiguous indices that may be one, as far as they were seen.
    stretch: Range<u64>,
    /// The frame of the first of them, if it is not hidden; those of the others follow it.
    first: Option<Pfn>,
    /// Whether one was found.
    found: bool,
}

impl HugePages {
    /// Takes the next entry; `index` ascends.
    fn see(&mut self, index: u64, entry: Entry) {
        let Some(pages) = self.pages else { return };
        if index.is_multiple_of(pages) {
            (self.stretch, self.first) = (index..index, entry.pfn());
        }
        let frame = self.first.map(|first| Pfn(first.0 + (index - self.stretch.start)));
        if index == self.stretch.end && entry.pfn() == frame {
            self.stretch.end += 1;
            self.found |= self.stretch.end - self.stretch.start == pages;
        }
    }
}

/// A set of pages, as ranges: each page counts once, no matter how often it is inserted.
#[derive(Debug, Default)]
struct PageSet {
    ranges: Vec<Range<u64>>,
    /// This many of them, from the first, are known to ascend without touching each other.
    sorted: usize,
}

impl PageSet {
    fn insert(&mut self, pages: Range<u64>) {
        self.ranges.push(pages);
        // Hundreds of processes map the same pages of a library.
        if self.ranges.len() > 1024 + 2 * self.sorted {
            self.merge();
        }
    }

    fn merge(&mut self) {
        self.ranges.sort_unstable_by_key(|range| range.start);
        self.ranges.dedup_by(|next, before| {
            let touches = next.start <= before.end;
            if touches {
                before.end = before.end.max(next.end);
            }
            touches
        });
        self.sorted = self.ranges.len();
    }

    fn count(&mut self) -> u64 {
        self.merge();
        self.ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn each_page_counts_once(ranges in prop::collection::vec((0u64..5000, 1u64..9), 0..1500)) {
            let (mut set, mut pages) = (PageSet::default(), BTreeSet::new());
            for (start, length) in ranges {
                set.insert(start..start + length);
                pages.extend(start..start + length);
            }
            prop_assert_eq!(set.count(), pages.len() as u64);
        }
    }

    #[test]
    fn words_and_scan_find_the_same_pages() {
        use crate::kernel::memory::Mapping;
        use nix::sys::mman::{MapFlags, ProtFlags};
        let root = Root::open("/".as_ref()).unwrap();
        let page = root.page_size().bytes() as usize;
        // More than one call covers.
        let pages = 2 * MAX_PAGES as usize + 100;
        let memory = nix::sys::memfd::memfd_create(c"mapped", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap();
        std::fs::File::from(memory.try_clone().unwrap()).set_len((pages * page) as u64).unwrap();
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let shared = Mapping::file(&memory, pages * page, protection, MapFlags::MAP_SHARED).unwrap();
        let private = Mapping::file(&memory, pages * page, protection, MapFlags::MAP_PRIVATE).unwrap();
        let touched = [3, 4, 70, MAX_PAGES as usize - 1, MAX_PAGES as usize, pages - 1];
        touched.into_iter().for_each(|n| shared.write(n * page, 1));
        private.read(70 * page);
        // A copy of the writer's own.
        private.write(4 * page, 2);
        let pagemap = Process::open(&root, std::process::id()).unwrap().pagemap().unwrap();
        let pages_of = |mapping: &Mapping, perm: &str, machine: &Machine| {
            let (start, end) = (mapping.address().0, mapping.address().0 + mapping.length() as u64);
            let vma = vma(&format!("{start:x}-{end:x} {perm} 00000000 00:01 7 /memfd"));
            let mut found = Vec::new();
            for_each_file_page(&pagemap, machine, &vma, |part| {
                found.extend((part.start.0..part.end.0).step_by(page).map(|at| (at - start) / page as u64));
            })
            .unwrap();
            found
        };
        let machine = Machine::of(&root);
        let features = Features { scan_categories: None, ..machine.features.clone() };
        let without_scan = Machine { features, ..Machine::of(&root) };
        for machine in [&machine, &without_scan] {
            let private = pages_of(&private, "rw-p", machine);
            assert_eq!(pages_of(&shared, "rw-s", machine), touched.map(|page| page as u64));
            assert!(private.contains(&70) && !private.contains(&4), "{private:?}");
        }
    }

    fn vma(line: &str) -> Vma {
        Vma::parse(line.as_bytes(), "maps".as_ref(), 1).unwrap()
    }

    /// A recorded machine without PAGEMAP_SCAN, with pages of 4 KiB, and these files.
    fn recorded(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        use crate::kernel::manifest::{FILE, Host, Manifest, SCHEMA};
        let live = Root::open("/".as_ref()).unwrap();
        let manifest = Manifest {
            schema: SCHEMA.to_owned(),
            time: "2026-01-01T00:00:00Z".to_owned(),
            host: Host { page_size: 4096, ..live.host().clone() },
            clock_ticks: 100,
            features: Features { scan_categories: None, ..live.features_cheaply() },
            recorder: None,
            gaps: Vec::new(),
            origin: None,
        };
        let top = tempfile::tempdir().unwrap();
        let manifest = serde_json::to_string(&manifest).unwrap();
        let size = ("sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n");
        for &(path, text) in files.iter().chain(&[(FILE, &*manifest), size]) {
            let path = top.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::open(top.path()).unwrap();
        (top, root)
    }

    fn stat(pid: u32, state: char) -> String {
        format!("{pid} (program) {state} 1 5 5 0 -1 4194304 31 0 7 0 0 0 0 0 20 0 1 0 4242 0 0 184 0\n")
    }

    const FILE: Identity = (Dev { major: 0, minor: 1 }, 7);

    /// What is mapped of [`FILE`], and whether there may be more, if a process has this line in maps and these words.
    fn mapped(perm: &str, words: &str) -> (Option<u64>, bool) {
        let maps = format!("00200000-00800000 {perm} 00000000 00:01 7 /file\n");
        let words = format!("pmem-words 1 holes=zero\n{words}");
        let files = [("proc/10/stat", &*stat(10, 'S')), ("proc/10/maps", &maps), ("proc/10/pagemap", &words)];
        let (_top, root) = recorded(&files);
        let mut mapped = Mapped::of([FILE]);
        mapped.look(&root, |_, _| ()).unwrap();
        (mapped.pages(&FILE), mapped.maybe_huge.contains(&FILE))
    }

    #[test]
    fn huge_pages_count_also_where_the_kernel_does_not_call_them_a_files() {
        for (perm, words, expected) in [
            ("rw-s", "400 200 8000000000001200 1\n", (Some(512), false)),
            ("r--p", "400 200 8000000000001200 1\n", (Some(0), true)),
            // Its frames are hidden.
            ("r--p", "400 200 8000000000000000 0\n", (Some(0), true)),
            // After a page that is known to be the file's.
            ("r--p", "3ff 1 a000000000000007 0\n400 200 8000000000001200 1\n", (Some(1), true)),
            // Copies: not aligned as a huge page, too few, with pages of the file between them, with scattered frames.
            ("rw-p", "3ff 200 8000000000001200 1\n", (Some(0), false)),
            ("rw-p", "400 1ff 8000000000001200 1\n", (Some(0), false)),
            ("rw-p", "400 100 8000000000001200 1\n501 ff 8000000000001301 1\n", (Some(0), false)),
            (
                "rw-p",
                "400 100 8000000000001200 1\n500 1 a000000000001300 0\n501 ff 8000000000001301 1\n",
                (Some(1), false),
            ),
            ("rw-p", "400 200 8000000000001200 2\n", (Some(0), false)),
        ] {
            assert_eq!(mapped(perm, words), expected, "{perm} {words}");
        }
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_is_seen_through_another() {
        let words = "pmem-words 1 holes=zero\n200 3 a000000000001200 1\n";
        let (_top, root) = recorded(&[
            ("proc/10/stat", &stat(10, 'Z')),
            ("proc/10/maps", ""),
            ("proc/10/task/10/stat", &stat(10, 'Z')),
            ("proc/10/task/11/stat", &stat(11, 'S')),
            ("proc/10/task/11/maps", "00200000-00800000 r--s 00000000 00:01 7 /file\n"),
            ("proc/10/task/11/pagemap", words),
            // A zombie without other threads.
            ("proc/12/stat", &stat(12, 'Z')),
        ]);
        let mut mapped = Mapped::of([FILE]);
        mapped.look(&root, |_, _| ()).unwrap();
        assert_eq!((mapped.pages(&FILE), mapped.closed.len()), (Some(3), 0));
    }
}
