//! The man pages: what `clap_mangen` makes of the commands, followed by the end of their long help.
//!
//! That end consists of paragraphs that begin with these words: `Examples:`, each a command and its purpose; `Exit
//! status:`, which defaults to that of pmem itself; and notes.

use std::io;
use std::path::Path;

use clap::Command;
use clap::builder::Resettable;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

const EXAMPLES: &str = "Examples:\n";
const EXIT_STATUS: &str = "Exit status:\n";

/// Writes a page for each command into a directory.
pub(super) fn write(command: Command, directory: &Path) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let exit_status = Ending::of(&command).exit_status;
    write_with(&command, &[], &exit_status, directory)
}

/// Writes the page of a command, and those of its subcommands. `above` are its parent commands.
fn write_with(command: &Command, above: &[&Command], exit_status: &[Item], directory: &Path) -> io::Result<()> {
    let (mut man, mut ending) = (Vec::new(), Ending::of(command));
    let version = format!("pmem {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(
        command
            .clone()
            .version(Resettable::Reset)
            .after_long_help(Resettable::Reset)
            .subcommand_help_heading("COMMANDS")
            .subcommand_value_name("command"),
    )
    .title(page_name(command).to_uppercase())
    // There is no date, but an empty word would be left out.
    .date("\"\"")
    .source(version)
    .manual("User Commands");
    page.render(&mut man)?;
    if ending.exit_status.is_empty() {
        ending.exit_status = exit_status.to_vec();
    }
    let man = tidy(&String::from_utf8_lossy(&man)) + &ending.to_roff(&see_also(command, above));
    std::fs::write(directory.join(page.get_filename()), man)?;
    let above = [above, &[command]].concat();
    command.get_subcommands().try_for_each(|subcommand| write_with(subcommand, &above, exit_status, directory))
}

fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

/// Removes what only makes checkers complain: blanks at the end of a line, and breaks around empty lines.
fn tidy(page: &str) -> String {
    let lines = page.lines().flat_map(|line| [line.trim_end(), "\n"]).collect::<String>();
    lines.replace(".br\n\n.br\n", "\n")
}

/// The pages of a command's parents, subcommands and siblings.
fn see_also(command: &Command, above: &[&Command]) -> Vec<String> {
    let beside = above.last().into_iter().flat_map(|parent| parent.get_subcommands());
    let all = above.iter().copied().chain(command.get_subcommands()).chain(beside);
    all.map(|other| page_name(other).to_owned()).filter(|other| other != page_name(command)).collect()
}

/// A term and its definition, or a command and its purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Item {
    /// Lines to print as they are.
    term: Vec<String>,
    /// Text that is filled.
    text: String,
}

/// The end of a command's long help.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ending {
    examples: Vec<Item>,
    exit_status: Vec<Item>,
    notes: Vec<String>,
}

impl Ending {
    fn of(command: &Command) -> Self {
        command.get_after_long_help().map(|help| Self::parse(&help.to_string())).unwrap_or_default()
    }

    fn parse(help: &str) -> Self {
        let mut ending = Self::default();
        for paragraph in help.split("\n\n") {
            if let Some(examples) = paragraph.strip_prefix(EXAMPLES) {
                ending.examples = items(examples);
            } else if let Some(exit_status) = paragraph.strip_prefix(EXIT_STATUS) {
                ending.exit_status = items(exit_status);
            } else {
                ending.notes.push(paragraph.lines().collect::<Vec<_>>().join(" "));
            }
        }
        ending
    }

    fn to_roff(&self, see_also: &[String]) -> String {
        let mut roff = Roff::new();
        if !self.exit_status.is_empty() {
            roff.control("SH", ["EXIT STATUS"]);
            for Item { term, text } in &self.exit_status {
                roff.control("TP", []).text([bold(term.join(" "))]).text([roman(text)]);
            }
        }
        for (number, note) in self.notes.iter().enumerate() {
            let (name, heading) = if number == 0 { ("SH", Some("NOTES")) } else { ("PP", None) };
            roff.control(name, heading).text([roman(note)]);
        }
        for (number, Item { term, text }) in self.examples.iter().enumerate() {
            let (name, heading) = if number == 0 { ("SH", Some("EXAMPLES")) } else { ("PP", None) };
            roff.control(name, heading).control("nf", []);
            for line in term.iter().flat_map(|line| broken(line)) {
                roff.text([bold(line)]);
            }
            roff.control("fi", []);
            if !text.is_empty() {
                roff.control("RS", ["4"]).text([roman(text)]).control("RE", []);
            }
        }
        roff.control("SH", ["SEE ALSO"]);
        for (number, name) in see_also.iter().enumerate() {
            let after = if number + 1 < see_also.len() { "(1)," } else { "(1)" };
            roff.text([bold(name), roman(after)]);
        }
        // The page already has this preamble, which defines the apostrophe.
        roff.render().split_once(".SH").map(|(_, sections)| format!(".SH{sections}")).unwrap_or_default()
    }
}

/// The width of a line of text on 80 columns.
const WIDTH: usize = 73;

/// A command, split after the first `|` if it does not fit on one line; a shell accepts that, too.
fn broken(command: &str) -> Vec<String> {
    match command.split_once(" | ") {
        Some((first, rest)) if command.len() > WIDTH => vec![format!("{first} |"), format!("  {rest}")],
        _ => vec![command.to_owned()],
    }
}

/// The least indentation of a line that continues a text.
const MORE_TEXT: usize = 6;

/// Lines of the form `  TERM  TEXT`. The text may continue on lines that are indented further, and a long term on lines
/// indented in between.
fn items(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let deepest = text.lines().map(indent).max().unwrap_or(0).max(MORE_TEXT);
    for line in text.lines() {
        let (is_more, bare) = (indent(line) > 2, line.trim());
        let (term, text) = match bare.split_once("  ") {
            _ if is_more && indent(line) == deepest => ("", bare),
            Some((term, text)) => (term, text.trim_start()),
            None => (bare, ""),
        };
        if !is_more || items.is_empty() {
            items.push(Item::default());
        }
        if let Some(item) = items.last_mut() {
            if !term.is_empty() {
                item.term.push(if is_more { format!("  {term}") } else { term.to_owned() });
            }
            if !text.is_empty() {
                item.text.push_str(if item.text.is_empty() { "" } else { " " });
                item.text.push_str(text);
            }
        }
    }
    items
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(term: &[&str], text: &str) -> Item {
        Item { term: term.iter().map(|line| (*line).to_owned()).collect(), text: text.to_owned() }
    }

    #[test]
    fn the_end_of_a_help_is_taken_apart() {
        let help = "Examples:
  pmem a                 one
  pmem b --long |
    jq 'x'
                         two,
                         and more
  pmem c

A note
of two lines.

Exit status:
  0   good, and
      more
  42  bad";
        let ending = Ending::parse(help);
        let examples =
            [item(&["pmem a"], "one"), item(&["pmem b --long |", "  jq 'x'"], "two, and more"), item(&["pmem c"], "")];
        assert_eq!(ending.examples, examples);
        assert_eq!(ending.notes, ["A note of two lines."]);
        assert_eq!(ending.exit_status, [item(&["0"], "good, and more"), item(&["42"], "bad")]);
    }
}
