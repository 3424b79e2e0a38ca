//! What the keys of the live screen do.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::view::screen::{Filter, Pane, Regions, Sort, State};
use crate::view::size::Unit;

/// What to do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Redraw the screen.
    Draw,
    /// Quit.
    Quit,
    /// Give the terminal back for a while.
    Suspend,
}

/// The times between two readings that can be chosen by key.
const INTERVALS: [Duration; 10] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// Handles a key.
pub(super) fn press(state: &mut State, key: KeyEvent) -> After {
    state.notice = None;
    let after = match (key.modifiers.contains(KeyModifiers::CONTROL), key.code) {
        (true, KeyCode::Char('c')) => After::Quit,
        (true, KeyCode::Char('z')) => After::Suspend,
        (true, KeyCode::Char('u')) if state.is_typing => edit(state, String::clear),
        (true, KeyCode::Char(_)) => After::Draw,
        (_, code) if moves(state, code) => After::Draw,
        (_, code) if state.is_typing => typed(state, code),
        (_, code) => chosen(state, code),
    };
    state.settle();
    after
}

/// The keys that select a row; whether it was one.
fn moves(state: &mut State, code: KeyCode) -> bool {
    let page = isize::try_from(Regions::of(state).rows.height.max(1)).unwrap_or(1);
    match code {
        KeyCode::Up => state.move_by(-1),
        KeyCode::Down => state.move_by(1),
        KeyCode::PageUp => state.move_by(-page),
        KeyCode::PageDown => state.move_by(page),
        KeyCode::Home => state.select(0),
        KeyCode::End => state.select(usize::MAX),
        _ => return false,
    }
    true
}

/// A key while the filter is being typed.
fn typed(state: &mut State, code: KeyCode) -> After {
    match code {
        KeyCode::Char(letter) => return edit(state, |text| text.push(letter)),
        KeyCode::Backspace => {
            return edit(state, |text| {
                text.pop();
            });
        }
        KeyCode::Enter => state.is_typing = false,
        KeyCode::Esc => {
            state.is_typing = false;
            state.filter = Filter::default();
        }
        _ => {}
    }
    After::Draw
}

fn edit(state: &mut State, change: impl FnOnce(&mut String)) -> After {
    let mut text = state.filter.text().to_owned();
    change(&mut text);
    state.filter = Filter::new(&text);
    After::Draw
}

/// Any other key.
fn chosen(state: &mut State, code: KeyCode) -> After {
    let toggled = |state: &State, pane| if state.pane == pane { Pane::None } else { pane };
    match code {
        KeyCode::Char('q') => return After::Quit,
        KeyCode::Char('j') => state.move_by(1),
        KeyCode::Char('k') => state.move_by(-1),
        KeyCode::Char('?' | 'h') => state.pane = toggled(state, Pane::Help),
        KeyCode::Enter => {
            state.pane = toggled(state, Pane::Detail);
            // From now on this row stays selected, even if it was not chosen explicitly.
            state.move_by(0);
        }
        KeyCode::Esc if state.pane != Pane::None => state.pane = Pane::None,
        KeyCode::Esc => state.filter = Filter::default(),
        KeyCode::Char('/') => {
            state.is_typing = true;
            state.pane = if state.pane == Pane::Help { Pane::None } else { state.pane };
        }
        KeyCode::Char('g') => state.growing = !state.growing,
        KeyCode::Char(' ') => state.freeze_or_go_on(),
        KeyCode::Char('e') => state.scale.unit = next_unit(state.scale.unit),
        KeyCode::Char('r') => state.sort = state.sort.reversed(),
        KeyCode::Char('<') => state.sort = state.sort.moved(state.columns(), false),
        KeyCode::Char('>') => state.sort = state.sort.moved(state.columns(), true),
        KeyCode::Char('+' | '=') => {
            let longer = INTERVALS.into_iter().find(|longer| *longer > state.interval());
            state.set_interval(longer.unwrap_or(state.interval()));
        }
        KeyCode::Char('-') => {
            let shorter = INTERVALS.into_iter().rev().find(|shorter| *shorter < state.interval());
            state.set_interval(shorter.unwrap_or(state.interval()));
        }
        KeyCode::Char(letter) => state.sort = Sort::by_key(state.columns(), letter).unwrap_or(state.sort),
        _ => {}
    }
    After::Draw
}

fn next_unit(unit: Unit) -> Unit {
    match unit {
        Unit::Human => Unit::Bytes,
        Unit::Bytes => Unit::Kib,
        Unit::Kib => Unit::Mib,
        Unit::Mib => Unit::Pages,
        Unit::Pages => Unit::Human,
    }
}
