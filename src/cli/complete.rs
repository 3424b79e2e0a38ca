//! `pmem complete`: the candidates for shell completion. Not part of [`Cli`], so that neither help nor completions
//! offer it.
//!
//! `pmem complete SHELL` prints the script for a shell. The script calls `pmem complete -- WORD…` with the words up to
//! the cursor, the last of them the one to complete, and gets a line for each candidate: the whole word, a tab, and a
//! description. A line that begins with a tab asks the shell to complete a file name, which the shell can quote but
//! pmem cannot.
//!
//! Any user can choose the name of a process, and root presses Tab too: what a shell would have to quote is left out
//! ([`is_plain`]), so nothing that pmem offers can be more than a word.

mod columns;
mod names;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};

use super::Cli;
use super::status::{Status, UsageError};
use crate::name::escaped;

/// The word that selects this in place of a subcommand.
pub(super) const NAME: &str = "complete";

/// The scripts, each with the name of its shell, and the file that the shell looks for.
pub(super) const SCRIPTS: [(&str, &str, &str); 3] = [
    ("bash", "pmem.bash", include_str!("../../completions/pmem.bash")),
    ("zsh", "_pmem", include_str!("../../completions/_pmem")),
    ("fish", "pmem.fish", include_str!("../../completions/pmem.fish")),
];

/// The candidate that means file names.
const FILES: &str = "\tfiles";

/// The most candidates. Nobody reads more, and shells become slow with them.
const MOST: usize = 2000;

/// Runs the command with the arguments after `complete`.
pub(super) fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<Status> {
    let first = arguments.next().unwrap_or_default();
    let text = match SCRIPTS.iter().find(|(shell, ..)| first == *shell) {
        Some((_, _, script)) => (*script).to_owned(),
        None if first == "--" => answer(arguments.collect()),
        None => {
            let text = "'pmem complete SHELL' prints the completions for a shell: bash, zsh or fish";
            return Err(UsageError::Invalid(text.to_owned()).into());
        }
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Status::Complete)
}

/// What the words before the one to complete say about it.
#[derive(Debug)]
struct Context {
    /// The root whose processes and caches are offered, from `--root`.
    root: PathBuf,
    /// The command and its subcommand: `slab diff`.
    command: String,
    /// All words before the one to complete.
    before: Vec<OsString>,
}

impl Context {
    fn new(words: &[OsString]) -> Self {
        let before = words.split_last().map_or(&[][..], |(_, before)| before);
        let (mut root, mut names) = (None, Vec::new());
        let cli = Cli::command();
        let mut command = &cli;
        for (place, word) in before.iter().enumerate().skip(1) {
            if let Some(subcommand) = command.find_subcommand(word) {
                command = subcommand;
                names.push(command.get_name());
            }
            let joined = word.to_str().and_then(|word| word.strip_prefix("--root="));
            root = joined
                .map(OsString::from)
                .or_else(|| (*word == "--root").then(|| before.get(place + 1).cloned())?)
                .or(root);
        }
        let root = root.map_or_else(|| PathBuf::from("/"), |root| expanded(PathBuf::from(root)));
        Self { root, command: names.join(" "), before: before.to_vec() }
    }

    /// Whether an option was given.
    fn has(&self, option: &str) -> bool {
        self.before.iter().any(|word| word == option)
    }
}

/// A path with its `~/` expanded, which shells pass on as typed.
fn expanded(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

/// The candidates for the last of these words, a line each.
fn answer(words: Vec<OsString>) -> String {
    let Some(typed) = words.last().and_then(|word| word.to_str()).map(str::to_owned) else { return String::new() };
    let place = words.len() - 1;
    let mut command = with_completers(Cli::command(), &Arc::new(Context::new(&words)));
    let found = complete(&mut command, words, place, None).unwrap_or_default();
    let found = found.iter().filter_map(|candidate| Some((candidate.get_value().to_str()?, candidate)));
    let mut found: Vec<(&str, &CompletionCandidate)> = found.collect();
    if found.iter().any(|(value, _)| value.ends_with(FILES)) {
        return format!("{FILES}\n");
    }
    // What was typed may be anything: it is the user's own.
    let adds = |value: &str| value.strip_prefix(typed.as_str()).is_some_and(|rest| rest.chars().all(is_plain));
    found.retain(|(value, _)| !value.is_empty() && adds(value));
    // There are many options, and a user who wants one types the dash.
    let is_option = |value: &str| typed.is_empty() && value.starts_with('-');
    if found.iter().any(|(value, _)| !is_option(value)) {
        found.retain(|(value, _)| !is_option(value));
    }
    let mut lines = String::new();
    for (value, candidate) in found.into_iter().take(MOST) {
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.lines().next().unwrap_or_default();
        lines.extend([value, "\t", &escaped(help.as_bytes()), "\n"]);
    }
    lines
}

/// Whether a character has no special meaning in any shell, within a word or at its end.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-./:@%+,=".contains(character)
}

/// Adds completers to the arguments of all commands. clap itself completes only those with a list of values.
fn with_completers(command: Command, context: &Arc<Context>) -> Command {
    let name = command.get_name().to_owned();
    command
        .mut_args(|arg| match completer(&name, &arg) {
            None => arg,
            Some(of) => {
                let context = Arc::clone(context);
                arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                    typed.to_str().map(|typed| of(&context, typed)).unwrap_or_default()
                }))
            }
        })
        .mut_subcommands(|subcommand| with_completers(subcommand, context))
}

/// Completes a value: the candidates that begin with what was typed.
type Completer = fn(&Context, &str) -> Vec<CompletionCandidate>;

fn completer(command: &str, arg: &Arg) -> Option<Completer> {
    let value = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    Some(match (command, arg.get_id().as_str(), value) {
        (_, _, "TARGET") => names::processes,
        (_, "columns", _) => columns::shown,
        (_, "sort", _) => columns::sorted,
        ("demo", "names", _) => names::demos,
        ("show", "names", _) => names::caches,
        ("pages", "flags", _) => names::conditions,
        ("decode", "words", _) => names::flags,
        ("schema", "command", _) => names::commands,
        // Of the ways to give a frame, only a path can be completed.
        (_, _, "FRAME") => files,
        _ if arg.get_value_hint() == ValueHint::AnyPath => files,
        _ => return None,
    })
}

fn files(_: &Context, _: &str) -> Vec<CompletionCandidate> {
    vec![CompletionCandidate::new(FILES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(words: &[&str]) -> Vec<String> {
        let words = words.iter().map(OsString::from).collect();
        answer(words).lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn the_command_and_the_root_are_found() {
        let context = |words: &[&str]| Context::new(&words.iter().map(OsString::from).collect::<Vec<_>>());
        let found = context(&["pmem", "--root", "a", "slab", "diff", "--root=b", "--root", "c", "x"]);
        assert_eq!((found.command.as_str(), found.root.to_str()), ("slab diff", Some("c")));
        assert!(found.has("slab") && !found.has("x"));
        assert_eq!(context(&["pmem", "--root"]).root.to_str(), Some("/"));
    }

    #[test]
    fn values_and_options_are_offered_where_they_belong() {
        assert_eq!(candidates(&["pmem", "tr"]), ["translate"]);
        assert_eq!(candidates(&["pmem", "slab", "d"]), ["diff"]);
        assert_eq!(candidates(&["pmem", "schema", "wh"]), ["where"]);
        assert_eq!(candidates(&["pmem", "pages", "--state=sw"]), ["--state=swapped"]);
        assert_eq!(candidates(&["pmem", "pages", "--state", "present,sw"]), ["present,swapped"]);
        assert_eq!(candidates(&["pmem", "frames", "--summ"]), ["--summary"]);
        assert!(!candidates(&["pmem", "demo", ""]).iter().any(|word| word.starts_with('-')));
        assert!(candidates(&["pmem", "lru", ""]).contains(&"--json".to_owned()));
        assert_eq!(answer(["pmem", "--out", "x"].map(OsString::from).to_vec()), "\tfiles\n");
        assert_eq!(answer(["pmem", "--out=x"].map(OsString::from).to_vec()), "\tfiles\n");
        assert_eq!(answer(["pmem", "where", "diff", ""].map(OsString::from).to_vec()), "\tfiles\n");
    }

    #[test]
    fn every_argument_that_is_named_is_there() {
        fn count(command: &Command, counts: &mut [usize; 9]) {
            let all: [Completer; 9] = [
                names::processes,
                columns::shown,
                columns::sorted,
                names::demos,
                names::caches,
                names::conditions,
                names::flags,
                names::commands,
                files,
            ];
            for found in command.get_arguments().filter_map(|arg| completer(command.get_name(), arg)) {
                let place = all.iter().position(|of| std::ptr::fn_addr_eq(*of, found));
                counts[place.expect("it is one of these")] += 1;
            }
            command.get_subcommands().for_each(|subcommand| count(subcommand, counts));
        }
        let mut counts = [0; 9];
        count(&Cli::command(), &mut counts);
        let [processes, shown, sorted, demos, caches, conditions, flags, commands, files] = counts;
        assert_eq!([shown, sorted, demos, caches, conditions, flags, commands], [1; 7]);
        assert!(processes >= 5 && files >= 10, "{counts:?}");
    }
}
