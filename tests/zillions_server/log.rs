//! The log holds up nobody, whether it is read or not.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{ChildStderr, Command, Stdio};

use crate::metrics::get;
use crate::support::{Ended, PATIENCE, PROGRAM, eventually, read_until, send};

/// A server whose log the test decides about.
struct Logging {
    process: Ended,
    address: String,
}

impl Logging {
    fn start(options: &[&str], log: impl Into<Stdio>) -> Self {
        let process = Command::new(PROGRAM)
            .args(["127.0.0.1:0", "--shards", "2"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        let mut process = Ended(process.expect("it starts"));
        let mut line = String::new();
        let stdout = process.0.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("its line");
        let address = line.trim().strip_prefix("listening on ").expect("its address").to_owned();
        Self { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// Sends a message of its own and reads until it comes back.
    fn echo(&self, stream: &mut TcpStream, body: &[u8]) {
        send(stream, body);
        read_until(stream, body);
    }

    fn terminate(&self) {
        let process = self.process.0.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &process]).status().expect("kill");
        assert!(killed.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("it ends", || {
            status = self.process.0.try_wait().expect("its status");
            status.is_some()
        });
        status.expect("it has ended").code()
    }
}

/// One with metrics, whose log is a pipe of the test's own.
struct Piped {
    server: Logging,
    metrics: String,
    log: BufReader<ChildStderr>,
}

impl Piped {
    fn start(options: &[&str]) -> Self {
        let options = [&["--metrics", "127.0.0.1:0"], options].concat();
        let mut server = Logging::start(&options, Stdio::piped());
        let pipe = server.process.0.stderr.take().expect("a pipe");
        let mut log = BufReader::with_capacity(256, pipe);
        let (mut line, mut metrics) = (String::new(), None);
        while metrics.is_none() {
            line.clear();
            assert_ne!(log.read_line(&mut line).expect("a line"), 0, "it has ended");
            metrics = line.trim().split_once("metrics address=").map(|(_, it)| it.to_owned());
        }
        Self { server, metrics: metrics.expect("found"), log }
    }
}

/// More lines than the queue, the pipe and both readers' buffers hold.
const CONNECTIONS: usize = 4000;

#[test]
fn a_log_that_is_held_and_not_read_loses_lines_and_says_how_many() {
    let Piped { mut server, metrics, mut log } = Piped::start(&["--log-level", "debug"]);
    let mut witness = server.connect();
    for number in 0..CONNECTIONS {
        let mut passing = server.connect();
        server.echo(&mut passing, &number.to_le_bytes());
    }
    server.echo(&mut witness, b"still here");
    let mut lost = 0;
    eventually("lines are lost", || {
        let (status, text) = get(&metrics, "/metrics");
        assert_eq!(status, 200);
        let line = text.lines().find(|line| line.starts_with("zillions_log_lines_lost_total "));
        lost = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a number");
        lost > 0
    });
    let mut line = String::new();
    while !line.contains("log lines were lost") {
        line.clear();
        assert_ne!(log.read_line(&mut line).expect("a line"), 0, "it is never told");
    }
    assert!(line.contains("WARN") && line.contains("lines="), "{line}");
    server.terminate();
    assert_eq!(server.exit_code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("the rest");
    assert!(rest.contains("stopped"), "it is written to the end: {rest}");
    assert!(!rest.contains("log lines were lost"), "it is told once: {rest}");
}

#[test]
fn a_log_that_is_held_and_not_read_does_not_delay_the_stop_for_long() {
    let Piped { mut server, log: _unread, .. } = Piped::start(&["--log-level", "debug"]);
    for number in 0..CONNECTIONS / 4 {
        let mut passing = server.connect();
        server.echo(&mut passing, &number.to_le_bytes());
    }
    server.terminate();
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_log_whose_reader_has_gone_ends_nothing() {
    let options =
        ["--slow-reader", "disconnect", "--ring-bytes", "64KiB", "--send-buffer-bytes", "8KiB"];
    let Piped { mut server, metrics, log } = Piped::start(&options);
    drop(log);
    let mut stalled = server.connect();
    server.echo(&mut stalled, b"in");
    let mut witness = server.connect();
    server.echo(&mut witness, b"too");
    // A slow client is disconnected, which is a line of the log.
    eventually("the slow client is disconnected", || {
        for number in 0..200_u8 {
            // Never so much at once that it is slow itself.
            server.echo(&mut witness, &[number; 250]);
        }
        let (_, text) = get(&metrics, "/metrics");
        text.lines().any(|line| line.contains("reason=\"slow\"") && !line.ends_with(" 0"))
    });
    server.terminate();
    // It is drained: the end of the stream is an ordinary one.
    assert_eq!(witness.read_to_end(&mut Vec::new()).expect("no reset"), 0);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_log_on_a_full_disk_ends_nothing() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
    let mut server = Logging::start(&["--log-level", "debug"], full);
    let mut client = server.connect();
    server.echo(&mut client, b"all the same");
    server.terminate();
    assert_eq!(server.exit_code(), Some(0));
}
