//! `pmem rmap`: who maps a frame.

use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::frame::{FrameSpec, resolve};
use super::options::{Format, GlobalOptions};
use super::output::Output;
use super::progress::Progress;
use super::status::{Status, UsageError, error_of, say};
use super::target::{self, Target};
use crate::analysis::gap::Gap;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::rmap::shared::{Holder, Matrix, SharedWith};
use crate::analysis::rmap::{Asked, FrameMappers, Search};
use crate::cli::run::old::Choice;
use crate::cli::run::old::Report;
use crate::error::Error;
use crate::kernel::root::Root;
use crate::view::notes::write as write_notes;
use crate::view::rmap as view;

/// Find who maps a page frame, or who shares frames with a process
///
/// Asks the page tables of every process, once for any number of frames, and says beside the frame's mapcount how many
/// entries were found and whether these are all. Needs root.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem rmap 0x149efe          who maps a frame: process, address, mapping
  sudo pmem rmap 1234:0x7f1668a3c000 phys:0x149efe123
                                   what a process has at an address, and a physical address
  sudo pmem rmap --shared-with 1234
                                   which processes share how many frames with one
  sudo pmem rmap --shared-with postgres
                                   how many each of several shares with each other")]
pub struct Args {
    /// PFN, PFN+COUNT, phys:ADDRESS, TARGET:ADDRESS ('1234:7f1668a3c000', '1234:[heap]+0x10') or PATH:OFFSET (a path
    /// has a '/')
    #[arg(value_name = "FRAME", required_unless_present = "shared_with")]
    frames: Vec<FrameSpec>,
    /// Which processes share how many frames with this one; with several, a matrix of them
    #[arg(long, value_name = "TARGET", num_args = 1.., conflicts_with = "frames")]
    shared_with: Vec<Target>,
}

const SCHEMA: &str = "pmem.rmap/1";

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let as_rows = !matches!(global.format(), Format::Table);
    let default = if as_rows { view::DEFAULT_OF_ROWS } else { view::DEFAULT };
    let sharing = !args.shared_with.is_empty();
    let choice = if sharing { None } else { Some(Choice::new(global, view::columns(), default)?) };
    if let Some(help) = choice.as_ref().and_then(|choice| choice.help.as_ref()) {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let root = Root::open(&global.root)?;
    let features = root.features_cheaply();
    if !features.pfns_visible {
        return Err(Error::frames_hidden().into());
    }
    let frame_reader = FrameReader::new(&root, &features)?;
    let search = Search { root: &root, features: &features, frame_reader: &frame_reader };
    match choice {
        Some(choice) => frames(args, global, output, &search, &choice),
        None => shared(args, global, output, &search),
    }
}

fn progress(global: &GlobalOptions) -> impl FnMut(usize, usize) {
    let mut progress = Progress::new(global.quiet);
    move |done, all| progress.show(|| format!("{done} of {all} processes"))
}

#[derive(Serialize)]
struct Frames<'a> {
    frames: &'a [FrameMappers],
    asked: &'a Asked,
}

fn frames(
    args: &Args,
    global: &GlobalOptions,
    output: &mut Output,
    search: &Search<'_>,
    choice: &Choice<view::Row>,
) -> Result<Status> {
    let found = resolve(search.root, &args.frames)?;
    found.without.iter().for_each(|why| say(why));
    let (frames, asked) = search.mappers(&found.pfns, progress(global))?;
    let row = |frame: &FrameMappers| {
        frame.mappers.iter().map(|mapper| view::Row { pfn: frame.pfn, mapper: mapper.clone() }).collect::<Vec<_>>()
    };
    let mut rows: Vec<view::Row> = frames.iter().flat_map(row).collect();
    choice.sort(&mut rows);
    let layout = output.layout(global, search.root);
    let (root, notes) = (search.root, search.frame_reader.notes());
    let data = Frames { frames: &frames, asked: &asked };
    Report { schema: SCHEMA, data, rows: &rows, choice, notes }.write(output, global, root, |out, data, notes| {
        for (place, frame) in data.frames.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            let mut rows = row(frame);
            choice.sort(&mut rows);
            view::write_frame(out, frame, &rows, &choice.columns(), &layout)?;
        }
        view::write_asked(out, data.asked, &layout)?;
        write_notes(out, notes, &layout)
    })?;
    // Who closed processes does not matter where all mappers were found.
    let all = frames.iter().all(|frame| frame.complete || (frame.class.is_some() && asked.unreadable.is_empty()));
    Ok(if found.without.is_empty() && all { Status::Complete } else { Status::Incomplete })
}

fn shared(args: &Args, global: &GlobalOptions, output: &mut Output, search: &Search<'_>) -> Result<Status> {
    let choice = Choice::new(global, view::sharer_columns(), view::SHARER_DEFAULT)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let found = target::find(search.root, &args.shared_with, false)?;
    found.missing.iter().for_each(|missing| say(missing));
    let mut status = if found.missing.is_empty() { Status::Complete } else { Status::NoProcess };
    let mut holders: Vec<Holder> = Vec::new();
    for &pid in &found.pids {
        match search.holder(pid) {
            Ok(holder) => holders.push(holder),
            Err(reason) => {
                let gap = Gap::process(pid, reason);
                if gap.reason.error().is_some() && found.pids.len() == 1 {
                    return Err(error_of(gap));
                }
                say(&gap.to_string());
                status = status.max(Status::Incomplete);
            }
        }
    }
    let (root, notes, layout) = (search.root, search.frame_reader.notes(), output.layout(global, search.root));
    match &holders[..] {
        [] => {}
        [holder] => {
            #[derive(Serialize)]
            struct Data<'a> {
                shared: &'a SharedWith,
            }
            let shared = search.shared_with(holder, progress(global));
            let mut shared = shared.map_err(|reason| error_of(Gap::process(holder.pid, reason)))?;
            if !shared.asked.unreadable.is_empty() {
                status = status.max(Status::Incomplete);
            }
            choice.sort(&mut shared.sharers);
            let data = Data { shared: &shared };
            Report { schema: SCHEMA, data, rows: &shared.sharers, choice: &choice, notes }.write(
                output,
                global,
                root,
                |out, data, notes| {
                    view::write_shared(out, data.shared, &data.shared.sharers, &choice.columns(), &layout)?;
                    write_notes(out, notes, &layout)
                },
            )?;
        }
        _ => {
            #[derive(Serialize)]
            struct Data<'a> {
                matrix: &'a Matrix,
            }
            if global.format() == Format::Csv || global.columns.is_some() || global.sort.is_some() {
                let text = "a matrix has no columns to choose or to sort by, and no CSV: use --json";
                return Err(UsageError::Invalid(text.to_owned()).into());
            }
            let matrix = Matrix::of(&holders);
            let data = Data { matrix: &matrix };
            Report { schema: SCHEMA, data, rows: &matrix.processes, choice: &choice, notes }.write(
                output,
                global,
                root,
                |out, data, notes| {
                    view::write_matrix(out, data.matrix, &layout)?;
                    write_notes(out, notes, &layout)
                },
            )?;
        }
    }
    Ok(status)
}
