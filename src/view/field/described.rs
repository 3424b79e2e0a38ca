//! What a field is, without the function that gets its value.

use std::borrow::Cow;

/// The unit of a field. Except for counts of things, its name ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Text, or a number that identifies something.
    None,
    /// A count of the things that the name says.
    Count,
    /// Bytes.
    Bytes,
    /// Base pages of the machine.
    Pages,
    /// Page frames, each of a base page.
    Frames,
    /// Whole percent.
    Percent,
    /// A share, from 0 to 1.
    Ratio,
}

impl Unit {
    /// Its name in the schema; `None` for no unit.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Count => Some("count"),
            Self::Bytes => Some("bytes"),
            Self::Pages => Some("pages"),
            Self::Frames => Some("frames"),
            Self::Percent => Some("percent"),
            Self::Ratio => Some("ratio"),
        }
    }
}

/// The role of a field when rows are added up, plotted or grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Names the row, or assigns it to a group.
    Label,
    /// A quantity at one moment.
    Gauge,
}

/// How a value is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A string, plus the whole name in hexadecimal (`…_hex`) if it is not UTF-8.
    Name,
    /// A list of strings.
    List,
    /// A non-negative 64-bit integer.
    Unsigned,
    /// A 64-bit integer.
    Signed,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A string `0x…`: an address, or a word of flags.
    Hex,
    /// An object with a word of flags and their names.
    Flags,
    /// An object with the codes of VmFlags and their meanings.
    VmFlags,
    /// A string, or the number of something that no longer has a name.
    NameOrNumber,
    /// A list of objects with the number of slabs on each NUMA node.
    Nodes,
    /// A list of objects with the number of pages on each NUMA node.
    NodePages,
    /// Any other structure.
    Nested,
    /// A list of objects in JSON, and their number elsewhere.
    Counted,
}

/// The description of a field, without the function that gets its value.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// Its name in every format, in `--columns` and in `--sort`. A dot makes it part of an object in JSON
    /// (`ledger.present_pages`), a number after the dot of a list (`free_blocks.3`).
    pub(crate) name: Cow<'static, str>,
    /// Other names for it in `--columns` and `--sort`.
    pub(crate) aliases: Vec<Cow<'static, str>>,
    /// One line of help.
    pub(crate) help: Cow<'static, str>,
    /// Its unit.
    pub(crate) unit: Unit,
    /// Its role.
    pub(crate) role: Role,
    /// How JSON writes it.
    pub(crate) kind: Kind,
    /// Whether it can be unknown.
    pub(crate) nullable: bool,
    /// Whether it is present only on request, by name or by an option, because it costs more or needs something to
    /// compare with.
    pub(crate) on_request: bool,
    /// Whether it is another form of another field, for tables only.
    pub(crate) people_only: bool,
}

impl Described {
    /// A label that can be unknown.
    pub(super) fn label(name: Cow<'static, str>, help: Cow<'static, str>, kind: Kind) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            help,
            unit: Unit::None,
            role: Role::Label,
            kind,
            nullable: true,
            on_request: false,
            people_only: false,
        }
    }

    /// Whether this is one of its names.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}
