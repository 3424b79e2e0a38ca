//! `pmem slab` compared with `slabtop`: every number that procps 4.0.2 printed for the slabinfo of each recorded tree
//! (`slabtop.txt` in its default order, `slabtop-c.txt` by the size of caches) is the same in pmem.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::json::number;
use crate::support::run::{Finished, pmem};
use crate::support::tree::{fixtures, trees_with};

/// The columns that slabtop has, by pmem's names.
const COLUMNS: &str = "objects,active,use,object_size,slabs,objects_per_slab,size,name";

/// Their names in CSV.
const HEADER: &str = "objects,active_objects,use_percent,object_size_bytes,slabs,objects_per_slab,size_bytes,name";

/// slabtop's output.
#[derive(Debug, PartialEq)]
struct Screen {
    /// The five lines at the top: the text after the colon.
    head: Vec<String>,
    /// The rows in their order: the seven columns, and the name.
    rows: Vec<(String, [String; 7])>,
}

impl Screen {
    fn of(tree: &str, file: &str) -> Self {
        let text = fs::read_to_string(fixtures().join(tree).join(file)).unwrap();
        let (head, rows) = text.split_once("\n\n").unwrap();
        let row = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            (words[7..].join(" "), words[..7].to_vec().try_into().unwrap())
        };
        Self {
            head: head.lines().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect(),
            rows: rows.lines().skip(1).map(row).collect(),
        }
    }

    fn by_name(&self) -> BTreeMap<&str, &[String; 7]> {
        self.rows.iter().map(|(name, row)| (&name[..], row)).collect()
    }
}

fn trees() -> Vec<String> {
    let trees = trees_with("slabtop.txt");
    assert!(trees.len() >= 7, "{trees:?}");
    trees
}

fn slab(tree: &str, arguments: &[&str]) -> Finished {
    let root = fixtures().join(tree);
    pmem([&["--root", root.to_str().unwrap(), "slab"], arguments].concat()).with_status(0)
}

/// Kibibytes as slabtop prints them.
fn kib(bytes: u64) -> String {
    format!("{:.2}K", bytes as f64 / 1024.0)
}

/// `active / total (percent)` as slabtop prints it.
fn of_all(active: u64, total: u64, shown: impl Fn(u64) -> String) -> String {
    format!("{} / {} ({:.1}%)", shown(active), shown(total), 100.0 * active as f64 / total as f64)
}

#[test]
fn the_totals_are_those_of_slabtop() {
    for tree in trees() {
        let document = slab(&tree, &["--json"]).json();
        assert_eq!(document["schema"], "pmem.slab/1");
        let total = |key: &str| number(&document["data"]["totals"][key]);
        let sizes = ["min", "avg", "max"].map(|which| kib(total(&format!("object_size_{which}_bytes"))));
        let expected = [
            of_all(total("active_objects"), total("objects"), |count| count.to_string()),
            of_all(total("active_slabs"), total("slabs"), |count| count.to_string()),
            of_all(total("active_caches"), total("caches"), |count| count.to_string()),
            of_all(total("active_size_bytes"), total("size_bytes"), kib),
            sizes.join(" / "),
        ];
        assert_eq!(Screen::of(&tree, "slabtop.txt").head, expected, "{tree}");
    }
}

#[test]
fn every_number_of_every_row_is_that_of_slabtop() {
    for tree in trees() {
        let screen = Screen::of(&tree, "slabtop.txt");
        let document = slab(&tree, &["--json"]).json();
        let caches = document["data"]["caches"].as_array().unwrap();
        assert_eq!(caches.len(), screen.rows.len(), "{tree}");
        let rows = screen.by_name();
        assert_eq!(rows.len(), caches.len(), "{tree}: two caches of one name");
        for cache in caches {
            let count = |key: &str| number(&cache[key]);
            let expected = [
                count("objects").to_string(),
                count("active_objects").to_string(),
                format!("{}%", count("use_percent")),
                kib(count("object_size_bytes")),
                count("slabs").to_string(),
                count("objects_per_slab").to_string(),
                format!("{}K", count("size_bytes") / 1024),
            ];
            assert_eq!(*rows[cache["name"].as_str().unwrap()], expected, "{tree}: {cache}");
            let whole = count("slabs") * count("pages_per_slab") * number(&document["host"]["page_size"]);
            assert_eq!(count("size_bytes"), whole, "{tree}: {cache}");
        }
    }
}

#[test]
fn csv_has_the_same_numbers() {
    for tree in trees() {
        let screen = Screen::of(&tree, "slabtop.txt");
        let csv = slab(&tree, &["--format", "csv", "-o", COLUMNS]);
        let mut lines = csv.text().lines();
        assert_eq!(lines.next(), Some(HEADER), "{tree}");
        let rows = screen.by_name();
        let mut seen = 0;
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |cell: usize| -> u64 { cells[cell].parse().unwrap_or_else(|_| panic!("{tree}: {line}")) };
            let expected = [
                number(0).to_string(),
                number(1).to_string(),
                format!("{}%", number(2)),
                kib(number(3)),
                number(4).to_string(),
                number(5).to_string(),
                format!("{}K", number(6) / 1024),
            ];
            assert_eq!(*rows[cells[7]], expected, "{tree}: {line}");
            seen += 1;
        }
        assert_eq!(seen, rows.len(), "{tree}");
    }
}

#[test]
fn slabtops_letters_sort_as_slabtop_does() {
    // Caches with the same number are in a different order.
    let numbers = |rows: &[Value], key: &str| -> Vec<u64> { rows.iter().map(|row| number(&row[key])).collect() };
    for tree in trees() {
        for (file, letter, key, column) in [("slabtop.txt", "o", "objects", 0), ("slabtop-c.txt", "c", "size_bytes", 6)]
        {
            let document = slab(&tree, &["--json", "-s", letter]).json();
            let ours = numbers(document["data"]["caches"].as_array().unwrap(), key);
            let unit = if column == 6 { 1024 } else { 1 };
            let cell = |row: &[String; 7]| row[column].trim_end_matches('K').parse::<u64>().unwrap() * unit;
            let theirs: Vec<u64> = Screen::of(&tree, file).rows.iter().map(|(_, row)| cell(row)).collect();
            assert_eq!(ours, theirs, "{tree}, by {letter}");
        }
    }
}

#[test]
fn the_two_orders_of_slabtop_are_of_the_same_rows() {
    for tree in trees() {
        let [mut a, mut b] = ["slabtop.txt", "slabtop-c.txt"].map(|file| Screen::of(&tree, file));
        a.rows.sort_unstable();
        b.rows.sort_unstable();
        assert_eq!(a, b, "{tree}");
    }
}
