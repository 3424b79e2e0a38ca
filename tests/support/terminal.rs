//! Programs on a terminal: a pseudo-terminal of the test, with a thread that reads what is drawn; and tmux.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, ttyname};

/// Nothing takes nearly as long, even on a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until something is there; the error of `is` says what there is instead.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut is: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match is() {
            Ok(found) => return found,
            Err(instead) if start.elapsed() > DEADLINE => panic!("no {what} within {DEADLINE:?}, but:\n{instead}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A program with a pseudo-terminal as its controlling terminal.
pub(crate) struct Terminal {
    child: Child,
    master: Option<File>,
    reader: Option<Reader>,
    slave: OwnedFd,
    path: PathBuf,
    screen: Arc<Mutex<vt100::Parser>>,
    /// The bytes that were drawn.
    drawn: Arc<AtomicU64>,
    modes: String,
}

/// The thread that reads what is drawn.
struct Reader {
    thread: JoinHandle<()>,
    /// Whether it should stop reading.
    gone: Arc<AtomicBool>,
}

impl Terminal {
    /// Starts a program on a terminal with this many columns and lines.
    pub(crate) fn start((width, height): (u16, u16), program: &[&str]) -> Self {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        // Programs started by other tests must not inherit it.
        for fd in [pty.master.as_fd(), pty.slave.as_fd()] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let path = ttyname(&pty.slave).unwrap();
        let (master, screen) = (File::from(pty.master), Arc::new(Mutex::new(vt100::Parser::new(height, width, 0))));
        let (mut from, to) = (master.try_clone().unwrap(), Arc::clone(&screen));
        fcntl(&from, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK)).unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let is_gone = Arc::clone(&gone);
        let drawn = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&drawn);
        let thread = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while !is_gone.load(Ordering::SeqCst) {
                match from.read(&mut bytes) {
                    Ok(read @ 1..) => {
                        to.lock().unwrap().process(&bytes[..read]);
                        count.fetch_add(read as u64, Ordering::SeqCst);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    _ => return,
                }
            }
        });
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut terminal = Self {
            modes: String::new(),
            // It also leaves no core file behind.
            child: Command::new("sh")
                .args(["-c", "ulimit -c 0; exec setsid --ctty \"$@\"", "sh"])
                .args(program)
                .env("TERM", "xterm-256color")
                .env_remove("NO_COLOR")
                .env_remove("COLUMNS")
                .stdin(end())
                .stdout(end())
                .stderr(end())
                .spawn()
                .unwrap(),
            master: Some(master),
            reader: Some(Reader { thread, gone }),
            slave: pty.slave,
            path,
            screen,
            drawn,
        };
        // No program has changed them yet: they are those of any new terminal.
        terminal.modes = modes_of(&openpty(Some(&size), None).unwrap().slave);
        terminal
    }

    /// Types.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.master.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// What is on the screen.
    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Whether anything on the screen has a colour.
    pub(crate) fn is_coloured(&self) -> bool {
        let parser = self.screen.lock().unwrap();
        let (screen, (rows, columns)) = (parser.screen(), parser.screen().size());
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| screen.cell(row, column));
        cells.any(|cell| cell.bold() || cell.fgcolor() != vt100::Color::Default)
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) {
        wait_for(words, || {
            let text = self.text();
            if text.contains(words) { Ok(()) } else { Err(text) }
        });
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, (width, height): (u16, u16)) {
        self.screen.lock().unwrap().screen_mut().set_size(height, width);
        self.tell_size((width, height));
    }

    /// Tells the program another size, whatever that of the terminal is.
    pub(crate) fn tell_size(&self, (width, height): (u16, u16)) {
        let (width, height) = (width.to_string(), height.to_string());
        let stty = Command::new("stty").arg("-F").arg(&self.path).args(["cols", &width, "rows", &height]).status();
        assert!(stty.unwrap().success());
    }

    /// Waits until something was drawn after this, and nothing more for a while.
    pub(crate) fn wait_for_drawn(&self) {
        let drawn = || self.drawn.load(Ordering::SeqCst);
        let (mut before, first) = (drawn(), drawn());
        wait_for("drawing", || {
            std::thread::sleep(Duration::from_millis(300));
            let now = drawn();
            let is_still = now > first && now == std::mem::replace(&mut before, now);
            if is_still { Ok(()) } else { Err(format!("{now} bytes drawn")) }
        });
    }

    /// The peak memory of the program so far, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Whether the program has taken the terminal: the alternate screen, no cursor, no echo.
    pub(crate) fn is_taken(&self) -> [bool; 3] {
        let parser = self.screen.lock().unwrap();
        let screen = parser.screen();
        [screen.alternate_screen(), screen.hide_cursor(), modes_of(&self.slave) != self.modes]
    }

    /// Hangs up, like a terminal whose window is closed, and waits for the program's end.
    #[track_caller]
    pub(crate) fn vanish(mut self) -> ExitStatus {
        let Self { child, reader, master, screen, .. } = &mut self;
        // The master is closed when the second of its two holders drops it.
        if let Some(reader) = reader.take() {
            reader.gone.store(true, Ordering::SeqCst);
            reader.thread.join().unwrap();
        }
        drop(master.take());
        wait_for("end", || child.try_wait().unwrap().ok_or_else(|| screen.lock().unwrap().screen().contents()))
    }

    /// Waits for the program's end: its status, once the terminal is as it was before.
    #[track_caller]
    pub(crate) fn end(mut self) -> ExitStatus {
        let status = wait_for("end", || self.child.try_wait().unwrap().ok_or_else(|| self.text()));
        wait_for("terminal given back", || match self.is_taken() {
            [false, false, false] => Ok(()),
            taken => Err(format!("alternate screen, hidden cursor, other modes: {taken:?}; {status:?}")),
        });
        status
    }

    /// Waits for the program's end by a signal.
    #[track_caller]
    pub(crate) fn end_by(self, signal: Signal) {
        assert_eq!(self.end().signal(), Some(signal as i32));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // This happens if a test failed; otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The modes of a terminal: echo, lines, signals.
fn modes_of(slave: &OwnedFd) -> String {
    let stty = Command::new("stty").arg("-g").stdin(slave.try_clone().unwrap()).output().unwrap();
    assert!(stty.status.success());
    String::from_utf8(stty.stdout).unwrap()
}

/// A shell in a tmux server for the test.
pub(crate) struct Tmux {
    socket: String,
}

impl Tmux {
    /// Starts one, if there is tmux.
    pub(crate) fn start((width, height): (u16, u16)) -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok()?;
        let tmux = Self { socket: format!("pmem-test-{}-{width}x{height}", std::process::id()) };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = "exec env PS1='ready$ ' sh -i";
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, shell]);
        tmux.wait_for("ready$");
        Some(tmux)
    }

    /// Runs a tmux command and returns its output.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.socket]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types words, with keys by their names.
    pub(crate) fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) {
        wait_for(words, || {
            let text = self.run(&["capture-pane", "-p"]);
            if text.contains(words) { Ok(()) } else { Err(text) }
        });
    }

    /// Waits until the terminal is taken by a program (or is not): `1 0` for the alternate screen without a cursor.
    #[track_caller]
    pub(crate) fn wait_for_screen(&self, expected: &str) {
        wait_for(expected, || {
            let found = self.run(&["display", "-p", "#{alternate_on} #{cursor_flag}"]);
            if found.trim() == expected { Ok(()) } else { Err(found) }
        });
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}
