//! Completions, as a user of bash, zsh and fish gets them by pressing Tab.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::run::{finish, pmem};
use crate::support::skipped;
use crate::support::terminal::{Terminal, wait_for};
use crate::support::tree::fixtures;

/// What is typed before Tab, and the line that it becomes; also in quotes.
const LINES: [(&str, &str); 12] = [
    ("pmem transl", "pmem translate "),
    ("pmem slab di", "pmem slab diff "),
    ("pmem demo lazy-", "pmem demo lazy-alloc "),
    ("pmem doctor --form", "pmem doctor --format "),
    ("pmem doctor --color=ne", "pmem doctor --color=never "),
    ("pmem pages --state sw", "pmem pages --state swapped "),
    ("pmem pages --state present,gu", "pmem pages --state present,guard "),
    ("pmem slab -s -object_si", "pmem slab -s -object_size_bytes "),
    ("pmem slab --columns=+limit,objects_per", "pmem slab --columns=+limit,objects_per_slab "),
    ("pmem pages --flags 'anon,!swapb", "pmem pages --flags 'anon,!swapbacked' "),
    ("pmem decode upto", "pmem decode uptodate "),
    ("pmem frames comm:plain-slee", "pmem frames comm:plain-sleeper "),
];

/// The same for names of files.
const FILES: [(&str, &str); 2] = [
    ("pmem --root fixtures/RE", "pmem --root fixtures/README.md "),
    ("pmem lru --root=fixtures/READ", "pmem lru --root=fixtures/README.md "),
];

/// A process that exists only for its name.
struct Sleeper(Child);

impl Sleeper {
    fn start(name: impl AsRef<OsStr>, directory: &Path) -> Self {
        let link = directory.join(name.as_ref());
        symlink(sleep(), &link).unwrap();
        let child = Command::new(&link).arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let comm = format!("/proc/{}/comm", child.id());
        // Until it calls exec, it has the name of this test.
        wait_for("name", || {
            let found = fs::read(&comm).unwrap();
            if found == [name.as_ref().as_bytes(), b"\n"].concat() { Ok(()) } else { Err(format!("{found:?}")) }
        });
        Self(child)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleep() -> &'static str {
    ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|path| Path::new(path).exists()).expect("there is a sleep")
}

/// A `PATH` in which this pmem is found first.
fn path() -> OsString {
    let mut path = OsString::from(Path::new(env!("CARGO_BIN_EXE_pmem")).parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

fn is_installed(shell: &str) -> bool {
    let is =
        Command::new(shell).args(["-c", "exit 0"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is {
        skipped(&format!("completions of {shell}"), "it is not installed");
    }
    is
}

/// A shell on a terminal, with completions, which has reported that it is ready. `start` is a file that it reads first.
fn shell(program: &[&str], home: &Path) -> Terminal {
    let path = path().into_string().unwrap();
    let (path, home) = (format!("PATH={path}"), format!("HOME={}", home.display()));
    let environment = ["env", "-u", "BASH_ENV", "-u", "ENV", "INPUTRC=/dev/null", "LC_ALL=C.UTF-8", &path, &home];
    let terminal = Terminal::start((120, 50), &[&environment, program].concat());
    terminal.wait_for("ready> ");
    terminal
}

/// Types each line and Tab, and requires the expected result.
#[track_caller]
fn press_tab(terminal: &mut Terminal, lines: &[(&str, &str)]) {
    for (typed, completed) in lines {
        terminal.keys(typed);
        terminal.wait_for(&format!("ready> {typed}"));
        terminal.keys("\t");
        let completed = format!("ready> {completed}x");
        // What is typed next shows whether there was a space.
        terminal.keys("x");
        terminal.wait_for(&completed);
        // Kill the line: nothing of it must be left for the next.
        terminal.keys("\x15\x0c");
        wait_for("empty line", || match terminal.text().trim_end() {
            "ready>" => Ok(()),
            other => Err(other.to_owned()),
        });
    }
}

fn end(mut terminal: Terminal) {
    terminal.keys("exit\r");
    terminal.end();
}

#[test]
fn bash_completes_on_a_terminal() {
    if !is_installed("bash") {
        return;
    }
    let home = TempDir::new().unwrap();
    let _sleeper = Sleeper::start("plain-sleeper", home.path());
    let start = home.path().join("start");
    fs::write(&start, "source completions/pmem.bash\nPS1='ready> '\n").unwrap();
    let mut terminal = shell(&["bash", "--noprofile", "--rcfile", start.to_str().unwrap(), "-i"], home.path());
    press_tab(&mut terminal, &LINES);
    press_tab(&mut terminal, &FILES);
    end(terminal);
}

#[test]
fn zsh_completes_on_a_terminal() {
    if !is_installed("zsh") {
        return;
    }
    let home = TempDir::new().unwrap();
    let _sleeper = Sleeper::start("plain-sleeper", home.path());
    // As installed by a package: found by its name, and read when needed.
    let start = "fpath=($PWD/completions $fpath)\nautoload -Uz compinit\ncompinit -D -u\nPROMPT='ready> '\n";
    fs::write(home.path().join(".zshrc"), start).unwrap();
    let zdotdir = format!("ZDOTDIR={}", home.path().display());
    let mut terminal = shell(&["env", &zdotdir, "zsh", "-d", "-i"], home.path());
    press_tab(&mut terminal, &LINES);
    press_tab(&mut terminal, &FILES);
    end(terminal);
}

#[test]
fn zsh_completes_after_the_script_is_sourced() {
    if !is_installed("zsh") {
        return;
    }
    let home = TempDir::new().unwrap();
    let start = "autoload -Uz compinit\ncompinit -D -u\nsource <(pmem complete zsh)\nPROMPT='ready> '\n";
    fs::write(home.path().join(".zshrc"), start).unwrap();
    let zdotdir = format!("ZDOTDIR={}", home.path().display());
    let mut terminal = shell(&["env", &zdotdir, "zsh", "-d", "-i"], home.path());
    press_tab(&mut terminal, &LINES[..1]);
    end(terminal);
}

#[test]
fn fish_completes() {
    if !is_installed("fish") {
        return;
    }
    let home = TempDir::new().unwrap();
    let _sleeper = Sleeper::start("plain-sleeper", home.path());
    for (typed, completed) in LINES.iter().chain(&FILES) {
        let script = "source completions/pmem.fish; complete --do-complete $argv[1]";
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", script, typed]).env("PATH", path()).env("HOME", home.path());
        let found = finish(&mut fish).with_status(0);
        // It gives whole words, and quotes them itself when they are entered.
        let words: Vec<&str> = found.text().lines().map(|line| line.split('\t').next().unwrap()).collect();
        let wanted = completed.trim_end().rsplit([' ', '\'']).find(|word| !word.is_empty()).unwrap();
        assert_eq!(words, [wanted], "{typed}");
    }
}

#[test]
fn no_candidate_is_more_than_a_word() {
    let directory = TempDir::new().unwrap();
    let names: [&[u8]; 14] = [
        b"$(touch x)",
        b"`touch x`",
        b"a;b",
        b"a b",
        b"a\tb",
        b"a\nself",
        b"'q",
        b"\"q",
        b"a\\b",
        b"\x1b[2J",
        b"a*",
        b"~root",
        b"\xff\xfe",
        b"a|b&",
    ];
    let start = |name: &[u8]| Sleeper::start(OsStr::from_bytes(name), directory.path());
    let _hostile: Vec<Sleeper> = names.iter().map(|name| start(name)).collect();
    let others = [start(b"-sleeper"), start(b"4321"), start(b"other-sleeper")];
    let found = pmem(["complete", "--", "pmem", "frames", ""]).with_status(0);
    let words: Vec<&str> = found.text().lines().map(|line| line.split('\t').next().unwrap()).collect();
    for word in &words {
        assert!(!word.is_empty(), "a line for file names");
        assert!(word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c)), "{word}");
    }
    for wanted in ["self", "other-sleeper", "comm:-sleeper", "comm:4321"] {
        assert!(words.contains(&wanted), "{wanted} is not among {words:?}");
    }
    assert!(!words.contains(&"-sleeper") && !words.contains(&"4321"));
    // They can all be given by PID, and their names are shown safely.
    for Sleeper(child) in &others {
        let pid = child.id().to_string();
        let found = pmem(["complete", "--", "pmem", "frames", &pid]).with_status(0);
        assert!(found.text().lines().any(|line| line.starts_with(&format!("{pid}\t"))), "{}", found.text());
    }
    let escape = _hostile[9].0.id().to_string();
    let found = pmem(["complete", "--", "pmem", "frames", &escape]).with_status(0);
    assert!(found.text().contains(&format!("{escape}\t\\x1b[2J\n")), "{:?}", found.text());
}

#[test]
fn a_recorded_tree_offers_its_own_processes() {
    let of = |tree: &str| {
        let root = format!("--root={}", fixtures().join(tree).display());
        let found = pmem(["complete", "--", "pmem", &root, "frames", ""]).with_status(0);
        found.text().lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Neither pmem itself, which is not in it, nor kthreadd, which has no memory.
    assert_eq!(of("6.1/machine"), ["bash", "init", "known", "pmem", "scene"]);
    // Its only process has a name with blanks and an escape sequence: only options can be offered.
    let names = of("6.18/names");
    assert!(names.contains(&"--all".to_owned()) && names.iter().all(|name| name.starts_with('-')), "{names:?}");
}

#[test]
fn every_shell_has_a_script() {
    for (shell, file) in [("bash", "pmem.bash"), ("zsh", "_pmem"), ("fish", "pmem.fish")] {
        let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(file)).unwrap();
        assert_eq!(pmem(["complete", shell]).with_status(0).text(), kept);
    }
    let wrong = pmem(["complete", "csh"]).with_status(2);
    assert!(wrong.stderr.contains("bash, zsh or fish"), "{}", wrong.stderr);
}
