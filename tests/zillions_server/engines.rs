//! Which engine is chosen, and what is logged about it.

use std::io::{self, BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use zillions_server::io_uring::Uring;
use zillions_server::socket_engine::SocketEngine;

use crate::support::{Ended, PATIENCE, PROGRAM};

/// Makes a system call fail with EPERM in this process and its children, as container runtimes do
/// with their seccomp profiles.
fn forbid(call: libc::c_long) -> io::Result<()> {
    let instruction = |code: u32, k: u32, jump_false: u8| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: jump_false,
        k,
    };
    let mut filter = [
        // The number of the system call is the first word of what a filter looks at.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32, 1),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: both calls only read what their arguments point to, which lives until they return.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn without(call: libc::c_long, engine: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--engine", engine, "--shards", "2", "127.0.0.1:0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(move || forbid(call)) };
    command
}

fn without_io_uring(engine: &str) -> Command {
    without(libc::SYS_io_uring_setup, engine)
}

/// The first log line, which says which engine and why.
fn first_log_line(command: &mut Command) -> String {
    let mut server = command.spawn().expect("it starts");
    let mut line = String::new();
    let stderr = server.stderr.take().expect("a pipe");
    BufReader::new(stderr).read_line(&mut line).expect("a line");
    server.kill().expect("it is there");
    server.wait().expect("it ends");
    line
}

#[test]
fn where_io_uring_is_forbidden_asking_for_it_is_refused() {
    let output = without_io_uring("io-uring").output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{stderr}");
    assert_eq!(output.stdout, b"");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("the io-uring engine does not work here: "), "{stderr}");
    assert!(stderr.contains("seccomp profile"), "{stderr}");
    assert!(stderr.contains("use --engine auto or epoll"), "{stderr}");
}

#[test]
fn where_io_uring_is_forbidden_auto_chooses_epoll_and_logs_why() {
    let line = first_log_line(&mut without_io_uring("auto"));
    assert!(line.contains("io-uring does not work here: Operation not permitted"), "{line}");
    assert!(line.contains("engine=\"epoll\""), "{line}");
}

#[test]
fn where_io_uring_can_be_made_and_not_used_auto_chooses_epoll() {
    let line = first_log_line(&mut without(libc::SYS_io_uring_enter, "auto"));
    assert!(line.contains("io-uring does not work here: Operation not permitted"), "{line}");
    assert!(line.contains("engine=\"epoll\""), "{line}");
}

#[test]
fn where_descriptors_suffice_for_epoll_only_auto_chooses_it() {
    let script = format!("ulimit -n 24 && exec '{PROGRAM}' --shards 8 127.0.0.1:0");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::piped());
    let line = first_log_line(&mut command);
    assert!(line.contains("engine=\"epoll\""), "{line}");
}

/// The CPU time that a process has used, in steps of 10 ms.
fn cpu_steps(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it lives");
    let fields = stat.rsplit(')').next().expect("its fields").split_whitespace();
    fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
}

#[test]
fn a_filter_that_forbids_accepting_is_logged_once_and_costs_no_cpu_time() {
    let mut server = Ended(without(libc::SYS_accept4, "epoll").spawn().expect("it starts"));
    let mut line = String::new();
    let stdout = server.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("its line");
    let address = line.trim().strip_prefix("listening on ").expect("its address");
    let (sender, lines) = std::sync::mpsc::channel();
    let log = BufReader::new(server.0.stderr.take().expect("a pipe")).lines();
    let reader = std::thread::spawn(move || {
        let is_about_it = |line: &String| line.contains("cannot accept connections");
        log.map_while(Result::ok).filter(is_about_it).for_each(|line| drop(sender.send(line)));
    });
    let _pending = TcpStream::connect(address).expect("it waits to be accepted");
    let found = lines.recv_timeout(PATIENCE).expect("it is logged");
    assert!(found.contains("Operation not permitted"), "{found}");
    let before = cpu_steps(server.0.id());
    assert!(lines.recv_timeout(Duration::from_secs(1)).is_err(), "it is logged once");
    let used = cpu_steps(server.0.id()) - before;
    drop(server);
    reader.join().expect("it ends with the log");
    assert!(used <= 20, "{used} hundredths of a second in one second");
}

#[test]
fn auto_chooses_io_uring_where_it_works() {
    if Uring::probe().is_err() {
        return;
    }
    let mut command = Command::new(PROGRAM);
    let line =
        first_log_line(command.arg("127.0.0.1:0").stdout(Stdio::null()).stderr(Stdio::piped()));
    assert!(line.contains("engine chosen by --engine auto"), "{line}");
    assert!(line.contains("engine=\"io-uring\""), "{line}");
}
