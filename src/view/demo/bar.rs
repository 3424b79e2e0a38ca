//! The memory of a demo as a bar: each character is a page, or several.

use crate::demo::report::Cell;
use crate::view::style::{Emphasis, Palette};

/// The maximum length of a bar.
const LONGEST: usize = 64;

/// The character for an empty page.
const EMPTY: char = '·';

/// A bar and its legend.
pub(super) struct Bar {
    text: String,
    /// The number of pages per character.
    pub(super) scale: usize,
}

impl Bar {
    /// The bar of these pages, at most `width` columns wide.
    pub(super) fn new(pages: &[Cell], width: usize) -> Self {
        let scale = pages.len().div_ceil(width.clamp(1, LONGEST)).max(1);
        let text: String = pages.chunks(scale).map(letter).collect();
        Self { text: text.trim_end().to_owned(), scale }
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Its width in columns.
    pub(super) fn width(&self) -> usize {
        self.text.chars().count()
    }

    /// The bar in colour, with the pages that are not empty emphasised.
    pub(super) fn painted(&self, palette: Palette) -> String {
        let mut painted = String::new();
        let characters: Vec<char> = self.text.chars().collect();
        for part in characters.chunk_by(|a, b| (*a == EMPTY) == (*b == EMPTY)) {
            let emphasis = if part[0] == EMPTY { Emphasis::Faint } else { Emphasis::Accent };
            painted += &palette.paint(emphasis, &part.iter().collect::<String>());
        }
        painted
    }

    /// The meaning of its characters, if it has any other than "frame" and "empty".
    pub(super) fn legend(&self) -> Option<String> {
        const LETTERS: [(char, &str); 5] =
            [('█', "frame"), ('▒', "some frames"), ('░', "zero page"), ('s', "swapped out"), (EMPTY, "empty")];
        let plain = self.scale == 1 && self.text.chars().all(|c| matches!(c, '█' | EMPTY | ' '));
        if plain || self.is_empty() {
            return None;
        }
        let mut parts: Vec<String> = Vec::new();
        if self.scale > 1 {
            parts.push(format!("{} pages per character:", self.scale));
        }
        let present = LETTERS.iter().filter(|(letter, _)| self.text.contains(*letter));
        parts.extend(present.map(|(letter, meaning)| format!("{letter} {meaning}")));
        Some(parts.join("  "))
    }
}

/// The character for some pages: their common state, or else that some of them are frames, zero pages or swapped out.
fn letter(pages: &[Cell]) -> char {
    let has = |cell| pages.contains(&cell);
    let all = |cell| pages.iter().all(|page| *page == cell);
    match () {
        () if all(Cell::Unmapped) => ' ',
        () if all(Cell::Frame) => '█',
        () if has(Cell::Frame) => '▒',
        () if has(Cell::Zero) => '░',
        () if has(Cell::Swapped) => 's',
        () => EMPTY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Cell::{Empty, Frame, Swapped, Unmapped, Zero};

    #[test]
    fn a_character_stands_for_a_page_or_for_several() {
        let bar = Bar::new(&[Frame, Empty, Zero, Swapped, Unmapped], 64);
        assert_eq!((bar.text.as_str(), bar.scale), ("█·░s", 1));
        assert_eq!(bar.legend().as_deref(), Some("█ frame  ░ zero page  s swapped out  · empty"));
        let many = [[Frame; 100], [Empty; 100]].concat();
        let bar = Bar::new(&many, 64);
        assert_eq!((bar.text.chars().count(), bar.scale), (50, 4));
        assert_eq!(Bar::new(&many[..199], 3).text, "█▒·");
        assert_eq!(Bar::new(&[Frame, Empty], 64).legend(), None);
        assert!(Bar::new(&[Unmapped; 8], 64).is_empty() && Bar::new(&[], 64).is_empty());
    }

    #[test]
    fn colour_adds_nothing_to_the_text() {
        let bar = Bar::new(&[Frame, Empty, Frame], 64);
        assert_eq!(bar.painted(Palette { coloured: false }), "█·█");
        assert_eq!(anstyle_free(&bar.painted(Palette { coloured: true })), "█·█");
    }

    fn anstyle_free(text: &str) -> String {
        let mut plain = String::new();
        let mut inside = false;
        for character in text.chars() {
            match character {
                '\x1b' => inside = true,
                'm' if inside => inside = false,
                _ if !inside => plain.push(character),
                _ => {}
            }
        }
        plain
    }
}
