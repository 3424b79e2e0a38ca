//! `names`: a process and mapped files with harmful names.

use std::ffi::{CString, OsStr};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::mman::{MapFlags, ProtFlags};
use nix::sys::prctl::set_name;
use pmem::internal::memory::Mapping;
use serde_json::{Value, json};

use super::place::{PAGE, read_pages};
use super::report::{say, wait_for_the_end};

/// At most 15 bytes: clears the screen, ends the line and the field of `stat`, and is not UTF-8.
const COMM: &[u8] = b"\x1b[2J\nx) R 1\xff";

const NAMES: &[(&str, &[u8])] = &[
    ("escape sequence", b"esc\x1b[2J\x1b]0;owned\x07"),
    ("newline", b"line\nfeed 00400000-00401000 rw-p 00000000 00:00 0"),
    ("parenthesis", b"a) S 1 1"),
    ("invalid UTF-8", b"bad\xff\xfe\xc3("),
    ("C1 control", "c1\u{9b}31m".as_bytes()),
    ("bidirectional control", "bidi\u{202e}gpj.exe".as_bytes()),
    ("line separator", "sep\u{2028}x".as_bytes()),
    ("really called deleted", b"kept (deleted)"),
    ("backslash 012", b"lit\\012x"),
    ("both a newline and backslash 012", b"both\n\\012"),
    ("tab and spaces", b"tab\t two  spaces "),
    ("SYSV", b"SYSVx"),
    ("a formula", b"=1+1"),
    ("quotes and commas", b"a\",b"),
];

pub(crate) fn run(directory: &Path) -> Result<()> {
    set_name(&CString::new(COMM)?)?;
    let mut files = Vec::new();
    let mut kept = Vec::new();
    for (what, name) in NAMES {
        let path = directory.join(OsStr::from_bytes(name));
        let mapping = mapped(&path)?;
        files.push(described(what, path.as_os_str().as_bytes(), &mapping));
        kept.push(mapping);
    }
    let gone = directory.join("gone");
    let mapping = mapped(&gone)?;
    fs::remove_file(&gone)?;
    files.push(described("unlinked", &with_suffix(&gone), &mapping));
    kept.push(mapping);
    // Only root can create a file at the root of the file system; it is removed again immediately.
    let sysv = PathBuf::from(format!("/SYSVx{}", std::process::id()));
    if let Ok(mapping) = mapped(&sysv) {
        fs::remove_file(&sysv)?;
        files.push(described("SYSV at the root", &with_suffix(&sysv), &mapping));
        kept.push(mapping);
    }
    say(&json!({ "pid": std::process::id(), "comm_hex": hex(COMM), "files": files }))?;
    wait_for_the_end()
}

/// A new file of one page, mapped and read.
fn mapped(path: &Path) -> Result<Mapping> {
    let mut file =
        File::options().read(true).write(true).create_new(true).open(path).with_context(|| format!("{path:?}"))?;
    file.write_all(&vec![7; *PAGE])?;
    let mapping = Mapping::file(&file, *PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE)?;
    read_pages(&mapping, 0..1);
    Ok(mapping)
}

/// The name that the kernel shows for a deleted file.
fn with_suffix(path: &Path) -> Vec<u8> {
    [path.as_os_str().as_bytes(), b" (deleted)"].concat()
}

fn described(what: &str, name: &[u8], mapping: &Mapping) -> Value {
    json!({ "what": what, "address": mapping.address().to_string(), "name_hex": hex(name) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
