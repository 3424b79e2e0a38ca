//! Who maps a frame: searches the page tables of every process once, for any number of frames.

pub mod frame_set;
pub mod shared;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;

use serde::Serialize;

use crate::analysis::gap::Gaps;
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::processes::visit;
use crate::analysis::rmap::frame_set::FrameSet;
use crate::error::Result;
use crate::kernel::features::Features;
use crate::kernel::kcmp::{in_pid_namespace, shared_address_spaces, sharing_is_told};
use crate::kernel::populated::populated;
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::kernel::words::WINDOW;
use crate::model::pagemap::Entry;
use crate::model::vma::{Perm, Vma};
use crate::name::Name;
use crate::unit::{Pfn, VirtAddr};

/// The mappings of one frame.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FrameMappers {
    /// The frame.
    pub pfn: Pfn,
    /// Its class; `None` beyond the end of memory.
    pub class: Option<Class>,
    /// The kernel's mapcount after the search.
    pub mapcount: Option<u64>,
    /// Mappings found; those of processes that share an address space are counted once.
    pub found: u64,
    /// Whether the list is complete: as many mappings as the mapcount before and after the search.
    pub complete: bool,
    /// Why it is, or may be, incomplete.
    pub why: Option<String>,
    /// Them, by process and address.
    #[serde(skip)]
    pub mappers: Vec<Mapper>,
    /// Mappings found but not listed, because one process has too many.
    pub not_listed: u64,
}

/// A page-table entry that maps a frame.
#[derive(Clone, Debug)]
pub struct Mapper {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub comm: Name,
    /// The address of the page.
    pub address: VirtAddr,
    /// The permissions of the mapping around it; `None` if it was removed during the search.
    pub perm: Option<Perm>,
    /// The name of the mapping.
    pub name: Name,
    /// The process with which this one shares its address space, and so this entry: it is counted there.
    pub shares_with: Option<u32>,
}

/// Which processes could be searched.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Asked {
    /// Processes whose page tables were searched.
    pub processes: u64,
    /// Processes that could not be read, and why.
    pub unreadable: Gaps,
    /// Processes that ended or called exec during the search.
    pub ended: u64,
    /// Whether pmem sees only the processes of one PID namespace, not those of the whole machine.
    pub in_pid_namespace: bool,
    /// Whether the kernel reports which processes share an address space (CONFIG_KCMP); if not, each is counted
    /// separately.
    pub sharing_told: bool,
    /// Whether these are the processes of a recorded tree, which need not be all that there were.
    #[serde(skip)]
    pub of_a_tree: bool,
}

/// A page of a process in one of the frames searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    pfn: u64,
    pid: u32,
    index: u64,
}

/// What a search needs.
#[derive(Debug)]
pub struct Search<'r> {
    /// The machine.
    pub root: &'r Root,
    /// What its kernel shows.
    pub features: &'r Features,
    /// Reads mapcounts.
    pub frame_reader: &'r FrameReader,
}

/// The most pages of one process that are listed: a process can map the zero page, or a page that KSM merged, any
/// number of times.
const MOST_LISTED: usize = 100_000;

impl Search<'_> {
    /// Finds who maps these frames, in one pass over all processes. `progress` gets the number of processes started and
    /// the total.
    ///
    /// # Errors
    /// Any error from reading the frame files. A process that cannot be read is not an error: it is reported.
    pub fn mappers(&self, pfns: &[Pfn], progress: impl FnMut(usize, usize)) -> Result<(Vec<FrameMappers>, Asked)> {
        let mut wanted = pfns.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let before = self.mapcounts(&wanted)?;
        let set: FrameSet = wanted.iter().copied().collect();
        let ask = |pid: u32, process: &Process| {
            let (mut hits, mut not_listed) = (Vec::new(), HashMap::<u64, u64>::new());
            self.each_frame(process, |pfn, index| {
                if set.contains(pfn) && hits.len() < MOST_LISTED {
                    hits.push(Hit { pfn: pfn.0, pid, index });
                } else if set.contains(pfn) {
                    *not_listed.entry(pfn.0).or_default() += 1;
                }
            })?;
            Ok((self.mappers_of(process, &hits), not_listed))
        };
        let (parts, asked) = self.ask_all(ask, progress)?;
        let after = self.mapcounts(&wanted)?;
        let pids: BTreeSet<u32> = parts.iter().flat_map(|(mappers, _)| mappers).map(|(_, mapper)| mapper.pid).collect();
        let shared = shared_address_spaces(self.root, pids.into_iter());
        let mut not_listed: HashMap<u64, u64> = HashMap::new();
        let mut by_frame: HashMap<u64, Vec<Mapper>> = HashMap::new();
        for (mappers, more) in parts {
            more.into_iter().for_each(|(pfn, count)| *not_listed.entry(pfn).or_default() += count);
            for (pfn, mut mapper) in mappers {
                mapper.shares_with = shared.get(&mapper.pid).copied();
                by_frame.entry(pfn).or_default().push(mapper);
            }
        }
        let mut frames = Vec::new();
        for ((pfn, before), after) in wanted.into_iter().zip(before).zip(after) {
            let mut mappers = by_frame.remove(&pfn.0).unwrap_or_default();
            mappers.sort_unstable_by_key(|mapper| (mapper.pid, mapper.address));
            let more = not_listed.get(&pfn.0).copied().unwrap_or(0);
            frames.push(self.frame(pfn, (before, after), mappers, more, &asked)?);
        }
        // In the requested order, each once.
        let mut places: HashMap<Pfn, FrameMappers> = frames.into_iter().map(|frame| (frame.pfn, frame)).collect();
        Ok((pfns.iter().filter_map(|pfn| places.remove(pfn)).collect(), asked))
    }

    /// Calls `ask` for all processes.
    pub(super) fn ask_all<T: Send>(
        &self,
        ask: impl Fn(u32, &Process) -> Result<T> + Sync,
        progress: impl FnMut(usize, usize),
    ) -> Result<(Vec<T>, Asked)> {
        let walk = visit::all(self.root, progress, |seen| Ok(ask(seen.pid(), seen.address_space()?)?))?;
        let asked = Asked {
            processes: walk.tally.looked,
            unreadable: walk.tally.gaps,
            ended: walk.tally.ended,
            in_pid_namespace: in_pid_namespace(self.root),
            sharing_told: sharing_is_told(self.root),
            of_a_tree: self.root.is_recorded(),
        };
        Ok((walk.found, asked))
    }

    /// Calls `each` with every frame that a process maps, and the index of the page.
    pub(super) fn each_frame(&self, process: &Process, mut each: impl FnMut(Pfn, u64)) -> Result<()> {
        let pagemap = process.pagemap()?;
        let whole = VirtAddr(0)..VirtAddr(self.features.user_end);
        let mut words = vec![0; WINDOW];
        let page_size = self.root.page_size();
        populated(process, &pagemap, self.features, page_size, &whole, true, |range| {
            pagemap.windows(range, &mut words, |first, part| {
                for (index, &word) in (first..).zip(part) {
                    if let Some(pfn) = Entry(word).pfn() {
                        each(pfn, index);
                    }
                }
                Ok(())
            })
        })
        .map(drop)
    }

    /// The report on pages of a process: the mapping each is in.
    fn mappers_of(&self, process: &Process, hits: &[Hit]) -> Vec<(u64, Mapper)> {
        if hits.is_empty() {
            return Vec::new();
        }
        let mut vmas: Vec<Vma> = Vec::new();
        // If the process has ended since, its entries have no names.
        let maps = process.open_file("maps").ok();
        if let Some(maps) = &maps {
            let _ = process.vmas(maps, |vma| vmas.push(vma));
        }
        // If the first thread has ended, the name is still that of the process, and not of the thread it is seen
        // through.
        let pid = hits.first().map_or(process.pid(), |hit| hit.pid);
        let own = if pid == process.pid() { None } else { Process::open(self.root, pid).ok() };
        let comm = own.as_ref().unwrap_or(process).comm().unwrap_or_default();
        let mapper = |hit: &Hit| {
            let address = VirtAddr(self.root.page_size().bytes_of(hit.index));
            let place = vmas.partition_point(|vma| vma.range.end <= address);
            let vma = vmas.get(place).filter(|vma| vma.range.contains(&address));
            let name = vma.map_or_else(Name::default, |vma| self.name(process, vma, maps.as_ref()));
            let (pid, perm) = (hit.pid, vma.map(|vma| vma.perm));
            (hit.pfn, Mapper { pid, comm: comm.clone(), address, perm, name, shares_with: None })
        };
        hits.iter().map(mapper).collect()
    }

    /// The exact name of a mapping, even if `maps` shows what may be an escaped newline.
    fn name(&self, process: &Process, vma: &Vma, maps: Option<&File>) -> Name {
        let exact = maps.filter(|_| vma.has_doubtful_name());
        let exact = exact.and_then(|maps| process.exact_name(vma, maps, self.features).ok());
        exact.unwrap_or_else(|| vma.name.clone())
    }

    /// The mapcounts of frames, which must ascend; `None` past the end of memory.
    fn mapcounts(&self, pfns: &[Pfn]) -> Result<Vec<Option<u64>>> {
        let mut counts = vec![None; pfns.len()];
        let exist: Vec<(usize, u64)> = pfns
            .iter()
            .enumerate()
            .filter(|(_, pfn)| self.frame_reader.physical.may_exist(**pfn))
            .map(|(at, pfn)| (at, pfn.0))
            .collect();
        let numbers: Vec<u64> = exist.iter().map(|(_, pfn)| *pfn).collect();
        self.frame_reader.files.counts.gather(numbers.into_iter(), |place, word| counts[exist[place].0] = word)?;
        Ok(counts)
    }

    fn frame(
        &self,
        pfn: Pfn,
        (before, after): (Option<u64>, Option<u64>),
        mappers: Vec<Mapper>,
        not_listed: u64,
        asked: &Asked,
    ) -> Result<FrameMappers> {
        let class = self.frame_reader.class_of(pfn)?;
        let listed = mappers.iter().filter(|mapper| mapper.shares_with.is_none()).count() as u64;
        let found = listed + not_listed;
        let complete = after.is_some() && before == after && after == Some(found) && class != Some(Class::ZeroPage);
        let after = after.filter(|_| class != Some(Class::ZeroPage));
        let why = match (complete, self.frame_reader.exists(pfn)) {
            (true, _) => None,
            (_, None) => Some("the frame was not recorded in this tree".to_owned()),
            _ => Some(why(class, before, after, found, asked)),
        };
        Ok(FrameMappers { pfn, class, mapcount: after, found, complete, why, mappers, not_listed })
    }
}

/// Why there may be mappers that were not found.
fn why(class: Option<Class>, before: Option<u64>, after: Option<u64>, found: u64, asked: &Asked) -> String {
    if class == Some(Class::ZeroPage) {
        return "the kernel does not count mappings of the zero page".to_owned();
    }
    let (Some(before), Some(after)) = (before, after) else {
        return "no such frame: it is beyond the end of memory".to_owned();
    };
    if before != after {
        return format!("the mapcount went from {before} to {after} during the search");
    }
    let mut reasons = Vec::new();
    let processes = |n: usize| if n == 1 { "1 process".to_owned() } else { format!("{n} processes") };
    if found < after {
        if !asked.unreadable.is_empty() {
            let unreadable = processes(asked.unreadable.len());
            reasons.push(format!("{unreadable} could not be read ({})", asked.unreadable.pids()));
        }
        if asked.in_pid_namespace {
            reasons.push("processes of other PID namespaces are not visible".to_owned());
        }
        if asked.ended > 0 {
            reasons.push(format!("{} ended during the search", processes(asked.ended as usize)));
        }
        if reasons.is_empty() {
            reasons.push(match asked.of_a_tree {
                true => "the other mappings are in processes not recorded here, or not in processes at all".to_owned(),
                false => "the other mappings are not in processes, or the count is for the whole folio".to_owned(),
            });
        }
        format!("{} not found: {}", after - found, reasons.join("; "))
    } else {
        let why = match asked.sharing_told {
            true => "the kernel's count is for the whole folio (without CONFIG_PAGE_MAPCOUNT), or it changed",
            false => "processes may share an address space, which is not visible here",
        };
        format!("{} more than the kernel counts: {why}", found - after)
    }
}
