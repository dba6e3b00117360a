//! Servers to run the commands on, and a shorthand for what they print.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use zillions_harness::PortLease;

pub(crate) const ZILLIONS: &str = env!("CARGO_BIN_EXE_zillions");
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_commandline-client");
pub(crate) const STRESSTEST: &str = env!("CARGO_BIN_EXE_stresstest");

/// An executable of its own, in a folder of its own, with an address for it.
pub(crate) struct Script {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    lease: PortLease,
}

impl Script {
    /// A shell script.
    pub(crate) fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
        Self { _folder: folder, path, lease }
    }

    /// The correct server, or one with a known fault: `--fault NAME`.
    pub(crate) fn server(options: &str) -> Self {
        Self::new(&format!("exec '{ZILLIONS}' faulty-server {options} \"$@\""))
    }

    pub(crate) fn address(&self) -> String {
        self.lease.address().to_string()
    }

    /// The path, as text.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// A program with the default action for the signals that a background job or `nohup` ignores: what
/// is ignored is inherited.
pub(crate) fn interruptible(program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,QUIT,HUP", program]);
    command
}

/// What a command ended with.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The one line on standard error; anything else fails the test.
    pub(crate) fn line(&self) -> &str {
        assert_eq!(self.stderr.lines().count(), 1, "one line: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr.trim_end()
    }
}

/// Runs a command to its end.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Ended {
    ended(Command::new(program).args(arguments).output().expect("the command runs"))
}

pub(crate) fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Processes whose command line mentions `text`.
pub(crate) fn processes_mentioning(text: &str) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}
