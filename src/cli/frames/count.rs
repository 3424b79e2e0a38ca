//! Counting the processes of a round one by one, and what is remembered for the next.

use anyhow::Result;

use super::Args;
use crate::analysis::frames::ProcessFrames;
use crate::analysis::frames::change::Before;
use crate::analysis::frames::count::Counter;
use crate::analysis::gap::{Gap, Gaps, Reason};
use crate::analysis::note::Note;
use crate::analysis::processes::visit;
use crate::cli::progress::Progress;
use crate::cli::run::context::Context;
use crate::cli::run::trouble::Trouble;
use crate::cli::status::{UsageError, error_of, say};
use crate::cli::target;

/// What stays the same from round to round, and what is remembered.
pub(super) struct Session<'a> {
    pub(super) args: &'a Args,
    pub(super) counter: Counter<'a>,
    before: Vec<Before>,
}

/// One round of counting: what was reported already, and what the next round needs.
struct Round {
    total: usize,
    done: usize,
    /// Processes this user may not read, where they are reported together.
    denied: Gaps,
    before: Vec<Before>,
    progress: Progress,
}

/// The outcome of a round, apart from the counts.
#[derive(Default)]
pub(super) struct Lacks {
    /// What could not be counted.
    pub(super) troubles: Vec<Trouble>,
    /// The same for documents.
    pub(super) notes: Vec<Note>,
}

impl<'a> Session<'a> {
    pub(super) fn new(args: &'a Args, counter: Counter<'a>) -> Self {
        Self { args, counter, before: Vec::new() }
    }

    /// The processes of a round; none if all watched processes have ended.
    pub(super) fn find(&mut self, cx: &Context<'_>, is_first: bool, lacks: &mut Lacks) -> Result<Vec<u32>> {
        let found = match target::find(&cx.root, &self.args.targets, self.args.all) {
            // They existed a moment ago and have ended: that ends the watch, and is reported.
            Err(error) if !is_first && error.downcast_ref::<UsageError>().is_some() => {
                lacks.troubles.push(Trouble::incomplete(error.to_string()));
                return Ok(Vec::new());
            }
            other => other?,
        };
        lacks.troubles.extend(found.missing.into_iter().map(Trouble::incomplete));
        if let Some(remark) = found.remark.filter(|_| is_first && !cx.is_quiet()) {
            say(&remark);
        }
        if !self.args.all {
            let ended = self.before.iter().map(Before::pid).filter(|pid| !found.pids.contains(pid));
            lacks.troubles.extend(ended.map(|pid| Trouble::incomplete(format!("{pid}: the process has ended"))));
        }
        Ok(found.pids)
    }

    /// Counts processes one by one and hands each to `take`.
    pub(super) fn each(
        &mut self,
        cx: &Context<'_>,
        pids: &[u32],
        keep: bool,
        lacks: &mut Lacks,
        mut take: impl FnMut(ProcessFrames) -> Result<()>,
    ) -> Result<()> {
        let mut round =
            Round { total: pids.len(), done: 0, denied: Gaps::default(), before: Vec::new(), progress: cx.progress() };
        for &pid in pids {
            if cx.is_over() {
                break;
            }
            if let Some(process) = self.count(cx, pid, keep, &mut round, lacks)? {
                round.progress.wipe();
                take(process)?;
            }
        }
        round.progress.wipe();
        let denied = round.denied.denied_together(round.total);
        lacks.troubles.extend(denied.map(|text| Trouble::incomplete(text).with_help(round.denied.help())));
        self.before = round.before;
        Ok(())
    }

    /// Counts one process. Failure is reported, unless it is the only process: then it is the error.
    fn count(
        &mut self,
        cx: &Context<'_>,
        pid: u32,
        keep: bool,
        round: &mut Round,
        lacks: &mut Lacks,
    ) -> Result<Option<ProcessFrames>> {
        round.done += 1;
        round.progress.show(|| format!("{} of {} processes", round.done, round.total));
        let mut report = match visit::process(&cx.root, pid, |seen| self.counter.count_seen(seen)) {
            Ok(report) => report,
            // It ended since the listing: nothing is missing.
            Err(Reason::NotThere) if self.args.all => return Ok(None),
            Err(reason) if round.total == 1 && !reason.is_gone() => return Err(error_of(Gap::process(pid, reason))),
            Err(reason) => {
                round.progress.wipe();
                self.lacks(cx, Gap::process(pid, reason), round, lacks);
                return Ok(None);
            }
        };
        if self.args.is_summary() {
            // With thousands of processes, their mappings would take most of the memory.
            report.vmas = Vec::new();
        }
        if let Some(before) = self.before.iter().find(|before| before.is_of(&report)) {
            before.compare(&mut report);
        }
        if keep {
            round.before.extend(Before::of(&report));
        }
        let rows = &self.counter.wanted().rows;
        report.vmas.retain(|row| rows.keeps(row));
        // With --all, only processes with something to show.
        let shows = report.ledger.is_some() && (self.args.is_summary() || !rows.is_narrow() || !report.vmas.is_empty());
        Ok(Some(report).filter(|_| shows || !self.args.all))
    }

    fn lacks(&self, cx: &Context<'_>, gap: Gap, round: &mut Round, lacks: &mut Lacks) {
        lacks.notes.push(gap.note("not-counted"));
        // With --all, unreadable processes are reported together.
        if self.args.all && !cx.is_verbose() && matches!(gap.reason, Reason::Denied(_)) {
            round.denied.push(gap);
        } else {
            lacks.troubles.push(Trouble::incomplete(gap.to_string()).with_help(gap.reason.help()));
        }
    }
}
