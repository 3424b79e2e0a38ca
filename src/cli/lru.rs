//! `pmem lru`: what is on the LRU lists.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::{GlobalOptions, Repeat};
use super::output::Output;
use super::phys::percent;
use super::run::command::{self, Asked, Reading, Shown};
use super::run::context::Context;
use super::status::Status;
use crate::analysis::physical::lru::{self, Report, State};
use crate::analysis::physical::page::FrameReader;
use crate::analysis::physical::phys;
use crate::view::field::Field;
use crate::view::lru as view;

/// Show what is on the LRU lists: active or inactive, referenced or not
///
/// The kernel keeps process memory and the page cache on active and inactive lists, and reclaims from the tail of the
/// inactive list; a page that is used twice becomes active. This shows the four states by what the frames hold, what is
/// unevictable, and what is on no list (yet), compared with the kernel's counters for the lists. Needs root.
#[derive(Debug, ClapArgs)]
#[command(mut_arg("delay", |delay| delay.help("Repeat every SECONDS")))]
#[command(after_long_help = "Examples:
  sudo pmem lru                    the four states, by class
  sudo pmem lru --mib              in MiB
  sudo pmem lru --json | jq '.data.not_on_lru_frames'
                                   frames not yet on a list")]
pub struct Args {
    #[command(flatten)]
    repeat: Repeat,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    command::run(&mut Lru, args.repeat.rounds(), &cx, output)
}

/// The command as the driver runs it.
struct Lru;

impl command::Command for Lru {
    const SCHEMA: &'static str = "pmem.lru/1";
    const ROWS: &'static str = "states";
    type Row = State;
    type Report = Report;

    fn fields(&self) -> Vec<Field<State>> {
        view::fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<Reading<Report>> {
        let root = &cx.root;
        let frame_reader = FrameReader::new(root, &root.features_cheaply())?;
        let end = phys::end(root, &frame_reader.physical, &frame_reader.files.flags)?;
        let mut progress = cx.progress();
        let found = lru::lru(root, &frame_reader, end, |done| progress.show(|| percent(done, end)))?;
        // It makes no difference here which frames KSM merged: they are anonymous.
        Ok(Reading::of(found, lru::notes(root)))
    }

    fn rows(report: &Report) -> &[State] {
        &report.states
    }

    fn rows_mut(report: &mut Report) -> &mut [State] {
        &mut report.states
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        match shown.only_columns() || shown.is_sorted {
            true => shown.table(out, &shown.columns(view::DEFAULT), Some("total"))?,
            false => view::write(out, shown.report, shown.layout)?,
        }
        shown.notes(out)
    }
}
