//! How parent and worker take turns: one pipe in each direction, one message at a time.
//!
//! A message is one line of JSON, written and parsed in a buffer on the stack, so that the worker allocates nothing.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::facts::Ranges;
use super::worker::{FILES, SAID};

/// What the worker has to do next.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Turn {
    /// The index of the step.
    pub(super) step: usize,
    /// The index of the repetition.
    pub(super) time: usize,
    /// Skip the work: a deliberate fault, to check that it is detected.
    pub(super) left_out: bool,
    /// Also touch the last page of the first place: another deliberate fault.
    pub(super) extra_page: bool,
}

/// The worker's answer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Reply {
    /// The errno of its work; 0 for none.
    pub(super) errno: i32,
    /// The faults taken by its accesses.
    pub(super) minor: i64,
    pub(super) major: i64,
    /// The PID of its child; 0 for none.
    pub(super) second: i32,
    /// Its memory, by place: address and length.
    pub(super) ranges: Ranges,
    /// Its file descriptors; 0 for none.
    pub(super) files: [i32; FILES],
    /// What it reports: whether it does (0 or 1), and the number.
    pub(super) said: [[i64; 2]; SAID],
}

/// Longer than any message: some thirty numbers of at most 20 digits, and their names (see the test).
const LONGEST: usize = 1024;

/// One end of a conversation.
#[derive(Debug)]
pub(super) struct Turns {
    from: PipeReader,
    to: PipeWriter,
}

impl Turns {
    /// Both ends of a new conversation.
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (from_there, to_here) = pipe()?;
        let (from_here, to_there) = pipe()?;
        Ok((Self { from: from_there, to: to_there }, Self { from: from_here, to: to_here }))
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut buffer = [0; LONGEST];
        let mut rest = &mut buffer[..];
        serde_json::to_writer(&mut rest, message)?;
        rest.write_all(b"\n")?;
        let left = rest.len();
        self.to.write_all(&buffer[..LONGEST - left])
    }

    /// Waits for a message; `None` if the other end is closed.
    pub(super) fn receive<M: DeserializeOwned>(&mut self) -> io::Result<Option<M>> {
        let mut buffer = [0; LONGEST];
        let mut length = 0;
        while length == 0 || buffer[length - 1] != b'\n' {
            match self.from.read(&mut buffer[length..]) {
                Ok(0) => return Ok(None),
                Ok(more) => length += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(serde_json::from_slice(&buffer[..length])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::facts::PLACES;

    #[test]
    fn the_longest_message_fits() {
        let (mut here, mut there) = Turns::pair().unwrap();
        let longest = Reply {
            errno: i32::MIN,
            minor: i64::MIN,
            major: i64::MIN,
            second: i32::MIN,
            ranges: [[u64::MAX; 2]; PLACES],
            files: [i32::MIN; FILES],
            said: [[i64::MIN; 2]; SAID],
        };
        here.send(&longest).unwrap();
        let received: Reply = there.receive().unwrap().unwrap();
        assert_eq!((received.ranges, received.said), (longest.ranges, longest.said));
        drop(here);
        assert!(there.receive::<Turn>().unwrap().is_none());
    }
}
