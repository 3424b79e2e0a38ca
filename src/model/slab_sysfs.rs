//! Files below `/sys/kernel/slab/NAME`. (mm/slub.c)

use crate::unit::decimal;

/// A count with its parts: `42 N0=40 N1=2`, the format of `objects`, `slabs`, `partial` and `cpu_slabs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The total.
    pub total: u64,
    /// By NUMA node, on kernels with NUMA.
    pub nodes: Vec<(u32, u64)>,
}

/// Parses a count; `None` if it is not one.
pub fn count(text: &str) -> Option<Count> {
    let mut words = text.split_ascii_whitespace();
    let total = decimal(words.next()?)?;
    let node = |word: &str| {
        let (node, count) = word.strip_prefix('N')?.split_once('=')?;
        Some((u32::try_from(decimal(node)?).ok()?, decimal(count)?))
    };
    Some(Count { total, nodes: words.map(node).collect::<Option<_>>()? })
}

/// The slabs on per-CPU partial lists: 5 in `52(5) C0=31(3) C1=21(2)` of `slabs_cpu_partial`.
pub fn cpu_partial_slabs(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once('(')?;
    decimal(rest.split_once(')')?.0)
}

/// The counters of `/proc/sys/fs/dentry-state`. (fs/dcache.c)
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DentryState {
    /// All dentries. The counters are summed over CPUs without a lock; `None` if the sum was negative at that moment.
    pub total: Option<u64>,
    /// Unused dentries, which can be reclaimed.
    pub unused: Option<u64>,
    /// Negative dentries among the unused: names that do not exist; `None` on kernels that do not count them (before Linux 5.0,
    /// which print 0).
    pub negative: Option<u64>,
}

/// Parses `dentry-state`; `None` if it has another form.
pub fn dentry_state(text: &str) -> Option<DentryState> {
    let number = |word: &str| match word.strip_prefix('-') {
        Some(digits) => decimal(digits).map(|_| None),
        None => decimal(word).map(Some),
    };
    let numbers: Vec<Option<u64>> = text.split_ascii_whitespace().map(number).collect::<Option<_>>()?;
    let [total, unused, _age_limit, _want_pages, negative, _dummy] = numbers[..] else { return None };
    Some(DentryState { total, unused, negative: negative.filter(|&negative| negative > 0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_have_their_nodes() {
        let of = |total, nodes: &[(u32, u64)]| Some(Count { total, nodes: nodes.to_vec() });
        assert_eq!(count("574362 N0=574362\n"), of(574_362, &[(0, 574_362)]));
        assert_eq!(count("42 N0=40 N10=2"), of(42, &[(0, 40), (10, 2)]));
        assert_eq!(count("0\n"), of(0, &[]));
        for wrong in ["", "x", "1 N0", "1 C0=1", "1 N0=-1", "1 N4294967296=1"] {
            assert_eq!(count(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn slabs_of_processors_stand_in_brackets() {
        assert_eq!(cpu_partial_slabs("52(5) C1=52(5)\n"), Some(5));
        assert_eq!(cpu_partial_slabs("0(0)\n"), Some(0));
        for wrong in ["", "52", "52(", "52(x)"] {
            assert_eq!(cpu_partial_slabs(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn dentries_are_counted() {
        let of = |total, unused, negative| Some(DentryState { total, unused, negative });
        assert_eq!(dentry_state("673615\t661325\t45\t0\t128994\t0\n"), of(Some(673_615), Some(661_325), Some(128_994)));
        assert_eq!(dentry_state("12\t-3\t45\t0\t0\t0\n"), of(Some(12), None, None));
        assert_eq!(dentry_state("-5\t0\t45\t0\t-1\t0\n"), of(None, Some(0), None));
        for wrong in ["", "1 2 3 4 5", "1 2 3 4 5 x", "1 2 3 4 5 6 7"] {
            assert_eq!(dentry_state(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_value(text in "[0-9NC=() ]{0,40}") {
            let _ = (count(&text), cpu_partial_slabs(&text), dentry_state(&text));
        }
    }
}
