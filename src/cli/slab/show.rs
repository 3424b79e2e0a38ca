//! `pmem slab show`: one cache in detail.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::analysis::slab::show::{Found, Story, stories};
use crate::cli::options::GlobalOptions;
use crate::cli::output::Output;
use crate::cli::run::command::{self, Asked, OnlyRows, Reading, Shown};
use crate::cli::run::context::Context;
use crate::cli::run::document::refuse_rows;
use crate::cli::run::rounds::Rounds;
use crate::cli::run::trouble::Trouble;
use crate::cli::status::Status;
use crate::view::field::Field;
use crate::view::slab::show as view;

/// Show one cache in detail
///
/// What the cache holds, for well-known names; which other caches it was merged with; the size of an object and of a
/// slab, and the unused rest; how many slabs are full, partial, or per-CPU; how it was created; and for `dentry`, how
/// many are unused and how many negative. A slab counts as full if its free objects are in a per-CPU list or sheaf that
/// the kernel does not report. Needs root.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem slab show dentry       names of files, and of files that do not exist
  sudo pmem slab show UNIX TCP     caches that slabinfo may list under another name
  sudo pmem slab show dentry --json | jq '.data.caches[0].dentries.negative'")]
pub(super) struct Args {
    /// A cache, by any of its names
    // With --columns but no name, the error is that there are no columns, not that the name is missing.
    #[arg(required_unless_present_any = ["columns", "sort"], value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    const NO_COLUMNS: &str = "slab show has no columns: the formats are table, json and jsonl";
    let cx = Context::open(global, output)?;
    refuse_rows(&cx, NO_COLUMNS, NO_COLUMNS)?;
    command::run(&mut Show { names: &args.names }, Rounds::ONE, &cx, output)
}

/// The command as the driver runs it.
struct Show<'a> {
    names: &'a [String],
}

impl command::Command for Show<'_> {
    const SCHEMA: &'static str = "pmem.slab-show/1";
    const ROWS: &'static str = "caches";
    type Row = Story;
    type Report = OnlyRows<Story>;

    fn fields(&self) -> Vec<Field<Story>> {
        view::fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<Reading<OnlyRows<Story>>> {
        let found = stories(&cx.root, self.names)?;
        let notes = found.notes();
        let Found { stories, missing, names_unknown, trouble, .. } = found;
        let no_such = |(name, nearest): (String, Option<String>)| {
            let like = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            let merged = match &names_unknown {
                None => String::new(),
                Some(why) => format!(" (the names of merged ones are not known: {why})"),
            };
            Trouble::incomplete(format!("{name}: no such cache{like}{merged}"))
        };
        let troubles = missing.into_iter().map(no_such).chain(trouble.map(Trouble::from)).collect();
        Ok(Reading { troubles, ..Reading::of(OnlyRows { rows: stories }, notes) })
    }

    fn rows(report: &OnlyRows<Story>) -> &[Story] {
        &report.rows
    }

    fn rows_mut(report: &mut OnlyRows<Story>) -> &mut [Story] {
        &mut report.rows
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        for (number, story) in shown.rows.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            view::write(out, story, shown.layout)?;
        }
        Ok(())
    }
}
