//! Where the kernel refuses further threads (RLIMIT_NPROC), pmem answers with the one it has.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::ordinary::Ordinary;
use crate::support::tree::Tree;

/// Root is exempt from the limit.
const RULE: &str = "no-threads";

#[test]
fn recorded_trees_are_read_with_one_thread() {
    let (user, tree) = (Ordinary::new(), Tree::like("6.12/machine"));
    set_permissions(tree.top.path(), Permissions::from_mode(0o755)).unwrap();
    let root = tree.path("").to_str().unwrap().to_owned();
    for command in ["where", "phys", "lru", "buddy --blockers", "pages --each 1"] {
        let words: Vec<&str> = ["--root", &root, "--format", "csv"].into_iter().chain(command.split(' ')).collect();
        let (free, refused) = (user.pmem(&words), user.pmem_under(RULE, &words));
        assert_eq!((refused.status, refused.text()), (free.status, free.text()), "{command}: {}", refused.stderr);
        assert!(refused.text().lines().count() > 2, "{command}: {}", refused.stderr);
    }
}

#[test]
fn a_process_with_many_mappings_is_read_with_one_thread() {
    const COUNT: usize = 4000;
    let user = Ordinary::new();
    let scene = user.scene(&["vmas", &COUNT.to_string()]);
    let pid = scene.target();
    for words in [&["frames", &pid][..], &["pages", "-o", "address,pages,state", &pid]] {
        let run = user.pmem_under(RULE, words).with_status(0);
        assert!(run.text().lines().count() > COUNT, "{words:?}: {}", run.text());
    }
    // Also the walk over all processes, of which this user may read some.
    let run = user.pmem_under(RULE, &["frames", "--all", "--summary", "--format", "csv", "-o", "pid"]);
    assert!(run.text().lines().any(|line| line == pid), "{}", run.text());
}
