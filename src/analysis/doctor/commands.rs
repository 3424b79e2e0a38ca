//! Which commands work on this machine for this user, and what the others lack.

use crate::analysis::doctor::{CommandRow, Seen, Works};
use crate::kernel::catalogue::{Of, Without};

/// What a command lacks.
#[derive(Default)]
struct Lacks {
    /// Without this it does not work.
    all: Option<String>,
    /// Without these it works in part.
    parts: Vec<String>,
}

impl Lacks {
    /// Puts this, if anything, before everything else the command lacks.
    fn first(mut self, all: Option<&str>) -> Self {
        self.all = all.map(str::to_owned).or(self.all);
        self
    }

    /// Adds this, if anything, to the parts it lacks.
    fn and<'a>(mut self, part: impl IntoIterator<Item = &'a str>) -> Self {
        self.parts.extend(part.into_iter().map(str::to_owned));
        self
    }

    /// Replaces the parts it lacks by this one, if any: without the frames of a process, what they are used for is no
    /// loss.
    fn instead(mut self, part: Option<&str>) -> Self {
        self.parts.truncate(1);
        if let Some(part) = part {
            self.parts = vec![part.to_owned()];
        }
        self
    }
}

impl Seen {
    pub(super) fn commands(&self) -> Vec<CommandRow> {
        let row = |command, lacks: Lacks| CommandRow {
            command,
            works: match (&lacks.all, lacks.parts.is_empty()) {
                (Some(_), _) => Works::No,
                (None, false) => Works::Partly,
                (None, true) => Works::Fully,
            },
            why: lacks.all.unwrap_or_else(|| lacks.parts.join("; ")),
        };
        let own = |command| row(command, self.files(command));
        let (closed, map) = (self.others_closed(), self.no_pagemap());
        let hidden = (!self.features.pfns_visible).then_some("frame numbers are hidden: needs CAP_SYS_ADMIN");
        let seen = |command| row(command, self.files(command).first(map).instead(hidden).and(closed));
        let frames_of = |command| row(command, self.files(command).first(map.or(hidden)).and(closed));
        vec![
            row("frames", self.files("frames").first(map).and(self.counting())),
            frames_of("frames --owners"),
            seen("pages"),
            seen("translate"),
            row("page", self.files("page").and(hidden).and(self.wrong_flags())),
            frames_of("rmap"),
            row("phys", self.files("phys").and(self.wrong_flags())),
            row("lru", self.files("lru").and(self.wrong_flags())),
            own("buddy"),
            own("slab"),
            own("where"),
            own("numa"),
            own("vmalloc"),
            row("file", self.of_files()),
            own("decode"),
            row("demo", self.demos()),
            row("capture", self.capturing(hidden)),
            own("doctor"),
            own("schema"),
        ]
    }

    /// The files of the machine that a command lacks.
    fn files(&self, command: &str) -> Lacks {
        let mut lacks = Lacks::default();
        for interface in self.interfaces.iter().filter(|i| i.file.of == Of::Machine && !i.readable) {
            let Some(reader) = interface.file.readers.iter().find(|reader| reader.command == command) else { continue };
            let (name, capability) = (interface.file.name(), interface.file.access.capability());
            match (reader.without, capability) {
                (Without::All, None) => drop(lacks.all.get_or_insert_with(|| format!("no {name}"))),
                (Without::All, Some(capability)) => {
                    lacks.all.get_or_insert_with(|| format!("{name} is not readable (needs {capability})"));
                }
                (Without::Part(what), None) => lacks.parts.push(format!("{what} needs {name}")),
                (Without::Part(what), Some(capability)) => {
                    lacks.parts.push(format!("{what} needs {name} ({capability})"));
                }
                (Without::Little, _) => {}
            }
        }
        lacks
    }

    /// Why pmem's own page map, or that of the first process in a recorded tree, cannot be read.
    fn no_pagemap(&self) -> Option<&'static str> {
        let own = self.interfaces.iter().find(|i| i.file.path == "pagemap" && !i.of_others)?;
        (!own.readable).then_some(match self.capabilities {
            None => "the tree has no pagemap of its first process",
            Some(_) => "pmem's own pagemap cannot be read: see the interfaces",
        })
    }

    /// A message if the page map of another user's process was tried and could not be read.
    fn others_closed(&self) -> Option<&'static str> {
        let mut others = self.interfaces.iter().filter(|i| i.file.path == "pagemap" && i.of_others);
        others.any(|i| !i.readable).then_some("some processes of other users cannot be read")
    }

    fn demos(&self) -> Lacks {
        let none = match self.capabilities {
            None => Some("demos allocate memory on the live machine"),
            Some(_) => self.no_pagemap(),
        };
        let hidden =
            (!self.features.pfns_visible).then_some("parts that need frame numbers are left out (need CAP_SYS_ADMIN)");
        self.files("demo").first(none).and(hidden)
    }

    fn capturing(&self, hidden: Option<&str>) -> Lacks {
        let recorded = self.capabilities.is_none().then_some("a recorded tree is copied with cp, not captured");
        // It records the same files that `page` needs.
        let frames = hidden.is_some() || self.files("page").all.is_some();
        let frames = frames.then_some("frame numbers or frame files are not recorded");
        Lacks::default().first(self.no_pagemap().or(recorded)).and(frames).and(self.others_closed())
    }

    fn wrong_flags(&self) -> Option<&'static str> {
        match self.features.ksm_flag_wrong {
            Some(false) => None,
            Some(true) => Some("this kernel's KSM flag is wrong: merged frames count as anonymous"),
            None => Some("the KSM flag could not be tested: merged frames count as anonymous"),
        }
    }

    fn counting(&self) -> Vec<&'static str> {
        let mut parts: Vec<&'static str> = self.others_closed().into_iter().collect();
        if self.features.scan_categories.is_none() {
            parts.push("without PAGEMAP_SCAN, mappings over 1 GiB with no pages in smaps are skipped");
            if !self.features.pfns_visible {
                parts.push("zero pages are inferred from smaps");
            }
        }
        if self.features.statm_exact == Some(false) {
            parts.push("statm is not exact here; --verify compares with smaps, which is");
        }
        parts
    }

    fn of_files(&self) -> Lacks {
        let Some(capabilities) = self.capabilities else {
            let none = "files need the live machine: a recorded tree has none";
            return Lacks::default().first(Some(none));
        };
        const FOWNER: u32 = 3;
        let not_owner = capabilities.0 >> FOWNER & 1 == 0;
        let others = "files you neither own nor may write to need CAP_FOWNER";
        let closed = self.others_closed().map(|_| "with --mapped, some processes of other users cannot be read");
        self.files("file").and(not_owner.then_some(others)).and(closed)
    }
}
