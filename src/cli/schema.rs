//! `pmem schema`: what the JSON of each command contains.

mod documents;
mod rows;
#[cfg(test)]
mod types;

use anyhow::Result;
use clap::{Args as ClapArgs, CommandFactory};
use serde_json::{Value, json};

use self::documents::{DOCUMENTS, Document, Types, add_definitions};
use super::Cli;
use super::options::GlobalOptions;
use super::output::Output;
use super::run::context::Context;
use super::run::document::{self, Report};
use super::status::{Status, UsageError};
use crate::view::json;

/// Print what the JSON of each command holds, as JSON Schema
///
/// Prints a schema (draft 2020-12) of the document that COMMAND writes with --json: every member with its meaning, its type
/// and its unit (x-unit), whether it can be null, and its role in sums and plots (x-role: label or gauge).
/// With --lines it is the schema of a line of --format jsonl. Without COMMAND all commands are in one schema.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem schema where                what 'pmem where --json' holds
  pmem schema slab diff            the same for a subcommand
  pmem schema --lines slab         a line of 'pmem slab --format jsonl'
  pmem schema frames | jq '.. | select(.\"x-unit\"? == \"bytes\").description'
                                   members measured in bytes")]
pub struct Args {
    /// A command, and its subcommand if there is one: 'slab diff'
    #[arg(value_name = "COMMAND", num_args = 0..=2)]
    command: Vec<String>,
    /// The schema of a line of --format jsonl instead of a document's
    #[arg(long)]
    lines: bool,
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open_unread(global, output)?;
    document::refuse_rows(&cx, "schema: it has no columns to choose or to sort by", "schema: it has no CSV form")?;
    let schema = match args.command[..] {
        [] => of(&DOCUMENTS.iter().collect::<Vec<_>>(), args.lines)?,
        _ => of(&of_command(&args.command.join(" "))?, args.lines)?,
    };
    let report = Report { schema: None, data: &schema, notes: &[] };
    document::show(&report, &cx, output, |out| json::pretty(out, &schema))?;
    Ok(Status::Complete)
}

/// Every command that has a schema.
pub(super) fn commands() -> Vec<&'static str> {
    let mut commands: Vec<_> = DOCUMENTS.iter().map(|document| document.command).collect();
    commands.dedup();
    commands
}

fn of_command(command: &str) -> Result<Vec<&'static Document>> {
    let found: Vec<_> = DOCUMENTS.iter().filter(|document| document.command == command).collect();
    if found.is_empty() {
        let text = format!("{command}: no command with a schema; these have one: {}", commands().join(", "));
        return Err(UsageError::Invalid(text).into());
    }
    Ok(found)
}

/// The schema that any of these documents matches, or their lines.
fn of(documents: &[&Document], lines: bool) -> Result<Value> {
    let types = Types::read()?;
    let mut found: Vec<(String, Value)> = Vec::new();
    for same in documents.chunk_by(|a, b| a.id == b.id) {
        let Some(document) = same.first() else { continue };
        let about = about(document.command);
        if !lines {
            let schema = types.document(same, &about);
            found.extend(schema.map(|schema| (document.name().to_owned(), schema)));
            continue;
        }
        let title = format!("A line of pmem {} --format jsonl", document.command);
        let schema = types.lines(same, &about);
        found.extend(schema.map(|schema| (format!("{}.line", document.name()), titled(schema, title))));
    }
    let mut all = types.definitions();
    let mut schema = match <[_; 1]>::try_from(found) {
        Ok([(_, schema)]) => schema,
        Err(found) => {
            let refer = |(name, _): &(String, Value)| json!({ "$ref": format!("#/$defs/{name}") });
            let any: Vec<Value> = found.iter().map(refer).collect();
            all.extend(found);
            titled(json!({ "anyOf": any }), "The JSON of pmem".to_owned())
        }
    };
    add_definitions(&mut schema, &all);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    Ok(schema)
}

fn titled(mut schema: Value, title: String) -> Value {
    schema["title"] = title.into();
    schema
}

/// The purpose of a command: the first line of its help.
fn about(command: &str) -> String {
    let mut found = Cli::command();
    for word in command.split(' ') {
        match found.find_subcommand(word) {
            Some(subcommand) => found = subcommand.clone(),
            None => return String::new(),
        }
    }
    found.get_about().map(ToString::to_string).unwrap_or_default()
}
