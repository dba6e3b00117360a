//! The other end of the client under test: a server played by the test itself.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
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

/// The client, with the default action for the signals that a background job or `nohup` ignores:
/// what is ignored is inherited.
pub(crate) fn program() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,QUIT,HUP", env!("CARGO_BIN_EXE_commandline-client")]);
    command
}

pub(crate) struct FakeServer {
    listener: TcpListener,
}

impl FakeServer {
    pub(crate) fn open() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a listener has an address")
    }

    /// Starts a client of this server and takes its connection.
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

    /// Waits until the client sleeps every time of many that it is looked at in a row. A loop that
    /// does not wait never does, even on a busy machine: it wants to run, whether it may or not.
    /// (That it is woken once in a while is fine: TCP does that.)
    pub(crate) fn assert_it_sleeps(&self) {
        const LOOKS: usize = 200;
        let start = Instant::now();
        let mut asleep = 0;
        while asleep < LOOKS {
            assert!(start.elapsed().as_secs() < STUCK_SECONDS, "it does not come to rest");
            if self.sleeps() {
                asleep += 1;
            } else {
                asleep = 0;
                thread::yield_now();
            }
        }
    }

    fn sleeps(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a process");
        // The state comes after the name, which is in parentheses.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        fields.trim_start().starts_with('S')
    }

    /// The most memory it ever had.
    pub(crate) fn resident_kib_peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its peak");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
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
        let status = self.child.wait().expect("a child");
        Ended {
            code: status.code(),
            signal: std::os::unix::process::ExitStatusExt::signal(&status),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr,
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
