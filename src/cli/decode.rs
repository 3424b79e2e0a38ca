//! `pmem decode`: what words mean, without a machine to read.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::GlobalOptions;
use super::output::Output;
use super::run::command::{self, Asked, Command, OnlyRows, Reading, Shown};
use super::run::context::Context;
use super::run::rounds::Rounds;
use super::status::{Status, UsageError};
use crate::analysis::decode::{self, Bit, Word};
use crate::unit::{PageSize, decimal};
use crate::view::decode as view;
use crate::view::field::Field;

/// Explain a word of kpageflags or pagemap, or the name of a flag
///
/// Takes words of /proc/kpageflags, always in hexadecimal, with or without 0x; the name of a flag as pmem, the kernel
/// (PG_lru, KPF_LRU) or page-types writes it; several names, comma-separated, which make a word; or the letters that
/// page-types shows. With --pagemap and --swap the words are from /proc/PID/pagemap. It reads nothing from the machine
/// and needs no privilege.
///
/// A bit is named by its meaning on that kind of frame: bit 34 is ANON_EXCLUSIVE on an anonymous frame, OWNER_2 on
/// others. Bits left over from another use of the same field (ANON and KSM on slab frames) are reported as such, not
/// named.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem decode 0x400005828          what a frame with this kpageflags word is
  pmem decode uptodate,lru         the word of these flags, and what they mean
  pmem decode PG_owner_2 thp       single flags and their pitfalls
  pmem decode --pagemap 8100000000149efe
                                   a word of /proc/PID/pagemap
  pmem decode --legend             every flag, past and present")]
pub struct Args {
    /// Hexadecimal words, flag names, or comma-separated flag names
    #[arg(value_name = "WORD", required_unless_present = "legend")]
    words: Vec<String>,
    /// The words are from /proc/PID/pagemap
    #[arg(long, conflicts_with = "swap")]
    pagemap: bool,
    /// The words are swap entries: the low 55 bits of a pagemap word, type and offset
    #[arg(long)]
    swap: bool,
    /// Page size for physical addresses, in bytes or as 4K, 16K, 64K (default: this machine's)
    #[arg(long, value_name = "SIZE", value_parser = page_size)]
    page_size: Option<PageSize>,
    /// Show every flag: bit, names, meaning, kernel releases, and pitfalls
    #[arg(long, conflicts_with_all = ["words", "pagemap", "swap", "page_size"])]
    legend: bool,
}

const SCHEMA: &str = "pmem.decode/1";

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open_unread(global, output)?;
    match args.legend {
        true => command::run(&mut Legend, Rounds::ONE, &cx, output),
        false => command::run(&mut Words(args), Rounds::ONE, &cx, output),
    }
}

/// The meaning of words, as the driver runs it.
struct Words<'a>(&'a Args);

impl Command for Words<'_> {
    const SCHEMA: &'static str = SCHEMA;
    const ROWS: &'static str = "words";
    type Row = Word;
    type Report = OnlyRows<Word>;

    fn fields(&self) -> Vec<Field<Word>> {
        view::word_fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<Reading<OnlyRows<Word>>> {
        let Args { words, pagemap, swap, page_size, .. } = self.0;
        let page_size = page_size.unwrap_or(cx.root.page_size());
        let decode = |word: &String| match (pagemap, swap) {
            (true, _) => decode::pagemap(word, page_size),
            (_, true) => decode::swap(word, page_size),
            _ => decode::decode(word),
        };
        let rows = words.iter().map(decode).collect::<Result<_, _>>().map_err(UsageError::Invalid)?;
        Ok(Reading::of(OnlyRows { rows }, Vec::new()))
    }

    fn rows(report: &OnlyRows<Word>) -> &[Word] {
        &report.rows
    }

    fn rows_mut(report: &mut OnlyRows<Word>) -> &mut [Word] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        match shown.only_columns() {
            true => shown.table(out, &shown.columns(view::WORD_DEFAULT), None),
            false => view::write_words(out, shown.rows, shown.layout),
        }
    }
}

/// The table of flags, as the driver runs it.
struct Legend;

impl Command for Legend {
    const SCHEMA: &'static str = SCHEMA;
    const ROWS: &'static str = "flags";
    type Row = Bit;
    type Report = OnlyRows<Bit>;

    fn fields(&self) -> Vec<Field<Bit>> {
        view::legend_fields()
    }

    fn read(&mut self, _: &Context<'_>, _: &Asked<'_>) -> Result<Reading<OnlyRows<Bit>>> {
        Ok(Reading::of(OnlyRows { rows: decode::legend() }, Vec::new()))
    }

    fn rows(report: &OnlyRows<Bit>) -> &[Bit] {
        &report.rows
    }

    fn rows_mut(report: &mut OnlyRows<Bit>) -> &mut [Bit] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        match shown.only_columns() {
            true => shown.table(out, &shown.columns(view::LEGEND_DEFAULT), None),
            false => view::write_legend(out, shown.rows, shown.layout),
        }
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
