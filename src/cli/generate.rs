//! `pmem generate`: the man pages and completions that are kept in the repository.
//!
//! For packagers, and not part of [`Cli`], so that neither help nor completions offer it.

mod man;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, ValueEnum};

use super::Cli;
use super::complete::SCRIPTS;
use super::status::Status;

/// The word that selects this in place of a subcommand.
pub const NAME: &str = "generate";

/// Write the man pages or the shell completions into a directory
#[derive(Debug, Parser)]
#[command(name = "pmem generate")]
struct Args {
    /// What to write
    #[arg(value_enum)]
    what: What,
    /// Where to
    directory: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// pmem.1 and one page per command
    Man,
    /// For bash, zsh and fish
    Completions,
}

/// Runs the command with the arguments after `pmem`.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Result<Status> {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            error.print()?;
            return Ok(if error.use_stderr() { Status::Usage } else { Status::Complete });
        }
    };
    let place = || args.directory.display().to_string();
    match args.what {
        What::Man => man::write(Cli::command(), &args.directory).with_context(place)?,
        What::Completions => {
            for (_, file, script) in SCRIPTS {
                std::fs::write(args.directory.join(file), script).with_context(place)?;
            }
        }
    }
    Ok(Status::Complete)
}
