//! `--range`, `--match`, `--kind` and `--min-pages`: which rows are shown, and that cut ones are counted right.

use serde_json::Value;

use crate::support::json::{hex_address, number, number_or_zero, row_at, rows};
use crate::support::kernel::{smaps, statm_resident};
use crate::support::page_size;
use crate::support::run::pmem;
use crate::support::scene::{Scene, made_as};

fn within(scene: &Scene, low: u64, high: u64) -> Value {
    let range = format!("{low:#x}-{high:x}");
    pmem(["frames", "--json", "--verify", "--range", &range, &scene.target()]).with_status(0).process()
}

#[test]
fn a_mapping_that_is_cut_is_counted_inside_only() {
    let scene = Scene::start(&["everything"]);
    let at = |what: &str| made_as(&scene.report, what).address;
    let page = page_size();
    let written = at("written, some again by a child");
    let read = at("only read");
    for (low, high, expected) in [
        // present, zero: of one page, of ten, at the beginning, at the end, of pages never written.
        (written + 500 * page, written + 501 * page, (1, 0)),
        (written + 10 * page, written + 20 * page, (10, 0)),
        (written, written + 7 * page, (7, 0)),
        (written + 990 * page, written + 1000 * page, (10, 0)),
        (read + 100 * page, read + 156 * page, (56, 56)),
    ] {
        let process = within(&scene, low, high);
        assert_eq!(rows(&process).len(), 1, "{process}");
        let row = &rows(&process)[0];
        assert_eq!((hex_address(&row["start"]), hex_address(&row["end"])), (low, high));
        assert_eq!(number(&row["size_pages"]), (high - low) / page);
        assert_eq!((number(&row["present_pages"]), number(&row["zero_pages"])), expected, "{row}");
        // The ledger is still that of the whole process.
        assert_eq!(number(&process["ledger"]["resident_pages"]), statm_resident(scene.pid()).unwrap());
        assert_eq!(process["ledger"]["unexplained_pages"], 0);
    }
}

#[test]
fn a_range_over_several_mappings_has_all_of_them() {
    let scene = Scene::start(&["everything"]);
    let first = made_as(&scene.report, "written, some again by a child");
    let second = made_as(&scene.report, "only read");
    let (low, high) = (first.address + 999 * page_size(), second.address + page_size());
    let process = within(&scene, low, high);
    let found: Vec<_> =
        rows(&process).iter().map(|row| (hex_address(&row["start"]), number(&row["present_pages"]))).collect();
    assert_eq!(found, [(low, 1), (second.address, 1)]);
    // There are no rows where nothing is mapped.
    assert!(rows(&within(&scene, 0x1000, 0x2000)).is_empty());
}

#[test]
fn a_guard_region_and_a_huge_page_can_be_cut() {
    let scene = Scene::start(&["everything"]);
    let page = page_size();
    for made in crate::support::scene::made(&scene.report).0 {
        let (pages, expected) = match made.what {
            "guard region" => (14..18, (2, 2, 0)),
            "huge page" => (100..104, (4, 0, 4)),
            _ => continue,
        };
        let process = within(&scene, made.address + pages.start * page, made.address + pages.end * page);
        let row = &rows(&process)[0];
        let found = ["present_pages", "guard_pages", "huge_pages"].map(|field| number(&row[field]));
        assert_eq!(found, [expected.0, expected.1, expected.2], "{}: {row}", made.what);
    }
}

#[test]
fn the_table_says_how_many_mappings_there_are_also_where_one_is_cut() {
    let scene = Scene::start(&["everything"]);
    let low = made_as(&scene.report, "written, some again by a child").address + 10 * page_size();
    let range = format!("{low:x}-{:x}", low + page_size());
    let table = pmem(["frames", "--range", &range, &scene.target()]).with_status(0);
    let all = smaps(scene.pid()).unwrap().len();
    assert!(table.text().contains(&format!("1 of {all} mappings")), "there are {all}: {}", table.text());
}

#[test]
fn kind_name_and_least_size_choose_rows() {
    let scene = Scene::start(&["everything"]);
    let all = pmem(["frames", "--json", &scene.target()]).with_status(0).process();
    let holds = |row: &Value| {
        ["present_pages", "swapped_pages", "guard_pages"].iter().map(|field| number_or_zero(&row[*field])).sum::<u64>()
    };
    let named = |row: &Value| row["name"].as_str().unwrap().contains("memfd:work");
    for (arguments, wanted) in [
        (&["--kind", "shmem"][..], &(|row: &Value| row["kind"] == "shmem") as &dyn Fn(&Value) -> bool),
        (&["--kind", "heap,stack"], &|row| row["kind"] == "heap" || row["kind"] == "stack"),
        (&["--match", "memfd:work"], &named),
        (&["--min-pages", "17"], &|row| holds(row) >= 17),
        (&["--min-pages", "17", "--kind", "shmem"], &|row| holds(row) >= 17 && row["kind"] == "shmem"),
    ] {
        let run = pmem([&["frames", "--json", &scene.target()], arguments].concat()).with_status(0);
        let chosen: Vec<_> = rows(&run.process()).iter().map(|row| hex_address(&row["start"])).collect();
        let expected: Vec<_> =
            rows(&all).iter().filter(|row| wanted(row)).map(|row| hex_address(&row["start"])).collect();
        assert!(!expected.is_empty(), "{arguments:?} chooses something");
        assert_eq!(chosen, expected, "{arguments:?}");
    }
    let memfd = made_as(&scene.report, "memfd");
    assert!(named(row_at(&all, memfd.address)));
}

#[test]
fn rows_are_sorted_by_a_column() {
    let scene = Scene::start(&["everything"]);
    let sorted = |column: &str| {
        let process = pmem(["frames", "--json", "--sort", column, &scene.target()]).with_status(0).process();
        rows(&process).iter().map(|row| row["present_pages"].as_u64()).collect::<Vec<_>>()
    };
    let (up, down) = (sorted("present"), sorted("-present"));
    assert!(up.is_sorted(), "{up:?}");
    assert!(down.is_sorted_by(|a, b| a >= b), "{down:?}");
    assert!(up.last().unwrap().unwrap() >= 1000);
}
