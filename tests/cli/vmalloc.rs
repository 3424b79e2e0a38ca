//! `pmem vmalloc` over recorded trees made with known areas.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::run::{Finished, pmem};
use crate::support::skipped;
use crate::support::text::assert_no_control;
use crate::support::tree::fixtures;

/// From a machine with two nodes that shows addresses. Some areas could be huge by size and address, some by size only,
/// some not even by size.
const VMALLOCINFO: &str = "\
0xffffc90000000000-0xffffc90000005000   20480 copy_process.part.0+0x94/0x3e0 pages=4 vmalloc N0=4
0xffffc90000008000-0xffffc9000000d000   20480 copy_process.part.0+0x94/0x3e0 pages=4 vmalloc N0=1 N1=3
0xffffc90000200000-0xffffc90000601000 4198400 alloc_large_system_hash+0x1/0x2 pages=1024 vmalloc vpages N1=1024
0xffffc90000801000-0xffffc90000a02000 2101248 htab_map_alloc+0x1/0x2 pages=512 vmalloc user N0=512
0xffffc90000c00000-0xffffc90000e02000 2105344 htab_map_alloc+0x2/0x2 pages=513 vmalloc N0=513
0xffffc90001000000-0xffffc90001003000   12288 xfs_buf_alloc+0x10/0x20 [xfs] pages=2 vmap N0=2
0xffffc90001004000-0xffffc90001006000    8192 memremap+0x123/0x210 phys=0x00000000000df000 ioremap
0xffffe8ffffc00000-0xffffe8ffffe00000 2097152 pcpu_get_vm_areas+0x0/0x1050 vmalloc
0xffffc90001008000-0xffffc90001009000    4096 vm_map_ram
0xffffc9000100a000-0xffffc9000100f000   20480 unpurged vm_area
";

/// The counters match the areas: 2057 pages of kind vmalloc, and 32 KiB of stacks, one of which belongs to no process.
const MEMINFO: &str = "\
MemTotal:        1048576 kB
KernelStack:          16 kB
VmallocTotal:   34359738367 kB
VmallocUsed:        8228 kB
DirectMap4k:       32768 kB
DirectMap2M:     1015808 kB
DirectMap1G:           0 kB
";

fn tree(vmallocinfo: &str, meminfo: &str) -> TempDir {
    let tree = TempDir::new().unwrap();
    let manifest = "pmem-capture.json";
    fs::copy(fixtures().join("6.12/kinds").join(manifest), tree.path().join(manifest)).unwrap();
    fs::create_dir(tree.path().join("proc")).unwrap();
    fs::write(tree.path().join("proc/vmallocinfo"), vmallocinfo).unwrap();
    fs::write(tree.path().join("proc/meminfo"), meminfo).unwrap();
    tree
}

fn vmalloc(tree: &TempDir, arguments: &[&str]) -> Finished {
    pmem([&["--root", tree.path().to_str().unwrap(), "vmalloc"], arguments].concat())
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn known_areas_are_counted() {
    let document = vmalloc(&tree(VMALLOCINFO, MEMINFO), &["--json"]).with_status(0).json();
    assert_eq!(document["schema"], "pmem.vmalloc/1");
    let data = &document["data"];
    let caller = |function: Value, module: Value, kind: &str| {
        let same = |row: &&Value| row["function"] == function && row["module"] == module && row["kind"] == kind;
        data["callers"].as_array().unwrap().iter().find(same).unwrap_or_else(|| panic!("no {function} {kind}")).clone()
    };
    let hash = json!({
        "function": "htab_map_alloc", "module": null, "caller": "htab_map_alloc", "kind": "vmalloc", "areas": 2, "size_bytes": 2101248 + 2105344,
        "pages": 1025, "bytes": 1025 * 4096, "may_be_huge_pages": 0, "nodes": [{"node": 0, "pages": 1025}],
    });
    assert_eq!(caller(json!("htab_map_alloc"), Value::Null, "vmalloc"), hash);
    let large = caller(json!("alloc_large_system_hash"), Value::Null, "vmalloc");
    assert_eq!((&large["pages"], &large["may_be_huge_pages"]), (&json!(1024), &json!(1024)));
    let stacks = caller(json!("copy_process.part.0"), Value::Null, "vmalloc");
    assert_eq!(stacks["nodes"], json!([{"node": 0, "pages": 5}, {"node": 1, "pages": 3}]));
    assert_eq!(caller(json!("xfs_buf_alloc"), json!("xfs"), "vmap")["pages"], 2);
    assert_eq!(caller(Value::Null, Value::Null, "vm_map_ram")["size_bytes"], 4096);
    assert_eq!(caller(Value::Null, Value::Null, "unpurged")["size_bytes"], 20480);
    let kinds = data["kinds"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|kind| (kind["kind"].as_str().unwrap(), kind["areas"].as_u64().unwrap())).collect();
    assert_eq!(kinds, [("vmalloc", 6), ("vmap", 1), ("unpurged", 1), ("ioremap", 1), ("vm_map_ram", 1)]);
    let check = |name: &str, ours: u64, kernel: u64| {
        json!({
            "name": name, "ours_bytes": ours, "kernel_bytes": kernel,
            "difference_bytes": ours - kernel, "moved_bytes": 0,
        })
    };
    assert_eq!(
        data["checks"],
        json!([check("VmallocUsed", 2057 << 12, 8228 << 10), check("KernelStack", 32768, 16384)])
    );
    let mappings = json!({
        "direct_map": [
            {"page_bytes": 4096, "bytes": 32 << 20}, {"page_bytes": 2 << 20, "bytes": 992 << 20},
            {"page_bytes": 1 << 30, "bytes": 0},
        ],
        "direct_map_bytes": 1 << 30, "memory_bytes": 1 << 30, "vmalloc_total_bytes": 34_359_738_367_u64 << 10,
        "vmalloc_size_bytes": 10_588_160, "vmalloc_bytes": 2059 << 12, "kmap_bytes": null, "fixmap_bytes": null,
    });
    assert_eq!(data["mappings"], mappings);
    assert_eq!((&data["addresses_known"], &data["areas"]), (&json!(true), &Value::Null));
}

#[test]
fn the_table_answers_first_and_fits() {
    let run = vmalloc(&tree(VMALLOCINFO, MEMINFO), &[]).with_status(0);
    let text = run.text();
    let answer = "\
8.0 MiB of memory (2,059 pages) in areas of the kernel's vmalloc address space,
which take 10.1 MiB of addresses: 6 vmalloc with 8.0 MiB, 1 vmap with 8.0 KiB, 1
unpurged, 1 ioremap, 1 vm_map_ram. Unpurged areas have been freed, but their
addresses cannot be reused yet
";
    assert!(text.starts_with(answer), "{text}");
    for line in [
        "vmalloc 2 4.0 MiB 1,025 4.0 MiB · htab_map_alloc",
        "vmalloc 1 4.0 MiB 1,024 4.0 MiB 1,024 alloc_large_system_hash",
        "vmap 1 12.0 KiB 2 8.0 KiB · xfs_buf_alloc [xfs]",
        "unpurged 1 20.0 KiB · · · -",
        "total 10.1 MiB 2,059 8.0 MiB 1,024",
        "VmallocUsed 8.0 MiB 8.0 MiB · ·",
        "KernelStack 32.0 KiB 16.0 KiB +16.0 KiB ·",
        "direct map 1.0 GiB 2 MiB 97 %, 4 KiB 3 %; MemTotal 1.0 GiB",
        "vmalloc 10.1 MiB of 32.0 TiB of addresses",
        "kmap - temporary mappings of single pages; not reported",
    ] {
        assert!(text.lines().any(|found| words(found) == line), "no line {line:?} in\n{text}");
    }
    assert!(text.contains("free stacks cached"), "the difference has a reason: {text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let order: Vec<_> = text.lines().filter(|line| line.starts_with("vmalloc ") && line.contains('_')).collect();
    assert!(
        order[0].ends_with("htab_map_alloc") && order[3].ends_with("pcpu_get_vm_areas"),
        "most memory first: {text}"
    );
}

#[test]
fn areas_are_rows_and_can_be_chosen() {
    let tree = tree(VMALLOCINFO, MEMINFO);
    let csv = |arguments: &[&str]| {
        vmalloc(&tree, &[&["--format", "csv"], arguments].concat()).with_status(0).text().to_owned()
    };
    let large = "start,physical_address,user,vpages,pages,node1_pages,caller\n\
                 0xffffc90000200000,,false,true,1024,1024,alloc_large_system_hash\n";
    assert_eq!(csv(&["--areas", "--filter", "^alloc_", "-o", "start,physical,user,vpages,pages,node1,caller"]), large);
    let sorted = csv(&["--areas", "-s", "-size", "-o", "size,kind"]);
    assert!(
        sorted.starts_with("size_bytes,kind\n4198400,vmalloc\n2105344,vmalloc\n2101248,vmalloc\n2097152,vmalloc\n"),
        "{sorted}"
    );
    // An area without a caller goes by its kind, and a module is part of the name.
    assert_eq!(csv(&["--filter", "unpurged|vm_map", "-o", "kind,caller"]), "kind,caller\nunpurged,\nvm_map_ram,\n");
    assert_eq!(csv(&["--filter", r"\[xfs\]$", "-o", "areas,caller"]), "areas,caller\n1,xfs_buf_alloc [xfs]\n");
    assert_eq!(csv(&["--filter", "nobody", "-o", "caller"]), "caller\n");
    let jsonl = vmalloc(&tree, &["--format", "jsonl", "--areas", "--filter", "memremap"]).with_status(0);
    let row: Value = serde_json::from_str(jsonl.text().trim_end()).unwrap();
    assert_eq!((&row["start"], &row["physical_address"]), (&json!("0xffffc90001004000"), &json!("0xdf000")));
    // Only the rows are filtered; kinds and counters cover everything.
    let data = vmalloc(&tree, &["--json", "--filter", "memremap"]).with_status(0).json()["data"].take();
    assert_eq!((data["callers"].as_array().unwrap().len(), data["kinds"].as_array().unwrap().len()), (1, 5));
    vmalloc(&tree, &["--filter", "("]).with_status(2);
    vmalloc(&tree, &["-o", "start"]).with_status(2);
    assert!(vmalloc(&tree, &["--areas", "-o", "help"]).with_status(0).text().contains("vpages"));
}

#[test]
fn a_document_of_areas_has_callers_as_one_of_callers_has() {
    let tree = tree(VMALLOCINFO, MEMINFO);
    let data =
        |arguments: &[&str]| vmalloc(&tree, &[&["--json"], arguments].concat()).with_status(0).json()["data"].take();
    let (areas, callers) = (data(&["--areas"]), data(&[]));
    assert_eq!(areas["callers"], callers["callers"]);
    assert_eq!(areas["areas"].as_array().unwrap().len(), 10);
    let rounds = vmalloc(&tree, &["-n", "2", "-d", "0.01", "--format", "csv", "-o", "caller"]).with_status(0);
    let named = rounds.text().lines().filter(|line| line.ends_with(",htab_map_alloc")).count();
    assert!(rounds.text().starts_with("time,caller\n") && named == 2, "{}", rounds.text());
}

#[test]
fn hashes_are_no_addresses() {
    let hashed = "0x0000000062c5485a-0x0000000076d7473c 2101248 a+0x1/0x2 pages=512 vmalloc N0=512\n";
    let data = vmalloc(&tree(hashed, MEMINFO), &["--json", "--areas"]).with_status(0).json()["data"].take();
    assert_eq!(data["addresses_known"], false);
    let area = &data["areas"][0];
    assert_eq!((&area["start"], &area["end"], &area["may_be_huge_pages"]), (&Value::Null, &Value::Null, &json!(512)));
    let text = vmalloc(&tree(hashed, MEMINFO), &["--areas"]).with_status(0);
    assert!(
        text.text().contains("addresses are hidden here")
            && text.text().contains("no_hash_pointers")
            && !text.text().contains("START"),
        "{}",
        text.text()
    );
}

#[test]
fn a_counter_that_is_always_none_is_not_known() {
    let old = MEMINFO.replace("VmallocUsed:        8228 kB", "VmallocUsed:           0 kB");
    let run = vmalloc(&tree(VMALLOCINFO, &old), &[]).with_status(0);
    assert!(run.text().contains("VmallocUsed: always 0 in Linux 4.4 to 5.2"), "{}", run.text());
    assert!(run.text().lines().any(|line| words(line) == "VmallocUsed 8.0 MiB - - -"), "{}", run.text());
    // An architecture that does not report its direct map.
    let arm = "MemTotal: 1048576 kB\nVmallocUsed: 8228 kB\n";
    let run = vmalloc(&tree(VMALLOCINFO, arm), &[]).with_status(0);
    assert!(run.text().contains("direct map          -  all memory in one range"), "{}", run.text());
}

#[test]
fn a_torn_file_loses_only_its_end() {
    let torn = &VMALLOCINFO[..VMALLOCINFO.rfind("0xffffc9000100a000").unwrap() + 60];
    let run = vmalloc(&tree(torn, MEMINFO), &[]).with_status(1);
    assert!(run.stderr.contains("vmallocinfo:10: the line is truncated"), "{}", run.stderr);
    assert!(run.text().contains("2,059 pages") && !run.text().contains("unpurged"), "{}", run.text());
    let notes = vmalloc(&tree(torn, MEMINFO), &["--json"]).with_status(1).json()["notes"].take();
    assert!(notes.as_array().unwrap().iter().any(|note| note["code"] == "areas-incomplete"), "{notes}");
    let bad = VMALLOCINFO.replace("pages=4 ", "pages=x ");
    let run = vmalloc(&tree(&bad, MEMINFO), &["--format", "csv", "-o", "caller"]).with_status(1);
    assert!(run.stderr.contains("2 lines of vmallocinfo could not be parsed"), "{}", run.stderr);
    assert!(run.stderr.contains("vmallocinfo:1: "), "{}", run.stderr);
    assert!(run.text().contains("htab_map_alloc") && !run.text().contains("copy_process"), "{}", run.text());
}

#[test]
fn a_tree_without_the_file_still_has_the_direct_map() {
    let tree = tree(VMALLOCINFO, MEMINFO);
    fs::remove_file(tree.path().join("proc/vmallocinfo")).unwrap();
    let run = vmalloc(&tree, &[]).with_status(3);
    assert!(run.stderr.contains("not in this tree"), "{}", run.stderr);
    assert!(run.text().starts_with("The kernel's own mappings\n"), "{}", run.text());
    let data = vmalloc(&tree, &["--json"]).with_status(3).json()["data"].take();
    assert_eq!(
        (&data["kinds"], &data["callers"], &data["mappings"]["vmalloc_bytes"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    // Nothing that could be mistaken for a count of zero.
    for arguments in [&["--areas"][..], &["--filter", "x"], &["-o", "pages"], &["--format", "csv"]] {
        assert!(vmalloc(&tree, arguments).with_status(3).stdout.is_empty());
    }
}

#[test]
fn a_hostile_tree_is_only_text() {
    let hostile = "0x1-0x2 18446744073709551615 \u{1b}[2J\u{202e}+0x1/0x2 [\u{7}] pages=18446744073709551615 vmalloc \
                   N0=18446744073709551615 N1023=1 N4000000000=1\n";
    let hostile = hostile.repeat(2) + "0x1-0x2 4096 a+0x1/0x2 pages=512 vmalloc N7=512\n";
    for arguments in [&[][..], &["--areas"], &["--format", "csv"], &["-o", "node1023,caller"]] {
        let run = vmalloc(&tree(&hostile, MEMINFO), arguments).with_status(0);
        assert_no_control(&run.stdout, "standard output");
        assert!(run.text().contains(r"\x1b[2J\u{202e} [\x07]"), "{}", run.text());
    }
    vmalloc(&tree(&hostile, MEMINFO), &["--json", "--areas"]).with_status(0).json();
}

#[test]
fn a_caller_can_be_any_bytes() {
    let tree = tree("", MEMINFO);
    let good = "0x1-0x2 4096 a+0x1/0x2 pages=2 vmalloc N0=2\n";
    let text = [b"0x1-0x2 4096 e\xff\x9b+0x1/0x2 [m] pages=3 vmalloc N0=3\n", good.as_bytes()].concat();
    fs::write(tree.path().join("proc/vmallocinfo"), text).unwrap();
    let data = vmalloc(&tree, &["--json"]).with_status(0).json()["data"].take();
    let callers = data["callers"].as_array().unwrap();
    assert_eq!((&callers[0]["function"], &callers[0]["module"]), (&json!(r"e\xff\x9b"), &json!("m")));
    assert_eq!((&callers[0]["caller_hex"], &callers[0]["pages"]), (&json!("65ff9b205b6d5d"), &json!(3)));
    assert!(callers[1].get("caller_hex").is_none(), "{data}");
    let table = vmalloc(&tree, &[]).with_status(0);
    assert!(table.text().contains(r"e\xff\x9b [m]"), "{}", table.text());
    assert_no_control(&table.stdout, "standard output");
}

#[test]
fn nothing_is_counted_in_an_empty_file() {
    for text in ["", "junk\n"] {
        let tree = tree(text, MEMINFO);
        let run = vmalloc(&tree, &[]).with_status(1);
        assert!(run.stderr.contains("proc/vmallocinfo:1: "), "{}", run.stderr);
        assert!(run.text().starts_with("The kernel's own mappings\n"), "no zeros: {}", run.text());
        let data = vmalloc(&tree, &["--json"]).with_status(1).json()["data"].take();
        assert_eq!((&data["kinds"], &data["mappings"]["vmalloc_bytes"]), (&Value::Null, &Value::Null));
    }
}

#[test]
fn units_keep_the_column_that_they_are_of() {
    let tree = tree(VMALLOCINFO, MEMINFO);
    let head = |arguments: &[&str]| {
        let run = vmalloc(&tree, arguments).with_status(0);
        words(run.text().lines().find(|line| line.ends_with("CALLER")).unwrap())
    };
    assert_eq!(head(&[]), "KIND AREAS ADDRESSES PAGES MEMORY HUGE? CALLER");
    assert_eq!(head(&["-b"]), "KIND AREAS ADDRESSES B MEMORY B HUGE? B CALLER");
    assert_eq!(head(&["--pages"]), "KIND AREAS ADDRESSES pages PAGES HUGE? CALLER");
    assert_eq!(head(&["--areas", "-k"]), "START KIND ADDRESSES KiB MEMORY KiB PHYSICAL HUGE? KiB CALLER");
    let text = vmalloc(&tree, &["-b"]).with_status(0);
    assert!(text.text().starts_with("8,433,664 B of memory (2,059 pages)"), "{}", text.text());
}

#[test]
fn a_missing_meminfo_is_not_the_architectures_fault() {
    let tree = tree(VMALLOCINFO, MEMINFO);
    fs::remove_file(tree.path().join("proc/meminfo")).unwrap();
    let run = vmalloc(&tree, &[]).with_status(0);
    assert!(run.text().contains("page sizes are in meminfo") && !run.text().contains("architecture"), "{}", run.text());
}

/// Whole machines: the sum of all `pages=`, compared with the machine's own counter.
#[test]
fn recorded_machines_add_up() {
    let kernels = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let trees = kernels.flat_map(|kernel| fs::read_dir(kernel).unwrap().map(|entry| entry.unwrap().path()));
    let mut trees = trees.filter(|tree| tree.join("proc/vmallocinfo").exists()).peekable();
    if trees.peek().is_none() {
        skipped("vmalloc of recorded machines", "no fixture has vmallocinfo");
    }
    for tree in trees {
        let text = fs::read_to_string(tree.join("proc/vmallocinfo")).unwrap();
        let words = text.split_whitespace().filter_map(|word| word.strip_prefix("pages="));
        let pages: u64 = words.map(|pages| pages.parse::<u64>().unwrap()).sum();
        let run = pmem(["--root", tree.to_str().unwrap(), "vmalloc", "--json"]).with_status(0);
        let data = run.json()["data"].take();
        let sum = |rows: &str, field: &str| -> u64 {
            data[rows].as_array().unwrap().iter().map(|row| row[field].as_u64().unwrap()).sum()
        };
        let where_ = tree.display();
        assert_eq!((sum("callers", "pages"), sum("kinds", "pages")), (pages, pages), "{where_}");
        assert_eq!(sum("callers", "areas"), text.lines().count() as u64, "{where_}");
        let used = &data["checks"][0];
        assert_eq!(used["name"], "VmallocUsed", "{where_}");
        if let Some(difference) = used["difference_bytes"].as_i64() {
            assert!(difference.abs() <= 64 << 10, "{where_}: {used}");
        }
    }
}
