//! `pmem numa` over recorded trees: nodes add up, one that is short of memory is named, and a process's pages are on
//! their nodes.

use serde_json::Value;

use crate::support::json::number;
use crate::support::run::{Finished, pmem};
use crate::support::text::assert_no_control;
use crate::support::tree::fixtures;

/// Trees with NUMA nodes, and how many each has.
pub(super) const TREES: [(&str, usize); 5] =
    [("6.12/numa-2", 2), ("6.12/numa-4", 4), ("6.12/numa-tiers", 2), ("6.1/numa-8", 8), ("6.1/numa-imbalance", 2)];

fn numa(tree: &str, arguments: &[&str]) -> Finished {
    let tree = fixtures().join(tree);
    pmem([&["--root", tree.to_str().unwrap(), "numa"], arguments].concat())
}

fn list<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name} in {value}"))
}

#[test]
fn every_node_adds_up_and_nodes_are_the_machine() {
    for (tree, count) in TREES {
        let document = numa(tree, &["--json"]).with_status(0).json();
        let nodes = list(&document["data"], "nodes");
        assert_eq!(nodes.len(), count, "{tree}");
        for node in nodes.iter().filter(|node| !node["total_bytes"].is_null()) {
            let sum: i64 = list(node, "lines").iter().filter_map(|line| line["bytes"].as_i64()).sum();
            assert_eq!(sum, node["total_bytes"].as_i64().unwrap(), "{tree}: {node}");
        }
        // MemTotal from meminfo, read without pmem's code.
        let meminfo = std::fs::read_to_string(fixtures().join(tree).join("proc/meminfo")).unwrap();
        let total: u64 = meminfo.lines().next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
        let all: u64 = nodes.iter().filter_map(|node| node["total_bytes"].as_u64()).sum();
        assert_eq!(all, total * 1024, "{tree}");
    }
}

#[test]
fn every_format_says_the_same_in_80_columns() {
    for (tree, _) in TREES {
        let document = numa(tree, &["--json"]).with_status(0).json();
        let mut expected = Vec::new();
        for node in list(&document["data"], "nodes") {
            expected.extend(list(node, "lines").iter().map(|line| {
                (number(&node["node"]), line["name"].as_str().unwrap().to_owned(), line["bytes"].as_i64())
            }));
        }
        let lines = numa(tree, &["--format", "jsonl"]).with_status(0);
        let of_lines: Vec<_> = lines.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
        let row = |row: &Value| (number(&row["node"]), row["name"].as_str().unwrap().to_owned(), row["bytes"].as_i64());
        assert_eq!(of_lines.iter().map(row).collect::<Vec<_>>(), expected, "{tree}");
        let records = numa(tree, &["--format", "csv"]).with_status(0);
        let mut reader = csv::Reader::from_reader(&records.stdout[..]);
        assert_eq!(reader.headers().unwrap().iter().take(3).collect::<Vec<_>>(), ["node", "name", "bytes"]);
        let record =
            |record: csv::StringRecord| (record[0].parse().unwrap(), record[1].to_owned(), record[2].parse().ok());
        assert_eq!(reader.records().map(|found| record(found.unwrap())).collect::<Vec<_>>(), expected, "{tree}");

        let table = numa(tree, &[]).with_status(0);
        assert_no_control(&table.stdout, tree);
        assert_eq!(table.text().lines().find(|line| line.chars().count() > 80), None, "{tree}: 80 columns suffice");
    }
}

#[test]
fn a_node_that_is_short_is_named_though_the_machine_is_not() {
    let table = numa("6.1/numa-imbalance", &[]).with_status(0);
    let second = table.text().lines().nth(1).unwrap();
    assert_eq!(second, "Node 0 is 11.7 MiB below its min watermark (zone Normal).");
    let document = numa("6.1/numa-imbalance", &["--json"]).with_status(0).json();
    let nodes = list(&document["data"], "nodes");
    assert_eq!((&nodes[0]["standing"], &nodes[1]["standing"]), (&"at_min".into(), &"above_high".into()));
    // Its zoneinfo has 15,880,000 anonymous pages.
    let anonymous = list(&nodes[0], "lines").iter().find(|line| line["name"] == "anonymous").unwrap();
    assert_eq!(number(&anonymous["bytes"]), 15_880_000 * 4096);
    assert_eq!(number(&nodes[0]["below_min_bytes"]), 3000 * 4096);
    assert!(list(&document, "notes").iter().any(|note| note["code"] == "node-at-min"), "{document}");
}

#[test]
fn nodes_without_memory_or_cpus_are_said_to_be() {
    let document = numa("6.12/numa-4", &["--json"]).with_status(0).json();
    let nodes = list(&document["data"], "nodes");
    let has = |what: &str| nodes.iter().map(|node| node[what].as_bool().unwrap()).collect::<Vec<_>>();
    assert_eq!(has("has_memory").iter().filter(|has| !**has).count(), 1, "{document}");
    assert_eq!(has("has_cpu").iter().filter(|has| !**has).count(), 1, "{document}");
    let table = numa("6.12/numa-4", &[]).with_status(0);
    let cpus = table.text().lines().find(|line| line.starts_with("CPUs")).unwrap();
    assert!(cpus.contains("none"), "{cpus}");
}

#[test]
fn rounds_are_told_apart_and_lines_can_be_chosen() {
    let rounds =
        numa("6.12/numa-2", &["-n", "2", "-d", "0.01", "--format", "csv", "-o", "node,line,size"]).with_status(0);
    let lines: Vec<&str> = rounds.text().lines().collect();
    assert_eq!(lines[0], "time,node,title,bytes");
    assert_eq!(lines.len() % 2, 1, "two rounds and a header");
    let sorted = numa("6.12/numa-2", &["-s", "-size"]).with_status(0);
    assert!(sorted.text().lines().nth(1).unwrap().starts_with("   1  hugetlb"), "{}", sorted.text());
    numa("6.12/numa-2", &["-o", "nothing"]).with_status(2);
    assert!(numa("6.12/numa-2", &["-o", "help"]).with_status(0).text().contains("counted_in"));
}

#[test]
fn a_process_has_its_pages_on_nodes() {
    for (tree, _) in TREES {
        if !fixtures().join(tree).join("proc/183/numa_maps").exists() {
            continue;
        }
        let document = numa(tree, &["--all", "--json"]).with_status(0).json();
        for process in list(&document["data"], "processes") {
            let sum = |list: &Vec<Value>| list.iter().map(|of| number(&of["bytes"])).sum::<u64>();
            assert_eq!(number(&process["bytes"]), sum(list(process, "nodes")), "{tree}");
            assert_eq!(number(&process["bytes"]), sum(list(process, "mappings")), "{tree}");
            for mapping in list(process, "mappings") {
                let by_node = (0..8).filter_map(|node| mapping[format!("node{node}_bytes")].as_u64()).sum::<u64>();
                assert_eq!(number(&mapping["bytes"]), by_node, "{tree}: {mapping}");
            }
        }
        let table = numa(tree, &["183"]).with_status(0);
        assert_no_control(&table.stdout, tree);
        numa(tree, &["184"]).with_status(42);
    }
    // The policies of the scene, as described in fixtures/README.md.
    let table = numa("6.12/numa-2", &["183"]).with_status(0);
    for policy in ["interleave:0-1", "prefer (many):0-1", "weighted interleave:0-1", "bind=static:0-1"] {
        assert!(table.text().contains(policy), "{policy}: {}", table.text());
    }
}
