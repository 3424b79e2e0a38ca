//! For an ordinary user on their own process, everything works except what needs frame numbers.

use super::known_memory::{assert_as_made, assert_as_smaps, assert_ledger};
use crate::support::json::{number, rows};
use crate::support::kernel::{smaps, statm_resident};
use crate::support::ordinary::Ordinary;

#[test]
fn ones_own_process_is_counted_to_the_page() {
    let user = Ordinary::new();
    let scene = user.scene(&["everything"]);
    let process = user.pmem(&["frames", "--verify", "--json", &scene.target()]).with_status(0).process();
    assert_as_made(&process, &scene.report);
    // The tests may only read the smaps of another user's process if they run as root.
    assert_as_smaps(&process, scene.pid());
    assert_ledger(&process, scene.pid());
}

#[test]
fn every_column_and_filter_works_without_privilege() {
    let user = Ordinary::new();
    let scene = user.scene(&["everything"]);
    let mappings = smaps(scene.pid()).unwrap();
    let target = scene.target();

    let run = user.pmem(&["frames", "--json", "-o", "+Rss,Pss,VmFlags", &target]).with_status(0);
    assert_eq!(rows(&run.process()).len(), mappings.len());
    for row in rows(&run.process()) {
        assert!(row["smaps"]["Rss_bytes"].is_u64() && row["smaps"]["VmFlags"]["raw"].is_string(), "{row}");
    }
    let table = user.pmem(&["frames", &target]).with_status(0);
    assert!(table.text().contains("statm agrees"), "{}", table.text());
    assert!(table.stderr.is_empty(), "{}", table.stderr);
    user.pmem(&["frames", "--columns", "help"]).with_status(0);

    let kinds = user.pmem(&["frames", "--json", "--kind", "shmem", "--min-pages", "1", &target]).with_status(0);
    assert!(rows(&kinds.process()).len() >= 3 && rows(&kinds.process()).iter().all(|row| row["kind"] == "shmem"));
    let summary = user.pmem(&["frames", "--summary", "--json", &target]).with_status(0).process();
    assert_eq!(number(&summary["ledger"]["resident_pages"]), statm_resident(scene.pid()).unwrap());
    assert!(summary["vmas"].is_null(), "no rows with --summary");
}

#[test]
fn what_needs_frame_numbers_is_4_and_names_what_would_help() {
    let user = Ordinary::new();
    let scene = user.scene(&["sparse"]);
    for format in ["table", "json", "jsonl", "csv"] {
        let run = user.pmem(&["frames", "--owners", "--format", format, &scene.target()]).with_status(4);
        assert!(run.stdout.is_empty());
        assert!(run.stderr.contains("CAP_SYS_ADMIN"), "{}", run.stderr);
    }
}
