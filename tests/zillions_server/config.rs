//! The config file: the same server, described in TOML.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::net::TcpStream;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal as RawSignal, kill_process};
use tempfile::TempDir;

use crate::support::{Ended, PATIENCE, PROGRAM, receive, send};

/// A server that was started with a config file.
pub(crate) struct Configured {
    server: Ended,
    folder: TempDir,
    lines: Lines<BufReader<ChildStdout>>,
    log: BufReader<ChildStderr>,
}

impl Configured {
    pub(crate) fn start(text: &str) -> Self {
        // A background job's ignored signal would be inherited.
        Self::start_with_hangup(text, "DFL")
    }

    /// Starts it with SIGHUP ignored (`IGN`) or not (`DFL`).
    pub(crate) fn start_with_hangup(text: &str, action: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("zillions.toml");
        fs::write(&path, text).expect("a file");
        let action = if action == "IGN" { "--ignore-signal=HUP" } else { "--default-signal=HUP" };
        let mut command = Command::new("env");
        command.args([action, PROGRAM, "--config"]).arg(&path);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut server = Ended(command.spawn().expect("it starts"));
        let lines = BufReader::new(server.0.stdout.take().expect("a pipe")).lines();
        let log = BufReader::new(server.0.stderr.take().expect("a pipe"));
        Self { server, folder, lines, log }
    }

    /// Changes the file and sends SIGHUP.
    pub(crate) fn reload(&self, text: &str) {
        fs::write(self.folder.path().join("zillions.toml"), text).expect("a file");
        self.signal(RawSignal::HUP);
    }

    pub(crate) fn terminate(&self) {
        self.signal(RawSignal::TERM);
    }

    fn signal(&self, signal: RawSignal) {
        let process = Pid::from_child(&self.server.0);
        kill_process(process, signal).expect("it runs");
    }

    /// The next line of the log that contains `text`.
    pub(crate) fn log_line_with(&mut self, text: &str) -> String {
        let mut lines = self.log.by_ref().lines().map(|line| line.expect("text"));
        lines.find(|line| line.contains(text)).expect("it logs that")
    }

    /// The log up to the end of the server.
    pub(crate) fn rest_of_log(&mut self) -> String {
        let mut text = String::new();
        self.log.read_to_string(&mut text).expect("text");
        text
    }

    /// The next address that the server says it listens on.
    pub(crate) fn next_address(&mut self) -> String {
        let line = self.lines.next().expect("a line").expect("text");
        line.strip_prefix("listening on ").expect("an address").to_owned()
    }

    pub(crate) fn connect(&self, address: &str) -> TcpStream {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        stream
    }
}

/// Runs the program to its end: its exit code, standard output and standard error.
pub(crate) fn outcome(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).args(arguments).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_config_file_serves_its_addresses_with_its_limits() {
    let mut configured = Configured::start(
        "[server]\nshards = 1\nlog_level = \"error\"\n[clients]\nmax_clients = 1\n\
         [[room]]\nname = \"lobby\"\nlisten = [\"127.0.0.1:0\", \"[::1]:0\"]\nring_bytes = \"16KiB\"\n",
    );
    let [first, second] = [configured.next_address(), configured.next_address()];
    let mut first = configured.connect(&first);
    send(&mut first, b"served");
    assert_eq!(receive(&mut first).as_deref(), Some(&b"served"[..]));
    let mut second = configured.connect(&second);
    assert_eq!(receive(&mut second), None, "one client is allowed");
}

#[test]
fn a_config_file_is_checked_without_serving() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("zillions.toml");
    let file = path.to_str().expect("text");
    let (code, printed, _) = outcome(&["--print-config"]);
    assert_eq!(code, Some(0));
    fs::write(&path, &printed).expect("a file");
    let valid = (Some(0), format!("{file}: valid\n"), String::new());
    assert_eq!(outcome(&["--check-config", file]), valid);

    fs::write(&path, printed.replace("drop", "dorp")).expect("a file");
    let line = 1 + printed.lines().position(|line| line == "slow_reader = \"drop\"").expect("it");
    for arguments in [["--check-config", file], ["--config", file]] {
        let (code, stdout, stderr) = outcome(&arguments);
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{stderr}");
        let place = format!("zillions-server: error: {file}:{line}: unknown variant `dorp`");
        assert!(stderr.starts_with(&place) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn a_config_file_that_is_missing_or_not_alone_is_refused() {
    let (code, _, stderr) = outcome(&["--config", "/missing/zillions.toml"]);
    assert_eq!(code, Some(64));
    let expected = "zillions-server: error: /missing/zillions.toml: cannot read it: No such file";
    assert!(stderr.starts_with(expected) && stderr.lines().count() == 1, "{stderr}");
    for beside in ["127.0.0.1:0", "--shards=2", "--slow-reader=drop", "--print-config"] {
        let (code, stdout, stderr) = outcome(&["--config", "zillions.toml", beside]);
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{stderr}");
        assert!(stderr.contains("'--config <FILE>' cannot be used with"), "{beside}: {stderr}");
    }
}
