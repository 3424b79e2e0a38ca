//! The output of `pmem frames`: a table of mappings and a ledger for each process, or a line for each.

pub(crate) mod live;

use std::io::{self, Write};

use super::cell::Cell;
use super::field::{Column, Field, Kind};
use super::size::{Unit, counted, grouped_string, human_string};
use super::style::Emphasis;
use super::table::{self, Layout, clipped};
use crate::analysis::frames::change::Change;
use crate::analysis::frames::{Counts, Ledger, NoAddressSpace, Owners, ProcessFrames, VmaRow};
use crate::model::smaps::{NUMBERS, VM_FLAGS, Value};
use crate::unit::difference;

/// The fields of a mapping, with the values of `smaps_keys` last; with `owners`, also how its frames are shared; with
/// `rounds`, how it changed.
pub(crate) fn mapping_fields(smaps_keys: &[String], owners: bool, rounds: bool) -> Vec<Field<VmaRow>> {
    let mut fields = vec![
        Field::address("start", "ADDRESS", "First address", |row: &VmaRow| row.vma.range.start.0).alias("address"),
        Field::address("end", "END", "End address, exclusive", |row: &VmaRow| row.vma.range.end.0),
        Field::text(
            "perm",
            "PERM",
            "Permissions as in maps: read, write, execute; shared or private",
            |row: &VmaRow| row.vma.perm.as_str(),
        ),
        Field::label("offset", "OFFSET", "Offset in the file, in bytes", Kind::Unsigned, |row: &VmaRow| {
            Cell::Offset(row.vma.offset)
        })
        .always(),
        Field::label("dev", "DEV", "Device of the file, major:minor", Kind::Text, |row: &VmaRow| {
            Cell::Dev(row.vma.dev)
        })
        .always(),
        Field::id("inode", "INODE", "Inode of the file", |row: &VmaRow| row.vma.inode),
        Field::label(
            "name",
            "MAPPING",
            "Name as in maps; empty for anonymous memory without one",
            Kind::Name,
            |row: &VmaRow| {
                if row.vma.name.is_empty() { Cell::Unnamed("[anon]") } else { Cell::Name(&row.vma.name) }
            },
        )
        .always()
        .alias("mapping"),
        Field::text(
            "kind",
            "KIND",
            "Kind of memory: anon, heap, stack, file, shmem, hugetlb or special",
            |row: &VmaRow| row.kind.name(),
        ),
        Field::label("size_pages", "SIZE", "Size of the mapping", Kind::Unsigned, |row: &VmaRow| {
            Cell::PagesAsSize(row.size_pages)
        })
        .in_pages()
        .summed()
        .alias("size"),
        count("present_pages", "PRESENT", "Present page-table entries", |c| c.present).alias("present"),
        count("zero_pages", "ZERO", "Present entries of the shared zero page: read but never written", |c| c.zero)
            .alias("zero"),
        count("huge_pages", "HUGE", "Present entries mapped by a PMD, in base pages", |c| c.huge).alias("huge"),
        count("swapped_pages", "SWAP", "Swap entries (swapped-out shared memory leaves none)", |c| c.swapped)
            .alias("swap"),
        count("guard_pages", "GUARD", "Guard regions (MADV_GUARD_INSTALL)", |c| c.guard).alias("guard"),
        count("marker_pages", "MARKER", "Userfaultfd or poison markers", |c| c.marker).alias("marker"),
        count("special_pages", "SPECIAL", "Being migrated, on a device, poisoned, or hidden from this user", |c| {
            c.special
        })
        .alias("special"),
    ];
    fields.extend(owner_fields(owners, |row: &VmaRow| row.owners.as_deref()));
    fields.push(
        Field::pages_change(
            "present_change_pages",
            "CHANGE",
            "Change in present pages since the previous round",
            |row: &VmaRow| row.present_change,
        )
        .summed()
        .only_if(rounds)
        .alias("change"),
    );
    fields.extend(smaps_keys.iter().enumerate().map(|(position, key)| smaps_field(key, position)));
    fields
}

/// A field of counts. Its function is generic and not called through a pointer, because a long table calls it often.
fn count(
    name: &'static str,
    heading: &'static str,
    help: &'static str,
    field: impl Fn(&Counts) -> u64 + Send + Sync + 'static,
) -> Field<VmaRow> {
    Field::pages(name, heading, help, move |row: &VmaRow| row.counts.as_ref().map(&field)).summed()
}

/// The fields of owners, on request unless `wanted`.
fn owner_fields<R: 'static>(wanted: bool, owners: fn(&R) -> Option<&Owners>) -> [Field<R>; 3] {
    [
        Field::pages("exclusive_pages", "EXCL", "Entries whose frame is mapped once (--owners)", move |row: &R| {
            owners(row).map(|o| o.exclusive)
        })
        .alias("exclusive"),
        Field::pages(
            "shared_pages",
            "SHARED",
            "Entries whose frame is mapped more than once (--owners)",
            move |row: &R| owners(row).map(|o| o.shared),
        )
        .alias("shared"),
        Field::bytes("pss_bytes", "PSS", "Size of each frame divided by its mapcount (--owners)", move |row: &R| {
            owners(row).map(Owners::pss_bytes)
        })
        .alias("pss"),
    ]
    .map(|field| field.summed().only_if(wanted))
}

/// A value of smaps, which was requested.
fn smaps_field(key: &str, position: usize) -> Field<VmaRow> {
    let (alias, heading) = (key.to_owned(), key.to_owned());
    if key == VM_FLAGS {
        return Field::label(format!("smaps.{key}"), heading, "Flags of the mapping", Kind::VmFlags, |row: &VmaRow| {
            row.smaps.as_ref().and_then(|s| s.flags.as_deref()).map_or(Cell::Unknown, Cell::Flags)
        })
        .alias(alias);
    }
    fn value(row: &VmaRow, position: usize) -> Cell<'_> {
        match row.smaps.as_ref().and_then(|smaps| smaps.values[position]) {
            Some(Value::Bytes(bytes)) => Cell::Bytes(bytes),
            Some(Value::Number(number)) => Cell::Number(number),
            None => Cell::Unknown,
        }
    }
    let help = "As in smaps";
    let is_number = NUMBERS.contains(&key);
    let name = if is_number { format!("smaps.{key}") } else { format!("smaps.{key}_bytes") };
    let field =
        Field::label(name, heading, help, Kind::Unsigned, move |row: &VmaRow| value(row, position)).alias(alias);
    let field = if is_number { field.aligned_right() } else { field.in_bytes() };
    // The sum of all mappings' page sizes means nothing.
    if matches!(key, "KernelPageSize" | "MMUPageSize") { field } else { field.summed() }
}

/// The default columns of mappings, chosen to fit into 80 columns.
pub(crate) fn default_mapping_fields(width: Option<usize>, owners: bool, rounds: bool) -> Vec<&'static str> {
    let wide = width.is_none_or(|width| width >= 110);
    let on_wide_terminal = width.is_some_and(|width| width >= 110);
    let mut names = vec!["start", "perm"];
    names.extend((wide || !owners).then_some("size_pages"));
    names.push("present_pages");
    names.extend(rounds.then_some("present_change_pages"));
    names.extend((wide || !owners).then_some(["zero_pages", "huge_pages", "swapped_pages"]).into_iter().flatten());
    names.extend(on_wide_terminal.then_some("guard_pages"));
    names.extend(owners.then_some(["exclusive_pages", "shared_pages", "pss_bytes"]).into_iter().flatten());
    names.extend(on_wide_terminal.then_some("kind"));
    names.push("name");
    names
}

/// The fields of a process; with `owners`, also how its frames are shared; with `rounds`, how it changed.
pub(crate) fn process_fields(owners: bool, rounds: bool) -> Vec<Field<ProcessFrames>> {
    type Process = ProcessFrames;
    let pages = |name, heading, help, of: fn(&Ledger) -> Option<u64>| {
        Field::pages(name, heading, help, move |process: &Process| process.ledger.as_ref().and_then(of)).summed()
    };
    let change = |name, heading, help, of: fn(&Change) -> i64| {
        Field::pages_change(name, heading, help, move |process: &Process| process.change.as_ref().map(of))
            .only_if(rounds)
    };
    let mut fields = vec![
        Field::id("pid", "PID", "Process ID", |process: &Process| u64::from(process.pid)),
        Field::name("comm", "COMM", "Name of the process", |process: &Process| &process.comm),
        Field::name("command_line", "COMMAND", "Command line", |process: &Process| &process.command_line)
            .alias("command")
            .on_request(),
        Field::id("start_time_ticks", "STARTED", "When it started, in clock ticks since boot", |process: &Process| {
            process.start_time_ticks
        }),
        Field::label(
            "no_address_space",
            "WHY NONE",
            "Why there is no address space: kernel-thread or zombie",
            Kind::Text,
            |process: &Process| process.no_address_space.map_or(Cell::Absent, |why| Cell::Text(why.name())),
        ),
        Field::count("mappings", "VMAS", "Mappings", |process: &Process| process.vma_count as u64).alias("vmas"),
        pages("ledger.present_pages", "PRESENT", "Present page-table entries", |l| Some(l.present_pages))
            .alias("present"),
        pages("ledger.zero_pages", "ZERO", "Present entries of the shared zero page", |l| Some(l.zero_pages))
            .alias("zero"),
        pages("ledger.hugetlb_pages", "HUGETLB", "Present hugetlb pages", |l| Some(l.hugetlb_pages)).alias("hugetlb"),
        pages("ledger.resident_pages", "RESIDENT", "Present minus zero minus hugetlb", |l| Some(l.resident_pages))
            .alias("resident"),
        pages("ledger.statm_resident_pages", "STATM", "Resident pages in statm", |l| Some(l.statm_resident_pages))
            .alias("statm"),
        pages("ledger.smaps_rss_pages", "SMAPS", "Rss in smaps_rollup (--verify)", |l| l.smaps_rss_pages).alias("rss"),
        pages("ledger.swapped_pages", "SWAP", "Swap entries", |l| Some(l.swapped_pages)).alias("swap"),
        pages("ledger.guard_pages", "GUARD", "Guard regions", |l| Some(l.guard_pages)).alias("guard"),
        pages("ledger.marker_pages", "MARKER", "Userfaultfd or poison markers", |l| Some(l.marker_pages)),
        pages("ledger.special_pages", "SPECIAL", "Being migrated, on a device, or poisoned", |l| Some(l.special_pages)),
        Field::pages_change(
            "ledger.unexplained_pages",
            "UNEXPL",
            "Resident minus the kernel's count",
            |process: &Process| process.ledger.as_ref().map(|l| l.unexplained_pages),
        )
        .alias("unexplained"),
        Field::count(
            "ledger.attempts",
            "TRIES",
            "Readings needed until the process stayed unchanged during one",
            |process: &Process| process.ledger.as_ref().map(|l| u64::from(l.attempts)),
        )
        .alias("attempts"),
        Field::bool(
            "ledger.held_still",
            "STILL",
            "Whether the process stayed unchanged during the last reading",
            |process: &Process| process.ledger.as_ref().map(|l| l.held_still),
        ),
        pages("ledger.statm_bound_pages", "STATM±", "Largest error of statm on this kernel", |l| l.statm_bound_pages)
            .with_total(false),
    ];
    fields.extend(owner_fields(owners, |process: &Process| process.owners.as_ref()));
    fields.extend([
        change("change.resident_pages", "CHANGE", "Change in resident frames since the previous round", |c| {
            c.resident_pages
        })
        .summed()
        .alias("change"),
        change("change.present_pages", "Δ PRESENT", "Change in present entries since the previous round", |c| {
            c.present_pages
        }),
        change("change.swapped_pages", "Δ SWAP", "Change in swap entries since the previous round", |c| {
            c.swapped_pages
        }),
        Field::count_change(
            "change.mappings",
            "Δ VMAS",
            "Change in mappings since the previous round",
            |process: &Process| process.change.as_ref().map(|change| change.vmas),
        )
        .only_if(rounds),
    ]);
    fields
}

/// The default columns of processes, chosen to fit into 80 columns.
pub(crate) fn default_process_fields(
    width: Option<usize>,
    verify: bool,
    owners: bool,
    rounds: bool,
) -> Vec<&'static str> {
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

/// The heading of a process's report: which process it is, and since when it has been running.
pub(crate) fn write_head(
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
pub(crate) fn write_no_address_space(out: &mut dyn Write, why: NoAddressSpace) -> io::Result<()> {
    writeln!(out, "  {}", why.words())
}

/// The table of a process's mappings.
pub(crate) fn write_vmas(
    out: &mut dyn Write,
    process: &ProcessFrames,
    columns: &[&Column<VmaRow>],
    layout: &Layout,
) -> io::Result<()> {
    table::write(out, columns, &process.vmas, Some("total"), layout)?;
    let (shown, all) = (process.vmas.len(), process.vma_count);
    let line = match shown == all {
        true => counted(shown as u64, "mapping", "mappings"),
        false => {
            let all = counted(all as u64, "mapping", "mappings");
            format!("{} of {all}; the ledger covers all of them", grouped_string(shown as u64))
        }
    };
    let line = format!("{line}{}", counted_in(layout));
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))
}

/// The unit of the counts in a table, if its headings do not say it.
fn counted_in(layout: &Layout) -> String {
    match layout.scale.unit {
        Unit::Human | Unit::Pages => format!(" · counts are pages of {} KiB", layout.scale.page_size.bytes() / 1024),
        _ => String::new(),
    }
}

/// The line below a table of processes.
pub(crate) fn write_processes_end(out: &mut dyn Write, processes: usize, layout: &Layout) -> io::Result<()> {
    let shared = "shared frames count in each one";
    let processes = counted(processes as u64, "process", "processes");
    let line = format!("{processes}; {shared}{}", counted_in(layout));
    writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, &line))
}

/// The ledger in words.
pub(crate) fn write_ledger(out: &mut dyn Write, process: &ProcessFrames, layout: &Layout) -> io::Result<()> {
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
        writeln!(out, "  since the previous round: {}", layout.palette.paint(Emphasis::Accent, &told))?;
    }
    Ok(())
}

fn ledger_lines(process: &ProcessFrames, ledger: &Ledger, layout: &Layout) -> Vec<String> {
    // As wide as the widest number; subtracted ones include their sign.
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
        less(ledger.zero_pages, "map the shared zero page", "never written: no frames of their own"),
        less(ledger.hugetlb_pages, "hugetlb", "accounted separately"),
        layout.palette.paint(Emphasis::Accent, &plain(ledger.resident_pages, &resident)),
    ];
    let mut says = |who: &str, pages: u64, why: &str| {
        let difference = difference(pages, ledger.resident_pages);
        lines.push(if difference == 0 {
            plain(pages, &format!("{who} agrees"))
        } else {
            let more = if difference < 0 { "fewer" } else { "more" };
            let words = format!("{who}: {} {more}{why}", grouped_string(difference.unsigned_abs()));
            layout.palette.paint(Emphasis::Wrong, &plain(pages, &words))
        });
    };
    says("statm", ledger.statm_resident_pages, why_statm_differs(ledger));
    if let Some(rss) = ledger.smaps_rss_pages {
        says("smaps", rss, if ledger.held_still { " (unexplained)" } else { ": the process was changing" });
    }
    if let Some(owners) = &process.owners {
        lines.push(plain(owners.exclusive, "frames are mapped only by this process"));
        let pss = human_string(owners.pss_bytes());
        lines.push(plain(owners.shared, &format!("are mapped more than once; proportional share (PSS): {pss}")));
    }
    let mut besides = |pages: u64, words: &str| {
        if pages > 0 {
            lines.push(plain(pages, words));
        }
    };
    besides(ledger.swapped_pages, "more are swapped out");
    besides(ledger.guard_pages, "are guard regions: neither memory nor swap");
    besides(ledger.marker_pages, "are userfaultfd or poison markers: neither memory nor swap");
    besides(ledger.special_pages, "are being migrated, on a device, poisoned, or of a kind hidden from this user");
    lines
}

fn why_statm_differs(ledger: &Ledger) -> &'static str {
    let difference = ledger.statm_resident_pages.abs_diff(ledger.resident_pages);
    match ledger.statm_bound_pages {
        Some(bound) if difference <= bound => " — within its error on this kernel: see the note",
        // Pages that are being migrated have no present entry, and statm counts them.
        _ if ledger.statm_resident_pages > ledger.resident_pages && difference <= ledger.special_pages => {
            " — it counts pages under migration"
        }
        _ if !ledger.held_still => ": the process was changing",
        _ => " (unexplained)",
    }
}
