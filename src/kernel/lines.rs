//! Reads a text file line by line without keeping it in memory: `smaps` of 60,000 VMAs takes 44 MB.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// The maximum line length, in bytes. The longest line the kernel writes is in `maps`: about 80 bytes, and a path of at most
/// 4,096 bytes, each of which may be escaped to four.
pub const LONGEST: usize = 32 * 1024;

/// Calls `each` with the number (from one) and the bytes of every line of `file`, without the newline. `path` is for messages.
/// Stops if `each` fails.
pub fn for_each(file: &mut impl Read, path: &Path, mut each: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    // Compiled once: most of what calls this has a closure of its own.
    for_each_of(file, path, &mut each)
}

fn for_each_of(file: &mut dyn Read, path: &Path, each: &mut dyn FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    // The kernel returns at most a page at a time here; the buffer only has to hold one line and one such read.
    let mut buffer = vec![0; 2 * LONGEST];
    let (mut filled, mut number) = (0, 0);
    loop {
        let read = match file.read(&mut buffer[filled..]) {
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::from_io(e, path)),
        };
        let end = filled + read;
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &buffer[filled..end]) {
            let newline = filled + newline;
            number += 1;
            each(number, &buffer[start..newline])?;
            start = newline + 1;
        }
        if read == 0 {
            // A file that ends without a newline was truncated; the rest is still a line.
            return if end > start { each(number + 1, &buffer[start..end]) } else { Ok(()) };
        }
        if end - start > LONGEST {
            return Err(Error::malformed(path, number + 1, "the line is longer than any the kernel writes"));
        }
        buffer.copy_within(start..end, 0);
        filled = end - start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out its bytes a few at a time, as a seq_file does.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(self.0.len()).min(into.len());
            into[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn lines(bytes: &[u8], step: usize) -> Result<Vec<(usize, Vec<u8>)>> {
        let mut all = Vec::new();
        for_each(&mut Dribble(bytes, step), Path::new("x"), |n, line| {
            all.push((n, line.to_vec()));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn lines_come_out_whole_however_they_come_in() {
        let text = b"one\n\ntwo words\nlast without newline";
        let expected: Vec<(usize, Vec<u8>)> = vec![
            (1, b"one".to_vec()),
            (2, b"".to_vec()),
            (3, b"two words".to_vec()),
            (4, b"last without newline".to_vec()),
        ];
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(lines(text, step).unwrap(), expected, "in steps of {step}");
        }
        assert!(lines(b"", 10).unwrap().is_empty());
    }

    #[test]
    fn a_line_without_end_is_refused_and_not_collected() {
        let error = lines(&vec![b'x'; 10 * LONGEST], 4096).unwrap_err();
        assert!(matches!(error, Error::Malformed { line: 1, .. }), "{error}");
    }
}
