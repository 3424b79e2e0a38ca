//! `overcommit`: what the kernel commits to, and how it is counted.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::mman::MapFlags;

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FRAMES, Quantity, Unit};
use super::script::{ARENA, Step, Who, step};
use super::worker::{Done, READ_WRITE, SAID, Worker};
use super::{BLANK, Demo, Skip};
use crate::demo::exclusive::exclusive;
use crate::error::Result;
use crate::kernel::memory::Mapping;
use crate::kernel::root::SMALL;
use crate::model::meminfo::Meminfo;
use crate::model::status;
use crate::unit::{VirtAddr, whole_size};

/// Mappings refused with ENOMEM.
const REFUSED: Quantity = Quantity::new("refused_mappings", "refused", Unit::Count);
/// The size of the arena: of its mappings, and as the change in VmSize. Sources: maps, smaps, status (VmSize).
const MAPPED: Quantity = Quantity::new("mapped_bytes", "mapped", Unit::Bytes);
/// The mappings that count as committed: those with VM_ACCOUNT. Source: smaps (VmFlags).
const PROMISED: Quantity = Quantity::new("promised_bytes", "promised", Unit::Bytes);
/// The change in the system-wide Committed_AS during the step. Source: meminfo; not known if other processes commit and
/// release a lot in the meantime.
const COMMITTED: Quantity = Quantity::new("committed_change_bytes", "committed", Unit::Bytes);

/// Where the worker reports that, if it knows.
const SAYS_COMMITTED: usize = SAID - 1;

/// Pages written in a mapping.
const WRITTEN: usize = 64;

pub(super) const DEMO: Demo = Demo {
    name: "overcommit",
    question: "can a process have more memory than the machine?",
    about: "A process asks for more memory than the machine has, then for addresses without a commitment \
            (MAP_NORESERVE), then for a fraction of the machine's memory. What is granted depends on \
            vm.overcommit_memory, which is read but not changed.",
    learnt: "mmap gives addresses and a promise, which is counted when it is made; frames come with writing and are \
             counted elsewhere. The sum of all promises is Committed_AS. Only mode 2 keeps it below CommitLimit; mode \
             0 refuses only what the machine could never provide, and mode 1 refuses nothing.",
    explain: "A private writable mapping is a promise: the kernel may have to find a frame for each of its pages. \
              It adds them to Committed_AS and marks the mapping (VM_ACCOUNT, `ac` in smaps). Mode 0 refuses a mapping \
              larger than RAM and swap together (older kernels: larger than what seems free). Mode 2 refuses a mapping \
              that would take the sum beyond CommitLimit, which is swap plus overcommit_ratio percent of RAM. \
              MAP_NORESERVE asks for addresses without a promise; mode 2 ignores it.",
    functions: &[
        ("do_mmap", "mm/mmap.c"),
        ("__mmap_setup", "mm/vma.c"),
        ("__vm_enough_memory", "mm/util.c"),
        ("vm_commit_limit", "mm/util.c"),
    ],
    columns: &[REFUSED, MAPPED, FRAMES, PROMISED, COMMITTED],
    says: &[(REFUSED, "errno")],
    readers: &[mapped, promised_by_all],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let file = Rc::new(facts.root.dir().open("proc/meminfo")?);
    let meminfo = Meminfo::parse(&facts.root.dir().read("proc/meminfo", SMALL)?);
    let known = |key| meminfo.bytes(key).ok_or_else(|| Skip(format!("/proc/meminfo has no {key} here")));
    let mode = facts.environment.overcommit.ok_or_else(|| Skip("cannot read vm.overcommit_memory".to_owned()))?;
    let (ram, swap) = (known("MemTotal")?, known("SwapTotal")?);
    let (limit, committed) = (known("CommitLimit")?, known("Committed_AS")?);
    let too_much = (ram + swap).max(limit).next_power_of_two() * 2;
    // Leave three quarters of the remaining commitment to other processes.
    let left = if mode == 2 { limit.saturating_sub(committed) / 4 } else { ram };
    let some = 1 << left.min(ram / 8).max(1).ilog2();
    let (page, end) = (facts.page_size.bytes(), facts.features.user_end);
    if facts.places.address(0) as u64 + too_much > end / 4 * 3 {
        return Err(Skip(
            "this machine has too much memory: more than that does not fit into an address space".to_owned(),
        ));
    }
    if some < 1024 * page {
        return Err(Skip("Committed_AS is too close to CommitLimit".to_owned()));
    }
    Ok(steps(mode, too_much, some, page, &file))
}

/// The steps in this mode, with two sizes in bytes: more than the machine has, and a fraction of it.
fn steps(mode: u64, too_much: u64, some: u64, page: u64, meminfo: &Rc<File>) -> Vec<Step> {
    // Other processes commit and release memory too, but hardly this much between two readings.
    let noise = (some / 2) as i64;
    let seen = |step: Step, refused: bool, mapped: u64, frames: usize, promised: u64, change: i64| {
        let step = step.exact(REFUSED, i64::from(refused)).exact(MAPPED, mapped).exact(FRAMES, frames);
        step.exact(PROMISED, promised).within(COMMITTED, change - noise..=change + noise)
    };
    let watched = |work: fn(&mut Worker, usize) -> Done, bytes: u64, change: i64| {
        let meminfo = Rc::clone(meminfo);
        let pages = (bytes / page) as usize;
        move |w: &mut Worker| {
            // Other runs of this demo commit as much. Anyone else who holds the lock longer is not waited for.
            let lock = meminfo.try_clone().ok().and_then(|file| exclusive(file, Duration::from_millis(200)).ok());
            let before = committed(&meminfo);
            w.say(0, 0);
            let done = work(w, pages);
            if let (Some(before), Some(after)) = (before, committed(&meminfo)) {
                let is = after - before;
                if (is - change).abs() <= noise || holds_still(&meminfo, noise) {
                    w.say(SAYS_COMMITTED, is);
                }
            }
            drop(lock);
            done
        }
    };
    let is = |mode_is: u64| mode == mode_is;
    let named = |bytes: u64| whole_size(bytes as usize);
    let mut steps = Vec::new();

    let (action, change) = (format!("map {}", named(too_much)), too_much as i64);
    if is(1) {
        steps.extend([
            seen(step(action, watched(map, too_much, change)), false, too_much, 0, too_much, change)
                .why("Mode 1: every promise is made, whether or not it can be kept."),
            seen(step("unmap", watched(unmap, 0, -change)), false, 0, 0, 0, -change)
                .why("The promise goes with the mapping."),
        ]);
    } else {
        steps.push(seen(step(action, watched(try_to_map, too_much, 0)), true, 0, 0, 0, 0).why(if is(2) {
            "Mode 2: the sum of all promises would exceed CommitLimit. ENOMEM."
        } else {
            "Mode 0: this is more than RAM and swap together, so the promise could never be kept. ENOMEM."
        }));
    }

    let action = format!("map {} (MAP_NORESERVE)", named(too_much));
    if is(2) {
        steps.push(
            seen(step(action, watched(try_to_map_unreserved, too_much, 0)), true, 0, 0, 0, 0)
                .why("Mode 2 ignores MAP_NORESERVE: writable private memory always counts as promised."),
        );
    } else {
        steps.extend([
            seen(step(action, watched(map_unreserved, too_much, 0)), false, too_much, 0, 0, 0)
                .why("MAP_NORESERVE: addresses that do not count as promised. VmSize exceeds the machine's memory."),
            seen(step(format!("write {WRITTEN} pages of it"), watched(write, 0, 0)), false, too_much, WRITTEN, 0, 0)
                .why(
                    "They get frames like any other page, as long as frames are available; otherwise the OOM killer \
                      kills a process.",
                ),
            seen(step("unmap", watched(unmap, 0, 0)), false, 0, 0, 0, 0).why("There was no promise to take back."),
        ]);
    }

    let change = some as i64;
    steps.extend([
        seen(step(format!("map {}", named(some)), watched(map, some, change)), false, some, 0, some, change)
            .why("A promise that can be kept. It counts now, although none of it is in use."),
        seen(step(format!("write {WRITTEN} pages of it"), watched(write, 0, 0)), false, some, WRITTEN, some, 0)
            .why("Frames are in use, but Committed_AS does not change: they were promised before."),
        seen(step("unmap", watched(unmap, 0, -change)), false, 0, 0, 0, -change)
            .why("The promise and the frames are both released."),
    ]);
    steps
}

fn map(w: &mut Worker, pages: usize) -> Done {
    map_with(w, pages, MapFlags::MAP_PRIVATE)
}

fn map_unreserved(w: &mut Worker, pages: usize) -> Done {
    map_with(w, pages, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE)
}

fn try_to_map(w: &mut Worker, pages: usize) -> Done {
    may_be_refused(w, map, pages)
}

fn try_to_map_unreserved(w: &mut Worker, pages: usize) -> Done {
    may_be_refused(w, map_unreserved, pages)
}

fn map_with(w: &mut Worker, pages: usize, flags: MapFlags) -> Done {
    let address = VirtAddr(w.address(0) as u64);
    w.look_at(0, address, pages * w.page);
    w.map_with(0, pages, READ_WRITE, flags)?;
    w.at(0).map(Mapping::keep_small)
}

fn may_be_refused(w: &mut Worker, map: fn(&mut Worker, usize) -> Done, pages: usize) -> Done {
    let done = map(w, pages);
    w.say(0, i64::from(done == Err(Errno::ENOMEM)));
    if done == Err(Errno::ENOMEM) { Ok(()) } else { done }
}

fn write(w: &mut Worker, _: usize) -> Done {
    w.write(0, 0..WRITTEN)
}

fn unmap(w: &mut Worker, _: usize) -> Done {
    w.unmap(0)
}

/// Whether Committed_AS stays constant, within the noise: an earlier change was then not caused by other processes.
fn holds_still(meminfo: &File, noise: i64) -> bool {
    const LOOKS: usize = 1000;
    let first = committed(meminfo);
    (0..LOOKS).all(|_| {
        sleep(Duration::from_millis(1));
        let now = committed(meminfo);
        first.zip(now).is_some_and(|(first, now)| (now - first).abs() <= noise)
    })
}

/// The current Committed_AS. The process that commits reads it itself, so that little else happens in between.
fn committed(meminfo: &File) -> Option<i64> {
    let mut text = [0; 8192];
    let length = meminfo.read_at(&mut text, 0).ok()?;
    status::bytes_of(text.get(..length)?, "Committed_AS")?.try_into().ok()
}

/// The change in Committed_AS during the step.
fn promised_by_all(look: &mut Look<'_>) -> Result<()> {
    let [says, change] = look.reply.said[SAYS_COMMITTED];
    if says != 0 {
        look.add(COMMITTED, "meminfo", change);
    }
    Ok(())
}

/// The size of the mappings, and how much of it counts as committed.
fn mapped(look: &mut Look<'_>) -> Result<()> {
    let page_size = look.facts.page_size;
    let (mut mapped, mut promised) = (0, Some(0));
    for row in look.rows(&ARENA) {
        let bytes = page_size.bytes_of(row.size_pages) as i64;
        let flags = row.smaps.as_ref().and_then(|values| values.flags.as_ref());
        let counts = flags.map(|flags| flags.split(' ').any(|code| code == "ac"));
        mapped += bytes;
        promised = promised.zip(counts).map(|(sum, counts)| if counts { sum + bytes } else { sum });
    }
    look.add(MAPPED, "maps", mapped);
    if let Some(bytes) = look.smaps(&ARENA, "Size") {
        look.add(MAPPED, "smaps", bytes);
    }
    if let Some(bytes) = look.status(Who::Worker, "VmSize") {
        look.add_since_start(MAPPED, "status", bytes);
    }
    if let Some(bytes) = promised {
        look.add(PROMISED, "smaps", bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which steps are refused, and what is mapped, promised and added to Committed_AS after each, in GiB.
    fn outline(mode: u64) -> Vec<(bool, [i64; 3])> {
        let steps = steps(mode, 64 << 30, 2 << 30, 4096, &Rc::new(File::open("/proc/meminfo").unwrap()));
        let bytes = |step: &Step, quantity| {
            let found = step.expect.iter().find(|expectation| expectation.quantity == quantity).unwrap();
            (found.min.unwrap() + found.max.unwrap()) / 2
        };
        steps
            .iter()
            .map(|step| {
                let gib = [MAPPED, PROMISED, COMMITTED].map(|quantity| bytes(step, quantity) >> 30);
                (bytes(step, REFUSED) == 1, gib)
            })
            .collect()
    }

    #[test]
    fn each_mode_grants_what_it_does() {
        let granted = [(false, [2, 2, 2]), (false, [2, 2, 0]), (false, [0, 0, -2])];
        let addresses = [(false, [64, 0, 0]), (false, [64, 0, 0]), (false, [0, 0, 0])];
        let refused = (true, [0, 0, 0]);
        assert_eq!(outline(0), [&[refused], &addresses[..], &granted].concat());
        let always = [(false, [64, 64, 64]), (false, [0, 0, -64])];
        assert_eq!(outline(1), [&always[..], &addresses, &granted].concat());
        assert_eq!(outline(2), [&[refused, refused][..], &granted].concat());
    }
}
