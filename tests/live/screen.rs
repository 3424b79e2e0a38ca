//! `--top` on terminals (a pseudo-terminal of the test, and tmux), and without one.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;
use crate::support::skipped;
use crate::support::terminal::{Terminal, Tmux};
use crate::support::text::assert_no_control;

const SIZES: [(u16, u16); 3] = [(80, 24), (200, 60), (60, 10)];

/// Whether the caches can be read; if not, reports that the test is skipped.
fn readable(test: &str) -> bool {
    let file = File::open("/proc/slabinfo");
    if let Err(error) = &file {
        skipped(test, &format!("/proc/slabinfo: {error}"));
    }
    file.is_ok()
}

fn top(size: (u16, u16), options: &[&str]) -> Terminal {
    let terminal = Terminal::start(size, &[&[env!("CARGO_BIN_EXE_pmem"), "slab", "--top"], options].concat());
    terminal.wait_for("NAME");
    assert_eq!(terminal.is_taken(), [true; 3]);
    terminal
}

#[test]
fn the_screen_does_what_keys_say_and_gives_the_terminal_back() {
    if !readable("the_screen_does_what_keys_say_and_gives_the_terminal_back") {
        return;
    }
    for size in SIZES {
        let mut top = top(size, &[]);
        top.wait_for("CACHE SIZE▾");
        top.keys("o");
        top.wait_for("OBJECTS▾");
        top.keys("r");
        top.wait_for("OBJECTS▴");
        // Every kernel has a cache with this name, and only one.
        top.keys("/^dentry$");
        top.wait_for("filter: /^dentry$█   1 of ");
        top.keys("\r");
        top.wait_for("filter: /^dentry$   1 of ");
        top.keys("\r");
        top.wait_for("── dentry ──");
        top.resize((100, 30));
        top.wait_for("holds  a cached name in a directory");
        top.resize((20, 4));
        top.wait_for("too small");
        top.resize(size);
        top.wait_for("── dentry ──");
        top.keys("\x1b[B");
        // Escape alone, not the beginning of another key.
        top.keys("\x1b");
        top.wait_for("OBJECTS▴");
        top.keys(" ");
        top.wait_for("FROZEN");
        top.keys("?");
        top.wait_for("growing only");
        // The program leads its session: there is nothing that would ever continue it.
        top.keys("\x1a");
        top.wait_for("there is no shell to go back to");
        top.keys("q");
        assert_eq!(top.end().code(), Some(0));
    }
}

#[test]
fn ctrl_c_ends_it_as_q_does() {
    if !readable("ctrl_c_ends_it_as_q_does") {
        return;
    }
    let mut top = top((80, 24), &["--filter", "^kmalloc", "-s", "-n", "-d", "60"]);
    top.wait_for("NAME▾");
    top.keys("\x03");
    assert_eq!(top.end().code(), Some(0));
}

#[test]
fn it_ends_after_so_many_rounds() {
    if !readable("it_ends_after_so_many_rounds") {
        return;
    }
    let terminal = Terminal::start((80, 24), &[env!("CARGO_BIN_EXE_pmem"), "slab", "--top", "-n", "2", "-d", "0.05"]);
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn signals_end_it_with_the_terminal_given_back() {
    if !readable("signals_end_it_with_the_terminal_given_back") {
        return;
    }
    for signal in [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGALRM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGXCPU,
    ] {
        let top = top((80, 24), &[]);
        top.signal(signal);
        top.end_by(signal);
    }
}

#[test]
fn it_ends_quietly_when_its_terminal_vanishes() {
    if !readable("it_ends_quietly_when_its_terminal_vanishes") {
        return;
    }
    // The kernel's SIGHUP goes to the leader of the session: pmem, or a shell that ignores it. Then drawing fails.
    let shell = ["sh", "-c", "trap '' HUP; \"$@\"; exit $?", "sh"];
    let pmem = [env!("CARGO_BIN_EXE_pmem"), "slab", "--top", "-d", "0.02"];
    for (shell, expected) in [(&[][..], (None, Some(1))), (&shell, (Some(128 + 1), None))] {
        let terminal = Terminal::start((80, 24), &[shell, &pmem].concat());
        terminal.wait_for("NAME");
        let status = terminal.vanish();
        assert_eq!((status.code(), status.signal()), expected, "{shell:?}");
    }
}

#[test]
fn a_terminal_that_cannot_be_drawn_on_gets_plain_rounds() {
    if !readable("a_terminal_that_cannot_be_drawn_on_gets_plain_rounds") {
        return;
    }
    let pmem = env!("CARGO_BIN_EXE_pmem");
    let terminal =
        Terminal::start((80, 24), &["env", "TERM=dumb", pmem, "slab", "--top", "-n", "1", "--filter", "^dentry$"]);
    terminal.wait_for("dentry");
    assert!(!terminal.is_taken().contains(&true));
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn a_shell_in_tmux_gets_its_terminal_back() {
    const TEST: &str = "a_shell_in_tmux_gets_its_terminal_back";
    if !readable(TEST) {
        return;
    }
    for (width, height) in SIZES {
        let Some(tmux) = Tmux::start((width, height)) else { return skipped(TEST, "there is no tmux") };
        let pmem = env!("CARGO_BIN_EXE_pmem");
        tmux.keys(&["before=$(stty -g); clear", "Enter"]);
        tmux.keys(&["-l", &format!("{pmem} slab --top -d 0.2")]);
        tmux.keys(&["Enter"]);
        tmux.wait_for("CACHE SIZE▾");
        tmux.wait_for_screen("1 0");
        tmux.keys(&["d", "/"]);
        tmux.keys(&["-l", "kmalloc-.*k"]);
        tmux.wait_for("filter: /kmalloc-.*k█");
        tmux.keys(&["Enter", "Down", "Enter"]);
        tmux.wait_for("── kmalloc-");
        tmux.run(&["resize-window", "-x", "70", "-y", "20"]);
        tmux.wait_for("reclaimable");
        tmux.keys(&["Enter"]);
        tmux.wait_for("s▾");
        // It stops, only once even if the key is held too long, and continues.
        tmux.keys(&["C-z", "C-z"]);
        tmux.wait_for_screen("0 1");
        tmux.wait_for("Stopped");
        // In the background it waits until it gets the terminal, which has a different size by then.
        tmux.keys(&["clear; bg", "Enter"]);
        tmux.run(&["resize-window", "-x", "90", "-y", "22"]);
        tmux.keys(&["fg", "Enter"]);
        tmux.wait_for_screen("1 0");
        tmux.wait_for("filter: /kmalloc-.*k");
        tmux.keys(&["q"]);
        tmux.wait_for_screen("0 1");
        // It may still read what is typed before it has ended.
        tmux.wait_for("0.2\nready$\n");
        tmux.keys(&["echo status=$?", "Enter"]);
        tmux.wait_for("status=0");
        tmux.keys(&["clear; test $before = $(stty -g) && echo \"same $((6*7))\"", "Enter"]);
        tmux.wait_for("same 42");
    }
}

#[test]
fn without_a_terminal_there_are_plain_rounds() {
    if !readable("without_a_terminal_there_are_plain_rounds") {
        return;
    }
    let rounds = pmem(["slab", "--top", "-n", "3", "-d", "0.02", "--filter", "^dentry$"]).with_status(0);
    assert_no_control(&rounds.stdout, "plain rounds");
    let times = rounds.text().lines().filter(|line| line.len() == 8 && line.as_bytes()[2] == b':');
    assert_eq!(times.count(), 3, "{}", rounds.text());
    assert!(rounds.text().contains("dentry"));
}

#[test]
fn formats_for_programs_have_no_screen() {
    if !readable("formats_for_programs_have_no_screen") {
        return;
    }
    let document = pmem(["slab", "--top", "-n", "1", "--json"]).with_status(0).json();
    assert_eq!(document["schema"], "pmem.slab/1");
    let lines = pmem(["slab", "--top", "-n", "2", "-d", "0.02", "--format", "jsonl", "--filter", "^dentry$"]);
    assert_eq!(lines.with_status(0).text().lines().count(), 2);
}

#[test]
fn who_may_not_read_slabinfo_is_told_what_opens_it() {
    if std::fs::metadata("/proc/slabinfo").is_err() {
        return skipped("who_may_not_read_slabinfo_is_told_what_opens_it", "this kernel has no /proc/slabinfo");
    }
    let run = Ordinary::new().pmem(&["slab", "--top", "-n", "1"]).with_status(4);
    assert!(run.stderr.contains("/proc/slabinfo: permission denied"), "{}", run.stderr);
    assert!(run.stderr.contains("CAP_DAC_READ_SEARCH"), "{}", run.stderr);
}

/// The screens that need no privilege, each with a key and what that sorts by, and a row to filter out.
const OTHERS: [(&[&str], [&str; 3], [&str; 2]); 4] = [
    (&["where", "--top"], ["SIZE▾", "n", "LINE▴"], ["/^free$", "filter: /^free$   "]),
    (&["buddy", "--top"], ["NODE▴", "f", "FREE▾"], ["/^Normal$|^DMA32$", "filter: /^Normal$|^DMA32$   "]),
    (&["numa", "--top"], ["SIZE▾", "o", "NODE▴"], ["/^free$", "filter: /^free$   "]),
    (&["frames", "--all", "--top"], ["RESIDENT▾", "p", "PID▴"], ["/^pmem$", "filter: /^pmem$   "]),
];

#[test]
fn every_command_with_rounds_has_a_screen() {
    for (command, [first, key, then], [filter, filtered]) in OTHERS {
        for size in SIZES {
            let mut top = Terminal::start(size, &[&[env!("CARGO_BIN_EXE_pmem")], command].concat());
            top.wait_for(first);
            assert_eq!(top.is_taken(), [true; 3], "{command:?}");
            top.keys(key);
            top.wait_for(then);
            top.keys(filter);
            top.keys("\r");
            top.wait_for(filtered);
            top.keys(" ");
            top.wait_for("FROZEN");
            top.keys("\r");
            top.wait_for("── ");
            top.keys("\x1b");
            top.resize((20, 4));
            top.wait_for("too small");
            top.resize(size);
            top.wait_for("FROZEN");
            top.keys("?");
            top.wait_for("growing only");
            top.keys("q");
            assert_eq!(top.end().code(), Some(0), "{command:?}");
        }
    }
}

#[test]
fn columns_and_the_order_can_be_chosen() {
    let command = ["frames", "--all", "--top", "-o", "comm,mappings,pid", "-s", "-mappings"];
    let mut top = Terminal::start((80, 24), &[&[env!("CARGO_BIN_EXE_pmem")], &command[..]].concat());
    top.wait_for("VMAS▾");
    assert!(!top.text().contains("RESIDENT"), "{}", top.text());
    top.keys("q");
    assert_eq!(top.end().code(), Some(0));
    let command = ["where", "--top", "-s", "nothing"];
    let top = Terminal::start((80, 24), &[&[env!("CARGO_BIN_EXE_pmem")], &command[..]].concat());
    top.wait_for("cannot be sorted by this");
    assert_eq!(top.end().code(), Some(2));
}

#[test]
fn a_terminal_of_any_size_is_drawn_on() {
    let top = |size| Terminal::start(size, &[env!("CARGO_BIN_EXE_pmem"), "where", "--top"]);
    let mut top = top((80, 24));
    top.wait_for("SIZE▾");
    // The reader would keep a cell for each, too, so only pmem is told.
    top.tell_size((65_535, 65_535));
    top.wait_for_drawn();
    let memory = top.memory();
    assert!(memory < 200 << 20, "{memory} bytes");
    top.keys("q");
    assert_eq!(top.end().code(), Some(0));
}
