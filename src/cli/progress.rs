//! Progress of long work: only on a terminal, after a third of a second, and erased when done.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A line on standard error that shows the progress.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    shown: Option<Instant>,
    wanted: bool,
}

const FIRST_AFTER: Duration = Duration::from_millis(300);
const AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Progress {
    /// Progress of work that begins now; nothing is shown if `quiet`, or if standard error is not a terminal.
    pub fn new(quiet: bool) -> Self {
        Self { began: Instant::now(), shown: None, wanted: !quiet && std::io::stderr().is_terminal() }
    }

    /// Shows the progress, if it is time to.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        let due = self.began.elapsed() >= FIRST_AFTER && self.shown.is_none_or(|at| at.elapsed() >= AGAIN_AFTER);
        if self.wanted && due {
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", text());
            self.shown = Some(Instant::now());
        }
    }

    /// Erases what was shown, before something else is written.
    pub fn wipe(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}
