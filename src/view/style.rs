//! Colour, if wanted: one accent for what matters, one for what is wrong. Everything is readable without it.

use anstyle::{AnsiColor, Style};

/// How text is emphasised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emphasis {
    /// Headings.
    Heading,
    /// What matters.
    Accent,
    /// What is wrong.
    Wrong,
    /// What is secondary.
    Faint,
}

/// Whether to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// Colour and weight, or plain text.
    pub coloured: bool,
}

impl Palette {
    /// `text`, emphasised if colour is on.
    pub fn paint(self, emphasis: Emphasis, text: &str) -> String {
        if !self.coloured {
            return text.to_owned();
        }
        let style = match emphasis {
            Emphasis::Heading => Style::new().bold(),
            Emphasis::Accent => Style::new().bold().fg_color(Some(AnsiColor::Cyan.into())),
            Emphasis::Wrong => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
            Emphasis::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}
