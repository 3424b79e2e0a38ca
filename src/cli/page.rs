//! `pmem page`: everything known about a frame.

use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::frame::{FrameSpec, resolve};
use super::options::GlobalOptions;
use super::output::Output;
use super::run::command::{self, Asked, Command, OnlyRows, Reading, Shown};
use super::run::context::Context;
use super::run::rounds::Rounds;
use super::run::trouble::Trouble;
use super::status::Status;
use crate::analysis::physical::page::{Frame, FrameReader};
use crate::view::field::Field;
use crate::view::page as view;

/// Show everything known about page frames
///
/// For each frame: what it is used for, its flags by name, how many page-table entries map it, the memory cgroup it is
/// charged to, its zone and node, and the folio it belongs to.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem page 0x149efe          by frame number, decimal or hexadecimal
  sudo pmem page phys:0x149efe123  by physical address, as a machine check reports it
  sudo pmem page 1234:0x7f1668a3c123
                                   the frame at an address of a process
  sudo pmem page /usr/bin/bash:0 0x100000+512 --format csv
                                   the first page of a file, if it is cached, and a range of frames")]
pub struct Args {
    /// PFN, PFN+COUNT, phys:ADDRESS, TARGET:ADDRESS ('1234:7f1668a3c000', '1234:[heap]+0x10') or PATH:OFFSET (a path
    /// has a '/')
    #[arg(value_name = "FRAME", required = true)]
    frames: Vec<FrameSpec>,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    command::run(&mut Page(args), Rounds::ONE, &cx, output)
}

/// Up to this many frames are described in words, more as a table.
const MOST_IN_WORDS: usize = 4;

/// The command as the driver runs it.
struct Page<'a>(&'a Args);

impl Command for Page<'_> {
    const SCHEMA: &'static str = "pmem.page/1";
    const ROWS: &'static str = "frames";
    type Row = Frame;
    type Report = OnlyRows<Frame>;

    fn fields(&self) -> Vec<Field<Frame>> {
        view::fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<Reading<OnlyRows<Frame>>> {
        let frame_reader = FrameReader::new(&cx.root, &cx.root.features_cheaply())?;
        let found = resolve(&cx.root, &self.0.frames)?;
        let frames = found.pfns.iter().map(|&pfn| frame_reader.tell(pfn)).collect::<Result<Vec<Frame>, _>>()?;
        let all_there = frames.iter().all(|frame| frame.class.is_some());
        Ok(Reading {
            troubles: found.without.into_iter().map(Trouble::incomplete).collect(),
            status: if all_there { Status::Complete } else { Status::Incomplete },
            ..Reading::of(OnlyRows { rows: frames }, frame_reader.notes())
        })
    }

    fn rows(report: &OnlyRows<Frame>) -> &[Frame] {
        &report.rows
    }

    fn rows_mut(report: &mut OnlyRows<Frame>) -> &mut [Frame] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> std::io::Result<()> {
        if shown.rows.len() <= MOST_IN_WORDS && !shown.only_columns() {
            shown.rows.iter().try_for_each(|frame| view::write(out, frame, shown.layout))?;
        } else {
            shown.table(out, &shown.columns(view::DEFAULT), None)?;
        }
        shown.notes(out)
    }
}
