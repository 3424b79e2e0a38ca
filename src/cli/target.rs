//! Which processes a command looks at.

use std::convert::Infallible;
use std::str::FromStr;

use anyhow::Result;

use super::status::UsageError;
use crate::error::Error;
use crate::kernel::process::{Process, pids};
use crate::kernel::root::Root;
use crate::model::stat::Stat;
use crate::name::escaped;

/// One process or several, as users specify them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By PID. Too large a number is a PID that no process has.
    Pid(u64),
    /// pmem's own process; in a recorded tree, the one that recorded it.
    Myself,
    /// All processes with this name.
    Comm(String),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text.strip_prefix("comm:") {
            Some(name) => Self::Comm(name.to_owned()),
            None if text == "self" => Self::Myself,
            None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                Self::Pid(text.parse().unwrap_or(u64::MAX))
            }
            None => Self::Comm(text.to_owned()),
        })
    }
}

/// The processes that were found, and what was not.
#[derive(Debug, Default)]
pub struct Found {
    /// Their PIDs, in the requested order, each once.
    pub pids: Vec<u32>,
    /// What was requested but not found.
    pub missing: Vec<String>,
    /// A remark on a choice that pmem made.
    pub remark: Option<String>,
}

/// Finds processes: all, or those that are named, else the one that started pmem.
///
/// # Errors
/// [`UsageError::NoProcess`] if none of those that are named exists.
pub fn find(root: &Root, targets: &[Target], all: bool) -> Result<Found> {
    if all {
        return Ok(Found { pids: pids(root)?, ..Found::default() });
    }
    if targets.is_empty() {
        return default(root);
    }
    let mut found = Found::default();
    for target in targets {
        let pids = match target {
            Target::Pid(pid) => existing(root, *pid).into_iter().collect(),
            Target::Myself => vec![myself(root)?],
            Target::Comm(name) => named(root, name)?,
        };
        if pids.is_empty() {
            found.missing.push(missing(root, target));
        }
        for pid in pids {
            if !found.pids.contains(&pid) {
                found.pids.push(pid);
            }
        }
    }
    if found.pids.is_empty() {
        return Err(UsageError::NoProcess(found.missing.join("; ")).into());
    }
    Ok(found)
}

/// Why there is no such process.
fn missing(root: &Root, target: &Target) -> String {
    match target {
        _ if root.is_recorded() => {
            let has: Vec<String> = pids(root).unwrap_or_default().iter().take(10).map(u32::to_string).collect();
            let name = match target {
                Target::Pid(pid) => pid.to_string(),
                Target::Myself => "self".to_owned(),
                Target::Comm(name) => format!("'{}'", escaped(name.as_bytes())),
            };
            format!("{name}: not in this tree, which has processes {}", has.join(" "))
        }
        Target::Pid(pid) => format!("{pid}: no such process (or one that procfs hides from this user: hidepid)"),
        Target::Myself => "self: no such process".to_owned(),
        // TASK_COMM_LEN, minus its NUL.
        Target::Comm(name) if name.len() > 15 => {
            format!("'{}': no process has this name (the kernel keeps only 15 bytes)", escaped(name.as_bytes()))
        }
        Target::Comm(name) => format!("'{}': no process has this name", escaped(name.as_bytes())),
    }
}

fn existing(root: &Root, pid: u64) -> Option<u32> {
    let pid = u32::try_from(pid).ok()?;
    match Process::open(root, pid) {
        Err(error) if error.is_gone() => None,
        // Anything else is reported when it is read.
        _ => Some(pid),
    }
}

fn named(root: &Root, name: &str) -> Result<Vec<u32>> {
    let has_name = |pid: &u32| {
        let comm = Process::open(root, *pid).and_then(|process| process.comm());
        comm.is_ok_and(|comm| comm.bytes() == name.as_bytes())
    };
    Ok(pids(root)?.into_iter().filter(has_name).collect())
}

/// pmem's own process, as this procfs sees it: in another PID namespace it has another PID there.
fn own_stat(root: &Root) -> Result<Stat> {
    let path = "proc/self/stat";
    Ok(Stat::parse(&root.dir().read(path, crate::kernel::root::SMALL)?, path.as_ref())?)
}

fn myself(root: &Root) -> Result<u32> {
    match root.manifest() {
        None => Ok(own_stat(root)?.pid),
        Some(manifest) => manifest.recorder.ok_or_else(|| {
            UsageError::Invalid("self: the process that recorded this tree is not in it".to_owned()).into()
        }),
    }
}

fn default(root: &Root) -> Result<Found> {
    if root.is_recorded() {
        let pids = pids(root)?;
        let [pid] = pids[..] else {
            let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
            return Err(UsageError::Invalid(format!("name a process in this tree: {list}")).into());
        };
        return Ok(Found { pids: vec![pid], ..Found::default() });
    }
    let parent = own_stat(root)?.parent;
    let comm = Process::open(root, parent).and_then(|process| process.comm()).map_err(|error| match error {
        error if error.is_gone() => anyhow::Error::from(UsageError::Invalid(
            "no target given, and the process that started pmem is not visible here; name one".to_owned(),
        )),
        other => Error::into(other),
    })?;
    let remark = format!("no target given: showing {} ({parent}), which started pmem", comm.escaped());
    Ok(Found { pids: vec![parent], remark: Some(remark), ..Found::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_users_mean_them() {
        let target = |text: &str| text.parse::<Target>().unwrap();
        assert_eq!(target("42"), Target::Pid(42));
        assert_eq!(target("99999999999999999999"), Target::Pid(u64::MAX));
        assert_eq!(target("self"), Target::Myself);
        assert_eq!(target("reclim-me"), Target::Comm("reclim-me".into()));
        assert_eq!(target("comm:42"), Target::Comm("42".into()));
        assert_eq!(target("comm:self"), Target::Comm("self".into()));
        assert_eq!(target(""), Target::Comm(String::new()));
    }
}
