//! What the commands write: whatever a server wrote, to a slow reader, and to none.

use std::io::{Read, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    CLIENT, STRESSTEST, Script, ZILLIONS, interruptible, processes_mentioning, run,
};

const SERVER: &str = env!("CARGO_BIN_EXE_zillions-server");

/// What nothing may reach a terminal or a parser of: a title, a bell, colours, an override of the
/// direction, a character that XML forbids, and a byte that is not UTF-8.
const NASTY: &str =
    r"printf '\033]0;x\007\033[41mred \342\200\256txt \357\277\276 \001 \377\n' >&2; exit 3";

fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || c == '\n')
        && !text.contains(['\u{202e}', '\u{fffe}', '\u{fffd}'])
}

pub(crate) fn what_a_server_writes_is_escaped_in_every_format() {
    const SHOWN: &str = r"\x1b]0;x\x07\x1b[41mred \u{202e}txt \u{fffe} \x01 \xff";
    let script = Script::new(NASTY);
    let name = script.name();
    for format in ["human", "json", "junit"] {
        let ended = run(ZILLIONS, &["check", &name, "--case", "START-2", "--format", format]);
        assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
        assert!(is_harmless(&ended.stdout) && is_harmless(&ended.stderr), "{:?}", ended.stdout);
        let shown = if format == "json" { SHOWN.replace('\\', r"\\") } else { SHOWN.to_owned() };
        assert!(ended.stdout.contains(&shown), "{format}: {}", ended.stdout);
    }
    let ended = run(STRESSTEST, &["-a", &script.address(), &name]);
    assert_eq!(ended.code, 70);
    assert!(ended.line().contains(SHOWN) && is_harmless(&ended.stderr), "{:?}", ended.stderr);
}

pub(crate) fn what_a_user_writes_is_escaped_where_it_is_shown_again() {
    let name = "./\x1b]0;x\x07\u{202e}";
    for (program, arguments) in [
        (ZILLIONS, &["check", name][..]),
        (ZILLIONS, &["verify", name]),
        (ZILLIONS, &["compare", name, name]),
        (ZILLIONS, &["check", "--seed", name]),
        (STRESSTEST, &[name]),
        (CLIENT, &[name]),
    ] {
        let ended = run(program, arguments);
        assert_eq!(ended.code, 64, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("x1b]0;x") || ended.stderr.contains("u{1b}]0;x"),
            "{:?}",
            ended.stderr
        );
        assert!(is_harmless(&ended.stderr), "{:?}", ended.stderr);
    }
}

pub(crate) fn a_slow_reader_of_a_non_blocking_pipe_gets_all_of_it() {
    for (program, arguments) in [
        (ZILLIONS, &["check", "--list", "--format", "json"][..]),
        (ZILLIONS, &["check", "--list"]),
        (ZILLIONS, &["bench", "--help"]),
        (ZILLIONS, &["completions", "bash"]),
        (ZILLIONS, &["faulty-server", "--list-faults", "--format", "json"]),
        (STRESSTEST, &["--help"]),
        (CLIENT, &["--help"]),
        (SERVER, &["--help"]),
        (SERVER, &["--version"]),
    ] {
        let expected = Command::new(program).args(arguments).output().expect("it runs").stdout;
        assert!(!expected.is_empty());
        let (mut reader, writer) = pipe().expect("a pipe");
        let writer = OwnedFd::from(writer);
        rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("its size");
        rustix::io::ioctl_fionbio(&writer, true).expect("its mode");
        let mut command = Command::new(program);
        let mut child = command.args(arguments).stdout(writer).spawn().expect("it runs");
        drop(command);
        // Until there is no room: only then is anything read.
        let full = |reader| rustix::io::ioctl_fionread(reader).expect("a number") >= 4096;
        while !full(&reader) && child.try_wait().expect("a child").is_none() {
            poll(&mut [PollFd::new(&reader, PollFlags::IN)], None).expect("poll");
        }
        let mut received = Vec::new();
        let mut buffer = [0; 100];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            received.extend_from_slice(&buffer[..length]);
        }
        assert!(child.wait().expect("it ends").success(), "{program} {arguments:?}");
        assert!(received == expected, "{program} {arguments:?}: {} bytes", received.len());
    }
}

pub(crate) fn a_failure_stays_one_when_its_reader_has_gone() {
    let script = Script::server("--fault double-echo");
    let name = script.name();
    let history =
        format!("{}/crates/ordering/tests/histories/bad-total", env!("CARGO_MANIFEST_DIR"));
    let history = std::fs::read_dir(history).expect("histories").next().expect("one").expect("it");
    let history = history.path().display().to_string();
    let gallery = tempfile::tempdir().expect("a folder");
    let impls = gallery.path().display().to_string();
    for (code, program, arguments) in [
        (1, ZILLIONS, &["check", &name, "--case", "ORDER-1"][..]),
        (1, ZILLIONS, &["check", &name, "--case", "ORDER-1", "--format", "json"]),
        (1, ZILLIONS, &["check", &name, "--case", "ORDER-1", "--format", "junit"]),
        (1, ZILLIONS, &["verify", &history]),
        (1, ZILLIONS, &["verify", &history, "--format", "json"]),
        // A gallery in which nothing is: the tool chains are broken.
        (1, ZILLIONS, &["doctor", "--impls", &impls]),
        (1, STRESSTEST, &["-a", &script.address(), "-r", "20", &name]),
        (64, ZILLIONS, &["list", "no-such-entry", "--impls", &impls]),
        (0, ZILLIONS, &["check", "--list"]),
    ] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(program);
        command.args(arguments).stdout(writer).stderr(Stdio::null());
        let status = command.status().expect("it runs");
        assert_eq!(status.code(), Some(code), "{program} {arguments:?}");
        // And when nobody reads the errors either.
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        command.stdout(writer.try_clone().expect("a copy")).stderr(writer);
        let status = command.status().expect("it runs");
        assert_eq!(status.code(), Some(code), "{program} {arguments:?}");
    }
}

pub(crate) fn a_tool_that_is_short_of_descriptors_blames_nobody_else() {
    let script = Script::server("");
    for (program, arguments, needed) in [
        (ZILLIONS, format!("check '{}' --quick", script.name()), 128),
        (ZILLIONS, format!("bench '{}' --quick", script.name()), 128),
        (ZILLIONS, "doctor".to_owned(), 128),
        (ZILLIONS, "list".to_owned(), 128),
        (STRESSTEST, format!("'{}'", script.name()), 64),
    ] {
        let command = format!("ulimit -n 20; exec '{program}' {arguments}");
        let ended = run("sh", &["-c", &command]);
        assert_eq!(ended.code, 70, "{arguments}: {}{}", ended.stdout, ended.stderr);
        let expected = format!(
            "error: this process may have 20 descriptors (RLIMIT_NOFILE) and needs at least \
             {needed}: raise the limit with 'ulimit -n 1024', as root if the hard limit is lower"
        );
        assert!(ended.line().ends_with(&expected), "{arguments}: {}", ended.stderr);
    }
}

pub(crate) fn the_fewest_descriptors_are_enough_for_a_correct_server() {
    let script = Script::server("");
    let command = format!("ulimit -n 128; exec '{ZILLIONS}' check '{}' --quick", script.name());
    let ended = run("sh", &["-c", &command]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
}

pub(crate) fn a_wrapped_server_does_not_outlive_a_tool_that_is_killed() {
    // It neither replaces the wrapper, nor stays in its group and session.
    let script =
        Script::new("\"$(dirname \"$0\")/own\" faulty-server \"$@\" & setsid sleep 7654 & wait");
    let own = script.path.with_file_name("own");
    symlink(ZILLIONS, &own).expect("a link");
    let own = own.display().to_string();
    let mut test = Command::new(STRESSTEST)
        .args(["-a", &script.address(), "-r", "1000000", &script.name()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("stresstest");
    eventually("the wrapped server runs", || processes_mentioning(&own) > 0);
    let pid = Pid::from_child(&test);
    kill_process(pid, Signal::KILL).expect("it runs");
    test.wait().expect("it has ended");
    eventually("nothing is left", || {
        processes_mentioning(&own) + processes_mentioning("sleep\u{0}7654") == 0
    });
}

pub(crate) fn errors_that_nobody_can_read_end_a_command_as_others_do() {
    let script = Script::server("");
    for (program, arguments, code) in [
        (ZILLIONS, &["check", "nosuch"][..], 64),
        (ZILLIONS, &["chek"], 64),
        (ZILLIONS, &["check", &script.name(), "--case", "fanout/two"], 0),
        (STRESSTEST, &["./nosuch"], 64),
        (CLIENT, &[&script.address()], 70),
        (SERVER, &["nonsense"], 64),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(program);
        let status = command.args(arguments).stdout(Stdio::null()).stderr(writer).status();
        assert_eq!(status.expect("it runs").code(), Some(code), "{program} {arguments:?}");
    }
}

pub(crate) fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let script = Script::server("");
    for (signals, sent, ends) in
        [("HUP INT", "HUP", false), ("HUP INT", "INT", false), ("INT", "HUP", true)]
    {
        let tool = format!(
            "trap '' {signals}; exec '{STRESSTEST}' -a {} -r 2000 '{}'",
            script.address(),
            script.name()
        );
        let mut tool = interruptible("sh")
            .args(["-c", &tool])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("stresstest");
        eventually("it is at work", || processes_mentioning(&script.address()) > 1);
        let signal = if sent == "HUP" { Signal::HUP } else { Signal::INT };
        kill_process(Pid::from_child(&tool), signal).expect("it runs");
        if !ends {
            kill_process(Pid::from_child(&tool), Signal::TERM).expect("it still runs");
        }
        let code = tool.wait().expect("an end").code();
        let expected = if ends { 129 } else { 143 };
        assert_eq!(code, Some(expected), "{sent} with {signals} ignored");
    }
}

pub(crate) fn what_is_left_of_a_tool_that_was_killed_is_named_by_the_doctor() {
    // As if it had been started by a process with this id, which has another start.
    let marker = format!("{}-1-0", std::process::id());
    let mut left =
        Command::new("sleep").arg("600").env("ZILLIONS_GROUP", marker).spawn().expect("sleep");
    let gallery = tempfile::tempdir().expect("a folder");
    let ended = run(ZILLIONS, &["doctor", "--impls", &gallery.path().display().to_string()]);
    left.kill().expect("it runs");
    left.wait().expect("it has ended");
    let named = format!("{} (sleep 600), started by process {}", left.id(), std::process::id());
    assert!(ended.stdout.contains(&named), "{}", ended.stdout);
    assert!(ended.stdout.contains("end them: kill -KILL "), "{}", ended.stdout);
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}
