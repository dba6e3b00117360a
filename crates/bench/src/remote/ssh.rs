//! The user's own `ssh`: its configuration, keys and known hosts are what lets us in.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::process::{Command, ExitStatus, Stdio};

use super::error::RemoteError;

/// Nobody is asked for a password amid a run, a connection that is dead is told within 15 s, and no
/// process of a shared connection is left behind.
const OPTIONS: [&str; 6] = [
    "-T",
    "-oBatchMode=yes",
    "-oConnectTimeout=10",
    "-oServerAliveInterval=5",
    "-oServerAliveCountMax=3",
    "-oControlMaster=no",
];

/// How `ssh` ends when it failed itself, and not what it ran.
const OWN_FAILURE: i32 = 255;
/// How a shell ends that does not find a program, or may not run it.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// How the helper is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// The machine, as `ssh` knows it.
    pub host: String,
    /// The zillions there, as that machine's shell reads it.
    pub zillions: String,
}

impl Ssh {
    /// The command that runs the helper there.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        // A host is never taken for an option.
        command
            .args(OPTIONS)
            .arg("--")
            .arg(&self.host)
            .arg(format!("{} bench-agent", self.zillions));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Why there is no helper, in one line, from how `ssh` ended and what it said last.
    pub(super) fn failure(&self, status: ExitStatus, said: &str) -> String {
        let (host, zillions) = (&self.host, &self.zillions);
        let said = if said.is_empty() { "it said nothing" } else { said };
        match status.code() {
            Some(OWN_FAILURE) => format!(
                "cannot reach '{host}' by ssh: {said}; try ssh {host} true, which must not ask for \
                 anything"
            ),
            Some(NOT_FOUND | NOT_EXECUTABLE) => format!(
                "no '{zillions}' can be run on '{host}': {said}; install the same zillions there, \
                 or name it with --ssh-zillions PROGRAM"
            ),
            _ => format!(
                "'{zillions}' on '{host}' is no helper of this version ({status}): {said}; install \
                 zillions {} there",
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
}

/// Why `ssh` cannot be run.
pub(super) fn not_run(error: &io::Error) -> RemoteError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => {
            "no 'ssh' on PATH: install the client of OpenSSH (apt-get install openssh-client)"
                .to_owned()
        }
        _ => format!("cannot run ssh: {error}"),
    };
    RemoteError { reason }
}

/// The IP address of `host`, by the name that `ssh` would connect to.
///
/// # Errors
/// When there is no `ssh`, or the name has no address here.
pub fn address_of(host: &str) -> Result<IpAddr, RemoteError> {
    let output = Command::new("ssh")
        .args(["-G", "--", host])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_run(&error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let name = text.lines().find_map(|line| line.strip_prefix("hostname ")).unwrap_or(host);
    let mut addresses = (name, 0).to_socket_addrs().into_iter().flatten();
    addresses.next().map(|address| address.ip()).ok_or_else(|| RemoteError {
        reason: format!(
            "'{name}' has no IP address here: name the one that servers on '{host}' are to listen \
             on, and that is reached from here, with --ssh-address IP"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn each_failure_says_who_failed_and_what_to_do() {
        let ssh = Ssh { host: "far".to_owned(), zillions: "zillions".to_owned() };
        let failure = |code: i32, said: &str| ssh.failure(ExitStatus::from_raw(code << 8), said);
        for (code, said, expected) in [
            (255, "Permission denied", "cannot reach 'far' by ssh: Permission denied; try ssh far"),
            (127, "sh: not found", "no 'zillions' can be run on 'far': sh: not found; install"),
            (64, "", "'zillions' on 'far' is no helper of this version (exit status: 64): it said"),
        ] {
            let text = failure(code, said);
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
