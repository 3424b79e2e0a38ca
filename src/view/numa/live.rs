//! The live screen of `pmem numa --top`.

use crate::analysis::numa::{Node, NodeLine, Report};
use crate::view::screen::{CHANGE, Live, OF_CHANGES, Spec, Sum, pick};
use crate::view::size::Scale;

/// The screen of the lines of all nodes.
pub(crate) enum NodeLines {}

impl Live for NodeLines {
    type Row = NodeLine;
    type Report = Report;

    const SPEC: Spec = Spec {
        command: "numa",
        rows: ["line", "lines"],
        identity: &["node", "name"],
        followed: &["bytes"],
        columns: &[
            pick('o', "node", 12),
            pick('b', "bytes", 11),
            pick('d', CHANGE, 10),
            pick('c', "source", 1),
            pick('n', "title", u8::MAX).also("name"),
        ],
        sort: 'b',
        help: &[
            "SIZE: the lines of a node add up to its MemTotal.",
            OF_CHANGES,
            "Growing (g): the size is larger than a minute ago.",
            "Bars: a line's size, scaled from minimum to maximum; flat: no change.",
        ],
    };

    fn total(report: &Report) -> Option<(&'static str, i64)> {
        Some(("available", i64::try_from(report.machine_available_bytes?).unwrap_or(i64::MAX)))
    }

    fn sums(report: &Report, scale: &Scale, _is_whole: bool) -> Vec<Sum> {
        let available = |node: &Node| {
            Some(Sum::new(5, format!("node {}: {} available", node.node, scale.sized(node.available_bytes?))))
        };
        report.nodes.iter().filter_map(available).collect()
    }
}
