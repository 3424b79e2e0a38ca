//! Text that fits into a given number of terminal columns.

use unicode_width::UnicodeWidthStr;

use super::cell::Cell;

/// A cell's text, made to fit into `width` columns; for several names, those that fit and how many more there are.
pub(super) fn fitted(cell: &Cell<'_>, text: &str, width: usize) -> String {
    let Cell::Names(first, others) = cell else { return cut(text, width) };
    if text.width() <= width {
        return text.to_owned();
    }
    let more = |shown: usize| format!(" +{} more", others.len() - shown);
    let (mut shown, mut fits) = (first.escaped().into_owned(), None);
    for number in 0..others.len() {
        if number > 0 {
            shown = shown + " = " + &others[number - 1].escaped();
        }
        if shown.width() > width {
            break;
        }
        let whole = shown.clone() + &more(number);
        if whole.width() <= width {
            fits = Some(whole);
        }
    }
    let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
    fits.unwrap_or_else(|| clipped(&first.escaped(), width.saturating_sub(more.len())) + &more)
}

/// Text, made to fit into `width` columns: the end of a path is more informative than its beginning; for a list of
/// words it is the other way round.
fn cut(text: &str, width: usize) -> String {
    if text.contains('/') { elided(text, width) } else { clipped(text, width) }
}

/// Text that fits into `width` columns: the beginning is cut off, since the end of a path is more informative.
pub(crate) fn elided(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    // From the end: a name can be far longer than a line.
    let (mut tail, mut taken) = ("", 1);
    for (at, character) in text.char_indices().rev() {
        taken += unicode_width::UnicodeWidthChar::width(character).unwrap_or(0);
        if taken > width {
            break;
        }
        tail = &text[at..];
    }
    format!("…{tail}")
}

/// Text that fits into `width` columns: the end is cut off.
pub(crate) fn clipped(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut head = String::new();
    // There can be any number of zero-width characters.
    for character in text.chars().take(width.saturating_mul(8)) {
        if head.width() + 1 + unicode_width::UnicodeWidthChar::width(character).unwrap_or(0) > width {
            break;
        }
        head.push(character);
    }
    head + "…"
}

/// Words in lines of at most `width` columns, each line beginning with `indent` spaces.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = String::new();
    let (mut line, mut taken) = (" ".repeat(indent), indent);
    for word in text.split_whitespace() {
        if taken > indent && taken + 1 + word.width() > width {
            lines.push_str(line.trim_end());
            lines.push('\n');
            (line, taken) = (" ".repeat(indent), indent);
        }
        if taken > indent {
            line.push(' ');
            taken += 1;
        }
        line.push_str(word);
        taken += word.width();
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn of_several_names_those_are_shown_that_fit() {
        let [first, others @ ..] = ["signal_cache", "UNIX", "UNIX-STREAM"].map(|name| Name::new(name.as_bytes()));
        let cell = Cell::Names(&first, &others);
        let shown = |width| fitted(&cell, &cell.raw(), width);
        assert_eq!(shown(33), "signal_cache = UNIX = UNIX-STREAM");
        assert_eq!(shown(32), "signal_cache = UNIX +1 more");
        assert_eq!(shown(20), "signal_cache +2 more");
        assert_eq!(shown(12), "signal_c… +2");
        assert_eq!(fitted(&Cell::Names(&first, &[]), "signal_cache", 8), "signal_…");
    }

    #[test]
    fn text_is_cut_by_columns_and_not_by_bytes() {
        assert_eq!(elided("日本語テキスト", 7), "…キスト");
        assert_eq!(clipped("日本語テキスト", 7), "日本語…");
        assert_eq!(clipped("short", 7), "short");
        assert_eq!(wrapped("one two three four", 11, 2), "  one two\n  three\n  four\n");
    }

    #[test]
    fn far_longer_text_than_a_line_takes_no_longer() {
        let names: Vec<Name> = (0..100_000).map(|number| Name::new(format!("name{number}").as_bytes())).collect();
        let cell = Cell::Names(&names[0], &names[1..]);
        assert_eq!(fitted(&cell, &cell.raw(), 30), "name0 = name1 +99998 more");
        assert_eq!(elided(&format!("/{}", "y".repeat(100_000)), 5), "…yyyy");
        assert_eq!(clipped(&format!("{}abcdef", "\u{301}".repeat(100_000)), 5).chars().count(), 41);
        assert_eq!(wrapped(&"word ".repeat(100_000), usize::MAX, 0).len(), 500_000);
    }
}
