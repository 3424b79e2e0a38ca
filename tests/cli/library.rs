//! The example for the library: it is built with the tests, and must report the same as `pmem`.

use std::path::PathBuf;
use std::process::Command;

use crate::support::json::number;
use crate::support::run::pmem;
use crate::support::tree::fixtures;

/// The example, which cargo builds along with the tests.
fn example() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples").join("resident")
}

#[test]
fn the_example_counts_as_pmem_does() {
    for tree in ["6.12/kinds", "4.19/scene", "6.18/forks"] {
        let tree = fixtures().join(tree);
        let output = Command::new(example()).arg(&tree).output().expect("the example");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let document = pmem(["--root", tree.to_str().unwrap(), "frames", "--all", "--summary", "--json"]).json();
        let page = number(&document["host"]["page_size"]);
        let processes = document["data"]["processes"].as_array().unwrap();
        assert!(!processes.is_empty(), "{document}");
        for process in processes {
            let kib = number(&process["ledger"]["resident_pages"]) * page / 1024;
            let (pid, mappings) = (&process["pid"], number(&process["mappings"]));
            let is_it = |line: &&str| {
                line.trim_start().starts_with(&format!("{pid} "))
                    && line.contains(&format!(" {kib} KiB "))
                    && line.ends_with(&format!("({mappings} mappings)"))
            };
            assert!(text.lines().any(|line| is_it(&line)), "{process}\n{text}");
        }
        assert!(text.ends_with("SWAPBACKED ANON_EXCLUSIVE\n") || text.contains("ANON"), "{text}");
    }
}
