//! `slab`: what open files, sockets and processes cost in the kernel.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::facts::Facts;
use super::look::Look;
use super::quantity::{Quantity, Unit};
use super::script::{Step, step};
use super::worker::{Done, KEPT, Worker};
use super::{BLANK, Demo, Skip};
use crate::analysis::slab::{Reader, Reading, Row, Wanted};
use crate::demo::exclusive::exclusive;
use crate::error::{Result, errno};
use crate::kernel::root::{Root, text};
use crate::name::Name;

/// Open files, each a `struct file`.
const FILES: Quantity = Quantity::new("file_objects_change", "filp", Unit::Count);
/// UNIX sockets, each a `struct unix_sock` and a file.
const SOCKETS: Quantity = Quantity::new("unix_sock_objects_change", "UNIX", Unit::Count);
/// Processes and threads, each a `struct task_struct`.
const TASKS: Quantity = Quantity::new("task_objects_change", "tasks", Unit::Count);
/// Mappings of all processes, each a `struct vm_area_struct`.
const AREAS: Quantity = Quantity::new("vm_area_objects_change", "VMAs", Unit::Count);
/// The memory held by the slabs of these caches.
const HELD: Quantity = Quantity::new("slab_bytes_change", "slabs", Unit::Bytes);

/// The number of caches, from the first, whose objects the kernel also counts elsewhere. Mappings come and go with every
/// process on the machine and are not counted.
const COUNTED: usize = 3;
/// The caches, by one of their names: the kernel may have merged them with others.
const CACHES: [(Quantity, &str); 4] =
    [(FILES, "filp"), (SOCKETS, "UNIX"), (TASKS, "task_struct"), (AREAS, "vm_area_struct")];

pub(super) const DEMO: Demo = Demo {
    name: "slab",
    question: "what does an open file cost in the kernel?",
    about: "A process opens files, creates sockets and starts children, hundreds or thousands of them, and then closes \
            or ends them. For each, the kernel allocates objects from its slab caches.",
    learnt: "Every open file is an object in the cache filp. Every UNIX socket is an object in UNIX, and also an open \
             file. Every process takes an object in task_struct and, for each of its mappings, one in vm_area_struct. \
             None of this is in any process's RSS. Freed objects leave free slots in their slabs, and the kernel keeps \
             some slabs for the next ones.",
    explain: "A slab is a block of pages divided into objects of one size. Free objects in per-CPU slabs count as \
              used, so the numbers can be off by a few slabs' worth of objects; the expected bounds come from the \
              attributes of each cache. Caches with similar objects (same size, alignment and flags, no constructor) \
              may be merged: /sys/kernel/slab has the other names as links. Some objects are freed only when no CPU \
              can still be using them (RCU). Whatever the rest of the machine opens, creates or starts in the meantime \
              is subtracted, where a counter exists (file-nr, sockstat, loadavg).",
    functions: &[
        ("kmem_cache_alloc_noprof", "mm/slub.c"),
        ("alloc_empty_file", "fs/file_table.c"),
        ("unix_create1", "net/unix/af_unix.c"),
        ("dup_task_struct", "kernel/fork.c"),
        ("vm_area_dup", "mm/vma_init.c"),
        ("__slab_free", "mm/slub.c"),
    ],
    subjects: &[],
    columns: &[FILES, SOCKETS, TASKS, AREAS, HELD],
    says: &[(FILES, "the process"), (SOCKETS, "the process"), (TASKS, "the process")],
    readers: &[caches],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let mut reader = Reader::new(facts.root, Wanted::default());
    let reading = reader.read()?;
    if let Some(why) = reading.counts_unknown {
        return Err(Skip(why));
    }
    // Other runs of this demo allocate as much: while this one holds its objects, they wait or are skipped.
    let lock =
        exclusive(facts.root.dir().open("proc/slabinfo")?, Duration::from_secs(10)).map_err(|errno| match errno {
            Errno::EWOULDBLOCK => Skip("another `pmem demo slab` is running".to_owned()),
            other => other.into(),
        })?;
    let count = |name: &str, least: i64| {
        let row =
            row(&reading.caches, name).ok_or_else(|| Skip(format!("this kernel has no slab cache called {name}")))?;
        let slack = slack(&reader, &row.name);
        Ok::<_, Skip>(Count { objects: least.max(4 * slack), slack })
    };
    let (files, sockets, tasks) = (count("filp", 2000)?, count("UNIX", 2000)?, count("task_struct", 200)?);
    let most = files.objects.max(sockets.objects);
    let (_, may_open) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if most as usize > KEPT {
        return Err(Skip(format!(
            "per-CPU slabs are so large here that the effect would only show with {most} open files"
        )));
    }
    if most as u64 + 64 > may_open {
        return Err(Skip(format!("it needs {most} open files, and the limit is {may_open} here (ulimit -n)")));
    }
    let open = move |w: &mut Worker| {
        w.stay_on_processor()?;
        setrlimit(Resource::RLIMIT_NOFILE, may_open, may_open)?;
        let _is_held = &lock;
        keep(w, files.objects, || Ok(File::open("/dev/null")?.into()))?;
        tell(w, false)
    };
    let make = move |w: &mut Worker| {
        keep(w, sockets.objects, || Ok(UnixDatagram::unbound()?.into()))?;
        tell(w, true)
    };
    let close = |w: &mut Worker| {
        w.kept.clear();
        tell(w, false)
    };
    let start = move |w: &mut Worker| {
        (0..tasks.objects).try_for_each(|_| w.start_child())?;
        tell(w, false)
    };
    let end = |w: &mut Worker| {
        w.end_children()?;
        tell(w, false)
    };
    Ok(vec![
        step(format!("open {} files", files.objects), open)
            .within(FILES, files.there())
            .within(SOCKETS, sockets.gone())
            .informative(HELD)
            .why("Each open allocates a struct file, no matter what is opened: here the same device every time."),
        step("close them", close)
            .within(FILES, files.gone())
            .informative(HELD)
            .why("The objects are free. A slab with a free object stays in its cache, and so do a few empty slabs."),
        step(format!("create {} UNIX sockets", sockets.objects), make)
            .within(SOCKETS, sockets.there())
            .within(FILES, files.of(sockets.objects))
            .informative(HELD)
            .why("A socket is also a file: one object in each cache (and a dentry and an inode, not counted here)."),
        step("close them", close).within(SOCKETS, sockets.gone()).within(FILES, files.gone()).informative(HELD),
        step(format!("start {} children", tasks.objects), start)
            .within(TASKS, tasks.there())
            .informative(AREAS)
            .informative(HELD)
            .why("fork copies the parent's mappings: one object for each of them, in every child."),
        step("end them", end)
            .within(TASKS, tasks.gone())
            .informative(AREAS)
            .informative(HELD)
            .why("A process's objects are freed with the last reference to it."),
    ])
}

/// The number of objects allocated, and the maximum error of the kernel's numbers because of per-CPU slabs.
#[derive(Clone, Copy)]
struct Count {
    objects: i64,
    slack: i64,
}

impl Count {
    /// The bounds of a cache's growth when this many objects were allocated: the rest of the machine allocates and frees some
    /// too.
    fn of(self, made: i64) -> std::ops::RangeInclusive<i64> {
        let off = self.slack + self.objects / 4;
        made - off..=made + off
    }

    fn there(self) -> std::ops::RangeInclusive<i64> {
        self.of(self.objects)
    }

    fn gone(self) -> std::ops::RangeInclusive<i64> {
        self.of(0)
    }
}

/// How many free objects of a cache can count as used on the worker's CPU: those in its current slab, in its list of partial
/// slabs (so many that half of their objects are `cpu_partial`), in its sheaves, and in the node's full sheaves.
fn slack(reader: &Reader<'_>, cache: &Name) -> i64 {
    let number = |attribute| reader.attribute(cache, attribute).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let in_slab = number("objs_per_slab").max(1);
    let partial_slabs = (2 * number("cpu_partial") + in_slab - 1) / in_slab;
    in_slab * (1 + partial_slabs) + 13 * number("sheaf_capacity")
}

/// The cache that has this name, or has it as an alias.
fn row<'r>(rows: &'r [Row], name: &str) -> Option<&'r Row> {
    rows.iter().find(|row| row.names().any(|one| one.bytes() == name.as_bytes()))
}

/// Opens `count` files and keeps them.
fn keep(w: &mut Worker, count: i64, open: impl Fn() -> io::Result<OwnedFd>) -> Done {
    for _ in 0..count {
        let opened = open().map_err(errno)?;
        w.kept.push(opened);
    }
    Ok(())
}

/// Reports its counts. Either all open files are sockets, or none are.
fn tell(w: &mut Worker, sockets: bool) -> Done {
    let (open, children) = (w.kept.len() as i64, w.children.len() as i64);
    w.say(0, open);
    w.say(1, if sockets { open } else { 0 });
    w.say(2, children);
    Ok(())
}

/// Reads the caches, and subtracts what the rest of the machine allocated in the meantime, as far as the kernel counts
/// it.
fn caches(look: &mut Look<'_>) -> Result<()> {
    let root = look.facts.root;
    let mut reader = Reader::new(root, Wanted::default());
    let reading = reader.read()?;
    let slack = CACHES.map(|(_, name)| row(&reading.caches, name).map_or(0, |row| slack(&reader, &row.name)));
    // Its own count is the last one it reported.
    let own = std::array::from_fn(|index| {
        let ([says, said], (quantity, _)) = (look.reply.said[index], CACHES[index]);
        let before = look.remember(quantity, "own", said).map_or(0, |(_, last)| last);
        let own = if says == 0 { before } else { said };
        look.remember(quantity, "own", own);
        own
    });
    let as_said = |numbers: &Numbers| {
        let grown = grown(look, numbers, own);
        (0..COUNTED).all(|index| grown[index].is_some_and(|grown| (grown - own[index]).abs() <= slack[index]))
    };
    let numbers = at_rest(root, &mut reader, as_said)?;
    for ((quantity, _), grown) in CACHES.iter().zip(grown(look, &numbers, own)) {
        if let Some(grown) = grown {
            look.add(*quantity, "slabinfo", grown);
        }
    }
    look.add_since_start(HELD, "slabinfo", numbers.1);
    Ok(())
}

/// The growth of each cache since the first observation, minus what others allocated: the system-wide growth minus the worker's
/// own.
fn grown(look: &mut Look<'_>, (objects, _, all): &Numbers, own: [i64; COUNTED]) -> [Option<i64>; CACHES.len()] {
    std::array::from_fn(|index| {
        let (quantity, _) = CACHES[index];
        let mut since_start = |source, value| look.remember(quantity, source, value).map(|(first, _)| value - first);
        let grown = since_start("objects", objects[index]?);
        let all = all.get(index).copied().flatten();
        let others = all.and_then(|all| since_start("all", all)).map_or(0, |grown| grown - own[index]);
        Some(grown? - others)
    })
}

/// The objects of each cache, the bytes of all of them, and the system-wide counts.
type Numbers = ([Option<i64>; CACHES.len()], i64, [Option<i64>; COUNTED]);

/// The numbers once they have settled: some objects are freed only after an RCU grace period (some tens of milliseconds, more
/// on a busy machine). If they already match what the worker reports, a shorter wait is enough.
fn at_rest(root: &Root, reader: &mut Reader<'_>, mut as_said: impl FnMut(&Numbers) -> bool) -> Result<Numbers> {
    const ROUND: Duration = Duration::from_millis(20);
    const QUIET: u32 = 12;
    const SHORT: u32 = 2;
    let deadline = Instant::now() + Duration::from_secs(2);
    let (mut last, mut quiet) = (at_once(root, reader)?, 0);
    while quiet < if as_said(&last) { SHORT } else { QUIET } && Instant::now() < deadline {
        sleep(ROUND);
        let now = at_once(root, reader)?;
        quiet = if moved(&last.0[..COUNTED], &now.0) || moved(&last.2, &now.2) { 0 } else { quiet + 1 };
        last = now;
    }
    Ok(last)
}

/// A nearly atomic reading: the system-wide counts are the same before and after.
fn at_once(root: &Root, reader: &mut Reader<'_>) -> Result<Numbers> {
    const TRIES: usize = 20;
    let mut before = counted(root);
    for _ in 0..TRIES {
        let (objects, held) = numbers(&reader.read()?);
        let after = counted(root);
        if !moved(&before, &after) {
            return Ok((objects, held, after));
        }
        before = after;
    }
    let (objects, held) = numbers(&reader.read()?);
    Ok((objects, held, before))
}

/// Whether more changed between two readings than background noise.
fn moved(before: &[Option<i64>], after: &[Option<i64>]) -> bool {
    const LITTLE: u64 = 32;
    let mut pairs = before.iter().zip(after).filter_map(|(before, after)| before.zip(*after));
    pairs.any(|(before, after)| before.abs_diff(after) > LITTLE)
}

/// The objects in use in each cache, and the bytes held by the slabs of all of them.
fn numbers(reading: &Reading) -> ([Option<i64>; CACHES.len()], i64) {
    let counts = CACHES.map(|(_, name)| row(&reading.caches, name)?.counts.as_ref());
    let held = counts.iter().flatten().map(|counts| counts.held_bytes as i64).sum();
    (counts.map(|counts| Some(counts?.cache.active_objects as i64)), held)
}

/// The system-wide counts of open files, sockets and tasks.
fn counted(root: &Root) -> [Option<i64>; COUNTED] {
    let read = |file: &str| text(root.dir(), file);
    let number = |text: &str| text.parse::<i64>().ok();
    // "OPEN 0 MOST"
    let files = read("proc/sys/fs/file-nr").and_then(|text| number(text.split_whitespace().next()?));
    // "sockets: used NUMBER", all families
    let used = |text: String| number(text.lines().next()?.strip_prefix("sockets: used ")?);
    let sockets = read("proc/self/net/sockstat").and_then(used);
    // "0.10 0.20 0.30 RUNNING/ALL LAST"
    let tasks = read("proc/loadavg").and_then(|text| number(text.split(' ').nth(3)?.split_once('/')?.1));
    [files, sockets, tasks]
}
