//! `slab --top` and what it refuses.

use crate::support::run::pmem;
use crate::support::tree::fixtures;

#[test]
fn a_recorded_tree_has_no_rounds() {
    let tree = fixtures().join("6.18/sleep");
    let run = pmem(["slab", "--top", "--root", tree.to_str().unwrap()]).with_status(2);
    assert!(run.stderr.contains("a recorded tree does not change"), "{}", run.stderr);
    assert!(run.stdout.is_empty());
}
