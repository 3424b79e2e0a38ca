//! Memory as boxes side by side, as on a blackboard: each after one of the steps, divided where it grew.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use crate::demo::quantity::{FRAMES, SIZE};
use crate::demo::report::{Cell, StepReport};
use crate::view::size::human_string;
use crate::view::style::Emphasis;
use crate::view::table::Layout;

/// The width of a page.
const PAGE: usize = 3;
/// The gap between two boxes.
const GAP: usize = 3;

/// Draws the boxes if all of their steps were done and there is room.
pub(super) fn draw(
    out: &mut dyn Write,
    boxes: &[(usize, &str)],
    steps: &[StepReport],
    layout: &Layout,
) -> io::Result<()> {
    let after: Option<Vec<&StepReport>> = boxes.iter().map(|(number, _)| steps.get(*number - 1)).collect();
    let Some(after) = after.filter(|after| !after.is_empty()) else { return Ok(()) };
    let divided = after[0].pages.len();
    let page = layout.scale.page_size.bytes();
    let boxes: Vec<[String; 6]> =
        boxes.iter().zip(after).map(|((_, caption), step)| one(caption, step, divided, page)).collect();
    let widths: Vec<usize> =
        boxes.iter().map(|lines| lines.iter().map(|line| line.width()).max().unwrap_or(0) + GAP).collect();
    if widths.iter().sum::<usize>() > super::width(layout) {
        return Ok(());
    }
    writeln!(out)?;
    for line in 0..6 {
        let cells = boxes.iter().zip(&widths).map(|(lines, width)| {
            let padding = " ".repeat(width - lines[line].width());
            format!("{}{padding}", lines[line])
        });
        let text = format!("  {}", cells.collect::<String>());
        let emphasis = if line == 0 { Emphasis::Heading } else { Emphasis::Accent };
        let text = text.trim_end();
        writeln!(out, "{}", if line < 4 { layout.palette.paint(emphasis, text) } else { text.to_owned() })?;
    }
    Ok(())
}

/// One box: caption, pages, and below it size and RSS. Divided after `divided` pages.
fn one(caption: &str, step: &StepReport, divided: usize, page: u64) -> [String; 6] {
    let border = |left: char, middle: char, right: char| {
        let mut line = String::from(left);
        for place in 0..step.pages.len() {
            if place > 0 && place == divided {
                line.push(middle);
            }
            line += &"─".repeat(PAGE);
        }
        line.push(right);
        line
    };
    let mut inside = String::from('│');
    for (place, cell) in step.pages.iter().enumerate() {
        if place > 0 && place == divided {
            inside.push('│');
        }
        inside += &(if *cell == Cell::Frame { "█" } else { " " }).repeat(PAGE);
    }
    inside.push('│');
    let bytes = |quantity| step.value(&quantity).and_then(|pages| u64::try_from(pages).ok()).map(|pages| pages * page);
    let size = |quantity| bytes(quantity).map_or("-".to_owned(), |bytes| human_string(bytes).replace(".0 ", " "));
    [
        caption.to_owned(),
        border('┌', '┬', '┐'),
        inside,
        border('└', '┴', '┘'),
        format!("size {:>7}", size(SIZE)),
        format!("RSS  {:>7}", size(FRAMES)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::report::Verdict;

    #[test]
    fn a_box_is_divided_where_it_grew() {
        use Cell::{Empty, Frame};
        let pages = vec![Frame, Frame, Frame, Empty];
        let (action, expected, observed, verdict) = (String::new(), Vec::new(), Vec::new(), Verdict::Ok);
        let step = StepReport { action, expected, observed, verdict, pages };
        let expected = ["grown", "┌──────┬──────┐", "│██████│███   │", "└──────┴──────┘"];
        assert_eq!(one("grown", &step, 2, 4096)[..4], expected);
        assert_eq!(one("", &step, 4, 4096)[2], "│█████████   │");
    }
}
