//! Which columns of one table are shown, and in which order: what `--columns` and `--sort` say.

use anyhow::Result;

use super::columns::named;
use super::options::GlobalOptions;
use super::status::Refusal;
use crate::view::record::{Column, sort};
use crate::view::table::write_help;

/// The columns of a table, those of them that are shown, and what it is sorted by.
pub(super) struct Choice<R> {
    columns: Vec<Column<R>>,
    shown: Vec<usize>,
    sort: Option<(usize, bool)>,
    /// What `--columns help` prints.
    pub(super) help: Option<Vec<u8>>,
}

impl<R> Choice<R> {
    /// Chooses among `columns`; without `--columns` those called `default` are shown.
    ///
    /// # Errors
    /// [`Refusal::Usage`] for a column that there is not.
    pub(super) fn new(global: &GlobalOptions, columns: Vec<Column<R>>, default: &[&str]) -> Result<Self> {
        let list = global.columns.as_deref();
        let mut chosen = Self { columns, shown: Vec::new(), sort: None, help: None };
        if list == Some("help") {
            let mut help = Vec::new();
            write_help(&mut help, &chosen.columns)?;
            chosen.help = Some(help);
            return Ok(chosen);
        }
        let place = |name: &str| {
            let unknown = || Refusal::Usage(format!("{name}: no such column; '--columns help' lists them"));
            chosen.columns.iter().position(|column| column.name == name).ok_or_else(unknown)
        };
        let shown = named(list, default).iter().map(|name| place(name)).collect::<Result<_, _>>()?;
        let sort = match global.sort.as_deref() {
            None => None,
            Some(name) => Some((place(name.trim_start_matches('-'))?, name.starts_with('-'))),
        };
        chosen.shown = shown;
        chosen.sort = sort;
        Ok(chosen)
    }

    /// The columns that are shown, in the order they were asked for.
    pub(super) fn shown(&self) -> Vec<&Column<R>> {
        self.shown.iter().map(|&place| &self.columns[place]).collect()
    }

    /// Sorts rows as `--sort` says; leaves them as they are where it says nothing.
    pub(super) fn sort(&self, rows: &mut [R]) {
        if let Some((place, descending)) = self.sort {
            sort(rows, &self.columns[place], descending);
        }
    }
}
