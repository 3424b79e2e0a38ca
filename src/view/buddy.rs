//! The output of `pmem buddy`: the answer in words, then zones, free blocks by order, migrate types, and what blocks
//! huge pages.

pub(crate) mod live;

use std::io::{self, Write};

use super::cell::{Cell, Nested};
use super::field::{Column, Field, Kind};
use super::size::{Unit, grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, wrapped};
use crate::analysis::physical::buddy::{Buddy, MigrateType, Standing, Watermarks, ZoneReport};
use crate::analysis::physical::class::Class;
use crate::analysis::physical::huge_blocks::{Blocker, HugeBlocks};

/// The fields of a zone, with free blocks of this many orders; with `rounds`, also how it changed.
pub(crate) fn fields(orders: usize, rounds: bool) -> Vec<Field<ZoneReport>> {
    type Zone = ZoneReport;
    let watermark = |name, heading, help, of: fn(&Watermarks) -> Option<u64>| {
        Field::pages(name, heading, help, move |zone: &Zone| of(&zone.watermarks))
    };
    let blocks = |name, heading, help: &str, of: fn(&HugeBlocks) -> u64| {
        let help = format!("Blocks of huge page size: {help}");
        Field::count(name, heading, help, move |zone: &Zone| zone.huge_blocks.as_ref().map(of))
    };
    let mut fields = vec![
        Field::id("node", "NODE", "NUMA node", |zone: &Zone| u64::from(zone.node)),
        Field::text("zone", "ZONE", "Zone", |zone: &Zone| &zone.zone),
        Field::pages("free_pages", "FREE", "Pages in free blocks", |zone: &Zone| zone.free_pages)
            .summed()
            .alias("free"),
        Field::bytes("free_bytes", "SIZE", "Size of the free blocks", |zone: &Zone| zone.free_bytes)
            .summed()
            .alias("size"),
        Field::pages_change(
            "free_change_pages",
            "CHANGE",
            "Change in free pages since the previous round",
            |zone: &Zone| zone.free_change_pages,
        )
        .summed()
        .only_if(rounds)
        .alias("change"),
        Field::pages("per_cpu_pages", "PER-CPU", "Free pages on per-CPU lists (pcp)", |zone: &Zone| zone.per_cpu_pages)
            .summed()
            .alias("per_cpu"),
        watermark("watermarks.free_pages", "COUNTED", "Free pages as compared with the watermarks", |w| {
            Some(w.free_pages)
        })
        .always(),
        watermark("watermarks.min_pages", "MIN", "Watermark: below it, only emergency allocations succeed", |w| {
            Some(w.min_pages)
        })
        .always()
        .alias("min"),
        watermark("watermarks.low_pages", "LOW", "Watermark: kswapd is woken below it", |w| Some(w.low_pages))
            .always()
            .alias("low"),
        watermark("watermarks.high_pages", "HIGH", "Watermark: kswapd sleeps above it", |w| Some(w.high_pages))
            .always()
            .alias("high"),
        watermark("watermarks.promo_pages", "PROMO", "Watermark for promotion from slower memory", |w| w.promo_pages)
            .alias("promo"),
        watermark("watermarks.boost_pages", "BOOST", "Temporary boost of the watermarks", |w| w.boost_pages)
            .alias("boost"),
        Field::label(
            "watermarks.standing",
            "LEVEL",
            "Free pages compared with the watermarks",
            Kind::Text,
            |zone: &Zone| Cell::Word {
                shown: standing(zone.watermarks.standing),
                name: zone.watermarks.standing.name(),
            },
        )
        .always()
        .alias("stands"),
        Field::pages("spanned_pages", "SPANNED", "Pages from the first to the last, including holes", |zone: &Zone| {
            zone.spanned_pages
        })
        .alias("spanned"),
        Field::pages("present_pages", "PRESENT", "Pages that exist", |zone: &Zone| zone.present_pages).alias("present"),
        Field::pages("managed_pages", "MANAGED", "Pages managed by the buddy allocator", |zone: &Zone| {
            zone.managed_pages
        })
        .alias("managed"),
        Field::count("free_huge_pages", "FREE HUGE", "Huge pages in the free blocks", |zone: &Zone| {
            zone.free_huge_pages
        })
        .alias("free_huge"),
        blocks("huge_blocks.blocks", "BLOCKS", "all that consist of memory only", |b| b.blocks),
        blocks("huge_blocks.free", "WHOLLY FREE", "free", |b| b.free),
        blocks("huge_blocks.huge", "HUGE", "huge pages already", |b| b.huge).alias("huge"),
        blocks("huge_blocks.movable", "MOVABLE", "held by movable frames only", |b| b.movable).alias("movable"),
        blocks("huge_blocks.locked", "LOCKED", "held by locked or unevictable frames too", |b| b.locked)
            .alias("locked"),
        blocks("huge_blocks.unmovable", "UNMOVABLE", "held by a frame that cannot be moved", |b| b.unmovable)
            .alias("unmovable"),
        blocks(
            "huge_blocks.unclassified",
            "UNCLEAR",
            "held by frames that no flag describes, and not in any group above",
            |b| b.unclassified,
        )
        .alias("unclassified"),
        blocks("huge_blocks.unflagged", "NO FLAG", "without a flag on any frame", |b| b.unflagged).alias("unflagged"),
        blocks("huge_blocks.outside", "OUTSIDE", "not memory, or only partly", |b| b.outside),
        blocks("huge_blocks.by_compaction", "COMPACTABLE", "upper bound of what compaction can empty", |b| {
            b.by_compaction
        })
        .alias("compactable"),
        Field::frames(
            "huge_blocks.unclassified_frames",
            "UNCLEAR FRAMES",
            "Unclassified frames in blocks with flags",
            |zone: &Zone| zone.huge_blocks.as_ref().map(|b| b.unclassified_frames),
        ),
        Field::frames(
            "huge_blocks.scattered_free_frames",
            "SCATTERED",
            "Free frames in blocks that are not free",
            |zone: &Zone| zone.huge_blocks.as_ref().map(|b| b.scattered_free_frames),
        ),
        Field::label(
            "huge_blocks.blockers",
            "",
            "What holds unmovable blocks, most blocks first",
            Kind::Nested,
            |zone: &Zone| {
                zone.huge_blocks.as_ref().map_or(Cell::Unknown, |blocks| Cell::Nested(Nested(&blocks.blockers)))
            },
        ),
    ];
    fields.extend((0..orders).map(|order| {
        let help = format!("Free blocks of order {order}");
        Field::count(format!("free_blocks.{order}"), format!("BLOCKS {order}"), help, move |zone: &Zone| {
            zone.free_blocks.get(order).copied()
        })
    }));
    fields.extend((0..orders).map(|order| {
        let help = format!("Share of the free memory that cannot serve order {order}");
        Field::ratio(format!("unusable_index.{order}"), format!("UNUS% {order}"), help, move |zone: &Zone| {
            zone.unusable_index.as_ref()?.get(order).copied()
        })
    }));
    fields
}

/// The fields of zones that need frame flags.
pub(crate) const OF_BLOCKS: [&str; 7] = [
    "huge_blocks.huge",
    "huge_blocks.movable",
    "huge_blocks.locked",
    "huge_blocks.unmovable",
    "huge_blocks.unclassified",
    "huge_blocks.unflagged",
    "huge_blocks.by_compaction",
];

/// The default columns of zones, chosen to fit into 80 columns.
pub(crate) fn default_columns(width: Option<usize>, rounds: bool) -> Vec<&'static str> {
    let wide = width.is_none_or(|width| width >= 110);
    let mut names = vec!["node", "zone", "free"];
    names.extend(wide.then_some("size"));
    names.extend(rounds.then_some("change"));
    names.extend(["per_cpu", "min", "low"]);
    names.extend((wide || !rounds).then_some("high"));
    names.extend(wide.then_some("boost"));
    names.push("stands");
    names
}

/// The free pages compared with the watermarks, in words.
pub(crate) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::AboveHigh => "above high",
        Standing::AboveLow => "above low",
        Standing::AboveMin => "BELOW LOW",
        Standing::AtMin => "BELOW MIN",
    }
}

/// The whole report; `columns` are those of the zones.
pub(crate) fn write(
    out: &mut dyn Write,
    report: &Buddy,
    columns: &[&Column<ZoneReport>],
    layout: &Layout,
) -> io::Result<()> {
    for line in answer(report) {
        for line in wrapped(&line, layout.width.unwrap_or(80), 0).lines() {
            writeln!(out, "{}", layout.palette.paint(Emphasis::Accent, line))?;
        }
    }
    writeln!(out)?;
    write_zones(out, report, columns, layout)?;
    write_orders(out, report, layout)?;
    if let Some(types) = &report.migrate_types {
        write_types(out, types, layout)?;
    }
    if let Some(total) = &report.huge_blocks {
        write_blocks(out, report, total, layout)?;
    }
    Ok(())
}

/// The table of zones.
pub(crate) fn write_zones(
    out: &mut dyn Write,
    report: &Buddy,
    columns: &[&Column<ZoneReport>],
    layout: &Layout,
) -> io::Result<()> {
    let total = (report.zones.len() > 1).then_some("total");
    table::write(out, columns, &report.zones, total, layout)?;
    if matches!(layout.scale.unit, Unit::Human | Unit::Pages) {
        let line = format!("counts are pages of {}", size(layout.scale.page_size.bytes()));
        writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))?;
    }
    Ok(())
}

/// The answer in words.
fn answer(report: &Buddy) -> Vec<String> {
    let sum =
        |field: fn(&ZoneReport) -> u64| report.zones.iter().fold(0u64, |sum, zone| sum.saturating_add(field(zone)));
    let page = report.huge_page_bytes >> report.huge_page_order;
    let per_cpu = human_string(sum(|zone| zone.per_cpu_pages).saturating_mul(page));
    let mut lines =
        vec![format!("{} free, and {per_cpu} more on per-CPU lists", human_string(sum(|zone| zone.free_bytes)))];
    // More than can change between the readings, or be on per-CPU lists.
    if let Some(bytes) = report.not_in_blocks_bytes.filter(|bytes| *bytes >= 1 << 30) {
        let bytes = human_string(bytes);
        lines.push(format!(
            "{bytes} more are in MemFree but not yet in a free block: this kernel defers memory initialisation"
        ));
    }
    let huge = size(report.huge_page_bytes);
    let Some(blocks) = &report.huge_blocks else {
        lines.push(format!("{huge} pages: {} free now", grouped_string(sum(|zone| zone.free_huge_pages))));
        return lines;
    };
    let by_compaction = match blocks.by_compaction {
        0 => "none".to_owned(),
        number => format!("up to {}", grouped_string(number)),
    };
    let mut line =
        format!("{huge} pages: {} free now, {by_compaction} more by compaction", grouped_string(blocks.free));
    if blocks.by_compaction < blocks.movable {
        let hold = match blocks.movable {
            1 => "1 block holds".to_owned(),
            movable => format!("{} blocks hold", grouped_string(movable)),
        };
        let them = if blocks.by_compaction == 0 { "them" } else { "all of them" };
        line +=
            &format!(" ({hold} only movable frames, but partly free blocks have too little space to move {them} to)");
    }
    line += &format!(", {} blocked by unmovable frames", grouped_string(blocks.unmovable));
    let main = blocks.blockers.iter().filter(|blocker| blocker.blocks > 0).take(3);
    let main: Vec<_> = main.map(|b| format!("{} {}", blocker_title(b), grouped_string(b.blocks))).collect();
    if !main.is_empty() {
        line += &format!(" ({})", main.join(", "));
    }
    if blocks.unclassified > 0 {
        line += &format!(
            ", and {} by {} frames without a flag: free pages on per-CPU lists, or the kernel's own",
            grouped_string(blocks.unclassified),
            grouped_string(blocks.unclassified_frames)
        );
    }
    lines.push(line);
    lines
}

/// A size that is a power of two, without decimals.
fn size(bytes: u64) -> String {
    human_string(bytes).replacen(".0 ", " ", 1)
}

fn blocker_title(blocker: &Blocker) -> &'static str {
    match blocker.class {
        Class::File => "mapped by drivers",
        class => class.title(),
    }
}

/// One order: the free blocks of each zone, and how much of its free memory cannot serve it.
struct OrderRow {
    order: u64,
    size: String,
    zones: Vec<(Option<u64>, String)>,
}

/// Free blocks by order: orders as rows, and as many zones side by side as there is room for.
fn write_orders(out: &mut dyn Write, report: &Buddy, layout: &Layout) -> io::Result<()> {
    const ORDER_AND_SIZE: usize = 5 + 2 + 8;
    const UNUSABLE: &str = "UNUS%";
    let nodes = report.zones.iter().any(|zone| zone.node != report.zones[0].node);
    let label = |zone: &ZoneReport| if nodes { format!("N{} {}", zone.node, zone.zone) } else { zone.zone.clone() };
    let room_for = |zone: &ZoneReport| {
        let widest = zone.free_blocks.iter().map(|&blocks| grouped_string(blocks).len()).max().unwrap_or(0);
        2 + widest.max(label(zone).len()) + 2 + UNUSABLE.len()
    };
    let mut rest = &report.zones[..];
    while !rest.is_empty() {
        let mut used = ORDER_AND_SIZE;
        let fits = rest.iter().take_while(|zone| {
            used += room_for(zone);
            used <= layout.width.unwrap_or(80)
        });
        let (zones, others) = rest.split_at(fits.count().max(1));
        rest = others;
        let mut columns = vec![
            Column::number("ORDER", |row: &OrderRow| Cell::Id(row.order)),
            Column::number("SIZE", |row: &OrderRow| Cell::Text(&row.size)),
        ];
        for (place, zone) in zones.iter().enumerate() {
            columns.push(Column::number(label(zone), move |row: &OrderRow| {
                row.zones[place].0.map_or(Cell::Unknown, Cell::Number)
            }));
            columns.push(Column::number(UNUSABLE, move |row: &OrderRow| Cell::Text(&row.zones[place].1)));
        }
        writeln!(out)?;
        table::write(out, &columns.iter().collect::<Vec<_>>(), &order_rows(report, zones), None, layout)?;
    }
    let line = "free blocks by order; UNUS%: share of free memory in blocks too small";
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, line))
}

fn order_rows(report: &Buddy, zones: &[ZoneReport]) -> Vec<OrderRow> {
    let page = report.huge_page_bytes >> report.huge_page_order;
    let orders = zones.iter().map(|zone| zone.free_blocks.len()).max().unwrap_or(0);
    let row = |order: usize| {
        let bytes = 1u64.checked_shl(order as u32).and_then(|pages| pages.checked_mul(page));
        let cells = |zone: &ZoneReport| {
            let share = zone.unusable_index.as_ref().and_then(|index| index.get(order));
            (zone.free_blocks.get(order).copied(), share.map_or_else(|| "-".to_owned(), |&share| percent(share)))
        };
        OrderRow {
            order: order as u64,
            size: bytes.map_or_else(|| "-".to_owned(), size),
            zones: zones.iter().map(cells).collect(),
        }
    };
    (0..orders).map(row).collect()
}

/// A share in whole percent, which is neither 0 nor 100 unless that is exact.
fn percent(share: f64) -> String {
    match (share * 100.0).round() as u64 {
        _ if share <= 0.0 => super::cell::NONE.to_owned(),
        0 => "<1".to_owned(),
        100 if share < 1.0 => ">99".to_owned(),
        percent => percent.to_string(),
    }
}

fn write_types(out: &mut dyn Write, types: &[MigrateType], layout: &Layout) -> io::Result<()> {
    let columns = [
        Column::number("NODE", |row: &&MigrateType| Cell::Id(u64::from(row.node))),
        Column::text("ZONE", |row: &&MigrateType| Cell::Text(&row.zone)),
        Column::text("MIGRATE TYPE", |row: &&MigrateType| Cell::Text(&row.migrate_type)),
        Column::number("FREE", |row: &&MigrateType| Cell::Pages(row.free_pages)),
        Column::number("PAGE BLOCKS", |row: &&MigrateType| row.page_blocks.map_or(Cell::Unknown, Cell::Number)),
    ];
    let some = |row: &&MigrateType| row.free_pages > 0 || row.page_blocks != Some(0);
    let rows: Vec<_> = types.iter().filter(some).collect();
    writeln!(out)?;
    table::write(out, &columns.iter().collect::<Vec<_>>(), &rows, None, layout)
}

fn write_blocks(out: &mut dyn Write, report: &Buddy, total: &HugeBlocks, layout: &Layout) -> io::Result<()> {
    type Row<'r> = (String, &'r str, &'r HugeBlocks);
    let number = |heading: &'static str, field: fn(&HugeBlocks) -> u64| {
        Column::number(heading, move |row: &Row<'_>| Cell::Number(field(row.2)))
    };
    let columns = [
        Column::number("NODE", |row: &Row<'_>| Cell::Text(&row.0)),
        Column::text("ZONE", |row: &Row<'_>| Cell::Text(row.1)),
        number("FREE", |b| b.free),
        number("HUGE", |b| b.huge),
        number("MOVABLE", |b| b.movable),
        number("LOCKED", |b| b.locked),
        number("UNMOVABLE", |b| b.unmovable),
        number("UNCLEAR", |b| b.unclassified),
        number("NO FLAG", |b| b.unflagged),
    ];
    let rows = report.zones.iter();
    let mut rows: Vec<Row<'_>> =
        rows.filter_map(|zone| Some((zone.node.to_string(), zone.zone.as_str(), zone.huge_blocks.as_ref()?))).collect();
    if rows.len() > 1 {
        rows.push((String::new(), "total", total));
    }
    writeln!(out)?;
    table::write(out, &columns.iter().collect::<Vec<_>>(), &rows, None, layout)?;
    if !total.blockers.is_empty() {
        let columns = [
            Column::text("BLOCKED BY", |row: &Blocker| Cell::Text(blocker_title(row))),
            Column::number("BLOCKS", |row: &Blocker| Cell::Number(row.blocks)),
            Column::number("FRAMES", |row: &Blocker| Cell::Number(row.frames)),
        ];
        writeln!(out)?;
        table::write(out, &columns.iter().collect::<Vec<_>>(), &total.blockers, None, layout)?;
    }
    let line = format!(
        "blocks of {}; movable: judged by flags (a pinned page looks the same); unclear: held by frames without a flag, such as \
         free pages on per-CPU lists; no flag: none of its frames has a flag (kernel text, driver memory, memory not yet \
         initialised){}",
        size(report.huge_page_bytes),
        if total.locked > 0 { "; locked: moved only if vm.compact_unevictable_allowed is 1" } else { "" }
    );
    for line in wrapped(&line, layout.width.unwrap_or(80), 0).lines() {
        writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::physical::buddy::Watermarks;
    use crate::unit::PageSize;
    use crate::view::size::Scale;
    use crate::view::style::Palette;

    #[test]
    fn eighty_columns_suffice_for_a_large_machine() {
        let page_size = PageSize::new(4096).unwrap();
        let scale = Scale { unit: Unit::Human, page_size };
        let layout = Layout { scale, width: Some(80), height: None, headings: true, palette: Palette::default() };
        let report = large_machine();
        let fields = fields(11, true);
        let default = default_columns(layout.width, true);
        let shown: Vec<_> = fields.iter().filter(|field| default.iter().any(|name| field.is_called(name))).collect();
        let mut out = Vec::new();
        write(&mut out, &report, &crate::view::field::columns(&shown), &layout).unwrap();
        let text = String::from_utf8(out).unwrap();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
        // As many as fit side by side, and none is lost.
        for node in 0..4 {
            let blocks = format!("N{node} Normal");
            assert_eq!(text.matches(&blocks).count(), 1, "{blocks}: {text}");
        }
        assert!(text.replace('\n', " ").contains("slab 12,345, page tables 1"), "{text}");
        assert!(!text.contains("reserved 0"), "what is the main one nowhere is not told: {text}");
    }

    /// Four nodes of 1 TiB, fragmented.
    fn large_machine() -> Buddy {
        let blocker = |class, blocks| Blocker { class, blocks, frames: 123_456_789 };
        let huge_blocks = HugeBlocks {
            blocks: 524_288,
            free: 412_345,
            huge: 123_456,
            movable: 123_456,
            locked: 12_345,
            unmovable: 12_346,
            unclassified: 1_234,
            unclassified_frames: 1_234_567,
            unflagged: 1_234,
            by_compaction: 1_234,
            blockers: vec![blocker(Class::Slab, 12_345), blocker(Class::PageTable, 1), blocker(Class::Reserved, 0)],
            ..HugeBlocks::default()
        };
        let watermarks = Watermarks {
            free_pages: 201_234_567,
            min_pages: 16_896,
            low_pages: 285_331,
            high_pages: 553_766,
            promo_pages: None,
            boost_pages: None,
            standing: Standing::AboveHigh,
        };
        let zone = |node| ZoneReport {
            node,
            zone: "Normal".to_owned(),
            free_blocks: (1..12).map(|order| 12_345_678 / (order * order)).collect(),
            free_pages: 201_234_567,
            free_bytes: 201_234_567 << 12,
            free_change_pages: Some(-12_345),
            unusable_index: Some((0..11).map(|order| f64::from(order) / 10.5).collect()),
            free_huge_pages: 123_456,
            per_cpu_pages: 1_234_567,
            watermarks,
            spanned_pages: 1 << 28,
            present_pages: 1 << 28,
            managed_pages: 1 << 28,
            huge_blocks: Some(huge_blocks.clone()),
        };
        let migrate_type = MigrateType {
            node: 3,
            zone: "Normal".to_owned(),
            migrate_type: "Reclaimable".to_owned(),
            free_blocks: Vec::new(),
            free_pages: 201_234_567,
            at_least: true,
            page_blocks: Some(524_288),
        };
        Buddy {
            not_in_blocks_bytes: None,
            huge_page_order: 9,
            huge_page_bytes: 2 << 20,
            zones: (0..4).map(zone).collect(),
            migrate_types: Some(vec![migrate_type]),
            huge_blocks: Some(huge_blocks.clone()),
        }
    }

    #[test]
    fn compaction_has_its_own_words_where_it_gains_nothing() {
        let words = |movable, by_compaction| {
            let blocks = HugeBlocks { free: 7, movable, by_compaction, ..HugeBlocks::default() };
            answer(&Buddy { huge_blocks: Some(blocks), ..large_machine() }).pop().unwrap()
        };
        let words_of = |movable, by_compaction, text: &str| {
            let words = words(movable, by_compaction);
            assert!(words.starts_with(&format!("2 MiB pages: 7 free now, {text}, 0 blocked")), "{words}");
        };
        let too_little = "only movable frames, but partly free blocks have too little space to move";
        words_of(0, 0, "none more by compaction");
        words_of(3, 3, "up to 3 more by compaction");
        words_of(1, 0, &format!("none more by compaction (1 block holds {too_little} them to)"));
        words_of(5, 0, &format!("none more by compaction (5 blocks hold {too_little} them to)"));
        words_of(5, 2, &format!("up to 2 more by compaction (5 blocks hold {too_little} all of them to)"));
    }

    #[test]
    fn a_share_is_neither_none_nor_all_where_it_is_not() {
        for (share, shown) in [(0.0, "·"), (0.001, "<1"), (0.374, "37"), (0.9999, ">99"), (1.0, "100")] {
            assert_eq!(percent(share), shown);
        }
    }
}
