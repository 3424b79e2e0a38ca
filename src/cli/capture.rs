//! `pmem capture`: record processes and the machine, to be read back with `--root`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::GlobalOptions;
use super::output::Output;
use super::run::context::Context;
use super::run::document;
use super::status::{Status, UsageError, say};
use super::target::{self, Target};
use crate::analysis::processes::visit;
use crate::kernel::capture::Recording;
use crate::name::escaped;
use crate::view::size::{counted, grouped_string};
use crate::view::time;

/// Record processes and the machine into a directory that --root reads back
///
/// Text files are kept byte for byte, page maps and frame files as runs in which holes take no space: a process with 1
/// TiB of empty mappings takes kilobytes. The tree reveals the layout of address spaces and their frame numbers, so it
/// is created with mode 0700.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  pmem capture /tmp/tree 1234      record a process
  pmem --root /tmp/tree frames     the same answers, anywhere, without privilege
  sudo pmem capture --all --frames incident
                                   everything, with every frame of the machine")]
pub struct Args {
    /// The directory to create; it must not exist yet
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A PID, 'self', or a process's name ('comm:NAME' if the name is all digits)
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// Record every process
    #[arg(short, long, conflicts_with = "targets")]
    all: bool,
    /// Record every frame's flags, mapcount and cgroup, not only those of the recorded processes
    #[arg(long)]
    frames: bool,
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    let root = &cx.root;
    if root.is_recorded() {
        return Err(UsageError::Invalid("a recorded tree is copied with cp, not captured".to_owned()).into());
    }
    if args.directory.symlink_metadata().is_ok() {
        let text = format!("{}: already exists; capture creates a new directory", args.directory.display());
        return Err(UsageError::Invalid(text).into());
    }
    let digits = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    if args.targets.is_empty() && !args.all && digits(args.directory.as_os_str()) {
        let name = args.directory.display();
        let text = format!("is {name} a directory or a process? Use 'pmem capture DIR {name}' or './{name}'");
        return Err(UsageError::Invalid(text).into());
    }
    let found = target::find(root, &args.targets, args.all)?;
    let mut status = Status::Complete;
    for missing in &found.missing {
        say(missing);
        status = Status::Incomplete;
    }
    if let Some(remark) = found.remark.filter(|_| !cx.is_quiet()) {
        say(&remark);
    }
    let own_pid = target::find(root, &[Target::Myself], false)?.pids;
    let mut recording = Recording::begin(root, &args.directory)?;
    let mut progress = cx.progress();
    let (mut processes, mut mappings, mut entries) = (0u64, 0, 0);
    for (number, &pid) in found.pids.iter().enumerate() {
        progress.show(|| format!("{} of {} processes", number + 1, found.pids.len()));
        let is_own = own_pid.contains(&pid);
        // Processes without an address space are recorded too.
        match visit::process(root, pid, |seen| Ok(recording.process(seen.process(), is_own)?)) {
            Ok(kept) => {
                processes += 1;
                mappings += kept.mappings as u64;
                entries += kept.entries;
                if !kept.held_still && !args.all && !cx.is_quiet() {
                    progress.wipe();
                    say(&format!("{pid}: the process changed while it was recorded; its files may be inconsistent"));
                }
            }
            Err(reason) if reason.is_gone() && args.all => {}
            Err(reason) => {
                progress.wipe();
                say(&format!("{pid}: {reason}"));
                recording.gap(pid, reason.to_string());
                status = Status::Incomplete;
            }
        }
    }
    let manifest = recording.finish(args.frames, time::now(), |file, words| {
        progress.show(|| format!("{file}: {} frames", grouped_string(words)));
    })?;
    progress.wipe();
    let shown = document::Report { schema: None, data: &manifest, notes: &[] };
    document::show(&shown, &cx, output, |out| {
        writeln!(
            out,
            "{}: {}, {}, {}",
            escaped(args.directory.as_os_str().as_encoded_bytes()),
            counted(processes, "process", "processes"),
            counted(mappings, "mapping", "mappings"),
            counted(entries, "page-table entry", "page-table entries")
        )?;
        let mut gaps = manifest.gaps.iter();
        gaps.try_for_each(|gap| writeln!(out, "  not recorded: {} ({})", gap.path, gap.why))
    })?;
    Ok(status)
}
