//! What a process has at an address: the walk through its page tables, and the frame at its end, or why there is no
//! frame.

pub mod tables;
pub mod translation;

use super::note::Note;
use super::pages::Slot;
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::{Frame, FrameReader};
use crate::analysis::processes::address_space::Space;
use crate::analysis::processes::kind::Kind;
use crate::analysis::translate::tables::tables;
use crate::analysis::translate::translation::{Lack, Place, State, Step, Translation};
use crate::error::{Error, Result};
use crate::kernel::features::{Features, huge_zero_in_scans, page_table_levels};
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::kernel::scan::category;
use crate::model::frame_flags::{COMPOUND_HEAD, COMPOUND_TAIL, HWPOISON, LOCKED, THP};
use crate::model::page_table::{Level, Levels};
use crate::model::pagemap::{self, Entry};
use crate::model::smaps::Value;
use crate::model::vma::Vma;
use crate::unit::{Pfn, PhysAddr, VirtAddr};

/// Translates addresses, with what was probed and opened once for all of them.
#[derive(Debug)]
pub struct Translator<'r> {
    root: &'r Root,
    features: Features,
    levels: Option<Levels>,
    frames: Result<FrameReader>,
}

/// How many times an entry that keeps changing is read.
const ATTEMPTS: u32 = 3;

/// The most blocks of a mapping to read if there is no scan to recognise huge pages: 1 GiB with blocks of 2 MiB.
const MOST_BLOCKS: u64 = 512;

/// What an entry turned out to be.
struct Found {
    entry: Entry,
    state: State,
    frame: Option<Frame>,
    /// The size of the page that maps it; `None` if unknown.
    mapped_bytes: Option<u64>,
    /// Why a page that is reported as present may be the shared zero page, if it may.
    may_be_zero: Option<&'static str>,
}

impl<'r> Translator<'r> {
    /// A translator for the processes of `root`.
    pub fn new(root: &'r Root) -> Self {
        let mut features = root.features_cheaply();
        if !root.is_recorded() {
            features.page_table_levels = page_table_levels(root);
        }
        let host = root.host();
        Self {
            levels: Levels::of(&host.arch, root.page_size(), features.user_end, features.page_table_levels),
            frames: FrameReader::new(root, &features),
            features,
            root,
        }
    }

    /// Why nothing but the numbers of frames is known, if that is so and the numbers are visible.
    pub fn without_frames(&self) -> Option<&Error> {
        self.frames.as_ref().err().filter(|_| self.features.pfns_visible)
    }

    /// Reads the address space of a process.
    ///
    /// # Errors
    /// Those of [`Space::read`].
    pub fn space<'p>(&self, process: &'p Process) -> Result<Space<'p>> {
        Space::read(self.root, process)
    }

    /// Puts into a report what a process has at an address, if one is given, and with `with_tables` the page tables it
    /// needs.
    pub fn translate(
        &self,
        space: &Space<'_>,
        address: Option<VirtAddr>,
        with_tables: bool,
        report: &mut Translation,
    ) -> Result<()> {
        report.address = address.map(|address| self.untagged(address));
        let mut note = |code, text: &str| report.notes.push(Note::general(code, text));
        if address != report.address {
            note("tag", "the tag in the top byte of the address was ignored");
        }
        if self.levels.is_none() {
            note("levels-unknown", "the number of page-table levels of this machine is not known");
        }
        if let Some(address) = report.address {
            self.look(space, address, report)?;
        }
        if let Some(levels) = self.levels.as_ref().filter(|_| with_tables) {
            let tables = tables(space, levels, &self.features, self.root.page_size())?;
            if !tables.huge_told {
                let text = "without PAGEMAP_SCAN (Linux 6.7) huge pages are not recognised: a PTE table is counted for \
                            each, even for those of files and shared memory, which have none";
                // If VmPTE says the same, there are none.
                let in_json_only = tables.more == Some(0);
                report.notes.push(Note { in_json_only, ..Note::general("huge-not-told", text) });
            }
            report.tables = Some(tables);
        }
        Ok(())
    }

    /// arm64 ignores the top byte of a user address: programs keep tags there.
    fn untagged(&self, address: VirtAddr) -> VirtAddr {
        let of_user = self.root.host().arch == "aarch64" && address.0 >> 55 & 1 == 0;
        if of_user { VirtAddr(address.0 & !(0xff << 56)) } else { address }
    }

    /// The first address after user space.
    fn user_end(&self) -> u64 {
        // If one table covers both halves, as on x86-64, the lower half has one address bit less.
        let half = match (self.root.host().arch.as_str(), &self.levels) {
            ("x86_64" | "riscv64", Some(levels)) => 1 << (levels.address_bits().clamp(2, 64) - 1),
            _ => u64::MAX,
        };
        self.features.user_end.min(half)
    }

    fn look(&self, space: &Space<'_>, address: VirtAddr, report: &mut Translation) -> Result<()> {
        let place = |vma: &Vma| -> Result<Place> {
            let kind = space.kinds(std::slice::from_ref(vma), &self.features)?;
            Ok(Place { vma: space.named(vma, &self.features)?, kind: kind.first().copied().unwrap_or(Kind::Special) })
        };
        let vma = match space.find(address) {
            Ok(vma) => vma,
            Err(_) if address.0 >= self.user_end() => {
                (report.state, report.why) = (Some(State::NotUser), Some(self.why_not_user(address)));
                return Ok(());
            }
            Err((below, above)) => {
                report.below = below.map(place).transpose()?;
                report.above = above.map(place).transpose()?;
                (report.state, report.why) = (Some(State::NoMapping), Some("in no mapping".to_owned()));
                self.steps(address, self.root.page_size().bytes(), report);
                return Ok(());
            }
        };
        let place = place(vma)?;
        let has_file = matches!(place.kind, Kind::File | Kind::Shmem | Kind::Hugetlb);
        report.file_offset = has_file.then(|| vma.offset.saturating_add(address.0 - vma.range.start.0));
        report.vma = Some(place.clone());
        if vma.range.start.is_kernel() {
            report.state = Some(State::NotShown);
            report.why = Some("the kernel maps it into every process, and does not show its entry".to_owned());
            self.steps(address, self.root.page_size().bytes(), report);
            return Ok(());
        }
        let mut attempt = 1;
        let found = loop {
            let found = self.entry(space, &place, address)?;
            if space.entry(address)? == found.entry {
                break found;
            }
            if attempt == ATTEMPTS {
                report.lacks.push(Lack::Stillness);
                break found;
            }
            attempt += 1;
        };
        self.put(&place, address, found, report);
        Ok(())
    }

    /// Puts what was found into the report.
    fn put(&self, place: &Place, address: VirtAddr, found: Found, report: &mut Translation) {
        let Found { entry, state, frame, mapped_bytes, may_be_zero } = found;
        let base = self.root.page_size().bytes();
        if mapped_bytes.is_none() {
            let text = "the walk may end one level higher, at a huge page: this kernel has no PAGEMAP_SCAN to check";
            report.notes.push(Note::general("huge-unknown", text));
        }
        self.steps(address, mapped_bytes.unwrap_or(base), report);
        let frame_is_there = matches!(state, State::Present | State::Zero);
        report.mapped_bytes = mapped_bytes.filter(|_| frame_is_there);
        report.pfn = entry.pfn();
        report.physical_address =
            entry.pfn().map(|pfn| PhysAddr(self.root.page_size().address_of(pfn).0.saturating_add(address.0 % base)));
        report.swap = entry.slot().filter(|_| state == State::Swapped).map(|(area, offset)| Slot { area, offset });
        report.why = why(place, entry, state);
        let hidden = match state {
            State::Present | State::Zero => report.pfn.is_none(),
            State::Swapped => report.swap.is_none(),
            State::Special => entry.slot().is_none(),
            _ => false,
        };
        if hidden {
            report.lacks.push(Lack::FrameNumber);
        }
        report.notes.extend(may_be_zero.map(|text| Note::general("zero-unknown", text)));
        if let Some(frames) = self.frames.as_ref().ok().filter(|_| frame.is_some()) {
            report.notes.extend(frames.notes().into_iter().map(|note| Note { in_json_only: true, ..note }));
        }
        (report.entry, report.state, report.frame) = (Some(entry), Some(state), frame);
    }

    /// The walk to the entry that maps a page of `bytes` bytes.
    fn steps(&self, address: VirtAddr, bytes: u64, report: &mut Translation) {
        let Some(levels) = &self.levels else { return };
        let last = levels.mapping(bytes).shift;
        let walked = levels.all().iter().filter(|level| level.shift >= last);
        report.levels = Some(walked.map(|level| Step::of(level, address)).collect());
        report.page_offset = Some(address.0 & ((1 << last) - 1));
    }

    /// Reads an entry, and everything needed to interpret it.
    fn entry(&self, space: &Space<'_>, place: &Place, address: VirtAddr) -> Result<Found> {
        let entry = space.entry(address)?;
        let frame = entry.pfn().and_then(|pfn| self.frame(pfn)).transpose()?;
        let categories = space.categories(address, &self.features)?;
        let state = match entry.state(space.swap_areas(self.root, &self.features)) {
            pagemap::State::None if self.is_hidden(space, place)? => State::NotShown,
            pagemap::State::None => State::None,
            pagemap::State::Present if is_zero(place, entry, categories, frame.as_ref()) => State::Zero,
            pagemap::State::Present => State::Present,
            pagemap::State::Swapped => State::Swapped,
            pagemap::State::Guard => State::Guard,
            pagemap::State::Marker => State::Marker,
            pagemap::State::Special => self.special(entry)?,
        };
        let mapped_bytes = self.mapped_bytes(space, place, address, (entry, categories, frame.as_ref()))?;
        let could_be = state == State::Present && frame.as_ref().is_none_or(|frame| frame.flags.is_none());
        let may_be_zero = if could_be { self.may_be_zero(place, entry, categories) } else { None };
        Ok(Found { entry, state, frame, mapped_bytes, may_be_zero })
    }

    /// Why a present page may be the shared zero page if the flags of its frame are not known; `None` if it cannot be.
    /// The kernel keeps no mapcount for the zero page, so it is never exclusive.
    fn may_be_zero(&self, place: &Place, entry: Entry, categories: Option<u64>) -> Option<&'static str> {
        if !matches!(place.kind, Kind::Anon | Kind::Heap | Kind::Stack) || entry.is_exclusive() || entry.is_file() {
            return None;
        }
        match categories {
            None => {
                Some("it may also be the shared zero page: without PAGEMAP_SCAN only the flags of its frame show that")
            }
            Some(categories) if categories & category::HUGE != 0 && self.lacks_huge_zero() => Some(
                "it may also be the huge zero page: this kernel's PAGEMAP_SCAN does not show that; only the flags of its \
                 frame do",
            ),
            Some(_) => None,
        }
    }

    /// Whether scans do not report the huge zero page.
    fn lacks_huge_zero(&self) -> bool {
        let recorded = self.root.is_recorded();
        let told = if recorded { self.features.scan_huge_zero } else { huge_zero_in_scans(self.root) };
        told != Some(true)
    }

    /// What is known about a frame; `None` if its flags cannot be read.
    fn frame(&self, pfn: Pfn) -> Option<Result<Frame>> {
        self.frames.as_ref().ok().map(|frames| frames.tell(pfn))
    }

    /// Whether the kernel shows no entries for a mapping: `[vvar]`, and what drivers map by frame number (VM_PFNMAP).
    fn is_hidden(&self, space: &Space<'_>, place: &Place) -> Result<bool> {
        if place.vma.name.bytes().starts_with(b"[vvar") {
            return Ok(true);
        }
        if matches!(place.kind, Kind::Anon | Kind::Heap | Kind::Stack | Kind::Hugetlb) {
            return Ok(false);
        }
        let flags = space.smaps(&place.vma, &["VmFlags"])?.and_then(|values| values.flags);
        Ok(flags.is_some_and(|codes| codes.split_ascii_whitespace().any(|code| code == "pf")))
    }

    /// What a swap-like entry is if its type is neither swap nor a marker: it contains a frame number, and the flags of
    /// that frame decide.
    fn special(&self, entry: Entry) -> Result<State> {
        let Some((_, pfn)) = entry.slot() else { return Ok(State::Special) };
        let flags = self.frame(Pfn(pfn)).transpose()?.and_then(|frame| frame.flags);
        Ok(match flags {
            Some(flags) if flags.has(HWPOISON) => State::Hwpoison,
            // A page is locked while it is being migrated.
            Some(flags) if flags.has(LOCKED) => State::Migration,
            _ => State::Special,
        })
    }

    /// The size of the page that maps an address, or that would if there is none; `None` if it cannot be determined.
    fn mapped_bytes(
        &self,
        space: &Space<'_>,
        place: &Place,
        address: VirtAddr,
        (entry, categories, frame): (Entry, Option<u64>, Option<&Frame>),
    ) -> Result<Option<u64>> {
        let base = self.root.page_size().bytes();
        if place.kind == Kind::Hugetlb {
            return Ok(space.kernel_page_size(&place.vma, &self.features)?.or(Some(base)));
        }
        let Some(huge) = self.levels.as_ref().map(Levels::huge).filter(|_| entry.is_present()) else {
            return Ok(Some(base));
        };
        let size = |is_huge| if is_huge { 1 << huge.shift } else { base };
        if let Some(categories) = categories {
            return Ok(Some(size(categories & category::HUGE != 0)));
        }
        // The huge zero page is always mapped whole: split, it becomes small zero pages.
        if is_huge_zero(place, entry) {
            return Ok(Some(size(true)));
        }
        if let Some(frame) = frame.filter(|frame| frame.class == Some(Class::ZeroPage)) {
            let compound = frame.flags.is_some_and(|flags| flags.has(COMPOUND_HEAD | COMPOUND_TAIL | THP));
            return Ok(Some(size(compound)));
        }
        Ok(self.is_huge_by_words(space, &place.vma, address, huge)?.map(size))
    }

    /// Without a scan: compares what smaps counts in a mapping with the number of blocks that could be huge pages by
    /// their words.
    fn is_huge_by_words(&self, space: &Space<'_>, vma: &Vma, address: VirtAddr, huge: &Level) -> Result<Option<bool>> {
        let size = 1u64 << huge.shift;
        let start = VirtAddr(address.0 & !(size - 1));
        let fits = start >= vma.range.start && start.0.saturating_add(size) <= vma.range.end.0;
        if !fits || !self.could_be_huge(space, start, size)? {
            return Ok(Some(false));
        }
        let values = space.smaps(vma, &["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"])?;
        let bytes = |value: &Option<Value>| match value {
            Some(Value::Bytes(bytes)) => *bytes,
            _ => 0,
        };
        let counted = values.map_or(0, |values| values.values.iter().map(bytes).fold(0, u64::saturating_add));
        if counted == 0 {
            // smaps does not count the huge zero page: only its frame would show it.
            return Ok((self.frames.is_ok() && self.features.pfns_visible).then_some(false));
        }
        if vma.range.end.0 - vma.range.start.0 > MOST_BLOCKS.saturating_mul(size) {
            return Ok(None);
        }
        let first = vma.range.start.0.next_multiple_of(size);
        let mut could_be = 0;
        for block in (first..vma.range.end.0 & !(size - 1)).step_by(size as usize) {
            could_be += if self.could_be_huge(space, VirtAddr(block), size)? { size } else { 0 };
        }
        // If all that could be huge pages are, so is this one.
        Ok((counted >= could_be).then_some(true))
    }

    /// Whether the words of a block could be those of a huge page: all present, with consecutive frames that begin at a
    /// multiple of their number.
    fn could_be_huge(&self, space: &Space<'_>, start: VirtAddr, size: u64) -> Result<bool> {
        let page_size = self.root.page_size();
        let mut words = vec![0; page_size.pages_in(size) as usize];
        let got = space.pagemap.read(page_size.index_of(start), &mut words)?;
        // Hidden frames read as no frames.
        let first = Entry(words[0]).pfn().map(|pfn| pfn.0);
        let expected = |(at, word): (u64, &u64)| {
            let entry = Entry(*word);
            entry.is_present() && entry.pfn().map(|pfn| pfn.0) == first.map(|first| first.saturating_add(at))
        };
        let aligned = first.is_none_or(|first| first.is_multiple_of(words.len() as u64));
        Ok(got == words.len() && aligned && (0..).zip(&words).all(expected))
    }

    fn why_not_user(&self, address: VirtAddr) -> String {
        let end = self.user_end();
        let bits = 64 - end.saturating_sub(1).leading_zeros();
        match address.0 {
            address if bits >= 63 || address >= u64::MAX << bits => {
                "in the kernel half: mapped by the kernel's own page tables, which procfs does not show".to_owned()
            }
            address if address >> bits == 0 => format!("beyond the end of user space, at {end:#x}"),
            _ => format!("not canonical: bits {bits} to 63 of an address must be equal"),
        }
    }
}

fn is_zero(place: &Place, entry: Entry, categories: Option<u64>, frame: Option<&Frame>) -> bool {
    let by_scan = categories.is_some_and(|categories| categories & category::PFNZERO != 0);
    by_scan || is_huge_zero(place, entry) || frame.is_some_and(|frame| frame.class == Some(Class::ZeroPage))
}

/// Whether an entry alone shows that it maps the huge zero page: in a private anonymous mapping, that is the only page
/// that pagemap marks as a file's.
fn is_huge_zero(place: &Place, entry: Entry) -> bool {
    let anonymous = matches!(place.kind, Kind::Anon | Kind::Heap) && place.vma.inode == 0;
    anonymous && entry.is_present() && entry.is_file()
}

/// What a state means, as a sentence; `None` if the frame says it all.
fn why(place: &Place, entry: Entry, state: State) -> Option<String> {
    /// The marker of a page that userfaultfd poisoned. (include/linux/swapops.h, PTE_MARKER_POISONED)
    const POISONED: u64 = 1 << 1;
    let text = match (state, place.kind) {
        (State::Present, _) => return None,
        (State::Zero, _) => "read but never written: it maps the shared zero page",
        (State::None, Kind::Shmem) => {
            "nothing: never touched by this process, or swapped-out shared memory, which leaves no trace"
        }
        (State::None, Kind::File) => {
            "nothing: not touched by this process, or reclaimed since (the page may still be cached)"
        }
        (State::None, _) => "nothing: never touched, or freed since",
        // Without a slot, an entry could as well be a marker.
        (State::Swapped, _) if entry.slot().is_none() => "swapped out, or a marker: which one is hidden from this user",
        (State::Swapped, _) => "swapped out",
        (State::Guard, _) => "a guard region (MADV_GUARD_INSTALL): touching it raises SIGSEGV",
        (State::Marker, _) if entry.slot().is_some_and(|(_, marker)| marker & POISONED != 0) => {
            "a poison marker: touching it raises SIGBUS (memory failure, or UFFDIO_POISON)"
        }
        (State::Marker, _) => "a userfaultfd marker: write-protected, without a page",
        (State::Migration, _) => "being migrated to another frame",
        (State::Hwpoison, _) => "its frame is faulty (hardware poison): touching it raises SIGBUS",
        (State::Special, _) => "being migrated, on a device, or poisoned; or of a kind that is hidden from this user",
        (State::NotShown, _) => "the kernel shows no entries for this mapping (VM_PFNMAP)",
        (State::NoMapping | State::NotUser, _) => return None,
    };
    Some(text.to_owned())
}
