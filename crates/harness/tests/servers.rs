//! What a user of the harness relies on, shown on little shell scripts.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use procfs::process::Process;
use rustix::time::{ClockId, clock_gettime};
use zillions_harness::event_count::{self, Event};
use zillions_harness::group::Group;
use zillions_harness::{
    Broker, Launch, LaunchError, PortLease, Server, StartError, StartOptions, Waited,
};

/// A script in a folder of its own, and an address for it.
struct Script {
    folder: tempfile::TempDir,
    launch: Launch,
    lease: PortLease,
}

impl Script {
    fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        let launch = Launch::executable(&path).expect("a launch");
        let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
        Self { folder, launch, lease }
    }

    fn start(&self, ready_seconds_max: f64) -> Result<Server, StartError> {
        // The scripts print the line without listening: no trial connection.
        let options =
            StartOptions { ready_seconds_max, probe_connection: false, ..StartOptions::default() };
        Server::start(&self.launch, &self.lease.address().to_string(), &options)
    }

    fn start_error(&self, ready_seconds_max: f64) -> String {
        let error = self.start(ready_seconds_max).expect_err("a server that does not start");
        let text = error.to_string();
        assert_eq!(text.lines().count(), 1, "one line: {text}");
        text.replace(&self.lease.address().to_string(), "ADDR")
            .replace(&self.launch.program.display().to_string(), "PROGRAM")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Whether process `pid` is there and not a zombie.
fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
}

const LONG: f64 = 60.0;

#[test]
fn a_server_is_ready_when_it_has_printed_its_line_and_its_output_is_kept() {
    let script = Script::new(
        "echo starting >&2\necho \"listening on $1\"\necho noise\necho more >&2\nexec sleep 600",
    );
    let server = script.start(LONG).expect("a ready server");
    assert_eq!(server.ready_line(), format!("listening on {}", script.lease.address()));
    assert!(server.exited().is_none());
    let sample = server.sample().expect("a sample");
    assert_eq!(sample.processes, 1);
    assert!(sample.resident_bytes > 0 && sample.threads == 1 && sample.descriptors >= 3);
    let pid = server.pid() as i32;
    let report = server.stop(LONG);
    assert!(!report.killed && report.left_behind == 0, "{report:?}");
    assert!(!is_alive(pid));
}

#[test]
fn a_server_that_exits_at_once_is_reported_with_its_status_and_log() {
    let script = Script::new("echo first >&2; echo 'cannot do it' >&2; exit 3");
    assert_eq!(
        script.start_error(LONG),
        "PROGRAM ended (exit status: 3) before it printed 'listening on ADDR'; \
         its last log lines: first | cannot do it"
    );
}

const BROKER: Broker = Broker {
    host_option: "--host",
    port_option: "--port",
    ready_request: b"PING\r\n",
    ready_reply: "+PONG",
};

#[test]
fn a_broker_that_exits_at_once_is_reported_with_its_status_and_log() {
    let mut script = Script::new("echo \"cannot use $*\" >&2; exit 3");
    script.launch.broker = Some(BROKER);
    let port = script.lease.address().port();
    assert_eq!(
        script.start_error(LONG),
        format!(
            "PROGRAM ended (exit status: 3) before it answered on ADDR; its last log lines: \
             cannot use --host 127.0.0.1 --port {port}"
        )
    );
}

#[test]
fn a_broker_that_listens_nowhere_is_stopped_after_the_time_out() {
    let mut script = Script::new("echo waiting >&2; exec sleep 600");
    script.launch.broker = Some(BROKER);
    let error = script.start_error(0.3);
    assert!(
        error.starts_with(
            "PROGRAM did not begin with \"+PONG\" on ADDR within 0.3 s; it said \"\"; it"
        ),
        "{error}"
    );
}

#[test]
fn a_server_that_never_prints_its_line_is_stopped_after_the_time_out() {
    let script = Script::new("printf 'listening'; echo waiting >&2; exec sleep 600");
    assert_eq!(
        script.start_error(1.0),
        "PROGRAM did not print 'listening on ADDR' within 1 s (is the line flushed when \
         standard output is a pipe?); it printed \"listening\" without a newline; \
         its last log lines: waiting"
    );
}

#[test]
fn another_first_line_is_quoted() {
    let script = Script::new("echo \"Listening on $1\"; exec sleep 600");
    assert_eq!(
        script.start_error(LONG),
        "PROGRAM printed \"Listening on ADDR\" where 'listening on ADDR' was due; \
         it wrote nothing to standard error"
    );
}

#[test]
fn a_server_that_prints_and_refuses_connections_is_found_out() {
    let script = Script::new("echo \"listening on $1\"; exec sleep 600");
    let error = Server::start(
        &script.launch,
        &script.lease.address().to_string(),
        &StartOptions::default(),
    )
    .expect_err("nobody listens");
    assert!(matches!(error, StartError::Refuses { .. }), "{error}");
}

#[test]
fn an_address_in_use_is_told_before_anything_is_started() {
    let script = Script::new("touch started; exec sleep 600");
    let _taken = TcpListener::bind(script.lease.address()).expect("the port is ours");
    let error = script.start_error(LONG);
    assert!(error.starts_with("address ADDR is in use by another process"), "{error}");
    assert!(!script.path("started").exists());
}

#[test]
fn an_unusable_address_is_told_with_what_to_write_instead() {
    let script = Script::new("exec sleep 600");
    for (address, expected) in [
        ("localhost", "invalid address 'localhost': write HOST:PORT"),
        ("192.0.2.1:9999", "address 192.0.2.1:9999 is not an address of this machine"),
    ] {
        let error = Server::start(&script.launch, address, &StartOptions::default())
            .expect_err(address)
            .to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_server_that_ignores_sigterm_is_killed_after_the_grace_period() {
    let script = Script::new("trap '' TERM\necho \"listening on $1\"\nwhile :; do sleep 600; done");
    let server = script.start(LONG).expect("a ready server");
    let pid = server.pid() as i32;
    let report = server.stop(0.2);
    assert!(report.killed);
    assert!(!is_alive(pid));
}

#[test]
fn children_are_stopped_with_their_server_even_outside_its_process_group() {
    let script = Script::new(
        "setsid sh -c 'echo $$ > child; exec sleep 600' &\n\
         while ! [ -s child ]; do sleep 0.01; done\n\
         echo \"listening on $1\"\nexec sleep 600",
    );
    let mut launch = script.launch.clone();
    launch.directory = Some(script.folder.path().to_owned());
    let options = StartOptions { probe_connection: false, ..StartOptions::default() };
    let server = Server::start(&launch, &script.lease.address().to_string(), &options)
        .expect("a ready server");
    assert_eq!(server.sample().expect("a sample").processes, 2);
    let child = fs::read_to_string(script.path("child")).expect("the child's id");
    let child: i32 = child.trim().parse().expect("a number");
    assert!(is_alive(child));
    let report = server.stop(LONG);
    assert_eq!(report.left_behind, 1);
    assert!(!is_alive(child));
}

#[test]
fn a_server_is_stopped_when_its_owner_panics() {
    let script = Script::new("echo \"listening on $1\"; exec sleep 600");
    let server = script.start(LONG).expect("a ready server");
    let pid = server.pid() as i32;
    let owner = std::thread::spawn(move || {
        let _server = server;
        std::panic::resume_unwind(Box::new("a bug in a tool"));
    });
    assert!(owner.join().is_err());
    assert!(!is_alive(pid));
}

#[test]
fn the_descriptor_limit_is_the_servers_not_the_tools() {
    let script = Script::new("ulimit -n > limit; echo \"listening on $1\"; exec sleep 600");
    let mut launch = script.launch.clone();
    launch.directory = Some(script.folder.path().to_owned());
    launch.descriptor_limit = Some(40);
    let options = StartOptions { probe_connection: false, ..StartOptions::default() };
    let _server = Server::start(&launch, &script.lease.address().to_string(), &options)
        .expect("a ready server");
    assert_eq!(fs::read_to_string(script.path("limit")).expect("the limit").trim(), "40");
    assert!(zillions_harness::limits::descriptor_limit() > 40);
}

#[test]
fn what_cannot_be_executed_is_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("plain");
    fs::write(&plain, "").expect("a file");
    let missing = Launch::executable(folder.path().join("missing")).unwrap_err();
    assert!(matches!(missing, LaunchError::Missing { .. }), "{missing}");
    let no_bit = Launch::executable(&plain).unwrap_err();
    assert!(matches!(no_bit, LaunchError::NotExecutable { .. }), "{no_bit}");
    let a_folder = Launch::executable(folder.path()).unwrap_err();
    assert!(matches!(a_folder, LaunchError::NotAFile { .. }), "{a_folder}");
}

/// How a program is waited for that is granted `seconds`.
fn waited(script: &str, seconds: f64) -> Waited {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let (group, _child) = Group::spawn(command).expect("a shell");
    group.wait_granted(seconds)
}

#[test]
fn one_that_ends_is_not_waited_for_any_longer() {
    let began = Instant::now();
    let Waited::Ended(status) = waited("exit 3", 600.0) else { panic!("it has ended") };
    assert_eq!(status.code(), Some(3));
    assert!(began.elapsed() < Duration::from_secs(300));
}

#[test]
fn one_that_sleeps_and_one_that_spins_are_granted_their_time_and_are_still_running() {
    for script in ["sleep 600", "while :; do :; done"] {
        assert!(matches!(waited(script, 0.3), Waited::Running), "{script}");
    }
}

/// Tells a copy of this program how many generations of children it has.
const GENERATIONS: &str = "ZILLIONS_TEST_GENERATIONS";

/// Works in three threads, and has a child that does the same, for as many generations.
fn work_in_threads_and_processes(generations: u32) {
    let mut child = (generations > 0).then(|| copy_of_this_test(generations - 1).spawn());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let used = || clock_gettime(ClockId::ThreadCPUTime);
                while (used().tv_sec, used().tv_nsec) < (0, 40_000_000) {}
            });
        }
    });
    if let Some(child) = &mut child {
        assert!(child.as_mut().expect("it starts").wait().expect("it ends").success());
    }
}

fn copy_of_this_test(generations: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command
        .args(["--exact", "an_event_is_counted_in_all_threads_and_processes_of_a_group"])
        .env(GENERATIONS, generations.to_string())
        .stdout(Stdio::null());
    command
}

#[test]
fn an_event_is_counted_in_all_threads_and_processes_of_a_group() {
    if let Ok(generations) = std::env::var(GENERATIONS) {
        return work_in_threads_and_processes(generations.parse().expect("a number"));
    }
    if let Err(why) = event_count::check(Event::CpuTime) {
        eprintln!("skipped: {why}");
        return;
    }
    let (group, _child) =
        Group::spawn_counted(copy_of_this_test(2), Some(Event::CpuTime)).expect("it starts");
    assert!(group.wait(LONG).expect("it ends").success());
    // Nobody has waited for it, so /proc still tells what it and its children have used.
    let stat = Process::new(group.pid().cast_signed()).and_then(|it| it.stat()).expect("a zombie");
    let waited_for = stat.cutime.unsigned_abs() + stat.cstime.unsigned_abs();
    let ticks = stat.utime + stat.stime + waited_for;
    let told_ns = ticks as f64 * 1e9 / procfs::ticks_per_second() as f64;
    let count = group.counted().expect("a count");
    // The event begins with the exec, a moment after the process; each figure of /proc is cut off
    // to 10 ms.
    let ratio = count.value as f64 / told_ns;
    assert!((0.8..1.2).contains(&ratio), "{count:?}, and by /proc {told_ns} ns");
    assert!(count.value >= 9 * 40_000_000, "each of nine threads counts: {count:?}");
    assert_eq!(count.enabled_ns, count.running_ns, "a clock need not take turns");
}

#[test]
fn samples_of_a_server_have_what_is_counted_in_it_and_only_where_that_is_asked_for() {
    let script = Script::new("echo \"listening on $1\"; exec sleep 1000");
    let server = script.start(LONG).expect("it starts");
    assert_eq!(server.sample().expect("a sample").counted, None);
    server.stop(0.0);
    let options = StartOptions {
        ready_seconds_max: LONG,
        probe_connection: false,
        event: Some(Event::CpuTime),
        ..StartOptions::default()
    };
    let address = script.lease.address().to_string();
    let server = Server::start(&script.launch, &address, &options).expect("it starts");
    let counted = server.sample().expect("a sample").counted;
    assert_eq!(counted.is_some(), event_count::check(Event::CpuTime).is_ok());
    assert!(counted.is_none_or(|count| count.value > 0), "{counted:?}");
}

#[test]
fn memory_that_processes_share_counts_once() {
    // Each of the three subshells is a copy of the shell with its variable, and waits for a writer.
    let script = Script::new(
        "cd \"$(dirname \"$0\")\"; mkfifo gate; \
         held=$(head -c 32000000 /dev/zero | tr '\\0' x); \
         for _ in 1 2 3; do (read -r _ < gate) & done; \
         echo \"listening on $1\"; read -r _ < gate",
    );
    let server = script.start(LONG).expect("it starts");
    let sample = server.sample().expect("a sample");
    assert_eq!(sample.processes, 4, "{sample:?}");
    let leader = Process::new(server.pid().cast_signed()).and_then(|it| it.status());
    let of_one = leader.expect("it runs").vmrss.expect("it has memory") * 1024;
    assert!(of_one > 32_000_000, "{of_one}");
    let expected = of_one * 9 / 10..of_one * 3 / 2;
    assert!(expected.contains(&sample.resident_bytes), "{sample:?}, and one has {of_one}");
    assert!(sample.resident_bytes_peak >= sample.resident_bytes, "{sample:?}");
}
