//! Everything that is known about one frame.

use std::borrow::Borrow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::analysis::note::Note;
use crate::analysis::physical::class::{Class, Classifier};
use crate::error::Result;
use crate::kernel::cgroups::Cgroups;
use crate::kernel::features::Features;
use crate::kernel::frame_files::FrameFiles;
use crate::kernel::physical::Physical;
use crate::kernel::root::Root;
use crate::kernel::words::Words;
use crate::model::frame_flags::{COMPOUND_HEAD, COMPOUND_TAIL, FrameFlags, NOPAGE, RESERVED};
use crate::name::{Name, as_fields};
use crate::unit::{PageSize, Pfn, PhysAddr};

/// What is known about one frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its number.
    pub pfn: Pfn,
    /// The physical address where it begins.
    pub physical_address: PhysAddr,
    /// Whether a frame with this number exists: `false` past the end of memory; `None` if a tree has not recorded it.
    pub exists: Option<bool>,
    /// What it is used for.
    pub class: Option<Class>,
    /// Its flags.
    pub flags: Option<FrameFlags>,
    /// How many page-table entries map it; `None` if that is not known, as for the zero page, for which the kernel does
    /// not count it.
    pub mapcount: Option<u64>,
    /// The memory cgroup that it is charged to, or its nearest ancestor that has not been removed; `None` if it is
    /// charged to none, or if there is no kpagecgroup, in which case there is a note.
    pub cgroup: Option<Cgroup>,
    /// The name of its zone.
    pub zone: Option<String>,
    /// The number of its NUMA node.
    pub node: Option<u32>,
    /// The compound page that it belongs to; `None` if it does not belong to one.
    pub folio: Option<Folio>,
}

/// A compound page: one of several frames that the kernel handles as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folio {
    /// Its first frame.
    pub head_pfn: Pfn,
    /// Its size, as a power of two of frames; `None` if it changed while it was read, or a tree has only part of it.
    pub order: Option<u32>,
    /// Its size in frames, as far as it was seen.
    pub frames: u64,
    /// Which of its frames this is, from 0.
    pub index: u64,
}

/// A memory cgroup as kpagecgroup reports it. In JSON its path, or its inode number if the path cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cgroup {
    /// One that exists.
    Path(Name),
    /// One with this inode number that was not found: removed, or outside what this user and namespace can see.
    Gone(u64),
}

impl Cgroup {
    /// Its path, or a description if it has none, for people to read.
    pub fn shown(&self) -> String {
        match self {
            Self::Path(path) => path.escaped().into_owned(),
            Self::Gone(inode) => format!("inode {inode} (not visible here, or just removed)"),
        }
    }
}

impl Serialize for Cgroup {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Path(path) => serializer.serialize_str(&path.shown_in_json()),
            Self::Gone(inode) => serializer.serialize_u64(*inode),
        }
    }
}

/// Serializes a group, flattened into the struct it belongs to, as `cgroup`: its path (if that is not UTF-8, the exact
/// bytes as `cgroup_hex` too), or its inode number if it has no path.
pub fn as_cgroup<S: Serializer>(
    cgroup: &impl Borrow<Option<Cgroup>>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match cgroup.borrow() {
        Some(Cgroup::Path(path)) => as_fields(path, serializer, "cgroup", "cgroup_hex"),
        other => {
            let inode =
                other.as_ref().and_then(|group| if let Cgroup::Gone(inode) = group { Some(inode) } else { None });
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry("cgroup", &inode)?;
            map.end()
        }
    }
}

/// What [`as_cgroup`] writes, for the schema.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct AsCgroup {
    /// Path of the group, or the inode number of one without a path; null if it is not known
    cgroup: Option<PathOrInode>,
    /// The bytes of the path in hexadecimal, if it is not UTF-8
    #[schemars(skip_serializing_if = "Option::is_none")]
    cgroup_hex: Option<String>,
}

/// The path of a cgroup, or the inode number of one without a path
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(untagged, inline)]
#[allow(dead_code, reason = "only its schema is used")]
enum PathOrInode {
    Path(String),
    Inode(u64),
}

/// The order of the largest folio there is: a hugetlb page of 1 GiB with base pages of 4 KiB, or of 16 GiB with 64 KiB.
const LARGEST_ORDER: u32 = 18;

/// Reads frames, with what was opened and found out once for all of them.
#[derive(Debug)]
pub struct FrameReader {
    /// The open files.
    pub files: FrameFiles,
    /// Where there is memory, and in which zone.
    pub physical: Physical,
    /// The classifier for this kernel.
    pub classifier: Classifier,
    ksm_flag_tried: bool,
    cgroups: Option<Cgroups>,
    page_size: PageSize,
}

impl FrameReader {
    /// Opens the files it needs.
    ///
    /// # Errors
    /// Those of [`FrameFiles::open`], and any error in a file that says where memory is.
    pub fn new(root: &Root, features: &Features) -> Result<Self> {
        let files = FrameFiles::open(root)?;
        Ok(Self {
            cgroups: files.cgroups.is_some().then(|| Cgroups::read(root).ok()).flatten(),
            files,
            physical: Physical::read(root)?,
            classifier: Classifier { ksm_flag_right: features.ksm_flag_wrong == Some(false) },
            ksm_flag_tried: features.ksm_flag_wrong.is_some(),
            page_size: root.page_size(),
        })
    }

    /// Notes on the answers.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if !self.ksm_flag_tried {
            let text = "this kernel's KSM flag could not be tested, which needs frame numbers (CAP_SYS_ADMIN): it is \
                        ignored, and frames merged by KSM count as anonymous";
            notes.push(Note::general("ksm-flag-not-tried", text));
        } else if !self.classifier.ksm_flag_right {
            let text = "this kernel sets the KSM flag on every anonymous frame (Linux 6.10 to 7.0): it is ignored, and \
                        frames merged by KSM count as anonymous";
            notes.push(Note::general("ksm-flag-wrong", text));
        }
        if self.files.cgroups.is_none() {
            let text = "no kpagecgroup here: the memory cgroups that frames are charged to are not known";
            notes.push(Note { in_json_only: true, ..Note::general("no-kpagecgroup", text) });
        } else if self.cgroups.is_none() {
            let text = "no memory cgroup hierarchy is visible: groups are shown by their inode numbers";
            notes.push(Note::general("no-cgroups", text));
        }
        notes
    }

    /// What is known about one frame now. Its files are read one after the other, so a frame that changes owner in
    /// between can show the flags of one and the mapcount of the other.
    pub fn tell(&self, pfn: Pfn) -> Result<Frame> {
        let zone = self.physical.zone(pfn);
        let mut frame = Frame {
            pfn,
            physical_address: self.page_size.address_of(pfn),
            exists: self.exists(pfn),
            class: None,
            flags: None,
            mapcount: None,
            cgroup: None,
            zone: zone.map(|zone| zone.name.clone()),
            node: zone.map(|zone| zone.node),
            folio: None,
        };
        let Some(flags) = self.word(&self.files.flags, pfn)? else {
            frame.exists = frame.exists.map(|_| false);
            return Ok(frame);
        };
        let (folio, head) = self.folio(pfn, flags)?;
        frame.flags = Some(FrameFlags(self.classifier.believed(flags)));
        frame.class = Some(self.class(pfn, head));
        // The kernel keeps no mapcount for the zero page.
        frame.mapcount = match frame.class {
            Some(Class::ZeroPage) => None,
            _ => self.word(&self.files.counts, pfn)?,
        };
        frame.folio = folio;
        if let Some(file) = &self.files.cgroups {
            // Up to Linux 6.4 only heads have one.
            let head = frame.folio.map_or(pfn, |folio| folio.head_pfn);
            frame.cgroup = self.word(file, head)?.and_then(|inode| self.cgroup(inode));
        }
        Ok(frame)
    }

    /// The head of the folio that a frame with these flags is in, and its flags; the frame itself where there is none.
    pub fn head(&self, pfn: Pfn, flags: u64) -> Result<(Pfn, u64)> {
        let (folio, head) = self.folio(pfn, flags)?;
        Ok((folio.map_or(pfn, |folio| folio.head_pfn), head))
    }

    /// The class of a frame by its flags, or its head's, and by whether there is memory.
    pub fn class(&self, pfn: Pfn, flags: u64) -> Class {
        if flags & !(RESERVED | NOPAGE) == 0
            && let Some(class) = Class::of_absent(self.physical.memory(pfn))
        {
            return class;
        }
        self.classifier.class(flags)
    }

    /// Whether a frame with this number exists; `None` if it is not recorded.
    pub fn exists(&self, pfn: Pfn) -> Option<bool> {
        match self.files.flags.recorded() {
            _ if !self.physical.may_exist(pfn) => Some(false),
            Some(runs) => runs.get(pfn.0).map(|_| true),
            None => Some(true),
        }
    }

    /// The class of a frame as it is now; `None` beyond the end of memory.
    pub fn class_of(&self, pfn: Pfn) -> Result<Option<Class>> {
        let Some(flags) = self.word(&self.files.flags, pfn)? else { return Ok(None) };
        Ok(Some(self.class(pfn, self.head(pfn, flags)?.1)))
    }

    /// The group with this inode number; 0 means none.
    pub fn cgroup(&self, inode: u64) -> Option<Cgroup> {
        let path = || self.cgroups.as_ref().and_then(|groups| groups.path(inode)).cloned();
        (inode != 0).then(|| path().map_or(Cgroup::Gone(inode), Cgroup::Path))
    }

    fn word(&self, file: &Words, pfn: Pfn) -> Result<Option<u64>> {
        let mut word = None;
        if self.physical.may_exist(pfn) {
            file.gather([pfn.0].into_iter(), |_, found| word = found)?;
        }
        Ok(word)
    }

    /// The compound page around a frame with these flags, and the flags of its head (or the frame's own).
    ///
    /// A compound page of 2ⁿ frames begins at a multiple of 2ⁿ, so a few words show where it begins and ends.
    fn folio(&self, pfn: Pfn, flags: u64) -> Result<(Option<Folio>, u64)> {
        let is_tail = |word: Option<u64>| word.is_some_and(|flags| flags & COMPOUND_TAIL != 0);
        let word = |frame: u64| self.word(&self.files.flags, Pfn(frame));
        let (mut head, mut order) = ((pfn.0, Some(flags)), 0);
        while is_tail(head.1) && order < LARGEST_ORDER {
            order += 1;
            let first = pfn.0 >> order << order;
            if first != head.0 {
                head = (first, word(first)?);
            }
        }
        let (first, Some(of_head)) = head else { return Ok((None, flags)) };
        if of_head & COMPOUND_HEAD == 0 {
            // There is none; or it was being split or formed, or the tree has not recorded its head.
            return Ok((None, flags));
        }
        let mut order = 1;
        let mut next = word(first.saturating_add(1 << order))?;
        while is_tail(next) && order < LARGEST_ORDER {
            order += 1;
            next = word(first.saturating_add(1 << order))?;
        }
        let (frames, index) = (1 << order, pfn.0 - first);
        // A tree may have recorded only part of it.
        let whole = next.is_some() || is_tail(word(first.saturating_add(frames - 1))?);
        let order = (whole && !is_tail(next) && index < frames).then_some(order);
        Ok((Some(Folio { head_pfn: Pfn(first), order, frames, index }), of_head))
    }
}
