//! Counting the processes of a round one by one, and what is remembered for the next.

use anyhow::Result;

use super::Args;
use crate::analysis::frames::ProcessFrames;
use crate::analysis::frames::change::Before;
use crate::analysis::frames::count::Counter;
use crate::analysis::note::Note;
use crate::cli::progress::Progress;
use crate::cli::run::context::Context;
use crate::cli::run::trouble::Trouble;
use crate::cli::status::{Status, UsageError, say};
use crate::cli::target;
use crate::error::Error;
use crate::kernel::access::what_would_help;
use crate::kernel::process::Process;

/// What stays the same from round to round, and what is remembered.
pub(super) struct Session<'a> {
    pub(super) args: &'a Args,
    pub(super) counter: Counter<'a>,
    before: Vec<Before>,
}

/// One round of counting: what was told already, and what the next round will want to know.
struct Round {
    total: usize,
    done: usize,
    /// Processes that could not be looked at, where they are told together.
    denied: usize,
    help: Option<&'static str>,
    before: Vec<Before>,
    progress: Progress,
}

/// What a round came to, besides what was counted.
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

    /// The processes of a round; none where all that a watch looked at have ended.
    pub(super) fn find(&mut self, cx: &Context<'_>, is_first: bool, lacks: &mut Lacks) -> Result<Vec<u32>> {
        let found = match target::find(&cx.root, &self.args.targets, self.args.all) {
            // What was there a moment ago has ended: that is how a watch ends, and it is told.
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
            Round { total: pids.len(), done: 0, denied: 0, help: None, before: Vec::new(), progress: cx.progress() };
        for &pid in pids {
            if let Some(process) = self.count(cx, pid, keep, &mut round, lacks)? {
                round.progress.wipe();
                take(process)?;
            }
        }
        round.progress.wipe();
        if round.denied > 0 {
            let text = format!("{} of {} processes: permission denied (-v: which)", round.denied, round.total);
            lacks.troubles.push(Trouble { text, help: round.help, status: Status::Incomplete });
        }
        self.before = round.before;
        Ok(())
    }

    /// Counts one process. One that cannot be counted is told, unless it is the only one: then it is the error.
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
        let process = match Process::open(&cx.root, pid) {
            // It ended between the listing and now: there is nothing to miss.
            Err(error) if error.is_gone() && self.args.all => return Ok(None),
            other => other,
        };
        let mut report = match process.and_then(|process| self.counter.count(&process)) {
            Ok(report) => report,
            Err(error) if round.total == 1 && !has_ended(cx, &error) => return Err(error.into()),
            Err(error) => {
                round.progress.wipe();
                self.tell(cx, pid, &error, round, lacks);
                return Ok(None);
            }
        };
        if let Some(before) = self.before.iter().find(|before| before.is_of(&report)) {
            before.compare(&mut report);
        }
        if keep {
            round.before.extend(Before::of(&report));
        }
        let rows = &self.counter.wanted().rows;
        report.vmas.retain(|row| rows.keeps(row));
        // Of all processes, those are wanted that have something to show.
        let shows = report.ledger.is_some() && (self.args.summary || !rows.is_narrow() || !report.vmas.is_empty());
        Ok(Some(report).filter(|_| shows || !self.args.all))
    }

    fn tell(&self, cx: &Context<'_>, pid: u32, error: &Error, round: &mut Round, lacks: &mut Lacks) {
        let text = match has_ended(cx, error) {
            true => "the process ended while it was being looked at".to_owned(),
            false => error.to_string(),
        };
        lacks.notes.push(Note::of(pid, "not-counted", &text));
        let help = what_would_help(error);
        if self.args.all && !cx.is_verbose() && matches!(error, Error::Denied { .. }) {
            round.denied += 1;
            round.help = round.help.or(help);
        } else {
            lacks.troubles.push(Trouble { text: format!("{pid}: {text}"), help, status: Status::Incomplete });
        }
    }
}

/// Whether the error says that the process has ended. In a recorded tree nothing ends: there a file is missing.
fn has_ended(cx: &Context<'_>, error: &Error) -> bool {
    error.is_gone() && !cx.root.is_recorded()
}
