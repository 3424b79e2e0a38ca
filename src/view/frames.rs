//! How `pmem frames` looks: a table of mappings and a ledger for each process, or a line for each.

use std::io::{self, Write};

use super::record::{Cell, Column};
use super::size::{grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, clipped, wrapped};
use crate::analysis::frames::{Counts, Ledger, NoAddressSpace, Owners, ProcessFrames, VmaRow};
use crate::analysis::note::Note;
use crate::model::smaps::{VM_FLAGS, Value};

/// The columns of mappings, those of `smaps_keys` last.
pub fn vma_columns(smaps_keys: &[String]) -> Vec<Column<VmaRow>> {
    let count = |name: &str, heading: &str, help: &str, field: fn(&Counts) -> u64| {
        Column::summed(name, heading, help, move |row: &VmaRow| {
            row.counts.as_ref().map_or(Cell::Unknown, |counts| Cell::Pages(field(counts)))
        })
    };
    let owner = |name: &str, heading: &str, help: &str, cell: fn(&Owners) -> Cell<'static>| {
        Column::summed(name, heading, help, move |row: &VmaRow| row.owners.as_deref().map_or(Cell::Unknown, cell))
    };
    let mut columns = vec![
        Column::text("address", "ADDRESS", "first address", |row: &VmaRow| Cell::Address(row.vma.range.start.0)),
        Column::text("end", "END", "address behind the last", |row: &VmaRow| Cell::Address(row.vma.range.end.0)),
        Column::text(
            "perm",
            "PERM",
            "permissions as in maps: read, write, execute; shared or private",
            |row: &VmaRow| Cell::Text(row.vma.perm.as_str()),
        ),
        Column::summed("size", "SIZE", "size of the mapping", |row: &VmaRow| {
            Cell::Bytes(row.vma.range.end.0 - row.vma.range.start.0)
        }),
        count("present", "PRESENT", "present page-table entries", |c| c.present),
        Column::summed("change", "CHANGE", "change of the present pages since the last round (-d)", |row: &VmaRow| {
            row.present_change.map_or(Cell::Unknown, Cell::Change)
        }),
        count("zero", "ZERO", "of the present: the shared zero page, read but never written", |c| c.zero),
        count("huge", "HUGE", "of the present: mapped by a PMD, in base pages", |c| c.huge),
        count("swap", "SWAP", "swapped out (swapped-out shared memory leaves no entry)", |c| c.swapped),
        count("guard", "GUARD", "guard regions (MADV_GUARD_INSTALL)", |c| c.guard),
        count("marker", "MARKER", "markers of userfaultfd or poison", |c| c.marker),
        count("special", "SPECIAL", "being migrated, on a device, poisoned, or hidden from this user", |c| c.special),
        owner("exclusive", "EXCL", "frames mapped once (--owners)", |o| Cell::Pages(o.exclusive)),
        owner("shared", "SHARED", "frames mapped more than once (--owners)", |o| Cell::Pages(o.shared)),
        owner("pss", "PSS", "each frame's size divided by its mapcount (--owners)", |o| Cell::Bytes(o.pss_bytes())),
        Column::text("kind", "KIND", "anon, heap, stack, file, shmem, hugetlb or special", |row: &VmaRow| {
            Cell::Text(row.kind.name())
        }),
        Column::text("offset", "OFFSET", "where in the file it begins", |row: &VmaRow| Cell::Address(row.vma.offset)),
        Column::text("dev", "DEV", "device of the file, major:minor", |row: &VmaRow| Cell::Dev(row.vma.dev)),
        Column::number("inode", "INODE", "inode of the file", |row: &VmaRow| Cell::Number(row.vma.inode)),
        Column::text("mapping", "MAPPING", "name as in maps", |row: &VmaRow| Cell::Name(&row.vma.name)),
    ];
    columns.extend(smaps_keys.iter().enumerate().map(|(position, key)| smaps_column(key, position)));
    columns
}

fn smaps_column(key: &str, position: usize) -> Column<VmaRow> {
    if key == VM_FLAGS {
        return Column::text(key, key, "flags of the mapping, in words", |row: &VmaRow| {
            row.smaps.as_ref().and_then(|s| s.flags.as_deref()).map_or(Cell::Unknown, Cell::Flags)
        });
    }
    let column = Column::summed(key, key, "as smaps has it", move |row: &VmaRow| {
        match row.smaps.as_ref().and_then(|smaps| smaps.values[position]) {
            Some(Value::Bytes(bytes)) => Cell::Bytes(bytes),
            Some(Value::Number(number)) => Cell::Number(number),
            None => Cell::Unknown,
        }
    });
    // The sum of all mappings' page sizes means nothing.
    Column { total: !matches!(key, "KernelPageSize" | "MMUPageSize"), ..column }
}

/// The columns of mappings that are shown unless others are asked for.
pub fn default_vma_columns(width: Option<usize>, owners: bool, rounds: bool) -> Vec<&'static str> {
    let wide = width.is_some_and(|width| width >= 110);
    let mut names = vec!["address", "perm", "size", "present"];
    names.extend(rounds.then_some("change"));
    names.extend(["zero", "huge", "swap"]);
    names.extend(wide.then_some("guard"));
    names.extend(owners.then_some(["exclusive", "shared", "pss"]).into_iter().flatten());
    names.extend(wide.then_some("kind"));
    names.push("mapping");
    names
}

/// The columns of processes (`--summary`).
pub fn process_columns() -> Vec<Column<ProcessFrames>> {
    let pages = |name: &str, heading: &str, help: &str, field: fn(&Ledger) -> Option<u64>| {
        Column::summed(name, heading, help, move |process: &ProcessFrames| {
            process.ledger.as_ref().and_then(field).map_or(Cell::Unknown, Cell::Pages)
        })
    };
    vec![
        Column::number("pid", "PID", "process", |process: &ProcessFrames| Cell::Number(u64::from(process.pid))),
        pages("present", "PRESENT", "present page-table entries", |l| Some(l.present_pages)),
        pages("zero", "ZERO", "of the present: the shared zero page", |l| Some(l.zero_pages)),
        pages("hugetlb", "HUGETLB", "of the present: hugetlb pages", |l| Some(l.hugetlb_pages)),
        pages("resident", "RESIDENT", "present less zero less hugetlb", |l| Some(l.resident_pages)),
        pages("statm", "STATM", "what statm says is resident", |l| Some(l.statm_resident_pages)),
        pages("rss", "SMAPS", "what smaps_rollup says is resident (--verify)", |l| l.smaps_rss_pages),
        Column::number("unexplained", "UNEXPL", "resident less what the kernel says", |process: &ProcessFrames| {
            process.ledger.as_ref().map_or(Cell::Unknown, |l| Cell::Change(l.unexplained_pages))
        }),
        pages("swap", "SWAP", "swapped out", |l| Some(l.swapped_pages)),
        pages("guard", "GUARD", "guard regions", |l| Some(l.guard_pages)),
        Column::summed(
            "change",
            "CHANGE",
            "change of the resident frames since the last round (-d)",
            |process: &ProcessFrames| {
                process.change.as_ref().map_or(Cell::Unknown, |change| Cell::Change(change.resident_pages))
            },
        ),
        Column::number("vmas", "VMAS", "mappings", |process: &ProcessFrames| Cell::Number(process.vma_count as u64)),
        Column::number("attempts", "TRIES", "looks until it held still", |process: &ProcessFrames| {
            process.ledger.as_ref().map_or(Cell::Unknown, |l| Cell::Number(u64::from(l.attempts)))
        }),
        Column::text("comm", "COMM", "its name", |process: &ProcessFrames| Cell::Name(&process.comm)),
        Column::text("command", "COMMAND", "its command line", |process: &ProcessFrames| {
            Cell::Name(&process.command_line)
        }),
    ]
}

/// The columns of processes that are shown unless others are asked for.
pub fn default_process_columns(width: Option<usize>, verify: bool, rounds: bool) -> Vec<&'static str> {
    let mut names = vec!["pid", "present", "zero", "hugetlb", "resident", "statm"];
    names.extend(verify.then_some("rss"));
    names.push("unexplained");
    names.extend(width.is_some_and(|width| width >= 100).then_some("swap"));
    names.extend(rounds.then_some("change"));
    names.push("comm");
    names
}

/// The head of a process's report: who it is, and since when.
pub fn write_head(
    out: &mut dyn Write,
    process: &ProcessFrames,
    started: Option<&str>,
    layout: &Layout,
) -> io::Result<()> {
    let width = layout.width.unwrap_or(80).max(40);
    let name = format!("{} ({})", process.comm.escaped(), process.pid);
    let started = started.map(|at| format!("started {at}")).unwrap_or_default();
    let room = width.saturating_sub(name.len() + started.len() + 4);
    let command = clipped(&process.command_line.escaped(), room);
    let line = format!("{}  {command}", layout.palette.paint(Emphasis::Accent, &name));
    let padding = width.saturating_sub(name.chars().count() + 2 + command.chars().count() + started.len());
    writeln!(out, "{}", format!("{line}{:padding$}{started}", "").trim_end())
}

/// Why a process has nothing to count.
pub fn write_no_address_space(out: &mut dyn Write, why: NoAddressSpace) -> io::Result<()> {
    writeln!(
        out,
        "  {}",
        match why {
            NoAddressSpace::KernelThread => "a thread of the kernel: it has no address space of its own",
            NoAddressSpace::Zombie =>
                "a zombie: it has exited, and its address space is gone; its parent has not reaped it",
        }
    )
}

/// The table of a process's mappings.
pub fn write_vmas(
    out: &mut dyn Write,
    process: &ProcessFrames,
    columns: &[&Column<VmaRow>],
    layout: &Layout,
) -> io::Result<()> {
    table::write(out, columns, &process.vmas, Some("total"), layout)?;
    let (shown, all) = (process.vmas.len(), process.vma_count);
    let shown = grouped_string(shown as u64);
    let line = match process.vmas.len() == all {
        true => format!("{shown} mappings"),
        false => format!("{shown} of {} mappings; the ledger is of all of them", grouped_string(all as u64)),
    };
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))
}

/// The ledger in words.
pub fn write_ledger(out: &mut dyn Write, process: &ProcessFrames, layout: &Layout) -> io::Result<()> {
    let Some(ledger) = &process.ledger else { return Ok(()) };
    for line in ledger_lines(ledger, layout) {
        writeln!(out, "{line}")?;
    }
    if let Some(change) = &process.change {
        let pages = |pages: i64| match pages {
            0 => "no change".to_owned(),
            _ => format!("{}{}", if pages < 0 { "−" } else { "+" }, grouped_string(pages.unsigned_abs())),
        };
        writeln!(
            out,
            "  since the last look: resident {}, present {}, swapped {}, mappings {}",
            layout.palette.paint(Emphasis::Accent, &pages(change.resident_pages)),
            pages(change.present_pages),
            pages(change.swapped_pages),
            pages(change.vmas)
        )?;
    }
    Ok(())
}

fn ledger_lines(ledger: &Ledger, layout: &Layout) -> Vec<String> {
    let width = grouped_string(ledger.present_pages.max(ledger.statm_resident_pages)).len().max(4);
    let plain = |pages: u64, words: &str| format!("  {:>width$}  {words}", grouped_string(pages));
    let less = |pages: u64, words: &str, why: &str| {
        let number = format!("−{:>1$}", grouped_string(pages), width.saturating_sub(2));
        format!("  {number:>width$}  {words:<29}{why}")
    };
    let resident =
        format!("frames resident = {}", human_string(layout.scale.page_size.bytes_of(ledger.resident_pages)));
    let mut lines = vec![
        plain(ledger.present_pages, "page-table entries are present"),
        less(ledger.zero_pages, "map the shared zero page", "read but never written: no frame of their own"),
        less(ledger.hugetlb_pages, "hugetlb", "accounted apart"),
        layout.palette.paint(Emphasis::Accent, &plain(ledger.resident_pages, &resident)),
    ];
    let mut says = |who: &str, pages: u64, why: &str| {
        let difference = pages.cast_signed() - ledger.resident_pages.cast_signed();
        lines.push(if difference == 0 {
            plain(pages, &format!("{who} says so too"))
        } else {
            let more = if difference < 0 { "fewer" } else { "more" };
            let words = format!("{who} says: {} {more}{why}", grouped_string(difference.unsigned_abs()));
            layout.palette.paint(Emphasis::Wrong, &plain(pages, &words))
        });
    };
    says("statm", ledger.statm_resident_pages, &why_statm_differs(ledger));
    if let Some(rss) = ledger.smaps_rss_pages {
        says("smaps", rss, if ledger.held_still { " (unexplained)" } else { ": the process was moving" });
    }
    let mut besides = |pages: u64, words: &str| {
        if pages > 0 {
            lines.push(plain(pages, words));
        }
    };
    besides(ledger.swapped_pages, "more are swapped out");
    besides(ledger.guard_pages, "are guard regions: neither memory nor swap");
    besides(ledger.marker_pages, "are markers of userfaultfd or poison: neither memory nor swap");
    besides(ledger.special_pages, "are being migrated, on a device, poisoned, or of a kind hidden from this user");
    lines
}

fn why_statm_differs(ledger: &Ledger) -> String {
    match ledger.statm_bound_pages {
        Some(bound) => {
            format!(" — on this kernel statm may be off by up to {} (see pmem doctor)", grouped_string(bound))
        }
        None if ledger.special_pages > 0 => " — it counts pages that are being migrated".to_owned(),
        None if !ledger.held_still => ": the process was moving".to_owned(),
        None => " (unexplained)".to_owned(),
    }
}

/// Notes below a report.
pub fn write_notes(out: &mut dyn Write, notes: &[Note], layout: &Layout) -> io::Result<()> {
    for note in notes {
        let about = note.pid.map(|pid| format!("{pid}: ")).unwrap_or_default();
        write!(out, "{}", wrapped(&format!("note: {about}{}", note.text), layout.width.unwrap_or(80), 2))?;
    }
    Ok(())
}
