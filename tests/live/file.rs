//! `pmem file` on files whose pages the test itself has brought into the page cache or page tables.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags};
use nix::sys::stat::Mode;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::{Uid, mkfifo};
use pmem::internal::memory::Mapping;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::json::{name_bytes, number};
use crate::support::ordinary::Ordinary;
use crate::support::run::{Finished, finish, pmem};
use crate::support::terminal::Terminal;
use crate::support::text::assert_no_control;
use crate::support::{page_size, skipped};

const PAGES: u64 = 300;

/// A file with this many pages, all of them written out and none of them cached, which is read page by page.
fn uncached(path: &Path, pages: u64) -> File {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    file.write_all_at(&vec![7; (pages * page_size()) as usize], 0).unwrap();
    file.sync_all().unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).unwrap();
    file
}

fn read_page(file: &File, page: u64) {
    file.read_exact_at(&mut [0], page * page_size()).unwrap();
}

/// A directory on a file system on a disk; `None`, with a message, if there is none.
fn on_disk(test: &str) -> Option<TempDir> {
    let directory = TempDir::new().unwrap();
    if statfs(directory.path()).unwrap().filesystem_type() == TMPFS_MAGIC {
        skipped(test, "the directory for temporary files is a tmpfs, which keeps all pages");
        return None;
    }
    Some(directory)
}

/// The machine may write out, drop or reclaim pages at any time: requires something to be true in one of several
/// attempts.
#[track_caller]
fn once(mut attempt: impl FnMut() -> Result<(), String>) {
    let mut wrong = String::new();
    for _ in 0..5 {
        match attempt() {
            Ok(()) => return,
            Err(what) => wrong = what,
        }
    }
    panic!("{wrong}");
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("found {found:?}, expected {expected:?}")) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn files(run: &Finished) -> Vec<Value> {
    let document = run.json();
    assert_eq!(document["schema"], "pmem.file/1");
    document["data"]["files"].as_array().unwrap().clone()
}

/// The only file, whatever the status: with `--mapped`, the user who runs the tests may not be able to read some
/// processes.
fn only(run: &Finished) -> Value {
    let files = files(run);
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// The runs of a file, in pages, with their states.
fn runs(file: &Value) -> Vec<(u64, u64, String)> {
    let runs = file["runs"].as_array().unwrap();
    let run = |run: &Value| {
        let state = run["state"].as_str().unwrap().to_owned();
        (number(&run["offset_bytes"]) / page_size(), number(&run["pages"]), state)
    };
    runs.iter().map(run).collect()
}

#[test]
fn exactly_the_pages_that_were_read_are_cached() {
    let Some(directory) = on_disk("exactly_the_pages_that_were_read_are_cached") else { return };
    let path = directory.path().join("file");
    once(|| {
        let data = uncached(&path, PAGES);
        let none = only(&pmem(["file", "--json", "--runs", text(&path)]).with_status(0));
        same(&(number(&none["cached_pages"]), runs(&none)), &(0, Vec::new()))?;
        [0, 3, 4, 5, 128, PAGES - 1].into_iter().for_each(|page| read_page(&data, page));
        let file = only(&pmem(["file", "--json", "--runs", text(&path)]).with_status(0));
        assert_eq!((number(&file["size_bytes"]), number(&file["pages"])), (PAGES * page_size(), PAGES));
        same(&number(&file["cached_pages"]), &6)?;
        let found: Vec<_> = runs(&file).into_iter().map(|(page, pages, _)| (page, pages)).collect();
        same(&found, &vec![(0, 1), (3, 3), (128, 1), (PAGES - 1, 1)])?;
        if file["how"] == "cachestat" {
            same(&number(&file["dirty_pages"]), &0)?;
            same(&runs(&file).iter().all(|(_, _, state)| state == "clean"), &true)?;
        }
        let csv = pmem(["file", "--format", "csv", "--runs", text(&path)]).with_status(0);
        same(&csv.text().lines().count(), &5)?;
        assert_eq!(csv.text().lines().next(), Some("path,offset_bytes,pages,state"));
        let lines = pmem(["file", "--format", "jsonl", "--runs", text(&path)]).with_status(0);
        let run = |line: &str| {
            let run: Value = serde_json::from_str(line).unwrap();
            (number(&run["offset_bytes"]) / page_size(), number(&run["pages"]))
        };
        same(&lines.text().lines().map(run).collect::<Vec<_>>(), &found)
    });
}

#[test]
fn rounds_are_told_apart() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "x").unwrap();
    let csv =
        pmem(["file", "-n", "2", "-d", "0.1", "--format", "csv", "-o", "cached,name", text(&path)]).with_status(0);
    let lines: Vec<&str> = csv.text().lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "time,cached_pages,path"));
    assert!(lines[1..].iter().all(|line| line.ends_with(&format!(",1,{}", text(&path)))), "{lines:?}");
}

#[test]
fn a_table_is_cut_to_the_height_of_the_terminal_unless_all_are_wanted() {
    let directory = TempDir::new().unwrap();
    for number in 0..30 {
        fs::write(directory.path().join(format!("file{number:02}")), "x").unwrap();
    }
    for (option, is_cut) in [("-r", true), ("-r --all", false)] {
        let options: Vec<&str> = option.split(' ').collect();
        let program = [&[env!("CARGO_BIN_EXE_pmem"), "file"], &options[..], &[text(directory.path())]].concat();
        let terminal = Terminal::start((110, 20), &program);
        // The end of the output is at the bottom of the screen.
        terminal.wait_for("counts are pages");
        let shown = terminal.text();
        assert_eq!(terminal.end().code(), Some(0));
        assert!(shown.contains("total of 30 files"), "{option}: {shown}");
        assert_eq!((shown.contains(" more (--all)"), shown.contains("DIRTY")), (is_cut, is_cut), "{option}: {shown}");
    }
}

#[test]
fn what_was_written_is_dirty_until_it_is_on_the_disk() {
    let Some(directory) = on_disk("what_was_written_is_dirty_until_it_is_on_the_disk") else { return };
    let path = directory.path().join("file");
    let look = || only(&pmem(["file", "--json", "--runs", text(&path)]).with_status(0));
    once(|| {
        let data = uncached(&path, PAGES);
        read_page(&data, 9);
        for page in [10, 200] {
            data.write_all_at(&vec![8; page_size() as usize], page * page_size()).unwrap();
        }
        let file = look();
        same(&number(&file["cached_pages"]), &3)?;
        if file["how"] != "cachestat" {
            assert!(file["dirty_pages"].is_null(), "mincore does not tell: {file}");
            skipped("what_was_written_is_dirty_until_it_is_on_the_disk", "no cachestat here");
            return Ok(());
        }
        same(&number(&file["dirty_pages"]), &2)?;
        let run = |page, state: &str| (page, 1, state.to_owned());
        same(&runs(&file), &vec![run(9, "clean"), run(10, "dirty"), run(200, "dirty")])?;
        data.sync_all().unwrap();
        let file = look();
        same(&(number(&file["cached_pages"]), number(&file["dirty_pages"])), &(3, 0))
    });
}

#[test]
fn mapped_pages_are_those_in_page_tables_each_once() {
    let memory = memfd_create(c"pmem-test", MFdFlags::MFD_CLOEXEC).unwrap();
    let file = File::from(memory.try_clone().unwrap());
    let page = page_size() as usize;
    file.set_len(100 * page_size()).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let look = || only(&pmem(["file", "--json", "--mapped", &path]));
    // Cached by a write, and not mapped.
    file.write_all_at(&[1], 50 * page_size()).unwrap();
    let counts = |file: &Value| (number(&file["cached_pages"]), number(&file["mapped_pages"]));
    assert_eq!(counts(&look()), (1, 0));
    assert!(only(&pmem(["file", "--json", &path]))["mapped_pages"].is_null(), "not asked for");

    let map = |flags| Mapping::file(&memory, 100 * page, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags).unwrap();
    let (shared, other) = (map(MapFlags::MAP_SHARED), map(MapFlags::MAP_SHARED));
    [3, 4, 70].into_iter().for_each(|n| shared.write(n * page, 1));
    [70, 90].into_iter().for_each(|n| other.write(n * page, 1));
    assert_eq!(counts(&look()), (5, 4));
    // The writer's own copy is not a page of the file; and what is unmapped stays cached.
    let private = map(MapFlags::MAP_PRIVATE);
    private.write(20 * page, 1);
    drop(other);
    assert_eq!(counts(&look()), (6, 3));
}

#[test]
fn looking_changes_neither_the_cache_nor_the_access_time() {
    let Some(directory) = on_disk("looking_changes_neither_the_cache_nor_the_access_time") else { return };
    let path = directory.path().join("file");
    let data = uncached(&path, PAGES);
    // So long ago that any access would be recorded, even on a file system mounted with relatime.
    data.set_times(FileTimes::new().set_accessed(SystemTime::now() - Duration::from_secs(3 * 86_400))).unwrap();
    let accessed = || fs::metadata(&path).unwrap().atime();
    let before = accessed();
    once(|| {
        posix_fadvise(&data, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        pmem(["file", "--runs", "--mapped", text(&path)]);
        same(&number(&only(&pmem(["file", "--json", text(&path)]))["cached_pages"]), &0)
    });
    assert_eq!(accessed(), before);
}

/// A file that the ordinary user can read but neither owns nor can write to, and of which nothing is cached.
fn foreign(directory: &Path) -> PathBuf {
    if !Uid::effective().is_root() {
        return PathBuf::from("/etc/passwd");
    }
    let path = directory.join("foreign");
    uncached(&path, 10);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn of_another_users_file_it_refuses_instead_of_saying_that_all_is_cached() {
    let user = Ordinary::new();
    let directory = TempDir::new().unwrap();
    let path = foreign(directory.path());
    for format in ["table", "json", "jsonl", "csv"] {
        let run = user.pmem(&["file", "--runs", "--format", format, text(&path)]);
        if run.status == 0 && format == "json" {
            // Before about Linux 6.14 cachestat answers everyone, truthfully.
            assert_eq!(only(&run)["how"], "cachestat");
        }
        if run.status != 0 {
            assert_eq!(run.status, 4, "{}", run.stderr);
            assert!(run.stdout.is_empty(), "{format}");
            assert!(run.stderr.contains("CAP_FOWNER") && run.stderr.contains(text(&path)), "{}", run.stderr);
        }
    }
}

#[test]
fn a_refused_file_among_several_is_1_and_no_row_of_numbers() {
    let user = Ordinary::new();
    let (directory, own) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let foreign = foreign(directory.path());
    if user.pmem(&["file", text(&foreign)]).status == 0 {
        return skipped("a_refused_file_among_several_is_1_and_no_row_of_numbers", "cachestat tells everybody here");
    }
    let path = own.path().join("own");
    fs::write(&path, "own").unwrap();
    if Uid::effective().is_root() {
        for path in [own.path(), &path] {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
    }
    let run = user.pmem(&["file", "--json", text(&foreign), text(&path)]).with_status(1);
    let [refused, told] = &files(&run)[..] else { panic!("{}", run.text()) };
    assert!(refused["cached_pages"].is_null() && refused["refused"].is_string(), "{refused}");
    assert_eq!((&told["cached_pages"], &told["refused"]), (&1.into(), &Value::Null));
    let totals = &run.json()["data"]["totals"];
    assert_eq!((number(&totals["files"]), number(&totals["refused_files"]), number(&totals["pages"])), (1, 1, 1));
    assert_eq!(run.json()["notes"][0]["code"], "not-permitted");

    // A directory that may not be read, and a file in such a directory.
    let closed = own.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    let run = user.pmem(&["file", "--json", "-r", text(own.path())]).with_status(1);
    assert_eq!(files(&run).len(), 1);
    assert!(run.stderr.contains("closed: permission denied"), "{}", run.stderr);
    user.pmem(&["file", text(&closed.join("file"))]).with_status(4);
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_directory_is_walked_with_r_only_and_each_file_counts_once() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("below/deep")).unwrap();
    let size = |pages: u64| vec![1; (pages * page_size()) as usize];
    fs::write(at("small"), size(1)).unwrap();
    fs::write(at("below/large"), size(9)).unwrap();
    fs::write(at("below/deep/empty"), "").unwrap();
    fs::hard_link(at("below/large"), at("linked")).unwrap();
    symlink(directory.path(), at("below/loop")).unwrap();
    symlink("/etc/passwd", at("link")).unwrap();
    mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    let top = text(directory.path());

    for arguments in [&[top][..], &[top, top]] {
        let run = pmem([&["file"], arguments].concat());
        assert!(run.stderr.contains("-r "), "{}", run.stderr);
        assert_eq!(run.status, if arguments.len() == 1 { 2 } else { 1 });
    }
    for arguments in [&["-r"][..], &["-rx"], &["--recursive", "--one-file-system"]] {
        let run = pmem([&["file", "--json"], arguments, &[top]].concat()).with_status(0);
        let names: Vec<_> = files(&run).iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect();
        let expected = ["below/large", "linked", "small", "below/deep/empty"].map(|name| text(&at(name)).to_owned());
        assert_eq!(names, expected);
        let totals = &run.json()["data"]["totals"];
        assert_eq!((number(&totals["files"]), number(&totals["size_bytes"])), (3, 10 * page_size()));
        assert_eq!(run.json()["notes"][0]["code"], "same-file");
    }
    let large = pmem(["file", "--json", "-r", "--min-pages", "2", top]).with_status(0);
    assert_eq!(files(&large).len(), 2);
    assert_eq!(number(&large.json()["data"]["totals"]["pages"]), 10, "the totals are of all");
    let sorted = pmem(["file", "--format", "csv", "-o", "size,name", "-s", "size", "-r", top]).with_status(0);
    assert!(sorted.text().lines().nth(1).unwrap().starts_with("0,"), "{}", sorted.text());
    // Files given by name are followed and shown in the given order.
    let given = pmem(["file", "--json", text(&at("small")), text(&at("link")), text(&at("linked"))]);
    let given: Vec<_> = files(&given).iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(given, ["small", "link", "linked"].map(|name| text(&at(name)).to_owned()));
}

#[test]
fn what_has_no_pages_is_refused_and_not_opened() {
    let directory = TempDir::new().unwrap();
    let fifo = directory.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for path in [text(&fifo), "/dev/null", "/proc/version", "/proc"] {
        let run = pmem(["file", "-r", path]).with_status(2);
        assert!(run.stdout.is_empty() && run.stderr.contains(path), "{}", run.stderr);
    }
    pmem(["file", "/no/such/file"]).with_status(1);
    for wrong in
        [&[][..], &["--root", text(directory.path()), "/etc/passwd"], &["-x", "/etc"], &["-o", "x", "/etc/passwd"]]
    {
        pmem([&["file"], wrong].concat()).with_status(2);
    }
    let help = pmem(["file", "--columns", "help", "/etc/passwd"]).with_status(0);
    assert!(help.text().contains("writeback"), "{}", help.text());
}

#[test]
fn a_name_that_was_chosen_to_do_harm_is_escaped_and_in_json_whole() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(std::ffi::OsStr::from_bytes(b"a\x1b[2J\n\xff"));
    fs::write(&path, "x").unwrap();
    let top = text(directory.path());
    let file = only(&pmem(["file", "--json", "-r", top]).with_status(0));
    assert_eq!(name_bytes(&file, "path"), path.as_os_str().as_bytes());
    for format in ["table", "json", "jsonl", "csv"] {
        let run = pmem(["file", "-r", "--runs", "--format", format, top]).with_status(0);
        assert_no_control(&run.stdout, format);
    }
    let table = pmem(["file", "-r", "--runs", top]).with_status(0);
    assert_eq!(table.text().matches(r"a\x1b[2J\x0a\xff").count(), 2, "{}", table.text());
}

#[test]
fn a_huge_file_without_pages_is_no_work() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("sparse");
    let file = File::create(&path).unwrap();
    if file.set_len(1 << 36).is_err() {
        return skipped("a_huge_file_without_pages_is_no_work", "this file system has no file of 64 GiB");
    }
    file.write_all_at(&[1], 1 << 35).unwrap();
    let found = only(&pmem(["file", "--json", "--runs", text(&path)]).with_status(0));
    assert_eq!((number(&found["pages"]), number(&found["cached_pages"])), ((1 << 36) / page_size(), 1));
    assert_eq!(number(&found["runs"][0]["offset_bytes"]), 1 << 35);
}

#[test]
fn fincore_says_the_same() {
    const TEST: &str = "fincore_says_the_same";
    let Some(directory) = on_disk(TEST) else { return };
    if Command::new("fincore").arg("--version").output().is_err() {
        return skipped(TEST, "it is not installed");
    }
    let path = directory.path().join("file");
    let data = uncached(&path, PAGES);
    (0..PAGES).filter(|page| page % 7 < 3).for_each(|page| read_page(&data, page));
    let mut paths = vec![path];
    // Only root may query the files of others.
    paths.extend(Uid::effective().is_root().then(|| std::env::current_exe().unwrap()));
    for path in paths {
        once(|| {
            let mut fincore = Command::new("fincore");
            let theirs = finish(fincore.args(["--bytes", "--noheadings", "--output", "PAGES"]).arg(&path));
            let ours = only(&pmem(["file", "--json", text(&path)]).with_status(0));
            same(&number(&ours["cached_pages"]).to_string().as_str(), &theirs.text().trim())
        });
    }
}

/// Runs a shell script in its own mount namespace, with a directory and pmem as `$1` and `$2`; `None`, with a message,
/// if that is not possible, or if the script reports with status 77 that it cannot mount something.
fn with_mounts(test: &str, directory: &TempDir, script: &str) -> Option<Finished> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    unshare.arg(directory.path()).arg(env!("CARGO_BIN_EXE_pmem"));
    let run = Command::new("unshare").arg("--version").output().is_ok().then(|| finish(&mut unshare));
    // If the script could mount everything, the rest of it is pmem.
    let run = run.filter(|run| run.status != 77 && !run.stderr.starts_with("unshare"));
    if run.is_some() {
        return run;
    }
    skipped(test, "no mount namespace of its own, or this cannot be mounted there");
    None
}

#[test]
fn pages_below_an_overlay_are_found() {
    const TEST: &str = "pages_below_an_overlay_are_found";
    let Some(directory) = on_disk(TEST) else { return };
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    once(|| {
        let data = uncached(&directory.path().join("lower/file"), PAGES);
        [0, 5, 6].into_iter().for_each(|page| read_page(&data, page));
        let script = "cd $1 && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged || exit 77
                      exec $2 file --json --runs merged/file";
        let Some(run) = with_mounts(TEST, &directory, script) else { return Ok(()) };
        let file = only(&run.with_status(0));
        assert!(file["dirty_pages"].is_null() && file["how"] == "mincore", "{file}");
        same(&runs(&file), &vec![(0, 1, "cached".to_owned()), (5, 2, "cached".to_owned())])
    });
}

#[test]
fn the_walk_passes_by_other_file_systems_and_goes_on_behind_them() {
    const TEST: &str = "the_walk_passes_by_other_file_systems_and_goes_on_behind_them";
    let directory = TempDir::new().unwrap();
    // However the directory is ordered, something comes after the mounts.
    for name in ["a", "m", "n", "z"] {
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::write(directory.path().join(name).join("file"), "x").unwrap();
    }
    for (option, expected) in [("-rx", 2), ("-r", 3)] {
        let script = format!(
            "mount --rbind /proc $1/m && mount -t tmpfs tmpfs $1/n && echo x > $1/n/inside || exit 77
             exec $2 file --json {option} $1"
        );
        let Some(run) = with_mounts(TEST, &directory, &script) else { return };
        assert_eq!(files(&run.with_status(0)).len(), expected, "{option}");
    }
}
