//! What `pmem translate` reports.

use serde::{Serialize, Serializer};

use crate::analysis::note::Note;
use crate::analysis::pages::Slot;
use crate::analysis::physical::page::Frame;
use crate::analysis::processes::address_space::NoAddressSpace;
use crate::analysis::processes::kind::Kind;
use crate::analysis::translate::tables::Tables;
use crate::model::page_table::Level;
use crate::model::pagemap::Entry;
use crate::model::vma::Vma;
use crate::name::Name;
use crate::unit::{Pfn, PhysAddr, VirtAddr};

/// What is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A frame.
    Present,
    /// The shared zero page, small or huge.
    Zero,
    /// Nothing, but there is a mapping.
    None,
    /// A swap slot.
    Swapped,
    /// A guard region.
    Guard,
    /// A marker of userfaultfd or poison.
    Marker,
    /// A page that is being migrated to another frame.
    Migration,
    /// A frame that the hardware found faulty.
    Hwpoison,
    /// One of the last two, or on a device: which one is not known.
    Special,
    /// No mapping.
    NoMapping,
    /// Not an address of a process.
    NotUser,
    /// The kernel does not show it.
    NotShown,
}

impl State {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Zero => "zero",
            Self::None => "none",
            Self::Swapped => "swapped",
            Self::Guard => "guard",
            Self::Marker => "marker",
            Self::Migration => "migration",
            Self::Hwpoison => "hwpoison",
            Self::Special => "special",
            Self::NoMapping => "no_mapping",
            Self::NotUser => "not_user",
            Self::NotShown => "not_shown",
        }
    }
}

/// A mapping, and what kind of memory it is.
#[derive(Clone, Debug)]
pub struct Place {
    /// The mapping.
    pub vma: Vma,
    /// Its kind.
    pub kind: Kind,
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            start: VirtAddr,
            end: VirtAddr,
            perm: crate::model::vma::Perm,
            offset: u64,
            dev: crate::model::vma::Dev,
            inode: u64,
            #[serde(flatten, serialize_with = "crate::name::as_name")]
            name: &'a Name,
            kind: Kind,
        }
        let Vma { range, perm, offset, dev, inode, name } = &self.vma;
        let (start, end) = (range.start, range.end);
        let (perm, offset, dev, inode) = (*perm, *offset, *dev, *inode);
        Fields { start, end, perm, offset, dev, inode, name, kind: self.kind }.serialize(serializer)
    }
}

/// A mapping
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(rename = "Mapping")]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct AsPlace {
    /// First address
    #[schemars(regex(pattern = r"^0x[0-9a-f]+$"))]
    start: String,
    /// Address of the first byte after it
    #[schemars(regex(pattern = r"^0x[0-9a-f]+$"))]
    end: String,
    /// Permissions as in maps
    perm: String,
    /// Offset in the file, in bytes
    offset: u64,
    /// Device of the file, major:minor
    dev: String,
    /// Inode of the file
    inode: u64,
    #[serde(flatten)]
    name: crate::name::schema::AsName,
    /// Kind of memory
    kind: String,
}

/// One step of the walk: the entry used in the table of this level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Step {
    /// The level's name.
    pub name: &'static str,
    /// The index of the entry, from 0.
    pub index: u64,
    /// The entry covers 2^shift bytes.
    pub shift: u32,
}

impl Step {
    /// The step of an address at a level.
    pub fn of(level: &Level, address: VirtAddr) -> Self {
        Self { name: level.name, index: level.index(address), shift: level.shift }
    }
}

/// Everything that `pmem translate` says.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub comm: Name,
    /// Why it has no address space, if it has none.
    pub no_address_space: Option<NoAddressSpace>,
    /// The address; `None` if only tables were requested.
    pub address: Option<VirtAddr>,
    /// The mapping that contains it.
    pub vma: Option<Place>,
    /// Its offset in the file, for a file mapping.
    pub file_offset: Option<u64>,
    /// If no mapping contains it, the one below.
    pub below: Option<Place>,
    /// If no mapping contains it, the one above.
    pub above: Option<Place>,
    /// The walk from the top down, to the entry that maps the page; `None` if it is not known, or there is none.
    pub levels: Option<Vec<Step>>,
    /// The offset of the byte in what the last of these entries covers.
    pub page_offset: Option<u64>,
    /// The size of the page that maps it, in bytes, if one does.
    pub mapped_bytes: Option<u64>,
    /// What is there.
    pub state: Option<State>,
    /// The kernel's word for the entry.
    pub entry: Option<Entry>,
    /// The frame.
    pub pfn: Option<Pfn>,
    /// The physical address of the byte.
    pub physical_address: Option<PhysAddr>,
    /// What is known about the frame.
    pub frame: Option<Frame>,
    /// Where in swap it is.
    pub swap: Option<Slot>,
    /// What the state means, as a sentence.
    pub why: Option<String>,
    /// The tables that the process needs, if requested.
    pub tables: Option<Tables>,
    /// What was requested but could not be determined.
    pub lacks: Vec<Lack>,
    /// What the reader must know.
    pub notes: Vec<Note>,
}

/// What an answer lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The number of the frame, or the swap slot: both are hidden.
    FrameNumber,
    /// An entry that did not change while its frame was read.
    Stillness,
}

impl Lack {
    /// The same in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::FrameNumber => {
                "frame numbers and swap slots are hidden: they need CAP_SYS_ADMIN in the initial user namespace"
            }
            Self::Stillness => "the entry changed while it was read: the frame shown may be another one",
        }
    }

    /// The same as a note.
    pub fn note(self) -> Note {
        let code = match self {
            Self::FrameNumber => "pfn-hidden",
            Self::Stillness => "moving",
        };
        Note::general(code, self.words())
    }
}

impl Translation {
    /// A report about a process, with nothing in it yet.
    pub fn of(pid: u32, comm: Name) -> Self {
        Self {
            pid,
            comm,
            no_address_space: None,
            address: None,
            vma: None,
            file_offset: None,
            below: None,
            above: None,
            levels: None,
            page_offset: None,
            mapped_bytes: None,
            state: None,
            entry: None,
            pfn: None,
            physical_address: None,
            frame: None,
            swap: None,
            why: None,
            tables: None,
            lacks: Vec::new(),
            notes: Vec::new(),
        }
    }
}
