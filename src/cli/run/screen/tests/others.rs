//! The screens of commands other than `slab`.

use std::path::Path;
use std::time::Duration;

use super::{assert_screen, keys, scale};
use crate::view::screen::{Columns, Feed, Live, State};
use crate::view::slab::live::Caches;

/// A screen of a recorded machine's memory, as it would be if it were read twice.
fn of_tree<L: Live<Row: Clone>>(
    size: (u16, u16),
    fields: impl Fn() -> Vec<crate::view::field::Field<L::Row>>,
    read: impl Fn(u64) -> (Vec<L::Row>, L::Report),
) -> State {
    let feed = Feed::<L>::new(fields());
    let columns = Columns::new(&L::SPEC, &fields(), None, None);
    let mut state = State::new(L::SPEC, columns, Duration::from_secs(1), scale(), size);
    for second in 0..=75 {
        let (rows, report) = read(second);
        let clock = format!("22:{:02}:{:02}", 40 + second / 60, second % 60);
        state.add(feed.shot(rows, report, scale().page_size.bytes()), None, Duration::from_secs(second), clock);
    }
    state
}

fn root() -> crate::kernel::root::Root {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/6.12/machine");
    crate::kernel::root::Root::open(&tree).unwrap()
}

#[test]
fn screens_of_zones_are_as_recorded() {
    use crate::analysis::physical::buddy::{Machine, orders};
    use crate::view::buddy::{fields, live::Zones};
    let machine = Machine::read(&root()).unwrap();
    for size in [(60, 10), (80, 24), (200, 60)] {
        let mut state = of_tree::<Zones>(
            size,
            || fields(orders(&root()).unwrap(), true),
            |second| {
                let mut report = machine.report(None, None);
                report.zones[0].free_bytes -= second * 4096;
                (report.zones.clone(), report)
            },
        );
        let name = |what: &str| format!("buddy-{}x{}-{what}.txt", size.0, size.1);
        assert_screen(&name("start"), &state);
        keys(&mut state, "f\n");
        assert_screen(&name("detail"), &state);
        keys(&mut state, "\x1b?");
        assert_screen(&name("help"), &state);
    }
}

#[test]
fn screens_of_lines_are_as_recorded() {
    use crate::analysis::r#where::Report;
    use crate::kernel::r#where::Sources;
    use crate::view::r#where::{fields, live::Lines};
    let root = root();
    let sources = Sources::read(&root).unwrap();
    for size in [(60, 10), (80, 24), (200, 60)] {
        let mut state = of_tree::<Lines>(
            size,
            || fields(true, false),
            |second| {
                let mut report = Report::new(&sources, None, root.page_size()).unwrap();
                if let Some(bytes) = &mut report.lines[0].line.bytes {
                    *bytes += second as i64 * 4096;
                }
                (report.lines.clone(), report)
            },
        );
        let name = |what: &str| format!("where-{}x{}-{what}.txt", size.0, size.1);
        assert_screen(&name("start"), &state);
        keys(&mut state, "d\n");
        assert_screen(&name("detail"), &state);
        keys(&mut state, "\x1b?");
        assert_screen(&name("help"), &state);
    }
}

/// The keys of a screen.
fn letters<L: Live>() -> Vec<char> {
    let mut letters = Vec::new();
    for pick in L::SPEC.columns {
        letters.push(pick.key());
    }
    letters
}

#[test]
fn no_key_has_two_meanings() {
    use crate::view::{buddy::live::Zones, frames::live::Tasks, numa::live::NodeLines, r#where::live::Lines};
    for (command, letters) in [
        ("slab", letters::<Caches>()),
        ("where", letters::<Lines>()),
        ("buddy", letters::<Zones>()),
        ("frames", letters::<Tasks>()),
        ("numa", letters::<NodeLines>()),
    ] {
        let mut keys: Vec<char> = letters.into_iter().chain("qjkhger".chars()).collect();
        keys.sort_unstable();
        let twice: Vec<_> = keys.windows(2).filter(|two| two[0] == two[1]).collect();
        assert!(twice.is_empty(), "{command}: {twice:?}");
    }
}

#[test]
fn columns_can_be_added_and_named() {
    use crate::view::r#where::{fields, live::Lines};
    let columns = |named: Option<(&[&str], bool)>, sort| -> Vec<String> {
        let columns = Columns::new(&Lines::SPEC, &fields(true, false), named, sort);
        columns.all().iter().map(|column| column.names[0].clone()).collect()
    };
    let all = ["bytes", "share_percent", "change", "since_start_bytes", "source", "title"];
    assert_eq!(columns(None, None), all);
    assert_eq!(columns(Some((&["source", "bytes"], false)), None), ["source", "bytes"]);
    let with_note = [&all[..5], &["note", "title"]].concat();
    assert_eq!(columns(Some((&["note"], true)), None), with_note);
    // The column sorted by is shown; a key stands for an existing column.
    assert_eq!(columns(None, Some("-note")), with_note);
    assert_eq!(columns(None, Some("-b")), all);
}
