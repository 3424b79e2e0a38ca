//! Looking at one process until it held still: the readings that `pmem frames` puts side by side.

use std::fs::File;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Scope, scope};

use super::by_words::{self, Blind, WordCount};
use super::frames::{Counts, Ledger, NoAddressSpace, ProcessFrames, VmaRow, ledger};
use super::join::{self, Join};
use super::kind::{Kind, kind};
use super::note::Note;
use super::owners::OwnerCount;
use super::select::{ATTEMPTS, Selection, Wanted};
use super::statm;
use crate::error::{Error, Result};
use crate::kernel::features::Features;
use crate::kernel::filesystems::FileSystems;
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::kernel::scan::{Region, category};
use crate::kernel::walk::{self, Walk, WalkCost};
use crate::kernel::words::Words;
use crate::model::smaps::{self, Line, Value};
use crate::model::stat::Stat;
use crate::model::status;
use crate::name::Name;
use crate::unit::{PageSize, VirtAddr};

/// Counts the frames of processes, with what was probed and opened once for all of them.
#[derive(Debug)]
pub struct Counter<'r> {
    features: Features,
    page_size: PageSize,
    kernel: &'r str,
    swap_areas: u64,
    kpagecount: Option<Words>,
    kpageflags: Option<Words>,
    wanted: Wanted,
    /// What the walks cost the processes looked at, in sum and at worst.
    pub cost: WalkCost,
}

/// From this many mappings on, the page tables are scanned while `maps` is still being read: both take a microsecond for
/// every four or so, and the machine has more than one processor.
const SCAN_BESIDE: usize = 1024;

/// Batches of regions that wait for the reader of `maps`, at most: 6 MiB.
const WAITING: usize = 512;

/// How often a process may replace its program, in the middle of being looked at, before pmem gives up.
const MOST_REPLACED: u32 = 50;

/// The longest command line that is shown.
const COMMAND_LINE: usize = 4096;

impl<'r> Counter<'r> {
    /// A counter for what is wanted of the processes of `root`.
    ///
    /// # Errors
    /// [`Error::Hidden`] and [`Error::Denied`] where owners are wanted, and frame numbers or kpagecount are not to be
    /// had.
    pub fn new(root: &'r Root, wanted: Wanted) -> Result<Self> {
        let features = root.features();
        let kpagecount = if wanted.owners {
            if !features.pfns_visible {
                return Err(Error::Hidden {
                    what: "--owners: frame numbers are hidden from this user",
                    help: "Page maps show them with CAP_SYS_ADMIN in the first user namespace. Without it, `pmem frames` \
                           still counts present frames of your own processes.",
                });
            }
            Some(root.words("proc/kpagecount")?)
        } else {
            None
        };
        let needs_flags = features.pfns_visible && (features.scan_categories.is_none() || lacks_huge_zero(&features));
        Ok(Self {
            page_size: root.page_size(),
            kernel: &root.host().kernel,
            swap_areas: root.swap_areas(),
            kpageflags: if needs_flags { root.words("proc/kpageflags").ok() } else { None },
            kpagecount,
            features,
            wanted,
            cost: WalkCost::default(),
        })
    }

    /// Looks at one process.
    ///
    /// # Errors
    /// [`Error::Gone`] when it ended before it could be counted, [`Error::Denied`] when it may not be looked at.
    pub fn count(&mut self, process: &Process) -> Result<ProcessFrames> {
        let stat = process.stat()?;
        let mut report = ProcessFrames {
            pid: process.pid(),
            comm: process.comm()?,
            command_line: Name::new(&process.command_line(COMMAND_LINE)),
            start_time_ticks: stat.start_time_ticks,
            no_address_space: no_address_space(&stat),
            ledger: None,
            vmas: Vec::new(),
            vma_count: 0,
            change: None,
            notes: Vec::new(),
        };
        match report.no_address_space {
            None => self.count_through(process, &mut report)?,
            Some(NoAddressSpace::KernelThread) => {}
            Some(NoAddressSpace::Zombie) => {
                // Its first thread has ended. The memory is there as long as another runs, and is seen through that one.
                if let Some(thread) = process.running_thread() {
                    report.no_address_space = None;
                    self.count_through(&thread, &mut report)?;
                    let text = "its first thread has ended, and others still run: this is what they see";
                    report.notes.push(Note::of(process.pid(), "first-thread-ended", text));
                }
            }
        }
        Ok(report)
    }

    /// Looks at the address space of a process, or of one of its threads, until it held still.
    fn count_through(&mut self, process: &Process, report: &mut ProcessFrames) -> Result<()> {
        let (mut attempt, mut replaced) = (1, 0);
        loop {
            let look = match self.look(process) {
                // The address space went away under the open files: the process ended, or called exec. The files of one
                // that has ended also change their owner, which can look like a denial.
                Err(error @ (Error::Gone { .. } | Error::Missing { .. } | Error::Denied { .. })) => {
                    match is_alive(process) {
                        true if matches!(error, Error::Denied { .. }) || replaced == MOST_REPLACED => {
                            return Err(error);
                        }
                        true => replaced += 1,
                        false => return Err(Error::Gone { path: process.path("maps") }),
                    }
                    continue;
                }
                other => other?,
            };
            if look.held_still(&self.features) || attempt == ATTEMPTS {
                self.finish(look, attempt, process, report)?;
                break;
            }
            attempt += 1;
        }
        if replaced > 0 {
            report.comm = process.comm()?;
            report.command_line = Name::new(&process.command_line(COMMAND_LINE));
            let text = "the process called exec while it was looked at; this is what it runs now";
            report.notes.push(Note::of(report.pid, "exec", text));
        }
        Ok(())
    }

    /// One look: mappings, page tables and counters, as close together as they can be read.
    fn look(&mut self, process: &Process) -> Result<Look> {
        let status = process.read("status")?;
        let maps = process.open_file("maps")?;
        let pagemap = process.pagemap()?;
        let statm_before = process.statm_resident()?;
        let recorded_scan = process.recorded_scan()?;
        // A recorded tree may have been made without a scan.
        let can_scan = self.features.scan_categories.is_some() && (!process.is_recorded() || recorded_scan.is_some());
        let mut look = match can_scan {
            true => self.by_scan(process, &maps, &pagemap, recorded_scan.as_ref(), &status)?,
            false => self.by_words(process, &maps, &pagemap, &status)?,
        };
        if self.wanted.verify {
            look.rss = Some(rollup_rss(process, self.page_size)?);
        }
        let statm_after = process.statm_resident()?;
        look.statm = (statm_before, statm_after);
        look.vm_swap = status::bytes_of(&status, "VmSwap").map(|bytes| self.page_size.pages_in(bytes));
        look.threads =
            status::field(&status, "Threads").and_then(|t| std::str::from_utf8(t).ok()?.parse().ok()).unwrap_or(1);
        if look.rows.is_empty() && statm_after > 0 {
            // No process runs without mappings: maps was opened on an address space that exec has replaced.
            return Err(Error::Gone { path: process.path("maps") });
        }
        if !self.wanted.smaps_keys.is_empty() {
            let mappings = process.smaps(&self.wanted.smaps_keys)?;
            for row in &mut look.rows {
                row.smaps = smaps::find(&mappings, &row.vma.range).cloned().map(Box::new);
            }
        }
        Ok(look)
    }

    /// Reads the mappings as rows, cut by `cut`. `on_each` is told how many there are.
    fn rows(&self, process: &Process, maps: &File, cut: &Selection, mut on_each: impl FnMut(usize)) -> Result<Look> {
        let (mut rows, mut vma_count) = (Vec::new(), 0);
        let torn = process.vmas(maps, |vma| {
            vma_count += 1;
            // The kind is found once all devices are known.
            cut.cut(vma, |piece| rows.push(VmaRow::new(piece, Kind::Special, self.page_size)));
            on_each(rows.len());
        })?;
        let vmas = rows.iter().map(|row| &row.vma);
        let systems = FileSystems::of(process, maps, vmas, &self.features, self.page_size)?;
        for row in &mut rows {
            row.kind = kind(&row.vma, &systems);
            if row.vma.has_doubtful_name() {
                row.vma.name = process.exact_name(&row.vma, maps, &self.features)?;
            }
        }
        Ok(Look { rows, vma_count, torn, ..Look::default() })
    }

    /// The swap areas that an entry of this process may be in. One that has nothing swapped out is in none, which tells
    /// markers from swap where the kernel hides what an entry is.
    fn swap_areas(&self, status: &[u8]) -> u64 {
        let nothing = status::bytes_of(status, "VmSwap") == Some(0);
        // The counter is one of those that are approximate on some kernels.
        if nothing && self.features.statm_exact == Some(true) { 0 } else { self.swap_areas }
    }

    fn by_scan(
        &mut self,
        process: &Process,
        maps: &File,
        pagemap: &Words,
        recorded: Option<&Words>,
        status: &[u8],
    ) -> Result<Look> {
        let walk = Walk {
            end: VirtAddr(self.features.user_end),
            any_of: category::PRESENT | category::SWAPPED,
            report: (category::PRESENT | category::SWAPPED | category::PFNZERO | category::HUGE | category::GUARD)
                & self.features.scan_categories.unwrap_or(0),
            tables: status::bytes_of(status, "VmPTE").map_or(u64::MAX, |bytes| self.page_size.pages_in(bytes)),
        };
        scope(|scope| {
            let mut beside = None;
            let mut look = self.rows(process, maps, &self.wanted.rows, |count| {
                if count == SCAN_BESIDE && recorded.is_none() {
                    beside = Some(scan_beside(scope, pagemap, walk));
                }
            })?;
            let mut taker = Taker::new(self, pagemap, self.swap_areas(status), &mut look.rows);
            let cost = match (beside, recorded) {
                (Some(scanned), _) => {
                    let mut cost = Ok(WalkCost::default());
                    for message in scanned {
                        match message {
                            Scanned::Regions(regions) => taker.take(&regions)?,
                            Scanned::Done(done) => cost = done,
                        }
                    }
                    cost?
                }
                (None, Some(recorded)) => walk::replay(recorded, self.page_size, |regions| taker.take(regions))?,
                (None, None) => walk::walk(pagemap, &walk, |regions| taker.take(regions))?,
            };
            look.outside_pages = taker.finish()?;
            self.cost.calls += cost.calls;
            self.cost.longest = self.cost.longest.max(cost.longest);
            Ok(look)
        })
    }

    fn by_words(&mut self, process: &Process, maps: &File, pagemap: &Words, status: &[u8]) -> Result<Look> {
        // smaps tells of whole mappings only, and what it tells is needed here: none is cut.
        let mut look = self.rows(process, maps, &Selection::default(), |_| ())?;
        look.whole = self.wanted.rows.range.is_some();
        let mappings = process.smaps(&by_words::KEYS.map(str::to_owned))?;
        let mut owners = self.kpagecount.as_ref().map(|kpagecount| OwnerCount::new(kpagecount, self.page_size));
        look.blind = WordCount::new(pagemap, self.kpageflags.as_ref(), self.page_size, self.swap_areas(status))
            .count_rows(&mut look.rows, &mappings, owners.as_mut())?;
        if let Some(owners) = owners {
            owners.finish(&mut look.rows)?;
        }
        Ok(look)
    }

    /// Puts the last look into the report.
    fn finish(&self, look: Look, attempts: u32, process: &Process, report: &mut ProcessFrames) -> Result<()> {
        let held_still = look.held_still(&self.features);
        let mut ledger = ledger(&look.rows, look.statm.1, look.rss);
        ledger.attempts = attempts;
        ledger.held_still = held_still;
        if self.features.statm_exact == Some(false) {
            ledger.statm_bound_pages =
                Some(statm::bound_pages(self.kernel, self.features.possible_cpus, look.threads, self.page_size));
        }
        // Everything was read below one held directory; that the process is still there makes it one process's.
        let stat = process.stat()?;
        if stat.is_zombie() {
            return Err(Error::Gone { path: process.path("maps") });
        }
        report.notes = look.notes(report.pid, &ledger);
        report.vma_count = look.vma_count;
        report.ledger = Some(ledger);
        report.vmas = look.rows;
        if self.wanted.owners {
            // A mapping without frames of its own is known to have no owners.
            for row in report.vmas.iter_mut().filter(|row| row.counts.is_some() && row.kind != Kind::Hugetlb) {
                row.owners.get_or_insert_default();
            }
        }
        report.vmas.retain(|row| self.wanted.rows.keeps(row));
        Ok(())
    }
}

/// What one look at a process found.
#[derive(Default)]
struct Look {
    rows: Vec<VmaRow>,
    /// How many mappings there are: fewer than rows where a range cuts some.
    vma_count: usize,
    torn: bool,
    /// A range was asked for, and mappings are shown whole all the same.
    whole: bool,
    outside_pages: u64,
    blind: Blind,
    /// VmSwap, in pages.
    vm_swap: Option<u64>,
    statm: (u64, u64),
    rss: Option<u64>,
    threads: u64,
}

impl Look {
    /// Whether all readings agree, so that looking again would bring nothing.
    fn held_still(&self, features: &Features) -> bool {
        let mine = ledger(&self.rows, self.statm.1, self.rss);
        let statm_may_differ = features.statm_exact == Some(false);
        let smaps_agrees = self.rss.is_none_or(|rss| rss == mine.resident_pages);
        let statm_agrees = self.statm.1 == mine.resident_pages || statm_may_differ;
        !self.torn && self.outside_pages == 0 && self.statm.0 == self.statm.1 && smaps_agrees && statm_agrees
    }

    fn notes(&self, pid: u32, ledger: &Ledger) -> Vec<Note> {
        let (held_still, unexplained, swapped) = (ledger.held_still, ledger.unexplained_pages, ledger.swapped_pages);
        let exact = ledger.statm_bound_pages.is_none();
        let mut notes = Vec::new();
        let mut note = |code, text: String| notes.push(Note::of(pid, code, text));
        if self.torn {
            note(
                "maps-torn",
                "the process changed its mappings while they were read; overlapping lines were clipped".into(),
            );
        }
        if self.outside_pages > 0 {
            note(
                "mapped-meanwhile",
                format!("{} present or swapped pages were in mappings made after maps was read", self.outside_pages),
            );
        }
        if !held_still {
            let (before, after) = self.statm;
            note(
                "moving",
                match before == after {
                    true => format!("the readings still differ by {unexplained} pages after {ATTEMPTS} attempts"),
                    false => {
                        format!("the process did not hold still: statm went from {before} to {after} pages meanwhile")
                    }
                },
            );
        }
        if self.whole {
            note(
                "range-whole",
                "mappings are shown whole, not cut at the ends of the range: without PAGEMAP_SCAN some counts come from \
                 smaps, which tells of whole mappings only"
                    .into(),
            );
        }
        if let Some(vm_swap) = self.vm_swap.filter(|&pages| held_still && exact && pages != swapped) {
            note(
                "swap-differs",
                format!(
                    "{swapped} entries look swapped out, and VmSwap says {vm_swap} pages: where frame numbers are hidden, \
                     markers of userfaultfd or poison look like swap"
                ),
            );
        }
        if self.blind.passed_over_bytes > 0 {
            note(
                "passed-over",
                format!(
                    "{} bytes of mappings in which smaps counts nothing were passed over; zero pages and markers in \
                     them are not counted (this kernel has no PAGEMAP_SCAN)",
                    self.blind.passed_over_bytes
                ),
            );
        }
        if self.blind.zero_inferred {
            note(
                "zero-inferred",
                "zero pages are inferred from what smaps leaves out: frames or their flags are hidden, and this kernel \
                 has no PAGEMAP_SCAN"
                    .into(),
            );
        }
        let unknown: u64 = self.rows.iter().filter_map(|row| row.owners.as_ref()).map(|o| o.unknown).sum();
        if unknown > 0 {
            note(
                "mapcount-unknown",
                format!("the mapcount of {unknown} pages could not be had: they were unmapped meanwhile"),
            );
        }
        notes
    }
}

/// Takes scanned regions: joins them with the rows and looks closer where a scan does not tell enough.
struct Taker<'k, 'r> {
    join: Join<'r>,
    words: WordCount<'k>,
    owners: Option<OwnerCount<'k>>,
    page_size: PageSize,
    check_huge_zero: bool,
}

impl<'k, 'r> Taker<'k, 'r> {
    fn new(counter: &'k Counter<'_>, pagemap: &'k Words, swap_areas: u64, rows: &'r mut [VmaRow]) -> Self {
        Self {
            join: Join::new(rows, counter.page_size),
            words: WordCount::new(pagemap, counter.kpageflags.as_ref(), counter.page_size, swap_areas),
            owners: counter.kpagecount.as_ref().map(|file| OwnerCount::new(file, counter.page_size)),
            page_size: counter.page_size,
            check_huge_zero: lacks_huge_zero(&counter.features),
        }
    }

    fn take(&mut self, regions: &[Region]) -> Result<()> {
        let Self { join, words, owners, page_size, check_huge_zero } = self;
        for region in regions {
            join.region(region, |row, number, part| {
                join::count(row, &part, *page_size);
                let counts = row.counts.get_or_insert_default();
                let range = page_size.index_of(part.start)..page_size.index_of(part.end);
                let zero_before = counts.zero;
                closer(words, row.kind, counts, &part, range.clone(), *check_huge_zero)?;
                // Zero pages have no mapcount, also where only a closer look told them.
                let frames = part.categories & category::PRESENT != 0
                    && part.categories & category::PFNZERO == 0
                    && counts.zero == zero_before;
                match owners {
                    Some(owners) if frames && row.kind != Kind::Hugetlb => words.push_frames(range, number, owners),
                    _ => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Ends the join; returns the pages that were in no row.
    fn finish(self) -> Result<u64> {
        let (rows, outside_pages) = self.join.finish();
        if let Some(owners) = self.owners {
            owners.finish(rows)?;
        }
        Ok(outside_pages)
    }
}

/// Reads the words where a scan leaves open what they are.
fn closer(
    words: &mut WordCount<'_>,
    kind: Kind,
    counts: &mut Counts,
    part: &Region,
    range: std::ops::Range<u64>,
    check_huge_zero: bool,
) -> Result<()> {
    let is = |bit| part.categories & bit != 0;
    if is(category::PRESENT) {
        if check_huge_zero && is(category::HUGE) && !is(category::PFNZERO) && kind != Kind::Hugetlb {
            counts.zero += words.count_zero(range, matches!(kind, Kind::Anon | Kind::Heap))?;
        }
    } else if !is(category::GUARD) {
        words.count_swap_like(range, counts)?;
    }
    Ok(())
}

/// What a scan beside the reading of maps sends.
enum Scanned {
    Regions(Vec<Region>),
    Done(Result<WalkCost>),
}

fn scan_beside<'scope>(scope: &'scope Scope<'scope, '_>, pagemap: &'scope Words, what: Walk) -> Receiver<Scanned> {
    let (send, receive) = sync_channel(WAITING);
    scope.spawn(move || {
        let done = walk::walk(pagemap, &what, |regions| {
            // The receiver is only gone when its side has failed, and that error is the one to tell.
            send.send(Scanned::Regions(regions.to_vec())).map_err(|_| Error::Gone { path: pagemap.path().to_owned() })
        });
        let _ = send.send(Scanned::Done(done));
    });
    receive
}

fn lacks_huge_zero(features: &Features) -> bool {
    features.scan_huge_zero == Some(false)
}

fn no_address_space(stat: &Stat) -> Option<NoAddressSpace> {
    match () {
        () if stat.is_kernel_thread() => Some(NoAddressSpace::KernelThread),
        () if stat.is_zombie() => Some(NoAddressSpace::Zombie),
        () => None,
    }
}

/// Whether the process is still there, and more than a zombie.
fn is_alive(process: &Process) -> bool {
    process.stat().is_ok_and(|stat| !stat.is_zombie())
}

/// Rss of `smaps_rollup`, in pages.
fn rollup_rss(process: &Process, page_size: PageSize) -> Result<u64> {
    let mut rss = None;
    process.for_each_line("smaps_rollup", |line, path, number| {
        if let Line::Value { key: "Rss", value: Value::Bytes(bytes) } = Line::parse(line, path, number)? {
            rss = Some(page_size.pages_in(bytes));
        }
        Ok(())
    })?;
    rss.ok_or_else(|| Error::malformed(&process.path("smaps_rollup"), 1, "there is no Rss"))
}
