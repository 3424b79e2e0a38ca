//! Page frames as users specify them: by number, physical address, an address of a process, or an offset in a file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};

use super::address::Address;
use super::status::UsageError;
use super::target::{self, Target};
use crate::analysis::processes::address_space::{SeenThrough, Space, seen_through};
use crate::error::Error;
use crate::kernel::page_cache;
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::model::pagemap::{Entry, State};
use crate::name::escaped;
use crate::unit::{Pfn, decimal, hexadecimal};

/// One frame or several, as users specify them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FrameSpec {
    /// This many frames, from this number on.
    Pfns(u64, u64),
    /// The frame at this physical address.
    Physical(u64),
    /// The frame at this address of a process.
    Virtual(Target, Address),
    /// The page of a file at this offset, in bytes.
    File(PathBuf, u64),
}

impl FromStr for FrameSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = text.strip_prefix("phys:") {
            let wrong = || format!("'{address}' is not a hexadecimal address");
            return hexadecimal(address).map(Self::Physical).ok_or_else(wrong);
        }
        if let Some((path, offset)) = text.rsplit_once(':').filter(|(path, _)| path.contains('/')) {
            return Ok(Self::File(path.into(), number(offset)?));
        }
        if let Some((target, address)) = text.rsplit_once(':') {
            let Ok(target) = target.parse();
            return Ok(Self::Virtual(target, Address::parse(OsStr::new(address))?));
        }
        let (first, count) = text.split_once('+').unwrap_or((text, "1"));
        match (number(first)?, number(count)?) {
            (_, 0) => Err("no frames: the count is 0".to_owned()),
            (first, count) if first.checked_add(count).is_none() => Err("no machine has that many frames".to_owned()),
            (first, count) => Ok(Self::Pfns(first, count)),
        }
    }
}

/// A number, decimal, or hexadecimal with `0x`.
fn number(text: &str) -> Result<u64, String> {
    let number = if text.starts_with("0x") { hexadecimal(text) } else { decimal(text) };
    number.ok_or_else(|| {
        format!("'{text}' is not a number: expected PFN, PFN+COUNT, phys:ADDRESS, TARGET:ADDRESS or PATH:OFFSET")
    })
}

/// The frames that the arguments name.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved {
    /// The frames, in the requested order.
    pub(super) pfns: Vec<Pfn>,
    /// Arguments without a frame, and why.
    pub(super) without: Vec<String>,
}

/// The most frames that one command looks at.
const MOST: u64 = 1 << 20;

/// Finds the frames that the arguments name.
///
/// # Errors
/// [`UsageError`] if there is no such process or too many frames are requested; errors of reading a page map.
pub(super) fn resolve(root: &Root, specs: &[FrameSpec]) -> Result<Resolved> {
    let mut found = Resolved::default();
    for spec in specs {
        match spec {
            FrameSpec::Pfns(first, count) => {
                if *count > MOST - found.pfns.len() as u64 {
                    let text = format!("at most {MOST} frames at a time; 'pmem phys' reads all frames");
                    return Err(UsageError::Invalid(text).into());
                }
                found.pfns.extend((*first..first + count).map(Pfn));
            }
            FrameSpec::Physical(address) => found.pfns.push(Pfn(root.page_size().pages_in(*address))),
            FrameSpec::File(path, offset) => match of_file(root, path, *offset)? {
                Ok(pfn) => found.pfns.push(pfn),
                Err(why) => found.without.push(format!("{}:{offset}: {why}", escaped(path.as_os_str().as_bytes()))),
            },
            FrameSpec::Virtual(target, address) => {
                for pid in target::find(root, std::slice::from_ref(target), false)?.pids {
                    match of_process(root, pid, address)? {
                        Ok(pfn) => found.pfns.push(pfn),
                        Err(why) => found.without.push(why),
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The frame behind an address of a process, or why there is none.
fn of_process(root: &Root, pid: u32, address: &Address) -> Result<std::result::Result<Pfn, String>> {
    let process = Process::open(root, pid)?;
    let process = match seen_through(&process, &process.stat()?) {
        SeenThrough::Itself => process,
        SeenThrough::Thread(thread) => thread,
        SeenThrough::Nothing(why) => return Ok(Err(format!("{pid}: {}", why.words()))),
    };
    let address = match address.absolute() {
        Some(address) => address,
        None => address.resolve(&Space::read(root, &process)?.vmas)?,
    };
    let mut words = [0];
    let got = process.pagemap()?.read(root.page_size().index_of(address), &mut words)?;
    let entry = Entry(words[0]);
    let found = match entry.state(root.swap_areas()) {
        _ if got == 0 => Err("not a user-space address, or the process has ended".to_owned()),
        State::Present => Ok(entry.pfn().ok_or_else(Error::frames_hidden)?),
        State::None => Err(format!("no page there; 'pmem translate {pid} {address}' says why")),
        other => Err(format!("no frame: {}", other.words())),
    };
    Ok(found.map_err(|why| format!("{pid}:{address}: {why}")))
}

/// The frame that contains a page of a file, or why there is none.
fn of_file(root: &Root, path: &Path, offset: u64) -> Result<std::result::Result<Pfn, &'static str>> {
    if root.is_recorded() {
        return Err(UsageError::Invalid("files need the live machine: a recorded tree has none".to_owned()).into());
    }
    let named = || path.display().to_string();
    let file = match page_cache::open(path, true) {
        Ok(page_cache::Found::File(file)) => file,
        Ok(_) => return Ok(Err("not a file with pages in the page cache")),
        Err(Error::Missing { .. }) => return Ok(Err("no such file")),
        Err(error) => return Err(error).with_context(named),
    };
    let page = root.page_size().pages_in(offset);
    Ok(match file.frame(page, root).with_context(named)? {
        Some(pfn) => Ok(pfn),
        None if offset >= file.size => Err("beyond the end of the file"),
        None => Err("not in the page cache"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::VirtAddr;

    #[test]
    fn frames_are_named_in_all_forms() {
        let parse = |text: &str| text.parse::<FrameSpec>();
        assert_eq!(parse("0x149efe"), Ok(FrameSpec::Pfns(0x14_9efe, 1)));
        assert_eq!(parse("100+0x10"), Ok(FrameSpec::Pfns(100, 16)));
        assert_eq!(parse("phys:149efe123"), Ok(FrameSpec::Physical(0x1_49ef_e123)));
        assert_eq!(parse("12:0x7f00"), Ok(FrameSpec::Virtual(Target::Pid(12), Address::At(VirtAddr(0x7f00)))));
        assert_eq!(
            parse("comm:12:7f00"),
            Ok(FrameSpec::Virtual(Target::Comm("12".into()), Address::At(VirtAddr(0x7f00))))
        );
        assert_eq!(parse("./a:b:0x1000"), Ok(FrameSpec::File("./a:b".into(), 4096)));
        for wrong in [
            "",
            "/a:",
            "/a:x",
            "x",
            "5+0",
            "5++5",
            "+5",
            "phys:+5",
            "0x",
            "phys:",
            "phys:xyz",
            "12:",
            "18446744073709551615+2",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
