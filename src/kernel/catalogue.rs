//! Every kernel file pmem reads: the access it needs, the commands that read it, and what `capture` keeps of it.
//!
//! All other lists are derived from this one: what `doctor` tries and shows, what `capture` records, the advice in error
//! messages, and the table in ARCHITECTURE.md. A test searches the source for files that are missing here.

use std::path::Path;

use super::access::Access;
use super::root::Root;
use super::{huge_pages, numa, physical, r#where};
use crate::error::Error;

/// One file, or several files that match a pattern.
#[derive(Debug)]
pub struct KernelFile {
    /// The path: relative to the root for system-wide files, to `/proc/PID` for process files. It contains a `*` if
    /// [`each`](Self::each) finds the files.
    pub path: &'static str,
    /// Whether it is system-wide or per process.
    pub of: Of,
    /// Who may read it.
    pub access: Access,
    /// The required configuration and the first release; empty if every kernel has it.
    pub built: &'static str,
    /// Finds the files that match the pattern, as paths relative to the root.
    pub each: Option<fn(&Root) -> Vec<String>>,
    /// How `doctor` shows it.
    pub shown: Shown,
    /// What `capture` keeps of it.
    pub recorded: Recorded,
    /// The commands that read it, other than `capture`, and how much they depend on it.
    pub readers: &'static [Reader],
}

/// The scope of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// System-wide.
    Machine,
    /// Per process.
    Process,
    /// Per process with an address space: unreadable or empty for kernel threads and zombies.
    AddressSpace,
}

/// How `doctor` shows a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Not at all.
    No,
    /// It tries to read the file: system-wide, or of pmem's own process.
    Tried,
    /// It also tries the file of another user's process.
    TriedOfOthers,
    /// It shows the content, as a setting with this name.
    Setting(&'static str),
}

/// What `capture` keeps of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Every byte.
    Bytes,
    /// Its words, encoded as [runs](super::runs).
    Words,
    /// The extracted content, in a file with this name.
    As(&'static str),
    /// Nothing: it is meaningful only on the live machine.
    No,
}

/// A command that reads a file.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The command, with the option if only that reads it.
    pub command: &'static str,
    /// What it loses without the file.
    pub without: Without,
}

/// What a command loses without a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Everything: it does not work.
    All,
    /// A feature that `doctor` names.
    Part(&'static str),
    /// A few values, which it shows as unknown.
    Little,
}

/// Every file.
pub const CATALOGUE: &[KernelFile] = &[
    // The use of frames.
    machine("proc/kpageflags").root_only("").words().tried().read_by(&[
        needs("page"),
        needs("phys"),
        needs("lru"),
        needs("rmap"),
        gains("pages", USE_OF_FRAMES),
        gains("translate", USE_OF_FRAMES),
        gains("buddy", "finding what blocks huge pages"),
        gains("where", "the comparison with page frames"),
        may("frames"),
        may("demo"),
    ]),
    machine("proc/kpagecount").root_only("").words().tried().read_by(&[
        needs("page"),
        needs("phys"),
        needs("lru"),
        needs("rmap"),
        needs("frames --owners"),
        gains("pages", USE_OF_FRAMES),
        gains("translate", USE_OF_FRAMES),
        may("where"),
        may("demo"),
    ]),
    machine("proc/kpagecgroup").root_only("CONFIG_MEMCG").words().tried().read_by(&[
        may("page"),
        may("phys"),
        may("pages"),
        may("translate"),
    ]),
    machine("proc/iomem").access(Access::Addresses).read_by(FRAMES),
    machine("sys/devices/system/memory/block_size_bytes").read_by(FRAMES),
    each("sys/devices/system/memory/memory*/state", physical::block_states).read_by(FRAMES),
    machine("sys/devices/system/node/node*/memory*").not_recorded().read_by(FRAMES),
    machine("sys/fs/cgroup/*").recorded_as("memory_cgroups").read_by(&[
        may("page"),
        may("phys"),
        may("pages"),
        may("translate"),
        may("demo"),
    ]),
    // Kernel counters and kernel memory.
    machine("proc/slabinfo").root_only("").tried().read_by(&[
        needs("slab"),
        gains("where", "the split between large kmalloc and slabs"),
        may("phys"),
        may("lru"),
        may("demo"),
    ]),
    machine("sys/kernel/slab/*").recorded_as("slab_sysfs").read_by(&[may("slab")]),
    machine("proc/sys/fs/dentry-state").read_by(&[may("slab")]),
    machine("proc/pagetypeinfo").root_only("").tried().read_by(&[gains("buddy", "free memory by migrate type")]),
    machine("proc/vmallocinfo").root_only("").tried().read_by(&[needs("vmalloc"), may("where")]),
    machine("proc/buddyinfo").tried().read_by(&[needs("buddy"), may("phys"), may("lru"), may("where")]),
    machine("proc/zoneinfo").tried().read_by(&[
        needs("buddy"),
        may("where"),
        may("numa"),
        may("phys"),
        may("lru"),
        may("page"),
        may("rmap"),
        may("pages"),
        may("translate"),
    ]),
    machine("proc/meminfo").tried().read_by(&[
        needs("where"),
        may("numa"),
        may("buddy"),
        may("slab"),
        may("vmalloc"),
        may("phys"),
        may("lru"),
        may("demo"),
    ]),
    machine("proc/vmstat").tried().read_by(&[may("where"), may("demo")]),
    machine("proc/pressure/memory").built("CONFIG_PSI, Linux 4.20").tried().read_by(&[may("where")]),
    machine("proc/swaps").tried().read_by(&[
        may("frames"),
        may("pages"),
        may("translate"),
        may("page"),
        may("lru"),
        may("demo"),
        may("doctor"),
    ]),
    each("sys/kernel/mm/hugepages/hugepages-*/*", r#where::pool_files).read_by(&[may("where")]),
    each("sys/devices/system/node/*", numa::node_files).read_by(&[may("numa")]),
    each("sys/devices/virtual/memory_tiering/*", numa::tier_files).built("Linux 6.1").read_by(&[may("numa")]),
    machine("sys/kernel/mm/numa/demotion_enabled").built("CONFIG_NUMA, Linux 6.1").read_by(&[may("numa")]),
    each("sys/bus/virtio/devices/*/*", r#where::balloon_files).read_by(&[may("where")]),
    machine("sys/kernel/mm/ksm/pages_shared").read_by(&[may("phys"), may("lru"), may("where")]),
    machine("sys/kernel/mm/lru_gen/enabled").built("CONFIG_LRU_GEN, Linux 6.1").read_by(&[may("lru")]),
    // Settings and probed files.
    machine("sys/kernel/mm/transparent_hugepage/enabled").setting("transparent huge pages"),
    machine("sys/kernel/mm/transparent_hugepage/defrag").setting("… defragmentation"),
    machine("sys/kernel/mm/transparent_hugepage/shmem_enabled").setting("… for shared memory"),
    each("sys/kernel/mm/transparent_hugepage/hugepages-*/enabled", huge_pages::switches).setting("… by size"),
    machine("sys/kernel/mm/transparent_hugepage/hpage_pmd_size").setting("… size in bytes").read_by(&[
        may("buddy"),
        may("vmalloc"),
        may("file"),
        may("demo"),
        may("doctor"),
    ]),
    machine("sys/kernel/mm/transparent_hugepage/use_zero_page").setting("huge zero page"),
    machine("sys/kernel/mm/ksm/run").setting("KSM"),
    machine("sys/kernel/mm/ksm/max_page_sharing").not_recorded().read_by(&[may("demo")]),
    machine("proc/sys/vm/nr_hugepages").setting("hugetlb pages"),
    machine("proc/sys/vm/overcommit_memory").setting("overcommit mode"),
    machine("proc/sys/kernel/numa_balancing").not_recorded().read_by(&[may("demo")]),
    machine("proc/sys/kernel/random/boot_id").recorded_as(super::manifest::FILE).read_by(EVERY),
    machine("proc/stat").read_by(&[may("frames")]),
    machine("proc/cpuinfo").recorded_as(super::manifest::FILE).read_by(&[may("translate"), may("doctor")]),
    machine("sys/devices/system/cpu/possible").read_by(&[may("frames"), may("doctor")]),
    machine("sys/kernel/mm/page_idle/bitmap")
        .root_only("CONFIG_IDLE_PAGE_TRACKING")
        .not_recorded()
        .read_by(&[may("doctor")]),
    machine("dev/kmsg").access(Access::Log).not_recorded().read_by(&[may("demo")]),
    machine("proc/sys/fs/file-nr").not_recorded().read_by(&[may("demo")]),
    machine("proc/loadavg").not_recorded().read_by(&[may("demo")]),
    // Processes.
    process("comm").read_by(OF_PROCESSES),
    process("cmdline").read_by(&[may("frames")]),
    process("stat").read_by(OF_PROCESSES),
    process("status").read_by(OF_PROCESSES),
    process("statm").tried().read_by(&[may("frames"), may("demo")]),
    process("cgroup").read_by(&[may("demo")]),
    process("maps").access(Access::Mappings).tried_of_others().read_by(OF_PROCESSES),
    memory("smaps").built("CONFIG_PROC_PAGE_MONITOR").tried().read_by(&[may("frames"), may("pages"), may("translate")]),
    memory("smaps_rollup").built("CONFIG_PROC_PAGE_MONITOR, Linux 4.14").tried().read_by(&[may("frames --verify")]),
    memory("pagemap").access(Access::PageMap).built("CONFIG_PROC_PAGE_MONITOR").words().tried_of_others().read_by(&[
        needs("frames"),
        needs("pages"),
        needs("translate"),
        needs("rmap"),
        needs("demo"),
        may("file"),
        may("page"),
        may("doctor"),
    ]),
    memory("numa_maps").built("CONFIG_NUMA").read_by(&[may("numa")]),
    memory("mountinfo").read_by(&[
        may("frames"),
        may("pages"),
        may("translate"),
        may("page"),
        may("phys"),
        may("demo"),
    ]),
    process("task").not_recorded().read_by(OF_PROCESSES),
    process("fd").access(Access::Mappings).not_recorded().read_by(&[
        may("file"),
        may("page"),
        may("rmap"),
        may("demo"),
    ]),
    process("ns/pid").access(Access::Mappings).not_recorded().read_by(&[may("rmap"), may("demo")]),
    process("exe").access(Access::Mappings).not_recorded().read_by(&[may("demo")]),
    process("clear_refs").access(Access::Mappings).not_recorded().read_by(&[may("doctor"), may("demo")]),
    process("oom_score_adj").not_recorded().read_by(&[may("demo")]),
    process("net/sockstat").not_recorded().read_by(&[may("demo")]),
];

const USE_OF_FRAMES: &str = "what frames are used for";

/// Commands that need the layout of physical memory.
const FRAMES: &[Reader] = &[
    may("page"),
    may("phys"),
    may("lru"),
    may("rmap"),
    may("pages"),
    may("translate"),
    may("buddy"),
    may("where"),
    may("doctor"),
];

const OF_PROCESSES: &[Reader] =
    &[may("frames"), may("pages"), may("translate"), may("rmap"), may("file"), may("demo"), may("doctor")];

const EVERY: &[Reader] = &[may("every command")];

const fn file(of: Of, path: &'static str) -> KernelFile {
    KernelFile {
        path,
        of,
        access: Access::Anyone,
        built: "",
        each: None,
        shown: Shown::No,
        recorded: Recorded::Bytes,
        readers: &[],
    }
}

const fn machine(path: &'static str) -> KernelFile {
    file(Of::Machine, path)
}

const fn each(path: &'static str, each: fn(&Root) -> Vec<String>) -> KernelFile {
    KernelFile { each: Some(each), ..machine(path) }
}

const fn process(path: &'static str) -> KernelFile {
    KernelFile { access: Access::Process, ..file(Of::Process, path) }
}

const fn memory(path: &'static str) -> KernelFile {
    KernelFile { access: Access::Mappings, ..file(Of::AddressSpace, path) }
}

const fn needs(command: &'static str) -> Reader {
    Reader { command, without: Without::All }
}

const fn gains(command: &'static str, what: &'static str) -> Reader {
    Reader { command, without: Without::Part(what) }
}

const fn may(command: &'static str) -> Reader {
    Reader { command, without: Without::Little }
}

impl KernelFile {
    const fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    const fn built(self, built: &'static str) -> Self {
        Self { built, ..self }
    }

    const fn root_only(self, built: &'static str) -> Self {
        Self { access: Access::Root, built, ..self }
    }

    const fn tried(self) -> Self {
        Self { shown: Shown::Tried, ..self }
    }

    const fn tried_of_others(self) -> Self {
        Self { shown: Shown::TriedOfOthers, ..self }
    }

    const fn setting(self, name: &'static str) -> Self {
        Self { shown: Shown::Setting(name), ..self }
    }

    const fn words(self) -> Self {
        Self { recorded: Recorded::Words, ..self }
    }

    const fn recorded_as(self, name: &'static str) -> Self {
        Self { recorded: Recorded::As(name), ..self }
    }

    const fn not_recorded(self) -> Self {
        Self { recorded: Recorded::No, ..self }
    }

    const fn read_by(self, readers: &'static [Reader]) -> Self {
        Self { readers, ..self }
    }

    /// The last component of its path, used in messages.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// The paths it matches, relative to the root.
    pub fn paths(&self, root: &Root) -> Vec<String> {
        self.each.map_or_else(|| vec![self.path.to_owned()], |each| each(root))
    }

    /// The requirements for reading it, system-wide or of pmem's own process; with `of_others`, of another user's process.
    pub fn needs(&self, of_others: bool) -> String {
        let access = match (self.of, of_others) {
            (Of::Machine, _) | (_, true) => self.access.needs(),
            _ => "",
        };
        match (access, self.built) {
            ("", "") => "nothing".to_owned(),
            (access, "") => access.to_owned(),
            ("", built) => built.to_owned(),
            // If pmem's own file exists, the kernel has the required configuration.
            (access, _) if of_others => access.to_owned(),
            (access, built) => format!("{access}; {built}"),
        }
    }
}

/// The system-wide files recorded in this way.
pub fn of_the_machine(recorded: Recorded) -> impl Iterator<Item = &'static KernelFile> {
    CATALOGUE.iter().filter(move |file| file.of == Of::Machine && file.recorded == recorded)
}

/// The files of a process recorded verbatim: fewer for one without an address space.
pub fn of_a_process(has_address_space: bool) -> impl Iterator<Item = &'static KernelFile> {
    CATALOGUE.iter().filter(move |file| {
        file.recorded == Recorded::Bytes
            && (file.of == Of::Process || (has_address_space && file.of == Of::AddressSpace))
    })
}

/// The file at a path, which may be below any root, and belong to a process or a thread.
pub fn find(path: &Path) -> Option<&'static KernelFile> {
    let of = |of: fn(Of) -> bool| CATALOGUE.iter().find(|file| of(file.of) && path.ends_with(file.path));
    of(|of| of == Of::Machine).or_else(|| of(|of| of != Of::Machine))
}

/// Advice after a denial, in one or two sentences; `None` if there is none.
pub fn what_would_help(error: &Error) -> Option<&'static str> {
    match error {
        Error::Hidden { help, .. } => Some(help),
        Error::Denied { path } => find(path)?.access.help(),
        Error::Masked { .. } => {
            Some("Container runtimes do this. Run pmem on the host, or in a container with unmasked paths.")
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
