//! `pmem doctor`: what this machine lets pmem see.

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::{Format, GlobalOptions};
use super::output::Output;
use super::status::{Status, UsageError};
use crate::analysis::doctor::Seen;
use crate::analysis::note::Note;
use crate::kernel::interfaces;
use crate::kernel::root::Root;
use crate::model::capabilities::Capabilities;
use crate::view::{doctor as view, json, time};

/// Tell what this machine lets pmem see, and what would help
///
/// Tries every file and every feature that pmem uses, on memory of its own: capabilities, readable interfaces, what the
/// kernel can do and where it lies, settings that shape the numbers, and for each command whether it works fully, partly
/// or not, and why. Changes nothing.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem doctor                      as this user
  sudo pmem doctor                 as root
  pmem doctor --json | jq '.data.commands[] | select(.works != \"fully\")'")]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if global.columns.is_some() || global.sort.is_some() {
        let text = "doctor has no columns to choose or to sort by: use --format json";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let root = Root::open(&global.root)?;
    let seen = Seen {
        host: root.host().clone(),
        features: root.features(),
        interfaces: interfaces::interfaces(&root),
        capabilities: interfaces::own_status(&root).and_then(|status| Capabilities::effective(&status)),
        clear_soft_dirty_succeeds: interfaces::clear_soft_dirty_succeeds(&root),
        nopage_reported: interfaces::nopage_reported(&root),
        idle_bitmap: root.dir().exists("sys/kernel/mm/page_idle/bitmap"),
        settings: interfaces::settings(&root),
        swap_areas: interfaces::swap_areas(&root),
    };
    let report = seen.report();
    let document = json::Document {
        schema: "pmem.doctor/1",
        time: &time::now(),
        host: root.host(),
        source: root.source(),
        data: &report,
        notes: Vec::<Note>::new(),
    };
    match global.format() {
        Format::Table => {
            let layout = output.layout(global, &root);
            view::write(output, &report, root.host(), &layout)?;
        }
        Format::Json => json::pretty(output, &document)?,
        Format::Jsonl => json::line(output, &document)?,
        Format::Csv => return Err(UsageError::Invalid("doctor has no CSV form: use --format json".to_owned()).into()),
    }
    Ok(Status::Complete)
}
