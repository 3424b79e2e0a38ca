//! Physical memory as a picture: a cell for each block of frames, by its main class.

use std::io::{self, Write};

use anstyle::{Ansi256Color, Color, Style};
use svg::node::element::{Group, Rectangle, Text, Title};
use svg::{Document, Node};

use crate::analysis::physical::class::Class;
use crate::analysis::physical::phys::{ClassRow, Map, Report};
use crate::unit::{PageSize, Pfn};
use crate::view::size::human_string;
use crate::view::style::Emphasis;
use crate::view::table::Layout;

/// Cells in a row if the width of the terminal is not known, and in SVG.
const CELLS: u64 = 64;

/// The width of the ruler at the left: an address and a blank.
const RULER: usize = 14;

/// The most rows in a picture.
const ROWS: u64 = 32;

/// How many cells a row has on a terminal of this width: a power of two, so that rows begin at round addresses.
pub(crate) fn cells_in(width: Option<usize>) -> u64 {
    let room = width.map_or(CELLS, |width| width.saturating_sub(RULER) as u64);
    1 << room.max(8).ilog2()
}

/// The number of frames in a cell so that `frames` fit: a power of two.
pub(crate) fn block_frames(frames: u64, cells: u64) -> u64 {
    frames.div_ceil(cells * ROWS).max(1).next_power_of_two()
}

/// The character, the colour on a terminal (of 256), and the colour in a picture.
fn look(class: Class) -> (char, u8, &'static str) {
    match class {
        Class::Hole => (' ', 16, "#ffffff"),
        Class::Free => ('.', 236, "#e8e8e8"),
        Class::Offline => ('x', 52, "#5f0000"),
        Class::Slab => ('s', 172, "#e69f00"),
        Class::PageTable => ('t', 226, "#f0e442"),
        Class::Hugetlb => ('h', 99, "#6a51a3"),
        Class::ZeroPage => ('z', 250, "#bdbdbd"),
        Class::Reserved => ('r', 131, "#a05050"),
        Class::Anon => ('a', 32, "#0072b2"),
        Class::Ksm => ('k', 45, "#56d4dd"),
        Class::Shmem => ('m', 170, "#cc79a7"),
        Class::File => ('f', 35, "#009e73"),
        Class::OtherCompound => ('c', 166, "#d55e00"),
        Class::Unclassified => ('?', 241, "#8c8c8c"),
    }
}

/// Writes the picture for a terminal: a capital if three quarters of a cell are of its class.
pub(crate) fn write(out: &mut dyn Write, map: &Map, cells: u64, layout: &Layout) -> io::Result<()> {
    let page_size = layout.scale.page_size;
    for (row, blocks) in map.blocks.chunks(cells as usize).enumerate() {
        let address = page_size.address_of(Pfn(row as u64 * cells * map.block_frames));
        let ruler =
            layout.palette.paint(Emphasis::Faint, &format!("{:>width$}", address.to_string(), width = RULER - 1));
        let mut line = format!("{ruler} ");
        for same in blocks.chunk_by(|a, b| a.class == b.class) {
            let text: String = same.iter().map(|block| character(block.class, block.pure)).collect();
            line += &painted(same[0].class, &text, layout);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn character(class: Class, pure: bool) -> char {
    let (character, ..) = look(class);
    if pure { character.to_ascii_uppercase() } else { character }
}

/// Text on the colour of the class, if colour is wanted.
fn painted(class: Class, text: &str, layout: &Layout) -> String {
    if !layout.palette.coloured || class == Class::Hole {
        return text.to_owned();
    }
    let (_, ground, _) = look(class);
    let dark = matches!(class, Class::Free | Class::Offline | Class::Unclassified | Class::Hugetlb);
    let ink = if dark { 250 } else { 16 };
    let colour = |number| Some(Color::Ansi256(Ansi256Color(number)));
    let style = Style::new().fg_color(colour(ink)).bg_color(colour(ground));
    format!("{style}{text}{style:#}")
}

/// Writes the legend, with the size of each class and of a cell.
pub(crate) fn write_legend(out: &mut dyn Write, report: &Report, map: &Map, layout: &Layout) -> io::Result<()> {
    let cell = human_string(layout.scale.page_size.bytes_of(map.block_frames));
    writeln!(out, "\neach cell: {cell}, its largest class; a capital: at least three quarters")?;
    let entry = |row: &ClassRow| {
        let mark = painted(row.class, &format!(" {} ", character(row.class, false)), layout);
        let (title, size) = (row.class.title(), human_string(row.bytes));
        (format!("{mark} {title} {size}"), title.len() + size.len() + 5)
    };
    let width = layout.width.unwrap_or(80);
    let mut used = 0;
    for (text, length) in report.classes.iter().map(entry) {
        if used > 0 && used + length + 3 > width {
            writeln!(out)?;
            used = 0;
        }
        write!(out, "{}{text}", if used > 0 { "   " } else { "" })?;
        used += length + 3;
    }
    writeln!(out)
}

/// The picture as SVG.
pub(crate) fn svg(report: &Report, map: &Map, page_size: PageSize) -> String {
    const CELL: u64 = 12;
    const LEFT: u64 = 110;
    let rows = (map.blocks.len() as u64).div_ceil(CELLS);
    let address = |block: u64| page_size.address_of(Pfn(block.saturating_mul(map.block_frames)));
    let text = |x: u64, y: u64, words: String| Text::new(words).set("x", x).set("y", y);
    let mut cells = Group::new();
    for (row, blocks) in (0..).zip(map.blocks.chunks(CELLS as usize)) {
        let y = 40 + row * CELL;
        cells.append(text(4, y + 10, address(row * CELLS).to_string()));
        let mut first = 0;
        for same in blocks.chunk_by(|a, b| a.class == b.class) {
            let length = same.len() as u64;
            let (_, _, colour) = look(same[0].class);
            let (from, to) = (address(row * CELLS + first), address(row * CELLS + first + length));
            let rectangle = Rectangle::new()
                .set("x", LEFT + first * CELL)
                .set("y", y)
                .set("width", length * CELL)
                .set("height", CELL - 1)
                .set("fill", colour)
                .add(Title::new(format!("{from}–{to} {}", same[0].class.title())));
            cells.append(rectangle);
            first += length;
        }
    }
    let mut legend = Group::new();
    for (place, row) in (0..).zip(&report.classes) {
        let (x, y) = (LEFT + place % 4 * 200, 40 + rows * CELL + 16 + place / 4 * 20);
        let (_, _, colour) = look(row.class);
        let mark = Rectangle::new().set("x", x).set("y", y).set("width", 12).set("height", 12).set("fill", colour);
        legend.append(mark.set("stroke", "#888888"));
        legend.append(text(x + 18, y + 10, format!("{} {}", row.class.title(), human_string(row.bytes))));
    }
    let width = LEFT + CELLS * CELL + 10;
    let height = 40 + rows * CELL + 40 + (report.classes.len() as u64).div_ceil(4) * 20;
    let cell = human_string(page_size.bytes_of(map.block_frames));
    let size = human_string(page_size.bytes_of(report.ram_frames));
    let head = format!("Physical memory: {size} of RAM, each cell {cell}, shown by its largest class");
    let document = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("font-family", "monospace")
        .set("font-size", 10)
        .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "white"))
        .add(text(4, 20, head).set("font-size", 14))
        .add(cells)
        .add(legend);
    format!("{document}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::physical::phys::Block;

    #[test]
    fn rows_begin_at_round_addresses_and_fit() {
        assert_eq!((cells_in(Some(80)), cells_in(Some(200)), cells_in(None), cells_in(Some(20))), (64, 128, 64, 8));
        for frames in [1, 65_536, 6_553_600, 1 << 32] {
            let block = block_frames(frames, 64);
            assert!(block.is_power_of_two() && frames.div_ceil(block * 64) <= ROWS, "{frames}");
        }
        assert_eq!(block_frames(6_553_600, 64), 4096);
    }

    #[test]
    fn a_picture_has_every_block() {
        let block = |class, pure| Block { class, pure };
        let blocks = [vec![block(Class::Free, true); 60], vec![block(Class::Anon, false); 8]].concat();
        let map = Map { block_frames: 16, blocks };
        let report = Report {
            frames: 1088,
            ram_frames: 1088,
            classes: vec![ClassRow { class: Class::Free, frames: 960, bytes: 960 * 4096 }],
            flags: Vec::new(),
            mapcounts: None,
            folios: Vec::new(),
            torn_folios: 0,
            zones: Vec::new(),
            cgroups: None,
            checks: Vec::new(),
            map: None,
        };
        let Some(page_size) = PageSize::new(4096) else { panic!("a page size") };
        let drawn = svg(&report, &map, page_size);
        // The background, three runs of cells in two rows, and one class in the legend.
        assert_eq!(drawn.matches("<rect").count(), 5, "{drawn}");
        assert!(drawn.contains("0x3c0000–0x400000 anonymous") && drawn.contains("0x400000–0x440000 anonymous"));
    }
}
