//! `pmem doctor`: it must report what this test finds out in other ways.

use std::fs::File;

use serde_json::Value;

use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;
use crate::support::skipped;
use crate::support::tree::Tree;

fn row<'a>(document: &'a Value, list: &str, key: &str, name: &str) -> &'a Value {
    let rows = document["data"][list].as_array().expect(list);
    rows.iter().find(|row| row[key] == name).unwrap_or_else(|| panic!("{list} has no {name}"))
}

#[test]
fn readable_is_what_can_be_opened() {
    let document = pmem(["doctor", "--json"]).with_status(0).json();
    assert_eq!(document["schema"], "pmem.doctor/1");
    for path in ["/proc/self/maps", "/proc/kpageflags", "/proc/slabinfo", "/proc/meminfo"] {
        let said = row(&document, "interfaces", "path", path)["readable"].as_bool().unwrap();
        assert_eq!(said, File::open(path).is_ok(), "{path}");
    }
}

#[test]
fn capabilities_are_those_of_status() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
    let document = pmem(["doctor", "--json"]).with_status(0).json();
    for (name, bit) in [("CAP_DAC_READ_SEARCH", 2), ("CAP_SYS_PTRACE", 19), ("CAP_SYS_ADMIN", 21), ("CAP_PERFMON", 38)]
    {
        let held = row(&document, "capabilities", "name", name)["held"].as_bool().unwrap();
        assert_eq!(held, effective >> bit & 1 == 1, "{name}");
    }
}

#[test]
fn a_kernel_that_lies_about_soft_dirty_is_caught() {
    // The kernel's own statement, if it shows one: bit 55 exists only with this option.
    let Some(config) = config() else { return skipped("soft-dirty", "the kernel does not show its configuration") };
    let built_in = config.lines().any(|line| line == "CONFIG_MEM_SOFT_DIRTY=y");
    let document = pmem(["doctor", "--json"]).with_status(0).json();
    let feature = row(&document, "features", "name", "soft-dirty bits");
    assert_eq!(feature["available"], built_in);
    if !built_in {
        assert!(std::fs::write("/proc/self/clear_refs", "4").is_ok(), "this kernel does not even lie");
        assert!(feature["why"].as_str().unwrap().contains("to clear_refs succeeds"), "{feature}");
    }
}

/// The configuration of the running kernel, if it is in /proc (compressed, so through zcat).
fn config() -> Option<String> {
    let output = std::process::Command::new("zcat").arg("/proc/config.gz").output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    let document = Ordinary::new().pmem(&["doctor", "--json"]).with_status(0).json();
    assert_eq!(row(&document, "features", "name", "frame numbers")["available"], false);
    let owners = row(&document, "commands", "command", "frames --owners");
    assert_eq!(owners["works"], "no");
    assert!(owners["why"].as_str().unwrap().contains("CAP_SYS_ADMIN"));
    let flags = row(&document, "interfaces", "path", "/proc/kpageflags");
    assert_eq!(flags["readable"], false);
    assert!(flags["needs"].as_str().unwrap().contains("CAP_DAC_READ_SEARCH"));
}

#[test]
fn the_table_is_for_people_and_there_is_no_csv() {
    let table = pmem(["doctor"]).with_status(0);
    for heading in ["Commands", "Kernel features, each tested", "Capabilities", "Interfaces", "Settings"] {
        assert!(table.text().lines().any(|line| line == heading), "no section {heading}");
    }
    assert!(table.text().lines().all(|line| line.chars().count() <= 100), "a line is wider than a page");
    pmem(["doctor", "--format", "csv"]).with_status(2);
}

#[test]
fn a_very_long_name_of_a_swap_area_is_cut_for_people() {
    let tree = Tree::like("6.12/machine");
    let name = format!("/{}", "x".repeat(1_000_000));
    tree.write("proc/swaps", format!("Filename\tType\tSize\tUsed\tPriority\n{name} file\t1024\t0\t-2\n"));
    // It must also end within the time that such a run gets.
    let run = tree.pmem(&["doctor"]);
    assert!(run.text().contains("xxx … (1,000,"), "{} {}", run.status, run.stderr);
    assert!(run.text().len() < 100_000, "{}", run.text().len());
    assert!(tree.pmem(&["doctor", "--json"]).text().contains(&name));
}
