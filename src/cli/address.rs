//! Addresses as users write them: numbers, sums, and offsets in a mapping given by name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::status::UsageError;
use crate::model::vma::Vma;
use crate::name::{Name, escaped};
use crate::unit::{VirtAddr, hexadecimal};

/// An address of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The address itself.
    At(VirtAddr),
    /// This many bytes after the start of the object with this name.
    Behind(Name, u64),
    /// This many bytes before the end of the object with this name.
    BeforeEnd(Name, u64),
}

/// The maximum number of mappings or names listed in a message.
const LISTED: usize = 8;

/// The maximum number of preceding names that a name is compared with.
const MOST_COMPARED: usize = 64;

impl Address {
    /// Parses an argument of the command line: `7f00`, `0x7f00+0x10`, `[heap]+0x10`, `[stack]-0x20`,
    /// `libc.so.6+0x1000`.
    pub(super) fn parse(text: &OsStr) -> Result<Self, String> {
        let text = text.as_bytes();
        if text.is_empty() {
            return Err("the address is empty".to_owned());
        }
        if let Some(address) = sum(text) {
            return address.map(|address| Self::At(VirtAddr(address)));
        }
        let sign = memchr::memrchr2(b'+', b'-', text);
        Ok(match sign.and_then(|at| Some((&text[..at], text[at], prefixed(&text[at + 1..])?))) {
            Some((name, b'+', offset)) if !name.is_empty() => Self::Behind(Name::new(name), offset),
            Some((name, _, offset)) if !name.is_empty() => Self::BeforeEnd(Name::new(name), offset),
            _ => Self::Behind(Name::new(text), 0),
        })
    }

    /// The address in a process that has these mappings.
    ///
    /// # Errors
    /// [`UsageError::Invalid`] if the name matches no mapping or more than one.
    pub(super) fn resolve(&self, vmas: &[Vma]) -> Result<VirtAddr, UsageError> {
        let (name, address) = match self {
            Self::At(address) => return Ok(*address),
            Self::Behind(name, offset) => (name, begin(&object(name, vmas)?, name)?.checked_add(*offset)),
            Self::BeforeEnd(name, offset) => (name, end(&object(name, vmas)?, name)?.checked_sub(*offset)),
        };
        address.map(VirtAddr).ok_or_else(|| refusal(name, "the offset goes beyond the address space"))
    }

    /// The address, if no mappings are needed to determine it.
    pub(super) fn absolute(&self) -> Option<VirtAddr> {
        match self {
            Self::At(address) => Some(*address),
            Self::Behind(..) | Self::BeforeEnd(..) => None,
        }
    }
}

/// Hexadecimal numbers with `+` and `-` in between; `None` for anything else.
fn sum(text: &[u8]) -> Option<Result<u64, String>> {
    let mut rest = text;
    let (mut total, mut adds) = (0i128, true);
    loop {
        let length = rest.iter().position(|byte| b"+-".contains(byte)).unwrap_or(rest.len());
        let digits = rest[..length].strip_prefix(b"0x").unwrap_or(&rest[..length]);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let none = || Err(format!("'{}' is not a 64-bit address", escaped(text)));
        let Some(number) = hex(digits) else { return Some(none()) };
        // 64 bits each, and no more of them than fit on a command line: the sum cannot overflow.
        total += if adds { i128::from(number) } else { -i128::from(number) };
        if length == rest.len() {
            return Some(u64::try_from(total).or_else(|_| none()));
        }
        adds = rest[length] == b'+';
        rest = &rest[length + 1..];
    }
}

/// A number with a leading `0x`: the offset from a name, which may itself end like a number.
fn prefixed(text: &[u8]) -> Option<u64> {
    hex(text).filter(|_| text.starts_with(b"0x"))
}

fn hex(text: &[u8]) -> Option<u64> {
    hexadecimal(std::str::from_utf8(text).ok()?)
}

/// The mappings of the one file, or of the one region named by the kernel, with this name.
fn object<'v>(name: &Name, vmas: &'v [Vma]) -> Result<Vec<&'v Vma>, UsageError> {
    let found: Vec<&Vma> = vmas.iter().filter(|vma| is_called(&vma.name, name.bytes())).collect();
    let Some(first) = found.first() else { return Err(unknown(name, vmas)) };
    let file = |vma: &Vma| (vma.dev, vma.inode, vma.name.clone());
    if found.iter().any(|vma| file(vma) != file(first)) {
        let mut names: Vec<&Name> = found.iter().map(|vma| &vma.name).collect();
        names.dedup();
        return Err(refusal(name, &format!("several files have this name: {}", list(names))));
    }
    Ok(found)
}

/// Whether `wanted` means a mapping called `name`: its full name or the part after the last slash, raw or escaped, with
/// or without the " (deleted)" that the kernel appends.
fn is_called(name: &Name, wanted: &[u8]) -> bool {
    let bytes = name.bytes();
    let is = |bytes: &[u8]| bytes == wanted || (bytes.first() == Some(&b'/') && last(bytes) == wanted);
    let kept = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    !bytes.is_empty() && [bytes, kept].iter().any(|bytes| is(bytes) || is(escaped(bytes).as_bytes()))
}

fn last(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |at| &path[at + 1..])
}

/// Where an object begins: a file at its load base, the address that corresponds to file offset 0 of its lowest
/// mapping; anything else at its lowest address.
fn begin(found: &[&Vma], name: &Name) -> Result<u64, UsageError> {
    let lowest = found[0];
    if !is_file(lowest) {
        one_piece(found, name)?;
        return Ok(lowest.range.start.0);
    }
    // A program's loader maps every part of a file once; the same part mapped again is another object.
    let again = found[1..].iter().find(|vma| (vma.offset, vma.perm) == (lowest.offset, lowest.perm));
    if let Some(again) = again {
        let places =
            format!("it is mapped at {} and at {}: give the address instead", lowest.range.start, again.range.start);
        return Err(refusal(name, &places));
    }
    let base = lowest.range.start.0.checked_sub(lowest.offset);
    base.ok_or_else(|| refusal(name, "the file offset of its lowest mapping is larger than its address"))
}

/// Where an object ends: the end of its highest mapping.
fn end(found: &[&Vma], name: &Name) -> Result<u64, UsageError> {
    if !is_file(found[0]) {
        one_piece(found, name)?;
    }
    Ok(found.last().map_or(0, |vma| vma.range.end.0))
}

fn is_file(vma: &Vma) -> bool {
    vma.name.bytes().starts_with(b"/")
}

fn one_piece(found: &[&Vma], name: &Name) -> Result<(), UsageError> {
    let apart = found.windows(2).find(|pair| pair[0].range.end != pair[1].range.start);
    match apart {
        None => Ok(()),
        Some(_) => {
            let starts: Vec<String> = found.iter().take(LISTED).map(|vma| vma.range.start.to_string()).collect();
            Err(refusal(name, &format!("several mappings have this name, at {}", starts.join(", "))))
        }
    }
}

fn unknown(name: &Name, vmas: &[Vma]) -> UsageError {
    let mut names: Vec<&Name> = Vec::new();
    for vma in vmas.iter().filter(|vma| !vma.name.is_empty()) {
        // The mappings of one file are close together; with very many mappings, not all names are listed anyway.
        if !names.iter().rev().take(MOST_COMPARED).any(|name| **name == vma.name) {
            names.push(&vma.name);
        }
    }
    let part = |other: &&&Name| memchr::memmem::find(other.bytes(), last(name.bytes())).is_some();
    let like: Vec<&Name> = names.iter().filter(part).copied().collect();
    let names = list(if like.is_empty() { names } else { like });
    refusal(name, &format!("no mapping has this name, and it is not a hexadecimal number; mappings: {names}"))
}

fn list(names: Vec<&Name>) -> String {
    let more = if names.len() > LISTED { ", …" } else { "" };
    let shown: Vec<_> = names.into_iter().take(LISTED).map(Name::escaped).collect();
    format!("{}{more}", shown.join(", "))
}

fn refusal(name: &Name, why: &str) -> UsageError {
    UsageError::Invalid(format!("'{}': {why}", name.escaped()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn vmas() -> Vec<Vma> {
        let lines: [&[u8]; 15] = [
            b"00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/dbus-daemon",
            b"00651000-00652000 r--p 00051000 08:02 173521 /usr/bin/dbus-daemon",
            b"00e03000-00e24000 rw-p 00000000 00:00 0 [heap]",
            b"00e24000-00e25000 r--p 00000000 00:00 0 [heap]",
            b"10000000-10001000 rw-p 00000000 00:00 0 [anon:arena]",
            b"20000000-20001000 rw-p 00000000 00:00 0 [anon:arena]",
            b"30000000-30002000 r--p 00003000 08:02 7 /opt/a/late.so",
            b"40000000-40001000 r--p 00000000 08:02 8 /opt/a/twin.so",
            b"41000000-41001000 r--p 00000000 08:02 9 /opt/b/twin.so",
            b"50000000-50001000 r--p 00000000 08:02 10 /opt/twice",
            b"51000000-51001000 r--p 00000000 08:02 10 /opt/twice",
            b"60000000-60001000 rw-s 00000000 00:01 11 /memfd:a+0x10 (deleted)",
            b"70000000-70001000 r--p 00000000 08:02 12 /opt/\x1b[31m\xff",
            b"80001000-80002000 r--p 90000000 08:02 13 /opt/low",
            b"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]",
        ];
        lines.iter().map(|line| Vma::parse(line, Path::new("maps"), 1).unwrap()).collect()
    }

    fn resolved(text: &[u8]) -> Result<u64, String> {
        let address = Address::parse(OsStr::from_bytes(text))?;
        address.resolve(&vmas()).map(|address| address.0).map_err(|e| e.to_string())
    }

    #[test]
    fn every_form_is_the_address_it_says() {
        for (text, address) in [
            (&b"7f16"[..], 0x7f16),
            (b"0x7F16", 0x7f16),
            (b"0xffffffffff600000", 0xffff_ffff_ff60_0000),
            (b"0x1000+0x10", 0x1010),
            (b"1000+10-8", 0x1008),
            (b"dead", 0xdead),
            (b"[heap]", 0xe0_3000),
            (b"[heap]+0x10", 0xe0_3010),
            (b"[heap]-0x10", 0xe2_4ff0),
            (b"[stack]-0x20", 0x7ffc_0002_0fe0),
            (b"dbus-daemon+0x1000", 0x40_1000),
            (b"/usr/bin/dbus-daemon+0x51008", 0x45_1008),
            // Its lowest mapping is at file offset 0x3000: the file would begin before it.
            (b"late.so+0x3010", 0x3000_0010),
            (b"late.so", 0x2fff_d000),
            (b"/opt/b/twin.so+0x1", 0x4100_0001),
            (b"/memfd:a+0x10+0x5", 0x6000_0005),
            (b"memfd:a+0x10+0x5", 0x6000_0005),
            (b"memfd:a+0x10 (deleted)", 0x6000_0000),
            (b"\x1b[31m\xff+0x2", 0x7000_0002),
            (b"/opt/\\x1b[31m\\xff+0x2", 0x7000_0002),
        ] {
            assert_eq!(resolved(text), Ok(address), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_one_place_is_refused_with_the_places_there_are() {
        for (text, part) in [
            (&b""[..], "empty"),
            (b"twin.so+0x10", "/opt/a/twin.so, /opt/b/twin.so"),
            (b"twice", "0x50000000 and at 0x51000000"),
            (b"[anon:arena]+0x1", "0x10000000, 0x20000000"),
            (b"lib\x1bc.so", "'lib\\x1bc.so': no mapping has this name"),
            (b"daemon+0x1", "mappings: /usr/bin/dbus-daemon"),
            (b"[heap]+10", "mappings:"),
            (b"1ffffffffffffffff", "64-bit"),
            (b"0x10-0x20", "64-bit"),
            (b"[heap]+0xffffffffffffffff", "beyond the address space"),
            (b"[heap]-0xffffffffffff", "beyond the address space"),
            (b"low", "larger than its address"),
            (b"+0x10", "no mapping"),
            (b"0x", "no mapping"),
        ] {
            let why = resolved(text).expect_err(&text.escape_ascii().to_string());
            assert!(why.contains(part), "{}: {why}", text.escape_ascii());
            assert!(!why.chars().any(crate::name::is_unsafe), "{why:?}");
        }
        assert!(resolved(b"no such name").unwrap_err().ends_with('…'), "not all names are listed");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_address_or_refused(text in "[-+0-9a-fx\\[\\]heaplib.so/]{0,24}") {
            let _ = resolved(text.as_bytes());
        }

        #[test]
        fn any_bytes_are_an_address_or_refused(bytes in proptest::collection::vec(1u8..=255, 0..40)) {
            let _ = resolved(&bytes);
        }
    }
}
