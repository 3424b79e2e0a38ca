//! `pmem frames`: a process's frames, counted to the page, and how other counts differ.

mod count;
mod mappings;
mod summary;

use std::io::Write;
use std::ops::Range;

use anyhow::Result;
use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use self::count::Session;
use self::mappings::Mappings;
use self::summary::Summary;
use super::options::{GlobalOptions, Top};
use super::output::Output;
use super::run::columns::{Choice, Words, asked_names};
use super::run::context::Context;
use super::run::{parts, screen};
use super::status::{Status, UsageError, say};
use super::target::Target;
use crate::analysis::frames::count::Counter;
use crate::analysis::frames::select::{Selection, Wanted};
use crate::analysis::note::Note;
use crate::analysis::processes::kind::Kind;
use crate::kernel::process::smaps_keys;
use crate::kernel::root::Root;
use crate::model::smaps::KNOWN_KEYS;
use crate::unit::{VirtAddr, hexadecimal};
use crate::view::frames as view;
use crate::view::table::{wrapped, write_help};

/// Count a process's page frames, and explain how other counts differ
///
/// Shows, for each mapping, how many of its page-table entries are present, and a ledger that leads from these to the
/// frames the process really has, compared with statm (and with smaps if --verify is given). Without a target it shows
/// the process that started pmem.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem frames --verify 1234        a process, checked against smaps too
  pmem frames --all --summary -s -resident
                                   every process, largest first
  pmem frames postgres -o +Pss,Swap,VmFlags --min-pages 1
                                   by name, with smaps columns, only mappings with pages
  sudo pmem frames --owners 1234   who shares the frames: exclusive, shared, PSS")]
pub struct Args {
    /// A PID, 'self', or a process's name ('comm:NAME' if the name is all digits)
    #[arg(value_name = "TARGET")]
    pub(super) targets: Vec<Target>,
    /// All processes
    #[arg(short, long, conflicts_with = "targets")]
    pub(super) all: bool,
    /// Show only the ledger; for several processes, one line each
    #[arg(long)]
    pub(super) summary: bool,
    /// Compare with smaps_rollup too
    #[arg(long)]
    pub(super) verify: bool,
    /// Show how frames are shared: exclusive, shared and PSS (needs access to frame numbers)
    ///
    /// As in smaps, every mapping counts, including those of the reader: a library that only the target and pmem map
    /// counts as shared. Without privilege, '-o +Pss,Private_Clean,Private_Dirty' gives a similar breakdown from smaps.
    #[arg(long)]
    pub(super) owners: bool,
    /// Show mappings in this address range (hexadecimal), clipped to it; HIGH is exclusive
    #[arg(long, value_name = "LOW-HIGH", value_parser = range)]
    range: Option<Range<VirtAddr>>,
    /// Show mappings with this text in their name
    #[arg(long = "match", value_name = "TEXT")]
    name_contains: Option<String>,
    /// Show mappings of these kinds (comma-separated)
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    kinds: Vec<Kind>,
    /// Show mappings with at least N present, swapped or guard pages
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    min_pages: u64,
    #[command(flatten)]
    top: Top,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if args.is_summary() && args.narrows() {
        let option = if args.top.top { "--top" } else { "--summary" };
        let text =
            format!("{option} shows whole processes: it conflicts with --range, --match, --kind and --min-pages");
        return Err(UsageError::Invalid(text).into());
    }
    let cx = Context::open(global, output)?;
    let rounds = args.top.rounds();
    if cx.asks_for_columns() {
        write_columns(&smaps_keys(&cx.root), output)?;
        return Ok(Status::Complete);
    }
    let boot_time = cx.root.boot_time();
    let status = match args.is_summary() {
        true => {
            // The screen has sort keys of its own, single letters.
            let is_key = |sort: &&str| args.top.top && sort.trim_start_matches('-').len() == 1;
            let words = Words { sort: cx.words().sort.filter(|sort| !is_key(sort)), ..cx.words() };
            let choice = Choice::new(words, view::process_fields(true, true), &[])?;
            refuse_change(&choice, rounds.is_repeated())?;
            let wanted = args.wanted(&cx.root, choice.names("rss"), owners_of(args, &choice), Vec::new());
            let owners = wanted.owners;
            let session = Session::new(args, Counter::new(&cx.root, wanted)?);
            // The ledger of one process reads best in words, those of several as a table.
            let as_lines =
                args.all || args.targets.len() > 1 || matches!(args.targets[..], [Target::Comm(_)]) || args.top.top;
            let is_repeated = rounds.is_repeated();
            let mut summary = Summary { session, cx: &cx, boot_time, owners, as_lines, is_repeated };
            let status = screen::run(&mut summary, args.top.top, rounds, &cx, output)?;
            say_cost(&cx, &summary.session);
            status
        }
        false => {
            let (keys, notes) = keys(&cx, rounds.is_repeated())?;
            let owners = owners_of(args, &Choice::new(cx.words(), view::mapping_fields(&keys, true, true), &[])?);
            let choice = Choice::new(cx.words(), view::mapping_fields(&keys, owners, rounds.is_repeated()), &[])?;
            refuse_change(&choice, rounds.is_repeated())?;
            if !cx.is_document() && !cx.is_quiet() {
                notes.iter().for_each(|note| say(&note.text));
            }
            let notes = if cx.is_document() { notes } else { Vec::new() };
            let wanted = args.wanted(&cx.root, false, owners, keys);
            let session = Session::new(args, Counter::new(&cx.root, wanted)?);
            let process_fields = view::process_fields(owners, rounds.is_repeated());
            let mut mappings = Mappings { session, process_fields, notes, boot_time, owners };
            let status = parts::run(&mut mappings, &choice, rounds, &cx, output)?;
            say_cost(&cx, &mappings.session);
            status
        }
    };
    Ok(status)
}

/// Prints what the walks cost the processes that were read.
fn say_cost(cx: &Context<'_>, session: &Session<'_>) {
    if cx.is_verbose() {
        let cost = session.counter.cost;
        let calls = if cost.calls == 1 { "call" } else { "calls" };
        say(&format!("{} PAGEMAP_SCAN {calls}, the longest {:?}", cost.calls, cost.longest));
    }
}

impl Args {
    /// Whether only processes are wanted, without their mappings.
    fn is_summary(&self) -> bool {
        self.summary || self.top.top
    }

    /// Whether only some mappings are wanted.
    fn narrows(&self) -> bool {
        self.range.is_some() || self.name_contains.is_some() || !self.kinds.is_empty() || self.min_pages > 0
    }

    /// What to read from every process.
    fn wanted(&self, root: &Root, rollup: bool, owners: bool, smaps_keys: Vec<String>) -> Wanted {
        let rows = Selection {
            // The range covers whole pages.
            range: self.range.clone().map(|range| root.page_size().whole_pages(range)),
            name_contains: self.name_contains.as_ref().map(|text| text.clone().into_bytes()),
            kinds: self.kinds.clone(),
            min_pages: self.min_pages,
        };
        Wanted { verify: self.verify || rollup, owners, smaps_keys, rows }
    }
}

/// Whether owners are wanted: a column that needs them asks for them.
fn owners_of<R>(args: &Args, choice: &Choice<R>) -> bool {
    args.owners || ["exclusive", "shared", "pss"].iter().any(|name| choice.names(name))
}

/// Refuses columns of changes if there is nothing to compare with.
fn refuse_change<R>(choice: &Choice<R>, is_repeated: bool) -> Result<()> {
    if !is_repeated && choice.names("change") {
        let text = "change: a single round has none; repeat with -d or -n";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    Ok(())
}

/// The smaps keys among the requested columns, and notes on those that this kernel does not have.
fn keys(cx: &Context<'_>, rounds: bool) -> Result<(Vec<String>, Vec<Note>)> {
    let fields = view::mapping_fields(&[], true, rounds);
    let mut keys: Vec<String> = Vec::new();
    for name in asked_names(cx.words()) {
        let bare = name.strip_prefix("smaps.").unwrap_or(name);
        let key = bare.strip_suffix("_bytes").filter(|_| bare != name).unwrap_or(bare);
        if !fields.iter().any(|field| field.is_called(name)) && !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    if keys.is_empty() {
        return Ok((keys, Vec::new()));
    }
    let here = smaps_keys(&cx.root);
    if let Some(name) = keys.iter().find(|key| !here.contains(key) && !KNOWN_KEYS.contains(&key.as_str())) {
        let text = format!("{name}: no such column for mappings; '--columns help' lists them");
        return Err(UsageError::Invalid(text).into());
    }
    let absent = keys.iter().filter(|key| !here.contains(key));
    let notes = absent.map(|key| Note::general("no-such-key", format!("smaps has no {key} on this kernel"))).collect();
    Ok((keys, notes))
}

fn write_columns(smaps_keys: &[String], out: &mut dyn Write) -> Result<()> {
    writeln!(out, "Columns of mappings:")?;
    write_help(out, &view::mapping_fields(&[], true, true))?;
    writeln!(out, "\nKeys of smaps, by the kernel's names, in bytes (VmFlags as words):")?;
    let keys: Vec<&str> = smaps_keys.iter().map(String::as_str).collect();
    write!(out, "{}", wrapped(&keys.join(" "), 80, 2))?;
    writeln!(out, "\nColumns of processes (--summary):")?;
    write_help(out, &view::process_fields(true, true))?;
    Ok(())
}

pub(super) fn range(text: &str) -> Result<Range<VirtAddr>, String> {
    let address =
        |text: &str| hexadecimal(text).map(VirtAddr).ok_or_else(|| format!("'{text}' is not a hexadecimal address"));
    let (low, high) = text.split_once('-').ok_or("expected LOW-HIGH, two hexadecimal addresses")?;
    let range = address(low)?..address(high)?;
    if range.is_empty() { Err("the range is empty".to_owned()) } else { Ok(range) }
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name))
        .try_map(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or("not a kind of mapping"))
}
