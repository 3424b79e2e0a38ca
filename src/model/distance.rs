//! `nodeN/distance` below `/sys/devices/system/node`: the distance from a node to every node. (drivers/base/node.c)

/// Parses the file: one number per online node, in ascending order; `None` if it is not such a list. 10 is the node itself, 255
/// an unreachable node.
pub fn parse(text: &[u8]) -> Option<Vec<u32>> {
    let text = std::str::from_utf8(text).ok()?;
    let distances: Vec<u32> = text.split_ascii_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    (1..=MOST_NODES).contains(&distances.len()).then_some(distances)
}

/// CONFIG_NODES_SHIFT is at most 10.
const MOST_NODES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_for_each_node() {
        assert_eq!(parse(b"10 21 31\n"), Some(vec![10, 21, 31]));
        for bad in [&b""[..], b"\n", b"10 x", b"-1", b"10,20", b"99999999999", b"\xff"] {
            assert_eq!(parse(bad), None);
        }
        assert_eq!(parse("10 ".repeat(MOST_NODES + 1).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value(text in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&text);
        }
    }
}
