//! Which commands work on this machine for this user, and what the others lack.

use crate::analysis::doctor::{CommandRow, Seen, Works};

/// What a command lacks: without the first it does not work, without the others it does in part.
type Lacks = (Option<&'static str>, Vec<&'static str>);

impl Seen {
    pub(super) fn commands(&self) -> Vec<CommandRow> {
        let row = |command, (no, partly): Lacks| CommandRow {
            command,
            works: match (no, partly.is_empty()) {
                (Some(_), _) => Works::No,
                (None, false) => Works::Partly,
                (None, true) => Works::Fully,
            },
            why: no.map_or_else(|| partly.join("; "), str::to_owned),
        };
        let (closed, map) = (self.others_closed(), self.no_pagemap());
        let hidden = (!self.features.pfns_visible).then_some("frame numbers are hidden: needs CAP_SYS_ADMIN");
        let words = |file| (!self.readable(file)).then_some("frame files are not readable: needs CAP_DAC_READ_SEARCH");
        let closed_file = |file, why| (!self.readable(file)).then_some(why);
        let frames = words("kpageflags").or(words("kpagecount"));
        let seen = |partly: &[Option<&'static str>]| (map, partly.iter().copied().flatten().collect());
        let recorded = self.capabilities.is_none();
        let all_of_memory = || (frames, self.wrong_flags());
        vec![
            row("frames", (map, self.counting())),
            row("frames --owners", (map.or(hidden).or(words("kpagecount")), closed.into_iter().collect())),
            row("pages", seen(&[hidden.or(frames), closed])),
            row("translate", seen(&[hidden.or(frames), closed])),
            row("page", (frames, hidden.into_iter().chain(self.wrong_flags()).collect())),
            row("rmap", (map.or(hidden).or(frames), closed.into_iter().collect())),
            row("phys", all_of_memory()),
            row("lru", all_of_memory()),
            row("buddy", (None, self.free_memory())),
            row("slab", (closed_file("slabinfo", "slabinfo is not readable: needs CAP_DAC_READ_SEARCH"), Vec::new())),
            row("where", (closed_file("meminfo", "there is no meminfo"), self.second_account())),
            row(
                "vmalloc",
                (closed_file("vmallocinfo", "vmallocinfo is not readable: needs CAP_DAC_READ_SEARCH"), Vec::new()),
            ),
            row("file", self.files()),
            row("decode", (None, Vec::new())),
            row("demo", self.demos()),
            row(
                "capture",
                (
                    map.or(recorded.then_some("a recorded tree is copied with cp, not captured")),
                    hidden
                        .or(frames)
                        .map(|_| "frame numbers or frame files are not recorded")
                        .into_iter()
                        .chain(closed)
                        .collect(),
                ),
            ),
            row("doctor", (None, Vec::new())),
        ]
    }

    /// Why pmem's own page map, or that of the first process of a tree, cannot be read.
    fn no_pagemap(&self) -> Option<&'static str> {
        let own = self.interfaces.iter().find(|i| i.path.ends_with("/pagemap"))?;
        (!own.readable).then_some(match self.capabilities {
            None => "the tree has no page map of its first process",
            Some(_) => "pmem's own page map cannot be read: see the interfaces",
        })
    }

    /// The second page map that was tried is another user's.
    fn others_closed(&self) -> Option<&'static str> {
        let mut others = self.interfaces.iter().filter(|i| i.path.ends_with("/pagemap")).skip(1);
        others.any(|i| !i.readable).then_some("some other users' processes are closed")
    }

    fn demos(&self) -> Lacks {
        let none = match self.capabilities {
            None => Some("demos make memory happen on the live machine"),
            Some(_) => self.no_pagemap(),
        };
        let hidden = (!self.features.pfns_visible).then_some("what needs frame numbers is left out: CAP_SYS_ADMIN");
        (none, hidden.into_iter().collect())
    }

    fn wrong_flags(&self) -> Vec<&'static str> {
        let why = match self.features.ksm_flag_wrong {
            Some(false) => None,
            Some(true) => Some("this kernel's KSM flag is wrong: merged frames count as anonymous"),
            None => Some("whether the KSM flag is right could not be tried: merged frames count as anonymous"),
        };
        why.into_iter().collect()
    }

    fn counting(&self) -> Vec<&'static str> {
        let mut partly: Vec<&'static str> = self.others_closed().into_iter().collect();
        if self.features.scan_categories.is_none() {
            partly.push("without PAGEMAP_SCAN, mappings over 1 GiB in which smaps counts nothing are passed over");
            if !self.features.pfns_visible {
                partly.push("zero pages are inferred from smaps");
            }
        }
        if self.features.statm_exact == Some(false) {
            partly.push("statm is not exact here: --verify compares with smaps, which is");
        }
        partly
    }

    fn free_memory(&self) -> Vec<&'static str> {
        let mut partly = Vec::new();
        if !self.readable("kpageflags") {
            partly.push("what blocks huge pages needs kpageflags: CAP_DAC_READ_SEARCH");
        }
        if !self.readable("pagetypeinfo") {
            partly.push("migrate types need pagetypeinfo: CAP_DAC_READ_SEARCH");
        }
        partly
    }

    fn second_account(&self) -> Vec<&'static str> {
        let mut partly = Vec::new();
        if !self.readable("kpageflags") {
            partly.push("what the frames say needs kpageflags: CAP_DAC_READ_SEARCH");
        }
        if !self.readable("slabinfo") {
            partly.push("large kmalloc is not told from slabs without slabinfo: CAP_DAC_READ_SEARCH");
        }
        partly
    }

    fn files(&self) -> Lacks {
        let Some(capabilities) = self.capabilities else {
            return (Some("files are looked at on the live machine: a recorded tree has none"), Vec::new());
        };
        const FOWNER: u32 = 3;
        let mut partly = Vec::new();
        if capabilities.0 >> FOWNER & 1 == 0 {
            partly.push("of files that you neither own nor could write to, the kernel does not tell: CAP_FOWNER");
        }
        partly.extend(self.others_closed().map(|_| "with --mapped, some other users' processes are closed"));
        (None, partly)
    }
}
