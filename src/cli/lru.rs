//! `pmem lru`: what is on the LRU lists.

use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::GlobalOptions;
use super::output::Output;
use super::phys::percent;
use super::progress::Progress;
use super::status::Status;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::physical::{lru, phys};
use crate::cli::run::old::Choice;
use crate::cli::run::old::Report;
use crate::kernel::root::Root;
use crate::view::notes::write as write_notes;
use crate::view::{lru as view, table};

/// Tell what is on the LRU lists: active or not, referenced or not
///
/// The kernel keeps the memory of processes and the page cache on an active and an inactive list, and reclaims from the end
/// of the inactive one; a page that is used twice is made active. Shown are the four states by what the frames hold, what
/// cannot be evicted, and what is on no list (yet), beside the kernel's counters of the lists. Needs root.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem lru                    the four states, by class
  sudo pmem lru --mib              in MiB
  sudo pmem lru --json | jq '.data.not_on_lru_frames'
                                   frames that wait to be put on a list")]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let choice = Choice::new(global, view::columns(), view::DEFAULT)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let root = Root::open(&global.root)?;
    let frame_reader = FrameReader::new(&root, &root.features_cheaply())?;
    let end = phys::end(&root, &frame_reader.physical, &frame_reader.files.flags)?;
    let mut progress = Progress::new(global.quiet);
    let found = lru::lru(&root, &frame_reader, end, |done| progress.show(|| percent(done, end)))?;
    drop(progress);
    let layout = output.layout(global, &root);
    let mut states = found.states.clone();
    choice.sort(&mut states);
    let as_table = global.columns.is_some() || global.sort.is_some();
    // Which frames are KSM's makes no difference here: they are anonymous.
    let notes = lru::notes(&root);
    Report { schema: "pmem.lru/1", data: &found, rows: &states, choice: &choice, notes }.write(
        output,
        global,
        &root,
        |out, found, notes| {
            match as_table {
                true => table::write(out, &choice.columns(), &states, Some("total"), &layout)?,
                false => view::write(out, found, &layout)?,
            }
            write_notes(out, notes, &layout)
        },
    )?;
    Ok(Status::Complete)
}
