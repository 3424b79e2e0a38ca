//! The exit status of pmem, and its messages.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::unistd::Uid;
use serde_json::Value;

use crate::support::json::{number, rows};
use crate::support::kernel::{is_kernel_thread, pids, statm_resident};
use crate::support::ordinary::Ordinary;
use crate::support::run::{finish, outcome, pmem};
use crate::support::scene::Scene;
use crate::support::skipped;

/// Larger than any possible PID.
const NO_PID: &str = "4194305";

#[test]
fn a_pid_that_no_process_has_is_42() {
    let mut ended = Scene::start(&["sparse"]);
    ended.kill_and_reap();
    for target in [NO_PID, "0", "99999999999999999999", "comm:no such name", &ended.target()] {
        for format in ["table", "json", "jsonl", "csv"] {
            let run = pmem(["frames", "--format", format, target]).with_status(42);
            assert!(run.stdout.is_empty(), "{target}: nothing on standard output");
            assert!(run.stderr.starts_with("pmem: "), "{target}: {}", run.stderr);
        }
    }
}

#[test]
fn one_that_is_not_there_among_several_is_1_and_the_others_are_shown() {
    let scene = Scene::start(&["sparse"]);
    let run = pmem(["frames", "--json", NO_PID, &scene.target()]).with_status(1);
    assert_eq!(run.process()["pid"], scene.pid());
    assert!(run.stderr.contains(NO_PID), "{}", run.stderr);
}

#[test]
fn a_kernel_thread_is_shown_as_having_no_address_space() {
    let Some(pid) = pids().into_iter().find(|&pid| is_kernel_thread(pid)) else {
        return skipped("a_kernel_thread_is_shown_as_having_no_address_space", "there is none in this PID namespace");
    };
    assert_no_address_space(pid, "kernel-thread", "a kernel thread");
}

#[test]
fn a_zombie_is_shown_as_having_no_address_space() {
    let scene = Scene::start(&["zombie"]);
    assert_no_address_space(u32::try_from(number(&scene.report["zombie"])).unwrap(), "zombie", "a zombie");
}

fn assert_no_address_space(pid: u32, code: &str, words: &str) {
    let pid = pid.to_string();
    let process = pmem(["frames", "--json", &pid]).with_status(0).process();
    assert_eq!((&process["no_address_space"], &process["ledger"]), (&Value::from(code), &Value::Null), "{process}");
    let table = pmem(["frames", &pid]).with_status(0);
    assert!(table.text().contains(words), "{}", table.text());
    let summary = pmem(["frames", "--summary", &pid]).with_status(0);
    assert!(summary.text().contains(words), "{}", summary.text());
}

/// A process that an ordinary user may not read: one of root's.
fn closed() -> (Option<Scene>, u32) {
    if Uid::effective().is_root() {
        let scene = Scene::start(&["sparse"]);
        let pid = scene.pid();
        return (Some(scene), pid);
    }
    (None, 1)
}

#[test]
fn a_process_that_is_closed_to_this_user_is_4_and_what_would_help_is_named() {
    let user = Ordinary::new();
    let (_scene, pid) = closed();
    for arguments in [&["frames"][..], &["frames", "--json"], &["frames", "--summary", "--verify"]] {
        let run = user.pmem(&[arguments, &[&pid.to_string()]].concat()).with_status(4);
        assert!(run.stderr.contains("CAP_SYS_PTRACE"), "{}", run.stderr);
        assert!(run.stderr.contains(&pid.to_string()), "which process it is: {}", run.stderr);
    }
}

#[test]
fn a_closed_process_among_several_is_1_and_the_others_are_shown() {
    let user = Ordinary::new();
    let (_scene, closed) = closed();
    let own = user.scene(&["sparse"]);
    let run = user.pmem(&["frames", "--json", &closed.to_string(), &own.target()]).with_status(1);
    let process = run.process();
    assert_eq!(process["pid"], own.pid());
    assert_eq!(number(&process["ledger"]["resident_pages"]), statm_resident(own.pid()).unwrap());
    assert!(run.stderr.contains(&closed.to_string()) && run.stderr.contains("CAP_SYS_PTRACE"), "{}", run.stderr);

    let all = user.pmem(&["frames", "--all", "--summary", "--json"]).with_status(1).json();
    let shown = all["data"]["processes"].as_array().unwrap();
    assert!(shown.iter().any(|process| process["pid"] == own.pid() && process["ledger"]["unexplained_pages"] == 0));
    assert!(!shown.iter().any(|process| process["pid"] == closed), "what may not be seen is no row of zeros");
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [
        &[][..],
        &["frame"],
        &["frames", "--no-such-option"],
        &["frames", "--format", "xml", "self"],
        &["frames", "--json", "--format", "csv", "self"],
        &["frames", "--columns", "no-such-column", "self"],
        &["frames", "--columns", "", "self"],
        &["frames", "--sort", "no-such-column", "self"],
        &["frames", "--range", "10", "self"],
        &["frames", "--range", "2000-1000", "self"],
        &["frames", "--range", "x-y", "self"],
        &["frames", "--kind", "heap,lump", "self"],
        &["frames", "--min-pages", "-1", "self"],
        &["frames", "--min-pages", "18446744073709551616", "self"],
        &["frames", "--delay", "0", "self"],
        &["frames", "--delay", "NaN", "self"],
        &["frames", "--count", "0", "self"],
        &["frames", "--all", "self"],
        &["frames", "--bytes", "--kib", "self"],
        &["frames", "--quiet", "--verbose", "self"],
    ] {
        let run = pmem(arguments.iter().copied());
        assert_eq!(run.status, 2, "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{arguments:?}: nothing on standard output");
        assert!(!run.stderr.is_empty(), "{arguments:?}: why");
    }
}

#[test]
fn a_reader_that_has_had_enough_is_0() {
    let scene = Scene::start(&["vmas", "20000"]);
    if let Some(reason) = scene.skipped() {
        return skipped("a_reader_that_has_had_enough_is_0", reason);
    }
    for format in ["table", "json", "jsonl", "csv"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
        command.args(["frames", "--format", format, &scene.target()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let mut stdout = BufReader::with_capacity(64, child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        drop(stdout);
        let run = outcome(child);
        assert!(!first.is_empty());
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{format}");
    }
}

#[test]
fn without_a_target_it_looks_at_who_started_it_and_says_so() {
    // The test itself started pmem.
    let run = pmem(["frames", "--json"]).with_status(0);
    assert_eq!(run.process()["pid"], std::process::id());
    assert!(run.stderr.contains(&std::process::id().to_string()), "{}", run.stderr);
    assert!(pmem(["frames", "--json", "--quiet"]).with_status(0).stderr.is_empty());
}

#[test]
fn itself_is_a_process_too() {
    let process = pmem(["frames", "--json", "self"]).with_status(0).process();
    assert_eq!(process["comm"], "pmem");
    assert!(!rows(&process).is_empty());
}

#[test]
fn output_replaces_regular_files_only() {
    use nix::{sys::stat::Mode, unistd::mkfifo};
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    for name in ["fifo", "directory", "socket"] {
        let kind = || path(name).symlink_metadata().unwrap().file_type();
        let before = kind();
        for force in [&[][..], &["--force"]] {
            let place = path(name);
            let run =
                pmem([&["where", "--no-frames", "--out", place.to_str().unwrap()], force].concat()).with_status(2);
            assert!(run.stderr.contains("regular file"), "{}", run.stderr);
            assert_eq!(kind(), before, "{name}");
        }
    }
}

#[test]
fn output_goes_to_a_new_file_and_replaces_none() {
    use std::os::unix::fs::{MetadataExt, symlink};
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, more: &[&str]| pmem([&["frames", "self", "--json", "--out", &path(name)], more].concat());
    let run = write("new", &[]).with_status(0);
    assert!(run.stdout.is_empty());
    assert_eq!(std::fs::metadata(path("new")).unwrap().mode() & 0o7777, 0o600);
    serde_json::from_slice::<Value>(&std::fs::read(path("new")).unwrap()).unwrap();
    write("new", &[]).with_status(2);
    write("new", &["--force"]).with_status(0);

    std::fs::write(path("precious"), "precious").unwrap();
    symlink(path("precious"), path("link")).unwrap();
    write("link", &[]).with_status(2);
    write("link", &["--force"]).with_status(0);
    assert_eq!(std::fs::read_to_string(path("precious")).unwrap(), "precious", "a link is not followed");
    symlink(path("nowhere"), path("dangling")).unwrap();
    write("dangling", &[]).with_status(2);
    assert!(!std::path::Path::new(&path("nowhere")).exists());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 4, "nothing else is left");
}

#[test]
fn a_file_is_replaced_only_by_a_whole_one() {
    let directory = tempfile::TempDir::new().unwrap();
    let place = directory.path().join("kept");
    std::fs::write(&place, "kept").unwrap();
    // A file may not grow beyond some kilobytes: a write fails as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 4; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_pmem"), "schema", "--force", "--out"]).arg(&place);
    let run = finish(&mut command).with_status(1);
    assert!(run.stderr.contains("File too large"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn output_that_goes_nowhere_is_a_failure() {
    let run = |script: &str, words: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_pmem")]).args(words);
        finish(&mut command)
    };
    for words in [&["decode", "0x1"][..], &["--version"], &["frames", "--help"]] {
        let closed = run("exec \"$@\" >&-", words).with_status(1);
        assert!(closed.stderr.contains("standard output is closed"), "{words:?}: {}", closed.stderr);
        let full = run("exec \"$@\" >/dev/full", words).with_status(1);
        assert!(full.stderr.contains("No space left"), "{words:?}: {}", full.stderr);
        run("exec \"$@\" >/dev/null", words).with_status(0);
    }
}

#[test]
fn frame_numbers_hidden_from_root_are_denied() {
    let test = "frame_numbers_hidden_from_root_are_denied";
    let setpriv = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]).args(words);
        command
    };
    if !Uid::effective().is_root() {
        return skipped(test, "only root has a capability to lose");
    }
    if !setpriv(&["true"]).status().is_ok_and(|status| status.success()) {
        return skipped(test, "setpriv cannot drop it");
    }
    let mapped = Box::new(0_u64);
    let frame = format!("{}:{:p}", std::process::id(), mapped);
    for command in ["page", "rmap"] {
        let run = finish(&mut setpriv(&[env!("CARGO_BIN_EXE_pmem"), command, &frame])).with_status(4);
        assert!(run.stderr.contains("CAP_SYS_ADMIN"), "{command}: {}", run.stderr);
    }
}
