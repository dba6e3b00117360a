//! `stresstest`: the original's command line, and everything that can be wrong.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::support::{Ended, STRESSTEST, Script, interruptible, processes_mentioning, run};

const SMALL: [&str; 4] = ["-r", "2", "-m", "50"];

fn stress(script: &Script, options: &[&str]) -> Ended {
    let address = script.address();
    let name = script.name();
    let mut arguments = vec!["-a", &address];
    arguments.extend_from_slice(options);
    arguments.push(&name);
    let ended = run(STRESSTEST, &arguments);
    assert_eq!(processes_mentioning(&address), 0, "nothing is left running");
    ended
}

/// The one line, with the parts that differ between runs replaced.
fn line(script: &Script, ended: &Ended) -> String {
    ended.line().replace(&script.address(), "ADDR").replace(&script.name(), "SERVER")
}

pub(crate) fn a_correct_server_passes_and_nothing_is_dropped() {
    let script = Script::server("");
    let ended = stress(&script, &SMALL);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stdout.starts_with("drop rate: 0.0000 % (0 of 1600 deliveries)\n"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("for 200 messages in 2 repetitions"), "{}", ended.stdout);
    // Of 1600 deliveries fewer than ten are above it.
    assert!(ended.stdout.contains(", p99.9 ≥ "), "{}", ended.stdout);
}

pub(crate) fn with_port_0_a_free_one_is_found() {
    let script = Script::server("");
    let ended = run(STRESSTEST, &["-a", "127.0.0.1:0", "-r", "1", "-m", "20", &script.name()]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("drop rate: 0.0000 %"), "{}", ended.stdout);
}

pub(crate) fn json_has_its_schema_and_every_figure() {
    let script = Script::server("");
    let ended = stress(&script, &["-r", "1", "-m", "20", "-p", "3", "-s", "2", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["schema"], "zillions.stresstest/2");
    assert_eq!(report["verdict"], "pass");
    assert_eq!(report["expected"], 3 * 20 * 9);
    assert_eq!(report["delivered"], report["expected"]);
    assert!(report["latency"]["timed"].as_u64().is_some_and(|timed| timed > 0));
    assert!(report["latency"]["arrived_p99_us"].as_f64().is_some_and(|p99| p99 > 0.0));
}

pub(crate) fn more_publishers_than_a_byte_can_count_are_told_apart() {
    let script = Script::server("");
    let ended = stress(&script, &["-p", "260", "-s", "0", "-m", "2", "-r", "1", "-t", "60"]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
}

pub(crate) fn a_violation_is_explained_and_exits_with_1() {
    for (fault, clause) in [("double-echo", "ORDER-1"), ("self-echo-before-sequencing", "ORDER-3")]
    {
        let script = Script::server(&format!("--fault {fault}"));
        let ended = stress(&script, &["-r", "20", "-p", "4"]);
        assert_eq!(ended.code, 1, "{fault}: {}{}", ended.stdout, ended.stderr);
        assert!(line(&script, &ended).contains(clause), "{fault}: {}", ended.stderr);
        assert!(ended.stdout.contains("order: violated\n"), "{fault}: {}", ended.stdout);
    }
}

pub(crate) fn lost_messages_are_counted_and_are_no_error() {
    let script = Script::server("--fault loss-at-low-load");
    let ended = stress(&script, &["-r", "5", "-m", "200", "-t", "0.2"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stdout.starts_with("drop rate: 0.0000 %"), "{}", ended.stdout);
    assert!(ended.stdout.contains("time-outs: "), "{}", ended.stdout);
}

pub(crate) fn a_server_that_runs_already_can_be_tested() {
    let script = Script::server("");
    let mut server = Command::new(&script.path)
        .arg(script.address())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a server");
    let mut first_line = String::new();
    let stdout = server.stdout.as_mut().expect("its output");
    BufReader::new(stdout).read_line(&mut first_line).expect("its line");
    let ended = run(STRESSTEST, &["--connect", &script.address(), "-r", "1", "-m", "10"]);
    server.kill().expect("it still runs");
    server.wait().expect("its end");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

pub(crate) fn a_missing_executable_is_named() {
    let ended = run(STRESSTEST, &["./no/such/server"]);
    assert_eq!(ended.code, 64);
    assert_eq!(
        ended.line(),
        "stresstest: error: no executable at './no/such/server': check the path, or build it first"
    );
}

pub(crate) fn a_file_that_is_not_executable_is_named() {
    let ended = run(STRESSTEST, &["./Cargo.toml"]);
    assert_eq!(ended.code, 64);
    assert!(
        ended.line().contains("'./Cargo.toml' is not executable: chmod +x it"),
        "{}",
        ended.line()
    );
}

pub(crate) fn a_server_that_exits_at_once_is_reported_with_its_log() {
    let script = Script::new("echo 'no config' >&2; exit 7");
    let ended = stress(&script, &SMALL);
    assert_eq!(ended.code, 70);
    assert_eq!(
        line(&script, &ended),
        "stresstest: error: SERVER ended (exit status: 7) before it printed 'listening on ADDR'; \
         its last log lines: no config"
    );
}

pub(crate) fn a_server_that_never_prints_its_line_is_given_up() {
    let script = Script::new("echo 'still loading' >&2; exec sleep 600");
    let ended = stress(&script, &["--ready-timeout", "0.5"]);
    assert_eq!(ended.code, 70);
    assert_eq!(
        line(&script, &ended),
        "stresstest: error: SERVER did not print 'listening on ADDR' within 0.5 s (is the line flushed \
         when standard output is a pipe?); it printed nothing; its last log lines: still loading"
    );
}

pub(crate) fn a_server_that_prints_another_line_is_quoted() {
    let script = Script::server("--fault wrong-text");
    let ended = stress(&script, &SMALL);
    assert_eq!(ended.code, 70);
    assert!(
        line(&script, &ended)
            .contains("printed \"Listening on ADDR\" where 'listening on ADDR' was due"),
        "{}",
        ended.line()
    );
}

pub(crate) fn a_server_that_prints_its_line_and_refuses_connections_is_reported() {
    let script = Script::new("echo \"listening on $1\"; exec sleep 600");
    let ended = stress(&script, &SMALL);
    assert_eq!(ended.code, 70);
    assert!(
        line(&script, &ended).starts_with(
            "stresstest: error: SERVER printed 'listening on ADDR' but a connection was refused"
        ),
        "{}",
        ended.line()
    );
}

pub(crate) fn a_server_that_dies_in_mid_run_is_reported_with_its_status() {
    let script = Script::server("--fault dies-after-5000-messages");
    let ended = stress(&script, &[]);
    assert_eq!(ended.code, 70);
    let line = line(&script, &ended);
    assert!(line.starts_with("stresstest: error: the server ended ("), "{line}");
    assert!(line.contains("during the test: "), "{line}");
}

pub(crate) fn an_address_in_use_is_reported() {
    let script = Script::server("");
    let _taken = TcpListener::bind(script.address()).expect("the port");
    let ended = stress(&script, &SMALL);
    assert_eq!(ended.code, 64);
    assert_eq!(
        line(&script, &ended),
        "stresstest: error: address ADDR is in use by another process: choose another one, or stop that process"
    );
}

pub(crate) fn an_address_that_cannot_be_used_is_reported_with_what_to_write() {
    let script = Script::server("");
    for (address, expected) in [
        ("8080", "invalid address '8080': write HOST:PORT with an IP address, for example"),
        ("192.0.2.1:8080", "address 192.0.2.1:8080 is not an address of this machine"),
    ] {
        let ended = run(STRESSTEST, &["-a", address, &script.name()]);
        assert_eq!(ended.code, 64);
        assert!(ended.line().contains(expected), "{}", ended.line());
    }
}

pub(crate) fn too_few_descriptors_are_reported_with_the_limit_and_the_remedy() {
    let script = Script::server("");
    let command = format!("ulimit -n 100; exec '{STRESSTEST}' -p 10 -s 9 '{}'", script.name());
    let ended = run("sh", &["-c", &command]);
    assert_eq!(ended.code, 64);
    assert_eq!(
        ended.line(),
        "stresstest: error: 100 clients need 164 descriptors, and the limit of this process is 100 \
         (RLIMIT_NOFILE): raise it with 'ulimit -n 164' or ask for fewer clients"
    );
}

pub(crate) fn nonsense_on_the_command_line_is_a_usage_error() {
    for arguments in [
        &["--frobnicate"][..],
        &[],
        &["-p", "0", "./server"],
        &["-m", "x", "./server"],
        &["-t", "-1", "./server"],
    ] {
        let ended = run(STRESSTEST, arguments);
        assert_eq!(ended.code, 64, "{arguments:?}");
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    }
}

pub(crate) fn ctrl_c_stops_the_server_and_exits_with_130() {
    let script = Script::server("");
    let mut test = interruptible(STRESSTEST)
        .args(["-a", &script.address(), "-r", "2000", &script.name()])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("a test");
    // Ready to be interrupted once its server answers.
    while std::net::TcpStream::connect(script.address()).is_err() {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&test);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    assert_eq!(test.wait().expect("its end").code(), Some(130));
    assert_eq!(processes_mentioning(&script.address()), 0, "nothing is left running");
}
