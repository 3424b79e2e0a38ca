//! `pmem slab show`: the story of one cache.

use std::io::Write;

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::analysis::slab::show::{Found, Story, stories};
use crate::cli::options::{Format, GlobalOptions};
use crate::cli::output::Output;
use crate::cli::status::{self, Status, UsageError, say};
use crate::kernel::root::Root;
use crate::view::{json, slab::show as view, time};

/// Tell one cache's story
///
/// What its name stands for, where that is common knowledge; with which other caches it was merged; the size of an object and
/// of a slab, and what is left over; how many slabs are full, partial, or a processor's; how it was made; and of `dentry`, how
/// many are unused and how many negative. A slab counts as full whose free objects are in a processor's list or sheaf that the
/// kernel does not tell of. Needs root.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem slab show dentry       names of files, and of files that are not there
  sudo pmem slab show UNIX TCP     caches that slabinfo may list under another name
  sudo pmem slab show dentry --json | jq '.data.caches[0].dentries.negative'")]
pub(super) struct Args {
    /// A cache, by any of its names
    // Without a name, that it has no columns is said rather than that it wants one.
    #[arg(required_unless_present_any = ["columns", "sort"], value_name = "NAME")]
    names: Vec<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    if global.columns.is_some() || global.sort.is_some() || global.format() == Format::Csv {
        let text = "slab show: it has no columns: the forms are table, json and jsonl";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    let root = Root::open(&global.root)?;
    let found = stories(&root, &args.names)?;
    write(output, &found, global, &root)?;
    let Found { missing, names_unknown, trouble, .. } = found;
    let mut status = Status::Complete;
    for (name, nearest) in missing {
        let like = nearest.map(|name| format!("; there is {name}")).unwrap_or_default();
        let merged = match &names_unknown {
            None => String::new(),
            Some(why) => format!(" (the names of merged ones are not known: {why})"),
        };
        say(&format!("{name}: no such cache{like}{merged}"));
        status = Status::Incomplete;
    }
    if let Some(error) = trouble {
        status = status.max(status::report(&error.into(), global.quiet));
    }
    Ok(status)
}

fn write(output: &mut Output, found: &Found, global: &GlobalOptions, root: &Root) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Data<'s> {
        caches: &'s [Story],
    }
    let time = time::now();
    let stories = &found.stories[..];
    match global.format() {
        Format::Json => {
            let (schema, host, source) = ("pmem.slab-show/1", root.host(), root.source());
            let notes = found.notes();
            let data = Data { caches: stories };
            json::pretty(output, &json::Document { schema, time: &time, host, source, data, notes })?;
        }
        Format::Jsonl => {
            #[derive(serde::Serialize)]
            struct Line<'s> {
                time: &'s str,
                #[serde(flatten)]
                story: &'s Story,
            }
            stories.iter().try_for_each(|story| json::line(output, &Line { time: &time, story }))?;
        }
        Format::Table | Format::Csv => {
            let layout = output.layout(global, root);
            for (number, story) in stories.iter().enumerate() {
                if number > 0 {
                    writeln!(output)?;
                }
                view::write(output, story, &layout)?;
            }
        }
    }
    Ok(())
}
