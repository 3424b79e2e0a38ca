//! `nodeN/meminfo` below `/sys/devices/system/node`: meminfo of one node, each line prefixed with the node.
//! (drivers/base/node.c)

use super::meminfo::Meminfo;

/// Parses the file of this node. Lines in any other form, or of another node, are skipped.
///
/// Its keys are those of `/proc/meminfo` except for counters that are not per node (`MemAvailable`, `Buffers`, `Cached`,
/// `Percpu`, `Vmalloc…`, `Hugetlb`, …). `FilePages` is the sum of `Cached`, `Buffers` and `SwapCached`, and `HugePages_*` count
/// pages of the default size.
pub fn parse(text: &[u8], node: u32) -> Meminfo {
    let prefix = format!("Node {node} ");
    let mut own = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(prefix.as_bytes())) {
        own.extend_from_slice(line);
    }
    Meminfo::parse(&own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lines_of_the_node_are_read() {
        let text =
            b"Node 1 MemTotal:         393216 kB\nNode 1 Active(anon):     12 kB\nNode 1 HugePages_Total:     8\n\
                     Node 2 MemFree:   7 kB\nMemUsed:  3 kB\nNode 1 Shmem\n";
        let meminfo = parse(text, 1);
        assert_eq!(meminfo.bytes("MemTotal"), Some(393_216 << 10));
        assert_eq!((meminfo.bytes("Active(anon)"), meminfo.count("HugePages_Total")), (Some(12 << 10), Some(8)));
        assert_eq!(meminfo.keys().count(), 3);
        assert_eq!(parse(text, 2).bytes("MemFree"), Some(7 << 10));
        assert_eq!(parse(text, 11).keys().count(), 0);
    }

    #[test]
    fn a_count_whose_line_was_cut_is_not_known() {
        assert_eq!(parse(b"Node 0 HugePages_Total:  1", 0).count("HugePages_Total"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value(text in prop::collection::vec(any::<u8>(), 0..200), node in any::<u32>()) {
            parse(&text, node);
        }
    }
}
