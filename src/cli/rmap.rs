//! `pmem rmap`: who maps a frame.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args as ClapArgs;

use super::frame::{FrameSpec, resolve};
use super::options::GlobalOptions;
use super::output::Output;
use super::run::command::{self, Command, Reading, Shown};
use super::run::context::Context;
use super::run::rounds::Rounds;
use super::run::trouble::Trouble;
use super::status::{Status, UsageError, error_of};
use super::target::{self, Target};
use crate::analysis::gap::Gap;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::rmap::Search;
use crate::analysis::rmap::shared::{Holder, Matrix, Sharer};
use crate::error::Error;
use crate::view::field::Field;
use crate::view::rmap::{self as view, Mapped, Row, Sharing};

/// Find who maps a page frame, or who shares frames with a process
///
/// Searches the page tables of every process, once for any number of frames, and compares the number of entries found
/// with the frame's mapcount, which says whether these are all. Needs root.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem rmap 0x149efe          who maps a frame: process, address, mapping
  sudo pmem rmap 1234:0x7f1668a3c000 phys:0x149efe123
                                   the frames at an address of a process and at a physical address
  sudo pmem rmap --shared-with 1234
                                   which processes share frames with one, and how many
  sudo pmem rmap --shared-with postgres
                                   how many frames several processes share with each other")]
pub struct Args {
    /// PFN, PFN+COUNT, phys:ADDRESS, TARGET:ADDRESS ('1234:7f1668a3c000', '1234:[heap]+0x10') or PATH:OFFSET (a path
    /// has a '/')
    #[arg(value_name = "FRAME", required_unless_present = "shared_with")]
    frames: Vec<FrameSpec>,
    /// Show which processes share frames with this one, and how many; with several targets, a matrix
    #[arg(long, value_name = "TARGET", num_args = 1.., conflicts_with = "frames")]
    shared_with: Vec<Target>,
}

const SCHEMA: &str = "pmem.rmap/1";

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    match args.shared_with.is_empty() {
        true => command::run(&mut Frames(&args.frames), Rounds::ONE, &cx, output),
        false => command::run(&mut Shared(&args.shared_with), Rounds::ONE, &cx, output),
    }
}

/// Runs a search with everything it needs.
fn search<T>(cx: &Context<'_>, find: impl FnOnce(&Search<'_>) -> Result<T>) -> Result<T> {
    let features = cx.root.features_cheaply();
    if !features.pfns_visible {
        return Err(Error::frames_hidden().into());
    }
    let frame_reader = FrameReader::new(&cx.root, &features)?;
    find(&Search { root: &cx.root, features: &features, frame_reader: &frame_reader })
}

fn progress(cx: &Context<'_>) -> impl FnMut(usize, usize) {
    let mut progress = cx.progress();
    move |done, all| progress.show(|| format!("{done} of {all} processes"))
}

/// Who maps frames, as the driver runs it.
struct Frames<'a>(&'a [FrameSpec]);

impl Command for Frames<'_> {
    const SCHEMA: &'static str = SCHEMA;
    // Mappers are listed with the frame they map.
    const ROWS: &'static str = "mappers";
    const ROWS_IN_REPORT: bool = true;
    type Row = Row;
    type Report = Mapped;

    fn fields(&self) -> Vec<Field<Row>> {
        view::fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &command::Asked<'_>) -> Result<Reading<Mapped>> {
        search(cx, |search| {
            let found = resolve(search.root, self.0)?;
            let (frames, asked) = search.mappers(&found.pfns, progress(cx))?;
            // Unreadable processes do not matter if all mappers were found.
            let is_whole = asked.unreadable.is_empty();
            let all = frames.iter().all(|frame| frame.complete || (frame.class.is_some() && is_whole));
            Ok(Reading {
                troubles: found.without.into_iter().map(Trouble::incomplete).collect(),
                status: if all { Status::Complete } else { Status::Incomplete },
                ..Reading::of(Mapped::new(frames, asked), search.frame_reader.notes())
            })
        })
    }

    fn rows(report: &Mapped) -> &[Row] {
        &report.rows
    }

    fn rows_mut(report: &mut Mapped) -> &mut [Row] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        view::write(out, shown.report, shown.rows, &shown.columns(view::DEFAULT), shown.layout)?;
        shown.notes(out)
    }
}

/// Who shares frames, as the driver runs it.
struct Shared<'a>(&'a [Target]);

impl Command for Shared<'_> {
    const SCHEMA: &'static str = SCHEMA;
    // Sharers are listed with the process they share with.
    const ROWS: &'static str = "sharers";
    const ROWS_IN_REPORT: bool = true;
    type Row = Sharer;
    type Report = Sharing;

    fn fields(&self) -> Vec<Field<Sharer>> {
        view::sharer_fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &command::Asked<'_>) -> Result<Reading<Sharing>> {
        search(cx, |search| {
            let found = target::find(search.root, self.0, false)?;
            let missing = |text| Trouble { status: Status::NoProcess, ..Trouble::incomplete(text) };
            let mut troubles: Vec<Trouble> = found.missing.into_iter().map(missing).collect();
            let mut holders: Vec<Holder> = Vec::new();
            for &pid in &found.pids {
                match search.holder(pid) {
                    Ok(holder) => holders.push(holder),
                    Err(reason) => {
                        let gap = Gap::process(pid, reason);
                        if gap.reason.error().is_some() && found.pids.len() == 1 {
                            return Err(error_of(gap));
                        }
                        troubles.push(Trouble::incomplete(gap.to_string()));
                    }
                }
            }
            let report = match &holders[..] {
                [] => None,
                [holder] => {
                    let shared = search.shared_with(holder, progress(cx));
                    Some(Sharing::With(shared.map_err(|reason| error_of(Gap::process(holder.pid, reason)))?))
                }
                _ => {
                    refuse_rows(cx)?;
                    Some(Sharing::Matrix(Matrix::of(&holders)))
                }
            };
            let is_whole = |with: &Sharing| !matches!(with, Sharing::With(with) if !with.asked.unreadable.is_empty());
            Ok(Reading {
                status: if report.as_ref().is_none_or(is_whole) { Status::Complete } else { Status::Incomplete },
                report,
                notes: search.frame_reader.notes(),
                said: None,
                troubles,
                is_last: false,
            })
        })
    }

    fn rows(report: &Sharing) -> &[Sharer] {
        report.rows()
    }

    fn rows_mut(report: &mut Sharing) -> &mut [Sharer] {
        match report {
            Sharing::With(with) => &mut with.sharers,
            Sharing::Matrix(matrix) => &mut matrix.processes,
        }
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        match shown.report {
            Sharing::With(with) => {
                view::write_shared(out, with, &shown.columns(view::SHARER_DEFAULT), shown.layout)?;
            }
            Sharing::Matrix(matrix) => view::write_matrix(out, matrix, shown.layout)?,
        }
        shown.notes(out)
    }
}

/// Refuses options for rows, which a matrix does not have.
fn refuse_rows(cx: &Context<'_>) -> Result<()> {
    let words = cx.words();
    if words.columns.is_some() || words.sort.is_some() || !(cx.is_for_people() || cx.is_document()) {
        let text = "a matrix has no rows, and no columns to choose or sort by: use --json";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    Ok(())
}
