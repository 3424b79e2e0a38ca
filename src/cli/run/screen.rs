//! The live screen of a command: the loop over keys, signals and readings.
//!
//! Readings run on their own thread: a long one, of thousands of processes, does not delay keys.

#[cfg(test)]
mod tests;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use signal_hook::consts::signal::SIGHUP;

use super::columns::{Choice, Words};
use super::command::{self, Asked, Command, Reading};
use super::context::Context;
use super::keys::{After, press};
use super::rounds::{Rounds, following};
use super::terminal::{self, Event, Screen};
use crate::cli::output::Output;
use crate::cli::status::{Status, UsageError};
use crate::kernel::threads;
use crate::view::screen::{Columns, Feed, Filter, Live, Pane, Sort, State, draw};
use crate::view::style::Palette;
use crate::view::time;

/// A command that has a live screen.
pub(in crate::cli) trait Watched: Command<Row: Clone + Send, Report: Send + 'static> + Send {
    /// How its rows appear on a screen.
    type Live: Live<Row = Self::Row, Report = Self::Report>;

    /// What the command line limits the rows of the screen to.
    fn start(&self) -> Start {
        Start::default()
    }

    /// Reads details that would cost too much to read for all rows; returns the row with them, for the detail pane.
    fn closer(&mut self, _row: &Self::Row) -> Option<Self::Row> {
        None
    }
}

/// What the rows of a screen are limited to at first.
#[derive(Debug, Default)]
pub(in crate::cli) struct Start {
    /// Those with a name that matches.
    pub(in crate::cli) filter: Option<String>,
    /// Those of at least this size.
    pub(in crate::cli) least_bytes: Option<u64>,
    /// Those that grew.
    pub(in crate::cli) growing: bool,
}

/// Runs a command on a live screen if `top` is set and there is a terminal for it, else in plain rounds.
///
/// # Errors
/// Those of the command, and of the output.
pub(in crate::cli) fn run<C: Watched>(
    command: &mut C,
    top: bool,
    rounds: Rounds,
    cx: &Context<'_>,
    output: &mut Output,
) -> Result<Status> {
    if top && cx.root.is_recorded() {
        let text = format!(
            "a recorded tree does not change: without --top, 'pmem {}' shows what is in it",
            C::Live::SPEC.command
        );
        return Err(UsageError::Invalid(text).into());
    }
    if !top || !cx.has_screen() || cx.asks_for_columns() {
        return command::run(command, rounds, cx, output);
    }
    let fields = command.fields();
    let start = command.start();
    let choice = Choice::new(Words { sort: None, ..cx.words() }, fields, &[])?;
    let spec = C::Live::SPEC;
    let named = choice.is_named().then(|| choice.for_people(&[]));
    let named: Option<Vec<&str>> = named.map(|fields| fields.into_iter().map(|field| &*field.name).collect());
    let are_added = cx.words().columns.is_some_and(|list| list.starts_with('+'));
    let columns =
        Columns::new(&spec, choice.fields(), named.as_deref().map(|names| (names, are_added)), cx.words().sort);
    let mut state = State::new(spec, columns, rounds.interval, cx.layout.scale, terminal::size());
    if let Some(option) = cx.words().sort {
        let unknown = || UsageError::Invalid(format!("{option}: the live screen cannot be sorted by this"));
        state.sort = Sort::by_option(state.columns(), option).ok_or_else(unknown)?;
    }
    state.filter = start.filter.as_deref().map(Filter::new).unwrap_or_default();
    state.least_bytes = start.least_bytes;
    state.growing = start.growing;
    let names: Vec<String> = state.columns().all().iter().flat_map(|column| column.names.clone()).collect();
    let top = Top::<C> {
        feed: Feed::new(command.fields()),
        state,
        start: Instant::now(),
        palette: cx.layout.palette,
        page_bytes: cx.layout.scale.page_size.bytes(),
        reading: true,
        closer: None,
        is_last: false,
    };
    cx.set_live(true);
    let (news, events) = channel();
    let done = thread::scope(|scope| {
        let (wishes, wished) = channel();
        let to = news.clone();
        let reading = threads::start(scope, move || read(command, cx, &names, &wished, &to));
        let done = match reading {
            Some(_) => top.run(rounds.count, news, &events, &wishes),
            None => Err(anyhow!("a live screen needs another thread, which the kernel refuses (ulimit -u, pids.max)")),
        };
        // What is being read now is no longer wanted.
        cx.set_over();
        done
    });
    cx.set_live(false);
    done
}

/// What the screen requests.
enum Wish<R> {
    /// A reading, with its number counted from 0.
    Read(u32),
    /// More of this row.
    Closer(u64, R),
}

/// What arrives at the screen.
enum News<R, D> {
    Event(Event),
    Read(Result<Reading<D>>),
    Closer(u64, Option<R>),
}

/// What arrives at the screen of a command.
type NewsOf<C> = News<<C as Command>::Row, <C as Command>::Report>;

/// Tells the screen if the reading thread panics.
struct Reader<R, D>(Sender<News<R, D>>);

impl<R, D> Drop for Reader<R, D> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(News::Event(Event::Closed(std::io::Error::other("pmem failed"))));
        }
    }
}

/// Serves requests, one after the other.
fn read<C: Watched>(
    command: &mut C,
    cx: &Context<'_>,
    names: &[String],
    wished: &Receiver<Wish<C::Row>>,
    to: &Sender<NewsOf<C>>,
) {
    let to = Reader(to.clone());
    let has = |name: &str| names.iter().any(|other| other == name);
    for wish in wished {
        let news = match wish {
            Wish::Read(round) => News::Read(command.read(cx, &Asked::live(&has, round))),
            Wish::Closer(id, row) => News::Closer(id, command.closer(&row)),
        };
        if to.0.send(news).is_err() {
            return;
        }
    }
}

/// How the live screen ends.
enum End {
    Done,
    /// A signal ended it.
    By(i32),
}

/// How long the first reading may take before the screen is shown without it. If the first reading fails within that
/// time, the terminal is left alone.
const FIRST: Duration = Duration::from_millis(150);

/// The running live screen.
struct Top<C: Watched> {
    feed: Feed<C::Live>,
    state: State,
    start: Instant,
    palette: Palette,
    page_bytes: u64,
    /// Whether a reading was requested and has not arrived yet.
    reading: bool,
    /// The row whose details were requested last.
    closer: Option<u64>,
    /// Whether there will be no more readings.
    is_last: bool,
}

impl<C: Watched> Top<C> {
    /// Shows each reading for one interval, and `rounds` of them if given.
    fn run(
        mut self,
        rounds: Option<u32>,
        news: Sender<NewsOf<C>>,
        events: &Receiver<NewsOf<C>>,
        wishes: &Sender<Wish<C::Row>>,
    ) -> Result<Status> {
        let _ = wishes.send(Wish::Read(0));
        if let Ok(News::Read(reading)) = events.recv_timeout(FIRST) {
            self.add(reading?);
        }
        terminal::events(move |event| news.send(News::Event(event)).is_ok())?;
        let mut screen = Screen::open().context("the terminal")?;
        let done = self.rounds(&mut screen, events, wishes, rounds);
        // Only operations on the terminal fail with a system error. The kernel's SIGHUP may arrive later, or go only to
        // the shell.
        let hung_up = |error: &anyhow::Error| error.downcast_ref().is_some_and(terminal::has_gone);
        let end = match done {
            Ok(Ok(End::Done)) => return Ok(Status::Complete),
            Ok(Ok(End::By(signal))) => signal,
            Ok(Err(error)) => return Err(error),
            Err(error) if hung_up(&error) => SIGHUP,
            Err(error) => return Err(error.context("the terminal")),
        };
        screen.end_by(end)?;
        Ok(Status::Incomplete)
    }

    /// The loop. The outer error is one of the terminal; the inner error is that of the first reading.
    fn rounds(
        &mut self,
        screen: &mut Screen,
        events: &Receiver<NewsOf<C>>,
        wishes: &Sender<Wish<C::Row>>,
        rounds: Option<u32>,
    ) -> Result<Result<End>> {
        let (mut done, mut began) = (1, self.start);
        // An event to handle before anything new.
        let mut pending = None;
        loop {
            self.look_closer(wishes);
            screen.draw(|frame| draw(frame, &self.state, self.palette))?;
            let next = match self.reading || self.is_last {
                true => None,
                false => Some(began + self.state.interval()),
            };
            match pending.take().map_or_else(|| wait(events, next), |event| Ok(News::Event(event))) {
                Err(_) if rounds.is_some_and(|rounds| done >= rounds) => return Ok(Ok(End::Done)),
                Err(RecvTimeoutError::Timeout) => {
                    began = following(began, self.state.interval(), Instant::now());
                    let _ = wishes.send(Wish::Read(done));
                    self.reading = true;
                    done = done.saturating_add(1);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(Ok(End::Done)),
                Ok(News::Read(Ok(reading))) => {
                    self.add(reading);
                    if self.is_last && rounds.is_some() {
                        return Ok(Ok(End::Done));
                    }
                }
                Ok(News::Read(Err(error))) if !self.state.has_readings() => return Ok(Err(error)),
                // The next reading may succeed: the screen shows the error and goes on.
                Ok(News::Read(Err(error))) => {
                    self.reading = false;
                    self.state.failed(format!("{error:#}"));
                }
                Ok(News::Closer(id, row)) => {
                    self.state.details = row.map(|row| (id, self.feed.line(row)));
                }
                Ok(News::Event(Event::Closed(error))) => return Err(error).context("no more keys"),
                Ok(News::Event(Event::End(signal))) => return Ok(Ok(End::By(signal))),
                // Not only its size: if a key and SIGWINCH arrive together, crossterm 0.29 forgets the key, and waits
                // for the next edge from epoll. Setting the modes causes one (n_tty_set_termios in drivers/tty/n_tty.c
                // wakes readers).
                Ok(News::Event(Event::Resized | Event::GoesOn)) => screen.take()?,
                Ok(News::Event(Event::Stop)) => pending = self.suspend(screen, events)?,
                Ok(News::Event(Event::Key(key))) => match press(&mut self.state, key) {
                    After::Draw => {}
                    After::Quit => return Ok(Ok(End::Done)),
                    After::Suspend => pending = self.suspend(screen, events)?,
                },
            }
            // It may also forget the signal instead of the key.
            if self.state.size() != terminal::size() {
                screen.resize()?;
                self.state.resize(terminal::size());
            }
        }
    }

    /// Stops for a while. Of the keys and signals that arrived in the meantime, only those that end pmem matter: Ctrl-Z
    /// pressed twice stops once.
    fn suspend(&mut self, screen: &mut Screen, events: &Receiver<NewsOf<C>>) -> Result<Option<Event>> {
        if screen.suspend()? {
            let mut end = None;
            for news in events.try_iter() {
                match news {
                    News::Event(event @ (Event::End(_) | Event::Closed(_))) => end = end.or(Some(event)),
                    News::Event(_) => {}
                    News::Read(Ok(reading)) => self.add(reading),
                    News::Read(Err(error)) => {
                        self.reading = false;
                        self.state.failed(format!("{error:#}"));
                    }
                    News::Closer(id, row) => self.state.details = row.map(|row| (id, self.feed.line(row))),
                }
            }
            return Ok(end);
        }
        self.state.notice = Some("there is no shell to go back to".to_owned());
        self.state.settle();
        Ok(None)
    }

    /// Shows a reading.
    fn add(&mut self, reading: Reading<C::Report>) {
        let Reading { report, troubles, is_last, .. } = reading;
        self.reading = false;
        self.is_last = is_last;
        let trouble: Vec<String> = troubles.into_iter().map(|trouble| trouble.text).collect();
        let trouble = (!trouble.is_empty()).then(|| trouble.join("; "));
        match report {
            Some(report) => {
                let shot = self.feed.shot(C::rows(&report).to_vec(), report, self.page_bytes);
                self.state.add(shot, trouble, self.start.elapsed(), time::clock());
                self.closer = self.closer.filter(|_| self.state.is_frozen());
            }
            None => self.state.failed(trouble.unwrap_or_else(|| "nothing left to read".to_owned())),
        }
    }

    /// Requests details of the selected row while they are shown.
    fn look_closer(&mut self, wishes: &Sender<Wish<C::Row>>) {
        if self.state.pane != Pane::Detail {
            self.closer = None;
            return;
        }
        let Some(selected) = self.state.selected() else { return };
        if self.closer != Some(selected.id)
            && let Some(row) = self.feed.row(&selected.row)
        {
            self.closer = Some(selected.id);
            let _ = wishes.send(Wish::Closer(selected.id, row.clone()));
        }
    }
}

/// Waits for something to happen, at most until `next`.
fn wait<T>(events: &Receiver<T>, next: Option<Instant>) -> Result<T, RecvTimeoutError> {
    match next {
        Some(next) => events.recv_timeout(next.saturating_duration_since(Instant::now())),
        None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}
