//! `pmem doctor`: what this machine lets pmem see.

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::GlobalOptions;
use super::output::Output;
use super::run::context::Context;
use super::run::document;
use super::status::Status;
use crate::analysis::doctor::Seen;
use crate::kernel::interfaces;
use crate::model::capabilities::Capabilities;
use crate::view::doctor as view;

/// Show what this machine lets pmem see, and what would help
///
/// Tries every file and every feature that pmem uses, on memory of its own: capabilities, readable interfaces, what the
/// kernel supports and where its numbers are wrong, settings that affect the numbers, and for each command whether it
/// works fully, partly or not at all, and why. Changes nothing.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem doctor                      as this user
  sudo pmem doctor                 as root
  pmem doctor --json | jq '.data.commands[] | select(.works != \"fully\")'")]
pub struct Args {}

pub(super) fn run(_: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    document::refuse_rows(
        &cx,
        "doctor has no columns to choose or sort by: use --format json",
        "doctor has no CSV output: use --format json",
    )?;
    let root = &cx.root;
    let seen = Seen {
        host: root.host().clone(),
        features: root.features(),
        interfaces: interfaces::interfaces(root),
        capabilities: interfaces::own_status(root).and_then(|status| Capabilities::effective(&status)),
        clear_soft_dirty_succeeds: interfaces::clear_soft_dirty_succeeds(root),
        nopage_reported: interfaces::nopage_reported(root),
        idle_bitmap: root.dir().exists("sys/kernel/mm/page_idle/bitmap"),
        settings: interfaces::settings(root),
        swap_areas: interfaces::swap_areas(root),
    };
    let report = seen.report();
    let shown = document::Report { schema: Some("pmem.doctor/1"), data: &report, notes: &[] };
    document::show(&shown, &cx, output, |out| view::write(out, &report, root.host(), &cx.layout))?;
    Ok(Status::Complete)
}
