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
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use options::GlobalOptions;
use output::Output;
use status::Status;

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

#[derive(Debug, Subcommand)]
enum Command {
    Frames(frames::Args),
    Pages(pages::Args),
    Translate(translate::Args),
    Page(page::Args),
    Rmap(rmap::Args),
    Phys(phys::Args),
    Lru(lru::Args),
    Where(r#where::Args),
    Numa(numa::Args),
    Decode(decode::Args),
    Buddy(buddy::Args),
    Slab(slab::Args),
    Vmalloc(vmalloc::Args),
    File(file::Args),
    Demo(demo::Args),
    Doctor(doctor::Args),
    Schema(schema::Args),
    Capture(capture::Args),
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
        Ok(cli) if cli.global.columns.as_deref() == Some(LIST_COLUMNS) => Ok(cli),
        _ => Err(error),
    }
}

/// The value of `--columns` that lists them.
const LIST_COLUMNS: &str = "help";

/// Parses a command line, runs it, and returns the exit status. Errors go to standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Status {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|word| word == generate::NAME) {
        return generate::run(arguments.into_iter().skip(1)).unwrap_or_else(|error| status::report(&error, false));
    }
    if arguments.get(1).is_some_and(|word| word == complete::NAME) {
        return complete::run(arguments.into_iter().skip(2)).unwrap_or_else(|error| status::report(&error, false));
    }
    let cli = match Cli::try_parse_from(&arguments).or_else(|error| without_arguments(&arguments, error)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" for standard output, and succeed.
            let status = if error.use_stderr() { Status::Usage } else { Status::Complete };
            return match error.print() {
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Status::Complete,
                _ => status,
            };
        }
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
    let done = match &cli.command {
        Command::Frames(args) => frames::run(args, &cli.global, &mut output),
        Command::Pages(args) => pages::run(args, &cli.global, &mut output),
        Command::Translate(args) => translate::run(args, &cli.global, &mut output),
        Command::Page(args) => page::run(args, &cli.global, &mut output),
        Command::Rmap(args) => rmap::run(args, &cli.global, &mut output),
        Command::Phys(args) => phys::run(args, &cli.global, &mut output),
        Command::Lru(args) => lru::run(args, &cli.global, &mut output),
        Command::Where(args) => r#where::run(args, &cli.global, &mut output),
        Command::Numa(args) => numa::run(args, &cli.global, &mut output),
        Command::Decode(args) => decode::run(args, &cli.global, &mut output),
        Command::Buddy(args) => buddy::run(args, &cli.global, &mut output),
        Command::Slab(args) => slab::run(args, &cli.global, &mut output),
        Command::Vmalloc(args) => vmalloc::run(args, &cli.global, &mut output),
        Command::File(args) => file::run(args, &cli.global, &mut output),
        Command::Demo(args) => demo::run(args, &cli.global, &mut output),
        Command::Doctor(args) => doctor::run(args, &cli.global, &mut output),
        Command::Schema(args) => schema::run(args, &cli.global, &mut output),
        Command::Capture(args) => capture::run(args, &cli.global, &mut output),
    };
    let done = done.and_then(|status| Ok(output.flush().map(|()| status)?));
    done.unwrap_or_else(|error| status::report(&error, cli.global.quiet))
}
