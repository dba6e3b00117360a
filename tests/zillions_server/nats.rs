//! Real NATS servers with JetStream, which a test may kill and start again.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Pid;
use zillions_harness::{PortLease, Signal};

use crate::support::{Ended, PATIENCE, eventually};

const PROGRAM: &str = "nats-server";

/// One server, its port, and its files, which stay when it ends.
struct Member {
    lease: PortLease,
    route: PortLease,
    process: Option<Ended>,
}

/// One NATS server, or three that are a cluster.
pub(crate) struct Nats {
    folder: tempfile::TempDir,
    options: Vec<String>,
    members: Vec<Member>,
}

fn lease() -> PortLease {
    PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port")
}

/// Whether there is a NATS server to test with; says so if not. Where CI is true it is an error.
pub(crate) fn is_installed() -> bool {
    let version = Command::new(PROGRAM).arg("--version").output();
    let is_installed = version.is_ok_and(|it| it.status.success());
    if !is_installed {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI without {PROGRAM}");
        eprintln!("skipped: {PROGRAM} is not on PATH; scripts/brokers installs it");
    }
    is_installed
}

impl Nats {
    /// So many servers with JetStream, which run.
    pub(crate) fn start(members: usize) -> Self {
        let mut nats = Self::prepare(members, &["--jetstream"]);
        (0..members).for_each(|member| nats.start_one(member));
        nats
    }

    /// So many servers with these options, which do not run yet.
    pub(crate) fn prepare(members: usize, options: &[&str]) -> Self {
        let member = |_| Member { lease: lease(), route: lease(), process: None };
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            options: options.iter().map(ToString::to_string).collect(),
            members: (0..members).map(member).collect(),
        }
    }

    /// Starts one, with what it has stored, and waits until it answers.
    pub(crate) fn start_one(&mut self, number: usize) {
        let routes: Vec<String> =
            self.members.iter().map(|it| format!("nats://{}", it.route.address())).collect();
        let folder = self.folder.path().join(format!("n{number}"));
        fs::create_dir_all(&folder).expect("a folder");
        let member = &self.members[number];
        let mut command = Command::new(PROGRAM);
        command.args(["--addr", "127.0.0.1", "--name", &format!("n{number}")]);
        command.args(["--port", &member.lease.address().port().to_string(), "--store_dir"]);
        command.arg(&folder).args(&self.options);
        if self.members.len() > 1 {
            command.args(["--cluster_name", "test", "--routes", &routes.join(",")]);
            command.args(["--cluster", &routes[number]]);
        }
        let log = fs::File::create(self.log(number)).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let address = member.lease.address();
        self.members[number].process = Some(Ended(command.spawn().expect("it starts")));
        eventually("NATS answers", || {
            let Ok(mut stream) = TcpStream::connect(address) else { return false };
            stream.read(&mut [0; 4]).is_ok_and(|bytes| bytes == 4)
        });
    }

    /// Ends one as a crash does.
    pub(crate) fn kill(&mut self, number: usize) {
        self.members[number].process = None;
    }

    /// Stops one for a while, or lets it go on.
    pub(crate) fn signal(&self, number: usize, signal: Signal) {
        let process = self.members[number].process.as_ref().expect("it runs");
        let pid = Pid::from_child(&process.0);
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.members[number].lease.address()
    }

    fn log(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("n{number}.log"))
    }

    /// The addresses of all, as `--cluster` wants them.
    pub(crate) fn urls(&self) -> String {
        let urls = self.members.iter().map(|it| format!("nats://{}", it.lease.address()));
        urls.collect::<Vec<_>>().join(",")
    }

    /// What one answers to a request, if it does.
    fn request(&self, number: usize, subject: &str) -> Option<serde_json::Value> {
        let mut stream = TcpStream::connect(self.members[number].lease.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let text = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true}}\r\n\
             SUB answer 1\r\nPUB {subject} answer 0\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        let answer = lines.by_ref().map_while(Result::ok).find(|it| it.contains("MSG answer"))?;
        if answer.starts_with("HMSG") {
            // Nobody is there to answer.
            return None;
        }
        serde_json::from_str(&lines.next()?.ok()?).ok()
    }

    /// Waits until what is published at the first is delivered at all.
    pub(crate) fn until_routed(&self) {
        for member in &self.members {
            let mut listening = TcpStream::connect(member.lease.address()).expect("it is there");
            listening.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            listening
                .write_all(b"CONNECT {\"verbose\":false}\r\nSUB ping 1\r\n")
                .expect("it reads");
            let mut lines = BufReader::new(listening).lines().map_while(Result::ok);
            let mut publishing = TcpStream::connect(self.address(0)).expect("it is there");
            publishing.write_all(b"CONNECT {\"verbose\":false}\r\n").expect("it reads");
            let ends = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !ends.load(Ordering::Relaxed) {
                        let _ = publishing.write_all(b"PUB ping 0\r\n\r\n");
                        std::thread::yield_now();
                    }
                });
                let is_there = lines.any(|line| line.starts_with("MSG ping"));
                ends.store(true, Ordering::Relaxed);
                assert!(is_there, "NATS delivers");
            });
        }
    }

    /// Which of them leads the stream of a room, if one of them does and says so.
    pub(crate) fn leader(&self, room: &str) -> Option<usize> {
        let asked = self.members.iter().position(|it| it.process.is_some())?;
        let info = self.request(asked, &format!("$JS.API.STREAM.INFO.zillions-{room}"))?;
        info["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse().ok()
    }
}
