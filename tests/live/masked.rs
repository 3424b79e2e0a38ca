//! Files over which something empty is mounted, as container runtimes do.

use std::process::Command;

use nix::unistd::Uid;

use crate::support::run::finish;
use crate::support::skipped;

/// pmem in a mount namespace of its own, in which `what` hides a file of /proc.
fn masked(what: &str, file: &str, words: &[&str]) -> Command {
    let script = "mount --bind \"$1\" \"/proc/$2\" && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", what, file, env!("CARGO_BIN_EXE_pmem")]).args(words);
    command
}

#[test]
fn a_masked_file_is_denied_and_never_zero() {
    let test = "a_masked_file_is_denied_and_never_zero";
    if !Uid::effective().is_root() {
        return skipped(test, "only root may mount");
    }
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = empty.path().to_str().unwrap();
    if !masked("/dev/null", "kpageflags", &["--version"]).output().is_ok_and(|run| run.status.success()) {
        return skipped(test, "no mount namespace, or nothing can be mounted in it");
    }
    let cases: [(&str, &[&str]); 9] = [
        ("kpageflags", &["phys"]),
        ("kpageflags", &["lru"]),
        ("kpageflags", &["buddy", "--blockers"]),
        ("kpageflags", &["page", "1"]),
        ("kpagecount", &["phys", "--mapcounts"]),
        ("zoneinfo", &["buddy"]),
        ("slabinfo", &["slab"]),
        ("meminfo", &["where"]),
        ("vmallocinfo", &["vmalloc"]),
    ];
    for what in ["/dev/null", empty] {
        for (file, words) in cases {
            let run = finish(&mut masked(what, file, words)).with_status(4);
            assert!(run.stderr.contains(&format!("/proc/{file}: masked")), "{words:?}: {}", run.stderr);
            // These two also show what other files have, as where theirs is denied.
            let shows_more = matches!(words, ["slab"] | ["vmalloc"]);
            assert!(run.stdout.is_empty() || shows_more, "{words:?}: {}", run.text());
        }
        // What is read besides is missed by name.
        for (file, words) in [("zoneinfo", &["where"][..]), ("vmstat", &["where"])] {
            let run = finish(&mut masked(what, file, words));
            assert!(run.status == 1 && run.stderr.contains("masked"), "{file}: {} {}", run.status, run.stderr);
        }
    }
}
