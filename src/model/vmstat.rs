//! `/proc/vmstat`: the kernel's counters, one name and number per line. (mm/vmstat.c)

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vmstat(Vec<(String, u64)>);

impl Vmstat {
    /// Parses the file. Lines in any other form are skipped: a missing value is unknown anyway.
    pub fn parse(text: &[u8]) -> Self {
        let line = |line| {
            let (name, value) = std::str::from_utf8(line).ok()?.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Self(text.split(|&b| b == b'\n').filter_map(line).collect())
    }

    /// Whether it has no counters, which is never true for a real kernel.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A counter; `nr_*` counters of a current state are in base pages.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counters_have_names() {
        let vmstat = Vmstat::parse(b"nr_free_pages 3178416\nnr_zspages 0\nbad\nworse -1\n\xff 1\nlast 7");
        let found = ["nr_free_pages", "nr_zspages", "bad", "worse", "last"].map(|name| vmstat.get(name));
        assert_eq!(found, [Some(3_178_416), Some(0), None, None, Some(7)]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value(text in prop::collection::vec(any::<u8>(), 0..200)) {
            Vmstat::parse(&text);
        }
    }
}
