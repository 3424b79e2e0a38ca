//! `pmem page` over recorded machines: every frame compared with its words.

use serde_json::Value;

use super::recorded::{HEAD, Machine, PAGE, TAIL, pid, raw};
use crate::support::json::{hex_address, number};

fn frames(machine: &Machine, arguments: &[&str]) -> Vec<Value> {
    let mut document = machine.pmem(&[&["page", "--json"], arguments].concat()).with_status(0).json();
    std::mem::take(document["data"]["frames"].as_array_mut().unwrap())
}

/// Low memory with holes in it, where memory ends and begins, frames of processes, and offline memory.
const RANGES: [&str; 5] = ["0+0x200", "0x1000+0x400", "0xffc0+0x80", "0x100000+0x2800", "0x107ff0+0x20"];

#[test]
fn frames_are_what_their_words_say() {
    for machine in Machine::whole() {
        for frame in frames(machine, &RANGES) {
            let pfn = number(&frame["pfn"]);
            let what = || format!("{}: {frame}", machine.tree);
            assert_eq!((&frame["exists"], hex_address(&frame["physical_address"])), (&true.into(), pfn * PAGE));
            assert_eq!(raw(&frame), machine.shown(machine.flags[&pfn]), "{}", what());
            assert_eq!(frame["class"], machine.classes[&pfn], "{}", what());
            assert_eq!(number(&frame["mapcount"]), machine.counts.get(&pfn).copied().unwrap_or(0), "{}", what());
            let head = machine.head(pfn);
            let charged = machine.cgroups.get(&head).is_some_and(|&inode| inode != 0);
            assert_eq!(!frame["cgroup"].is_null(), charged, "{}", what());
            let zone = match pfn {
                1..0x1000 => Some("DMA"),
                0x1000..0xffe0 => Some("DMA32"),
                0x10_0000..0x10_8000 => Some("Movable"),
                _ => None,
            };
            assert_eq!((frame["zone"].as_str(), frame["node"].as_u64()), (zone, zone.map(|_| 0)), "{}", what());
            if machine.flags[&pfn] & (HEAD | TAIL) == 0 {
                assert!(frame["folio"].is_null(), "{}", what());
                continue;
            }
            let tails = (head + 1..).take_while(|frame| machine.flags[frame] & TAIL != 0).count() as u64;
            let folio = &frame["folio"];
            assert_eq!((number(&folio["head_pfn"]), number(&folio["index"])), (head, pfn - head), "{}", what());
            assert_eq!((number(&folio["frames"]), 1 << number(&folio["order"])), (tails + 1, tails + 1), "{}", what());
        }
    }
}

#[test]
fn a_frame_has_several_names() {
    for machine in Machine::whole() {
        let merged = &machine.known["merged"];
        let of_process = format!("{}:{}", pid(merged), &merged["ksm"]["address"].as_str().unwrap()[2..]);
        let frame = &frames(machine, &[&of_process])[0];
        let pfn = number(&frame["pfn"]);
        for name in [pfn.to_string(), format!("{pfn:#x}"), format!("phys:{:#x}", pfn * PAGE + 5), format!("{pfn}+1")] {
            assert_eq!(&frames(machine, &[&name])[0], frame, "{name}");
        }
        assert_eq!(frame["mapcount"], 32);
        assert_eq!(frame["class"], if machine.tells_ksm() { "ksm" } else { "anon" });
    }
}

#[test]
fn behind_the_end_of_memory_is_nothing() {
    for machine in Machine::whole() {
        let finished = machine.pmem(&["page", "0x110000", "--json"]).with_status(1);
        let frame = &finished.json()["data"]["frames"][0];
        assert_eq!((&frame["exists"], &frame["class"], &frame["flags"]), (&false.into(), &Value::Null, &Value::Null));
        // No process has a frame at this address either.
        let guest = pid(&machine.known["forks"]);
        let refused = machine.pmem(&["page", &format!("{guest}:300000000000")]).with_status(1);
        assert!(refused.stderr.contains("no page there"), "{}", refused.stderr);
    }
}

#[test]
fn what_a_tree_has_not_recorded_is_not_said_to_be_nothing() {
    let some = Machine::of_some_frames();
    let unrecorded = (0x10_0000..).find(|frame| !some.flags.contains_key(frame)).unwrap();
    let said = some.pmem(&["page", &unrecorded.to_string()]).with_status(1);
    assert!(said.text().contains("this tree does not have the frame"), "{}", said.text());
    let frame = &some.pmem(&["page", "--json", &unrecorded.to_string()]).with_status(1).json()["data"]["frames"][0];
    assert_eq!((&frame["exists"], &frame["class"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_folio_of_which_some_frames_are_recorded_has_no_known_size() {
    let some = Machine::of_some_frames();
    let flags = |frame: u64| some.flags.get(&frame).copied();
    let head =
        |frame: u64| (0..=frame).rev().find(|&frame| flags(frame).is_none_or(|flags| flags & TAIL == 0)).unwrap();
    let mut cut = 0;
    for &last in some.flags.keys().filter(|&&frame| flags(frame + 1).is_none()) {
        let head = head(last);
        // If a capture has all of a folio, it also has the frame after it.
        if last > head && flags(head).is_some_and(|flags| flags & HEAD != 0) && !(last + 1 - head).is_power_of_two() {
            let folio = &frames(some, &[&last.to_string()])[0]["folio"];
            assert_eq!((number(&folio["head_pfn"]), &folio["order"]), (head, &Value::Null), "{folio}");
            cut += 1;
        }
    }
    assert!(cut > 0, "the tree has such a folio");
}
