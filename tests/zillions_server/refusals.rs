//! Invalid requests are refused in one line, with nothing half-started.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::support::{Ended, PATIENCE, PROGRAM, receive, send};

/// Runs the program to its end, which must be a refusal; returns the line without its prefix.
fn refusal(code: i32, arguments: &[&str]) -> String {
    refusal_of(code, Command::new(PROGRAM).args(arguments))
}

fn refusal_of(code: i32, command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "it says that it listens");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    let line = stderr.trim_end().strip_prefix("zillions-server: error: ");
    line.unwrap_or_else(|| panic!("no prefix: {stderr}")).to_owned()
}

#[test]
fn a_missing_address_is_named() {
    let line = refusal(64, &[]);
    assert!(line.contains("<ADDR>..."), "{line}");
}

#[test]
fn an_unknown_flag_is_named() {
    let line = refusal(64, &["--shard", "2", "127.0.0.1:0"]);
    assert!(line.contains("unexpected argument '--shard'"), "{line}");
    let line = refusal(64, &["--engine", "kqueue", "127.0.0.1:0"]);
    assert!(line.contains("invalid value 'kqueue' for '--engine <ENGINE>'"), "{line}");
    assert!(line.contains("epoll"), "it names the engines: {line}");
    let line = refusal(64, &["--max-coalesce-microseconds", "100001", "127.0.0.1:0"]);
    assert!(line.contains("100001 is not in 0..=100000"), "{line}");
}

#[test]
fn an_invalid_address_is_refused_with_a_reason() {
    for (text, reason) in [
        ("127.0.0.1", "the port is missing"),
        ("127.0.0.1:99999", "the port is not a number from 0 to 65535"),
        (":8080", "the host is missing"),
        ("no.such.host.invalid:80", "invalid address 'no.such.host.invalid:80'"),
    ] {
        let line = refusal(64, &[text]);
        assert!(line.contains(reason) && line.contains("write HOST:PORT"), "{line}");
    }
    let line = refusal(64, &["wsx://127.0.0.1:80"]);
    assert!(line.contains("'wsx://' is not supported; tls://, ws:// and wss:// are"), "{line}");
    let line = refusal(64, &["127.0.0.1:0", "--allow-origin", "https://chat.example.org"]);
    assert_eq!(line, "--allow-origin requires an address that begins with ws:// or wss://");
    let line = refusal(64, &["ws://127.0.0.1:0", "--allow-origin", "chat.example.org"]);
    assert!(line.starts_with("--allow-origin: write SCHEME://HOST"), "{line}");
    let line = refusal(64, &["ws://127.0.0.1:0", "--token-file", "/nonexistent"]);
    assert!(line.starts_with("--token-file '/nonexistent': cannot read it: "), "{line}");
    let admin = ["--admin", "127.0.0.1:0", "--admin-token-file", "/nonexistent"];
    let line = refusal(64, &[&admin[..], &["127.0.0.1:0"]].concat());
    assert!(line.starts_with("--admin-token-file '/nonexistent': cannot read it: "), "{line}");
    let line = refusal(64, &["ws://127.0.0.1:0", "--max-message-bytes", "255"]);
    assert_eq!(line, "--max-message-bytes 255 is less than 256, the longest frame");
    let line = refusal(64, &["ws://"]);
    assert!(line.starts_with("invalid address 'ws://': the port is missing"), "{line}");
    let line = refusal(64, &["127.0.0.1:8080", "127.0.0.1:8080"]);
    assert_eq!(line, "address 127.0.0.1:8080 is given twice");
}

#[test]
fn a_busy_address_is_refused_and_others_given_with_it_are_not_served() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    let line = refusal(70, &["127.0.0.1:0", &busy]);
    assert!(line.starts_with(&format!("cannot listen on {busy}: ")), "{line}");
    assert!(line.ends_with("another program listens there: stop it or choose another port"));
    let line = refusal(70, &["--metrics", &busy, "127.0.0.1:0"]);
    assert!(line.starts_with(&format!("cannot listen on {busy}: ")), "{line}");
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let line = refusal(70, &["192.0.2.1:8080"]);
    assert!(line.ends_with("no interface of this machine has the address"), "{line}");
}

#[test]
fn a_ring_too_small_for_frames_is_refused() {
    for bytes in ["100", "8KiB", "100KiB"] {
        let line = refusal(64, &["--ring-bytes", bytes, "127.0.0.1:0"]);
        assert!(line.contains("a power of two of at least 16384 bytes"), "{line}");
    }
    let line = refusal(64, &["--ring-bytes", "4 bits", "127.0.0.1:0"]);
    assert!(line.contains("for example 65536, 64KiB or 4MiB"), "{line}");
    let line = refusal(64, &["--ring-bytes", "2GiB", "127.0.0.1:0"]);
    assert_eq!(line, "--ring-bytes 2147483648 is more than 1 GiB: more memory than is of use");
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    for (arguments, reason) in [
        (
            &["--max-client-lag-bytes", "3MiB"][..],
            "--max-client-lag-bytes 3145728 is more than half of --ring-bytes 4194304: \
             the ring does not keep that much",
        ),
        (
            &["--max-client-lag-bytes", "300"],
            "--max-client-lag-bytes 300 is less than 8192: clients that keep up would count as slow",
        ),
        (
            &["--eviction-timeout-seconds", "3"],
            "--eviction-timeout-seconds requires --slow-reader backpressure",
        ),
        (
            &["--max-clients", "5", "--max-clients-per-ip", "6"],
            "--max-clients-per-ip 6 is more than --max-clients 5",
        ),
        (
            &["--max-unsent-bytes", "1MiB"],
            "--max-unsent-bytes 1048576 is not between 1 and --send-buffer-bytes 262144",
        ),
        (&["--idle-traffic", "both"], "--idle-traffic requires --idle-timeout-seconds"),
        (&["--admin", "127.0.0.1:0"], "--admin requires --admin-token-file"),
        (&["--admin-token-file", "token"], "--admin-token-file requires --admin"),
        (&["--send-buffer-bytes", "1"], "--send-buffer-bytes 1 is not between 4096 and 1 GiB"),
    ] {
        let line = refusal(64, &[arguments, &["127.0.0.1:0"]].concat());
        assert_eq!(line, reason);
    }
    for zero in ["--max-clients", "--max-clients-per-ip", "--idle-timeout-seconds", "--shards"] {
        let line = refusal(64, &[zero, "0", "127.0.0.1:0"]);
        assert!(line.contains(&format!("invalid value '0' for '{zero}")), "{line}");
    }
    let line = refusal(64, &["--keepalive-seconds", "0", "127.0.0.1:0"]);
    assert!(line.contains("write a number of seconds from 1 to 32767, or off"), "{line}");
}

#[test]
fn a_descriptor_limit_too_low_for_max_clients_is_refused() {
    let script = format!("ulimit -n 100 && exec '{PROGRAM}' --max-clients 1000 127.0.0.1:0");
    let line = refusal_of(70, Command::new("sh").args(["-c", &script]));
    assert!(line.starts_with("--max-clients 1000 needs 1064 descriptors"), "{line}");
    assert!(line.contains("the limit of this process is 100: raise it (ulimit -n 1064"), "{line}");
}

#[test]
fn with_few_descriptors_it_serves_or_says_what_to_raise() {
    let (mut served, mut refused) = (0, 0);
    for (shards, limits) in [(1, 4..=16), (8, 16..=34)] {
        for limit in limits {
            let script =
                format!("ulimit -n {limit} && exec '{PROGRAM}' --shards {shards} 127.0.0.1:0");
            let mut command = Command::new("sh");
            command.args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut server = Ended(command.spawn().expect("a shell"));
            let mut line = String::new();
            let stdout = server.0.stdout.take().expect("a pipe");
            BufReader::new(stdout).read_line(&mut line).expect("text");
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                let mut client = TcpStream::connect(address).expect("a connection");
                client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                send(&mut client, b"served");
                assert_eq!(receive(&mut client).as_deref(), Some(&b"served"[..]), "{script}");
                served += 1;
                continue;
            }
            let mut stderr = String::new();
            let mut log = server.0.stderr.take().expect("a pipe");
            log.read_to_string(&mut stderr).expect("text");
            let code = server.0.wait().expect("it ends").code();
            if code == Some(127) {
                // Not even its libraries could be loaded.
                continue;
            }
            assert_eq!(code, Some(70), "{script}: {stderr}");
            let advice = "raise it (ulimit -n 65 or more, or LimitNOFILE= of a service)";
            assert!(stderr.lines().any(|line| line.contains(advice)), "{script}: {stderr}");
            refused += 1;
        }
    }
    assert!(served > 0 && refused > 0, "{served} served, {refused} refused");
}

#[test]
fn a_full_standard_output_is_refused() {
    let full = Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let line = refusal_of(
        70,
        Command::new(PROGRAM).args(["--log-level", "error", "127.0.0.1:0"]).stdout(full),
    );
    assert!(line.starts_with("cannot write to standard output: "), "{line}");
}
