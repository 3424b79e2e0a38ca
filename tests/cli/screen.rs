//! What `--top` refuses.

use crate::support::run::pmem;
use crate::support::tree::fixtures;

#[test]
fn a_recorded_tree_has_no_rounds() {
    let tree = fixtures().join("6.12/machine");
    for command in [&["slab"][..], &["where"], &["buddy"], &["numa"], &["frames", "--all"]] {
        let options = ["--top", "--root", tree.to_str().unwrap()];
        let run = pmem([command, &options].concat()).with_status(2);
        assert!(run.stderr.contains("a recorded tree does not change"), "{command:?}: {}", run.stderr);
        assert!(run.stderr.contains(&format!("'pmem {}'", command[0])), "{command:?}: {}", run.stderr);
        assert!(run.stdout.is_empty());
    }
}

#[test]
fn a_screen_of_processes_has_no_mappings() {
    let run = pmem(["frames", "--all", "--top", "--kind", "heap"]).with_status(2);
    assert!(run.stderr.contains("--top shows whole processes"), "{}", run.stderr);
}

#[test]
fn without_a_terminal_there_are_plain_rounds() {
    for command in ["where", "buddy"] {
        let lines = |count| {
            let run = pmem([command, "--top", "-n", count, "-d", "0.02", "--format", "jsonl"]).with_status(0);
            run.text().lines().count()
        };
        assert!(lines("1") > 0);
        assert_eq!(lines("3"), 3 * lines("1"), "{command}");
    }
    let me = std::process::id().to_string();
    let rounds = pmem(["frames", &me, "--top", "-n", "2", "-d", "0.02", "--json"]).with_status(0);
    let documents: Vec<serde_json::Value> =
        serde_json::Deserializer::from_slice(&rounds.stdout).into_iter().map(Result::unwrap).collect();
    assert_eq!(documents.len(), 2);
    for document in documents {
        assert_eq!(document["data"]["processes"][0]["pid"], std::process::id());
        assert!(document["data"]["processes"][0].get("vmas").is_none());
    }
}
