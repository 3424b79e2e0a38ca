//! `pmem page`: everything known of a frame.

use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::frame::{FrameSpec, resolve};
use super::options::GlobalOptions;
use super::output::Output;
use super::status::{Status, say};
use crate::analysis::physical::page::{Frame, FrameReader};
use crate::cli::run::old::Choice;
use crate::cli::run::old::Report;
use crate::kernel::root::Root;
use crate::view::notes::write as write_notes;
use crate::view::{page as view, table};

/// Tell everything that is known of page frames
///
/// Of each frame: what it is used for, its flags in words, how many page-table entries map it, the memory cgroup that it is
/// charged to, its zone and node, and the folio that it belongs to.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem page 0x149efe          by frame number, decimal or hexadecimal
  sudo pmem page phys:0x149efe123  by physical address, as a machine check reports it
  sudo pmem page 1234:0x7f1668a3c123
                                   what a process has at an address
  sudo pmem page /usr/bin/bash:0 0x100000+512 --format csv
                                   the first page of a file, if it is cached, and a range of frames")]
pub struct Args {
    /// PFN, PFN+COUNT, phys:ADDRESS, TARGET:ADDRESS ('1234:7f1668a3c000', '1234:[heap]+0x10') or PATH:OFFSET (a path
    /// has a '/')
    #[arg(value_name = "FRAME", required = true)]
    frames: Vec<FrameSpec>,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let choice = Choice::new(global, view::columns(), view::DEFAULT)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let root = Root::open(&global.root)?;
    let frame_reader = FrameReader::new(&root, &root.features_cheaply())?;
    let found = resolve(&root, &args.frames)?;
    found.without.iter().for_each(|why| say(why));
    let mut frames = found.pfns.iter().map(|&pfn| frame_reader.tell(pfn)).collect::<Result<Vec<Frame>, _>>()?;
    choice.sort(&mut frames);
    let layout = output.layout(global, &root);
    let in_words = frames.len() <= MOST_IN_WORDS && global.columns.is_none();
    let report = Report {
        schema: "pmem.page/1",
        data: Data { frames: &frames },
        rows: &frames,
        choice: &choice,
        notes: frame_reader.notes(),
    };
    report.write(output, global, &root, |out, _, notes| {
        if in_words {
            frames.iter().try_for_each(|frame| view::write(out, frame, &layout))?;
        } else {
            table::write(out, &choice.columns(), &frames, None, &layout)?;
        }
        write_notes(out, notes, &layout)
    })?;
    let all_there = found.without.is_empty() && frames.iter().all(|frame| frame.class.is_some());
    Ok(if all_there { Status::Complete } else { Status::Incomplete })
}

/// So many frames read best in words, more as a table.
const MOST_IN_WORDS: usize = 4;

#[derive(Serialize)]
struct Data<'f> {
    frames: &'f [Frame],
}
