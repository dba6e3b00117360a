//! The other end of the client under test: a server played by the test itself.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};
use zillions_protocol::{Decoder, encode};

/// After this long a test is stuck, on however busy a machine.
const STUCK_SECONDS: u64 = 120;

/// A quiet time that no test lives to see the end of.
pub(crate) const PATIENT: &str = "--linger-seconds=inf";

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_commandline-client"))
}

pub(crate) struct Room {
    listener: TcpListener,
}

impl Room {
    pub(crate) fn open() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a listener has an address")
    }

    /// Starts a client of this room and takes its connection.
    pub(crate) fn client(&self, options: &[&str]) -> (Client, Peer) {
        let client = Client::start(&self.address().to_string(), options);
        let peer = self.accept();
        (client, peer)
    }

    pub(crate) fn accept(&self) -> Peer {
        let mut files = [PollFd::new(&self.listener, PollFlags::IN)];
        let timeout = Timespec { tv_sec: STUCK_SECONDS as i64, tv_nsec: 0 };
        let ready = poll(&mut files, Some(&timeout)).expect("waiting for a client");
        assert_eq!(ready, 1, "no client came");
        let (stream, _) = self.listener.accept().expect("a client");
        stream.set_read_timeout(Some(Duration::from_secs(STUCK_SECONDS))).expect("a limit");
        stream.set_write_timeout(Some(Duration::from_secs(STUCK_SECONDS))).expect("a limit");
        Peer { stream, decoder: Decoder::new() }
    }
}

/// The server's end of one connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    decoder: Decoder,
}

impl Peer {
    pub(crate) fn say(&mut self, body: &[u8]) {
        let mut frame = Vec::new();
        encode(body, &mut frame).expect("the body fits");
        self.stream.write_all(&frame).expect("the client is there");
    }

    /// The next message, or `None` at the end of the client's stream. Reads not a byte further.
    pub(crate) fn hear(&mut self) -> Option<Vec<u8>> {
        let mut byte = [0];
        loop {
            if self.stream.read(&mut byte).expect("the client is there") == 0 {
                assert!(self.decoder.is_at_boundary(), "the client's stream ends inside a frame");
                return None;
            }
            if let Some(body) = self.decoder.decode(&mut &byte[..]) {
                return Some(body.to_vec());
            }
        }
    }

    /// All messages up to the end of the client's stream.
    pub(crate) fn hear_all(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.hear()).collect()
    }
}

/// The client under test, with pipes for its files; killed when it is stuck or dropped.
pub(crate) struct Client {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    _not_stuck: mpsc::Sender<()>,
}

pub(crate) struct Ended {
    /// The exit status; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// User and system time of the whole run.
    pub(crate) cpu: Duration,
}

impl Client {
    pub(crate) fn start(address: &str, options: &[&str]) -> Self {
        let mut child = program()
            .args(options)
            .arg(address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let (not_stuck, stuck) = mpsc::channel();
        let pid = pid(&child);
        thread::spawn(move || {
            let limit = Duration::from_secs(STUCK_SECONDS);
            if stuck.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Self { child, stdin, stdout, _not_stuck: not_stuck }
    }

    pub(crate) fn pid(&self) -> Pid {
        pid(&self.child)
    }

    pub(crate) fn type_in(&mut self, text: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        stdin.write_all(text.as_ref()).expect("the client is there");
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of output, without its newline.
    pub(crate) fn read_line(&mut self) -> String {
        let stdout = self.stdout.as_mut().expect("the output is open");
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            assert_eq!(stdout.read(&mut byte).expect("a pipe"), 1, "the output ended: {line:?}");
            match byte {
                [b'\n'] => return String::from_utf8(line).expect("the output is UTF-8"),
                [byte] => line.push(byte),
            }
        }
    }

    /// Waits for the end, with what was not read of the output yet.
    pub(crate) fn end(mut self) -> Ended {
        let mut stdout = Vec::new();
        if let Some(mut pipe) = self.stdout.take() {
            pipe.read_to_end(&mut stdout).expect("a pipe");
        }
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("standard error is open");
        pipe.read_to_string(&mut stderr).expect("a pipe");
        // It has closed its files, so it is about to end; its figures stay until it is waited for.
        let exited =
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(self.pid()), exited).expect("a child");
        let cpu = cpu_time(self.pid());
        let status = self.child.wait().expect("a child");
        Ended {
            code: status.code(),
            signal: std::os::unix::process::ExitStatusExt::signal(&status),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr,
            cpu,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn cpu_time(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // After the name in parentheses: state is field 3, user and system ticks are 14 and 15.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number of ticks"))
        .sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
