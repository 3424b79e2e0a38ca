//! The live screen of `pmem frames --top`.

use super::ledger_lines;
use crate::analysis::frames::{ProcessFrames, Processes};
use crate::view::screen::{CHANGE, Live, OF_CHANGES, Said, Spec, Sum, pick};
use crate::view::size::{Scale, counted, grouped_string};
use crate::view::style::Palette;
use crate::view::table::{Layout, clipped};

/// The screen of processes.
pub(crate) enum Tasks {}

impl Live for Tasks {
    type Row = ProcessFrames;
    type Report = Processes;

    const SPEC: Spec = Spec {
        command: "frames",
        rows: ["process", "processes"],
        identity: &["pid", "start_time_ticks"],
        followed: &["ledger.resident_pages"],
        columns: &[
            pick('p', "pid", 12),
            pick('o', "ledger.present_pages", 6),
            pick('z', "ledger.zero_pages", 3),
            pick('t', "ledger.hugetlb_pages", 2),
            pick('m', "ledger.resident_pages", 11),
            pick('x', "pss", 8),
            pick('w', "ledger.swapped_pages", 7),
            pick('u', "ledger.unexplained_pages", 4),
            pick('v', "mappings", 5),
            pick('d', CHANGE, 10),
            pick('n', "comm", u8::MAX),
        ],
        sort: 'm',
        help: &[
            "Without a target, only the process that started pmem is shown; -a shows all processes.",
            "RESIDENT: present entries minus zero page and hugetlb; shared frames count in each process.",
            "UNEXPL: resident minus the kernel's count; 0 unless the process was changing.",
            OF_CHANGES,
            "Growing (g): more is resident than a minute ago.",
            "Bars: resident pages, scaled from minimum to maximum; flat: no change.",
        ],
    };

    fn sums(report: &Processes, scale: &Scale, _is_whole: bool) -> Vec<Sum> {
        let sum = |of: fn(&ProcessFrames) -> u64| report.rows.iter().map(of).fold(0, u64::saturating_add);
        let with_memory = report.rows.iter().filter(|process| process.ledger.is_some()).count();
        let mut words = counted(report.rows.len() as u64, "process", "processes");
        if report.rows.len() == 1 {
            words += " (-a: all)";
        }
        if with_memory < report.rows.len() {
            words += &format!(", {} with an address space", grouped_string(with_memory as u64));
        }
        let swapped = sum(|process| process.ledger.as_ref().map_or(0, |ledger| ledger.swapped_pages));
        let swapped = scale.sized(scale.page_size.bytes_of(swapped));
        vec![
            Sum::new(5, words),
            Sum::new(3, counted(sum(|process| process.vma_count as u64), "mapping", "mappings")),
            Sum::new(4, format!("{swapped} swapped out")),
        ]
    }

    fn detail(process: &ProcessFrames, scale: &Scale, (width, height): (usize, usize)) -> Option<Vec<Said>> {
        let mut lines: Vec<Said> = vec![("pid".into(), process.pid.to_string())];
        let command = process.command_line.escaped();
        if !command.is_empty() {
            // The beginning of an endless command line.
            lines.push(("command".into(), clipped(&command, width * height / 4)));
        }
        if let Some(why) = process.no_address_space {
            lines.push(("".into(), why.words().to_owned()));
        }
        if let Some(ledger) = &process.ledger {
            let layout =
                Layout { scale: *scale, width: Some(width), height: None, headings: true, palette: Palette::default() };
            let of_ledger = ledger_lines(process, ledger, &layout);
            lines.extend(of_ledger.into_iter().map(|line| split(line.trim_start())));
        }
        lines.extend(process.notes.iter().map(|note| ("note".into(), note.text.to_string())));
        Some(lines)
    }
}

/// Splits a line of the ledger into the number and what it counts.
fn split(line: &str) -> Said {
    // A subtracted number has its sign at the beginning of the column.
    let (sign, rest) = line.strip_prefix('−').map_or(("", line), |rest| ("−", rest.trim_start()));
    let (number, words) = rest.split_once("  ").unwrap_or(("", rest));
    (format!("{sign}{number}").into(), words.trim_start().to_owned())
}
