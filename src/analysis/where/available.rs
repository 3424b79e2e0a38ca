//! Is this machine short of memory? What is available without swapping, how the kernel computes that, and how long
//! tasks wait.

use serde::Serialize;

use crate::kernel::r#where::Sources;
use crate::model::pressure::Pressure;
use crate::model::zoneinfo::Zone;
use crate::unit::{PageSize, difference};

/// Memory available without swapping. (si_mem_available, mm/show_mem.c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Available {
    /// MemAvailable, as the kernel reports it.
    pub bytes: Option<u64>,
    /// The same, computed from the following; `None` if one of them is not known.
    pub recomputed_bytes: Option<u64>,
    /// pmem's value minus the kernel's.
    pub difference_bytes: Option<i64>,
    /// MemFree.
    pub free_bytes: Option<u64>,
    /// Reserves: for each zone, its high watermark (without the boost) plus its largest lowmem reserve.
    pub reserve_bytes: Option<u64>,
    /// The file lists of the LRU.
    pub file_lists_bytes: Option<u64>,
    /// Reclaimable kernel memory.
    pub reclaimable_bytes: Option<u64>,
    /// The low watermarks: this much of the file lists and of reclaimable memory, at most half of each, is not counted
    /// as available.
    pub low_bytes: Option<u64>,
    /// In such steps: the kernel computes in pages.
    #[serde(skip)]
    page_bytes: u64,
}

/// What memory is free or can be reclaimed, on the machine or on one node, in bytes; `None` if that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimable {
    /// Free pages of the buddy allocator.
    pub free: Option<u64>,
    /// The file lists of the LRU.
    pub file_lists: Option<u64>,
    /// Kernel memory that can be reclaimed.
    pub kernel: Option<u64>,
}

impl Available {
    /// Computes it for the machine.
    pub fn of(sources: &Sources, page_size: PageSize) -> Self {
        let bytes = |key| sources.counters.meminfo.bytes(key);
        let plus = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        let memory = Reclaimable {
            free: bytes("MemFree"),
            file_lists: plus(bytes("Active(file)"), bytes("Inactive(file)")),
            kernel: bytes("KReclaimable").or_else(|| bytes("SReclaimable")),
        };
        let found = Self::of_zones(memory, &sources.zones.iter().collect::<Vec<_>>(), page_size);
        let bytes = bytes("MemAvailable");
        let difference_bytes = found.recomputed_bytes.zip(bytes).map(|(ours, its)| difference(ours, its));
        Self { bytes, difference_bytes, ..found }
    }

    /// Computes it for these zones: those of the machine, or those of one node, for which the kernel does not report
    /// it.
    pub fn of_zones(memory: Reclaimable, zones: &[&Zone], page_size: PageSize) -> Self {
        let sum = |pages: fn(&Zone) -> u64| {
            let sum = zones.iter().fold(0u64, |sum, zone| sum.saturating_add(pages(zone)));
            (!zones.is_empty()).then_some(page_size.bytes_of(sum))
        };
        let mut found = Self {
            free_bytes: memory.free,
            // Watermarks were boosted after the reserve was computed. (calculate_totalreserve_pages)
            reserve_bytes: sum(|zone| {
                let kept = zone.protection.iter().max().copied().unwrap_or(0);
                kept.saturating_add(zone.high.saturating_sub(zone.boost.unwrap_or(0))).min(zone.managed)
            }),
            file_lists_bytes: memory.file_lists,
            reclaimable_bytes: memory.kernel,
            low_bytes: sum(|zone| zone.low),
            page_bytes: page_size.bytes(),
            ..Self::default()
        };
        found.recomputed_bytes = found.recompute();
        found
    }

    fn recompute(&self) -> Option<u64> {
        self.with(self.gain(self.file_lists_bytes)?, self.gain(self.reclaimable_bytes)?)
    }

    /// A lower bound: what is not known counts as none. `None` if free memory or its reserve is not known.
    pub fn at_least(&self) -> Option<u64> {
        let gain = |bytes| self.gain(bytes).unwrap_or(0);
        self.with(gain(self.file_lists_bytes), gain(self.reclaimable_bytes))
    }

    /// What is free above the reserve, with these gains.
    fn with(&self, file_lists: u64, kernel: u64) -> Option<u64> {
        let free = i128::from(self.free_bytes?) - i128::from(self.reserve_bytes?);
        let sum = free + i128::from(file_lists) + i128::from(kernel);
        Some(u64::try_from(sum.max(0)).unwrap_or(u64::MAX))
    }

    /// How much of something reclaimable counts as available.
    pub fn gain(&self, bytes: Option<u64>) -> Option<u64> {
        let (bytes, low) = (bytes?, self.low_bytes?);
        let half = bytes / 2;
        Some(bytes - low.min(half - half % self.page_bytes.max(1)))
    }
}

/// The verdict on the memory of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is enough, as far as is known.
    Enough,
    /// Little is available.
    Little,
    /// Tasks wait for memory.
    Waiting,
    /// Almost nothing is available, or little is and all tasks wait for memory.
    Short,
}

/// Less pressure than this counts as none, in percent of the time.
const NOTICED: f64 = 0.05;

/// From this share of the time with all tasks waiting, not much gets done, in percent.
const STANDING_STILL: f64 = 5.0;

/// If less than this is available without swapping, it is little, or nearly nothing, in percent of all memory.
const LITTLE: f64 = 10.0;
const NEARLY_NOTHING: f64 = 3.0;

impl Verdict {
    /// The answer, and the reason in words if it is not [`Enough`](Self::Enough); `None` if neither number is known.
    pub fn of(total: u64, available: Option<u64>, pressure: Option<&Pressure>) -> (Option<Self>, Option<String>) {
        if available.is_none() && pressure.is_none() {
            return (None, None);
        }
        let percent = available.map(|bytes| bytes as f64 * 100.0 / total.max(1) as f64);
        let left = percent
            .map_or_else(String::new, |percent| format!("{percent:.0} % of memory is available without swapping"));
        let (some, full) = pressure.map_or((0.0, 0.0), |pressure| (pressure.some.avg10, pressure.full.avg10));
        let is_below = |limit: f64| percent.is_some_and(|percent| percent < limit);
        let waits = format!(
            "in the last 10 s, at least one task was stalled on memory {some:.1} % of the time, and all non-idle tasks \
             {full:.1} %"
        );
        let (verdict, text) = match () {
            () if is_below(NEARLY_NOTHING) => (Self::Short, Some(format!("Short of memory: {left}; {waits}."))),
            () if full >= STANDING_STILL && is_below(LITTLE) => {
                (Self::Short, Some(format!("Short of memory: {left}; {waits}.")))
            }
            // Tasks of a cgroup that is at its limit count for the whole machine too.
            () if full >= STANDING_STILL && percent.is_some() => {
                let why = "a cgroup is at its limit, or the machine is thrashing";
                (Self::Waiting, Some(format!("Tasks wait for memory though {left}: {why}; {waits}.")))
            }
            () if full >= STANDING_STILL => (Self::Short, Some(format!("Short of memory: {waits}."))),
            () if some >= NOTICED || full >= NOTICED => {
                let left = if is_below(LITTLE) { format!("; {left}") } else { String::new() };
                (Self::Waiting, Some(format!("Some pressure: {waits}{left}.")))
            }
            () if is_below(LITTLE) => (Self::Little, Some(format!("Memory is low: {left}."))),
            () => (Self::Enough, None),
        };
        (Some(verdict), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pressure::Share;

    #[test]
    fn a_verdict_is_by_what_is_left_and_who_waits() {
        let share = |avg10| Share { avg10, avg60: 0.0, avg300: 0.0, total_us: 0 };
        for (available, some, full, expected) in [
            (50, 0.0, 0.0, Verdict::Enough),
            (9, 0.0, 0.0, Verdict::Little),
            (50, 0.04, 0.03, Verdict::Enough),
            (50, 0.05, 0.0, Verdict::Waiting),
            (9, 3.0, 1.0, Verdict::Waiting),
            (50, 9.0, 5.0, Verdict::Waiting),
            (9, 9.0, 5.0, Verdict::Short),
            (2, 0.0, 0.0, Verdict::Short),
        ] {
            let pressure = Pressure { some: share(some), full: share(full) };
            let (found, text) = Verdict::of(100, Some(available), Some(&pressure));
            assert_eq!(
                (found, text.is_some()),
                (Some(expected), expected != Verdict::Enough),
                "{available} {some} {full}"
            );
        }
        assert_eq!(Verdict::of(0, None, None), (None, None));
        let all_wait = Pressure { some: share(9.0), full: share(5.0) };
        let text = |available| Verdict::of(100, available, Some(&all_wait));
        assert!(text(Some(50)).1.is_some_and(|text| text.contains("though 50 % of memory is available")));
        assert_eq!(text(None).0, Some(Verdict::Short));
    }

    #[test]
    fn half_of_what_can_be_reclaimed_is_the_most_that_is_left() {
        let available = Available {
            free_bytes: Some(1000),
            reserve_bytes: Some(300),
            file_lists_bytes: Some(100),
            reclaimable_bytes: Some(40),
            low_bytes: Some(30),
            ..Available::default()
        };
        assert_eq!(available.recompute(), Some(700 + 70 + 20));
        assert_eq!(Available { reserve_bytes: Some(u64::MAX), ..available }.recompute(), Some(0));
        assert_eq!(Available { low_bytes: None, ..available }.recompute(), None);
        let unknown = Available { reclaimable_bytes: None, ..available };
        assert_eq!((unknown.recompute(), unknown.at_least()), (None, Some(700 + 70)));
        assert_eq!(Available { free_bytes: None, ..available }.at_least(), None);
    }
}
