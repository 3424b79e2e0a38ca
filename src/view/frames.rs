//! How `pmem frames` looks: a table of mappings and a ledger for each process, or a line for each.

use std::io::{self, Write};

use super::record::{Cell, Column};
use super::size::{Unit, grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, clipped};
use crate::analysis::frames::{Counts, Ledger, NoAddressSpace, Owners, ProcessFrames, VmaRow};
use crate::model::smaps::{VM_FLAGS, Value};
use crate::unit::difference;

/// The columns of mappings, those of `smaps_keys` last.
pub fn vma_columns(smaps_keys: &[String]) -> Vec<Column<VmaRow>> {
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
        count_column("present", "PRESENT", "present page-table entries", |c| c.present),
        Column::summed("change", "CHANGE", "change of the present pages since the last round (-d)", |row: &VmaRow| {
            row.present_change.map_or(Cell::Unknown, Cell::Change)
        }),
        count_column("zero", "ZERO", "of the present: the shared zero page, read but never written", |c| c.zero),
        count_column("huge", "HUGE", "of the present: mapped by a PMD, in base pages", |c| c.huge),
        count_column("swap", "SWAP", "swapped out (swapped-out shared memory leaves no entry)", |c| c.swapped),
        count_column("guard", "GUARD", "guard regions (MADV_GUARD_INSTALL)", |c| c.guard),
        count_column("marker", "MARKER", "markers of userfaultfd or poison", |c| c.marker),
        count_column("special", "SPECIAL", "being migrated, on a device, poisoned, or hidden from this user", |c| {
            c.special
        }),
        owner("exclusive", "EXCL", "frames mapped once (--owners)", |o| Cell::Pages(o.exclusive)),
        owner("shared", "SHARED", "frames mapped more than once (--owners)", |o| Cell::Pages(o.shared)),
        owner("pss", "PSS", "each frame's size divided by its mapcount (--owners)", |o| Cell::Bytes(o.pss_bytes())),
        Column::text("kind", "KIND", "anon, heap, stack, file, shmem, hugetlb or special", |row: &VmaRow| {
            Cell::Text(row.kind.name())
        }),
        Column::text("offset", "OFFSET", "where in the file it begins", |row: &VmaRow| Cell::Address(row.vma.offset)),
        Column::text("dev", "DEV", "device of the file, major:minor", |row: &VmaRow| Cell::Dev(row.vma.dev)),
        Column::number("inode", "INODE", "inode of the file", |row: &VmaRow| Cell::Id(row.vma.inode)),
        Column::text("mapping", "MAPPING", "name as in maps; [anon] where there is none", |row: &VmaRow| {
            if row.vma.name.is_empty() { Cell::Unnamed("[anon]") } else { Cell::Name(&row.vma.name) }
        }),
    ];
    columns.extend(smaps_keys.iter().enumerate().map(|(position, key)| smaps_column(key, position)));
    columns
}

/// A column of counts. Its function is made for it, not called through a pointer: a long table calls it often.
fn count_column(
    name: &str,
    heading: &str,
    help: &str,
    field: impl Fn(&Counts) -> u64 + Send + Sync + 'static,
) -> Column<VmaRow> {
    Column::summed(name, heading, help, move |row: &VmaRow| match &row.counts {
        Some(counts) => Cell::Pages(field(counts)),
        None => Cell::Unknown,
    })
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

/// The columns of mappings that are shown unless others are asked for: such that 80 columns suffice.
pub fn default_vma_columns(width: Option<usize>, owners: bool, rounds: bool) -> Vec<&'static str> {
    let wide = width.is_none_or(|width| width >= 110);
    let mut names = vec!["address", "perm"];
    names.extend((wide || !owners).then_some("size"));
    names.push("present");
    names.extend(rounds.then_some("change"));
    names.extend((wide || !owners).then_some(["zero", "huge", "swap"]).into_iter().flatten());
    names.extend(width.is_some_and(|width| width >= 110).then_some("guard"));
    names.extend(owners.then_some(["exclusive", "shared", "pss"]).into_iter().flatten());
    names.extend(width.is_some_and(|width| width >= 110).then_some("kind"));
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
    let owner = |name: &str, heading: &str, help: &str, cell: fn(&Owners) -> Cell<'static>| {
        Column::summed(name, heading, help, move |process: &ProcessFrames| {
            process.owners.as_ref().map_or(Cell::Unknown, cell)
        })
    };
    vec![
        Column::number("pid", "PID", "process", |process: &ProcessFrames| Cell::Id(u64::from(process.pid))),
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
        owner("exclusive", "EXCL", "frames mapped once (--owners)", |o| Cell::Pages(o.exclusive)),
        owner("shared", "SHARED", "frames mapped more than once (--owners)", |o| Cell::Pages(o.shared)),
        owner("pss", "PSS", "each frame's size divided by its mapcount (--owners)", |o| Cell::Bytes(o.pss_bytes())),
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

/// The columns of processes that are shown unless others are asked for: such that 80 columns suffice.
pub fn default_process_columns(width: Option<usize>, verify: bool, owners: bool, rounds: bool) -> Vec<&'static str> {
    let wide = width.is_none_or(|width| width >= 120);
    let more = usize::from(verify) + usize::from(rounds) + 3 * usize::from(owners);
    let mut names = vec!["pid", "present"];
    names.extend((wide || more < 2).then_some(["zero", "hugetlb"]).into_iter().flatten());
    names.push("resident");
    names.extend((wide || !owners).then_some("statm"));
    names.extend(verify.then_some("rss"));
    names.push("unexplained");
    names.extend(width.is_some_and(|width| width >= 100).then_some("swap"));
    names.extend(owners.then_some(["exclusive", "shared", "pss"]).into_iter().flatten());
    names.extend(rounds.then_some("change"));
    names.push("comm");
    names.extend(width.is_some_and(|width| width >= 120).then_some("command"));
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
    writeln!(out, "  {}", why.words())
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
    let line = format!("{line}{}", counted_in(layout));
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))
}

/// What the counts of a table are counts of, where its headings do not say it.
fn counted_in(layout: &Layout) -> String {
    match layout.scale.unit {
        Unit::Human | Unit::Pages => format!(" · counts are pages of {} KiB", layout.scale.page_size.bytes() / 1024),
        _ => String::new(),
    }
}

/// The line below a table of processes.
pub fn write_processes_end(out: &mut dyn Write, processes: usize, layout: &Layout) -> io::Result<()> {
    let shared = "shared frames count in each";
    let line = format!("{} processes; {shared}{}", grouped_string(processes as u64), counted_in(layout));
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))
}

/// The ledger in words.
pub fn write_ledger(out: &mut dyn Write, process: &ProcessFrames, layout: &Layout) -> io::Result<()> {
    let Some(ledger) = &process.ledger else { return Ok(()) };
    for line in ledger_lines(process, ledger, layout) {
        writeln!(out, "{line}")?;
    }
    if let Some(change) = &process.change {
        let changes = [
            ("resident", change.resident_pages),
            ("present", change.present_pages),
            ("swapped", change.swapped_pages),
            ("mappings", change.vmas),
        ];
        let told: Vec<String> = changes
            .iter()
            .filter(|(_, change)| *change != 0)
            .map(|(what, change)| {
                let sign = if *change < 0 { "−" } else { "+" };
                format!("{what} {sign}{}", grouped_string(change.unsigned_abs()))
            })
            .collect();
        let told = if told.is_empty() { "no change".to_owned() } else { told.join(", ") };
        writeln!(out, "  since the last look: {}", layout.palette.paint(Emphasis::Accent, &told))?;
    }
    Ok(())
}

fn ledger_lines(process: &ProcessFrames, ledger: &Ledger, layout: &Layout) -> Vec<String> {
    // As wide as the widest number, those that are taken away with their sign.
    let all = [ledger.present_pages, ledger.statm_resident_pages, ledger.smaps_rss_pages.unwrap_or(0)];
    let beside = [ledger.swapped_pages, ledger.guard_pages, ledger.marker_pages, ledger.special_pages];
    let widest = |numbers: &[u64]| grouped_string(numbers.iter().copied().max().unwrap_or(0)).len();
    let less_wide = 2 + widest(&[ledger.zero_pages, ledger.hugetlb_pages]);
    let width = widest(&all).max(widest(&beside)).max(less_wide);
    let plain = |pages: u64, words: &str| format!("  {:>width$}  {words}", grouped_string(pages));
    let less = |pages: u64, words: &str, why: &str| {
        let number = format!("−{:>1$}", grouped_string(pages), width - 1);
        format!("  {number:>width$}  {words:<27}{why}")
    };
    let resident =
        format!("frames resident = {}", human_string(layout.scale.page_size.bytes_of(ledger.resident_pages)));
    let mut lines = vec![
        plain(ledger.present_pages, "page-table entries are present"),
        less(ledger.zero_pages, "map the shared zero page", "never written: no frame of their own"),
        less(ledger.hugetlb_pages, "hugetlb", "accounted apart"),
        layout.palette.paint(Emphasis::Accent, &plain(ledger.resident_pages, &resident)),
    ];
    let mut says = |who: &str, pages: u64, why: &str| {
        let difference = difference(pages, ledger.resident_pages);
        lines.push(if difference == 0 {
            plain(pages, &format!("{who} says so too"))
        } else {
            let more = if difference < 0 { "fewer" } else { "more" };
            let words = format!("{who} says: {} {more}{why}", grouped_string(difference.unsigned_abs()));
            layout.palette.paint(Emphasis::Wrong, &plain(pages, &words))
        });
    };
    says("statm", ledger.statm_resident_pages, why_statm_differs(ledger));
    if let Some(rss) = ledger.smaps_rss_pages {
        says("smaps", rss, if ledger.held_still { " (unexplained)" } else { ": the process was moving" });
    }
    if let Some(owners) = &process.owners {
        lines.push(plain(owners.exclusive, "of the frames are mapped by this process alone"));
        let pss = human_string(owners.pss_bytes());
        lines.push(plain(owners.shared, &format!("are mapped more than once; its proportional share (PSS) is {pss}")));
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

fn why_statm_differs(ledger: &Ledger) -> &'static str {
    let difference = ledger.statm_resident_pages.abs_diff(ledger.resident_pages);
    match ledger.statm_bound_pages {
        Some(bound) if difference <= bound => " — as it may on this kernel: see the note",
        // Pages that are being migrated have no present entry, and statm counts them.
        _ if ledger.statm_resident_pages > ledger.resident_pages && difference <= ledger.special_pages => {
            " — it counts pages that are being migrated"
        }
        _ if !ledger.held_still => ": the process was moving",
        _ => " (unexplained)",
    }
}
