//! How parent and worker take turns: a pipe each way, a message at a time.
//!
//! A message is a line of JSON, made and read in a buffer on the stack: the worker takes no memory for it.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::facts::Ranges;
use super::worker::{FILES, SAID};

/// What the worker is to do now.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Turn {
    /// The number of the step.
    pub(super) step: usize,
    /// Which repetition of it.
    pub(super) time: usize,
    /// The work is not done: a fault of ours, to see that it is found out.
    pub(super) left_out: bool,
    /// The last page of the first place is touched in addition: another.
    pub(super) extra_page: bool,
}

/// What the worker answers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Reply {
    /// The error that its work ended with; 0 for none.
    pub(super) errno: i32,
    /// The faults that its accesses took.
    pub(super) minor: i64,
    pub(super) major: i64,
    /// The child that it has made to work too; 0 for none.
    pub(super) second: i32,
    /// Where its memory is, by place: address and length.
    pub(super) ranges: Ranges,
    /// The descriptors of its files; 0 for none.
    pub(super) files: [i32; FILES],
    /// What it says: whether it does, and the number.
    pub(super) said: [[i64; 2]; SAID],
}

/// No message is as long: some thirty numbers of at most 20 digits, and their names (see the test).
const LONGEST: usize = 1024;

/// One side of a conversation.
#[derive(Debug)]
pub(super) struct Turns {
    from: PipeReader,
    to: PipeWriter,
}

impl Turns {
    /// Both sides of a new one.
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

    /// Waits for a message; `None` where there will be none any more.
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
