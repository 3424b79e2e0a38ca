//! What a comparison of two readings says, even about impossible numbers.

use super::*;
use crate::analysis::slab::Counts;
use crate::error::Error;
use crate::model::slabinfo::Cache;
use proptest::prelude::*;

fn row(name: &str, active_objects: u64, slabs: u64) -> Row {
    let name = Name::new(name.as_bytes());
    let cache = Cache { name: name.clone(), active_objects, objects: active_objects, slabs, ..Cache::default() };
    let held_bytes = slabs.saturating_mul(4096);
    let counts = Some(Counts { cache, size_bytes: 0, held_bytes, small_slabs: 0 });
    Row { name, aliases: None, counts, ..Row::default() }
}

fn side(caches: Vec<Row>, time: Option<&str>, boot: &str) -> Side {
    let host = Host { kernel: "6".into(), arch: "x".into(), page_size: 4096, boot_id: Some(boot.into()) };
    Side {
        time: time.map(str::to_owned),
        source: "recorded",
        host: time.map(|_| host),
        reading: Reading { caches, ..Reading::default() },
    }
}

const NOON: Option<&str> = Some("2026-01-01T12:00:00Z");

fn codes(before: &Side, after: &Side) -> (Option<f64>, Option<i64>, Vec<&'static str>) {
    let (diff, notes) = compare(before, after, None);
    let shown = notes.iter().filter(|note| !note.in_json_only && note.code != "names-unknown");
    (diff.seconds, diff.totals.unwrap().rate.bytes_per_hour, shown.map(|note| note.code).collect())
}

#[test]
fn rates_need_a_time_and_one_boot() {
    let before = side(vec![row("a", 1, 1)], NOON, "b");
    let after = |time, boot| side(vec![row("a", 1, 2)], time, boot);
    let half_past = Some("2026-01-01T13:30:00+01:00");
    for (after, seconds, rate, code) in [
        (after(half_past, "b"), Some(1800.0), Some(8192), None),
        (after(half_past, "c"), Some(1800.0), None, Some("different-boots")),
        (after(NOON, "b"), Some(0.0), None, Some("time-none")),
        (after(Some("2026-01-01T11:59:59Z"), "b"), None, None, Some("time-backwards")),
        (after(None, "b"), None, None, Some("time-unknown")),
    ] {
        assert_eq!(codes(&before, &after), (seconds, rate, code.into_iter().collect()));
    }
    let measured = compare(&before, &after(NOON, "b"), Some(Duration::from_millis(100))).0;
    assert_eq!(measured.totals.unwrap().rate.bytes_per_hour, Some(4096 * 36_000));
}

#[test]
fn caches_come_and_go() {
    let before = side(vec![row("old", 5, 1), row("both", 1, 1), row("both", 2, 1)], NOON, "b");
    let mut after = side(vec![row("both", 4, 2), row("new", 7, 3)], NOON, "b");
    let found = |after: &Side| -> Vec<_> {
        let rows = compare(&before, after, None).0.caches.into_iter();
        rows.map(|row| (row.name.escaped().into_owned(), row.new, row.gone, row.change.active_objects)).collect()
    };
    let all = [("new", true, false, 7), ("both", false, false, 1), ("old", false, true, -5)];
    assert_eq!(found(&after), all.map(|(name, new, gone, change)| (name.to_owned(), new, gone, change)));
    // A cache missing from a torn file is not gone.
    after.reading.trouble = Some(Error::Unsupported { what: "torn".to_owned() });
    assert_eq!(found(&after).len(), 2);
}

#[test]
fn the_names_are_those_that_were_seen_last() {
    let named = |aliases: Option<&[&str]>, reclaimable| {
        let mut row = row("signal_cache", 1, 1);
        row.aliases = aliases.map(|names| names.iter().map(|name| Name::new(name.as_bytes())).collect());
        row.details.reclaimable = reclaimable;
        side(vec![row], NOON, "b")
    };
    let [old, new, none] =
        [named(Some(&["a"]), Some(true)), named(Some(&["UNIX", "b"]), Some(false)), named(None, None)];
    for (before, after, names, reclaimable) in [
        (&old, &new, "signal_cache = UNIX = b", Some(false)),
        (&old, &none, "signal_cache = a", Some(true)),
        (&none, &new, "signal_cache = UNIX = b", Some(false)),
        (&none, &none, "signal_cache", None),
    ] {
        let row = &compare(before, after, None).0.caches[0];
        let found: Vec<_> = row.names().map(Name::escaped).collect();
        assert_eq!((&*found.join(" = "), row.reclaimable), (names, reclaimable));
    }
}

fn some_rows(most: u64) -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec(("[a-d]", 0..most, 0..most), 0..6)
        .prop_map(|rows| rows.iter().map(|(name, objects, slabs)| row(name, *objects, *slabs)).collect())
}

proptest! {
    #[test]
    fn there_and_back_is_nothing(old in some_rows(1 << 40), new in some_rows(1 << 40)) {
        let (old, new) = (side(old, NOON, "b"), side(new, NOON, "b"));
        let there = compare(&old, &new, Some(Duration::from_secs(7200))).0;
        let back = compare(&new, &old, None).0;
        for row in &there.caches {
            let other = back.caches.iter().find(|other| other.name == row.name);
            let other = other.ok_or_else(|| TestCaseError::fail("in one direction only"))?;
            prop_assert_eq!(row.change.bytes, -other.change.bytes);
            prop_assert_eq!(row.change.active_objects, -other.change.active_objects);
            prop_assert_eq!((row.new, row.gone), (other.gone, other.new));
            prop_assert_eq!(row.rate.bytes_per_hour, Some(row.change.bytes / 2));
        }
        let sum: i64 = there.caches.iter().map(|row| row.change.bytes).sum();
        prop_assert_eq!(sum, there.totals.as_ref().unwrap().change.bytes);
        prop_assert!(there.caches.is_sorted_by(|a, b| a.change.bytes >= b.change.bytes));
        prop_assert!(compare(&old, &old, None).0.caches.iter().all(|row| !row.is_change()));
    }

    #[test]
    fn any_numbers_give_a_value(old in some_rows(u64::MAX), new in some_rows(u64::MAX), micros in 1..u64::MAX) {
        let (old, new) = (side(old, NOON, "b"), side(new, NOON, "b"));
        compare(&old, &new, Some(Duration::from_micros(micros)));
    }
}
