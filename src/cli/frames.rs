//! `pmem frames`: a process's frames, counted to the page, and every other number explained.

use std::io::Write;
use std::ops::Range;

use anyhow::Result;
use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::columns::Chosen;
use super::options::{GlobalOptions, Repeat};
use super::output::Output;
use super::rounds::Session;
use super::status::{Status, UsageError};
use super::target::Target;
use crate::analysis::frames::select::{Selection, Wanted};
use crate::analysis::processes::kind::Kind;
use crate::kernel::root::Root;
use crate::unit::{VirtAddr, hexadecimal};

/// Count a process's page frames, and explain every other number
///
/// Shows, for each mapping, how many of its page-table entries are present, and a ledger that takes them to the frames the
/// process really has, beside what statm (and with --verify smaps) says of them. Without a target it looks at the process
/// that started pmem.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem frames --verify 1234        a process, with smaps as a second witness
  pmem frames --all --summary -s -resident
                                   every process, largest first
  pmem frames postgres -o +Pss,Swap,VmFlags --min-pages 1
                                   by name, with columns of smaps, mappings that hold something
  sudo pmem frames --owners 1234   who shares the frames: exclusive, shared, PSS")]
pub struct Args {
    /// A PID, 'self', or a process's name ('comm:NAME' for a name of digits only)
    #[arg(value_name = "TARGET")]
    pub(super) targets: Vec<Target>,
    /// Look at every process
    #[arg(short, long, conflicts_with = "targets")]
    pub(super) all: bool,
    /// Show the ledger only; for several processes, a line each
    #[arg(long)]
    pub(super) summary: bool,
    /// Compare with smaps_rollup too
    #[arg(long)]
    pub(super) verify: bool,
    /// Say how frames are shared: exclusive, shared and PSS (needs to see frame numbers)
    ///
    /// As in smaps, every mapping counts, also those of the process that looks: a library that only the target and pmem
    /// map counts as shared. Without privilege, '-o +Pss,Private_Clean,Private_Dirty' tells the like from smaps.
    #[arg(long)]
    pub(super) owners: bool,
    /// Show mappings between these hexadecimal addresses, cut to them; HIGH is the first behind
    #[arg(long, value_name = "LOW-HIGH", value_parser = range)]
    range: Option<Range<VirtAddr>>,
    /// Show mappings whose name contains this
    #[arg(long = "match", value_name = "TEXT")]
    name_contains: Option<String>,
    /// Show mappings of these kinds; several with commas
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    kinds: Vec<Kind>,
    /// Show mappings with at least so many present, swapped or guard pages
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    min_pages: u64,
    #[command(flatten)]
    pub(super) repeat: Repeat,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let root = Root::open(&global.root)?;
    let layout = output.layout(global, &root);
    if args.summary
        && (args.range.is_some() || args.name_contains.is_some() || !args.kinds.is_empty() || args.min_pages > 0)
    {
        let text = "--summary is of whole processes: it does not go with --range, --match, --kind and --min-pages";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let chosen = Chosen::new(args, global, &root, &layout)?;
    if let Some(help) = &chosen.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let wanted = Wanted {
        verify: args.verify || (args.summary && chosen.needs_rollup()),
        owners: args.owners || chosen.needs_owners(),
        smaps_keys: chosen.smaps_keys.clone(),
        rows: Selection {
            // Pages are not divided.
            range: args.range.clone().map(|range| root.page_size().whole_pages(range)),
            name_contains: args.name_contains.as_ref().map(|text| text.clone().into_bytes()),
            kinds: args.kinds.clone(),
            min_pages: args.min_pages,
        },
    };
    let mut session = Session::new(args, global, &root, layout, chosen, wanted)?;
    session.rounds(output)?;
    Ok(session.end())
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
