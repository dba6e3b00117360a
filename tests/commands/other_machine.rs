//! `bench --ssh`, through a real sshd on the loopback device.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use zillions_harness::PortLease;
use zillions_harness::group::Group;
use zillions_report::record::{TrialRecord, TrialResult};
use zillions_report::results::Results;

use crate::support::{Ended, ZILLIONS, ended, processes_mentioning};
use crate::workspace::{SMALL, Workspace};

const SERVER: &str = env!("CARGO_BIN_EXE_zillions-server");
/// Where Debian and most others have it; not on every PATH.
const SSHD: &str = "/usr/sbin/sshd";
/// What the configuration of ssh calls the other machine.
const HOST: &str = "far";
/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine that is reached by ssh: this one, by an sshd of our own.
struct OtherMachine {
    workspace: Workspace,
    /// An `ssh` that knows the machine is here.
    path: String,
    /// A server there; no other process is called so.
    server: PathBuf,
    sshd: Option<Group>,
    _lease: PortLease,
}

impl OtherMachine {
    /// `None` where there is no sshd.
    fn start() -> Option<Self> {
        if !Path::new(SSHD).is_file() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI without {SSHD}");
            eprintln!("skipped: no {SSHD}; apt-get install openssh-server installs it");
            return None;
        }
        let workspace = Workspace::new();
        let path = |name: &str| workspace.path(name);
        for key in ["host-key", "user-key", "stranger-key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)])
                .stdin(Stdio::null())
                .status();
            assert!(made.is_ok_and(|status| status.success()), "{key}");
        }
        let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
        let port = lease.address().port();
        let host_key = fs::read_to_string(path("host-key.pub")).expect("a key");
        fs::write(path("known-hosts"), format!("[127.0.0.1]:{port} {host_key}")).expect("a file");
        let config = format!(
            "Host {HOST} stranger\n  HostName 127.0.0.1\n  Port {port}\n  IdentitiesOnly yes\n  \
             IdentityAgent none\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n\
             Host {HOST}\n  IdentityFile {}\nHost stranger\n  IdentityFile {}\n",
            path("known-hosts"),
            path("user-key"),
            path("stranger-key"),
        );
        fs::write(path("config"), config).expect("a file");
        let folder = path("bin");
        fs::create_dir(&folder).expect("a folder");
        let ssh = zillions_harness::locate(Path::new("ssh")).expect("a client with the server");
        let script = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", ssh.display(), path("config"));
        let wrapper = Path::new(&folder).join("ssh");
        fs::write(&wrapper, script).expect("a script");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("chmod");
        let server = PathBuf::from(path("server-there"));
        symlink(SERVER, &server).expect("a link");
        let sshd = Some(sshd(&workspace, port));
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        Some(Self { workspace, path, server, sshd, _lease: lease })
    }

    /// `zillions bench` of `server` there.
    fn command(&self, host: &str, server: &str, options: &[&str]) -> Command {
        let mut command = self.workspace.command();
        let (scenario, out) = (self.workspace.path("small.toml"), self.workspace.path("out"));
        command.env("PATH", &self.path).args(["bench", "--no-progress", "--ssh", host, server]);
        command.args(["--scenario", &scenario, "--out", &out]).args(options);
        command
    }

    fn bench(&self, host: &str, server: &str, options: &[&str]) -> Ended {
        ended(self.command(host, server, options).output().expect("it runs"))
    }

    fn server(&self) -> String {
        self.server.display().to_string()
    }

    /// Ends sshd with its sessions, which go on if only it is killed.
    fn vanish(&mut self) {
        let Some(sshd) = self.sshd.take() else { return };
        for session in children_of(sshd.pid()) {
            // It may have ended by itself.
            let _ = kill_process(session, Signal::KILL);
        }
    }

    fn assert_nothing_runs(&self) {
        let name = self.server();
        until(|| processes_mentioning(&name) == 0, "no server runs there any more");
    }
}

/// An sshd that listens.
fn sshd(workspace: &Workspace, port: u16) -> Group {
    let path = |name: &str| workspace.path(name);
    let config = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin yes\n",
        path("host-key"),
        path("user-key.pub"),
    );
    fs::write(path("sshd-config"), config).expect("a file");
    // What its service would make; only root needs it, and can.
    let _ = fs::create_dir_all("/run/sshd");
    let mut command = Command::new(SSHD);
    command.args(["-D", "-e", "-f", &path("sshd-config")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (group, mut child) = Group::spawn(command).expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let is_ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("listening on"));
    assert!(is_ready, "sshd listens");
    // It goes on to say who logs in.
    thread::spawn(move || lines.for_each(drop));
    group
}

/// The processes that `parent` has started, also in sessions of their own.
fn children_of(parent: u32) -> Vec<Pid> {
    let line = format!("PPid:\t{parent}");
    let is_child = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|it| it == line)
    };
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

/// Waits for what another process does.
fn until(mut is_so: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

pub(crate) fn servers_of_another_machine_are_measured_from_here() {
    let Some(machine) = OtherMachine::start() else { return };
    let ended = machine.bench(HOST, &machine.server(), &["--ssh-zillions", ZILLIONS]);
    // One trial ranks nothing.
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    let results = Results::read(&machine.workspace.results()).unwrap();
    let remote = results.run.remote.as_ref().expect("the other machine");
    assert_eq!((remote.host.as_str(), remote.address.as_str()), (HOST, "127.0.0.1"));
    // Which is this one.
    assert_eq!(remote.machine.cpu_model, results.run.machine.cpu_model);
    assert!(remote.machine.memory_bytes > 0);
    assert_eq!(remote.tool, results.run.tool);
    let target = &results.run.targets[0];
    assert_eq!(target.conformance.as_ref().map(|it| it.verdict.as_str()), Some("pass"));
    assert!(target.costs.binary_bytes.is_some() && !target.program_hash.is_empty());
    for TrialRecord { result, .. } in &results.trials {
        let TrialResult::Measured(figures) = result else { panic!("{result:?}") };
        assert_eq!(figures.pairs.delivered, 100 * 4, "{figures:?}");
        let server = figures.server.as_ref().expect("its process is sampled there");
        assert!(server.start_seconds.is_some() && server.peak_resident_bytes > 0, "{server:?}");
        assert!(figures.others_cpu_share.is_some());
    }
    let report = fs::read_to_string(machine.workspace.results().join("report.html")).unwrap();
    assert!(report.contains("Servers ran on"), "the report says where");
    machine.assert_nothing_runs();
    let ended = machine.workspace.run(&["bench", "--resume", &machine.workspace.path("out")]);
    assert_eq!(ended.code, 64, "{}", ended.stderr);
    assert!(ended.line().contains("its servers ran on 'far'"), "{}", ended.line());
}

pub(crate) fn a_machine_that_cannot_be_used_is_told_in_one_line() {
    let Some(machine) = OtherMachine::start() else { return };
    let other = machine.workspace.scenario(
        "other-version",
        "#!/bin/sh\necho 'Welcome!'\necho '{\"zillions_bench_agent\":\"0.0.1\"}'\nread _\n",
    );
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).expect("chmod");
    let server = machine.server();
    for (host, server, zillions, code, needed) in [
        ("stranger", &*server, ZILLIONS, 70, "cannot reach 'stranger' by ssh: "),
        (HOST, &server, "/no/zillions", 70, "no '/no/zillions' can be run on 'far': "),
        (HOST, &server, "false", 70, "'false' on 'far' is no helper of this version"),
        (HOST, &server, &other, 70, "zillions on 'far' is version 0.0.1, and here it is "),
        (HOST, "/no/server", ZILLIONS, 64, "on 'far': no executable at '/no/server'"),
        (HOST, "mio", ZILLIONS, 64, "'mio' is not the path of an executable on 'far'"),
    ] {
        let ended = machine.bench(host, server, &["--ssh-zillions", zillions]);
        assert_eq!(ended.code, code, "{needed}: {}", ended.stderr);
        assert!(ended.line().contains(needed), "{needed}: {}", ended.line());
        assert!(!machine.workspace.results().exists(), "{needed}: no empty folder is left");
    }
    let path = machine.workspace.path("no-ssh");
    fs::create_dir(&path).expect("a folder");
    let env = zillions_harness::locate(Path::new("env")).expect("a program");
    symlink(env, Path::new(&path).join("env")).expect("a link");
    let without = ended_of(machine.command(HOST, &server, &[]).env("PATH", &path).output());
    assert_eq!(without.code, 70, "{}", without.stderr);
    assert!(without.line().contains("no 'ssh' on PATH"), "{}", without.line());
    let options = ["--ssh-zillions", ZILLIONS, "--ssh-address", "192.0.2.1"];
    let ended = machine.bench(HOST, &server, &options);
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(all.contains("on 'far': this machine cannot listen on 192.0.2.1"), "{all}");
}

fn ended_of(output: std::io::Result<std::process::Output>) -> Ended {
    ended(output.expect("it runs"))
}

pub(crate) fn a_machine_that_vanishes_leaves_what_was_measured_and_nothing_that_runs() {
    let Some(mut machine) = OtherMachine::start() else { return };
    let text = SMALL.replace("repeats = 1", "repeats = 500");
    machine.workspace.scenario("small.toml", &text);
    let mut command = machine.command(HOST, &machine.server(), &["--ssh-zillions", ZILLIONS]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let trials = machine.workspace.results().join("trials");
    let number = || fs::read_dir(&trials).map_or(0, Iterator::count);
    until(|| number() > 0, "a trial has ended");
    machine.vanish();
    let ended = ended_of(child.wait_with_output());
    assert_eq!(ended.code, 70, "{}", ended.stderr);
    assert!(ended.line().contains("the connection to 'far' was lost"), "{}", ended.line());
    assert!(ended.line().contains("; what was measured is in "), "{}", ended.line());
    machine.assert_nothing_runs();
    let results = Results::read(&machine.workspace.results()).unwrap();
    assert!(!results.trials.is_empty());
    for trial in &results.trials {
        assert!(matches!(trial.result, TrialResult::Measured(_)), "{trial:?}");
    }
}
