//! Which columns `pmem frames` shows, and in which order: what `--columns` and `--sort` say.

use std::io::Write;

use anyhow::Result;

use super::frames::Args;
use super::options::GlobalOptions;
use super::status::UsageError;
use crate::analysis::frames::{ProcessFrames, VmaRow};
use crate::analysis::note::Note;
use crate::kernel::process::smaps_keys;
use crate::kernel::root::Root;
use crate::model::smaps::KNOWN_KEYS;
use crate::view::frames as view;
use crate::view::record::{Column, sort};
use crate::view::table::{Layout, write_help};

/// The columns and the order that were chosen.
pub(super) struct Chosen {
    pub(super) vma_columns: Vec<Column<VmaRow>>,
    pub(super) process_columns: Vec<Column<ProcessFrames>>,
    /// The names of those that are shown: of mappings, or with `--summary` of processes.
    names: Vec<String>,
    pub(super) smaps_keys: Vec<String>,
    /// Those that this kernel does not have.
    absent: Vec<String>,
    sort: Option<(String, bool)>,
    /// What `--columns help` prints.
    pub(super) help: Option<Vec<u8>>,
}

impl Chosen {
    pub(super) fn new(args: &Args, global: &GlobalOptions, root: &Root, layout: &Layout) -> Result<Self> {
        let rounds = args.repeat.rounds() != Some(1);
        let default = match args.summary {
            true => view::default_process_columns(layout.width, args.verify, args.owners, rounds),
            false => view::default_vma_columns(layout.width, args.owners, rounds),
        };
        let (sort, descending) = match global.sort.as_deref() {
            None => (None, false),
            Some(name) => match name.strip_prefix('-') {
                Some(name) => (Some(name), true),
                None => (Some(name), false),
            },
        };
        let list = global.columns.as_deref();
        let names = named(list, &default);
        let mut chosen = Self {
            vma_columns: view::vma_columns(&[]),
            process_columns: view::process_columns(),
            names,
            smaps_keys: Vec::new(),
            absent: Vec::new(),
            sort: sort.map(|name| (name.to_owned(), descending)),
            help: None,
        };
        if list == Some("help") {
            chosen.help = Some(columns_help(&chosen, &smaps_keys(root))?);
            return Ok(chosen);
        }
        let known: Vec<&str> = match args.summary {
            true => chosen.process_columns.iter().map(|c| c.name.as_str()).collect(),
            false => chosen.vma_columns.iter().map(|c| c.name.as_str()).collect(),
        };
        if !rounds && names_one(&chosen, sort, &["change"]) {
            let text = "change: there is none in one round; repeat with -d or -n";
            return Err(UsageError::Invalid(text.to_owned()).into());
        }
        let mut other: Vec<String> = Vec::new();
        for name in chosen.names.iter().map(String::as_str).chain(sort) {
            if !known.contains(&name) && !other.iter().any(|o| o == name) {
                other.push(name.to_owned());
            }
        }
        if !other.is_empty() {
            let here = smaps_keys(root);
            chosen.absent = other.iter().filter(|name| !here.contains(name)).cloned().collect();
            let unknown = |name: &&String| !here.contains(name) && !KNOWN_KEYS.contains(&name.as_str());
            if let Some(name) = other.iter().find(|name| args.summary || unknown(name)) {
                let of = if args.summary { "processes (--summary)" } else { "mappings" };
                return Err(UsageError::Invalid(format!(
                    "{name}: no such column of {of}; '--columns help' lists them"
                ))
                .into());
            }
        }
        chosen.vma_columns = view::vma_columns(&other);
        chosen.smaps_keys = other;
        Ok(chosen)
    }

    /// What there is to say of the choice.
    pub(super) fn notes(&self) -> Vec<Note> {
        let text = |key| format!("smaps has no {key} on this kernel");
        self.absent.iter().map(|key| Note::general("no-such-key", text(key))).collect()
    }

    /// Whether a column that needs `--owners` is shown: asking for it asks for them.
    pub(super) fn needs_owners(&self) -> bool {
        names_one(self, self.sort.as_ref().map(|(name, _)| name.as_str()), &["exclusive", "shared", "pss"])
    }

    /// Whether a column that needs `--verify` is shown.
    pub(super) fn needs_rollup(&self) -> bool {
        names_one(self, self.sort.as_ref().map(|(name, _)| name.as_str()), &["rss"])
    }

    /// The shown ones among `columns`, in the order they were asked for.
    pub(super) fn shown<'c, R>(&self, columns: &'c [Column<R>]) -> Vec<&'c Column<R>> {
        self.names.iter().filter_map(|name| columns.iter().find(|column| column.name == *name)).collect()
    }

    pub(super) fn sort<R>(&self, rows: &mut [R], columns: &[Column<R>]) {
        if let Some((name, descending)) = &self.sort
            && let Some(column) = columns.iter().find(|column| column.name == *name)
        {
            sort(rows, column, *descending);
        }
    }
}

/// Whether one of these is shown or sorted by.
fn names_one(chosen: &Chosen, sort: Option<&str>, these: &[&str]) -> bool {
    chosen.names.iter().map(String::as_str).chain(sort).any(|name| these.contains(&name))
}

/// The names of a `--columns` list: those it has, or with `+` before them the default ones and these, before the last,
/// which takes what is left of a line.
pub(super) fn named(list: Option<&str>, default: &[&str]) -> Vec<String> {
    let (mut names, last): (Vec<&str>, Option<&str>) = match list.map(|list| (list, list.strip_prefix('+'))) {
        None => (default.to_vec(), None),
        Some((list, None)) => (list.split(',').collect(), None),
        Some((_, Some(more))) => {
            let added = more.split(',').map(|name| name.strip_prefix('+').unwrap_or(name));
            let (last, first) = default.split_last().map_or((None, default), |(last, first)| (Some(*last), first));
            (first.iter().copied().chain(added.filter(|name| last != Some(name))).collect(), last)
        }
    };
    names.extend(last);
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    names.into_iter().map(str::to_owned).collect()
}

fn columns_help(chosen: &Chosen, smaps_keys: &[String]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    writeln!(out, "Columns of mappings:")?;
    write_help(&mut out, &chosen.vma_columns)?;
    writeln!(out, "\nKeys of smaps, by the kernel's names, in bytes (VmFlags in words):")?;
    let keys: Vec<&str> = smaps_keys.iter().map(String::as_str).collect();
    write!(out, "{}", crate::view::table::wrapped(&keys.join(" "), 80, 2))?;
    writeln!(out, "\nColumns of processes (--summary):")?;
    write_help(&mut out, &chosen.process_columns)?;
    Ok(out)
}
