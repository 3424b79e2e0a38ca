//! `pmem numa`: memory by NUMA node.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::{GlobalOptions, Top};
use super::output::Output;
use super::run::columns::Choice;
use super::run::command::{self, Asked, Reading, Shown};
use super::run::context::Context;
use super::run::parts::{self, Head, Parts, Receiver};
use super::run::rounds::Flow;
use super::run::screen::{self, Watched};
use super::run::trouble::Trouble;
use super::status::{Status, UsageError, error_of, say};
use super::target::{self, Target};
use crate::analysis::gap::{Gap, Reason};
use crate::analysis::note::Note;
use crate::analysis::numa::process::{MappingNodes, ProcessNodes};
use crate::analysis::numa::{NodeLine, Report};
use crate::analysis::processes::visit;
use crate::kernel::numa::Sources;
use crate::view::cell::Cell;
use crate::view::field::{Field, columns};
use crate::view::numa::{self as view, live::NodeLines};
use crate::view::{notes, table};

/// Show memory by NUMA node: a ledger for each node, or a process's pages by node
///
/// Shows the nodes side by side: lines that never count a page twice and add up to each node's MemTotal; how much
/// memory is available there, from the node's own zones and watermarks; its CPUs, its memory tier, and the distances
/// between nodes. A node can be short of memory while the machine as a whole is not: then the first lines say so.
///
/// With a target it shows where a process's pages are, by node and mapping, from /proc/PID/numa_maps.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem numa                        every node's memory, side by side
  pmem numa -d 5                   the same every 5 seconds
  sudo pmem numa postgres          a process's pages by node and mapping
  pmem numa --json | jq '.data.nodes[] | [.node, .available_bytes, .standing]'
                                   which node is short of memory, for a program")]
pub struct Args {
    /// A PID, 'self', or a process's name ('comm:NAME' if the name is all digits)
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// Show every process
    #[arg(short, long, conflicts_with = "targets")]
    all: bool,
    #[command(flatten)]
    top: Top,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    if args.targets.is_empty() && !args.all {
        return screen::run(&mut Nodes, args.top.top, args.top.rounds(), &cx, output);
    }
    if args.top.top {
        let text = "--top shows the machine's nodes and cannot be combined with processes";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let nodes: Vec<u32> = Sources::read(&cx.root)?.nodes.iter().map(|node| node.node).collect();
    let fields = view::mapping_fields(&nodes);
    if cx.asks_for_columns() {
        table::write_help(output, &fields)?;
        return Ok(Status::Complete);
    }
    let choice = Choice::new(cx.words(), fields, &[])?;
    parts::run(&mut Processes { args, nodes }, &choice, args.top.rounds(), &cx, output)
}

/// The ledgers of nodes, as the driver runs them.
struct Nodes;

impl command::Command for Nodes {
    const SCHEMA: &'static str = "pmem.numa/1";
    const ROWS: &'static str = "lines";
    const ROWS_IN_REPORT: bool = true;
    type Row = NodeLine;
    type Report = Report;

    fn fields(&self) -> Vec<Field<NodeLine>> {
        view::fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<Reading<Report>> {
        let sources = Sources::read(&cx.root)?;
        let report = Report::new(&sources, cx.root.page_size());
        let notes = report.notes(&sources, cx.root.page_size(), cx.is_verbose());
        let troubles = sources.troubles.into_iter().map(Trouble::incomplete).collect();
        Ok(Reading { troubles, ..Reading::of(report, notes) })
    }

    fn rows(report: &Report) -> &[NodeLine] {
        &report.rows
    }

    fn rows_mut(report: &mut Report) -> &mut [NodeLine] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        match shown.only_columns() || shown.is_sorted {
            true => shown.table(out, &shown.columns(view::DEFAULT), None)?,
            false => view::write(out, shown.report, shown.layout)?,
        }
        shown.notes(out)
    }
}

impl Watched for Nodes {
    type Live = NodeLines;
}

/// Processes, as the driver runs them.
struct Processes<'a> {
    args: &'a Args,
    nodes: Vec<u32>,
}

impl Parts for Processes<'_> {
    const SCHEMA: &'static str = "pmem.numa/1";
    const PARTS: Option<&'static str> = Some("processes");
    const ROWS: &'static str = "mappings";
    type Row = MappingNodes;

    fn round(
        &mut self,
        cx: &Context<'_>,
        _: Option<u32>,
        choice: &Choice<MappingNodes>,
        to: &mut Receiver<'_, MappingNodes>,
    ) -> Result<Flow> {
        let found = target::find(&cx.root, &self.args.targets, self.args.all)?;
        found.missing.into_iter().for_each(|missing| to.troubles.add(&Trouble::incomplete(missing)));
        if let Some(remark) = found.remark.filter(|_| !cx.is_quiet()) {
            say(&remark);
        }
        let default = view::default_mapping_fields(&self.nodes);
        let default: Vec<&str> = default.iter().map(String::as_str).collect();
        let mut is_first = true;
        for &pid in &found.pids {
            let look = |seen: &visit::Seen<'_>| {
                let space = seen.address_space()?;
                Ok(ProcessNodes {
                    pid,
                    comm: seen.process().comm()?,
                    ..ProcessNodes::read(space, cx.root.page_size())?
                })
            };
            let mut process = match visit::process(&cx.root, pid, look) {
                Ok(process) => process,
                Err(Reason::NoAddressSpace(_) | Reason::NotThere) if self.args.all => continue,
                Err(reason) if found.pids.len() == 1 => return Err(error_of(Gap::process(pid, reason))),
                Err(reason) => {
                    to.troubles.add(&Trouble::incomplete(Gap::process(pid, reason).to_string()));
                    continue;
                }
            };
            choice.sort(&mut process.mappings);
            let text = "the process changed its mappings while it was read: some may be missing or wrong";
            let moved: Vec<Note> = process.moved.then(|| Note::of(pid, "moving", text)).into_iter().collect();
            let Some(out) = to.people() else {
                to.notes(moved);
                let before = [("pid", Cell::Id(pid.into())), ("comm", Cell::Name(&process.comm))];
                let head = Head { before: &before, object: &process, has_rows: true };
                to.part(&head, &mut |take| Ok(take(&process.mappings)?))?;
                continue;
            };
            if !std::mem::replace(&mut is_first, false) {
                writeln!(out)?;
            }
            view::write_head(out, &process, &cx.layout)?;
            let with_pages: Vec<MappingNodes> = process.mappings.iter().filter(|row| row.bytes > 0).cloned().collect();
            table::write(out, &columns(&choice.for_people(&default)), &with_pages, Some("total"), &cx.layout)?;
            view::write_end(out, &process, with_pages.len(), &cx.layout)?;
            notes::write(out, &moved, &cx.layout)?;
        }
        Ok(Flow::GoOn)
    }
}
