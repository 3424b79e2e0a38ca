//! Which columns of one table are shown, and in which order: what `--columns` and `--sort` say.

use anyhow::Result;

use crate::cli::columns::named;
use crate::cli::options::GlobalOptions;
use crate::cli::status::UsageError;
use crate::view::record::{Column, sort};
use crate::view::table::write_help;

/// The columns of a table, those of them that are shown, and what it is sorted by.
pub(in crate::cli) struct Choice<R> {
    columns: Vec<Column<R>>,
    shown: Vec<usize>,
    sort: Option<(usize, bool)>,
    /// What `--columns help` prints.
    pub(in crate::cli) help: Option<Vec<u8>>,
}

impl<R> Choice<R> {
    /// Chooses among `columns`; without `--columns` those called `default` are shown.
    ///
    /// # Errors
    /// [`UsageError::Invalid`] for a column that there is not.
    pub(in crate::cli) fn new(global: &GlobalOptions, columns: Vec<Column<R>>, default: &[&str]) -> Result<Self> {
        Self::with_keys(global, columns, default, &[])
    }

    /// The same, where `--sort` takes short keys too: the first of a pair stands for the second, a column with `-` before
    /// it where the key alone is descending. `-` before a key reverses its order.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(in crate::cli) fn with_keys(
        global: &GlobalOptions,
        columns: Vec<Column<R>>,
        default: &[&str],
        keys: &[(&str, &str)],
    ) -> Result<Self> {
        let list = global.columns.as_deref();
        let mut chosen = Self { columns, shown: Vec::new(), sort: None, help: None };
        if list == Some("help") {
            let mut help = Vec::new();
            write_help(&mut help, &chosen.columns)?;
            chosen.help = Some(help);
            return Ok(chosen);
        }
        if list.is_some_and(|list| list.trim_start_matches('+').is_empty()) {
            let text = "--columns: no column is named; '--columns help' lists them";
            return Err(UsageError::Invalid(text.to_owned()).into());
        }
        let place = |name: &str| {
            let unknown = || UsageError::Invalid(format!("{name}: no such column; '--columns help' lists them"));
            chosen.columns.iter().position(|column| column.name == name).ok_or_else(unknown)
        };
        let shown = named(list, default).iter().map(|name| place(name)).collect::<Result<_, _>>()?;
        let sort = match global.sort.as_deref() {
            None => None,
            Some(key) => {
                let bare = key.trim_start_matches('-');
                let name = keys.iter().find(|(short, _)| *short == bare).map_or(bare, |(_, name)| name);
                let descending = key.starts_with('-') != name.starts_with('-');
                Some((place(name.trim_start_matches('-'))?, descending))
            }
        };
        chosen.shown = shown;
        chosen.sort = sort;
        Ok(chosen)
    }

    /// The columns that are shown, in the order they were asked for.
    pub(in crate::cli) fn shown(&self) -> Vec<&Column<R>> {
        self.shown.iter().map(|&place| &self.columns[place]).collect()
    }

    /// Whether a column is shown or sorted by.
    pub(in crate::cli) fn needs(&self, name: &str) -> bool {
        let places = self.shown.iter().copied().chain(self.sort.map(|(place, _)| place));
        places.into_iter().any(|place| self.columns[place].name == name)
    }

    /// Sorts rows as `--sort` says; leaves them as they are where it says nothing.
    pub(in crate::cli) fn sort(&self, rows: &mut [R]) {
        if let Some((place, descending)) = self.sort {
            sort(rows, &self.columns[place], descending);
        }
    }
}
