//! `pmem translate`: the walk through a process's page tables, and what is at its end.

use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::address::Address;
use super::options::{Format, GlobalOptions};
use super::output::Output;
use super::status::{Status, UsageError, error_of, explain, say};
use super::target::{self, Target};
use crate::analysis::gap::{Gap, Severity};
use crate::analysis::note::Note;
use crate::analysis::processes::visit::{self, Looked, Seen};
use crate::analysis::translate::Translator;
use crate::analysis::translate::translation::{Lack, Translation};
use crate::cli::run::old::{Choice, Report};
use crate::kernel::access::what_would_help;
use crate::kernel::root::Root;
use crate::view::notes::write as write_notes;
use crate::view::{table, translate as view};

/// Walk a process's page tables to an address, and tell what is there
///
/// Shows which entry the address uses at each level, the mapping it is in, and the frame at the end of the walk with
/// everything that is known of it; or why there is none: never touched, the zero page, swapped out, a guard region, no
/// mapping, no address of a process.
///
/// ADDR is hexadecimal, with or without 0x, or a sum of such numbers; or a place in a mapping by its name: NAME+0xN counts
/// from its beginning (for a file from its load base, where the file begins in memory), NAME-0xN back from its end.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem translate 1234 0x7f1668a3c123
  sudo pmem translate postgres '[heap]+0x10'
                                   a place in the heap; '[stack]-0x20' is the last bytes of the stack
  sudo pmem translate 1234 libc.so.6+0x1000 --json
                                   by file name or path, as debuggers and perf write it
  pmem translate 1234 --tables     how many page tables it needs, beside VmPTE")]
pub struct Args {
    /// A PID, 'self', or a process's name ('comm:NAME' for a name of digits only)
    #[arg(value_name = "TARGET")]
    target: Target,
    /// The address, hexadecimal, or a place by name: '[heap]+0x10', 'libc.so.6+0x1000'
    #[arg(value_name = "ADDR", required_unless_present = "tables", value_parser = address())]
    address: Option<Address>,
    /// Say how many page tables the process needs, by level, beside VmPTE
    #[arg(long)]
    tables: bool,
}

fn address() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new().try_map(|text| Address::parse(&text))
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let choice = Choice::new(global, view::columns(), view::DEFAULT)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let root = Root::open(&global.root)?;
    let pid = one(&target::find(&root, std::slice::from_ref(&args.target), false)?.pids)?;
    let translator = Translator::new(&root);
    let mut report = translate(args, &root, &translator, pid)?;
    let status = tell_what_is_missing(args, global, &translator, &mut report);
    let layout = output.layout(global, &root);
    let rows = [report];
    let [report] = &rows;
    if global.format() == Format::Table && global.columns.is_some() {
        table::write(output, &choice.columns(), &rows, None, &layout)?;
        return Ok(status);
    }
    let notes = report.notes.clone();
    let form = Report { schema: "pmem.translate/1", data: report, rows: &rows, choice: &choice, notes };
    form.write(output, global, &root, |out, report, notes| {
        view::write(out, report, &layout)?;
        write_notes(out, notes, &layout)
    })?;
    Ok(status)
}

fn one(pids: &[u32]) -> Result<u32> {
    match pids[..] {
        [pid] => Ok(pid),
        _ => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            Err(UsageError::Invalid(format!("several processes have this name: choose one of {}", pids.join(" ")))
                .into())
        }
    }
}

/// Looks at a process that may end, or call exec, meanwhile.
fn translate(args: &Args, root: &Root, translator: &Translator<'_>, pid: u32) -> Result<Translation> {
    // An address that cannot be is an error of the command line, and none of the process.
    let looked = visit::process(root, pid, |seen| look(args, translator, seen));
    Ok(looked.map_err(|reason| error_of(Gap::process(pid, reason)))??)
}

fn look(args: &Args, translator: &Translator<'_>, seen: &Seen<'_>) -> Looked<Result<Translation, UsageError>> {
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
        let text = "its first thread has ended, and others still run: this is what they see";
        report.notes.push(Note::of(seen.pid(), "first-thread-ended", text));
    }
    let space = translator.space(process)?;
    let address = match args.address.as_ref().map(|address| address.resolve(&space.vmas)).transpose() {
        Ok(address) => address,
        Err(error) => return Ok(Err(error)),
    };
    translator.translate(&space, address, args.tables, &mut report)?;
    Ok(Ok(report))
}

/// Says on standard error what was asked for and is not there, and gives the status.
fn tell_what_is_missing(
    args: &Args,
    global: &GlobalOptions,
    translator: &Translator<'_>,
    report: &mut Translation,
) -> Status {
    let mut status = Status::Complete;
    let mut tell = |text: &str, help: Option<&str>, with: Status| {
        say(text);
        if let Some(help) = help.filter(|_| !global.quiet) {
            explain(help);
        }
        status = status.max(with);
    };
    for lack in &report.lacks {
        let with = match lack {
            Lack::FrameNumber => Status::Denied,
            Lack::Stillness => Status::Incomplete,
        };
        tell(lack.words(), None, with);
        // People have read it.
        report.notes.push(Note { in_json_only: true, ..lack.note() });
    }
    if args.tables && report.no_address_space.is_none() && report.tables.is_none() {
        tell("--tables: how many levels the page tables have is not known", None, Status::Unsupported);
    }
    if let Some(error) = translator.without_frames().filter(|_| report.pfn.is_some()) {
        tell(&error.to_string(), what_would_help(error), Severity::of(error).into());
        report.notes.push(Note { in_json_only: true, ..Note::general("frame-unknown", error.to_string()) });
    }
    status
}
