//! `pmem slab --top`: the live screen.

mod keys;
mod terminal;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::signal::SIGHUP;

use self::keys::{After, press};
use self::terminal::{Event, Screen};
use super::options::{Format, GlobalOptions};
use super::output::Output;
use super::slab::{Args, rounds};
use super::status::{Status, UsageError};
use crate::analysis::slab::{Reader, Reading, Wanted};
use crate::kernel::root::Root;
use crate::view::slab_top::{Filter, Pane, Sort, State, draw};
use crate::view::style::Palette;
use crate::view::time;

/// The time between two readings, unless something else is asked for.
const SECOND: Duration = Duration::from_secs(1);

/// Everything that the detail pane tells of one cache.
const DETAILS: Wanted =
    Wanted { reclaimable: true, partial_slabs: true, cpu_slabs: true, cpu_partial_slabs: true, nodes: true };

/// Runs the command.
pub(super) fn run(args: &Args, global: &GlobalOptions, output: &mut Output) -> Result<Status> {
    let root = Root::open(&global.root)?;
    if root.is_recorded() {
        let text = "a recorded tree does not change: without --top, 'pmem slab' shows what is in it";
        return Err(UsageError::Invalid(text.to_owned()).into());
    }
    if !has_screen(global) || global.columns.as_deref() == Some("help") {
        return rounds(args, global, output);
    }
    let layout = output.layout(global, &root);
    let mut state = State::new(args.repeat.delay.unwrap_or(SECOND), layout.scale, terminal::size());
    choose(&mut state, args, global)?;
    let mut reader = Reader::new(&root, Wanted::default());
    let first = reader.read()?;
    if let Reading { totals: None, trouble: Some(error), .. } = first {
        return Err(error.into());
    }
    Top { reader, state, start: Instant::now(), palette: layout.palette }.run(first, args.repeat.count.map(Into::into))
}

/// Whether the output is for a person in front of a terminal that can be drawn on.
fn has_screen(global: &GlobalOptions) -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    global.format() == Format::Table && global.out.is_none() && !dumb && std::io::stdout().is_terminal()
}

/// What the command line chooses.
fn choose(state: &mut State, args: &Args, global: &GlobalOptions) -> Result<(), UsageError> {
    if global.columns.is_some() {
        let text = "--columns: the live screen shows those columns that there is room for".to_owned();
        return Err(UsageError::Invalid(text));
    }
    if let Some(option) = &global.sort {
        let unknown = || UsageError::Invalid(format!("{option}: the live screen cannot be sorted by this"));
        state.sort = Sort::by_option(option).ok_or_else(unknown)?;
    }
    state.filter = args.which.filter.as_ref().map(|regex| Filter::new(regex.as_str())).unwrap_or_default();
    state.least_bytes = args.which.min;
    state.growing = args.growing;
    Ok(())
}

/// How the live screen ends.
enum End {
    Done,
    /// By a signal.
    By(i32),
}

/// The live screen at work.
struct Top<'r> {
    reader: Reader<'r>,
    state: State,
    start: Instant,
    palette: Palette,
}

impl Top<'_> {
    /// Shows each reading for the time between two, `rounds` of them where that is said.
    fn run(mut self, first: Reading, rounds: Option<u32>) -> Result<Status> {
        let events = terminal::events()?;
        let mut screen = Screen::open().context("the terminal")?;
        self.state.add(first, Duration::ZERO, time::clock());
        let done = self.rounds(&mut screen, &events, rounds);
        // Only what is done with the terminal fails with an error of the system. The kernel's SIGHUP may come later, or go
        // to the shell alone.
        let hung_up = |error: &anyhow::Error| error.downcast_ref().is_some_and(terminal::has_gone);
        let end = match done {
            Ok(End::Done) => return Ok(Status::Complete),
            Ok(End::By(signal)) => signal,
            Err(error) if hung_up(&error) => SIGHUP,
            Err(error) => return Err(error.context("the terminal")),
        };
        screen.end_by(end)?;
        Ok(Status::Incomplete)
    }

    fn rounds(&mut self, screen: &mut Screen, events: &Receiver<Event>, rounds: Option<u32>) -> Result<End> {
        let (mut done, mut last) = (1, self.start);
        // What is to be seen to before anything new.
        let mut pending = None;
        loop {
            self.read_details();
            screen.draw(|frame| draw(frame, &self.state, self.palette))?;
            let next = last + self.state.interval();
            let wait = || events.recv_timeout(next.saturating_duration_since(Instant::now()));
            match pending.take().map_or_else(wait, Ok) {
                Err(_) if rounds.is_some_and(|rounds| done >= rounds) => return Ok(End::Done),
                Err(RecvTimeoutError::Timeout) => {
                    self.read();
                    done += 1;
                    // One that came late does not make the others late.
                    last = next.max(Instant::now().checked_sub(self.state.interval()).unwrap_or(next));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Done),
                Ok(Event::Closed(error)) => return Err(error).context("no more keys"),
                Ok(Event::End(signal)) => return Ok(End::By(signal)),
                // Not only its size: where a key and SIGWINCH come at once, crossterm 0.29 forgets the key, and waits for the next
                // edge of epoll. Setting the modes is one (n_tty_set_termios in drivers/tty/n_tty.c wakes who reads).
                Ok(Event::Resized) => screen.take()?,
                Ok(Event::Stop) => pending = self.suspend(screen, events)?,
                Ok(Event::GoesOn) => screen.take()?,
                Ok(Event::Key(key)) => match press(&mut self.state, key) {
                    After::Draw => {}
                    After::Quit => return Ok(End::Done),
                    After::Suspend => pending = self.suspend(screen, events)?,
                },
            }
            // Of the two it may forget the signal, too.
            if self.state.size() != terminal::size() {
                screen.resize()?;
                self.state.resize(terminal::size());
            }
        }
    }

    /// Stops for a while. Of what happened until it went on, only an end matters then: Ctrl-Z pressed twice stops once.
    fn suspend(&mut self, screen: &mut Screen, events: &Receiver<Event>) -> Result<Option<Event>> {
        if screen.suspend()? {
            return Ok(events.try_iter().find(|event| matches!(event, Event::End(_) | Event::Closed(_))));
        }
        self.state.notice = Some("there is no shell to go back to".to_owned());
        self.state.settle();
        Ok(None)
    }

    fn read(&mut self) {
        match self.reader.read() {
            Ok(reading) => self.state.add(reading, self.start.elapsed(), time::clock()),
            // It may come back: the screen says so and goes on.
            Err(error) => self.state.failed(error.to_string()),
        }
    }

    /// Reads the files of the selected cache, while they are shown.
    fn read_details(&mut self) {
        if self.state.pane != Pane::Detail {
            return;
        }
        let known = self.state.details.as_ref().map(|(id, _)| *id);
        let Some(cache) = self.state.selected() else { return };
        if !self.state.is_frozen() || known != Some(cache.id) {
            self.state.details = Some((cache.id, self.reader.details(&cache.row.name, DETAILS)));
        }
    }
}
