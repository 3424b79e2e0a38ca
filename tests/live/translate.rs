//! `pmem translate` compared with the page map, `maps` and VmPTE, all read by the test itself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nix::unistd::Uid;
use serde_json::Value;

use crate::support::json::{hex_address, number};
use crate::support::kernel::{is_kernel_thread, pids, status_pages};
use crate::support::ordinary::Ordinary;
use crate::support::page_size;
use crate::support::run::{Finished, pmem};
use crate::support::scene::{Scene, made, made_as};
use crate::support::skipped;
use crate::support::text::assert_no_control;

fn translate(scene: &Scene, address: &str) -> Finished {
    pmem(["translate", "--json", &scene.target(), address])
}

/// The status of an answer that has a frame or a swap slot: only root sees those.
fn seen() -> i32 {
    if Uid::effective().is_root() { 0 } else { 4 }
}

/// The word of the page map for an address, read by the test.
fn word(pid: u32, address: u64) -> u64 {
    let mut word = [0; 8];
    let file = File::open(format!("/proc/{pid}/pagemap")).unwrap();
    file.read_exact_at(&mut word, address / page_size() * 8).unwrap();
    u64::from_ne_bytes(word)
}

/// The mappings of a process in the user's half: start, end and name.
fn maps(pid: u32) -> Vec<(u64, u64, String)> {
    let text = fs::read(format!("/proc/{pid}/maps")).unwrap();
    let line = |line: &str| {
        let (start, rest) = line.split_once('-').unwrap();
        let (end, rest) = rest.split_once(' ').unwrap();
        let name = rest.splitn(5, ' ').nth(4).unwrap().trim_start().to_owned();
        (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap(), name)
    };
    String::from_utf8_lossy(&text).lines().map(line).filter(|mapping| mapping.0 < 1 << 63).collect()
}

/// Asks about an address, given as `words`, and fails unless the answer is about this address and says what the page
/// map says. Asks again if the entry changed in the meantime: it also shows whether others map the page.
#[track_caller]
fn agreeing(scene: &Scene, words: &str, address: u64) -> Finished {
    loop {
        let before = word(scene.pid(), address);
        let run = translate(scene, words);
        if before == word(scene.pid(), address) {
            assert_agrees(&run.json()["data"], before, address);
            return run;
        }
    }
}

#[track_caller]
fn assert_agrees(found: &Value, word: u64, address: u64) {
    const FRAME: u64 = (1 << 55) - 1;
    assert_eq!(hex_address(&found["address"]), address, "{found}");
    let steps = found["levels"].as_array().expect("levels").iter();
    let sum: u64 = steps.map(|step| number(&step["index"]) << number(&step["shift"])).sum();
    assert_eq!(sum + number(&found["page_offset"]), address, "the walk leads to the address: {found}");
    // Whether a file page is mapped exactly once changes with every process that starts or ends.
    let others = if found["vma"]["kind"] == "file" { 1 << 56 } else { 0 };
    assert_eq!(hex_address(&found["entry"]) & !others, word & !others, "{found}");
    let frame = Some(word & FRAME).filter(|&frame| word >> 63 == 1 && frame != 0);
    assert_eq!(found["pfn"].as_u64(), frame, "{found}");
    let physical = frame.map(|frame| frame * page_size() + address % page_size());
    assert_eq!(
        found["physical_address"].as_str().map(|_| hex_address(&found["physical_address"])),
        physical,
        "{found}"
    );
    let (present, swap_like) = (word >> 63 == 1, word >> 62 & 1 == 1);
    let state = found["state"].as_str().unwrap();
    assert_eq!(["present", "zero"].contains(&state), present, "{found}");
    assert_eq!(["swapped", "guard", "marker", "migration", "special"].contains(&state), swap_like, "{found}");
}

#[test]
fn every_kind_of_memory_is_what_the_page_map_has() {
    let scene = Scene::start(&["everything"]);
    let (things, missing) = made(&scene.report);
    for thing in &things {
        let pages = thing.number("size_pages");
        for page in [0, pages / 2, pages - 1] {
            let address = thing.address + page * page_size() + 0x123;
            let run = agreeing(&scene, &format!("{address:#x}"), address);
            let found = &run.json()["data"];
            let has_frame = ["present", "zero", "swapped", "special"].contains(&found["state"].as_str().unwrap());
            assert_eq!(run.status, if has_frame { seen() } else { 0 }, "{}: {}", thing.what, run.stderr);
            // What the scene reports about the mapping.
            assert_eq!(hex_address(&found["vma"]["start"]), thing.address, "{found}");
            assert_eq!(found["vma"]["kind"], thing.claims["kind"], "{found}");
            let all_zero = thing.number("zero") == pages;
            assert_eq!(found["state"] == "zero", all_zero, "{}, page {page}: {found}", thing.what);
            let huge = thing.number("huge") == pages;
            let last = found["levels"].as_array().unwrap().last().unwrap()["name"].as_str().unwrap();
            assert_eq!(last, if huge { "PMD" } else { "PTE" }, "{}: {found}", thing.what);
            if huge {
                assert_eq!(number(&found["mapped_bytes"]), pages * page_size(), "{found}");
            }
        }
    }
    missing.iter().for_each(|(what, why)| skipped(what, why));
}

#[test]
fn what_the_frame_is_fits_the_memory() {
    if !Uid::effective().is_root() {
        return skipped("what_the_frame_is_fits_the_memory", "only root sees frames");
    }
    let scene = Scene::start(&["everything"]);
    let class = |what: &str, page: u64| {
        let address = made_as(&scene.report, what).address + page * page_size();
        let found = translate(&scene, &format!("{address:#x}")).with_status(0).json()["data"].clone();
        assert!(found["flags"]["names"].is_array() && found["zone"].is_string(), "{found}");
        (found["class"].as_str().unwrap().to_owned(), found["mapcount"].as_u64())
    };
    let of = |class: &str, mapcount: u64| (class.to_owned(), (class != "zero_page").then_some(mapcount));
    // The child has written 100 pages of its own, and shares the rest.
    assert_eq!(class("written, some again by a child", 0), of("anon", 1));
    assert_eq!(class("written, some again by a child", 999), of("anon", 2));
    assert_eq!(class("only read", 5), of("zero_page", 0));
    assert_eq!(class("memfd", 31), of("shmem", 1));
    assert_eq!(class("touched, then PROT_NONE", 0), of("anon", 2));
}

#[test]
fn a_guard_a_hole_and_swap_are_told_apart() {
    let scene = Scene::start(&["everything"]);
    let state = |address: u64| translate(&scene, &format!("{address:#x}")).json()["data"]["state"].clone();
    let (things, _) = made(&scene.report);
    for thing in things {
        let page = |page: u64| thing.address + page * page_size();
        match thing.what {
            "guard region" => {
                let found = [15, 16, 23, 24].map(|number| state(page(number)));
                let guard = |state: &Value| state == "guard" || (!Uid::effective().is_root() && state == "special");
                assert!(
                    found[0] == "present" && guard(&found[1]) && guard(&found[2]) && found[3] == "none",
                    "{found:?}"
                );
            }
            "half swapped out" => {
                let swapped =
                    (0..thing.number("size_pages")).find(|&number| word(scene.pid(), page(number)) >> 62 == 1);
                let address = page(swapped.expect("a page that is swapped out"));
                let found = translate(&scene, &format!("{address:x}")).with_status(seen()).json()["data"].clone();
                assert_eq!(found["state"], "swapped", "{found}");
                let low = word(scene.pid(), address) & ((1 << 55) - 1);
                if low != 0 {
                    assert_eq!(
                        (number(&found["swap"]["type"]), number(&found["swap"]["offset"])),
                        (low & 31, low >> 5)
                    );
                }
            }
            "shared anonymous" => assert_eq!(state(page(20)), "none"),
            _ => {}
        }
    }
}

#[test]
fn what_is_outside_of_mappings_is_none_with_its_neighbours() {
    let scene = Scene::start(&["everything"]);
    let pid = scene.pid();
    let maps = maps(pid);
    let gap = maps.windows(2).find(|pair| pair[0].1 < pair[1].0).expect("a gap between mappings");
    for address in [gap[0].1, gap[1].0 - 1] {
        let found = translate(&scene, &format!("{address:#x}")).with_status(0).json()["data"].clone();
        assert_eq!(
            (&found["state"], &found["vma"], &found["entry"]),
            (&"no_mapping".into(), &Value::Null, &Value::Null)
        );
        let around = ["below", "above"].map(|side| hex_address(&found[side]["start"]));
        assert_eq!(around, [gap[0].0, gap[1].0], "{found}");
    }
    for address in ["0xffffffffffffffff", "0xffff888000000000"] {
        let found = translate(&scene, address).with_status(0).json()["data"].clone();
        assert_eq!(found["state"], "not_user", "{found}");
    }
    for (start, _, name) in maps.iter().filter(|(_, _, name)| name.starts_with("[vvar")) {
        let found = translate(&scene, &format!("{start:#x}")).with_status(0).json()["data"].clone();
        assert_eq!((&found["state"], &found["vma"]["name"]), (&"not_shown".into(), &name.as_str().into()), "{found}");
    }
    let vsyscall = translate(&scene, "ffffffffff600000").json()["data"].clone();
    assert!(["not_shown", "not_user"].contains(&vsyscall["state"].as_str().unwrap()), "{vsyscall}");
}

#[test]
fn names_stand_for_the_addresses_that_maps_has() {
    let scene = Scene::start(&["everything"]);
    let pid = scene.pid();
    let maps = maps(pid);
    let of = |name: &str| maps.iter().filter(|mapping| mapping.2 == name).collect::<Vec<_>>();
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap().to_str().unwrap().to_owned();
    let stack_end = of("[stack]").iter().map(|mapping| mapping.1).max().unwrap();
    let heap = of("[heap]").iter().map(|mapping| mapping.0).min().unwrap();
    // The program's first mapping is that of its beginning.
    let base = of(&program).iter().map(|mapping| mapping.0).min().unwrap();
    let last = program.rsplit('/').next().unwrap();
    for (text, address) in [
        ("[heap]+0x10".to_owned(), heap + 0x10),
        ("[stack]-0x20".to_owned(), stack_end - 0x20),
        (format!("{program}+0x1008"), base + 0x1008),
        (format!("{last}+0x1008"), base + 0x1008),
        (format!("{heap:x}+0x8"), heap + 8),
    ] {
        agreeing(&scene, &text, address);
    }
    let unknown = translate(&scene, "no-such.so+0x10").with_status(2);
    assert!(unknown.stdout.is_empty() && unknown.stderr.contains("[heap]"), "{}", unknown.stderr);
}

/// The number of tables, with four levels and pages of 4 KiB, that are needed for what the test itself reads in the
/// page map.
fn tables_by_words(pid: u32) -> u64 {
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let mut tables = BTreeSet::new();
    for (start, end, _) in maps(pid) {
        let mut words = vec![0; ((end - start) / 4096 * 8) as usize];
        let read = pagemap.read_at(&mut words, start / 4096 * 8).unwrap();
        for (page, word) in (start / 4096..).zip(words[..read].chunks_exact(8)) {
            if u64::from_ne_bytes(word.try_into().unwrap()) & !(1 << 55) != 0 {
                // Which PTE, PMD and PUD table.
                tables.extend([9, 18, 27].map(|bits| (bits, page >> bits)));
            }
        }
    }
    tables.len() as u64
}

#[test]
fn tables_are_those_that_the_page_map_needs_and_vm_pte_has() {
    let everything = Scene::start(&["everything"]);
    let sparse = Scene::start(&["sparse"]);
    for scene in [&everything, &sparse] {
        let found = pmem(["translate", "--tables", "--json", &scene.target()]).with_status(0).json()["data"].clone();
        let vm_pte = status_pages(scene.pid(), "VmPTE").unwrap();
        let needed = number(&found["needed_tables"]);
        assert_eq!(number(&found["vm_pte_tables"]), vm_pte, "{found}");
        assert_eq!(found["unneeded_tables"].as_i64(), Some(vm_pte as i64 - needed as i64), "{found}");
        assert!(needed <= vm_pte, "no entry is without its table: {found}");
        assert!(needed == vm_pte || found["why_unneeded"].is_string(), "what is left over is explained: {found}");
        assert!(found["address"].is_null() && found["state"].is_null(), "no address was asked for: {found}");
        let names: Vec<_> = found["tables"].as_array().unwrap().iter().map(|level| level["name"].clone()).collect();
        if names == ["PUD", "PMD", "PTE"] && page_size() == 4096 && scene.skipped().is_none() {
            if std::ptr::eq(scene, &everything) {
                // Each huge page has a deposited table, which is one for the same addresses.
                assert_eq!(needed, tables_by_words(scene.pid()), "{found}");
            } else {
                // 100 pages 10 GiB apart, in an aligned terabyte, are in two slots of 512 GiB.
                let table = |level: usize| number(&found["tables"][level]["tables"]);
                assert!(table(2) > 100 && table(1) > 100 && table(0) > 2, "{found}");
            }
        } else {
            skipped("tables by the words of the page map", "other than four levels of 4 KiB");
        }
    }
}

#[test]
fn without_frame_numbers_all_else_is_told() {
    let user = Ordinary::new();
    let scene = user.scene(&["everything"]);
    let written = made_as(&scene.report, "written, some again by a child").address;
    let read = made_as(&scene.report, "only read").address;
    for (address, state) in [(written, "present"), (read, "zero")] {
        let address = format!("{address:#x}");
        let run = user.pmem(&["translate", "--json", &scene.target(), &address]).with_status(4);
        let found = &run.json()["data"];
        assert_eq!(
            (&found["state"], &found["pfn"], &found["class"]),
            (&state.into(), &Value::Null, &Value::Null),
            "{found}"
        );
        assert!(found["levels"].is_array() && found["vma"]["start"].is_string(), "{found}");
        assert!(run.stderr.contains("CAP_SYS_ADMIN"), "{}", run.stderr);
        assert!(run.json()["notes"].to_string().contains("pfn-hidden"));
        let table = user.pmem(&["translate", &scene.target(), &address]).with_status(4);
        assert!(table.text().contains("PTE") && table.text().contains("frame -"), "{}", table.text());
    }
    // If there is no frame, nothing is missing.
    let empty = format!("{:#x}", made_as(&scene.report, "shared anonymous").address + 20 * page_size());
    user.pmem(&["translate", &scene.target(), &empty]).with_status(0);
    user.pmem(&["translate", "--tables", &scene.target()]).with_status(0);
}

#[test]
fn what_has_no_address_space_is_said_to_have_none() {
    let zombie = Scene::start(&["zombie"]);
    let thread = pids().into_iter().find(|&pid| is_kernel_thread(pid));
    if thread.is_none() {
        skipped("a thread of the kernel", "there is none in this PID namespace");
    }
    let zombie = u32::try_from(number(&zombie.report["zombie"])).unwrap();
    for (pid, why) in [(Some(zombie), "zombie"), (thread, "kernel-thread")] {
        let Some(pid) = pid else { continue };
        let found = pmem(["translate", "--json", "--tables", &pid.to_string(), "0x1000"]).with_status(0);
        assert_eq!(found.json()["data"]["no_address_space"], why);
        assert_eq!(found.json()["data"]["state"], Value::Null);
        let table = pmem(["translate", &pid.to_string(), "[heap]"]).with_status(0);
        assert!(table.text().contains("address space"), "{}", table.text());
    }
}

#[test]
fn one_that_is_not_there_is_42_and_a_closed_one_is_4() {
    let mut ended = Scene::start(&["sparse"]);
    ended.kill_and_reap();
    for format in ["table", "json", "jsonl", "csv"] {
        let run = pmem(["translate", "--format", format, &ended.target(), "0x1000"]).with_status(42);
        assert!(run.stdout.is_empty() && run.stderr.starts_with("pmem: "), "{}", run.stderr);
    }
    if Uid::effective().is_root() {
        let closed = Scene::start(&["sparse"]);
        let run = Ordinary::new().pmem(&["translate", &closed.target(), "0x1000"]).with_status(4);
        assert!(run.stdout.is_empty() && run.stderr.contains("CAP_SYS_PTRACE"), "{}", run.stderr);
    }
}

#[test]
fn several_processes_of_a_name_are_to_be_chosen_from() {
    let scenes = [Scene::start(&["sparse"]), Scene::start(&["sparse"])];
    let run = pmem(["translate", "comm:workload", "0x1000"]).with_status(2);
    for scene in &scenes {
        assert!(run.stderr.contains(&scene.target()), "{}", run.stderr);
    }
}

#[test]
fn a_process_that_ends_or_moves_meanwhile_is_whole_or_gone() {
    for milliseconds in 0..8 {
        let scene = Scene::start(&["dying", &milliseconds.to_string()]);
        let run = pmem(["translate", "--json", "--tables", &scene.target(), "[stack]-0x8"]);
        match run.status {
            0 | 4 => drop(run.json()),
            1 => assert!(run.stdout.is_empty() && run.stderr.contains("ended"), "{}", run.stderr),
            42 => {}
            other => panic!("status {other}: {}", run.stderr),
        }
    }
    let replaced = Scene::start(&["exec-loop"]);
    let churn = Scene::start(&["churn"]);
    for scene in [&replaced, &churn] {
        for _ in 0..8 {
            let run = pmem(["translate", "--tables", &scene.target(), "[stack]-0x8"]);
            assert_no_control(&run.stdout, "standard output");
            // In the middle of exec there may be no stack yet, which is the only name that may be unknown then.
            assert!([0, 1, 2, 4].contains(&run.status), "{}: {}", run.status, run.stderr);
            assert!(!run.stderr.contains("ended"), "it has not ended: {}", run.stderr);
        }
    }
}
