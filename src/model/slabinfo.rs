//! `/proc/slabinfo`: the caches of the slab allocator. (mm/slab_common.c, and mm/slab.c up to Linux 6.7)

use crate::name::Name;
use crate::unit::{PageSize, decimal};

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slabinfo {
    /// The caches, in the order of the file: newest first.
    pub caches: Vec<Cache>,
    /// The number, from one, of the first line that could not be parsed or that claims more memory than a machine can have: the
    /// file is truncated or not the kernel's. The other lines are in `caches`; sums over them fit into 64 bits.
    pub broken_line: Option<usize>,
}

/// One cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// Its name; for merged caches, the name of the first.
    pub name: Name,
    /// Objects in use: with SLUB an upper bound, because free objects in per-CPU slabs count as used.
    pub active_objects: u64,
    /// Objects, used and free.
    pub objects: u64,
    /// The size of an object including metadata and padding, in bytes.
    pub object_size: u64,
    /// Objects in a slab of the cache's preferred order.
    pub objects_per_slab: u64,
    /// Base pages in a slab of the cache's preferred order.
    pub pages_per_slab: u64,
    /// Slabs with objects in use; with SLUB, all slabs.
    pub active_slabs: u64,
    /// Slabs.
    pub slabs: u64,
    /// Objects on the list shared by CPUs; 0 with SLUB.
    pub shared_available: u64,
    /// Limits on cached objects; all 0 with SLUB.
    pub tunables: Tunables,
    /// The values of [`STATISTICS`], on kernels that keep them (SLAB with CONFIG_DEBUG_SLAB, up to Linux 6.7).
    pub statistics: Option<Box<[u64; STATISTICS.len()]>>,
}

/// Tunables of the SLAB allocator, which can be written to the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunables {
    /// The maximum number of objects cached per CPU.
    pub limit: u64,
    /// Objects moved to or from a CPU's cache at once.
    pub batch_count: u64,
    /// The capacity of the list shared by CPUs, as a multiple of the batch.
    pub shared_factor: u64,
}

/// The names of the statistics: nine of `globalstat` and four of `cpustat`, as in the file's header.
pub const STATISTICS: [&str; 13] = [
    "listallocs",
    "maxobjs",
    "grown",
    "reaped",
    "error",
    "maxfreeable",
    "nodeallocs",
    "remotefrees",
    "alienoverflow",
    "allochit",
    "allocmiss",
    "freehit",
    "freemiss",
];

/// More memory than any machine has, in bytes: physical addresses have 52 bits on x86-64 and arm64, 56 on RISC-V.
const TOO_MUCH: u64 = 1 << 56;

/// Pages held by slabs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Base pages.
    pub pages: u64,
    /// Slabs allocated at the minimum order because no block of the preferred order was free.
    pub small_slabs: u64,
}

impl Cache {
    /// The pages of its slabs if all of them had the preferred order: `slabtop` shows this as the cache size.
    pub fn pages(&self) -> u64 {
        self.slabs.saturating_mul(self.pages_per_slab)
    }

    /// The pages its slabs actually hold.
    ///
    /// If SLUB gets no block of the preferred order, it allocates a slab of the minimum order that holds an object
    /// (`allocate_slab` in mm/slub.c). Such a slab has fewer objects, and the number of such slabs follows from the number of
    /// missing objects. Otherwise (SLAB, or a changed order) all slabs are assumed to have the preferred order.
    pub fn held(&self, page_size: PageSize) -> Held {
        let all = Held { pages: self.pages(), small_slabs: 0 };
        let lacking = self.slabs.saturating_mul(self.objects_per_slab).saturating_sub(self.objects);
        if lacking == 0 || self.object_size == 0 {
            return all;
        }
        let least = self.object_size.div_ceil(page_size.bytes()).checked_next_power_of_two().unwrap_or(u64::MAX);
        let objects = page_size.bytes_of(least) / self.object_size;
        let fewer = self.objects_per_slab.saturating_sub(objects);
        if fewer == 0 || least >= self.pages_per_slab || !lacking.is_multiple_of(fewer) || lacking / fewer > self.slabs
        {
            return all;
        }
        let small_slabs = lacking / fewer;
        let saved = small_slabs.saturating_mul(self.pages_per_slab - least);
        Held { pages: all.pages.saturating_sub(saved), small_slabs }
    }

    /// Objects in use as a percentage of all objects, rounded down as in `slabtop`; 0 if there are none.
    pub fn use_percent(&self) -> u64 {
        let percent = u128::from(self.active_objects) * 100 / u128::from(self.objects.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// The memory the cache claims to have, in bytes, with the smallest page size and objects of at least one byte: the sum
    /// over all caches must stay below [`TOO_MUCH`].
    fn claim(&self) -> u64 {
        let objects = self.objects.max(self.active_objects).saturating_mul(self.object_size.max(1));
        let slabs = self.slabs.max(self.active_slabs).saturating_mul(self.pages_per_slab.max(1));
        objects.max(slabs.saturating_mul(4096))
    }
}

/// Parses versions 2.0 and 2.1, with or without statistics. `None` if it is neither.
pub fn parse(text: &[u8]) -> Option<Slabinfo> {
    let mut lines = text.split_inclusive(|&b| b == b'\n').zip(1..);
    let (version, _) = lines.next()?;
    let version = version.strip_prefix(b"slabinfo - version: ")?;
    // The default order of the tunables, if there is no header.
    let mut order = if version.starts_with(b"2.0") {
        ["batchcount", "limit", "sharedfactor"]
    } else if version.starts_with(b"2.1") {
        ["limit", "batchcount", "sharedfactor"]
    } else {
        return None;
    };
    let mut found = Slabinfo::default();
    let mut claimed: u64 = 0;
    for (line, number) in lines {
        if line.starts_with(b"#") {
            order = std::str::from_utf8(line).ok().and_then(tunables_of_header).unwrap_or(order);
            continue;
        }
        // On an unterminated line, the last number may lack digits.
        let cache = line.strip_suffix(b"\n").and_then(|line| cache(line, order));
        match cache.map(|cache| (claimed.saturating_add(cache.claim()), cache)) {
            Some((all, cache)) if all < TOO_MUCH => {
                claimed = all;
                found.caches.push(cache);
            }
            _ => found.broken_line = found.broken_line.or(Some(number)),
        }
    }
    Some(found)
}

/// The three names after `: tunables` in the header.
fn tunables_of_header(header: &str) -> Option<[&'static str; 3]> {
    let (_, rest) = header.split_once(": tunables")?;
    let mut names = rest.split_ascii_whitespace().map_while(|word| {
        let word = word.strip_prefix('<')?.strip_suffix('>')?;
        ["limit", "batchcount", "sharedfactor"].into_iter().find(|name| *name == word)
    });
    Some([names.next()?, names.next()?, names.next()?])
}

/// `name active num objsize objperslab pagesperslab : tunables a b c : slabdata active num shared`, and the statistics.
fn cache(line: &[u8], order: [&str; 3]) -> Option<Cache> {
    const TUNABLES: &[u8] = b" : tunables ";
    let middle = line.windows(TUNABLES.len()).position(|part| part == TUNABLES)?;
    // Only the name may contain arbitrary bytes.
    let (counts, rest) = (&line[..middle], std::str::from_utf8(&line[middle + TUNABLES.len()..]).ok()?);
    let mut parts = rest.split(" : ");
    let tunables: [u64; 3] = numbers(parts.next()?)?;
    let [active_slabs, slabs, shared_available] = numbers(parts.next()?.strip_prefix("slabdata ")?)?;
    let statistics = match (parts.next(), parts.next()) {
        (None, _) => None,
        (Some(global), Some(cpu)) => Some(statistics(global, cpu)?),
        (Some(_), None) => return None,
    };
    // From the right, because a name may contain spaces.
    let mut counts = counts.trim_ascii_end();
    let mut last = || {
        let blank = counts.iter().rposition(|&byte| byte == b' ')?;
        let number = std::str::from_utf8(&counts[blank + 1..]).ok()?;
        counts = counts[..blank].trim_ascii_end();
        decimal(number)
    };
    let (pages_per_slab, objects_per_slab, object_size) = (last()?, last()?, last()?);
    let (objects, active_objects) = (last()?, last()?);
    let tunable = |name| order.iter().position(|of| *of == name).map(|place| tunables[place]);
    Some(Cache {
        name: (!counts.is_empty()).then(|| Name::new(counts))?,
        active_objects,
        objects,
        object_size,
        objects_per_slab,
        pages_per_slab,
        active_slabs,
        slabs,
        shared_available,
        tunables: Tunables {
            limit: tunable("limit")?,
            batch_count: tunable("batchcount")?,
            shared_factor: tunable("sharedfactor")?,
        },
        statistics,
    })
}

/// `globalstat` with its nine numbers and `cpustat` with its four.
fn statistics(global: &str, cpu: &str) -> Option<Box<[u64; STATISTICS.len()]>> {
    let global: [u64; 9] = numbers(global.strip_prefix("globalstat ")?)?;
    let cpu: [u64; 4] = numbers(cpu.strip_prefix("cpustat ")?)?;
    let mut all = Box::new([0; STATISTICS.len()]);
    all[..9].copy_from_slice(&global);
    all[9..].copy_from_slice(&cpu);
    Some(all)
}

/// Exactly `N` numbers.
fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let mut words = text.split_ascii_whitespace();
    let mut found = [0; N];
    for number in &mut found {
        *number = decimal(words.next()?)?;
    }
    words.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "slabinfo - version: 2.1\n\
        # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata …\n";
    const EXT4: &str =
        "ext4_inode_cache   81102  81102   1128   14    4 : tunables    0    0    0 : slabdata   5793   5793      0\n";

    fn page_size() -> PageSize {
        PageSize::new(4096).unwrap()
    }

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let found = parse(format!("{HEAD}{EXT4}").as_bytes()).unwrap();
        let expected = Cache {
            name: Name::new(b"ext4_inode_cache"),
            active_objects: 81102,
            objects: 81102,
            object_size: 1128,
            objects_per_slab: 14,
            pages_per_slab: 4,
            active_slabs: 5793,
            slabs: 5793,
            ..Cache::default()
        };
        assert_eq!(found, Slabinfo { caches: vec![expected], broken_line: None });
        assert_eq!((found.caches[0].pages(), found.caches[0].use_percent()), (23172, 100));
    }

    #[test]
    fn names_may_be_long_or_have_blanks() {
        let names = ["a_name_that_is_longer_than_its_column", "two words", "kmalloc-8"];
        let lines: String = names.iter().map(|name| EXT4.replace("ext4_inode_cache", name)).collect();
        let found = parse(format!("{HEAD}{lines}").as_bytes()).unwrap();
        assert_eq!(found.caches.iter().map(|c| c.name.escaped()).collect::<Vec<_>>(), names);
    }

    #[test]
    fn names_may_be_any_bytes_and_the_rest_may_not() {
        for name in [&b"\xff\xfe"[..], b"a\x9bb", b"\xe2\x82"] {
            let line = [name, EXT4.strip_prefix("ext4_inode_cache").unwrap().as_bytes()].concat();
            let found = parse(&[HEAD.as_bytes(), &line].concat()).unwrap();
            assert_eq!((found.caches[0].name.bytes(), found.broken_line), (name, None));
        }
        let line = [b"a 1 2 64 64 1 : tunables 0 0 0 : slabdata 1 1 \xff\n"];
        assert_eq!(parse(&[HEAD.as_bytes(), line[0]].concat()).unwrap().broken_line, Some(3));
    }

    #[test]
    fn more_than_a_machine_can_have_is_no_line_of_the_kernel() {
        let all = |lines: &[String]| {
            let found = parse(format!("{HEAD}{}", lines.concat()).as_bytes()).unwrap();
            (found.caches.len(), found.broken_line)
        };
        let line = |objects: u64, size: u64, pages: u64, slabs: u64| {
            format!("a {objects} {objects} {size} 1 {pages} : tunables 0 0 0 : slabdata {slabs} {slabs} 0\n")
        };
        let fits = line(1 << 30, 1 << 20, 512, 1 << 20);
        for wrong in
            [line(u64::MAX, 0, 1, 1), line(1, 1, 0, u64::MAX), line(1 << 40, 1 << 40, 1, 1), line(1, 1, 1 << 63, 2)]
        {
            assert_eq!(all(&[fits.clone(), wrong.clone(), fits.clone()]), (2, Some(4)), "{wrong}");
        }
        // One alone does, all together do not.
        let half = line(1 << 35, 1 << 20, 1, 1);
        assert_eq!(all(&[half.clone(), half]), (1, Some(4)));
    }

    #[test]
    fn tunables_stand_in_the_order_of_the_header_or_of_the_version() {
        let line = "a 1 2 64 64 1 : tunables 120 60 8 : slabdata 1 1 5\n";
        let of = |text: String| {
            let cache = parse(text.as_bytes()).unwrap().caches.remove(0);
            (cache.tunables.limit, cache.tunables.batch_count, cache.tunables.shared_factor, cache.shared_available)
        };
        assert_eq!(of(format!("slabinfo - version: 2.1\n{line}")), (120, 60, 8, 5));
        assert_eq!(of(format!("slabinfo - version: 2.0\n{line}")), (60, 120, 8, 5));
        let header = "# name : tunables <sharedfactor> <limit> <batchcount> : slabdata\n";
        assert_eq!(of(format!("slabinfo - version: 2.0\n{header}{line}")), (60, 8, 120, 5));
    }

    #[test]
    fn statistics_are_kept() {
        let line = format!("{} : globalstat 1 2 3 4 5 6 7 8 9 : cpustat 10 11 12 13\n", EXT4.trim_end());
        let found = parse(format!("slabinfo - version: 2.1 (statistics)\n{line}").as_bytes()).unwrap();
        assert_eq!(found.caches[0].statistics, Some(Box::new([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])));
    }

    #[test]
    fn what_is_no_line_is_told_and_the_others_are_kept() {
        let good = "a 1 2 64 64 1 : tunables 0 0 0 : slabdata 1 1 0\n";
        for bad in [
            "a 1 2 3\n",
            "a 1 2 3 4 5 : tunables 0 0 0 : slabdata 1\n",
            "a 1 2 3 4 x : tunables 0 0 0 : slabdata 1 2 3\n",
            "a 1 2 3 4 +5 : tunables 0 0 0 : slabdata 1 2 3\n",
            "1 2 3 4 5 : tunables 0 0 0 : slabdata 1 2 3\n",
            "a 1 2 3 4 5 : tunables 0 0 0 : slabdata 1 2 3 : globalstat 1\n",
            "\n",
        ] {
            let found = parse(format!("{HEAD}{bad}{good}").as_bytes()).unwrap();
            assert_eq!((found.caches.len(), found.broken_line), (1, Some(3)), "{bad:?}");
        }
        assert_eq!(parse(format!("{HEAD}{good}{}", good.trim_end()).as_bytes()).unwrap().broken_line, Some(4));
        assert_eq!(parse(b"slabinfo - version: 1.1\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn slabs_of_the_least_order_hold_fewer_pages() {
        // Seen on Linux 6.18: `order` 2 with 14 objects of 1128 bytes, 3 in a single page.
        let cache = |slabs, objects| Cache {
            objects,
            object_size: 1128,
            objects_per_slab: 14,
            pages_per_slab: 4,
            slabs,
            ..Cache::default()
        };
        let held = |cache: Cache| (cache.held(page_size()).pages, cache.held(page_size()).small_slabs);
        assert_eq!(held(cache(10, 140)), (40, 0));
        assert_eq!(held(cache(10, 140 - 2 * 11)), (34, 2));
        assert_eq!(held(cache(10, 30)), (10, 10));
        // No number of small slabs makes this.
        assert_eq!(held(cache(10, 139)), (40, 0));
        assert_eq!(held(cache(10, 0)), (40, 0));
        assert_eq!(held(cache(u64::MAX, 1)), (u64::MAX, 0));
    }

    #[test]
    fn use_is_cut_off_as_slabtop_does() {
        let of = |active_objects, objects| Cache { active_objects, objects, ..Cache::default() }.use_percent();
        assert_eq!([of(0, 0), of(999, 1000), of(1, 3), of(u64::MAX, u64::MAX)], [0, 99, 33, 100]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value(line in "[a-z0-9 :]{0,60}", end in "\n?", numbers in any::<[u64; 6]>()) {
            parse(format!("{HEAD}{line} : tunables {line} : slabdata {line}{end}").as_bytes());
            let [objects, object_size, objects_per_slab, pages_per_slab, slabs, active_objects] = numbers;
            let cache = Cache { active_objects, objects, object_size, objects_per_slab, pages_per_slab, slabs, ..Cache::default() };
            let _ = (cache.held(page_size()), cache.use_percent());
        }
    }
}
