//! Notes below a report.

use std::io::{self, Write};

use super::table::{Layout, wrapped};
use crate::analysis::note::Note;
use crate::name::escaped;

/// Writes notes; one that says the same about several processes appears once.
pub(crate) fn write<'n>(
    out: &mut dyn Write,
    notes: impl IntoIterator<Item = &'n Note>,
    layout: &Layout,
) -> io::Result<()> {
    let mut together: Vec<(&str, Vec<u32>)> = Vec::new();
    for note in notes.into_iter().filter(|note| !note.in_json_only) {
        let at = together.iter().position(|(text, _)| *text == note.text).unwrap_or_else(|| {
            together.push((&note.text, Vec::new()));
            together.len() - 1
        });
        together[at].1.extend(note.pid);
    }
    for (text, pids) in together {
        let about = match pids[..] {
            [] => String::new(),
            [pid] => format!("{pid}: "),
            _ => format!("{} processes: ", pids.len()),
        };
        write!(out, "{}", wrapped(&escaped(format!("note: {about}{text}").as_bytes()), layout.width.unwrap_or(80), 2))?;
    }
    Ok(())
}
