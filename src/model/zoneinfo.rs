//! `/proc/zoneinfo`: the zones of every node: free pages, watermarks and location. (mm/vmstat.c)

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Result};
use crate::unit::Pfn;

/// One zone of one node. Numbers are in base pages; `None` if this kernel does not print them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Zone {
    /// Its node.
    pub node: u32,
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// Free pages in the buddy allocator, not including per-CPU lists.
    pub free: u64,
    /// The temporary boost of the watermarks after an allocation had to split a page block; the watermarks include it. (since
    /// Linux 5.10)
    pub boost: Option<u64>,
    /// The watermark below which only emergency allocations succeed.
    pub min: u64,
    /// The watermark below which kswapd is woken.
    pub low: u64,
    /// The watermark at which kswapd goes back to sleep.
    pub high: u64,
    /// The watermark for promotion from slower memory (since Linux 6.12).
    pub promo: Option<u64>,
    /// Pages spanned by the zone, holes included; 0 for a zone without memory.
    pub spanned: u64,
    /// Of these, pages that are present.
    pub present: u64,
    /// Of these, pages managed by the buddy allocator.
    pub managed: u64,
    /// Of these, pages of the contiguous memory allocator.
    pub cma: Option<u64>,
    /// The pages reserved against allocations that could use each higher zone (lowmem_reserve).
    pub protection: Vec<u64>,
    /// The zone's counters (`nr_*`, `numa_*`) with the kernel's names and order; empty for a zone without memory.
    pub counters: Vec<(String, u64)>,
    /// The node's counters with the kernel's names and order. The kernel prints them only with the first zone of the node that
    /// has memory; empty for all other zones.
    pub node_counters: Vec<(String, u64)>,
    /// The per-CPU lists of free pages; empty for a zone without memory.
    pub pagesets: Vec<Pageset>,
    /// The first frame; `None` for a zone without memory.
    pub start_pfn: Option<Pfn>,
}

/// One CPU's lists of free pages in a zone, in base pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pageset {
    /// The CPU.
    pub cpu: u32,
    /// Pages on its lists: free, but not in buddyinfo and not marked by any frame flag.
    pub count: u64,
    /// The maximum it may keep.
    pub high: u64,
    /// The number of pages moved to or from the buddy allocator at once.
    pub batch: u64,
    /// The lower bound for auto-tuning of `high` (since Linux 6.13).
    pub high_min: Option<u64>,
    /// The upper bound for auto-tuning of `high` (since Linux 6.13).
    pub high_max: Option<u64>,
}

impl Zone {
    /// The zone counter with this name.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.counters.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The node counter with this name.
    pub fn node_counter(&self, name: &str) -> Option<u64> {
        self.node_counters.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The frames spanned by the zone, holes included; zones of different nodes can overlap.
    pub fn frames(&self) -> Range<Pfn> {
        let start = self.start_pfn.unwrap_or_default();
        let spanned = self.start_pfn.map_or(0, |_| self.spanned);
        start..Pfn(start.0.saturating_add(spanned))
    }

    /// Free pages on per-CPU lists.
    pub fn per_cpu_pages(&self) -> u64 {
        self.pagesets.iter().fold(0, |sum, set| sum.saturating_add(set.count))
    }
}

/// Parses the file. Zones without memory are included; unknown lines are skipped.
///
/// # Errors
/// [`Error::Malformed`].
pub fn parse(text: &[u8], path: &Path) -> Result<Vec<Zone>> {
    let mut zones = Vec::new();
    let mut reader: Option<Reader> = None;
    for (line, number) in text.split(|&b| b == b'\n').zip(1..) {
        let wrong = |what| Error::malformed(path, number, what);
        let line = std::str::from_utf8(line).map_err(|_| wrong("not UTF-8"))?.trim();
        if line.starts_with("Node ") {
            let (node, name, _) = head(line).ok_or_else(|| wrong("expected 'Node NUMBER, zone NAME'"))?;
            zones.extend(reader.replace(Reader::new(node, name)).map(Reader::zone).transpose().map_err(wrong)?);
        } else if !line.is_empty() {
            let reader = reader.as_mut().ok_or_else(|| wrong("line before the first zone"))?;
            reader.line(line).ok_or_else(|| wrong("not a number"))?;
        }
    }
    let last = reader.map(Reader::zone).transpose();
    zones.extend(last.map_err(|what| Error::malformed(path, text.split(|&b| b == b'\n').count(), what))?);
    Ok(zones)
}

/// `Node 0, zone   Normal` and the rest: the beginning of lines here, in buddyinfo and in pagetypeinfo.
pub(super) fn head(line: &str) -> Option<(u32, &str, &str)> {
    let (node, rest) = line.strip_prefix("Node ")?.trim_start().split_once(',')?;
    let rest = rest.trim_start().strip_prefix("zone ")?.trim_start();
    let end = rest.find([' ', ',']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    is_word(name).then_some((node.parse().ok()?, name, rest))
}

/// Whether the kernel could have chosen this name: zone names are shown unescaped, and a recorded tree can contain anything.
pub(super) fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The lines of one zone.
struct Reader<'t> {
    node: u32,
    name: &'t str,
    /// Whether the counters that follow belong to the node; they are printed under its first zone.
    of_node: bool,
    numbers: Vec<(&'t str, u64)>,
    node_counters: Vec<(&'t str, u64)>,
    protection: Vec<u64>,
    pagesets: Vec<Pageset>,
    start_pfn: Option<Pfn>,
}

impl<'t> Reader<'t> {
    fn new(node: u32, name: &'t str) -> Self {
        let (numbers, node_counters, protection, pagesets) = Default::default();
        Self { node, name, of_node: false, numbers, node_counters, protection, pagesets, start_pfn: None }
    }

    /// Processes a line; `None` if a known line has no number.
    fn line(&mut self, line: &'t str) -> Option<()> {
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim_start();
        match key {
            "per-node" => self.of_node = true,
            "pages" => {
                self.of_node = false;
                self.numbers.push(("free", value.strip_prefix("free")?.trim_start().parse().ok()?));
            }
            "cpu:" => self.pagesets.push(Pageset { cpu: value.parse().ok()?, ..Pageset::default() }),
            "start_pfn:" => self.start_pfn = Some(Pfn(value.parse().ok()?)),
            "protection:" => {
                let list = value.strip_prefix('(')?.strip_suffix(')')?;
                self.protection = list.split(", ").map(|pages| pages.parse().ok()).collect::<Option<_>>()?;
            }
            _ => self.number(key, value)?,
        }
        Some(())
    }

    fn number(&mut self, key: &'t str, value: &str) -> Option<()> {
        if let (Some(key), Some(set)) = (key.strip_suffix(':'), self.pagesets.last_mut()) {
            match key {
                "count" => set.count = value.parse().ok()?,
                "high" => set.high = value.parse().ok()?,
                "batch" => set.batch = value.parse().ok()?,
                "high_min" => set.high_min = Some(value.parse().ok()?),
                "high_max" => set.high_max = Some(value.parse().ok()?),
                _ => {}
            }
        } else if self.pagesets.is_empty() && is_word(key) && !value.is_empty() {
            match self.of_node {
                // Some values are not page counts; a value that is not a number is unknown.
                true => self.node_counters.extend(value.parse().ok().map(|value| (key, value))),
                false => self.numbers.push((key, value.parse().ok()?)),
            }
        }
        Some(())
    }

    /// The finished zone.
    fn zone(self) -> std::result::Result<Zone, &'static str> {
        let find = |name| self.numbers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let need = |name| find(name).ok_or("zone without one of free, min, low, high, spanned, present, managed");
        let counter = |key: &str| key.starts_with("nr_") || key.starts_with("numa_");
        let owned = |(key, value): &(&str, u64)| ((*key).to_owned(), *value);
        Ok(Zone {
            node: self.node,
            name: self.name.to_owned(),
            free: need("free")?,
            boost: find("boost"),
            min: need("min")?,
            low: need("low")?,
            high: need("high")?,
            promo: find("promo"),
            spanned: need("spanned")?,
            present: need("present")?,
            managed: need("managed")?,
            cma: find("cma"),
            protection: self.protection,
            counters: self.numbers.iter().filter(|(key, _)| counter(key)).map(owned).collect(),
            node_counters: self.node_counters.iter().map(owned).collect(),
            pagesets: self.pagesets,
            start_pfn: self.start_pfn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINUX_6_18: &str = "\
Node 0, zone   Normal
  per-node stats
      nr_inactive_anon 1739
      nr_free_pages 9
  pages free     1029383
        boost    0
        min      9955
        low      12443
        high     14931
        promo    17419
        spanned  5505024
        present  5505024
        managed  1114112
        cma      0
        protection: (0, 3019, 7371)
      nr_free_pages 1029383
      nr_zone_inactive_anon 1739
      numa_hit     301234453
  pagesets
    cpu: 0
              count:    5354
              high:     6221
              batch:    63
              high_min: 6221
              high_max: 69632
  vm stats threshold: 28
    cpu: 1
              count:    2867
              high:     7607
              batch:    63
              high_min: 6221
              high_max: 69632
  vm stats threshold: 28
  node_unreclaimable:  0
  start_pfn:           1048576
Node 0, zone  Movable
  pages free     0
        boost    0
        min      32
        low      32
        high     32
        promo    32
        spanned  0
        present  0
        managed  0
        cma      0
        protection: (0, 0, 0)
";

    const LINUX_4_19: &str = "\
Node 1, zone    DMA32
  pages free     221720
        min      11088
        low      13860
        high     16632
        spanned  258016
        present  258016
        managed  242034
        protection: (0, 0)
      nr_free_pages 221720
  pagesets
    cpu: 0
              count: 224
              high:  378
              batch: 63
  vm stats threshold: 16
  node_unreclaimable:  0
  start_pfn:           4096
";

    fn zones(text: &str) -> Vec<Zone> {
        parse(text.as_bytes(), Path::new("zoneinfo")).unwrap()
    }

    #[test]
    fn a_zone_of_linux_6_18_is_read_whole() {
        let found = zones(LINUX_6_18);
        let zone = &found[0];
        assert_eq!((zone.node, zone.name.as_str(), zone.free), (0, "Normal", 1_029_383));
        assert_eq!((zone.boost, zone.min, zone.low, zone.high), (Some(0), 9955, 12443, 14931));
        assert_eq!((zone.promo, zone.cma), (Some(17419), Some(0)));
        assert_eq!((zone.spanned, zone.present, zone.managed), (5_505_024, 5_505_024, 1_114_112));
        assert_eq!(zone.protection, [0, 3019, 7371]);
        // Not the node's counter, which comes before it.
        assert_eq!(zone.counter("nr_free_pages"), Some(1_029_383));
        assert_eq!(zone.counter("nr_inactive_anon"), None);
        assert_eq!((zone.node_counter("nr_inactive_anon"), zone.node_counter("nr_free_pages")), (Some(1739), Some(9)));
        assert_eq!((zone.counters.len(), zone.node_counters.len(), found[1].node_counters.len()), (3, 2, 0));
        assert_eq!(zone.per_cpu_pages(), 5354 + 2867);
        assert_eq!(zone.pagesets[1].cpu, 1);
        assert_eq!((zone.pagesets[1].high, zone.pagesets[1].batch), (7607, 63));
        assert_eq!((zone.pagesets[1].high_min, zone.pagesets[1].high_max), (Some(6221), Some(69632)));
        assert_eq!(zone.frames(), Pfn(1_048_576)..Pfn(6_553_600));
    }

    #[test]
    fn a_zone_without_memory_is_a_zone() {
        let zone = &zones(LINUX_6_18)[1];
        assert_eq!((zone.name.as_str(), zone.spanned, zone.min, zone.start_pfn), ("Movable", 0, 32, None));
        assert!(zone.frames().is_empty() && zone.pagesets.is_empty() && zone.counters.is_empty());
    }

    #[test]
    fn what_an_older_kernel_does_not_print_is_not_known() {
        let zone = &zones(LINUX_4_19)[0];
        assert_eq!((zone.node, zone.boost, zone.promo, zone.cma), (1, None, None, None));
        let set = Pageset { cpu: 0, count: 224, high: 378, batch: 63, high_min: None, high_max: None };
        assert_eq!(zone.pagesets, [set]);
        assert_eq!(zone.frames(), Pfn(4096)..Pfn(4096 + 258_016));
    }

    #[test]
    fn recorded_machines_are_read() {
        for (text, promo) in [
            (&include_bytes!("../../fixtures/6.1/kinds/proc/zoneinfo")[..], false),
            (include_bytes!("../../fixtures/6.12/kinds/proc/zoneinfo"), true),
        ] {
            let zones = parse(text, Path::new("zoneinfo")).unwrap();
            assert_eq!((zones[0].name.as_str(), zones[1].name.as_str()), ("DMA", "DMA32"));
            assert_eq!(zones[0].frames(), Pfn(1)..Pfn(4096));
            assert!(zones[..2].iter().all(|zone| zone.counter("nr_free_pages") == Some(zone.free)));
            assert_eq!(zones[1].promo.is_some(), promo);
        }
    }

    #[test]
    fn what_is_no_zoneinfo_is_refused() {
        for bad in [
            "pages free 3\n",
            "Node 0, zone\n",
            "Node x, zone DMA\n",
            "Node 0, zone \x1b[2J\n",
            "Node 0, zone DMA\n  pages free 3\n",
            "Node 0, zone DMA\n  pages free -3\n",
            "Node 0, zone DMA\n  pages\n",
            &LINUX_4_19.replace("(0, 0)", "(0, x)"),
            &LINUX_4_19.replace("224", "many"),
            &LINUX_4_19.replace("4096", "99999999999999999999"),
        ] {
            assert!(matches!(parse(bad.as_bytes(), Path::new("zoneinfo")), Err(Error::Malformed { .. })), "{bad}");
        }
        assert!(parse(b"Node 0, zone DMA\n\xff\n", Path::new("zoneinfo")).is_err());
    }

    #[test]
    fn the_end_of_a_zone_and_the_sum_of_lists_do_not_overflow() {
        let text = LINUX_4_19.replace("spanned  258016", "spanned  18446744073709551615");
        let set = "    cpu: 1\n count: 18446744073709551615\n";
        let zone = &zones(&(text + set))[0];
        assert_eq!(zone.frames().end, Pfn(u64::MAX));
        assert_eq!(zone.per_cpu_pages(), u64::MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text, Path::new("zoneinfo"));
        }

        #[test]
        fn a_damaged_file_gives_a_value_or_an_error(at in 0..LINUX_6_18.len(), byte in any::<u8>()) {
            let mut text = LINUX_6_18.as_bytes().to_vec();
            text[at] = byte;
            let _ = parse(&text, Path::new("zoneinfo"));
        }
    }
}
