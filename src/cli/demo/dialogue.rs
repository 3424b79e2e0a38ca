//! The questions a demo asks, on standard error, and the answers, from standard input.

use std::io::{BufRead, IsTerminal, Read, Write, stderr, stdin};

use crate::cli::options::size;
use crate::demo::quantity::Unit;
use crate::demo::script::{Expectation, Rule, Step};
use crate::demo::{Demo, report::StepReport};
use crate::name::escaped;

/// The dialogue with the user, until the end of input.
#[derive(Debug)]
pub(super) struct Dialogue {
    /// Whether a question can be erased from the screen.
    wipes: bool,
    ended: bool,
    /// How many numbers were asked for and given.
    pub(super) asked: usize,
    /// How many of them were right.
    pub(super) right: usize,
}

/// A number that the user predicted.
#[derive(Debug)]
pub(super) struct Guess {
    expected: Expectation,
    value: i64,
}

/// The longest answer, in bytes.
const LONGEST: u64 = 1024;

impl Dialogue {
    /// A dialogue; `wipes` says whether the terminal, if there is one, can erase lines.
    pub(super) fn new(wipes: bool) -> Self {
        let wipes = wipes && stdin().is_terminal() && stderr().is_terminal();
        Self { wipes, ended: false, asked: 0, right: 0 }
    }

    /// Asks, and waits for a line; `None` if there are no more.
    fn ask(&mut self, question: &str) -> Option<String> {
        if self.ended {
            return None;
        }
        // If standard error is closed, the question is not seen, but an answer may still come.
        let _ = write!(stderr(), "{}", escaped(question.as_bytes()));
        let _ = stderr().flush();
        let mut line = Vec::new();
        let read = stdin().lock().take(LONGEST).read_until(b'\n', &mut line);
        self.ended = !matches!(read, Ok(1..)) || !line.ends_with(b"\n");
        if self.ended || !stdin().is_terminal() {
            // The user did not end the line.
            let _ = writeln!(stderr());
        }
        (!line.is_empty()).then(|| String::from_utf8_lossy(&line).trim().to_owned())
    }

    /// Waits for Enter.
    pub(super) fn wait(&mut self, question: &str) {
        self.ask(question);
        if self.wipes {
            let _ = write!(stderr(), "\x1b[A\r\x1b[K");
        }
    }

    /// Whether input has ended, so that there will be no more answers.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Asks for the numbers of a step that has not been done yet.
    pub(super) fn guesses(&mut self, demo: &Demo, step: &Step) -> Vec<Guess> {
        let mut guesses = Vec::new();
        for expected in asked(demo, step) {
            let question = format!("  {}: {}? ", step.action, in_words(&expected));
            loop {
                match self.ask(&question).as_deref() {
                    // A user with no idea wants to see the answer.
                    None | Some("") => break,
                    Some(answer) => match number(answer) {
                        Some(value) => {
                            guesses.push(Guess { expected, value });
                            break;
                        }
                        None => {
                            let _ = writeln!(stderr(), "  enter a number, or nothing to see the answer");
                        }
                    },
                }
            }
        }
        guesses
    }

    /// Judges guesses after the step: whether each was right, and in words.
    pub(super) fn judge(&mut self, guesses: &[Guess], step: &StepReport) -> Vec<(bool, String)> {
        let mut said = Vec::new();
        for Guess { expected, value } in guesses {
            let Some(seen) = step.value(&expected.quantity) else { continue };
            let right = *value == seen;
            self.asked += 1;
            self.right += usize::from(right);
            let what = in_words(expected);
            said.push(match right {
                true => (true, format!("{what}: {value} is right")),
                false => (false, format!("{what}: not {value} but {seen}")),
            });
        }
        said
    }
}

/// The expectations of a step to ask for: for each unit, the first exact one that has a column; sizes in bytes only if
/// there is nothing else.
fn asked(demo: &Demo, step: &Step) -> Vec<Expectation> {
    let exact = |e: &&Expectation| e.rule == Rule::Exact && demo.columns.contains(&e.quantity);
    let exact: Vec<&Expectation> = step.expect.iter().filter(exact).collect();
    let first = |unit| exact.iter().find(|e| e.quantity.unit == unit).map(|e| **e);
    let counted: Vec<Expectation> = [Unit::Pages, Unit::Count].into_iter().filter_map(first).collect();
    if counted.is_empty() { first(Unit::Bytes).into_iter().collect() } else { counted }
}

/// What a number describes.
fn in_words(expected: &Expectation) -> String {
    let quantity = &expected.quantity;
    let of = if quantity.of.is_empty() { String::new() } else { format!(" of {}", quantity.of) };
    let unit = if quantity.unit == Unit::Bytes { " in bytes" } else { "" };
    format!("{}{of}{unit}", quantity.heading)
}

/// A number as people write it: `1,024`, `-12`, `12K`.
fn number(text: &str) -> Option<i64> {
    let plain: String = text.chars().filter(|c| !matches!(c, ',' | ' ' | '_')).collect();
    let (negative, digits) = match plain.strip_prefix(['-', '−']) {
        Some(digits) => (true, digits),
        None => (false, plain.trim_start_matches('+')),
    };
    let value = i64::try_from(size(digits).ok()?).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, value) in [("0", 0), ("1,024", 1024), ("-12", -12), ("−12 KiB", -12288), ("12k", 12288), ("+3", 3)]
        {
            assert_eq!(number(text), Some(value), "{text}");
        }
        for wrong in ["", "x", "-", "1.5", "--1", "99999999999999999999"] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }
}
