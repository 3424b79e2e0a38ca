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

/// Open files. Each is a `struct file`.
const FILES: Quantity = Quantity::new("file_objects_change", "filp", Unit::Count);
/// UNIX sockets. Each is a `struct unix_sock`, and a file.
const SOCKETS: Quantity = Quantity::new("unix_sock_objects_change", "UNIX", Unit::Count);
/// Processes and threads. Each is a `struct task_struct`.
const TASKS: Quantity = Quantity::new("task_objects_change", "tasks", Unit::Count);
/// Mappings of all processes. Each is a `struct vm_area_struct`.
const AREAS: Quantity = Quantity::new("vm_area_objects_change", "VMAs", Unit::Count);
/// What the slabs of these caches hold.
const HELD: Quantity = Quantity::new("slab_bytes_change", "slabs", Unit::Bytes);

/// The first so many of the caches are of things that the kernel also counts by themselves. Mappings come and go with every
/// process of the machine, and are not counted.
const COUNTED: usize = 3;
/// The caches, by a name of theirs: the kernel may have merged them with others.
const CACHES: [(Quantity, &str); 4] =
    [(FILES, "filp"), (SOCKETS, "UNIX"), (TASKS, "task_struct"), (AREAS, "vm_area_struct")];

pub(super) const DEMO: Demo = Demo {
    name: "slab",
    question: "what does an open file cost in the kernel?",
    about: "A process opens files, makes sockets and starts children, some thousands or hundreds, and gives them back. \
    For each the \
            kernel takes objects out of its slab caches.",
    learnt: "Every open file is an object of the cache filp, every UNIX socket one of UNIX, a file as well, and every \
    process one \
             of task_struct, and one of vm_area_struct for each of its mappings. No process has that in its RSS. Objects \
             that are \
             given back leave their slabs, and the kernel keeps some slabs for the next ones.",
    explain: "A slab is a block of pages cut into objects of one size. What a processor has free in slabs of its own counts as \
              used: so numbers are off by some slabs' worth of objects, and expected within bounds that come from the caches' \
              own attributes. Caches whose objects are alike (in size, alignment and flags, and without a constructor) \
              may be merged: /sys/kernel/slab has the other names as \
              links. Some objects are given back only when no processor can be using them any more (RCU). What the rest of the \
              machine opened, made and started meanwhile is taken off, as far as it is counted (file-nr, sockstat, loadavg).",
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
    // Other runs of this demo make as much: as long as this one holds what it has, they wait, or are skipped.
    let lock =
        exclusive(facts.root.dir().open("proc/slabinfo")?, Duration::from_secs(10)).map_err(|errno| match errno {
            Errno::EWOULDBLOCK => Skip("another `pmem demo slab` makes as many objects meanwhile".to_owned()),
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
            "processors keep so much for themselves that it would take {most} open files to be seen"
        )));
    }
    if most as u64 + 64 > may_open {
        return Err(Skip(format!("it takes {most} open files, and a process may have {may_open} here (ulimit -n)")));
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
            .why("Each open is a struct file, whatever it is that is opened: here one device, again and again."),
        step("close them", close)
            .within(FILES, files.gone())
            .informative(HELD)
            .why("The objects are free. A slab with a free object stays in its cache, a few that are all free too."),
        step(format!("make {} UNIX sockets", sockets.objects), make)
            .within(SOCKETS, sockets.there())
            .within(FILES, files.of(sockets.objects))
            .informative(HELD)
            .why("A socket is a file too: an object of each cache (and a dentry and an inode, which are not counted here)."),
        step("close them", close).within(SOCKETS, sockets.gone()).within(FILES, files.gone()).informative(HELD),
        step(format!("start {} children", tasks.objects), start)
            .within(TASKS, tasks.there())
            .informative(AREAS)
            .informative(HELD)
            .why("fork copies the parent's list of mappings: an object for each of them, in each child."),
        step("end them", end)
            .within(TASKS, tasks.gone())
            .informative(AREAS)
            .informative(HELD)
            .why("With the last reference to a process go its objects."),
    ])
}

/// How many objects are made, and how far the kernel's numbers are off at most by what a processor keeps.
#[derive(Clone, Copy)]
struct Count {
    objects: i64,
    slack: i64,
}

impl Count {
    /// How many the cache may have grown by when so many were made: the rest of the machine makes some too, or gives some
    /// back.
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

/// How many free objects of a cache count as used on one processor, which is all the worker's: in the slab that it takes
/// from, in its list of partial slabs (so many that half of their objects are `cpu_partial`), in its sheaves, and in full
/// sheaves of the node.
fn slack(reader: &Reader<'_>, cache: &Name) -> i64 {
    let number = |attribute| reader.attribute(cache, attribute).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let in_slab = number("objs_per_slab").max(1);
    let partial_slabs = (2 * number("cpu_partial") + in_slab - 1) / in_slab;
    in_slab * (1 + partial_slabs) + 13 * number("sheaf_capacity")
}

/// The cache that is called so.
fn row<'r>(rows: &'r [Row], name: &str) -> Option<&'r Row> {
    rows.iter().find(|row| row.names().any(|one| one.bytes() == name.as_bytes()))
}

/// Opens so many.
fn keep(w: &mut Worker, count: i64, open: impl Fn() -> io::Result<OwnedFd>) -> Done {
    for _ in 0..count {
        let opened = open().map_err(errno)?;
        w.kept.push(opened);
    }
    Ok(())
}

/// Says how many it has, of which all that is open are sockets, or none.
fn tell(w: &mut Worker, sockets: bool) -> Done {
    let (open, children) = (w.kept.len() as i64, w.children.len() as i64);
    w.say(0, open);
    w.say(1, if sockets { open } else { 0 });
    w.say(2, children);
    Ok(())
}

/// Reads the caches, and takes off what the rest of the machine made meanwhile, as far as the kernel counts that too.
fn caches(look: &mut Look<'_>) -> Result<()> {
    let root = look.facts.root;
    let mut reader = Reader::new(root, Wanted::default());
    let reading = reader.read()?;
    let slack = CACHES.map(|(_, name)| row(&reading.caches, name).map_or(0, |row| slack(&reader, &row.name)));
    // What it has is what it said last.
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

/// By how much each cache has grown since the first look, without what others made: all that was made, but for the
/// worker's own.
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

/// The objects of each cache, the bytes of all of them, and what else counts these things.
type Numbers = ([Option<i64>; CACHES.len()], i64, [Option<i64>; COUNTED]);

/// The numbers, when they have come to rest: some objects go a while after their last use, when no processor can be using
/// them any more (a grace period of RCU: some tens of milliseconds, and more on a busy machine).
/// Where they are what the worker says of itself, a shorter rest will do.
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

/// The numbers of one moment, as near as can be: what is counted in all of the machine is the same before and after.
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

/// Whether more changed between two readings than always does.
fn moved(before: &[Option<i64>], after: &[Option<i64>]) -> bool {
    const LITTLE: u64 = 32;
    let mut pairs = before.iter().zip(after).filter_map(|(before, after)| before.zip(*after));
    pairs.any(|(before, after)| before.abs_diff(after) > LITTLE)
}

/// The objects in use of each cache, and the bytes that the slabs of all of them hold.
fn numbers(reading: &Reading) -> ([Option<i64>; CACHES.len()], i64) {
    let counts = CACHES.map(|(_, name)| row(&reading.caches, name)?.counts.as_ref());
    let held = counts.iter().flatten().map(|counts| counts.held_bytes as i64).sum();
    (counts.map(|counts| Some(counts?.cache.active_objects as i64)), held)
}

/// How many of these things there are in all of the machine: open files, sockets, tasks.
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
