//! The quick start of the operator's page, followed unchanged in an empty folder: its config
//! files are written where it says, its commands typed into one shell, and what it shows must come.
//! Only the ports are others, so that tests may run beside each other.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use zillions_harness::PortLease;

use crate::support::PROGRAM;

const PAGE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating-zillions-server.md"));
/// The ports that the page uses.
const PORTS: [&str; 4] = ["7000", "7080", "7443", "9100"];
/// What its commands need beside the project's own programs; the project's CI has them.
const NEEDED: [&str; 3] = ["bash", "curl", "openssl"];

/// How long a line that the page shows may take to come.
const SHOWN_WITHIN: Duration = Duration::from_secs(120);

/// What the reader does, in the order of the page.
#[derive(Debug)]
enum Step {
    /// Writes `zillions.toml`.
    Config(String),
    /// Types a command, and sees these lines, perhaps among others; "…" stands for the time.
    Command(String, Vec<String>),
}

/// The blocks of the section.
fn steps(page: &str) -> Vec<Step> {
    let (_, section) = page.split_once("\n## Quick start\n").expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let mut steps = Vec::new();
    // Every second part is a block.
    for block in section.split("```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').expect("a kind");
        match kind {
            "toml" => steps.push(Step::Config(text.to_owned())),
            "console" => steps.extend(commands(text)),
            _ => panic!("a block that no test follows: {block}"),
        }
    }
    steps
}

fn commands(text: &str) -> Vec<Step> {
    let commands = text.split("$ ").skip(1).map(|part| {
        let mut lines = part.lines();
        let mut command = lines.next().expect("a command").to_owned();
        while command.ends_with('\\') {
            command.push('\n');
            command.push_str(lines.next().expect("the rest of it"));
        }
        Step::Command(command, lines.map(str::to_owned).collect())
    });
    commands.collect()
}

/// A shell in a folder of its own.
struct Shell {
    process: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let programs = Path::new(PROGRAM).parent().expect("a folder");
        let mut path = OsString::from(programs);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        // Bash leaves ignored what is ignored when it starts; and the page reloads with SIGHUP.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,QUIT,HUP", "bash"]);
        command.current_dir(folder).env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own, so that what it has started ends with it.
        let mut process = command.process_group(0).spawn().expect("bash starts");
        let mut input = process.stdin.take().expect("a pipe");
        // As on a terminal, where both are seen; and a pipeline fails with any of its parts.
        writeln!(input, "exec 2>&1; set -o pipefail").expect("it reads");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let (sender, output) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, input, output }
    }

    /// Types a command and reads until it has ended well and all of the lines have come, in this
    /// order.
    fn follow(&mut self, command: &str, expected: &[String]) {
        writeln!(self.input, "{command}\necho \"ended: $?\"").expect("it reads");
        let mut expected = expected.iter().peekable();
        let (mut has_ended, mut seen) = (false, String::new());
        while !has_ended || expected.peek().is_some() {
            let line = self.output.recv_timeout(SHOWN_WITHIN);
            let line = line.unwrap_or_else(|error| {
                panic!("{command}: {error}, where {:?} is due: {seen}", expected.peek())
            });
            seen += &format!("{line}\n");
            if let Some(code) = line.strip_prefix("ended: ") {
                assert_eq!(code, "0", "{command}: {seen}");
                has_ended = true;
            } else if expected.peek().is_some_and(|it| is_shown(it, &line)) {
                expected.next();
            }
            // A server in the background may still say something; a command that has ended not.
            let waits = has_ended && !command.ends_with('&') && !command.starts_with("kill");
            assert!(!waits || expected.peek().is_none(), "{command}: no {expected:?} in {seen}");
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Of no effect if everything has ended.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}

fn is_shown(expected: &str, line: &str) -> bool {
    match expected.strip_prefix("… ") {
        Some(rest) => line.contains(rest),
        None => line == expected,
    }
}

/// Whether everything is there that the commands need; says so if not. Where CI is true it is an
/// error.
fn can_follow() -> bool {
    let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    let missing: Vec<_> = NEEDED.iter().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI without {missing:?}");
        eprintln!("skipped: not on PATH: {missing:?}");
    }
    missing.is_empty()
}

#[test]
fn the_quick_start_works_to_the_letter() {
    if !can_follow() {
        return;
    }
    let leases = PORTS.map(|_| PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port"));
    let with_ports = |text: &str| {
        PORTS.iter().zip(&leases).fold(text.to_owned(), |text, (port, lease)| {
            text.replace(&format!(":{port}"), &format!(":{}", lease.address().port()))
        })
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut shell = Shell::start(folder.path());
    let steps = steps(PAGE);
    assert!(steps.len() > 8, "{steps:?}");
    for step in steps {
        match step {
            Step::Config(text) => {
                fs::write(folder.path().join("zillions.toml"), with_ports(&text)).expect("a file");
            }
            // The programs are those of this build.
            Step::Command(command, _) if command == "cargo install --path ." => {}
            Step::Command(command, shown) => {
                let shown: Vec<String> = shown.iter().map(|line| with_ports(line)).collect();
                shell.follow(&with_ports(&command), &shown);
            }
        }
    }
}
