//! Demos: small programs that make memory happen, step by step, each step with what must be seen then.
//!
//! A worker, a process of its own, does the work; pmem looks on through the same `analysis` code as its other commands.
//! They take turns over pipes. A demo is a file here: what is done ([`script`]), what is looked at ([`look`]), and what is to
//! be learnt from it.

pub mod environment;
mod exclusive;
pub mod facts;
mod forked;
pub mod look;
pub mod play;
pub mod quantity;
mod readers;
pub mod report;
pub mod script;
mod turns;
pub mod worker;
mod workers;

mod brk;
mod cow;
mod cow_thp;
mod file_map;
mod free_vs_dontneed;
mod ksm;
mod lazy_alloc;
mod limit;
mod major_fault;
#[cfg(target_env = "gnu")]
mod malloc;
mod mapped_file;
mod mlock;
mod overcommit;
mod page_tables;
mod private_file;
mod reclim_me;
mod remap;
mod shared_memory;
mod slab;
mod stack;
mod swap;
mod thp;
mod tlb;
mod vma_merge;
mod working_set;
mod zero_page;

use facts::Facts;
use look::Reader;
use quantity::Quantity;
use script::{Step, Subject};

/// A demo.
#[derive(Debug)]
pub struct Demo {
    /// Its name, which the process that does its work has too (as far as 15 bytes go).
    pub name: &'static str,
    /// The question that it answers, in a line.
    pub question: &'static str,
    /// What is to be seen, in a sentence or two, before it begins.
    pub about: &'static str,
    /// What is to be learnt, when it has ended well.
    pub learnt: &'static str,
    /// What the kernel does, for `--explain`: a paragraph.
    pub explain: &'static str,
    /// The functions of the kernel that do it, each with its file.
    pub functions: &'static [(&'static str, &'static str)],
    /// Whether it is about huge pages: the others have them switched off for their process.
    pub huge_pages: bool,
    /// Whether it goes at a pace of its own: how many pages it takes, and how fast, can be asked for.
    pub paced: bool,
    /// Its memory as boxes side by side, drawn at the end: each as it is after a step (its number), and what it shows.
    pub boxes: &'static [(usize, &'static str)],
    /// The memory that its numbers are of.
    pub subjects: &'static [Subject],
    /// The quantities that have a column.
    pub columns: &'static [Quantity],
    /// What its worker tells of itself, by [`Worker::say`](worker::Worker::say), and from where it has it.
    pub says: &'static [(Quantity, &'static str)],
    /// What is looked at beside what every demo may count.
    pub readers: &'static [Reader],
    /// Its steps on this machine, or why it cannot be shown here.
    pub script: fn(&Facts<'_>) -> Result<Vec<Step>, Skip>,
}

/// Why a demo cannot be shown on this machine, as a sentence without its stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip(pub String);

impl From<crate::error::Error> for Skip {
    fn from(error: crate::error::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<nix::errno::Errno> for Skip {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno.desc().to_owned())
    }
}

/// A demo that says little: what others are made of, each with its own fields.
pub const BLANK: Demo = Demo {
    name: "",
    question: "",
    about: "",
    learnt: "",
    explain: "",
    functions: &[],
    huge_pages: false,
    paced: false,
    boxes: &[],
    subjects: &[script::ARENA],
    columns: &[],
    says: &[],
    readers: &[],
    script: |_| Ok(Vec::new()),
};

/// All demos, in the order in which they are best seen.
pub const DEMOS: &[&Demo] = &[
    &lazy_alloc::DEMO,
    &reclim_me::DEMO,
    &zero_page::DEMO,
    &brk::DEMO,
    #[cfg(target_env = "gnu")]
    &malloc::DEMO,
    &stack::DEMO,
    &free_vs_dontneed::DEMO,
    &page_tables::DEMO,
    &vma_merge::DEMO,
    &remap::DEMO,
    &mlock::DEMO,
    &cow::DEMO,
    &shared_memory::DEMO,
    &private_file::DEMO,
    &file_map::DEMO,
    &major_fault::DEMO,
    &thp::DEMO,
    &cow_thp::DEMO,
    &tlb::DEMO,
    &ksm::DEMO,
    &swap::DEMO,
    &overcommit::DEMO,
    &limit::DEMO,
    &working_set::DEMO,
    &slab::DEMO,
];
