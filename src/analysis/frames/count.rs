//! Reads one process until it holds still: the readings that `pmem frames` puts side by side.

use std::cell::OnceCell;
use std::fs::File;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Scope, scope};

use crate::analysis::frames::by_words::{self, WordCount};
use crate::analysis::frames::look::{Look, Witness};
use crate::analysis::frames::owners::OwnerCount;
use crate::analysis::frames::region_counter::RegionCounter;
use crate::analysis::frames::select::{ATTEMPTS, Selection, Wanted};
use crate::analysis::frames::statm;
use crate::analysis::frames::{Owners, ProcessFrames, VmaRow, ledger};
use crate::analysis::gap::Reason;
use crate::analysis::note::Note;
use crate::analysis::processes::address_space::is_alive;
pub(crate) use crate::analysis::processes::address_space::swap_areas;
use crate::analysis::processes::kind::{Kind, kind};
use crate::analysis::processes::visit::{self, Looked, Seen};
use crate::error::{Error, Result};
use crate::kernel::features::{Features, huge_zero_in_scans};
use crate::kernel::filesystems::FileSystems;
use crate::kernel::memory::prefer_huge_pages;
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::kernel::scan::Region;
use crate::kernel::threads;
use crate::kernel::walk::{self, Walk, WalkCost};
use crate::kernel::words::Words;
use crate::model::smaps::{self, Line, Value};
use crate::model::status;
use crate::name::Name;
use crate::unit::PageSize;

/// Counts the frames of processes, with what was probed and opened once for all of them.
#[derive(Debug)]
pub struct Counter<'r> {
    root: &'r Root,
    features: Features,
    /// Whether scans do not report the huge zero page: tested at the first huge page.
    lacks_huge_zero: OnceCell<bool>,
    page_size: PageSize,
    kernel: &'r str,
    swap_areas: u64,
    kpagecount: Option<Words>,
    kpageflags: Option<Words>,
    wanted: Wanted,
    /// What the walks cost the processes they looked at, in total and at worst.
    pub cost: WalkCost,
}

/// From this many mappings on, the page tables are scanned while `maps` is still being read: both take about a
/// microsecond for every four, and the machine has more than one processor.
const SCAN_BESIDE: usize = 1024;

/// From this many rows on, room is made for as many as a process may have by default (vm.max_map_count), in huge pages.
const MANY_ROWS: usize = 4096;
const ROOM_FOR_ROWS: usize = 65_536;

/// The most batches of regions that wait for the reader of `maps`: 6 MiB.
const WAITING: usize = 512;

/// The longest command line that is shown.
const COMMAND_LINE: usize = 4096;

impl<'r> Counter<'r> {
    /// A counter for the processes of `root`.
    ///
    /// # Errors
    /// [`Error::Hidden`] and [`Error::Denied`] if owners are wanted, but frame numbers or kpagecount cannot be read.
    pub fn new(root: &'r Root, wanted: Wanted) -> Result<Self> {
        let features = root.features_cheaply();
        let kpagecount = if wanted.owners {
            if !features.pfns_visible {
                return Err(Error::Hidden {
                    what: "--owners: frame numbers are hidden from this user",
                    help: "pagemap shows them with CAP_SYS_ADMIN in the initial user namespace. Without it, `pmem frames` \
                           still counts present frames of your own processes.",
                });
            }
            Some(root.words("proc/kpagecount").map_err(|error| match error {
                Error::Missing { path } if !root.is_recorded() => Error::not_built_in(&path),
                other => other,
            })?)
        } else {
            None
        };
        Ok(Self {
            page_size: root.page_size(),
            kernel: &root.host().kernel,
            swap_areas: root.swap_areas(),
            // Flags identify zero pages where frames are visible and a scan does not report them.
            kpageflags: if features.pfns_visible { root.words("proc/kpageflags").ok() } else { None },
            root,
            lacks_huge_zero: OnceCell::new(),
            kpagecount,
            features,
            wanted,
            cost: WalkCost::default(),
        })
    }

    /// What to read from every process.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Looks at one process.
    ///
    /// # Errors
    /// [`Error::Gone`] when it ended before it could be counted, [`Error::Denied`] when it may not be read.
    pub fn count(&mut self, process: &Process) -> Result<ProcessFrames> {
        visit::held(process, |seen| self.count_seen(seen)).map_err(|reason| match reason {
            Reason::Denied(error) | Reason::Failed(error) => error,
            _ => Error::Gone { path: process.path("maps") },
        })
    }

    /// Counts a process of a [walk](visit). One without an address space is an answer too.
    ///
    /// # Errors
    /// Any error from reading its files.
    pub fn count_seen(&mut self, seen: &Seen<'_>) -> Looked<ProcessFrames> {
        let process = seen.process();
        let mut report = ProcessFrames {
            pid: process.pid(),
            comm: process.comm()?,
            command_line: Name::new(&process.command_line(COMMAND_LINE)),
            start_time_ticks: seen.stat().start_time_ticks,
            no_address_space: seen.address_space().err(),
            ledger: None,
            owners: None,
            vmas: Vec::new(),
            vma_count: 0,
            change: None,
            notes: Vec::new(),
        };
        let Ok(space) = seen.address_space() else { return Ok(report) };
        self.count_through(space, &mut report)?;
        let mut note = |code, text: &str| report.notes.push(Note::of(process.pid(), code, text));
        if seen.was_replaced() {
            note("exec", "the process called exec while it was read; this is the new program");
        }
        if seen.is_through_thread() {
            note("first-thread-ended", "its first thread has exited and others still run: this is what they see");
        }
        Ok(report)
    }

    /// Reads the address space of a process, or of one of its threads, until it holds still.
    fn count_through(&mut self, process: &Process, report: &mut ProcessFrames) -> Result<()> {
        let mut attempt = 1;
        loop {
            let look = self.look(process)?;
            if (!look.moved() && look.agrees(&self.features)) || attempt == ATTEMPTS {
                return self.finish(look, attempt, process, report);
            }
            attempt += 1;
        }
    }

    /// One look: mappings, page tables and counters, as close together as they can be read.
    fn look(&mut self, process: &Process) -> Result<Look> {
        let status = process.read("status")?;
        let maps = process.open_file("maps")?;
        let pagemap = process.pagemap()?;
        let before = Witness::of(process)?;
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
        if !self.wanted.smaps_keys.is_empty() {
            let mappings = process.smaps(&self.wanted.smaps_keys)?;
            for row in &mut look.rows {
                row.smaps = smaps::find(&mappings, &row.vma.range).cloned().map(Box::new);
            }
        }
        look.witnesses = (before, Witness::of(process)?);
        look.vm_swap = status::bytes_of(&status, "VmSwap").map(|bytes| self.page_size.pages_in(bytes));
        look.threads =
            status::field(&status, "Threads").and_then(|t| std::str::from_utf8(t).ok()?.parse().ok()).unwrap_or(1);
        if look.rows.is_empty() {
            // No process runs without mappings: maps was opened on an address space that exec has replaced, or exit.
            return Err(Error::Gone { path: process.path("maps") });
        }
        Ok(look)
    }

    /// Reads the mappings as rows, cut by `cut`. `on_each` gets the number of rows so far.
    fn rows(&self, process: &Process, maps: &File, cut: &Selection, mut on_each: impl FnMut(usize)) -> Result<Look> {
        let (mut rows, mut vma_count) = (Vec::new(), 0);
        let torn = process.vmas(maps, |vma| {
            vma_count += 1;
            // The kind is found once all devices are known.
            cut.cut(vma, |piece| rows.push(VmaRow::new(piece, Kind::Special, self.page_size)));
            if rows.len() == MANY_ROWS {
                rows.reserve_exact(ROOM_FOR_ROWS - MANY_ROWS);
                prefer_huge_pages(&rows);
            }
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

    /// Whether each huge page has to be checked for being the zero page, because scans do not report it.
    fn lacks_huge_zero(&self) -> bool {
        let told =
            || if self.root.is_recorded() { self.features.scan_huge_zero } else { huge_zero_in_scans(self.root) };
        *self.lacks_huge_zero.get_or_init(|| told() != Some(true))
    }

    fn swap_areas(&self, status: &[u8]) -> u64 {
        swap_areas(&self.features, status, self.swap_areas)
    }

    fn by_scan(
        &mut self,
        process: &Process,
        maps: &File,
        pagemap: &Words,
        recorded: Option<&Words>,
        status: &[u8],
    ) -> Result<Look> {
        let walk = Walk::of(&self.features, status, self.page_size);
        scope(|scope| {
            let mut beside = None;
            let mut look = self.rows(process, maps, &self.wanted.rows, |count| {
                if count == SCAN_BESIDE && recorded.is_none() {
                    beside = scan_beside(scope, pagemap, walk);
                }
            })?;
            let words = WordCount::new(pagemap, self.kpageflags.as_ref(), self.page_size, self.swap_areas(status));
            let owners = self.kpagecount.as_ref().map(|file| OwnerCount::new(file, self.page_size));
            let check_huge_zero = || self.lacks_huge_zero();
            let mut taker = RegionCounter::new(&mut look.rows, words, owners, self.page_size, &check_huge_zero);
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
            (look.outside_pages, look.unsure_of_huge_zero) = taker.finish()?;
            self.cost.calls += cost.calls;
            self.cost.longest = self.cost.longest.max(cost.longest);
            Ok(look)
        })
    }

    fn by_words(&mut self, process: &Process, maps: &File, pagemap: &Words, status: &[u8]) -> Result<Look> {
        // smaps covers whole mappings only, and its numbers are needed here: none is cut.
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

    /// Explains in notes what is `null` in JSON and `-` in tables.
    fn note_unknown(&self, report: &mut ProcessFrames) {
        if report.vmas.iter().any(|row| row.counts.is_none()) {
            let text = "the kernel shows no page-table entries for [vvar] and [vsyscall]";
            report.notes.push(Note { in_json_only: true, ..Note::of(report.pid, "not-shown", text) });
        }
        if self.wanted.owners && report.vmas.iter().any(|row| row.kind == Kind::Hugetlb) {
            let text = "hugetlb pages are not divided by owner: smaps leaves them out of PSS too";
            report.notes.push(Note { in_json_only: true, ..Note::of(report.pid, "hugetlb-owners", text) });
        }
        if self.wanted.rows.range.is_some() && !self.wanted.smaps_keys.is_empty() {
            let text = "smaps covers whole mappings only: it has no values for a mapping cut by the range";
            report.notes.push(Note::of(report.pid, "range-smaps", text));
        }
    }

    /// Puts the last look into the report.
    fn finish(&self, look: Look, attempts: u32, process: &Process, report: &mut ProcessFrames) -> Result<()> {
        let held_still = !look.moved();
        let mut ledger = ledger(&look.rows, look.statm(), look.rss);
        ledger.attempts = attempts;
        ledger.held_still = held_still;
        if self.features.statm_exact == Some(false) {
            ledger.statm_bound_pages =
                Some(statm::bound_pages(self.kernel, self.features.possible_cpus, look.threads, self.page_size));
        }
        // Half a process that ended during the reading is no answer. (Everything was read below one open directory:
        // what was read completely is this process's, even if it has ended since.)
        if !held_still && !is_alive(process) {
            return Err(Error::Gone { path: process.path("maps") });
        }
        report.notes = look.notes(report.pid, &ledger);
        report.vma_count = look.vma_count;
        report.ledger = Some(ledger);
        report.vmas = look.rows;
        self.note_unknown(report);
        if self.wanted.owners {
            let mut all = Owners::default();
            // A mapping without any frames is known to have no owners.
            for row in report.vmas.iter_mut().filter(|row| row.counts.is_some() && row.kind != Kind::Hugetlb) {
                all.add(row.owners.get_or_insert_default());
            }
            report.owners = Some(all);
        }
        Ok(())
    }
}

/// What a scan running in parallel with the reading of maps sends.
enum Scanned {
    Regions(Vec<Region>),
    Done(Result<WalkCost>),
}

/// Starts such a scan; `None` if there can be no thread for it.
fn scan_beside<'scope>(
    scope: &'scope Scope<'scope, '_>,
    pagemap: &'scope Words,
    what: Walk,
) -> Option<Receiver<Scanned>> {
    let (send, receive) = sync_channel(WAITING);
    let scan = move || {
        let done = walk::walk(pagemap, &what, |regions| {
            // The receiver is only gone when its side has failed, and that error is the one to report.
            send.send(Scanned::Regions(regions.to_vec())).map_err(|_| Error::Gone { path: pagemap.path().to_owned() })
        });
        let _ = send.send(Scanned::Done(done));
    };
    threads::start(scope, scan).map(|_| receive)
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
    rss.ok_or_else(|| Error::malformed(&process.path("smaps_rollup"), 1, "Rss is missing"))
}
