//! The names that can be completed: processes, slab caches, flags of frames, demos.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use clap_complete::engine::CompletionCandidate;

use super::Context;
use crate::cli::schema;
use crate::cli::target::Target;
use crate::demo::DEMOS;
use crate::kernel::process::pids;
use crate::kernel::root::{Root, SMALL};
use crate::kernel::slab::{CacheNames, SlabSysfs, slabinfo};
use crate::model::flag_filter::FlagFilter;
use crate::model::flag_table::FLAGS;
use crate::model::stat::Stat;
use crate::name::Name;

/// How many processes to look at: the last ones by PID, because the first ones on a large machine are kernel threads.
/// The user is waiting, and this many take some 30 ms.
const MOST_PROCESSES: usize = 2000;

/// Processes with memory: by PID if a digit was typed, else by name, each name once.
pub(super) fn processes(context: &Context, typed: &str) -> Vec<CompletionCandidate> {
    let Ok(root) = Root::open(&context.root) else { return Vec::new() };
    let by_pid = typed.starts_with(|first: char| first.is_ascii_digit());
    let mut pids = pids(&root).unwrap_or_default();
    pids.retain(|pid| !by_pid || pid.to_string().starts_with(typed));
    pids.drain(..pids.len().saturating_sub(MOST_PROCESSES));
    let found = pids.into_iter().filter_map(|pid| Some((pid, comm(&root, pid)?)));
    if by_pid {
        return found.map(|(pid, comm)| candidate(pid.to_string(), &comm.escaped())).collect();
    }
    let mut names: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (pid, comm) in found {
        if let Some(name) = as_target(&comm, typed.starts_with(MARK)) {
            names.entry(name).or_default().push(pid);
        }
    }
    let myself = (!root.is_recorded()).then(|| candidate("self".to_owned(), "pmem itself"));
    let named = names.into_iter().map(|(name, pids)| match pids[..] {
        [pid] => candidate(name, &format!("PID {pid}")),
        _ => candidate(name, &format!("{} processes", pids.len())),
    });
    matching(named.chain(myself), typed)
}

/// The name of a process; `None` for a kernel thread, which has no memory of its own.
fn comm(root: &Root, pid: u32) -> Option<Name> {
    let read = |file: &str| root.dir().read(format!("proc/{pid}/{file}"), SMALL);
    if let Ok(stat) = read("stat")
        && Stat::parse(&stat, Path::new("stat")).is_ok_and(|stat| stat.is_kernel_thread())
    {
        return None;
    }
    let comm = read("comm").ok()?;
    Some(Name::new(comm.strip_suffix(b"\n").unwrap_or(&comm)))
}

/// The prefix that marks the name of a process.
const MARK: &str = "comm:";

/// How a user refers to processes with this name: with the prefix if it could be taken for something else, or on
/// request. `None` if the name is not UTF-8, or empty.
fn as_target(comm: &Name, marked: bool) -> Option<String> {
    let name = std::str::from_utf8(comm.bytes()).ok().filter(|name| !name.is_empty())?;
    match name.parse() {
        Ok(Target::Comm(found)) if found == name && !name.starts_with('-') && !marked => Some(name.to_owned()),
        _ => Some(format!("{MARK}{name}")),
    }
}

/// Commands with a schema, or the subcommands of the one already given.
pub(super) fn commands(context: &Context, typed: &str) -> Vec<CompletionCandidate> {
    let commands = schema::commands();
    let named = context.before.last().and_then(|word| word.to_str()).unwrap_or_default();
    let below = commands.iter().filter_map(|command| command.strip_prefix(named)?.strip_prefix(' '));
    let first = commands.iter().filter(|command| !command.contains(' ')).copied();
    let found: Vec<&str> = match commands.contains(&named) {
        true => below.collect(),
        false => first.collect(),
    };
    matching(found.into_iter().map(|command| candidate(command.to_owned(), "")), typed)
}

/// Slab caches, under every name that they have.
pub(super) fn caches(context: &Context, typed: &str) -> Vec<CompletionCandidate> {
    let Ok(root) = Root::open(&context.root) else { return Vec::new() };
    // Anyone may list sysfs, but only root may read slabinfo.
    let groups = SlabSysfs::open(&root).and_then(|sysfs| sysfs.names());
    let mut names: Vec<Name> = groups.iter().flat_map(CacheNames::groups).flatten().collect();
    if names.is_empty() {
        names.extend(slabinfo(&root).into_iter().flat_map(|info| info.caches).map(|cache| cache.name));
    }
    names.sort_unstable();
    names.dedup();
    // A directory of merged caches has a key instead of a name: ':0000192'.
    let names = names.iter().filter_map(|name| std::str::from_utf8(name.bytes()).ok());
    let names = names.filter(|name| !name.starts_with(':') && !name.starts_with('-'));
    matching(names.map(|name| candidate(name.to_owned(), "")), typed)
}

/// Demos.
pub(super) fn demos(_: &Context, typed: &str) -> Vec<CompletionCandidate> {
    let all = std::iter::once(candidate("all".to_owned(), "all demos, one after the other"));
    matching(DEMOS.iter().map(|demo| candidate(demo.name.to_owned(), demo.question)).chain(all), typed)
}

/// Flags of frames in a list (`uptodate,lru`): the last is completed.
pub(super) fn flags(_: &Context, typed: &str) -> Vec<CompletionCandidate> {
    flags_that(typed, |_| true)
}

/// Flags of frames in a condition (`anon,!swapbacked`), without those that no frame has.
pub(super) fn conditions(_: &Context, typed: &str) -> Vec<CompletionCandidate> {
    flags_that(typed, |name| FlagFilter::from_str(name).is_ok())
}

fn flags_that(typed: &str, are_wanted: fn(&str) -> bool) -> Vec<CompletionCandidate> {
    let begin = typed.rfind([',', '|', '!', '~']).map_or(0, |at| at + 1);
    let (before, typed) = typed.split_at(begin);
    let mut names: Vec<(String, &str)> = Vec::new();
    for flag in &FLAGS {
        let name = match typed.starts_with("PG_") {
            true => flag.pg_name.filter(|name| name.starts_with("PG_")).map(str::to_owned),
            false => Some(flag.name.to_ascii_lowercase()),
        };
        // Two bits can have the same name if page-types moves one.
        let is_new = |name: &String| are_wanted(name) && !names.iter().any(|(known, _)| known == name);
        names.extend(name.filter(is_new).map(|name| (name, flag.meaning)));
    }
    let found = matching(names.into_iter().map(|(name, meaning)| candidate(name, meaning)), typed);
    found.into_iter().map(|candidate| candidate.add_prefix(before)).collect()
}

pub(super) fn candidate(value: String, help: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help((!help.is_empty()).then(|| help.to_owned().into()))
}

/// The candidates that begin with what was typed, in their order.
pub(super) fn matching(all: impl Iterator<Item = CompletionCandidate>, typed: &str) -> Vec<CompletionCandidate> {
    all.filter(|candidate| candidate.get_value().as_encoded_bytes().starts_with(typed.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_means_something_else_is_marked_as_one() {
        for (comm, target) in [
            (&b"bash"[..], Some("bash")),
            (b"42", Some("comm:42")),
            (b"self", Some("comm:self")),
            (b"-rf", Some("comm:-rf")),
            (b"comm:x", Some("comm:comm:x")),
            (b"", None),
            (b"\xff", None),
        ] {
            assert_eq!(as_target(&Name::new(comm), false).as_deref(), target, "{comm:?}");
        }
        assert_eq!(as_target(&Name::new(b"bash"), true).as_deref(), Some("comm:bash"));
    }
}
