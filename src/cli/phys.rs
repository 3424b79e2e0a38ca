//! `pmem phys`: what all of physical memory is used for.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args as ClapArgs;

use super::options::{GlobalOptions, Repeat};
use super::output::{Output, check_new, write_file};
use super::run::command::{self, Asked, Reading, Shown};
use super::run::context::Context;
use super::status::Status;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::physical::phys::{self, ClassRow, Report, Wanted};
use crate::view::field::Field;
use crate::view::phys as view;
use crate::view::table::Layout;

/// Show what all of physical memory is used for
///
/// Reads every page frame once: classes that add up to the frames read, combinations of flags, folio sizes, zones, and
/// whether the kernel's own counters agree, with the reason where they do not. Needs root.
#[derive(Debug, ClapArgs)]
#[command(mut_arg("delay", |delay| delay.help("Repeat every SECONDS")))]
#[command(after_long_help = "Examples:
  sudo pmem phys                   classes, folios, zones, flags, and the kernel's counters
  sudo pmem phys --cgroups         also the memory cgroups the frames are charged to
  sudo pmem phys --map             physical memory as a picture
  sudo pmem phys --json | jq '.data.flags[] | select(.flags.names | index(\"HWPOISON\"))'
                                   frames with a certain flag, for a program")]
pub struct Args {
    /// Show how many page-table entries map frames (also reads kpagecount)
    #[arg(long)]
    mapcounts: bool,
    /// Show the memory cgroups that frames are charged to (also reads kpagecgroup)
    #[arg(long)]
    cgroups: bool,
    /// Draw physical memory: one character per block, by its main class
    #[arg(long)]
    map: bool,
    /// Also draw it into an SVG file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["delay", "count"])]
    svg: Option<PathBuf>,
    #[command(flatten)]
    repeat: Repeat,
}

impl Args {
    /// Whether it writes a file in addition to its output.
    pub(super) fn writes_a_file(&self) -> bool {
        self.svg.is_some()
    }
}

pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let cx = Context::open(global, output)?;
    command::run(&mut Phys { args, took: Duration::ZERO }, args.repeat.rounds(), &cx, output)
}

/// The command as the driver runs it.
struct Phys<'a> {
    args: &'a Args,
    /// How long the last sweep took.
    took: Duration,
}

impl command::Command for Phys<'_> {
    const SCHEMA: &'static str = "pmem.phys/1";
    const ROWS: &'static str = "classes";
    type Row = ClassRow;
    type Report = Report;

    fn fields(&self) -> Vec<Field<ClassRow>> {
        view::fields()
    }

    fn read(&mut self, cx: &Context<'_>, _: &Asked<'_>) -> Result<Reading<Report>> {
        let root = &cx.root;
        let frame_reader = FrameReader::new(root, &root.features_cheaply())?;
        let end = phys::end(root, &frame_reader.physical, &frame_reader.files.flags)?;
        if let Some(path) = &self.args.svg {
            check_new(path, cx.may_replace())?;
        }
        let draws = self.args.map || self.args.svg.is_some();
        let block_frames = || view::map::block_frames(phys::frames(&frame_reader, end), cells(&cx.layout));
        let wanted = Wanted {
            mapcounts: self.args.mapcounts,
            cgroups: self.args.cgroups,
            block_frames: draws.then(block_frames),
        };
        let mut progress = cx.progress();
        let began = Instant::now();
        let found = phys::phys(root, &frame_reader, wanted, end, |done| progress.show(|| percent(done, end)))?;
        self.took = began.elapsed();
        drop(progress);
        if let (Some(path), Some(map)) = (&self.args.svg, &found.map) {
            write_file(path, cx.may_replace(), view::map::svg(&found, map, root.page_size()).as_bytes())?;
        }
        Ok(Reading::of(found, frame_reader.notes()))
    }

    fn rows(report: &Report) -> &[ClassRow] {
        &report.classes
    }

    fn rows_mut(report: &mut Report) -> &mut [ClassRow] {
        &mut report.classes
    }

    fn people(&self, shown: &Shown<'_, Self>, out: &mut dyn Write) -> io::Result<()> {
        let Shown { report, layout, .. } = *shown;
        if shown.only_columns() || shown.is_sorted {
            return shown.table(out, &shown.columns(view::DEFAULT), Some("total"));
        }
        view::write_head(out, report, self.took, layout)?;
        if let Some(map) = report.map.as_ref().filter(|_| self.args.map) {
            view::map::write(out, map, cells(layout), layout)?;
            view::map::write_legend(out, report, map, layout)?;
            return shown.notes(out);
        }
        view::write(out, report, layout)?;
        shown.notes(out)
    }
}

/// The characters of a line of the map.
fn cells(layout: &Layout) -> u64 {
    view::map::cells_in(layout.width)
}

/// The progress of a sweep.
pub(super) fn percent(done: u64, end: u64) -> String {
    match end {
        0 | u64::MAX => format!("{done} frames"),
        end => format!("{} % of {end} frames", u128::from(done) * 100 / u128::from(end)),
    }
}
