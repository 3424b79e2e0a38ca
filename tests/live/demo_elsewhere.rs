//! Demos where memory is short or other rules apply: their numbers are as expected, or they say why they cannot be
//! shown.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::Uid;
use pmem::internal::DEMOS;
use pmem::internal::cgroups;
use pmem::internal::root::Root;

use crate::support::run::{finish, workload};
use crate::support::skipped;

/// Runs every demo the way `by` does, and requires that none is off.
fn none_is_off(what: &str, by: impl Fn(&mut Command)) {
    let mut shown = 0;
    for demo in DEMOS {
        let once = || {
            let mut command = Command::new("sh");
            by(&mut command);
            command.arg(env!("CARGO_BIN_EXE_pmem")).args(["demo", demo.name, "--json"]);
            finish(&mut command)
        };
        let mut run = once();
        // It counts the objects of the whole machine, and the kernel frees those of processes that other tests ended
        // only some time later.
        if demo.name == "slab" && run.status == 1 {
            run = once();
        }
        let report = &run.json()["data"];
        match (run.status, report["verdict"].as_str()) {
            (0, Some("ok")) => shown += 1,
            (3, Some("skipped")) => assert!(report["reason"].is_string(), "{report:#}"),
            other => panic!("{}, {what}: {other:?}: {report:#}\n{}", demo.name, run.stderr),
        }
    }
    assert!(shown > 0, "{what}: some can be shown");
}

/// Runs the arguments that follow in a shell that does something first.
fn after(script: &str) -> impl Fn(&mut Command) {
    let script = format!("{script}; exec \"$@\"");
    move |command| {
        command.args(["-c", &script, "sh"]);
    }
}

#[test]
fn with_few_addresses() {
    // What pmem needs at all: to read itself, and to run the simplest demo. Below that, memory for its own tables is
    // refused, and it ends like any program.
    let works = |kib: &u64| {
        let script = format!("ulimit -v {kib}; exec \"$@\"");
        let begins = |words: &[&str]| {
            let mut command = Command::new("sh");
            command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_pmem")]).args(words);
            command.output().is_ok_and(|run| run.status.success())
        };
        begins(&["frames", "self", "--json"]) && begins(&["demo", "lazy-alloc", "--json"])
    };
    let least = (1..=1024).map(|step| step * 2048).find(works).expect("2 GiB of addresses are enough");
    // The tables of other demos are larger by some hundred kilobytes.
    for more in [2, 8, 64] {
        none_is_off(&format!("{least} + {more} MiB"), after(&format!("ulimit -v {}", least + more * 1024)));
    }
}

#[test]
fn with_low_limits() {
    none_is_off("nothing may be locked", after("ulimit -l 0"));
    none_is_off("few files", after("ulimit -n 32"));
    none_is_off("a small stack", after("ulimit -s 512"));
    none_is_off("no file may grow", after("ulimit -f 0"));
}

#[test]
fn without_huge_pages_and_with_all_memory_merged() {
    for rule in ["no-huge-pages", "merge-all"] {
        none_is_off(rule, |command| {
            let workload = workload();
            // The rule applies to the process, and is kept by the program that it becomes.
            command.args(["-c", "exec \"$@\"", "sh"]).arg(workload).args(["under", rule]);
        });
    }
}

/// A memory cgroup for the test.
struct Group(PathBuf);

impl Group {
    fn new(limit: u64) -> Result<Self, String> {
        let root = Root::open(Path::new("/")).unwrap();
        let own = cgroups::own(&root).ok_or("pmem's own memory cgroup is out of sight")?;
        let group = Self(own.join(format!("pmem-test-{}", std::process::id())));
        fs::create_dir(&group.0).map_err(|error| error.to_string())?;
        let set = |file: &str| fs::write(group.0.join(file), limit.to_string());
        set("memory.max").or_else(|_| set("memory.limit_in_bytes")).map_err(|error| error.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last of its processes may still be exiting.
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn in_a_memory_cgroup_of_64_mib() {
    let name = "in_a_memory_cgroup_of_64_mib";
    if !Uid::effective().is_root() {
        return skipped(name, "only root may make a group");
    }
    match Group::new(64 << 20) {
        Err(reason) => skipped(name, &reason),
        Ok(group) => {
            let join = format!("echo $$ > '{}/cgroup.procs'", group.0.display());
            none_is_off("64 MiB", after(&join));
        }
    }
}

#[test]
fn where_the_directory_of_temporary_files_is_not_there() {
    none_is_off("no temporary files", |command| {
        command.env("TMPDIR", "/there/is/none").args(["-c", "exec \"$@\"", "sh"]).process_group(0);
    });
}
