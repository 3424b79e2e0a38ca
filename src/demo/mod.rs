//! Demos: small programs that use memory step by step, with what each step is expected to show.
//!
//! A separate worker process does the work; pmem observes it through the same `analysis` code as its other commands. They take
//! turns over pipes. Each demo is one file: what is done ([`script`]), what is observed ([`look`]), and what there is to learn.

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
    /// Its name; the worker process is called the same, truncated to 15 bytes.
    pub name: &'static str,
    /// The question it answers, on one line.
    pub question: &'static str,
    /// What it shows, in a sentence or two; printed before the first step.
    pub about: &'static str,
    /// What there is to learn; printed after a run with no step off.
    pub learnt: &'static str,
    /// What the kernel does, as one paragraph, for `--explain`.
    pub explain: &'static str,
    /// The kernel functions that do it, each with its file.
    pub functions: &'static [(&'static str, &'static str)],
    /// Whether it is about huge pages. All other demos disable them for their process.
    pub huge_pages: bool,
    /// Whether it is paced: the user can set the number of pages and the interval.
    pub paced: bool,
    /// Boxes drawn side by side at the end: a step number and a caption; each shows the memory after that step.
    pub boxes: &'static [(usize, &'static str)],
    /// The memory its numbers refer to.
    pub subjects: &'static [Subject],
    /// The quantities shown as columns.
    pub columns: &'static [Quantity],
    /// What its worker reports with `Worker::say`, and where the worker gets it from.
    pub says: &'static [(Quantity, &'static str)],
    /// What it reads in addition to the quantities common to all demos.
    pub readers: &'static [Reader],
    /// Its steps on this machine, or why it cannot run here.
    pub script: fn(&Facts<'_>) -> Result<Vec<Step>, Skip>,
}

/// Why a demo cannot run on this machine: a sentence without the full stop.
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

/// The defaults from which every demo is built.
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

/// All demos, in recommended order.
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
