//! Lines of the live screen: pieces that are dropped if there is no room, and bars.

use std::time::Duration;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::analysis::series::Series;
use crate::name::Name;
use crate::view::style::{Emphasis, Palette};
use crate::view::table::clipped;

/// A piece of a line.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Pieces of a lower rank are dropped first.
    rank: u8,
    text: String,
    emphasis: Option<Emphasis>,
    /// The blanks before it.
    gap: usize,
}

impl Piece {
    /// A piece without emphasis.
    pub(super) fn new(rank: u8, text: impl Into<String>) -> Self {
        Self { rank, text: text.into(), emphasis: None, gap: 3 }
    }

    /// The piece with an emphasis.
    pub(super) fn with(self, emphasis: Emphasis) -> Self {
        Self { emphasis: Some(emphasis), ..self }
    }

    /// The piece without a gap before it.
    pub(super) fn close(self) -> Self {
        Self { gap: 1, ..self }
    }
}

/// A line of the pieces that fit, at least the last one.
pub(super) fn fit(pieces: &[Piece], width: u16, palette: Palette) -> Line<'static> {
    let width = usize::from(width);
    let mut pieces: Vec<&Piece> = pieces.iter().filter(|piece| !piece.text.is_empty()).collect();
    let needed = |pieces: &[&Piece]| pieces.iter().map(|piece| piece.gap + piece.text.width()).sum::<usize>();
    while pieces.len() > 1 && needed(&pieces) - pieces[0].gap > width {
        // The last of equal ones.
        let Some(place) = (0..pieces.len()).rev().min_by_key(|place| pieces[*place].rank) else { break };
        pieces.remove(place);
    }
    let mut line = Line::default();
    for (number, piece) in pieces.iter().enumerate() {
        line.push_span(" ".repeat(if number == 0 { 0 } else { piece.gap }));
        line.push_span(Span::styled(clipped(&piece.text, width), style(palette, piece.emphasis)));
    }
    line
}

/// Names as `a = b`, cut to `width` columns. There can be thousands: those beyond that are not examined.
pub(crate) fn joined<'n>(names: impl IntoIterator<Item = &'n Name>, width: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for name in names {
        let name = name.escaped();
        let sign = if text.is_empty() { "" } else { " = " };
        text += sign;
        text += &name;
        used += sign.len() + name.width();
        if used > width {
            break;
        }
    }
    clipped(&text, width)
}

/// The style for an emphasis.
pub(super) fn style(palette: Palette, emphasis: Option<Emphasis>) -> Style {
    match emphasis.filter(|_| palette.coloured) {
        None => Style::new(),
        Some(Emphasis::Heading) => Style::new().add_modifier(Modifier::BOLD),
        Some(Emphasis::Accent) => Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
        Some(Emphasis::Wrong) => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Some(Emphasis::Faint) => Style::new().add_modifier(Modifier::DIM),
    }
}

/// The course of a series as bars, of the given width in cells and height in lines; the top line first.
pub(super) fn bars(series: &Series, width: usize, height: usize, window: Duration) -> Vec<String> {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let course = series.course(width, 8 * height.max(1) - 1, window);
    let line = |below: usize| -> String {
        // The lowest level is an eighth high.
        course
            .iter()
            .map(|level| EIGHTHS[level.map_or(0, |level| level + 1).saturating_sub(8 * below).min(8)])
            .collect()
    };
    (0..height).rev().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_low_rank_fall_away() {
        let pieces = [Piece::new(2, "head"), Piece::new(9, ""), Piece::new(1, "middle"), Piece::new(3, "end").close()];
        let line = |width| fit(&pieces, width, Palette::default()).to_string();
        assert_eq!(line(80), "head   middle end");
        assert_eq!(line(17), "head   middle end");
        assert_eq!(line(16), "head end");
        assert_eq!(line(7), "end");
        assert_eq!(line(2), "e…");
    }

    #[test]
    fn no_more_names_are_joined_than_there_is_room_for() {
        let names = ["dentry", "\x1b", "filp"].map(|name| Name::new(name.as_bytes()));
        for (width, expected) in
            [(80, "dentry = \\x1b = filp"), (20, "dentry = \\x1b = filp"), (19, "dentry = \\x1b = fi…"), (3, "de…")]
        {
            assert_eq!(joined(&names, width), expected);
        }
        // The beginning of an endless list.
        assert_eq!(joined(std::iter::repeat(&names[0]), 12), "dentry = de…");
    }

    #[test]
    fn bars_are_as_high_as_asked_for() {
        let mut series = Series::default();
        let minute = Duration::from_secs(60);
        for (at, value) in [(0, 0), (20, 50), (40, 100), (60, 100)] {
            series.push(Duration::from_secs(at), value, minute);
        }
        assert_eq!(bars(&series, 4, 1, minute), ["▁▅██"]);
        assert_eq!(bars(&series, 4, 2, minute), [" ▁██", "▁███"]);
        assert_eq!(bars(&Series::default(), 4, 1, minute), ["    "]);
    }
}
