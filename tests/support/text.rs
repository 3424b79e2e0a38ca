//! What may appear on standard output.

/// Fails if bytes are not UTF-8, or contain a character that can move the cursor, end a line in the wrong place, or
/// reverse text: a control character other than newline (C0, DEL, C1), a bidirectional control, a line or paragraph
/// separator.
#[track_caller]
pub(crate) fn assert_no_control(bytes: &[u8], where_: &str) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|e| panic!("{where_} is not UTF-8: {e}"));
    let unsafe_at = text.char_indices().find(|&(_, c)| {
        let code = u32::from(c);
        let control = code < 0x20 || (0x7f..0xa0).contains(&code);
        let turns = matches!(code, 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
        (control && c != '\n') || turns || matches!(code, 0x2028 | 0x2029)
    });
    if let Some((at, character)) = unsafe_at {
        let from = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        panic!("{where_} holds {character:?} in {:?}", text[from..].lines().next());
    }
}
