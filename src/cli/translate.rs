//! `pmem translate`: the walk through a process's page tables, and what is at the end of it.

use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;
use clap::builder::{OsStringValueParser, TypedValueParser};

use serde::{Serialize, Serializer};

use super::address::Address;
use super::options::GlobalOptions;
use super::output::Output;
use super::run::command::{self, Asked, Command, Reading, Shown};
use super::run::context::Context;
use super::run::rounds::Rounds;
use super::run::trouble::Trouble;
use super::status::{Status, UsageError, error_of};
use super::target::{self, Target};
use crate::analysis::gap::{Gap, Severity};
use crate::analysis::note::Note;
use crate::analysis::processes::visit::{self, Looked, Seen};
use crate::analysis::translate::Translator;
use crate::analysis::translate::translation::{Lack, Translation};
use crate::kernel::catalogue::what_would_help;
use crate::kernel::root::Root;
use crate::view::field::Field;
use crate::view::json::Object;
use crate::view::translate as view;

/// Walk a process's page tables to an address, and show what is there
///
/// Shows which entry the address uses at each level, the mapping it is in, and the frame at the end of the walk with
/// everything known about it; or why there is none: never touched, the zero page, swapped out, a guard region, no
/// mapping, not a user-space address.
///
/// ADDR is hexadecimal, with or without 0x, or a sum of such numbers; or a place in a mapping by name: NAME+0xN counts
/// from its start (for a file from its load base, where the file begins in memory), NAME-0xN back from its end.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem translate 1234 0x7f1668a3c123
  sudo pmem translate postgres '[heap]+0x10'
                                   a place in the heap; '[stack]-0x20' is 32 bytes before the stack's end
  sudo pmem translate 1234 libc.so.6+0x1000 --json
                                   by file name or path, as debuggers and perf print it
  pmem translate 1234 --tables     how many page tables it needs, compared with VmPTE")]
pub struct Args {
    /// A PID, 'self', or a process's name ('comm:NAME' if the name is all digits)
    // There is none where the columns are listed.
    #[arg(value_name = "TARGET", required = true)]
    target: Option<Target>,
    /// The address, hexadecimal, or a place by name: '[heap]+0x10', 'libc.so.6+0x1000'
    #[arg(value_name = "ADDR", required_unless_present = "tables", value_parser = address())]
    address: Option<Address>,
    /// Show how many page tables the process needs, by level, compared with VmPTE
    #[arg(long)]
    tables: bool,
}

fn address() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new().try_map(|text| Address::parse(&text))
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    command::run(&mut Translate(args), Rounds::ONE, &cx, output)
}

/// The command as the driver runs it.
struct Translate<'a>(&'a Args);

/// What is at the address: a single row, which is the whole document.
struct Report {
    row: Translation,
    /// Whether page tables were requested.
    with_tables: bool,
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object(&view::fields(self.with_tables), &self.row).serialize(serializer)
    }
}

impl Command for Translate<'_> {
    const SCHEMA: &'static str = "pmem.translate/1";
    // There is a single row, and no list.
    const ROWS: &'static str = "translations";
    const ROWS_IN_REPORT: bool = true;
    type Row = Translation;
    type Report = Report;

    fn fields(&self) -> Vec<Field<Translation>> {
        view::fields(self.0.tables)
    }

    fn read(&mut self, cx: &Context<'_>, asked: &Asked<'_>) -> Result<Reading<Report>> {
        let with_tables = self.0.tables || view::OF_TABLES.iter().any(|name| asked.has(name));
        let pid = one(&target::find(&cx.root, self.0.target.as_slice(), false)?.pids)?;
        let translator = Translator::new(&cx.root);
        let mut row = translate(self.0, with_tables, &cx.root, &translator, pid)?;
        let troubles = what_is_missing(with_tables, &translator, &mut row);
        let notes = std::mem::take(&mut row.notes);
        Ok(Reading { troubles, ..Reading::of(Report { row, with_tables }, notes) })
    }

    fn rows(report: &Report) -> &[Translation] {
        std::slice::from_ref(&report.row)
    }

    fn rows_mut(report: &mut Report) -> &mut [Translation] {
        std::slice::from_mut(&mut report.row)
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> std::io::Result<()> {
        if shown.only_columns() {
            return shown.table(out, &shown.columns(view::DEFAULT), None);
        }
        view::write(out, &shown.report.row, shown.layout)?;
        shown.notes(out)
    }
}

fn one(pids: &[u32]) -> Result<u32> {
    match pids[..] {
        [pid] => Ok(pid),
        _ => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            Err(UsageError::Invalid(format!("several processes have this name: {}; choose one", pids.join(" "))).into())
        }
    }
}

/// Reads a process that may end or call exec while it is read.
fn translate(
    args: &Args,
    with_tables: bool,
    root: &Root,
    translator: &Translator<'_>,
    pid: u32,
) -> Result<Translation> {
    // An impossible address is an error of the command line, not of the process.
    let looked = visit::process(root, pid, |seen| look(args, with_tables, translator, seen));
    Ok(looked.map_err(|reason| error_of(Gap::process(pid, reason)))??)
}

fn look(
    args: &Args,
    with_tables: bool,
    translator: &Translator<'_>,
    seen: &Seen<'_>,
) -> Looked<Result<Translation, UsageError>> {
    let mut report = Translation::of(seen.pid(), seen.process().comm()?);
    let process = match seen.address_space() {
        Ok(process) => process,
        Err(why) => {
            report.no_address_space = Some(why);
            report.address = args.address.as_ref().and_then(Address::absolute);
            return Ok(Ok(report));
        }
    };
    if seen.is_through_thread() {
        let text = "its first thread has exited and others still run: this is what they see";
        report.notes.push(Note::of(seen.pid(), "first-thread-ended", text));
    }
    let space = translator.space(process)?;
    let address = match args.address.as_ref().map(|address| address.resolve(&space.vmas)).transpose() {
        Ok(address) => address,
        Err(error) => return Ok(Err(error)),
    };
    translator.translate(&space, address, with_tables, &mut report)?;
    Ok(Ok(report))
}

/// What was requested but not found.
fn what_is_missing(with_tables: bool, translator: &Translator<'_>, report: &mut Translation) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for lack in &report.lacks {
        let status = match lack {
            Lack::FrameNumber => Status::Denied,
            Lack::Stillness => Status::Incomplete,
        };
        troubles.push(Trouble { status, ..Trouble::incomplete(lack.words()) });
        // People have already seen it.
        report.notes.push(Note { in_json_only: true, ..lack.note() });
    }
    if with_tables && report.no_address_space.is_none() && report.tables.is_none() {
        let text = "--tables: the number of page-table levels is not known";
        troubles.push(Trouble { status: Status::Unsupported, ..Trouble::incomplete(text) });
    }
    if let Some(error) = translator.without_frames().filter(|_| report.pfn.is_some()) {
        let trouble = Trouble::incomplete(error.to_string()).with_help(what_would_help(error));
        troubles.push(Trouble { status: Severity::of(error).into(), ..trouble });
        report.notes.push(Note { in_json_only: true, ..Note::general("frame-unknown", error.to_string()) });
    }
    troubles
}
