//! Names of processes, files and cgroups, chosen by any user: bytes that must not reach a terminal unescaped.

use std::borrow::{Borrow, Cow};
use std::fmt::Write;

use regex_lite::Regex;
use serde::Serializer;
use serde::ser::SerializeMap;

/// A name as the kernel gave it: any bytes but NUL. It deliberately has no `Display`: code that shows it must choose
/// [`escaped`](Name::escaped), or JSON, which has it in full.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The name with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The name from its bytes in hexadecimal, as [`to_hex`](Self::to_hex) writes them.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, []) = text.as_chunks::<2>() else { return None };
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        Some(Self(bytes?.into()))
    }

    /// The bytes of the name in hexadecimal.
    pub fn to_hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(2 * self.0.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The bytes of the name.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the name is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a user's regular expression matches it, as displayed.
    pub fn matches(&self, regex: &Regex) -> bool {
        regex.is_match(&self.escaped())
    }

    /// The name for JSON: unchanged if it is UTF-8, else escaped.
    pub fn shown_in_json(&self) -> Cow<'_, str> {
        std::str::from_utf8(&self.0).map_or_else(|_| self.escaped(), Cow::Borrowed)
    }

    /// The name, safe for people, terminals and logs: see [`escaped`].
    pub fn escaped(&self) -> Cow<'_, str> {
        escaped(&self.0)
    }
}

/// Text that is safe to show: control characters (C0, DEL, C1), bidirectional controls, line and paragraph separators
/// and bytes that are not UTF-8 become `\xNN` or `\u{NNNN}`. Text that is already safe is borrowed.
pub fn escaped(bytes: &[u8]) -> Cow<'_, str> {
    // By far the most frequent case: most mappings have no name.
    if bytes.is_empty() {
        return Cow::Borrowed("");
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(is_unsafe)
    {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if !is_unsafe(character) {
                safe.push(character);
            } else if u32::from(character) < 0x100 {
                let _ = write!(safe, "\\x{:02x}", u32::from(character));
            } else {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(safe, "\\x{byte:02x}");
        }
    }
    Cow::Owned(safe)
}

/// Whether a character can move the cursor, end the line, or change the order in which other characters are displayed.
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Serializes a name, flattened into the struct it belongs to, as `name`, and if it is not UTF-8, also in full as
/// `name_hex`.
pub fn as_name<S: Serializer>(name: &impl Borrow<Name>, serializer: S) -> Result<S::Ok, S::Error> {
    as_fields(name.borrow(), serializer, "name", "name_hex")
}

/// The same as `comm` and `comm_hex`.
pub fn as_comm<S: Serializer>(name: &impl Borrow<Name>, serializer: S) -> Result<S::Ok, S::Error> {
    as_fields(name.borrow(), serializer, "comm", "comm_hex")
}

/// The same as fields with these names.
pub fn as_fields<S: Serializer>(
    name: &Name,
    serializer: S,
    text_field: &'static str,
    hex_field: &'static str,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    match std::str::from_utf8(name.bytes()) {
        Ok(text) => map.serialize_entry(text_field, text)?,
        Err(_) => {
            map.serialize_entry(text_field, &name.escaped())?;
            map.serialize_entry(hex_field, &name.to_hex())?;
        }
    }
    map.end()
}

/// What these serializers write, for the schema.
#[cfg(test)]
pub(crate) mod schema {
    macro_rules! named {
        ($($type:ident: $text:ident, $hex:ident;)*) => {$(
            #[derive(schemars::JsonSchema)]
            pub(crate) struct $type {
                #[doc = "The name; escaped if it is not UTF-8"]
                #[allow(dead_code, reason = "only its schema is used")]
                $text: String,
                #[doc = "The bytes of the name in hexadecimal, if it is not UTF-8"]
                #[allow(dead_code, reason = "only its schema is used")]
                #[schemars(skip_serializing_if = "Option::is_none")]
                $hex: Option<String>,
            }
        )*};
    }
    named! {
        AsName: name, name_hex;
        AsComm: comm, comm_hex;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Row {
        before: u8,
        #[serde(flatten, serialize_with = "as_name")]
        name: Name,
    }

    #[test]
    fn nothing_that_moves_a_cursor_comes_through() {
        for (bytes, shown) in [
            (&b"/usr/lib/libc.so.6"[..], "/usr/lib/libc.so.6"),
            ("/home/é/日本".as_bytes(), "/home/é/日本"),
            (b"\x1b]0;pwn\x07\x1b[2J", r"\x1b]0;pwn\x07\x1b[2J"),
            (b"a\nb\tc\x7f", r"a\x0ab\x09c\x7f"),
            ("\u{9b}31m".as_bytes(), r"\x9b31m"),
            ("\u{202e}gpj.exe\u{2028}".as_bytes(), r"\u{202e}gpj.exe\u{2028}"),
            (b"\xff\xc3(", r"\xff\xc3("),
        ] {
            assert_eq!(escaped(bytes), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_bytes_the_text_is_safe(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            proptest::prop_assert!(!escaped(&bytes).chars().any(is_unsafe));
        }
    }

    #[test]
    fn hexadecimal_comes_back() {
        let name = Name::new(b"a\n\xff\x00");
        assert_eq!(name.to_hex(), "610aff00");
        assert_eq!(Name::from_hex(b"610aff00"), Some(name));
        for bad in [&b"6"[..], b"6g", b"+1"] {
            assert_eq!(Name::from_hex(bad), None);
        }
    }

    #[test]
    fn json_has_every_name_whole() {
        let json = |bytes: &[u8]| serde_json::to_string(&Row { before: 1, name: Name::new(bytes) }).unwrap();
        assert_eq!(json("plain é".as_bytes()), r#"{"before":1,"name":"plain é"}"#);
        assert_eq!(json(b"a\x1b\n"), r#"{"before":1,"name":"a\u001b\n"}"#);
        assert_eq!(json(b"a\xff"), r#"{"before":1,"name":"a\\xff","name_hex":"61ff"}"#);
    }
}
