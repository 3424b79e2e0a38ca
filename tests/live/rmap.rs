//! `rmap`: who maps a frame, compared with scenes that know it, and with the kernel's mapcounts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::support::frames::{
    ANON, FrameFile, SWAPBACKED, ZERO_PAGE, as_arguments, by_number, frame_at, frames_of, mappers, visible,
};
use crate::support::json::{hex_address, number};
use crate::support::kernel::pids;
use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;
use crate::support::scene::Scene;
use crate::support::{page_size, skipped};

/// What `pmem rmap` reports about frames.
#[track_caller]
fn rmap(frames: &[String]) -> BTreeMap<u64, Value> {
    let arguments: Vec<&str> = ["rmap", "--json"].into_iter().chain(frames.iter().map(String::as_str)).collect();
    // Status 1 if some frame has more mappers than are found, such as those of a process that even root may not read.
    let run = pmem(arguments);
    assert!([0, 1].contains(&run.status), "{}: {}", run.status, run.stderr);
    let document = run.json();
    assert_eq!(document["schema"], "pmem.rmap/1");
    by_number(&document)
}

/// Fails unless a frame is mapped by exactly these, and reported to be mapped by that many.
#[track_caller]
fn assert_mapped_by(frame: &Value, expected: &[(u64, u64)]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(mappers(frame), expected, "{frame}");
    assert_eq!((number(&frame["found"]), number(&frame["mapcount"])), (expected.len() as u64, expected.len() as u64));
    assert_eq!(frame["complete"], true, "{frame}");
}

/// The processes of `forks`, the parent first, and how many of the first pages each has written for itself.
fn family(scene: &Scene) -> Vec<(u64, u64)> {
    let children = scene.report["children"].as_array().unwrap();
    let children = children.iter().map(|child| (number(&child["pid"]), number(&child["writes"])));
    std::iter::once((u64::from(scene.pid()), 0)).chain(children).collect()
}

/// Who has the same frame as `pid` at page number `page`: all that have not written it, or only `pid`.
fn expected(family: &[(u64, u64)], pid: u64, page: u64) -> Vec<u64> {
    let own = |&&(one, writes): &&(u64, u64)| one == pid && page < writes;
    if family.iter().any(|one| own(&one)) {
        return vec![pid];
    }
    family.iter().filter(|(_, writes)| page >= *writes).map(|(pid, _)| *pid).collect()
}

fn assert_family(arguments: &[&str], test: &str) {
    if !visible(test) {
        return;
    }
    let scene = Scene::start(arguments);
    if let Some(reason) = scene.skipped() {
        return skipped(test, reason);
    }
    let (address, count) = (hex_address(&scene.report["address"]), number(&scene.report["pages"]));
    let family = family(&scene);
    // The first and the last page of each group, given by address: all in one call.
    let groups = [0, 9, 10, 19, 20, count - 1].map(|page| (page, address + page * page_size()));
    let places = groups.iter().flat_map(|(_, at)| family.iter().map(move |(pid, _)| format!("{pid}:{at:#x}")));
    let frames = rmap(&places.collect::<Vec<_>>());
    for (page, at) in groups {
        for &(pid, _) in &family {
            let by: Vec<_> = expected(&family, pid, page).into_iter().map(|pid| (pid, at)).collect();
            assert_mapped_by(&frames[&frame_at(pid, at)], &by);
        }
    }
    // And every frame of all four, given by number.
    let mut owners: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for &(pid, _) in &family {
        for (page, pfn) in frames_of(pid, address, count).into_iter().enumerate() {
            owners.entry(pfn.unwrap()).or_default().push((pid, address + page as u64 * page_size()));
        }
    }
    assert_eq!(owners.len() as u64, count + 30, "what the children wrote are frames of their own");
    let frames = rmap(&as_arguments(&owners.keys().copied().collect()));
    assert_eq!(frames.len(), owners.len());
    for (pfn, by) in owners {
        assert_mapped_by(&frames[&pfn], &by);
    }
}

#[test]
fn frames_shared_by_fork_are_mapped_by_exactly_those_who_share_them() {
    assert_family(&["forks"], "frames_shared_by_fork_are_mapped_by_exactly_those_who_share_them");
}

#[test]
fn frames_of_huge_pages_are_mapped_by_exactly_those_who_share_them() {
    assert_family(&["forks", "huge"], "frames_of_huge_pages_are_mapped_by_exactly_those_who_share_them");
}

#[test]
fn a_file_mapped_at_many_addresses_is_found_at_each_twice_in_one_process_too() {
    if !visible("a_file_mapped_at_many_addresses_is_found_at_each_twice_in_one_process_too") {
        return;
    }
    let scene = Scene::start(&["same", "5"]);
    let mut mapped = Vec::new();
    for by in scene.report["mappers"].as_array().unwrap() {
        mapped.push((number(&by["pid"]), hex_address(&by["address"])));
    }
    let addresses: BTreeSet<_> = mapped.iter().map(|(_, address)| address).collect();
    assert_eq!(addresses.len(), 7, "each maps it elsewhere");
    let at =
        |page: u64| mapped.iter().map(move |(pid, address)| (*pid, address + page * page_size())).collect::<Vec<_>>();
    // However it is given: the same frame, once.
    let by = at(17);
    let pfn = frame_at(by[0].0, by[0].1);
    for name in [
        format!("{pfn}"),
        format!("{pfn:#x}+1"),
        format!("phys:{:#x}", pfn * page_size() + 5),
        format!("{}:{:#x}", by[3].0, by[3].1 + 7),
    ] {
        let frames = rmap(&[name]);
        assert_eq!(frames.len(), 1);
        assert_mapped_by(&frames[&pfn], &by);
    }
    // And all of them.
    let all: Vec<_> = (0..number(&scene.report["pages"])).map(at).collect();
    let frames = rmap(&as_arguments(&all.iter().map(|by| frame_at(by[0].0, by[0].1)).collect()));
    for by in &all {
        assert_mapped_by(&frames[&frame_at(by[0].0, by[0].1)], by);
    }
    // The permissions and the name of the mapping are those of maps.
    let frame = &frames[&pfn];
    for mapper in frame["mappers"].as_array().unwrap() {
        assert_eq!(mapper["perm"], "r--s", "{mapper}");
        assert_eq!(mapper["comm"], "workload", "{mapper}");
        assert!(mapper["name"].as_str().unwrap().ends_with(" (deleted)"), "{mapper}");
    }
}

#[test]
fn a_cached_page_of_a_file_is_found_by_its_path_and_offset() {
    if !visible("a_cached_page_of_a_file_is_found_by_its_path_and_offset") {
        return;
    }
    let scene = Scene::start(&["sparse"]);
    let pid = u64::from(scene.pid());
    let workload = fs::canonicalize(crate::support::run::workload()).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let line = maps.lines().find(|line| line.contains(" r-xp ")).unwrap();
    let start = u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
    let offset = u64::from_str_radix(line.split_whitespace().nth(2).unwrap(), 16).unwrap();
    let text = frames_of(pid, start, 512);
    let page = text.iter().position(Option::is_some).unwrap() as u64;
    let place = format!("{}:{:#x}", workload.display(), offset + page * page_size());
    let frames = rmap(&[place]);
    let frame = &frames[&text[page as usize].unwrap()];
    assert!(mappers(frame).contains(&(pid, start + page * page_size())), "{frame}");
}

/// All processes of a scene.
fn tree(scene: &Scene) -> BTreeSet<u64> {
    let lists = ["children", "mappers"].iter().filter_map(|list| scene.report[list].as_array()).flatten();
    let pids = lists.chain([&scene.report, &scene.report["child"]]).filter_map(|process| process["pid"].as_u64());
    pids.collect()
}

#[test]
fn all_frames_of_trees_that_wait_have_as_many_mappers_as_the_kernel_counts() {
    if !visible("all_frames_of_trees_that_wait_have_as_many_mappers_as_the_kernel_counts") {
        return;
    }
    let scenes = [&["forks"][..], &["forks", "huge"], &["everything"], &["classes"]].map(Scene::start);
    let (flags, counts) = (FrameFile::open("kpageflags"), FrameFile::open("kpagecount"));
    let mut places: BTreeMap<u64, BTreeSet<(u64, u64)>> = BTreeMap::new();
    for pid in scenes.iter().flat_map(tree) {
        for (address, pfn) in present(pid) {
            // Other processes, which come and go, map files too.
            if flags.word(pfn).unwrap() & (ANON | SWAPBACKED) != 0 {
                places.entry(pfn).or_default().insert((pid, address));
            }
        }
    }
    assert!(places.len() > 3000, "arenas, stacks, heaps and shared memory of seven and more");
    let frames = rmap(&as_arguments(&places.keys().copied().collect()));
    for (pfn, places) in places {
        let frame = &frames[&pfn];
        assert_eq!(mappers(frame), places.iter().copied().collect::<Vec<_>>(), "{frame}");
        let by_kernel = counts.word(pfn).unwrap();
        assert_eq!((number(&frame["mapcount"]), number(&frame["found"])), (by_kernel, by_kernel), "{frame}");
        assert_eq!(frame["complete"], true, "{frame}");
    }
}

/// What a process has present, by its maps and pagemap, except for mappings so large that they must be mostly empty.
fn present(pid: u64) -> Vec<(u64, u64)> {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mut present = Vec::new();
    for line in String::from_utf8_lossy(&maps).lines() {
        let (start, rest) = line.split_once('-').unwrap();
        let [start, end] = [start, rest.split(' ').next().unwrap()].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        if start >= 1 << 63 || end - start > 1 << 30 {
            continue;
        }
        let frames = frames_of(pid, start, (end - start) / page_size()).into_iter().enumerate();
        present.extend(frames.filter_map(|(page, pfn)| Some((start + page as u64 * page_size(), pfn?))));
    }
    present
}

/// Frames of the whole machine, at most this many of each process, each with the places where processes map it.
fn everywhere(most: usize) -> BTreeMap<u64, BTreeSet<(u64, u64)>> {
    let mut places: BTreeMap<u64, BTreeSet<(u64, u64)>> = BTreeMap::new();
    for pid in pids() {
        let present = present(u64::from(pid));
        let step = present.len().div_ceil(most).max(1);
        for (address, pfn) in present.into_iter().step_by(step) {
            places.entry(pfn).or_default().insert((u64::from(pid), address));
        }
    }
    places
}

#[test]
fn nearly_all_frames_of_the_machine_have_as_many_mappers_as_the_kernel_counts() {
    const TEST: &str = "nearly_all_frames_of_the_machine_have_as_many_mappers_as_the_kernel_counts";
    const TRIES: usize = 4;
    if !visible(TEST) {
        return;
    }
    let _scenes = [Scene::start(&["forks"]), Scene::start(&["everything"]), Scene::start(&["same", "3"])];
    let counts = FrameFile::open("kpagecount");
    let (mut best, mut busy) = ((0.0, String::new()), String::new());
    for _ in 0..TRIES {
        let before: BTreeMap<u64, u64> =
            everywhere(500).into_keys().map(|pfn| (pfn, counts.word(pfn).unwrap_or(0))).collect();
        // The kernel does not count zero pages, nor what drivers and the vdso map without a mapcount.
        let looked_at: BTreeSet<u64> =
            before.iter().filter(|(_, count)| **count > 0).map(|(pfn, _)| *pfn).take(10_000).collect();
        let frames = rmap(&as_arguments(&looked_at));
        // Frames that the kernel now counts differently have changed; so have those for which pmem saw a different
        // count on the way, while a process came and went. (pmem itself maps some of them once more, and is counted
        // too.)
        let came_and_went = |pfn: &u64| {
            let said = |why: &str| why.starts_with("the mapcount went from") || why.contains("ended during the search");
            frames[pfn]["why"].as_str().is_some_and(said)
        };
        let still = |pfn: &&u64| counts.word(**pfn) == before.get(pfn).copied() && !came_and_went(pfn);
        let held_still: Vec<_> = looked_at.iter().filter(still).collect();
        let wrong: Vec<_> = held_still
            .iter()
            .filter(|pfn| frames[pfn]["found"] != frames[pfn]["mapcount"])
            .map(|pfn| frames[pfn].to_string())
            .collect();
        let moved = looked_at.len() - held_still.len();
        let said = format!("{} of {} frames differ ({moved} moved): ", wrong.len(), held_still.len());
        if moved * 2 > looked_at.len() {
            busy = said;
            continue;
        }
        let right = 1.0 - wrong.len() as f64 / held_still.len() as f64;
        if right > best.0 {
            best = (right, said + &wrong.into_iter().take(5).collect::<Vec<_>>().join("\n"));
        }
        if best.0 > 0.999 {
            return eprintln!("{}", best.1);
        }
    }
    if best.1.is_empty() {
        return skipped(TEST, &format!("the machine was never quiet: {busy}"));
    }
    panic!("{}", best.1);
}

#[test]
fn processes_that_share_an_address_space_are_both_shown_and_counted_once() {
    if !visible("processes_that_share_an_address_space_are_both_shown_and_counted_once") {
        return;
    }
    let scene = Scene::start(&["clone"]);
    let (pid, other) = (u64::from(scene.pid()), number(&scene.report["children"][0]["pid"]));
    let address = hex_address(&scene.report["address"]);
    let frames = rmap(&[format!("{pid}:{address:#x}"), format!("{other}:{:#x}", address + page_size())]);
    for page in 0..2 {
        let at = address + page * page_size();
        let frame = &frames[&frame_at(pid, at)];
        assert_eq!(mappers(frame).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([(pid, at), (other, at)]));
        assert_eq!((number(&frame["mapcount"]), number(&frame["found"])), (1, 1), "{frame}");
        assert_eq!(frame["complete"], true, "{frame}");
    }
}

/// The frames of a process, except zero pages.
fn frames_but_zero(pid: u64, flags: &FrameFile) -> BTreeSet<u64> {
    let zero = |pfn: &u64| flags.word(*pfn).unwrap() & ZERO_PAGE != 0;
    present(pid).into_iter().map(|(_, pfn)| pfn).filter(|pfn| !zero(pfn)).collect()
}

#[test]
fn it_is_said_how_many_frames_a_process_shares_with_each_other() {
    if !visible("it_is_said_how_many_frames_a_process_shares_with_each_other") {
        return;
    }
    let scene = Scene::start(&["forks"]);
    let flags = FrameFile::open("kpageflags");
    let family: Vec<(u64, BTreeSet<u64>)> =
        family(&scene).into_iter().map(|(pid, _)| (pid, frames_but_zero(pid, &flags))).collect();
    let (own, frames) = &family[0];
    let run = pmem(["rmap", "--json", "--shared-with", &own.to_string()]);
    let (status, shared) = (run.status, run.json());
    let shared = &shared["data"]["shared"];
    let closed = shared["asked"]["unreadable"].as_array().unwrap();
    assert_eq!(status, i32::from(!closed.is_empty()), "who is closed may share more: {closed:?}");
    assert_eq!((number(&shared["pid"]), number(&shared["frames"])), (*own, frames.len() as u64), "{shared}");
    for (pid, others) in &family[1..] {
        let mut sharers = shared["sharers"].as_array().unwrap().iter();
        let sharer = sharers.find(|sharer| sharer["pid"] == *pid).expect("a child shares memory");
        assert_eq!(number(&sharer["frames"]), frames.intersection(others).count() as u64, "{sharer}");
    }
    // And each with all others.
    let pids: Vec<String> = family.iter().map(|(pid, _)| pid.to_string()).collect();
    let arguments: Vec<&str> =
        ["rmap", "--json", "--shared-with"].into_iter().chain(pids.iter().map(String::as_str)).collect();
    let matrix = pmem(arguments).with_status(0).json();
    let matrix = &matrix["data"]["matrix"];
    let place = |pid: u64| matrix["processes"].as_array().unwrap().iter().position(|p| p["pid"] == pid).unwrap();
    for (one, frames) in &family {
        for (other, others) in &family {
            let found = &matrix["frames"][place(*one)][place(*other)];
            assert_eq!(number(found), frames.intersection(others).count() as u64, "{one} and {other}: {matrix}");
        }
    }
}

#[test]
fn as_an_ordinary_user_it_is_4_and_names_what_would_help() {
    let user = Ordinary::new();
    let scene = user.scene(&["forks"]);
    let address = format!("{}:{}", scene.pid(), scene.report["address"].as_str().unwrap());
    for command in ["rmap", "page"] {
        for frame in ["0x1000", "phys:0x1000000", &address] {
            for format in ["table", "json"] {
                let run = user.pmem(&[command, "--format", format, frame]).with_status(4);
                assert!(run.stdout.is_empty(), "{command} {frame}: nothing is known");
                assert!(run.stderr.contains("root") || run.stderr.contains("CAP_"), "{}", run.stderr);
            }
        }
    }
}

#[test]
fn what_is_not_a_frame_is_2_and_who_is_not_there_is_42() {
    for command in ["rmap", "page"] {
        for wrong in [&[][..], &["x"], &["0x"], &["1+0"], &["1+x"], &["phys:"], &["phys:q"], &["self:"], &["/:-1"]] {
            let run = pmem([&[command], wrong].concat());
            assert_eq!(run.status, 2, "{command} {wrong:?}: {}", run.stderr);
            assert!(run.stdout.is_empty() && !run.stderr.is_empty());
        }
    }
    if visible("who_is_not_there_is_42") {
        for command in ["rmap", "page"] {
            let run = pmem([command, "4194305:0x1000"]).with_status(42);
            assert!(run.stdout.is_empty());
            // A mapping that it does not have.
            let run = pmem([command, "self:zz"]).with_status(2);
            assert!(run.stdout.is_empty());
        }
    }
}

#[test]
fn an_address_where_nothing_is_is_said() {
    if !visible("an_address_where_nothing_is_is_said") {
        return;
    }
    let scene = Scene::start(&["forks"]);
    let behind = hex_address(&scene.report["address"]) + 1000 * page_size();
    for command in ["rmap", "page"] {
        let run = pmem([command, &format!("{}:{behind:#x}", scene.pid())]).with_status(1);
        assert!(run.stderr.contains(&format!("{behind:x}")), "which address: {}", run.stderr);
    }
    // Some exist and some do not: those that exist are shown.
    let there = hex_address(&scene.report["address"]);
    let [here, gone] = [there, behind].map(|address| format!("{}:{address:#x}", scene.pid()));
    let run = pmem(["rmap", "--json", &gone, &here]).with_status(1);
    assert!(by_number(&run.json()).contains_key(&frame_at(u64::from(scene.pid()), there)));
}
