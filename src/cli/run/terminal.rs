//! The terminal of the live screen: taking it, giving it back, and its events.

use std::io::{self, BufWriter, Stdout, Write, stdout};
use std::mem::ManuallyDrop;
use std::sync::Mutex;
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getppid, getsid};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, KeyEvent, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use signal_hook::consts::signal::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGXCPU,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use terminal_size::terminal_size;

/// Something happened.
#[derive(Debug)]
pub(super) enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The size of the terminal has changed.
    Resized,
    /// A signal to end.
    End(i32),
    /// A signal to stop for a while.
    Stop,
    /// pmem was continued after a stop: other programs may have changed the terminal.
    GoesOn,
    /// There are no more keys, and never will be.
    Closed(io::Error),
}

/// The modes that the terminal had before; `None` while the screen does not have it.
static TAKEN: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal while the screen has it.
#[derive(Debug)]
pub(super) struct Screen {
    /// Never dropped: its `Drop` shows the cursor, and if the terminal is gone, it panics because standard error is
    /// gone too. Dropping the screen gives the terminal back anyway.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<BufWriter<Stdout>>>>,
}

impl Screen {
    /// Takes the terminal. It is given back when this is dropped, and when pmem panics.
    pub(super) fn open() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Caused by bytes that no terminal would send: it ends the screen, which reports it.
            if thread::current().name() == Some(KEYS) {
                return;
            }
            give_back();
            before(panic);
        }));
        let backend = CrosstermBackend::new(BufWriter::with_capacity(64 * 1024, stdout()));
        let viewport = Viewport::Fixed(area());
        let terminal = ManuallyDrop::new(Terminal::with_options(backend, TerminalOptions { viewport })?);
        let mut screen = Self { terminal };
        screen.take()?;
        Ok(screen)
    }

    /// Draws what changed. Fails if a thread that panicked has given the terminal back.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if taken().is_none() {
            return Err(io::Error::other("pmem no longer controls the terminal"));
        }
        self.terminal.draw(draw).map(|_| ())
    }

    /// Adapts to the size of the terminal; everything is redrawn.
    pub(super) fn resize(&mut self) -> io::Result<()> {
        self.terminal.resize(area())
    }

    /// Takes over the terminal, in any state and no matter who set it, even if the screen already has it.
    pub(super) fn take(&mut self) -> io::Result<()> {
        let terminal = stdout();
        // Stops a background job until the shell gives it the terminal: only then are the modes the ones to restore,
        // and not those of a shell that is reading a line.
        while tcdrain(&terminal) == Err(Errno::EINTR) {}
        let mut modes = tcgetattr(&terminal)?;
        taken().get_or_insert_with(|| modes.clone());
        cfmakeraw(&mut modes);
        tcsetattr(&terminal, SetArg::TCSANOW, &modes)?;
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        self.resize()
    }

    /// Gives the terminal back, stops with the whole job, and takes the terminal again when continued. Does nothing if
    /// there is no shell to continue it. Returns whether it stopped.
    pub(super) fn suspend(&mut self) -> io::Result<bool> {
        if getsid(Some(getppid())) != getsid(None) {
            return Ok(false);
        }
        give_back();
        // Like Ctrl-Z on a terminal: a shell script or sudo around pmem stops too. Not with SIGTSTP, which would arrive
        // as an event.
        kill(Pid::from_raw(0), Signal::SIGSTOP)?;
        self.take()?;
        Ok(true)
    }

    /// Gives the terminal back and ends the way the signal would.
    pub(super) fn end_by(self, signal: i32) -> io::Result<()> {
        drop(self);
        emulate_default_handler(signal)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn taken() -> std::sync::MutexGuard<'static, Option<Termios>> {
    TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Restores the terminal. Failure is ignored: the terminal is gone.
fn give_back() {
    if let Some(modes) = taken().take() {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = stdout().flush();
        let _ = tcsetattr(stdout(), SetArg::TCSANOW, &modes);
    }
}

/// Whether an error means that the terminal was closed.
pub(super) fn has_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EIO as i32)
}

/// The most columns and lines that are drawn: more than any display has. A terminal can report 65,535 of each, and that
/// would be GiB of cells.
const MOST: (u16, u16) = (1000, 400);

/// The columns and lines of the terminal, limited to what is drawn; 80 × 24 if unknown.
pub(super) fn size() -> (u16, u16) {
    let size = terminal_size().map(|(width, height)| (width.0.min(MOST.0), height.0.min(MOST.1)));
    size.filter(|(width, height)| *width > 0 && *height > 0).unwrap_or((80, 24))
}

fn area() -> Rect {
    let (width, height) = size();
    Rect::new(0, 0, width, height)
}

/// Passes every event from now on to `send`, until that returns that events are no longer wanted. Threads wait for
/// events, so that nothing has to poll.
pub(super) fn events(send: impl Fn(Event) -> bool + Clone + Send + 'static) -> io::Result<()> {
    // All signals that end a program and are sent by people or by limits. Not SIGABRT: a program that sends it to
    // itself is meant to end on the spot.
    let ends = [SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU];
    let mut signals = Signals::new(ends.iter().chain(&[SIGTSTP, SIGCONT]))?;
    let for_signals = send.clone();
    thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGTSTP => Event::Stop,
                SIGCONT => Event::GoesOn,
                signal => Event::End(signal),
            };
            if !for_signals(event) {
                break;
            }
        }
    })?;
    thread::Builder::new().name(KEYS.to_owned()).spawn(move || read_keys(send))?;
    Ok(())
}

/// The name of the thread that reads keys.
const KEYS: &str = "keys";

/// Reports that there are no more keys if the thread that reads them panics: crossterm computes with numbers that
/// terminals send.
struct Reading<F: Fn(Event) -> bool>(F);

impl<F: Fn(Event) -> bool> Drop for Reading<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)(Event::Closed(io::Error::other("what it sent could not be understood")));
        }
    }
}

/// Reads keys until there are no more, or they are no longer wanted.
fn read_keys(send: impl Fn(Event) -> bool) {
    let to = Reading(send);
    loop {
        let event = match event::read() {
            Ok(event::Event::Key(key)) if key.kind != KeyEventKind::Release => Event::Key(key),
            Ok(event::Event::Resize(..)) => Event::Resized,
            Ok(_) => continue,
            Err(error) => Event::Closed(error),
        };
        let is_last = matches!(event, Event::Closed(_));
        if !(to.0)(event) || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_of_keys_that_panics_closes_the_terminal() {
        let (send, events) = std::sync::mpsc::channel();
        let reading = Reading(move |event| send.send(event).is_ok());
        let reader = thread::spawn(move || {
            let _reading = reading;
            // Without the message of a panic.
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(reader.join().is_err());
        assert!(
            matches!(events.recv(), Ok(Event::Closed(error)) if error.to_string().contains("could not be understood"))
        );
    }
}
