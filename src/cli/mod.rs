//! The command line: one file per subcommand, each with its arguments and a short `run` that reads, analyses and shows.

mod address;
pub mod buddy;
pub mod capture;
mod complete;
pub mod decode;
pub mod demo;
pub mod doctor;
mod fields;
pub mod file;
mod frame;
pub mod frames;
pub mod generate;
pub mod lru;
pub mod numa;
pub mod options;
pub mod output;
pub mod page;
pub mod pages;
pub mod phys;
pub mod progress;
pub mod rmap;
pub(crate) mod run;
pub mod schema;
pub mod slab;
pub mod status;
pub mod target;
pub mod translate;
pub mod vmalloc;
pub mod r#where;

use std::ffi::OsString;
use std::io::Write;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use options::GlobalOptions;
use output::Output;
use status::Status;

use crate::kernel::stdout;

/// Where a Linux machine's memory is, frame by frame.
#[derive(Debug, Parser)]
#[command(
    name = "pmem",
    version,
    about = "Where a Linux machine's memory is, frame by frame",
    long_about = "Where a Linux machine's memory is, frame by frame: exact to the page, reconciled with the kernel's own \
                  counters, any difference explained. (It has nothing to do with persistent memory.)",
    after_long_help = "Exit status:\n  \
        0   success, and the output is complete\n  \
        1   failure, or the output is incomplete; standard error says what is missing\n  \
        2   usage error\n  \
        3   this kernel lacks what the command needs\n  \
        4   permission denied; the message says what would help\n  \
        42  no such process",
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

/// Defines the subcommands, each by its name, its variant, and its module with `Args` and `run`.
macro_rules! commands {
    ($($name:literal $variant:ident $module:ident,)*) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $(#[command(name = $name)] $variant($module::Args),)*
        }

        impl Command {
            /// The parser of this subcommand alone.
            fn alone(name: &str) -> Option<clap::Command> {
                match name {
                    $($name => Some($module::Args::augment_args(clap::Command::new($name))),)*
                    _ => None,
                }
            }

            fn run(&self, global: &GlobalOptions, output: &mut Output) -> anyhow::Result<Status> {
                match self {
                    $(Self::$variant(args) => $module::run(args, global, output),)*
                }
            }
        }
    };
}

commands! {
    "frames" Frames frames,
    "pages" Pages pages,
    "translate" Translate translate,
    "page" Page page,
    "rmap" Rmap rmap,
    "phys" Phys phys,
    "lru" Lru lru,
    "where" Where r#where,
    "numa" Numa numa,
    "decode" Decode decode,
    "buddy" Buddy buddy,
    "slab" Slab slab,
    "vmalloc" Vmalloc vmalloc,
    "file" File file,
    "demo" Demo demo,
    "doctor" Doctor doctor,
    "schema" Schema schema,
    "capture" Capture capture,
}

/// Parses a command line.
///
/// Building the parsers of all subcommands takes longer than many readings: clap clones each global option into each of
/// them. So the first attempt knows only the subcommand that the first word names. If it fails, the complete parser
/// decides, and reports the error or prints the help.
fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let parser = GlobalOptions::augment_args(clap::Command::new("pmem").version(env!("CARGO_PKG_VERSION")));
    let alone = arguments.get(1).and_then(|word| word.to_str()).and_then(Command::alone);
    let quick = alone.into_iter().fold(parser, clap::Command::subcommand).try_get_matches_from(arguments);
    match quick.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches)) {
        Err(error) if error.kind() != ErrorKind::DisplayVersion => Cli::try_parse_from(arguments),
        parsed => parsed,
    }
}

/// A command line that `--columns help` makes complete: the list of columns needs no arguments. Otherwise the `error`
/// stays.
fn without_arguments(arguments: &[OsString], error: clap::Error) -> Result<Cli, clap::Error> {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return Err(error);
    }
    // Everything else was found right before what is required was found missing.
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(arguments);
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) if cli.global.asks_for_columns() => Ok(cli),
        _ => Err(error),
    }
}

/// Prints an error of clap, or its help. Help and version are "errors" for standard output, and succeed.
fn explained(error: &clap::Error) -> Status {
    let printed = match error.use_stderr() {
        false if stdout::was_closed() => Err(output::closed()),
        _ => error.print(),
    };
    match printed {
        _ if error.use_stderr() => Status::Usage,
        Ok(()) => Status::Complete,
        Err(failed) => status::report(&failed.into(), false),
    }
}

/// Parses a command line, runs it, and returns the exit status. Errors go to standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Status {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|word| word == generate::NAME) {
        return generate::run(arguments.into_iter().skip(1)).unwrap_or_else(|error| status::report(&error, false));
    }
    if arguments.get(1).is_some_and(|word| word == complete::NAME) {
        return complete::run(arguments.into_iter().skip(2)).unwrap_or_else(|error| status::report(&error, false));
    }
    let cli = match parse(&arguments).or_else(|error| without_arguments(&arguments, error)) {
        Ok(cli) => cli,
        Err(error) => return explained(&error),
    };
    let mut output = match cli
        .global
        .check(matches!(&cli.command, Command::Phys(args) if args.writes_a_file()))
        .map_err(Into::into)
        .and_then(|()| Output::new(&cli.global))
    {
        Ok(output) => output,
        Err(error) => return status::report(&error, cli.global.quiet),
    };
    let done = cli.command.run(&cli.global, &mut output);
    let done = done.and_then(|status| Ok(output.flush().map(|()| status)?));
    done.unwrap_or_else(|error| status::report(&error, cli.global.quiet))
}
