//! A terminal with the client on it: what is typed goes in, the screen is what an emulator shows.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use vt100::{Parser, Screen};

/// No progress for so long is a failure; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a user had on the screen before.
const BEFORE: &str = "before the chat";

pub(crate) const ROWS: u16 = 12;
pub(crate) const COLUMNS: u16 = 70;

/// The client, with the default action for signals: what is ignored is inherited.
pub(crate) fn program() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,QUIT,HUP", "TERM=xterm", "USER=ann"]);
    command.env_remove("NO_COLOR");
    command
}

enum Output {
    Bytes(Vec<u8>),
    /// The exit code, or what a shell makes of a signal.
    Ended(i32),
}

/// The client on a terminal, ended when this is dropped.
pub(crate) struct Terminal {
    /// The emulator's end.
    ours: File,
    /// The client's end, kept so that its modes can be read when the client has gone.
    theirs: OwnedFd,
    modes_before: String,
    client: Pid,
    ended: Option<i32>,
    output: Receiver<Output>,
    emulator: Parser,
    /// All that was written.
    pub(crate) written: Vec<u8>,
}

impl Terminal {
    /// Starts `zillions chat` with `arguments`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(&[], arguments)
    }

    /// As [`start`](Self::start), with variables of the environment as `NAME=VALUE`.
    pub(crate) fn start_with(variables: &[&str], arguments: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).expect("a terminal");
        grantpt(&ours).expect("its other end");
        unlockpt(&ours).expect("its other end");
        let theirs = ioctl_tiocgptpeer(&ours, flags).expect("its other end");
        tcsetwinsize(&ours, winsize(COLUMNS, ROWS)).expect("its size");
        let modes_before = modes(&theirs);
        let copy = || theirs.try_clone().expect("a copy");
        File::from(copy()).write_all(BEFORE.as_bytes()).expect("it is written");
        // It becomes the terminal that controls the client, as in a shell.
        let client = program()
            .args(variables)
            .args(["setsid", "--ctty", env!("CARGO_BIN_EXE_zillions"), "chat"])
            .args(arguments)
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .spawn();
        let mut client = client.expect("the client starts");
        let (sender, output) = channel();
        let pid = Pid::from_child(&client);
        let ours = File::from(ours);
        read_on(ours.try_clone().expect("a copy"), sender.clone());
        thread::spawn(move || {
            use std::os::unix::process::ExitStatusExt;
            let status = client.wait().expect("an end");
            let code = status.code().or_else(|| status.signal().map(|it| 128 + it));
            // Nobody listens once the test is over.
            let _ = sender.send(Output::Ended(code.unwrap_or(-1)));
        });
        let emulator = Parser::new(ROWS, COLUMNS, 0);
        let written = Vec::new();
        let ended = None;
        Self { ours, theirs, modes_before, client: pid, ended, output, emulator, written }
    }

    /// Types `keys` as a terminal sends them.
    pub(crate) fn press(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).expect("the client reads");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.client, signal).expect("the client runs");
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.emulator.screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.ours, winsize(columns, rows)).expect("a size");
    }

    /// Waits until the screen is as wanted.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Screen) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(self.emulator.screen()) {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(Output::Bytes(bytes)) => {
                    self.emulator.process(&bytes);
                    self.written.extend_from_slice(&bytes);
                }
                Ok(Output::Ended(code)) => self.ended = Some(code),
                Err(_) => panic!("not as wanted, ended {:?}:\n{}", self.ended, self.text()),
            }
        }
    }

    /// Waits until `text` is somewhere on the screen.
    pub(crate) fn wait_for(&mut self, text: &str) {
        self.wait(|screen| screen.contents().contains(text));
    }

    /// The whole screen as text.
    pub(crate) fn text(&self) -> String {
        self.emulator.screen().contents()
    }

    /// One row of the screen, from the top or, below 0, from the bottom.
    pub(crate) fn row(&self, row: isize) -> String {
        let (rows, columns) = self.emulator.screen().size();
        let index = if row < 0 { isize::try_from(rows).expect("few") + row } else { row };
        let index = usize::try_from(index).expect("a row");
        self.emulator.screen().rows(0, columns).nth(index).expect("a row").trim_end().to_owned()
    }

    /// Waits for the end. Returns the exit code.
    pub(crate) fn wait_for_end(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        while self.ended.is_none() {
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Output::Bytes(bytes)) => {
                    self.emulator.process(&bytes);
                    self.written.extend_from_slice(&bytes);
                }
                Ok(Output::Ended(code)) => self.ended = Some(code),
                Err(_) => panic!("it does not end:\n{}", self.text()),
            }
        }
        // After this, all that the client wrote has been read.
        let mut theirs = File::from(self.theirs.try_clone().expect("a copy"));
        theirs.write_all(b"\x1b]0;all read\x07#").expect("it is written");
        let fence = |written: &[u8]| written.ends_with(b"\x07#");
        while !fence(&self.written) {
            match self.output.recv_timeout(PATIENCE) {
                Ok(Output::Bytes(bytes)) => {
                    self.emulator.process(&bytes);
                    self.written.extend_from_slice(&bytes);
                }
                _ => panic!("the last words do not come"),
            }
        }
        self.ended.expect("it has ended")
    }

    /// That the terminal, after the end, is as it was before the client.
    pub(crate) fn is_as_before(&self) {
        let screen = self.emulator.screen();
        assert!(!screen.alternate_screen(), "it is still the client's screen");
        assert!(!screen.bracketed_paste(), "pastes are still marked");
        assert!(!screen.hide_cursor(), "the cursor is hidden");
        assert!(screen.contents().starts_with(BEFORE), "{}", screen.contents());
        assert_eq!(modes(&self.theirs), self.modes_before);
        let last =
            |what: &str| self.written.windows(what.len()).rposition(|it| it == what.as_bytes());
        assert!(last("\x1b[?1004l") > last("\x1b[?1004h"), "focus is still reported");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Of no effect on one that has ended meanwhile.
            let _ = kill_process(self.client, Signal::KILL);
        }
    }
}

fn winsize(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn modes(terminal: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(terminal).expect("its modes"))
}

fn read_on(mut terminal: File, sender: Sender<Output>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // It ends with an error once nobody has the other end.
        while let Ok(bytes @ 1..) = terminal.read(&mut buffer) {
            if sender.send(Output::Bytes(buffer[..bytes].to_vec())).is_err() {
                return;
            }
        }
    });
}
