//! `pmem rmap` over recorded processes: compared with their page maps, which the tests invert.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::recorded::{Machine, PAGE, first_page, pfn, pid};
use crate::support::json::{hex_address, number};

/// `pmem rmap` of these frames: those with a mapcount or a mapper.
fn rmap(machine: &Machine, frames: &[&str]) -> BTreeMap<u64, Value> {
    let mut document = machine.pmem(&[&["rmap", "--json"], frames].concat()).with_status(0).json();
    let frames = std::mem::take(document["data"]["frames"].as_array_mut().unwrap());
    let mapped = |frame: &Value| frame["mapcount"] != 0 || frame["found"] != 0;
    frames.into_iter().filter(mapped).map(|frame| (number(&frame["pfn"]), frame)).collect()
}

#[test]
fn mappers_are_those_of_the_page_maps() {
    for machine in Machine::whole() {
        let others: BTreeSet<u64> =
            machine.processes().iter().filter(|process| process.of_another).map(|process| process.pid).collect();
        let mut expected = machine.mappers();
        let (mut complete, mut incomplete) = (0, 0);
        for (frame, found) in rmap(machine, &["0+0x10000", "0x100000+0x8000"]) {
            let wanted = expected.remove(&frame).unwrap_or_default();
            let what = || format!("{}: {found}: {wanted:x?}", machine.tree);
            let mapper = |mapper: &Value| (number(&mapper["pid"]), hex_address(&mapper["address"]));
            let mappers: Vec<_> = found["mappers"].as_array().unwrap().iter().map(mapper).collect();
            assert!(mappers.is_sorted() && mappers.into_iter().collect::<BTreeSet<_>>() == wanted, "{}", what());
            // An entry of two processes with one address space counts once.
            let entries = wanted.iter().filter(|(pid, _)| !others.contains(pid)).count() as u64;
            let mapcount = machine.counts.get(&frame).copied().unwrap_or(0);
            // The kernel keeps no mapcount for the zero page.
            let zero = machine.classes[&frame] == "zero_page";
            let said = (number(&found["found"]), found["mapcount"].as_u64());
            assert_eq!(said, (entries, (!zero).then_some(mapcount)), "{}", what());
            assert_eq!(found["complete"], entries == mapcount && !zero, "{}", what());
            assert_eq!(found["why"].is_null(), found["complete"] == true, "{}", what());
            if !zero {
                *(if found["complete"] == true { &mut complete } else { &mut incomplete }) += 1;
            }
        }
        assert!(expected.is_empty(), "{}: not found: {expected:x?}", machine.tree);
        // The pmem that recorded them kept running after it had recorded itself, which no other process did; and on 6.1
        // a field of zsmalloc's frames looks like a mapcount.
        assert!(complete > 10_000 && incomplete < 200, "{}: {complete} and {incomplete}", machine.tree);
    }
}

#[test]
fn all_who_map_a_familys_memory_are_found() {
    for machine in Machine::all() {
        for family in ["forks", "huge"].map(|name| &machine.known[name]).into_iter().filter(|family| !family.is_null())
        {
            let children = family["children"].as_array().unwrap();
            let members: BTreeSet<u64> = children.iter().chain([family]).map(|member| number(&member["pid"])).collect();
            let first = first_page(family);
            let pages = first..first + number(&family["pages"]);
            let own = machine.processes().into_iter().filter(|process| members.contains(&process.pid));
            let frames: BTreeSet<u64> =
                own.flat_map(|process| pages.clone().map(move |page| pfn(process.pages[&page]).unwrap())).collect();
            // Each child has its own frames for what it wrote.
            assert_eq!(frames.len() as u64, number(&family["pages"]) + 10 + 20, "{}", machine.tree);
            let names: Vec<String> = frames.iter().map(u64::to_string).collect();
            let found = rmap(machine, &names.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.len(), frames.len());
            for frame in found.values() {
                assert_eq!(frame["complete"], true, "{}: {frame}", machine.tree);
                let mapper = |mapper: &Value| members.contains(&number(&mapper["pid"])) && mapper["comm"] == "scene";
                assert!(frame["mappers"].as_array().unwrap().iter().all(mapper), "{frame}");
            }
        }
    }
}

#[test]
fn a_merged_frame_has_all_its_pages() {
    for machine in Machine::whole() {
        let merged = &machine.known["merged"];
        let place = format!("{}:{:x}", pid(merged), first_page(&merged["ksm"]) * PAGE);
        let found = rmap(machine, &[&place]);
        let frame = found.values().next().unwrap();
        assert_eq!((&frame["found"], &frame["complete"]), (&32.into(), &true.into()), "{frame}");
        let addresses: Vec<u64> =
            frame["mappers"].as_array().unwrap().iter().map(|mapper| hex_address(&mapper["address"])).collect();
        let first = first_page(&merged["ksm"]);
        assert_eq!(addresses, (first..first + 32).map(|page| page * PAGE).collect::<Vec<_>>());
    }
}

#[test]
fn processes_of_one_address_space_are_told_apart_from_sharers() {
    for machine in Machine::whole() {
        let clone = &machine.known["clone"];
        let place = format!("{}:{:x}", pid(clone), first_page(clone) * PAGE);
        let found = rmap(machine, &[&place]);
        let frame = found.values().next().unwrap();
        assert_eq!((&frame["found"], &frame["mapcount"], &frame["complete"]), (&1.into(), &1.into(), &true.into()));
        let mappers: Vec<_> =
            frame["mappers"].as_array().unwrap().iter().map(|m| (m["pid"].clone(), m["shares_with"].clone())).collect();
        let (parent, child) = (clone["pid"].clone(), clone["children"][0]["pid"].clone());
        assert_eq!(mappers, [(parent.clone(), Value::Null), (child, parent)]);
    }
}

/// The frames of a process, without the zero page.
fn frames_of(machine: &Machine, process: &super::recorded::Recorded) -> BTreeSet<u64> {
    let zero = |frame: &u64| machine.flags[frame] & 1 << 24 != 0;
    process.pages.values().filter_map(|&word| pfn(word)).filter(|frame| !zero(frame)).collect()
}

#[test]
fn shared_frames_are_what_sets_of_frames_have_in_common() {
    for machine in Machine::all() {
        let processes = machine.processes();
        let one = number(&machine.known["huge"]["pid"]);
        let own = frames_of(machine, processes.iter().find(|process| process.pid == one).unwrap());
        let common =
            |process: &super::recorded::Recorded| frames_of(machine, process).intersection(&own).count() as u64;
        let expected: BTreeMap<u64, u64> = processes
            .iter()
            .filter(|process| process.pid != one)
            .map(|process| (process.pid, common(process)))
            .filter(|(_, frames)| *frames > 0)
            .collect();
        let document = machine.pmem(&["rmap", "--json", "--shared-with", &one.to_string()]).with_status(0).json();
        let data = &document["data"];
        let sharer = |sharer: &Value| (number(&sharer["pid"]), number(&sharer["frames"]));
        let list = data["shared"]["sharers"].as_array().unwrap();
        assert_eq!(list.iter().map(sharer).collect::<BTreeMap<_, _>>(), expected, "{}", machine.tree);
        assert_eq!(data["shared"]["frames"], own.len(), "{}", machine.tree);
    }
}

#[test]
fn what_is_missing_in_a_tree_may_be_of_processes_that_are_not_in_it() {
    let some = Machine::of_some_frames();
    let mappers = some.mappers();
    let (frame, _) = some
        .counts
        .iter()
        .find(|(frame, count)| mappers.get(frame).is_some_and(|m| (m.len() as u64) < **count))
        .unwrap();
    let found = rmap(some, &[&frame.to_string()]);
    let why = found[frame]["why"].as_str().unwrap();
    assert!(why.contains("not recorded here"), "{why}");
}
