//! Every key of smaps as a column: its values are those of smaps.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::json::{hex_address, rows};
use crate::support::kernel::{Mapping, smaps};
use crate::support::run::pmem;
use crate::support::scene::Scene;
use crate::support::watch::Watch;

/// The keys that this kernel has.
fn keys(scene: &Scene) -> Vec<String> {
    smaps(scene.pid()).unwrap()[0].values.keys().cloned().collect()
}

/// What differs between the values of a row and those of smaps.
fn difference(row: &Value, mapping: &Mapping) -> Option<String> {
    let values = &row["smaps"];
    let flags = &values["VmFlags"];
    if flags["raw"] != mapping.flags.as_str() {
        return Some(format!("VmFlags {flags}, smaps {}", mapping.flags));
    }
    if flags["names"].as_array().map(Vec::len) != Some(mapping.flags.split_whitespace().count()) {
        return Some(format!("not a name for each flag: {flags}"));
    }
    mapping.values.iter().find_map(|(key, value)| {
        let ours = match mapping.in_kib.contains(key) {
            true => values[format!("{key}_bytes")].as_u64().map(|bytes| bytes / 1024),
            false => values[key].as_u64(),
        };
        (ours != Some(*value)).then(|| format!("{key}: {ours:?}, smaps {value}, at {:#x}", mapping.start))
    })
}

#[test]
fn every_key_is_what_smaps_says() {
    let scene = Scene::start(&["everything"]);
    let columns = format!("{},VmFlags", keys(&scene).join(","));
    let mut watch = Watch::start(&["frames", "--columns", &columns, &scene.target()]);
    watch.next();
    // The kernel's aging of pages changes Referenced, and other processes that map a library change its Pss: each
    // mapping must be right once, and most are at the first look.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut right = BTreeSet::new();
    loop {
        let process = watch.next();
        let smaps = smaps(scene.pid()).unwrap();
        assert_eq!(rows(&process).len(), smaps.len());
        let mut waiting = Vec::new();
        for (row, mapping) in rows(&process).iter().zip(&smaps) {
            assert_eq!(hex_address(&row["start"]), mapping.start);
            match difference(row, mapping) {
                None => drop(right.insert(mapping.start)),
                Some(found) if !right.contains(&mapping.start) => waiting.push(found),
                Some(_) => {}
            }
        }
        if waiting.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "never the same as smaps: {waiting:#?}");
    }
}

#[test]
fn csv_has_the_same_in_bytes_and_words() {
    let scene = Scene::start(&["everything"]);
    // Keys that only the scene itself changes.
    let run = pmem(["frames", "--format", "csv", "-o", "address,Rss,Size,Swap,Anonymous,VmFlags", &scene.target()]);
    let run = run.with_status(0);
    let mut csv = csv::Reader::from_reader(&run.stdout[..]);
    let smaps = smaps(scene.pid()).unwrap();
    let records: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), smaps.len());
    for (record, mapping) in records.iter().zip(&smaps) {
        assert_eq!(record[2], format!("{:#x}", mapping.start));
        for (at, key) in [(3, "Rss"), (4, "Size"), (5, "Swap"), (6, "Anonymous")] {
            assert_eq!(record[at], (mapping.value(key) * 1024).to_string(), "{key} at {:#x}", mapping.start);
        }
        assert_eq!(record[7].split(' ').count(), mapping.flags.split(' ').count(), "{}", &record[7]);
        assert_eq!(record[7].split(' ').any(|word| word == "readable"), mapping.flags.split(' ').any(|f| f == "rd"));
    }
}

#[test]
fn a_key_that_this_kernel_has_not_is_unknown_and_not_none() {
    let scene = Scene::start(&["sparse"]);
    let Some(absent) =
        ["ProtectionKey", "KSM", "Pss_Dirty"].into_iter().find(|key| !keys(&scene).iter().any(|k| k == key))
    else {
        return crate::support::skipped("a_key_that_this_kernel_has_not", "this kernel has every key");
    };
    let run = pmem(["frames", "--json", "--columns", absent, &scene.target()]).with_status(0);
    assert!(rows(&run.process()).iter().all(|row| row["smaps"][absent].is_null()));
    assert!(run.json()["notes"].to_string().contains(absent), "a note says so");
}
