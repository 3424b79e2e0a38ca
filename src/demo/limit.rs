//! `limit`: a limit on addresses refuses; a limit on memory reclaims, and then kills.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::facts::Facts;
use super::forked::begin;
use super::look::Look;
use super::quantity::{FRAMES, Quantity, SIZE, Unit};
use super::script::{ARENA, Step, Subject, Who, step};
use super::worker::{Done, READ_WRITE, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::{Error, Result as Read, errno};
use crate::kernel::kcmp::in_pid_namespace;
use crate::kernel::kernel_log::{KernelLog, LONGEST};
use crate::kernel::memcg::{Memcg, NAME};
use crate::kernel::memory::{Mapping, forked};
use crate::kernel::{own_file, own_statm};
use crate::model::oom;

/// Pages that RLIMIT_AS still allows to be mapped.
const ROOM: usize = 64;
/// Pages that the worker may map before its first step; a glibc arena alone takes 64 MiB of addresses.
const TO_COME: usize = 32 * 1024;
/// The memory limit of the group, in pages.
const LIMIT: usize = 1024;
/// Pages that its processes try to use.
const ASKED: usize = 2 * LIMIT;

/// Mappings refused with ENOMEM.
const REFUSED: Quantity = Quantity::new("refused_mappings", "refused", Unit::Count);
/// Memory charged to the group.
const CHARGED: Quantity = Quantity::new("charged_pages", "charged", Unit::Pages);
/// Processes killed by the kernel.
const KILLED: Quantity = Quantity::new("killed_processes", "killed", Unit::Count);
/// Processes in the group.
const MEMBERS: Quantity = Quantity::new("group_processes", "in group", Unit::Count);
/// Pages the killed process had written.
const WRITTEN: Quantity = Quantity::new("victim_pages", "written", Unit::Pages);

/// What the worker reports, by index.
const SAYS: &[(Quantity, &str)] = &[
    (CHARGED, "memory cgroup"),
    (KILLED, "memory cgroup"),
    (MEMBERS, "cgroup.procs"),
    (KILLED, "kernel log"),
    (WRITTEN, "the process"),
    (WRITTEN, "kernel log"),
    (KILLED, "waitpid"),
    (REFUSED, "mmap"),
];
const OF_GROUP: usize = 0;
const KILLS_OF_GROUP: usize = 1;
const MEMBERS_OF_GROUP: usize = 2;
const KILLS_IN_LOG: usize = 3;
const WRITTEN_BY_VICTIM: usize = 4;
const WRITTEN_IN_LOG: usize = 5;
const KILLS_WAITED_FOR: usize = 6;
const REFUSALS: usize = 7;

const CHILD: Subject = Subject { name: "child", who: Who::Child, place: 0 };
const OF_CHILD: Quantity = FRAMES.of("child");

pub(super) const DEMO: Demo = Demo {
    name: "limit",
    question: "what happens to a process that reaches its memory limit?",
    about: "A process may map 64 more pages (RLIMIT_AS) and asks for 65. Then, if a memory cgroup can be created, a \
            child in a group limited to 1,024 pages reads a file of 2,048 pages, and another child writes 2,048 \
            anonymous pages.",
    learnt: "RLIMIT_AS counts addresses: mmap fails at once and nothing is reclaimed. A memory cgroup, if one can be \
             created, counts frames and refuses nothing: at its limit the kernel first reclaims what can be read \
             again, the page cache. Written pages have nowhere to go without swap, so the kernel kills a process of \
             the group in the middle of a write.",
    explain: "may_expand_vm compares the total size of all mappings with RLIMIT_AS, and mmap returns ENOMEM. \
              RLIMIT_RSS is stored and ignored. A cgroup is charged at fault time, when the frame is allocated: if \
              that would exceed the limit, the faulting process itself reclaims pages of its group and retries. Clean \
              file pages are dropped, even mapped ones. When nothing more can be reclaimed, out_of_memory picks the \
              process of the group that uses the most memory, sends it SIGKILL and logs this in the kernel log.",
    functions: &[
        ("may_expand_vm", "mm/mmap.c"),
        ("try_charge_memcg", "mm/memcontrol.c"),
        ("try_to_free_mem_cgroup_pages", "mm/vmscan.c"),
        ("mem_cgroup_out_of_memory", "mm/memcontrol.c"),
        ("oom_badness", "mm/oom_kill.c"),
        ("__oom_kill_process", "mm/oom_kill.c"),
    ],
    subjects: &[ARENA, CHILD],
    columns: &[SIZE, REFUSED, FRAMES, OF_CHILD, CHARGED, KILLED],
    says: SAYS,
    readers: &[membership],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let mut steps = of_addresses(facts)?;
    match group(facts) {
        Ok(group) => steps.extend(of_memory(facts, &Rc::new(group))),
        Err(why) => steps.push(not_shown("a memory cgroup", &why)),
    }
    Ok(steps)
}

/// A group this user may move a process into, or why there is none.
fn group(facts: &Facts<'_>) -> Result<Memcg, String> {
    let group = Memcg::create(facts.root, facts.page_size.bytes_of(LIMIT as u64)).map_err(|error| short(&error))?;
    let enters = || group.enter().err().map_or(0, |errno| errno as i32);
    match forked(enters).and_then(|child| waitpid(child, None)) {
        Ok(WaitStatus::Exited(_, 0)) => Ok(group),
        Ok(WaitStatus::Exited(_, errno)) => Err(Errno::from_raw(errno).desc().to_owned()),
        Ok(_) => Err(Errno::ECHILD.desc().to_owned()),
        Err(errno) => Err(errno.desc().to_owned()),
    }
}

/// Why there is no group, without the path that was tried.
fn short(error: &Error) -> String {
    match error {
        Error::Denied { .. } => "not permitted".to_owned(),
        Error::Missing { .. } => "not available".to_owned(),
        other => other.to_string(),
    }
}

/// A placeholder for steps that cannot be shown.
fn not_shown(what: &str, why: &str) -> Step {
    step(format!("not shown here: {what} ({why})"), |_| Ok(()))
        .informative(SIZE)
        .informative(FRAMES)
        .why("This part needs something this user or this machine does not have.")
}

fn of_addresses(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_AS)?;
    let [size, ..] = own_statm::read()?;
    if facts.page_size.bytes_of(size + (ROOM + TO_COME) as u64) > hard {
        return Ok(vec![not_shown("RLIMIT_AS", "its hard limit is already too near")]);
    }
    let (soft_rss, hard_rss) = getrlimit(Resource::RLIMIT_RSS)?;
    let allow = move |w: &mut Worker| {
        let [size, ..] = own_statm::read()?;
        setrlimit(Resource::RLIMIT_AS, (size + ROOM as u64) * w.page as u64, hard)
    };
    let take_off = move |w: &mut Worker| {
        setrlimit(Resource::RLIMIT_AS, soft, hard)?;
        setrlimit(Resource::RLIMIT_RSS, soft_rss, hard_rss)?;
        w.unmap(0)
    };
    Ok(vec![
        step("allow 64 more pages (RLIMIT_AS)", allow)
            .exact(SIZE, 0)
            .exact(FRAMES, 0)
            .why("The limit is on addresses: what the process has already mapped, plus 64 pages."),
        step("map 65", |w| {
            let refused = match w.map(0, ROOM + 1) {
                Err(Errno::ENOMEM) => 1,
                mapped => mapped.map(|()| 0)?,
            };
            w.say(REFUSALS, refused);
            Ok(())
        })
        .exact(REFUSED, 1)
        .exact(SIZE, 0)
        .why("mmap fails with ENOMEM no matter how much memory is free, and nothing is mapped."),
        step("map 64", |w| w.map(0, ROOM))
            .exact(SIZE, ROOM)
            .exact(FRAMES, 0)
            .why("These fit. Nothing has been written yet: the limit counts addresses, not memory."),
        step("allow no frames (RLIMIT_RSS), write 64", move |w| {
            setrlimit(Resource::RLIMIT_RSS, 0, hard_rss)?;
            w.write(0, 0..ROOM)
        })
        .exact(FRAMES, ROOM)
        .why("Linux accepts RLIMIT_RSS but does not enforce it: all pages are allocated."),
        step("lift the limits, unmap", take_off)
            .exact(SIZE, 0)
            .exact(FRAMES, 0)
            .why("Frames and addresses are free again."),
    ])
}

fn of_memory(facts: &Facts<'_>, group: &Rc<Memcg>) -> Vec<Step> {
    let limit = LIMIT as i64;
    let entered = {
        let group = Rc::clone(group);
        move |w: &mut Worker| {
            group.enter()?;
            tell(w, &group)
        }
    };
    let ended = {
        let group = Rc::clone(group);
        move |w: &mut Worker| {
            w.end_second()?;
            tell(w, &group)
        }
    };
    // Kernels before 4.13 do not count OOM kills per group.
    let kills_counted = group.kills().is_some();
    let none_killed = |step: Step| if kills_counted { step.exact(KILLED, 0) } else { step };
    let mut steps = Vec::new();
    // A file with pages that can be dropped; on tmpfs they cannot.
    let file = own_file::uncached(ASKED as u64, facts.page_size);
    if let Err(error) = &file {
        steps.push(not_shown("reclaim of a file", &error.to_string()));
    }
    if let Ok(file) = file {
        let of_reader = Rc::clone(group);
        let read = move |w: &mut Worker| {
            map_file(w, &file)?;
            // No read-ahead: it can be as large as the group, and pages under read cannot be reclaimed.
            w.advise(0, 0..ASKED, MmapAdvise::MADV_RANDOM)?;
            w.read(0, 0..ASKED)?;
            tell(w, &of_reader)
        };
        steps.extend([
            step("start a child", Worker::fork).exact(FRAMES, 0).exact(OF_CHILD, 0),
            none_killed(step("it joins a group limited to 1,024 pages", entered))
                .by(Who::Child)
                .exact(OF_CHILD, 0)
                .exact(MEMBERS, 1)
                .within(CHARGED, 0..=limit)
                .why("A new memory cgroup. What a process used before it joined stays charged to its old group."),
            none_killed(step("it maps a file of 2,048, reads it all", read))
                .by(Who::Child)
                .within(OF_CHILD, 1..=limit)
                .within(CHARGED, 1..=limit)
                .why(
                    "Every page was in memory at some point. Whenever the group was full, file pages read earlier were \
                     dropped and their page-table entries cleared: they can be read again.",
                ),
            none_killed(step("end it", ended))
                .exact(FRAMES, 0)
                .exact(MEMBERS, 0)
                .within(CHARGED, 0..=limit)
                .why("What it read stays in the page cache, charged to the group, which is now empty."),
        ]);
    }
    let log = KernelLog::open().ok().filter(|_| !in_pid_namespace(facts.root));
    let counters_exact = facts.features.statm_exact == Some(true);
    let group = Rc::clone(group);
    let over_limit = move |w: &mut Worker| {
        be_killed(w, &group, log.as_ref(), counters_exact)?;
        tell(w, &group)
    };
    steps.push(
        step("a child of the group writes 2,048", over_limit)
            .exact(KILLED, 1)
            .within(WRITTEN, limit / 2..=limit)
            .exact(FRAMES, 0)
            .within(CHARGED, 0..=limit)
            .why(
                "First the rest of the file is dropped. Then the group is full of written pages, which have nowhere to \
                 go, and the kernel kills the process. Its page tables and other kernel memory are charged too, so it \
                 gets fewer than 1,024 pages.",
            ),
    );
    steps
}

/// Also reads which group the child is in.
fn membership(look: &mut Look<'_>) -> Read<()> {
    if let Some(child) = look.process(Who::Child) {
        let in_group = memchr::memmem::find(&child.read("cgroup")?, NAME.as_bytes()).is_some();
        look.add(MEMBERS, "/proc/PID/cgroup", i64::from(in_group));
    }
    Ok(())
}

/// Reports what the group's own files say.
fn tell(w: &mut Worker, group: &Memcg) -> Done {
    let charged = group.usage().ok_or(Errno::EIO)?.div_ceil(w.page as u64);
    w.say(OF_GROUP, charged as i64);
    w.say(MEMBERS_OF_GROUP, group.processes().ok_or(Errno::EIO)? as i64);
    if let Some(kills) = group.kills() {
        w.say(KILLS_OF_GROUP, kills as i64);
    }
    Ok(())
}

fn map_file(w: &mut Worker, file: &File) -> Done {
    let (length, address) = (ASKED * w.page, Some(w.address(0)));
    w.keep(0, Mapping::file_placed(file, 0, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, address)?);
    Ok(())
}

/// Has a child write more than its group's limit, and reports what happened to it.
fn be_killed(w: &mut Worker, group: &Memcg, log: Option<&KernelLog>, counters_exact: bool) -> Done {
    let page = w.page as u64;
    w.map(0, ASKED)?;
    // Shared with the child: one byte for each page it wrote.
    let marks = Mapping::anonymous(ASKED, READ_WRITE, MapFlags::MAP_SHARED, None)?;
    // The child inherits this process's memory, which counts as its RSS but is not charged to the group.
    let [_, resident, shared] = own_statm::read()?;
    if let Some(log) = log {
        log.skip().map_err(errno)?;
    }
    let parent = getpid();
    let child = forked(|| {
        be_first_choice();
        let written = begin(parent).and_then(|()| group.enter()).and_then(|()| {
            (0..ASKED).try_for_each(|page| {
                w.write(0, page..page + 1)?;
                marks.write(page, 1);
                Ok(())
            })
        });
        i32::from(written.is_err())
    })?;
    let ended = end_of(child)?;
    w.say(KILLS_WAITED_FOR, i64::from(matches!(ended, WaitStatus::Signaled(_, Signal::SIGKILL, _))));
    w.say(WRITTEN_BY_VICTIM, (0..ASKED).filter(|&page| marks.read(page) == 1).count() as i64);
    if let Some(log) = log {
        let mut buffer = [0; LONGEST];
        let mut kills = std::iter::from_fn(|| log.next(&mut buffer).map(oom::killed)).flatten();
        let kill = kills.find(|kill| kill.pid == child.as_raw().unsigned_abs());
        w.say(KILLS_IN_LOG, i64::from(kill.is_some()));
        if let Some(kill) = kill.filter(|_| counters_exact) {
            w.say(WRITTEN_IN_LOG, (kill.anonymous / page) as i64 - resident.saturating_sub(shared) as i64);
        }
    }
    Ok(())
}

/// Makes the OOM killer choose this process first: a process started with an oom_score_adj of -1000 cannot be killed and would
/// wait for memory forever.
fn be_first_choice() {
    // Raising it is always allowed.
    let _ =
        OpenOptions::new().write(true).open("/proc/self/oom_score_adj").and_then(|mut file| file.write_all(b"1000"));
}

/// Waits for a child to exit, and kills it after a timeout.
fn end_of(child: Pid) -> nix::Result<WaitStatus> {
    const LONGEST: Duration = Duration::from_secs(20);
    let deadline = Instant::now() + LONGEST;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive if Instant::now() < deadline => sleep(Duration::from_millis(1)),
            WaitStatus::StillAlive => break,
            ended => return Ok(ended),
        }
    }
    kill(child, Signal::SIGKILL)?;
    waitpid(child, None)?;
    Err(Errno::ETIME)
}
