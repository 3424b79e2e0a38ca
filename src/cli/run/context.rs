//! What a command runs with: the root it reads, and the options that all commands share.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::columns::{Choice, Words};
use crate::cli::options::{Format, GlobalOptions};
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::kernel::root::Root;
use crate::view::field::Field;
use crate::view::table::Layout;

/// The root and the options of one run.
pub(in crate::cli) struct Context<'g> {
    global: &'g GlobalOptions,
    /// Where everything is read from.
    pub(in crate::cli) root: Root,
    /// How tables are laid out.
    pub(in crate::cli) layout: Layout,
    /// Whether a live screen has the terminal, so that nothing else may be written to it.
    is_live: AtomicBool,
    /// Whether the current reading is no longer wanted.
    is_over: AtomicBool,
}

impl<'g> Context<'g> {
    /// Opens the root that the options name.
    pub(in crate::cli) fn open(global: &'g GlobalOptions, output: &Output) -> Result<Self> {
        Ok(Self::with(Root::open(&global.root)?, global, output))
    }

    /// Like [`open`](Self::open), for commands that read nothing from the machine: works even if procfs is not mounted.
    pub(in crate::cli) fn open_unread(global: &'g GlobalOptions, output: &Output) -> Result<Self> {
        Ok(Self::with(Root::open_unread(&global.root)?, global, output))
    }

    /// The same options for another root.
    pub(in crate::cli) fn with(root: Root, global: &'g GlobalOptions, output: &Output) -> Self {
        let layout = output.layout(global, &root);
        Self { global, root, layout, is_live: AtomicBool::new(false), is_over: AtomicBool::new(false) }
    }

    /// Whether the output is for people: a table, text, or a screen.
    pub(in crate::cli) fn is_for_people(&self) -> bool {
        self.format() == Format::Table
    }

    /// Whether the output is one document that contains everything.
    pub(in crate::cli) fn is_document(&self) -> bool {
        self.format() == Format::Json
    }

    /// Whether the output is CSV.
    pub(super) fn is_records(&self) -> bool {
        self.format() == Format::Csv
    }

    /// The format of the output.
    pub(super) fn format(&self) -> Format {
        self.global.format()
    }

    /// The fields of a row for programs, in the requested format.
    pub(in crate::cli) fn for_programs<'c, R>(&self, choice: &'c Choice<R>) -> Vec<&'c Field<R>> {
        match self.format() {
            Format::Json => choice.for_documents(),
            Format::Csv => choice.for_records(),
            Format::Jsonl | Format::Table => choice.for_lines(),
        }
    }

    /// Whether a live screen is possible: the output is for people, on a terminal that can be drawn on.
    pub(super) fn has_screen(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        self.is_for_people() && self.global.out.is_none() && !dumb && std::io::stdout().is_terminal()
    }

    /// The words that choose columns and their order.
    pub(in crate::cli) fn words(&self) -> Words<'_> {
        Words { columns: self.global.columns.as_deref(), sort: self.global.sort.as_deref() }
    }

    /// Whether `--columns` asks for the list of columns.
    pub(in crate::cli) fn asks_for_columns(&self) -> bool {
        self.global.asks_for_columns()
    }

    /// Whether to write header rows.
    pub(super) fn has_headings(&self) -> bool {
        !self.global.no_headings
    }

    /// Whether to print less on standard error.
    pub(in crate::cli) fn is_quiet(&self) -> bool {
        self.global.quiet || self.is_live.load(Ordering::Relaxed)
    }

    /// Sets whether a live screen has the terminal.
    pub(super) fn set_live(&self, is_live: bool) {
        self.is_live.store(is_live, Ordering::Relaxed);
    }

    /// Whether the current reading is no longer wanted: long work then ends early.
    pub(in crate::cli) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Marks the current reading as no longer wanted.
    pub(super) fn set_over(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether more explanations are wanted.
    pub(in crate::cli) fn is_verbose(&self) -> bool {
        self.global.verbose
    }

    /// The progress of work that begins now.
    pub(in crate::cli) fn progress(&self) -> Progress {
        Progress::new(self.is_quiet())
    }

    /// Whether a file may be replaced.
    pub(in crate::cli) fn may_replace(&self) -> bool {
        self.global.force
    }
}
