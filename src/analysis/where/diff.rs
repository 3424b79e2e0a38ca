//! What changed in the ledger of a machine between two captures, or since one.

use std::time::Duration;

use serde::Serialize;

use crate::analysis::comparison::{Origin, between, no_rates, same_boot};
use crate::analysis::note::Note;
use crate::analysis::r#where::ledger::{Ledger, ledger};
use crate::error::Result;
use crate::kernel::manifest::Host;
use crate::kernel::r#where::Sources;
use crate::model::vmstat::Vmstat;
use crate::unit::PageSize;

/// The report.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "WhereDiff"))]
pub struct Report {
    /// The origin of the numbers of BEFORE.
    pub before: Origin,
    /// The origin of the numbers of AFTER.
    pub after: Origin,
    /// The time between them; `None` if AFTER is older.
    pub seconds: Option<f64>,
    /// Whether both can be from the same boot; if not, changes are not growth.
    pub same_boot: bool,
    /// MemTotal in BEFORE.
    pub total_before_bytes: i64,
    /// MemTotal in AFTER.
    pub total_after_bytes: i64,
    /// The lines, those that changed most first.
    #[serde(skip)]
    pub lines: Vec<Row>,
}

/// A line of the ledger, in both.
#[derive(Clone, Debug)]
pub struct Row {
    /// What programs call it.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Its size in the first.
    pub before_bytes: Option<i64>,
    /// Its size in the second.
    pub after_bytes: Option<i64>,
    /// The second minus the first.
    pub change_bytes: Option<i64>,
    /// The same per hour; `None` if the time is not known, or the two are not from the same boot.
    pub bytes_per_hour: Option<i64>,
}

/// One of the two.
#[derive(Debug)]
pub struct Side {
    /// What was read.
    pub sources: Sources,
    /// When it was read, in the form of RFC 3339.
    pub time: String,
    /// `live` or `recorded`.
    pub source: &'static str,
    /// The machine.
    pub host: Host,
    /// The size of its pages.
    pub page_size: PageSize,
}

impl Report {
    /// Compares the two; also returns what the reader must know.
    ///
    /// # Errors
    /// See [`ledger()`].
    pub fn new(mut before: Side, mut after: Side) -> Result<(Self, Vec<Note>)> {
        let same_boot = same_boot(Some(&before.host), Some(&after.host));
        let time = between(&before.time, &after.time);
        let mut notes = notes(&before, &after, same_boot, time);
        notes.extend(alike(&mut before.sources, &mut after.sources));
        let old = ledger(&before.sources, before.page_size)?;
        let new = ledger(&after.sources, after.page_size)?;
        notes.extend(notes_of_lines(&old, &new));
        let seconds = time.map(|time| time.as_secs_f64());
        let mut lines = rows(&old, &new, seconds.filter(|&seconds| seconds > 0.0 && same_boot));
        lines.sort_by_key(|row| std::cmp::Reverse(row.change_bytes.map(i64::unsigned_abs)));
        let report = Self {
            before: before.origin(),
            after: after.origin(),
            seconds,
            same_boot,
            total_before_bytes: old.total,
            total_after_bytes: new.total,
            lines,
        };
        Ok((report, notes))
    }

    /// Whether anything changed by at least `least` bytes.
    pub fn changed(&self, least: u64) -> bool {
        let total = self.total_after_bytes.abs_diff(self.total_before_bytes);
        (total > 0 && total >= least) || self.lines.iter().any(|row| row.changed(least))
    }
}

impl Row {
    /// Whether it changed by at least `least` bytes. A line that is known in only one of the two counts as changed.
    pub fn changed(&self, least: u64) -> bool {
        match self.change_bytes {
            Some(change) => change != 0 && change.unsigned_abs() >= least,
            None => self.before_bytes != self.after_bytes,
        }
    }
}

impl Side {
    fn origin(&self) -> Origin {
        Origin { time: Some(self.time.clone()), source: self.source, kernel: Some(self.host.kernel.clone()) }
    }
}

/// The notes on lines; a note that both have appears once.
fn notes_of_lines(old: &Ledger, new: &Ledger) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for line in old.lines.iter().chain(&new.lines) {
        let Some(text) = line.note else { continue };
        let text = format!("{}: {text}", line.title);
        if notes.iter().all(|note| note.text != text) {
            notes.push(Note { in_json_only: line.bytes.is_some(), ..Note::general("line", text) });
        }
    }
    notes
}

/// Notes on comparing two machines, two boots of one, or two points in time.
fn notes(before: &Side, after: &Side, same_boot: bool, time: Option<Duration>) -> Vec<Note> {
    let mut notes = Vec::from_iter(no_rates(same_boot, time));
    let mut note = |code, text: &str| notes.push(Note::general(code, text));
    let (old, new) = (&before.host.kernel, &after.host.kernel);
    if old != new {
        note("different-kernels", &format!("the kernels differ, {old} and {new}: so may the meaning of some counters"));
    }
    for (side, which) in [(before, "first"), (after, "second")] {
        for trouble in &side.sources.troubles {
            // It is also reported as an error.
            let text = format!("in the {which}: {trouble}");
            notes.push(Note { in_json_only: true, ..Note::general("source-incomplete", text) });
        }
    }
    notes
}

/// Leaves out what could be read for only one of them (as root, say): otherwise one line would seem to have turned into
/// another. Returns a note on what that was.
fn alike(a: &mut Sources, b: &mut Sources) -> Option<Note> {
    let mut left_out = Vec::new();
    let mut one_only = |a_has: bool, b_has: bool, what| {
        left_out.extend((a_has != b_has).then_some(what));
        a_has != b_has
    };
    if one_only(a.counters.slab_pages.is_some(), b.counters.slab_pages.is_some(), "slabinfo") {
        (a.counters.slab_pages, b.counters.slab_pages) = (None, None);
    }
    if one_only(a.vmalloc.is_some(), b.vmalloc.is_some(), "vmallocinfo") {
        (a.vmalloc, b.vmalloc) = (None, None);
    }
    if one_only(!a.zones.is_empty(), !b.zones.is_empty(), "zoneinfo") {
        (a.zones, b.zones) = (Vec::new(), Vec::new());
    }
    if one_only(!a.vmstat.is_empty(), !b.vmstat.is_empty(), "vmstat") {
        (a.vmstat, b.vmstat) = (Vmstat::default(), Vmstat::default());
    }
    if one_only(!a.pools.is_empty(), !b.pools.is_empty(), "the pools of hugetlb pages") {
        (a.pools, b.pools) = (Vec::new(), Vec::new());
    }
    let text = format!("only one of the two has {}: not used for either", left_out.join(", "));
    (!left_out.is_empty()).then(|| Note::general("in-one-only", text))
}

fn rows(old: &Ledger, new: &Ledger, seconds: Option<f64>) -> Vec<Row> {
    let pairs = old.lines.iter().zip(&new.lines);
    let row = |(old, new): (&crate::analysis::r#where::ledger::Line, &crate::analysis::r#where::ledger::Line)| {
        let change = old.bytes.zip(new.bytes).map(|(old, new)| new - old);
        let per_hour = change.zip(seconds).map(|(change, seconds)| (change as f64 * 3600.0 / seconds) as i64);
        Row {
            name: new.name,
            title: new.title,
            before_bytes: old.bytes,
            after_bytes: new.bytes,
            change_bytes: change,
            bytes_per_hour: per_hour,
        }
    };
    pairs.map(row).collect()
}
