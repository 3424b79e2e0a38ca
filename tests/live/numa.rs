//! `pmem numa` on this machine.

use serde_json::Value;

use crate::support::json::number;
use crate::support::run::pmem;
use crate::support::scene::Scene;
use crate::support::skipped;

#[test]
fn nodes_of_this_machine_add_up() {
    let document = pmem(["numa", "--json"]).with_status(0).json();
    let nodes = document["data"]["nodes"].as_array().unwrap();
    let directories = std::fs::read_dir("/sys/devices/system/node").map_or(0, |entries| {
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        entries.map(name).filter(|name| name.strip_prefix("node").is_some_and(|n| n.parse::<u32>().is_ok())).count()
    });
    assert!(nodes.len() >= directories.max(1), "{document}");
    for node in nodes.iter().filter(|node| !node["total_bytes"].is_null()) {
        let lines = node["lines"].as_array().unwrap();
        let sum: i64 = lines.iter().filter_map(|line| line["bytes"].as_i64()).sum();
        assert_eq!(sum, node["total_bytes"].as_i64().unwrap(), "{node}");
    }
}

#[test]
fn the_pages_of_a_process_are_on_the_nodes_that_numa_maps_names() {
    let scene = Scene::start(&["sparse"]);
    let name = "the_pages_of_a_process_are_on_the_nodes_that_numa_maps_names";
    if let Some(reason) = scene.skipped() {
        return skipped(name, reason);
    }
    let Ok(maps) = std::fs::read_to_string(format!("/proc/{}/numa_maps", scene.pid())) else {
        return skipped(name, "this kernel has no numa_maps");
    };
    // Counted again, only by words.
    let mut expected = 0;
    for line in maps.lines() {
        let size = line.split(' ').find_map(|word| word.strip_prefix("kernelpagesize_kB="));
        let size: u64 = size.map_or(0, |size| size.parse().unwrap());
        let pages = |word: &str| word.strip_prefix('N')?.split_once('=')?.1.parse::<u64>().ok();
        expected += line.split(' ').filter_map(pages).sum::<u64>() * size * 1024;
    }
    let document = pmem(["numa", "--json", &scene.target()]).with_status(0).json();
    let process: &Value = &document["data"]["processes"][0];
    assert_eq!(number(&process["bytes"]), expected);
    pmem(["numa", "4194305"]).with_status(42);
}
