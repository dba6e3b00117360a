//! What a service manager is told, and the sockets it passes: a real one's part is played here.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use zillions_harness::Signal;

use crate::support::{Ended, PATIENCE, PROGRAM, Running, eventually, read_until, receive, send};

/// The manager's end of the notifications.
struct Notifications {
    socket: UnixDatagram,
    /// As NOTIFY_SOCKET says it.
    name: String,
    _folder: tempfile::TempDir,
}

impl Notifications {
    fn at_a_path() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Self::new(socket, path.to_str().expect("text").to_owned(), folder)
    }

    fn abstract_one() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().to_str().expect("text").to_owned();
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        Self::new(socket, format!("@{name}"), folder)
    }

    fn new(socket: UnixDatagram, name: String, folder: tempfile::TempDir) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self { socket, name, _folder: folder }
    }

    fn variable(&self) -> String {
        format!("NOTIFY_SOCKET={}", self.name)
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a notification");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    /// How many there are within this time.
    fn count_within(&self, time: Duration) -> usize {
        let end = Instant::now() + time;
        let mut count = 0;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            self.socket.set_read_timeout(Some(rest)).expect("a time-out");
            count += usize::from(self.socket.recv(&mut [0; 4096]).is_ok());
        }
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        count
    }
}

#[test]
fn a_manager_is_told_when_it_serves_and_when_it_stops() {
    for manager in [Notifications::at_a_path(), Notifications::abstract_one()] {
        let running = Running::start_in(&[&manager.variable()], &[]);
        let address = running.server.address();
        assert_eq!(manager.next(), format!("READY=1\nSTATUS=serving on {address}\n"));
        running.server.signal(Signal::TERM);
        let stopping = manager.next();
        assert!(stopping.starts_with("STOPPING=1\nSTATUS="), "{stopping}");
        assert!(stopping.contains("EXTEND_TIMEOUT_USEC=3000000\n"), "{stopping}");
        eventually("it has ended", || running.server.exited().is_some());
        assert!(running.server.exited().expect("a status").success());
    }
}

#[test]
fn a_manager_that_cannot_be_reached_is_a_warning() {
    let running = Running::start_in(&["NOTIFY_SOCKET=/nowhere/at/all"], &[]);
    drop(running.join());
    let lines = running.server.log_tail(100);
    assert!(
        lines.iter().any(|line| line.contains("cannot reach the service manager")),
        "{lines:?}"
    );
}

/// Stops one thread of another process for as long as it lives; `None` where that is forbidden.
pub(crate) struct StoppedThread(libc::pid_t);

impl StoppedThread {
    pub(crate) fn stop(process: u32, name: &str) -> Option<Self> {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
        let mut tasks = tasks.map(|task| task.expect("a thread").path());
        let is_it = |task: &std::path::PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let task = tasks.find(is_it).expect("the thread");
        let thread = task.file_name().and_then(|id| id.to_str()).expect("a number");
        let thread: libc::pid_t = thread.parse().expect("a number");
        let null = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the calls take numbers only; nothing of this process's memory is touched.
        unsafe {
            if libc::ptrace(libc::PTRACE_SEIZE, thread, null, null) != 0 {
                return None;
            }
            assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, thread, null, null), 0);
            assert_eq!(libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL), thread);
        }
        Some(Self(thread))
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        let null = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, null, null) };
    }
}

#[test]
fn the_watchdog_is_fed_as_long_as_every_shard_makes_progress_and_no_longer() {
    let manager = Notifications::at_a_path();
    // Checked every 100 ms.
    let variables = [&*manager.variable(), "WATCHDOG_USEC=400000"];
    let running = Running::start_in(&variables, &["--shards", "2"]);
    assert!(manager.next().starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1\n", "idle shards make progress, too");
    }
    let Some(stopped) = StoppedThread::stop(running.server.pid(), "shard-1") else {
        eprintln!("skipped: this machine lets nobody stop a thread");
        return;
    };
    eventually("it says which", || {
        running.server.log_tail(100).iter().any(|line| line.contains("makes no progress shard=1"))
    });
    // Those that were sent before.
    manager.count_within(Duration::from_millis(1));
    assert_eq!(manager.count_within(Duration::from_secs(1)), 0, "pings of a server that hangs");
    drop(stopped);
    assert_eq!(manager.next(), "WATCHDOG=1\n", "it has recovered");
}

/// A server to which a socket was passed as descriptor 3.
struct Activated {
    process: Ended,
    stdout: BufReader<ChildStdout>,
}

/// A command that passes `descriptor` on as a manager does.
fn passing(descriptor: OwnedFd, arguments: &[&str]) -> Command {
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=chat exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", PROGRAM]).args(arguments).stdin(descriptor);
    command
}

impl Activated {
    fn start(socket: &TcpListener, arguments: &[&str]) -> Self {
        let socket = socket.try_clone().expect("a descriptor");
        let mut command = passing(socket.into(), arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("it starts");
        let stdout = BufReader::new(process.stdout.take().expect("its output"));
        Self { process: Ended(process), stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("its line");
        line
    }

    /// Stops it as a manager does, and waits for the end.
    fn stop(mut self) {
        let process = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().expect("kill").success());
        self.stdout.read_to_end(&mut Vec::new()).expect("its end");
        assert!(self.process.0.wait().expect("it ends").success());
    }
}

fn client_of(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the manager listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

#[test]
fn a_passed_socket_is_served_and_who_connects_during_a_restart_waits() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    let mut server = Activated::start(&socket, &[&address]);
    assert_eq!(server.line(), format!("listening on {address}\n"));
    let mut client = client_of(&address);
    send(&mut client, b"first");
    read_until(&mut client, b"first");
    server.stop();
    assert_eq!(receive(&mut client), None, "the end of the first server");
    // Nobody serves now.
    let mut waiting = client_of(&address);
    send(&mut waiting, b"second");
    let mut server = Activated::start(&socket, &[&address]);
    assert_eq!(server.line(), format!("listening on {address}\n"));
    read_until(&mut waiting, b"second");
    server.stop();
}

#[test]
fn passed_sockets_are_served_beside_others_and_for_metrics() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    let mut server = Activated::start(&socket, &["127.0.0.1:0", &address]);
    let lines = [server.line(), server.line()];
    for line in &lines {
        let mut client = client_of(line.trim_start_matches("listening on ").trim());
        send(&mut client, b"here");
        read_until(&mut client, b"here");
    }
    assert_eq!(lines[1], format!("listening on {address}\n"), "{lines:?}");
    server.stop();
    let mut server = Activated::start(&socket, &["--metrics", &address, "127.0.0.1:0"]);
    assert!(server.line().starts_with("listening on "));
    assert_eq!(crate::metrics::get(&address, "/healthz").0, 200);
    server.stop();
}

#[test]
fn a_passed_descriptor_that_cannot_be_served_is_refused() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let file = std::fs::File::open("/dev/null").expect("a file");
    let connected = TcpStream::connect(socket.local_addr().expect("an address")).expect("one");
    for (descriptor, arguments, expected) in [
        (OwnedFd::from(socket), &["127.0.0.1:0"][..], "is none of the addresses to serve"),
        (file.into(), &["127.0.0.1:0"], "is not a listening TCP socket"),
        (connected.into(), &["127.0.0.1:0"], "is not a listening TCP socket"),
    ] {
        let output = passing(descriptor, arguments).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(expected) && stderr.contains("'chat'"), "{stderr}");
    }
}
