//! `pmem decode`: what words mean, without a machine to read.

use crate::view::field::Field;
use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::options::GlobalOptions;
use super::output::Output;
use super::status::{Status, UsageError};
use crate::analysis::decode::{self, Word};
use crate::cli::run::old::Choice;
use crate::cli::run::old::Report;
use crate::kernel::root::Root;
use crate::unit::{PageSize, decimal};
use crate::view::decode as view;

use crate::view::table::{self, Layout};

/// Tell what a word of kpageflags or pagemap means, or a flag's name
///
/// Takes words of /proc/kpageflags, always in hexadecimal, with or without 0x; the name of a flag as pmem, the kernel
/// (PG_lru, KPF_LRU) or page-types write it; several names with commas, which make a word; or the letters that page-types
/// shows. With --pagemap and --swap the words are those of /proc/PID/pagemap. It reads nothing of the machine, and needs no
/// privilege.
///
/// A bit is named by what it means on such a frame: bit 34 of an anonymous one is ANON_EXCLUSIVE, of others OWNER_2. What is
/// left over from another use of the same field (ANON and KSM on slab frames) is said to be, and is not named.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem decode 0x400005828          what a frame with this word of kpageflags is
  pmem decode uptodate,lru         the word of these flags, and what they mean
  pmem decode PG_owner_2 thp       single flags, and what one can get wrong about them
  pmem decode --pagemap 8100000000149efe
                                   a word of /proc/PID/pagemap
  pmem decode --legend             every flag there is or was")]
pub struct Args {
    /// Hexadecimal words, names of flags, or names with commas
    #[arg(value_name = "WORD", required_unless_present = "legend")]
    words: Vec<String>,
    /// The words are of /proc/PID/pagemap
    #[arg(long, conflicts_with = "swap")]
    pagemap: bool,
    /// The words are swap entries: the low 55 bits of a word of pagemap, type and offset
    #[arg(long)]
    swap: bool,
    /// The page size of physical addresses, in bytes or as 4K, 16K, 64K; this machine's unless given
    #[arg(long, value_name = "SIZE", value_parser = page_size)]
    page_size: Option<PageSize>,
    /// Show every flag: bit, names, meaning, releases, and what one can get wrong
    #[arg(long, conflicts_with_all = ["words", "pagemap", "swap", "page_size"])]
    legend: bool,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let root = Root::open_unread(&global.root)?;
    if args.legend {
        let legend = Answer {
            list: "flags",
            rows: decode::legend(),
            columns: view::legend_columns(),
            for_people: view::write_legend,
        };
        return legend.show(global, &root, output);
    }
    let page_size = args.page_size.unwrap_or(root.page_size());
    let decode = |word: &String| match (args.pagemap, args.swap) {
        (true, _) => decode::pagemap(word, page_size),
        (_, true) => decode::swap(word, page_size),
        _ => decode::decode(word),
    };
    let rows: Vec<Word> = args.words.iter().map(decode).collect::<Result<_, _>>().map_err(UsageError::Invalid)?;
    Answer { list: "words", rows, columns: view::word_columns(), for_people: view::write_words }
        .show(global, &root, output)
}

/// What is shown: words or the whole table of flags.
struct Answer<R> {
    /// What JSON calls the rows.
    list: &'static str,
    rows: Vec<R>,
    columns: Vec<Field<R>>,
    for_people: fn(&mut dyn Write, &[R], &Layout) -> io::Result<()>,
}

impl<R: Serialize + Sync> Answer<R> {
    fn show(self, global: &GlobalOptions, root: &Root, output: &mut Output) -> Result<Status> {
        let Self { list, mut rows, columns, for_people } = self;
        let names: Vec<String> = columns.iter().map(|column| column.name.clone().into_owned()).collect();
        let choice = Choice::new(global, columns, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        if let Some(help) = &choice.help {
            output.write_all(help)?;
            return Ok(Status::Complete);
        }
        choice.sort(&mut rows);
        let layout = output.layout(global, root);
        let data = BTreeMap::from([(list, &rows)]);
        let report = Report { schema: "pmem.decode/1", data, rows: &rows, choice: &choice, notes: Vec::new() };
        report.write(output, global, root, |out, _, _| match global.columns {
            Some(_) => table::write(out, &choice.columns(), &rows, None, &layout),
            None => for_people(out, &rows, &layout),
        })?;
        Ok(Status::Complete)
    }
}

fn page_size(text: &str) -> Result<PageSize, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => (text, 1),
    };
    let bytes = decimal(digits).and_then(|number| number.checked_mul(unit));
    bytes.and_then(PageSize::new).ok_or_else(|| "expected a page size: 4096, 4K, 16K, 64K".to_owned())
}
