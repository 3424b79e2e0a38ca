//! `pmem phys`: what all of physical memory is used for.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::GlobalOptions;
use super::output::{Output, check_new, write_file};
use super::progress::Progress;
use super::status::Status;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::physical::phys::{self, Wanted};
use crate::cli::run::old::Choice;
use crate::cli::run::old::Report;
use crate::kernel::root::Root;
use crate::view::notes::write as write_notes;
use crate::view::phys as view;

/// Tell what all of physical memory is used for
///
/// Looks at every page frame once: classes that add up to the frames looked at, combinations of flags, the sizes of folios,
/// zones, and how far the kernel's own counters agree, with the reason where they do not. Needs root.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:
  sudo pmem phys                   classes, folios, zones, flags, beside the kernel's counters
  sudo pmem phys --cgroups         and which memory cgroups the frames are charged to
  sudo pmem phys --map             physical memory as a picture
  sudo pmem phys --json | jq '.data.flags[] | select(.flags.names | index(\"HWPOISON\"))'
                                   frames with a flag, for a program")]
pub struct Args {
    /// By how many page-table entries frames are mapped (reads kpagecount too)
    #[arg(long)]
    mapcounts: bool,
    /// Which memory cgroups frames are charged to (reads kpagecgroup too)
    #[arg(long)]
    cgroups: bool,
    /// Draw physical memory: a character for each block, by its main class
    #[arg(long)]
    map: bool,
    /// Draw it into an SVG file, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Args {
    /// Whether it writes a file besides its output.
    pub(super) fn writes_a_file(&self) -> bool {
        self.svg.is_some()
    }
}

/// Runs the command.
pub fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let choice = Choice::new(global, view::columns(), view::DEFAULT)?;
    if let Some(help) = &choice.help {
        output.write_all(help)?;
        return Ok(Status::Complete);
    }
    let root = Root::open(&global.root)?;
    let frame_reader = FrameReader::new(&root, &root.features_cheaply())?;
    let layout = output.layout(global, &root);
    let end = phys::end(&root, &frame_reader.physical, &frame_reader.files.flags)?;
    if let Some(path) = &args.svg {
        check_new(path, global.force)?;
    }
    let cells = view::map::cells_in(layout.width);
    let draws = args.map || args.svg.is_some();
    let wanted = Wanted {
        mapcounts: args.mapcounts,
        cgroups: args.cgroups,
        block_frames: draws.then(|| view::map::block_frames(phys::frames(&frame_reader, end), cells)),
    };
    let mut progress = Progress::new(global.quiet);
    let began = Instant::now();
    let mut found = phys::phys(&root, &frame_reader, wanted, end, |done| {
        progress.show(|| percent(done, end));
    })?;
    let took = began.elapsed();
    drop(progress);
    if let (Some(path), Some(map)) = (&args.svg, &found.map) {
        write_file(path, global.force, view::map::svg(&found, map, root.page_size()).as_bytes())?;
    }
    choice.sort(&mut found.classes);
    let as_table = global.columns.is_some() || global.sort.is_some();
    let report = Report {
        schema: "pmem.phys/1",
        data: &found,
        rows: &found.classes,
        choice: &choice,
        notes: frame_reader.notes(),
    };
    report.write(output, global, &root, |out, found, notes| {
        if as_table {
            return crate::view::table::write(out, &choice.columns(), &found.classes, Some("total"), &layout);
        }
        view::write_head(out, found, took, &layout)?;
        if let Some(map) = found.map.as_ref().filter(|_| args.map) {
            view::map::write(out, map, cells, &layout)?;
            view::map::write_legend(out, found, map, &layout)?;
            return write_notes(out, notes, &layout);
        }
        view::write_classes(out, found, &layout)?;
        view::write_folios(out, found, &layout)?;
        view::write_zones(out, found, &layout)?;
        view::write_flags(out, found, &layout)?;
        if let Some(rows) = &found.mapcounts {
            view::write_mapcounts(out, rows, &layout)?;
        }
        if let Some(rows) = &found.cgroups {
            view::write_cgroups(out, rows, &layout)?;
        }
        view::write_checks(out, found, &layout)?;
        write_notes(out, notes, &layout)
    })?;
    Ok(Status::Complete)
}

/// How far a sweep is.
pub(super) fn percent(done: u64, end: u64) -> String {
    match end {
        0 | u64::MAX => format!("{done} frames"),
        end => format!("{} % of {end} frames", u128::from(done) * 100 / u128::from(end)),
    }
}
