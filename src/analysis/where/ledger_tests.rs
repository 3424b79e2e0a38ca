//! Every overlap of the kernel's counters, and that lines add up whatever the counters say.

use proptest::prelude::*;

use super::*;
use crate::kernel::counters::Counters;
use crate::kernel::vmalloc::VmallocPages;
use crate::model::meminfo::Meminfo;
use crate::model::vmstat::Vmstat;
use crate::model::zoneinfo::{Pageset, Zone};

const PAGE: i64 = 4096;

/// Sources whose meminfo has these values, in kB.
fn sources(meminfo: &[(&str, u64)]) -> Sources {
    let text: String = meminfo.iter().map(|(key, kib)| format!("{key}: {kib} kB\n")).collect();
    Sources {
        counters: Counters {
            meminfo: Meminfo::parse(text.as_bytes()),
            buddy_pages: None,
            slab_pages: None,
            ksm_frames: None,
        },
        zones: Vec::new(),
        vmstat: Vmstat::default(),
        vmalloc: None,
        pools: Vec::new(),
        pressure: Err(String::new()),
        balloon_in_total: None,
        offline_bytes: 0,
        troubles: Vec::new(),
    }
}

fn of(sources: &Sources) -> Ledger {
    let ledger = ledger(sources, PageSize::new(PAGE as u64).unwrap()).unwrap();
    assert_eq!(ledger.lines.iter().filter_map(|line| line.bytes).sum::<i64>(), ledger.total, "adds up");
    assert_eq!(ledger.lines.last().unwrap().name, UNACCOUNTED);
    ledger
}

/// Sizes of lines in kB; -1 for one that is not known.
#[track_caller]
fn assert_lines(sources: &Sources, expected: &[(&str, i64)]) {
    let ledger = of(sources);
    for (name, kib) in expected {
        let line = ledger.lines.iter().find(|line| line.name == *name).unwrap();
        assert_eq!(line.bytes.map_or(-1, |bytes| bytes / 1024), *kib, "{name}");
    }
}

#[test]
fn shared_memory_is_not_file_cache_too() {
    let all = [("MemTotal", 1000), ("Cached", 500), ("Shmem", 120), ("Buffers", 30)];
    assert_lines(&sources(&all), &[("file_cache", 380), ("shared_memory", 120), ("buffers", 30), (UNACCOUNTED, 470)]);
}

#[test]
fn what_must_be_taken_off_and_is_not_known_makes_a_line_unknown() {
    let all = [("MemTotal", 1000), ("Cached", 500), ("Slab", 90), ("SUnreclaim", 60), ("KReclaimable", 40)];
    let found = sources(&[&all[..], &[("VmallocUsed", 20)]].concat());
    let unknown =
        ["file_cache", "shared_memory", "other_reclaimable", "vmalloc", "kernel_stacks"].map(|name| (name, -1));
    assert_lines(&found, &unknown);
    assert_lines(&found, &[("slab_unreclaimable", 60), (UNACCOUNTED, 940)]);
    // Large kmalloc is elsewhere, and rare lines need not exist.
    let ledger = of(&found);
    let in_the_rest = |name: &str| ledger.lines.iter().find(|line| line.name == name).unwrap().is_in_the_rest();
    assert!(unknown.iter().all(|(name, _)| in_the_rest(name) != (*name == "other_reclaimable")));
    assert!(["slab_unreclaimable", "large_kmalloc", "hugetlb_used"].into_iter().all(|name| !in_the_rest(name)));
    let report = crate::analysis::r#where::Report::new(&found, None, PageSize::new(4096).unwrap()).unwrap();
    let about = report.about_unaccounted("unaccounted");
    assert!(about.starts_with("unaccounted, includes these lines, whose sizes are not known: "), "{about}");
    assert!(about.contains("'shared memory', ") && !about.contains("'large kmalloc'"), "{about}");
}

#[test]
fn swap_cache_that_is_mapped_is_anonymous() {
    let lists = [("Active(anon)", 100), ("Inactive(anon)", 200), ("Active(file)", 300), ("Inactive(file)", 90)];
    let known = [("MemTotal", 2000), ("Cached", 400), ("Buffers", 40), ("Unevictable", 10)];
    // The lists have 700: 440 of files, the rest anonymous or in the swap cache.
    for (anon, cached, expected) in [(250, 30, 10), (250, 5, 5), (300, 30, 0), (0, 30, 30), (260, 0, 0), (0, 0, 0)] {
        let all = [&lists[..], &known, &[("AnonPages", anon), ("SwapCached", cached)]].concat();
        assert_lines(&sources(&all), &[("anonymous", anon as i64), ("swap_cache", expected)]);
    }
    // Without the lists it is not known.
    assert_lines(&sources(&[("MemTotal", 9), ("SwapCached", 3)]), &[("swap_cache", -1), (UNACCOUNTED, 9)]);
}

#[test]
fn large_kmalloc_is_in_slab_unreclaimable() {
    let mut found = sources(&[("MemTotal", 900), ("Slab", 400), ("SReclaimable", 100), ("SUnreclaim", 300)]);
    let lines = |large, rest| [("slab_reclaimable", 100), ("slab_unreclaimable", rest), ("large_kmalloc", large)];
    assert_lines(&found, &lines(-1, 300));
    // Fewer pages than Slab has, and so few that reclaimable slabs must be missing.
    for (pages, large) in [(90, 40), (0, 300)] {
        found.counters.slab_pages = Some(pages);
        assert_lines(&found, &lines(large, 300 - large));
    }
    // More pages than Slab has, and as many: it does not count large kmalloc.
    for pages in [101, 100] {
        found.counters.slab_pages = Some(pages);
        assert_lines(&found, &lines(-1, 300));
    }
    assert_eq!(of(&found).bytes(UNACCOUNTED), Some(500 << 10));
}

#[test]
fn before_5_4_large_kmalloc_is_not_in_slab() {
    let all = [("MemTotal", 900), ("Slab", 400), ("SReclaimable", 100), ("SUnreclaim", 300), ("AnonHugePages", 0)];
    let mut found = sources(&all);
    for pages in [None, Some(90), Some(100)] {
        found.counters.slab_pages = pages;
        assert_lines(&found, &[("slab_unreclaimable", 300), ("large_kmalloc", -1), (UNACCOUNTED, 500)]);
        let ledger = of(&found);
        let line = |name| ledger.lines.iter().find(|line| line.name == name).unwrap();
        assert!(line("large_kmalloc").is_in_the_rest() && line("slab_unreclaimable").note.is_none());
    }
    found = sources(&[&all[..], &[("FileHugePages", 0)]].concat());
    found.counters.slab_pages = Some(90);
    assert_lines(&found, &[("slab_unreclaimable", 260), ("large_kmalloc", 40)]);
}

#[test]
fn other_reclaimable_memory_is_not_slab_too() {
    let all = [("MemTotal", 900), ("KReclaimable", 130), ("SReclaimable", 100)];
    assert_lines(&sources(&all), &[("slab_reclaimable", 100), ("other_reclaimable", 30), (UNACCOUNTED, 770)]);
    // Linux before 4.20 has no KReclaimable.
    assert_lines(&sources(&[("MemTotal", 900), ("SReclaimable", 100)]), &[("other_reclaimable", -1)]);
}

#[test]
fn stacks_in_vmalloc_areas_count_once() {
    let all = [("MemTotal", 900), ("KernelStack", 64), ("VmallocUsed", 200), ("ShadowCallStack", 16)];
    let mut found = sources(&all);
    let lines =
        |vmalloc, rest| [("kernel_stacks", 64), ("shadow_stacks", 16), ("vmalloc", vmalloc), (UNACCOUNTED, rest)];
    assert_lines(&found, &lines(120, 700));
    let areas = |all, stacks, shadow_stacks| Some(VmallocPages { all, stacks, shadow_stacks, nameless: false });
    // Stacks that are kept for the next task are not in KernelStack, and stay.
    found.vmalloc = areas(50, 20, 4);
    assert_lines(&found, &lines(120, 700));
    // Some stacks are elsewhere (no CONFIG_VMAP_STACK).
    found.vmalloc = areas(50, 1, 4);
    assert_lines(&found, &lines(180, 640));
    found.vmalloc = areas(50, 0, 4);
    assert_lines(&found, &lines(184, 636));
    // Shadow stacks are areas since Linux 5.12, whoever allocated them.
    found.vmalloc = areas(50, 20, 0);
    assert_lines(&found, &lines(136, 684));
    found.vmstat = Vmstat::parse(b"nr_swapcached 0\n");
    assert_lines(&found, &lines(120, 700));
    // Without names, all are taken to be areas.
    found.vmalloc = Some(VmallocPages { all: 50, nameless: true, ..VmallocPages::default() });
    assert_lines(&found, &lines(120, 700));
}

#[test]
fn shadow_stacks_of_a_slab_cache_count_once() {
    let mut found = sources(&[
        ("MemTotal", 900),
        ("ShadowCallStack", 16),
        ("SUnreclaim", 100),
        ("VmallocUsed", 40),
        ("KernelStack", 0),
    ]);
    found.vmalloc = Some(VmallocPages::default());
    let lines = [("shadow_stacks", 16), ("slab_unreclaimable", 84), ("vmalloc", 40), (UNACCOUNTED, 760)];
    assert_lines(&found, &lines);
}

#[test]
fn a_constant_0_of_vmalloc_is_not_believed() {
    let mut found = sources(&[("MemTotal", 900), ("KernelStack", 64), ("VmallocUsed", 0)]);
    assert_lines(&found, &[("vmalloc", -1), ("kernel_stacks", 64), (UNACCOUNTED, 836)]);
    found.vmalloc = Some(VmallocPages { all: 50, stacks: 20, shadow_stacks: 0, nameless: false });
    assert_lines(&found, &[("vmalloc", 136), ("kernel_stacks", 64), (UNACCOUNTED, 700)]);
}

#[test]
fn free_pages_of_processors_are_not_in_memfree() {
    let mut found = sources(&[("MemTotal", 900), ("MemFree", 100)]);
    assert_lines(&found, &[("free", 100), ("per_cpu_lists", -1), (UNACCOUNTED, 800)]);
    let set = |count| Pageset { count, ..Pageset::default() };
    found.zones = vec![
        Zone { pagesets: vec![set(3), set(4)], managed: 225, ..Zone::default() },
        Zone { pagesets: vec![set(1)], ..Zone::default() },
    ];
    assert_lines(&found, &[("free", 100), ("per_cpu_lists", 32), (UNACCOUNTED, 768)]);
    assert_eq!(of(&found).part("free", "not initialised yet"), 0);
    found.zones[0].managed = 205;
    assert_eq!(of(&found).part("free", "not initialised yet"), 80 << 10);
}

#[test]
fn hugetlb_pages_of_every_size_are_used_reserved_or_free() {
    let mib = 1 << 20;
    let pool = |size, pages, free, reserved| HugePool { size, pages, free, reserved, surplus: 0 };
    let lines = |used: i64, reserved: i64, free: i64| {
        [("hugetlb_used", used), ("hugetlb_reserved", reserved), ("hugetlb_free", free)]
            .map(|(name, mib)| (name, mib * 1024))
    };
    let mut found = sources(&[("MemTotal", 8 << 20), ("Hugetlb", 1036 << 10)]);
    // meminfo alone has one size, and here not even that.
    assert_lines(&found, &[("hugetlb_used", 1036 << 10), ("hugetlb_free", -1)]);
    assert!(of(&found).lines.iter().all(|line| line.name != "hugetlb_free" || line.note.is_some()));
    found.pools = vec![pool(1024 * mib, 1, 1, 0), pool(2 * mib, 6, 4, 1)];
    assert_lines(&found, &lines(4, 2, 1030));
    // More reserved than free.
    found.pools[1].reserved = 9;
    assert_lines(&found, &lines(4, 8, 1024));
    // A pool was enlarged between the two readings: the total remains what meminfo says.
    found.pools[1].free = 1000;
    assert_eq!(of(&found).bytes(UNACCOUNTED), Some((8 << 30) - (1036 << 20)));
    found.pools.clear();
    found.counters.meminfo = Meminfo::parse(
        b"MemTotal: 8388608 kB\nHugePages_Total: 6\nHugePages_Free: 4\nHugePages_Rsvd: 1\nHugepagesize: 2048 kB\n",
    );
    assert_lines(&found, &lines(4, 2, 6));
    // The pages of that one size, and more: then it is not known how many of the others are free.
    let one_size =
        b"MemTotal: 8388608 kB\nHugePages_Total: 6\nHugePages_Free: 4\nHugePages_Rsvd: 1\nHugepagesize: 2048 kB\n";
    for (kib, expected) in [("12288", lines(4, 2, 6)), ("0", lines(0, 0, 0))] {
        let text = [one_size, format!("Hugetlb: {kib} kB\n").as_bytes()].concat();
        found.counters.meminfo = Meminfo::parse(&text);
        assert_lines(&found, &expected);
    }
    found.counters.meminfo = Meminfo::parse(&[&one_size[..], b"Hugetlb: 3158016 kB\n"].concat());
    assert_lines(&found, &[("hugetlb_used", 3_158_016), ("hugetlb_reserved", -1), ("hugetlb_free", -1)]);
}

#[test]
fn compressed_memory_counts_once() {
    let mut found = sources(&[("MemTotal", 900), ("Zswap", 40)]);
    assert_lines(&found, &[("zsmalloc", -1), (UNACCOUNTED, 900)]);
    assert!(of(&found).lines.iter().any(|line| line.name == "zsmalloc" && line.is_in_the_rest()));
    found.vmstat = Vmstat::parse(b"nr_free_pages 1\n");
    assert_lines(&found, &[("zsmalloc", 40)]);
    // zswap in zsmalloc, together with zram; and zswap in a pool outside zsmalloc.
    for (pages, kib) in [("nr_zspages 20\n", 80), ("nr_zspages 1\n", 40)] {
        found.vmstat = Vmstat::parse(pages.as_bytes());
        assert_lines(&found, &[("zsmalloc", kib), (UNACCOUNTED, 900 - kib)]);
    }
}

#[test]
fn a_balloon_counts_where_memtotal_has_it() {
    let mut found = sources(&[("MemTotal", 900), ("Balloon", 100)]);
    let page_size = PageSize::new(4096).unwrap();
    for (inside, line, outside) in [(None, 0, 100), (Some(false), 0, 100), (Some(true), 100, 0)] {
        found.balloon_in_total = inside;
        assert_lines(&found, &[("balloon", line), (UNACCOUNTED, 900 - line)]);
        assert_eq!(balloon_outside(&found, page_size), outside << 10);
    }
    // Less is outside than it took, so it must still be inside.
    found.balloon_in_total = None;
    for (present, line, outside) in [(300, 0, 100), (240, 100, 0)] {
        found.zones = vec![Zone { present, ..Zone::default() }];
        assert_lines(&found, &[("balloon", line)]);
        assert_eq!(balloon_outside(&found, page_size), outside << 10);
    }
    // Linux before 6.16 has only events.
    found = sources(&[("MemTotal", 900)]);
    found.vmstat = Vmstat::parse(b"balloon_inflate 30\nballoon_deflate 10\n");
    assert_lines(&found, &[("balloon", -1)]);
    found.balloon_in_total = Some(true);
    assert_lines(&found, &[("balloon", 80), (UNACCOUNTED, 820)]);
}

#[test]
fn lines_may_add_up_to_more_than_all() {
    let found = sources(&[("MemTotal", 100), ("MemFree", 90), ("AnonPages", 30)]);
    assert_lines(&found, &[("free", 90), ("anonymous", 30), (UNACCOUNTED, -20)]);
}

#[test]
fn a_total_that_no_machine_has_is_refused() {
    let page_size = PageSize::new(4096).unwrap();
    for total in [0, u64::MAX >> 10, 1 << 48] {
        assert!(ledger(&sources(&[("MemTotal", total)]), page_size).is_err(), "{total}");
    }
    assert!(ledger(&sources(&[("MemFree", 1)]), page_size).is_err());
}

proptest! {
    #[test]
    fn lines_add_up_whatever_counters_say(
        numbers in prop::collection::vec(prop_oneof![any::<u64>(), 0..1u64 << 34], 40),
        pages in prop::collection::vec(prop_oneof![any::<u64>(), 0..1u64 << 24], 12),
        known in any::<[bool; 4]>(),
    ) {
        const KEYS: [&str; 33] = [
            "MemFree", "CmaFree", "Unaccepted", "AnonPages", "AnonHugePages", "SwapCached", "Active(anon)",
            "Inactive(anon)", "Active(file)", "Inactive(file)", "Unevictable", "Cached", "Shmem", "Buffers", "Mapped",
            "Dirty", "Slab", "SReclaimable", "SUnreclaim", "KReclaimable", "PageTables", "SecPageTables", "KernelStack",
            "ShadowCallStack", "VmallocUsed", "Percpu", "Hugetlb", "Balloon", "Zswap", "HardwareCorrupted", "Bounce",
            "GPUActive", "Hugepagesize",
        ];
        let mut all: Vec<(&str, u64)> = KEYS.into_iter().zip(numbers.iter().copied()).collect();
        all.push(("MemTotal", numbers[39] % (1 << 46) + 1));
        let mut found = sources(&all);
        found.counters.slab_pages = known[0].then_some(pages[0]);
        found.vmalloc = known[1].then_some(VmallocPages {
            all: pages[1], stacks: pages[2], shadow_stacks: pages[3], nameless: known[3],
        });
        found.pools = known[2].then_some(HugePool {
            size: numbers[38], pages: pages[4], free: pages[5], reserved: pages[6], surplus: pages[7],
        }).into_iter().collect();
        found.balloon_in_total = Some(known[3]);
        found.vmstat = Vmstat::parse(format!("nr_zspages {}\nnr_memmap_pages {}\n", pages[8], pages[9]).as_bytes());
        let set = Pageset { count: pages[10], ..Pageset::default() };
        found.zones = vec![Zone { pagesets: vec![set; 2], managed: pages[11], ..Zone::default() }];
        let ledger = of(&found);
        prop_assert!(ledger.lines.iter().all(|line| line.name == UNACCOUNTED || line.bytes.is_none_or(|bytes| bytes >= 0)));
        prop_assert!(ledger.lines.iter().flat_map(|line| &line.parts).all(|part| part.bytes >= 0));
        let page_size = PageSize::new(4096).unwrap();
        let report = crate::analysis::r#where::Report::new(&found, None, page_size).unwrap();
        prop_assert!(serde_json::to_string(&report).is_ok());
    }
}
