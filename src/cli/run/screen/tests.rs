//! The live screen without a terminal: keys in, text out.

mod others;

use std::path::Path;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use snapbox::{Assert, Data};

use super::super::keys::{After, press};
use crate::analysis::series::Tracked;
use crate::analysis::slab::{Counts, Details, Reading, Reconcile, Report, Row, totals};
use crate::error::Error;
use crate::model::slabinfo::Cache;
use crate::name::Name;
use crate::unit::PageSize;
use crate::view::screen::{Columns, Feed, Filter, Live, Pane, Shown, Sort, State, draw};
use crate::view::size::{Scale, Unit};
use crate::view::slab::live::Caches;
use crate::view::style::Palette;

fn scale() -> Scale {
    Scale { unit: Unit::Human, page_size: PageSize::new(4096).unwrap() }
}

/// A cache: its names, the size of an object, objects in a slab, pages of a slab, slabs, objects in use.
type Made<'a> = (&'a str, [u64; 5]);

fn row(&(names, [object_size, objects_per_slab, pages_per_slab, slabs, active_objects]): &Made<'_>) -> Row {
    let mut names = names.split(" = ").map(|name| Name::new(name.as_bytes()));
    let name = names.next().unwrap();
    let cache = Cache {
        name: name.clone(),
        active_objects,
        objects: slabs * objects_per_slab,
        object_size,
        objects_per_slab,
        pages_per_slab,
        active_slabs: slabs,
        slabs,
        ..Cache::default()
    };
    Row { name, aliases: Some(names.collect()), counts: Some(Counts::of(cache, scale().page_size)), ..Row::default() }
}

fn reading(caches: &[Made<'_>]) -> Reading {
    let caches: Vec<Row> = caches.iter().map(row).collect();
    let held = caches.iter().map(|row| row.counts.as_ref().unwrap().held_bytes).fold(0, u64::saturating_add);
    let kmalloc = 6 << 20;
    let reconcile = Reconcile {
        slabinfo_bytes: Some(held),
        held_bytes: Some(held),
        meminfo_slab_bytes: Some(held.saturating_add(kmalloc)),
        meminfo_reclaimable_bytes: Some(held / 4 * 3),
        meminfo_unreclaimable_bytes: Some(held / 4 + kmalloc),
        held_difference_bytes: Some(-(kmalloc as i64)),
        ..Reconcile::default()
    };
    Reading { totals: Some(totals(&caches)), reconcile: Some(reconcile), caches, ..Reading::default() }
}

/// The caches at some second.
fn caches(second: u64) -> Vec<Made<'static>> {
    vec![
        ("AF_VSOCK", [1280, 12, 4, 2, 24]),
        ("ext4_inode_cache", [1128, 14, 4, 5793, 81_102]),
        ("dentry", [192, 21, 1, 2900 + 5 * second, 60_900 + 100 * second]),
        ("signal_cache = UNIX = UNIX-STREAM", [1088, 14, 4, 19, 165]),
        ("kmalloc-1k", [1024, 8, 2, 96 - second.min(40), 400]),
        ("kmalloc-512", [512, 8, 1, 500 + second % 7, 3900]),
        ("mnt_cache = posix_timers_cache", [384, 21, 2, 141, 2961]),
        ("xfs_icr = ip6-frags = nf-frags", [184, 22, 1, 0, 0]),
        ("esc\u{1b}[31m", [64, 64, 1, 3, 100]),
        ("task_struct", [5952, 5, 8, 29, 140]),
        ("kvm_vcpu", [51_487, 1, 16, 0, 0]),
        ("vm_area_struct", [184, 22, 1, 800 + second / 10, 17_000]),
    ]
}

/// A screen of caches without readings.
fn new(size: (u16, u16)) -> State {
    let columns = Columns::new(&Caches::SPEC, &crate::view::slab::fields(true), None, None);
    State::new(Caches::SPEC, columns, Duration::from_secs(1), scale(), size)
}

fn feed() -> Feed<Caches> {
    Feed::new(crate::view::slab::fields(true))
}

/// A screen after this many seconds.
fn screen(size: (u16, u16), seconds: u64) -> State {
    let mut state = new(size);
    for second in 0..=seconds {
        add(&mut state, second, reading(&caches(second)));
    }
    state
}

fn add(state: &mut State, second: u64, mut reading: Reading) {
    let trouble = reading.trouble.take().map(|error| error.to_string());
    if reading.totals.is_none() {
        return state.failed(trouble.unwrap());
    }
    let report = Report::new(reading, scale().page_size, |_| true);
    let shot = feed().shot(report.caches.clone(), report, scale().page_size.bytes());
    state.add(shot, trouble, Duration::from_secs(second), format!("22:{:02}:{:02}", 40 + second / 60, second % 60));
}

/// The name of the selected row.
fn selected(state: &State) -> String {
    state.name(state.selected().unwrap())
}

/// The name of the field that rows are sorted by.
fn sorted_by(state: &State) -> &str {
    &state.columns().all()[state.sort.column()].names[0]
}

/// Presses keys: `\n` is Enter, `\x1b` Escape, the arrows themselves.
fn keys(state: &mut State, keys: &str) {
    for key in keys.chars() {
        assert_eq!(press(state, code(key).into()), After::Draw, "{key:?}");
    }
}

fn code(key: char) -> KeyCode {
    match key {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        '\x7f' => KeyCode::Backspace,
        '↑' => KeyCode::Up,
        '↓' => KeyCode::Down,
        '⇑' => KeyCode::PageUp,
        '⇓' => KeyCode::PageDown,
        '⇱' => KeyCode::Home,
        '⇲' => KeyCode::End,
        key => KeyCode::Char(key),
    }
}

fn drawn(state: &State, palette: Palette) -> Terminal<TestBackend> {
    let (width, height) = state.size();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, palette)).unwrap();
    terminal
}

/// The screen as text.
fn text(state: &State) -> String {
    let terminal = drawn(state, Palette::default());
    let buffer = terminal.backend().buffer();
    let line = |cells: &[ratatui::buffer::Cell]| -> String {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    };
    buffer.content().chunks(usize::from(buffer.area.width).max(1)).map(line).collect()
}

/// The screen is as in the file of this name. `SNAPSHOTS=overwrite` rewrites it.
#[track_caller]
fn assert_screen(name: &str, state: &State) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/run/screen/screens").join(name);
    let expected = Data::read_from(&file, None).raw();
    Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(Data::text(text(state)).raw(), expected);
}

/// The names of the visible rows, the selected one in brackets.
fn names(state: &State) -> String {
    let name = |(row, selected): (&Tracked<Shown>, bool)| {
        let name = state.name(row);
        if selected { format!("[{name}]") } else { name }
    };
    state.rows_in_sight().map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn screens_of_every_size_are_as_recorded() {
    for (width, height) in [(60, 10), (80, 24), (200, 60)] {
        let name = |what: &str| format!("{width}x{height}-{what}.txt");
        let mut state = screen((width, height), 75);
        assert_screen(&name("start"), &state);
        keys(&mut state, "d↓↓");
        assert_screen(&name("sorted"), &state);
        keys(&mut state, "c/kmalloc-\n ");
        add(&mut state, 76, reading(&caches(200)));
        assert_screen(&name("filtered-frozen"), &state);
        keys(&mut state, " \x1b⇱\n");
        let (id, row) = (state.selected().unwrap().id, feed().row(&state.selected().unwrap().row).unwrap().clone());
        let details = Details {
            reclaimable: Some(true),
            partial_slabs: Some(1234),
            cpu_slabs: Some(20),
            cpu_partial_slabs: Some(18),
            nodes: Some(vec![(0, 5000), (1, 793)]),
        };
        state.details = Some((id, feed().line(Row { details, ..row })));
        assert_screen(&name("detail"), &state);
        keys(&mut state, "\x1b?");
        assert_screen(&name("help"), &state);
    }
}

#[test]
fn a_young_screen_and_one_in_other_units_are_as_recorded() {
    let mut state = screen((80, 24), 3);
    assert_screen("young.txt", &state);
    keys(&mut state, "e");
    assert_screen("bytes.txt", &state);
    keys(&mut state, "eee");
    assert_screen("pages.txt", &state);
    state.set_interval(Duration::from_secs(10));
    state.failed("/proc/slabinfo: permission denied".to_owned());
    keys(&mut state, "e/[x");
    assert_screen("trouble.txt", &state);
}

#[test]
fn any_size_can_be_drawn() {
    let mut state = screen((80, 24), 5);
    for pane in ["", "\n", "\x1b?"] {
        keys(&mut state, pane);
        for width in [0, 1, 5, 31, 32, 33, 40, 60, 81, 120, 400] {
            for height in [0, 1, 4, 5, 6, 7, 10, 16, 17, 100] {
                state.resize((width, height));
                text(&state);
            }
        }
    }
    state.resize((31, 20));
    assert!(text(&state).contains("too small"));
}

#[test]
fn the_lines_never_end_in_the_middle_of_a_column() {
    let mut state = screen((80, 24), 75);
    for width in 32..200 {
        state.resize((width, 24));
        let text = text(&state);
        let headings = text.lines().nth(2).unwrap();
        assert!(headings.ends_with("NAME"), "{width}: {headings}");
        assert!(headings.contains("CACHE SIZE▾"), "{width}: {headings}");
        assert!(text.lines().all(|line| line.chars().count() <= width.into()), "{width}");
    }
}

#[test]
fn nothing_of_a_name_reaches_the_terminal() {
    let state = screen((200, 60), 1);
    assert!(text(&state).contains("esc\\x1b[31m") && !text(&state).contains('\x1b'));
    let mut state = state;
    state.filter = Filter::new("\x1b[3");
    state.settle();
    assert!(!text(&state).contains('\x1b'));
}

#[test]
fn without_colour_only_the_selected_row_stands_out() {
    let mut state = screen((80, 24), 75);
    state.failed("trouble".to_owned());
    let cells = |coloured| drawn(&state, Palette { coloured }).backend().buffer().content().to_vec();
    let plain = cells(false);
    assert!(plain.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(plain.iter().all(|cell| Modifier::REVERSED.contains(cell.modifier)));
    assert!(plain.iter().any(|cell| cell.modifier == Modifier::REVERSED));
    let colours: std::collections::HashSet<Color> = cells(true).iter().map(|cell| cell.fg).collect();
    assert_eq!(colours, [Color::Reset, Color::Cyan, Color::Red].into());
}

#[test]
fn letters_sort_as_slabtop_does() {
    let mut state = screen((200, 60), 75);
    let first = |state: &State| names(state).split(' ').next().unwrap().replace(['[', ']'], "");
    for (key, expected) in [
        ('a', "ext4_inode_cache"),
        ('b', "esc\\x1b"),
        ('l', "ext4_inode_cache"),
        ('n', "AF_VSOCK"),
        ('v', "ext4_inode_cache"),
        ('o', "ext4_inode_cache"),
        ('p', "kvm_vcpu"),
        ('s', "kvm_vcpu"),
        ('u', "AF_VSOCK"),
        ('c', "ext4_inode_cache"),
        ('d', "dentry"),
    ] {
        keys(&mut state, &key.to_string());
        assert!(first(&state).starts_with(expected), "{key}: {}", first(&state));
    }
    keys(&mut state, "r");
    assert_eq!(first(&state), "kmalloc-1k");
    // The names are to the right of the change, the sizes to the left.
    keys(&mut state, ">");
    assert_eq!(sorted_by(&state), "names");
    keys(&mut state, "<<");
    assert_eq!((sorted_by(&state), state.sort.sign()), ("size_bytes", '▾'));
}

#[test]
fn the_selected_cache_stays_selected() {
    let mut state = screen((80, 10), 75);
    assert!(names(&state).starts_with("[ext4_inode_cache]"));
    // As long as no row was chosen, the first is selected.
    keys(&mut state, "n");
    assert!(names(&state).starts_with("[AF_VSOCK]"));
    keys(&mut state, "↓↓↓");
    assert_eq!(selected(&state), "ext4_inode_cache");
    for key in "crdurn".chars() {
        keys(&mut state, &key.to_string());
        assert_eq!(selected(&state), "ext4_inode_cache", "{key}");
        assert!(names(&state).contains("[ext4_inode_cache]"), "{key}: in sight: {}", names(&state));
    }
    let mut other = caches(80);
    other.reverse();
    add(&mut state, 76, reading(&other));
    assert_eq!(selected(&state), "ext4_inode_cache");
    // It is gone: another one took its place, and stays selected.
    keys(&mut state, "\n");
    other.retain(|(name, _)| *name != "ext4_inode_cache");
    add(&mut state, 77, reading(&other));
    assert_eq!(selected(&state), "kmalloc-1k");
    assert!(text(&state).contains("the selected cache is gone"), "{}", text(&state));
    keys(&mut state, "\x1bc");
    assert_eq!(selected(&state), "kmalloc-1k");
    assert!(!text(&state).contains("is gone"));
}

#[test]
fn a_name_that_is_there_twice_can_be_passed() {
    let mut state = new((80, 24));
    add(&mut state, 0, reading(&[("a", [8, 1, 1, 3, 1]), ("a", [8, 1, 1, 2, 1]), ("b", [8, 1, 1, 1, 1])]));
    keys(&mut state, "↓↓");
    assert_eq!(names(&state), "a a [b]");
}

#[test]
fn the_selected_row_is_in_sight() {
    let mut state = screen((80, 10), 75);
    let height = 7;
    keys(&mut state, "⇲");
    assert!(names(&state).ends_with("[kvm_vcpu]"));
    assert_eq!(state.rows_in_sight().count(), height);
    keys(&mut state, "⇑");
    assert!(state.rows_in_sight().take(height).any(|(_, selected)| selected));
    keys(&mut state, "⇱k");
    assert!(names(&state).starts_with("[ext4_inode_cache]"));
    keys(&mut state, "⇓");
    assert!(state.rows_in_sight().take(height).any(|(_, selected)| selected));
    keys(&mut state, "⇲");
    state.resize((80, 6));
    assert!(names(&state).ends_with("[kvm_vcpu]"));
    // No line is empty while there are rows above.
    state.resize((80, 40));
    assert_eq!(state.rows_in_sight().count(), state.rows());
}

#[test]
fn filters_match_as_they_are_typed() {
    let mut state = screen((200, 60), 75);
    let rows = |state: &State| state.rows();
    keys(&mut state, "/UNIX-");
    assert_eq!(names(&state), "[signal_cache]");
    // Letters are text now, even those that are otherwise keys.
    keys(&mut state, "q");
    assert_eq!((rows(&state), state.filter.text()), (0, "UNIX-q"));
    assert!(text(&state).contains("none of 12 caches shown: filter: /UNIX-q"));
    keys(&mut state, "\x7f\x7f\x7f\x7f\x7f\x7f\x7f");
    assert_eq!(rows(&state), 12);
    // Not a regular expression yet: plain text.
    keys(&mut state, "(");
    assert!(state.filter.is_plain() && rows(&state) == 0);
    keys(&mut state, "^k|y$)");
    assert!(!state.filter.is_plain());
    assert_eq!(names(&state), "[dentry] kmalloc-512 kmalloc-1k kvm_vcpu");
    keys(&mut state, "\n");
    assert!(!state.is_typing && rows(&state) == 4);
    keys(&mut state, "\x1b");
    assert_eq!((rows(&state), state.filter.text()), (12, ""));
    keys(&mut state, "/k\x1b");
    assert_eq!((rows(&state), state.is_typing), (12, false));
    keys(&mut state, "/k");
    press(&mut state, KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
    assert_eq!((rows(&state), state.is_typing), (12, true));
}

#[test]
fn growing_and_large_ones_can_be_had_alone() {
    let mut state = screen((200, 60), 75);
    keys(&mut state, "gn");
    assert_eq!(names(&state), "[dentry] kmalloc-512 vm_area_struct");
    state.least_bytes = Some(3 << 20);
    state.settle();
    assert_eq!(names(&state), "[dentry] vm_area_struct");
    assert!(text(&state).contains("at least 3.0 MiB   growing only   2 of 12"));
}

#[test]
fn large_allocations_are_named_where_the_rest_is_theirs() {
    let words = |caches: &[Made<'_>]| {
        let mut state = new((200, 60));
        add(&mut state, 0, reading(caches));
        state
    };
    let large = "6.0 MiB more not in any cache (large kmalloc)";
    let mut state = words(&[("kmalloc-8k", [8192 + 64, 3, 8, 4, 12])]);
    assert!(text(&state).contains(large), "{}", text(&state));
    state.failed("torn".to_owned());
    assert!(text(&state).contains("6.0 MiB more not in any cache\n"), "{}", text(&state));
    // SLAB has caches for these sizes.
    let slab = words(&[("kmalloc-16k", [16_384, 1, 4, 4, 4])]);
    assert!(text(&slab).contains("6.0 MiB more not in any cache\n"), "{}", text(&slab));
    // The lag of counters.
    let mut few = reading(&caches(0));
    few.reconcile.as_mut().unwrap().held_difference_bytes = Some(-(1 << 20));
    add(&mut state, 1, few);
    assert!(text(&state).contains("1.0 MiB more not in any cache\n"), "{}", text(&state));
}

#[test]
fn a_frozen_screen_stands_still_and_misses_nothing() {
    let mut state = screen((80, 24), 10);
    keys(&mut state, " ");
    let before = text(&state);
    assert!(before.contains("FROZEN"));
    add(&mut state, 11, reading(&[("dentry", [192, 21, 1, 2900, 1])]));
    assert_eq!(text(&state), before);
    keys(&mut state, " ");
    assert_eq!(state.rows(), 1);
    assert_eq!(state.selected().unwrap().courses[0].time(), Duration::from_secs(11));
}

#[test]
fn numbers_that_cannot_be_are_shown_as_wrong() {
    let mut state = new((80, 24));
    for (second, slabs) in [(0, u64::MAX / 4096), (1, 0), (2, 5)] {
        add(&mut state, second, reading(&[("wraps", [8, 1, 1, slabs, u64::MAX])]));
    }
    let screen = drawn(&state, Palette { coloured: true });
    assert!(screen.backend().buffer().content().iter().any(|cell| cell.fg == Color::Red));
    assert!(text(&state).lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn what_cannot_be_read_is_told_until_it_can() {
    let mut state = screen((80, 24), 3);
    let denied = || Error::Denied { path: "/proc/slabinfo".into() };
    add(&mut state, 4, Reading { trouble: Some(denied()), ..Reading::default() });
    assert!(text(&state).contains("/proc/slabinfo: permission denied; the numbers are from 22:40:03"));
    assert_eq!(state.rows(), 12);
    add(&mut state, 5, reading(&caches(5)));
    assert!(!text(&state).contains("denied"));
    // A torn file: what could be read is from the new reading.
    let torn = Error::malformed("/proc/slabinfo".as_ref(), 7, "torn");
    add(&mut state, 6, Reading { trouble: Some(torn), ..reading(&caches(6)[..3]) });
    assert_eq!(state.rows(), 3);
    assert!(text(&state).contains("/proc/slabinfo:7: torn; the numbers are from 22:40:06"));
}

#[test]
fn the_rate_is_changed_in_steps() {
    let mut state = screen((80, 24), 1);
    keys(&mut state, "+++");
    assert_eq!(state.interval(), Duration::from_secs(10));
    assert!(text(&state).contains("every 10 s") && text(&state).contains("LAST 2 min"));
    keys(&mut state, "++++++");
    assert_eq!(state.interval(), Duration::from_secs(300));
    keys(&mut state, "--------------");
    assert_eq!(state.interval(), Duration::from_millis(100));
    assert!(text(&state).contains("every 0.1 s"));
}

#[test]
fn keys_end_and_suspend() {
    let mut state = screen((80, 24), 1);
    let control = |key| KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL);
    assert_eq!(press(&mut state, KeyCode::Char('q').into()), After::Quit);
    assert_eq!(press(&mut state, control('c')), After::Quit);
    assert_eq!(press(&mut state, control('z')), After::Suspend);
    keys(&mut state, "/");
    assert_eq!(press(&mut state, control('c')), After::Quit);
}

#[test]
fn panes_open_and_close() {
    let mut state = screen((80, 24), 1);
    for (key, pane) in [
        ("?", Pane::Help),
        ("?", Pane::None),
        ("h", Pane::Help),
        ("\n", Pane::Detail),
        ("\x1b", Pane::None),
        ("\n", Pane::Detail),
        ("\n", Pane::None),
    ] {
        keys(&mut state, key);
        assert_eq!(state.pane, pane, "{key:?}");
    }
}

#[test]
fn options_name_a_column_and_a_direction() {
    let state = new((80, 24));
    let sort = |option| {
        let sort = Sort::by_option(state.columns(), option)?;
        Some((state.columns().all()[sort.column()].names[0].as_str(), sort.sign() == '▴'))
    };
    assert_eq!(sort("o"), Some(("objects", false)));
    assert_eq!(sort("-o"), Some(("objects", true)));
    assert_eq!(sort("n"), Some(("names", true)));
    assert_eq!(sort("name"), Some(("names", true)));
    assert_eq!(sort("objects"), Some(("objects", true)));
    assert_eq!(sort("-objects"), Some(("objects", false)));
    assert_eq!(sort("size"), Some(("size_bytes", true)));
    assert_eq!(sort("size_change"), Some(("size_change", true)));
    assert_eq!([sort(""), sort("-"), sort("x"), sort("ob"), sort("≤")], [None; 5]);
}

#[test]
fn every_letter_of_slabtop_is_a_key() {
    let state = new((80, 24));
    let keys: Vec<char> = "abclnvopsu".chars().filter(|key| Sort::by_key(state.columns(), *key).is_none()).collect();
    assert_eq!(keys, []);
}

#[test]
fn moving_goes_round() {
    let state = new((80, 24));
    let mut sort = state.sort;
    for _ in state.columns().all() {
        sort = sort.moved(state.columns(), true);
    }
    assert_eq!(sort, state.sort);
    assert_eq!(sort.moved(state.columns(), true).moved(state.columns(), false), sort);
}
