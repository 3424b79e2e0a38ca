//! Which fields are shown, and in which order: from `--columns` and `--sort`.

use anyhow::Result;

use crate::cli::status::UsageError;
use crate::view::field::{self, Described, Field, Kind};

/// The fields of a command, and which of them the command line chose.
pub(in crate::cli) struct Choice<R> {
    fields: Vec<Field<R>>,
    places: Places,
}

/// Which fields are chosen, by their indices. Knows nothing of rows, so that it is compiled once.
struct Places {
    /// Those that `--columns` names.
    named: Option<Named>,
    /// The one that `--sort` names, and whether in descending order.
    sort: Option<(usize, bool)>,
}

/// What `--columns` names.
struct Named {
    places: Vec<usize>,
    /// Whether they are added to those that are shown anyway.
    added: bool,
}

/// The words of the command line that choose fields.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Words<'a> {
    /// The value of `--columns`.
    pub(in crate::cli) columns: Option<&'a str>,
    /// The value of `--sort`.
    pub(in crate::cli) sort: Option<&'a str>,
}

impl<R> Choice<R> {
    /// Chooses among `fields`. `keys` are short words for `--sort`: the first of a pair stands for the second, a field,
    /// with `-` in front if the key sorts in descending order; `-` in front of a key reverses its order.
    ///
    /// # Errors
    /// [`UsageError::Invalid`] for a field that does not exist.
    pub(in crate::cli) fn new(words: Words<'_>, fields: Vec<Field<R>>, keys: &[(&str, &str)]) -> Result<Self> {
        let places = Places::new(words, &fields.iter().map(|field| &**field).collect::<Vec<_>>(), keys)?;
        Ok(Self { fields, places })
    }

    /// The fields for people: those that are named, else those in `default`. Added ones come before the last, which
    /// takes the rest of a line.
    pub(in crate::cli) fn for_people(&self, default: &[&str]) -> Vec<&Field<R>> {
        let default = default.iter().filter_map(|name| self.fields.iter().position(|field| field.is_called(name)));
        self.places.for_people(default.collect()).into_iter().map(|place| &self.fields[place]).collect()
    }

    /// The fields of CSV records: those of JSON lines, without nested ones.
    pub(in crate::cli) fn for_records(&self) -> Vec<&Field<R>> {
        let mut fields = self.for_lines();
        fields.retain(|field| field.kind != Kind::Nested);
        fields
    }

    /// The fields of JSON lines: those that are named, else all that do not need to be requested.
    pub(in crate::cli) fn for_lines(&self) -> Vec<&Field<R>> {
        match &self.places.named {
            Some(Named { places, added: false }) => places.iter().map(|&place| &self.fields[place]).collect(),
            _ => self.for_documents(),
        }
    }

    /// The fields of a document: all that do not need to be requested, and those that are named.
    pub(in crate::cli) fn for_documents(&self) -> Vec<&Field<R>> {
        let is_named = |place: &usize| self.places.named.as_ref().is_some_and(|named| named.places.contains(place));
        let fields = self.fields.iter().enumerate();
        let kept = fields.filter(|(place, field)| !field.people_only && (!field.on_request || is_named(place)));
        kept.map(|(_, field)| field).collect()
    }

    /// All fields.
    pub(in crate::cli) fn fields(&self) -> &[Field<R>] {
        &self.fields
    }

    /// Whether columns are chosen by name.
    pub(in crate::cli) fn is_named(&self) -> bool {
        self.places.named.is_some()
    }

    /// Whether a field is named, or sorted by.
    pub(in crate::cli) fn names(&self, name: &str) -> bool {
        self.places.all().any(|place| self.fields[place].is_called(name))
    }

    /// Whether rows are sorted.
    pub(in crate::cli) fn is_sorted(&self) -> bool {
        self.places.sort.is_some()
    }

    /// Sorts rows as `--sort` says; leaves them as they are if it is not given.
    pub(in crate::cli) fn sort(&self, rows: &mut [R]) {
        if let Some((place, descending)) = self.places.sort {
            field::sort(rows, &self.fields[place], descending);
        }
    }
}

impl Places {
    fn new(words: Words<'_>, fields: &[&Described], keys: &[(&str, &str)]) -> Result<Self, UsageError> {
        let place = |name: &str| {
            let unknown = || UsageError::Invalid(format!("{name}: no such column; '--columns help' lists them"));
            fields.iter().position(|field| field.is_called(name)).ok_or_else(unknown)
        };
        let named = words.columns.map(|list| named(list, &place)).transpose()?;
        let sort = match words.sort {
            None => None,
            Some(key) => {
                let bare = key.trim_start_matches('-');
                let name = keys.iter().find(|(short, _)| *short == bare).map_or(bare, |(_, name)| name);
                let descending = key.starts_with('-') != name.starts_with('-');
                Some((place(name.trim_start_matches('-'))?, descending))
            }
        };
        Ok(Self { named, sort })
    }

    /// All that are named or sorted by.
    fn all(&self) -> impl Iterator<Item = usize> {
        let named = self.named.iter().flat_map(|named| named.places.iter().copied());
        named.chain(self.sort.map(|(place, _)| place))
    }

    /// Those for people, each once.
    fn for_people(&self, default: Vec<usize>) -> Vec<usize> {
        let mut places = match &self.named {
            None => default,
            Some(Named { places, added: false }) => places.clone(),
            Some(Named { places, added: true }) => {
                let mut all = default;
                let last = all.pop();
                all.extend(places.iter().filter(|&&place| Some(place) != last));
                all.extend(last);
                all
            }
        };
        let mut seen = Vec::new();
        places.retain(|place| {
            !seen.contains(place) && {
                seen.push(*place);
                true
            }
        });
        places
    }
}

/// The names of the fields that the command line chooses.
pub(in crate::cli) fn asked_names(words: Words<'_>) -> Vec<&str> {
    let list = words.columns.unwrap_or_default();
    let named = list.split(',').map(|name| if list.starts_with('+') { name.trim_start_matches('+') } else { name });
    let sorted = words.sort.iter().map(|key| key.strip_prefix('-').unwrap_or(key));
    named.filter(|name| !name.is_empty()).chain(sorted).collect()
}

/// The indices of a list of names.
fn named(list: &str, place: &dyn Fn(&str) -> Result<usize, UsageError>) -> Result<Named, UsageError> {
    let (names, added) = match list.strip_prefix('+') {
        None => (list, false),
        Some(names) => (names, true),
    };
    if names.is_empty() {
        return Err(UsageError::Invalid("--columns: no column is named; '--columns help' lists them".to_owned()));
    }
    let name = |name| place(if added { str::strip_prefix(name, '+').unwrap_or(name) } else { name });
    Ok(Named { places: names.split(',').map(name).collect::<Result<_, _>>()?, added })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::cell::Cell;

    fn fields() -> Vec<Field<u64>> {
        vec![
            Field::bytes("size_bytes", "SIZE", "", |row: &u64| *row).alias("size"),
            Field::count("objects", "OBJECTS", "", |row: &u64| *row),
            Field::count("partial", "PARTIAL", "", |row: &u64| *row).on_request(),
            Field::label("name", "NAME", "", Kind::Text, |_: &u64| Cell::Text("x")),
        ]
    }

    fn chosen(columns: Option<&str>) -> Result<[String; 3], String> {
        let words = Words { columns, sort: None };
        let choice = Choice::new(words, fields(), &[]).map_err(|error| error.to_string())?;
        let names = |fields: Vec<&Field<u64>>| fields.iter().map(|field| &*field.name).collect::<Vec<_>>().join(",");
        Ok([names(choice.for_people(&["objects", "name"])), names(choice.for_lines()), names(choice.for_documents())])
    }

    #[test]
    fn columns_are_named_or_added() {
        let all = "size_bytes,objects,name";
        assert_eq!(chosen(None).unwrap(), ["objects,name", all, all]);
        assert_eq!(chosen(Some("name,size")).unwrap(), ["name,size_bytes", "name,size_bytes", all]);
        let more = "size_bytes,objects,partial,name";
        assert_eq!(chosen(Some("+partial,+size")).unwrap(), ["objects,partial,size_bytes,name", more, more]);
        // The last one stays last, and each appears once.
        assert_eq!(chosen(Some("+name,objects,size")).unwrap()[0], "objects,size_bytes,name");
        for (wrong, text) in [("", "no column is named"), ("+", "no column is named"), ("x", "x: no such column")] {
            assert!(chosen(Some(wrong)).unwrap_err().contains(text), "{wrong:?}");
        }
    }

    #[test]
    fn keys_have_an_order_of_their_own() {
        let sorted = |sort| {
            let mut rows = [2, 3, 1];
            let choice =
                Choice::new(Words { columns: None, sort: Some(sort) }, fields(), &[("o", "-objects")]).unwrap();
            choice.sort(&mut rows);
            rows
        };
        assert_eq!([sorted("size"), sorted("-size")], [[1, 2, 3], [3, 2, 1]]);
        assert_eq!([sorted("o"), sorted("-o")], [[3, 2, 1], [1, 2, 3]]);
    }
}
