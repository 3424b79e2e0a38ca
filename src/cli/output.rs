//! Where results go: standard output, or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::options::{GlobalOptions, When};
use super::status::UsageError;
use crate::kernel::root::Root;
use crate::kernel::stdout;
use crate::view::size::Scale;
use crate::view::style::Palette;
use crate::view::table::Layout;

/// The writer of results.
#[derive(Debug)]
pub struct Output {
    writer: BufWriter<Sink>,
    palette: Palette,
    width: Option<usize>,
    height: Option<usize>,
    headings: bool,
}

#[derive(Debug)]
enum Sink {
    Stdout(io::Stdout),
    /// Nothing has been written yet: a run without output creates no file, and replaces none.
    Unopened {
        path: PathBuf,
        force: bool,
    },
    File(NewFile),
}

/// A file that is being written. One that replaces another has a name of its own until everything has been written once,
/// so that a full disk costs nothing.
#[derive(Debug)]
struct NewFile {
    file: File,
    /// Its name for now, and the name of the file it will replace.
    renamed: Option<(PathBuf, PathBuf)>,
}

impl NewFile {
    /// Creates a file with mode 0600, and never writes to an existing one through a symbolic link.
    fn create(path: &Path, force: bool) -> io::Result<Self> {
        let new = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        // Checked again: the file may have been created since the run began.
        if !force || path.symlink_metadata().is_err() || check_new(path, force).is_err() {
            return Ok(Self { file: new(path)?, renamed: None });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.pmem-{}", std::process::id()));
        Ok(Self { file: new(&beside)?, renamed: Some((beside, path.to_owned())) })
    }

    /// Gives it its name, now that everything has been written.
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()?;
        if let Some((from, to)) = &self.renamed {
            std::fs::rename(from, to)?;
            self.renamed = None;
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some((name, _)) = &self.renamed {
            // Nothing can be done about a file that cannot be removed.
            let _ = std::fs::remove_file(name);
        }
    }
}

/// Refuses a file that exists, unless it may be replaced: a regular file, or a symbolic link, whose target stays.
/// Replacing a device or a FIFO would destroy it.
///
/// # Errors
/// [`UsageError::Invalid`].
pub fn check_new(path: &Path, force: bool) -> Result<(), UsageError> {
    let Ok(existing) = path.symlink_metadata() else { return Ok(()) };
    let kind = existing.file_type();
    let why = match (kind.is_file() || kind.is_symlink(), force) {
        (true, true) => return Ok(()),
        (true, false) => "already exists; use --force to replace it",
        (false, true) => "not a regular file; --force replaces only regular files",
        (false, false) => "already exists and is not a regular file, so --force would not replace it",
    };
    Err(UsageError::Invalid(format!("{}: {why}", path.display())))
}

/// Writes a whole file: a new one, mode 0600, never an existing one reached through a symbolic link.
///
/// # Errors
/// [`UsageError::Invalid`] for a file that exists, unless it may be replaced, and I/O errors.
pub fn write_file(path: &Path, force: bool, bytes: &[u8]) -> Result<()> {
    check_new(path, force)?;
    let write = || {
        let mut new = NewFile::create(path, force)?;
        new.file.write_all(bytes)?;
        new.flush()
    };
    write().with_context(|| path.display().to_string())
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Self::Unopened { path, force } = self {
            let failed = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
            *self = Self::File(NewFile::create(path, *force).map_err(failed)?);
        }
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(new) => new.file.write(bytes),
            Self::Unopened { .. } => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(new) => new.flush(),
            Self::Unopened { .. } => Ok(()),
        }
    }
}

impl Output {
    /// The output that the options select.
    ///
    /// # Errors
    /// [`UsageError::Invalid`] for a file that exists, unless it may be replaced; and if standard output is closed.
    pub fn new(options: &GlobalOptions) -> Result<Self> {
        options.out.iter().try_for_each(|path| check_new(path, options.force))?;
        let sink = match &options.out {
            None if stdout::was_closed() => return Err(closed().into()),
            None => Sink::Stdout(io::stdout()),
            Some(path) => Sink::Unopened { path: path.clone(), force: options.force },
        };
        let terminal = options.out.is_none() && io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let coloured = match options.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !dumb && !no_color,
        };
        Ok(Self {
            writer: BufWriter::with_capacity(64 * 1024, sink),
            palette: Palette { coloured },
            width: terminal.then(terminal_width),
            height: if terminal { terminal_height() } else { None },
            headings: !options.no_headings,
        })
    }

    /// How tables are laid out on it.
    pub fn layout(&self, options: &GlobalOptions, root: &Root) -> Layout {
        Layout {
            scale: Scale { unit: options.unit(), page_size: root.page_size() },
            width: self.width,
            height: self.height,
            headings: self.headings,
            palette: self.palette,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The error if standard output is closed.
pub(super) fn closed() -> io::Error {
    io::Error::other("standard output is closed")
}

/// The width of the terminal; 80 if unknown.
fn terminal_width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))).unwrap_or(80).max(20)
}

/// The height of the terminal; `None` if unknown.
fn terminal_height() -> Option<usize> {
    let lines = std::env::var("LINES").ok().and_then(|lines| lines.parse().ok());
    lines.or_else(|| terminal_size::terminal_size().map(|(_, height)| usize::from(height.0))).filter(|&lines| lines > 0)
}
