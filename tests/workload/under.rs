//! `under RULE PROGRAM [ARGUMENT…]`: becomes a program to which a rule of the kernel applies.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, setrlimit};
use pmem::internal::memory::{disable_huge_pages, set_merging};

pub(crate) fn run(rule: &str, mut program: impl Iterator<Item = OsString>) -> Result<()> {
    // A kernel that does not know a rule has nothing that would affect the program.
    let _ = match rule {
        "no-huge-pages" => disable_huge_pages(),
        "merge-all" => set_merging(true),
        // Only the kernel's privileged users are exempt.
        "no-threads" => Ok(setrlimit(Resource::RLIMIT_NPROC, 0, 0)?),
        _ => bail!("there is no rule {rule}"),
    };
    let error = Command::new(program.next().context("which program?")?).args(program).exec();
    Err(error.into())
}
