//! Bad arguments and servers that are not there: one clear line and a status.

use std::{
    fs::File,
    net::{TcpListener, TcpStream},
    process::{Output, Stdio},
};

use crate::fake_server::{FakeServer, PATIENT, program};

fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        program().args(arguments).stdin(Stdio::null()).output().expect("the client starts");
    let text = |bytes| String::from_utf8(bytes).expect("its messages are UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn no_server_is_status_70_and_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listening = listener.local_addr().expect("its address");
    // The port of a connected socket refuses callers, and nobody else can take it meanwhile.
    let held = TcpStream::connect(listening).expect("a connection");
    let refusing = held.local_addr().expect("its address");
    let (code, stdout, stderr) = output(&[&refusing.to_string()]);
    assert_eq!((code, &*stdout), (Some(70), ""));
    assert_eq!(
        stderr,
        format!(
            "commandline-client: error: cannot connect to {refusing}: Connection refused (os \
             error 111)\n"
        )
    );
}

#[test]
fn a_host_that_cannot_be_looked_up_is_status_70_and_one_line() {
    // No label of a name may be longer than 63 bytes, so no name server needs to be asked.
    let address = format!("{}.invalid:8080", "a".repeat(64));
    let (code, stdout, stderr) = output(&[&address]);
    assert_eq!((code, &*stdout), (Some(70), ""));
    let start =
        format!("commandline-client: error: cannot connect to {address}: cannot look up the host:");
    assert!(stderr.starts_with(&start), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn wrong_arguments_are_status_64_and_say_what_is_wrong() {
    for (arguments, reason) in [
        (
            &["localhost"][..],
            "the port is missing: write HOST:PORT, for example localhost:8080 or [::1]:8080",
        ),
        (&["localhost:http"], "invalid port \"http\": use a number from 1 to 65535"),
        (&["::1:8080"], "brackets enclose an IPv6 address and nothing else: write HOST:PORT"),
        (&["--linger-seconds=-1"], "use a number from 0 to 86400, or inf"),
        (&["--colour"], "unexpected argument '--colour'"),
        (&["localhost:1", "localhost:2"], "unexpected argument 'localhost:2'"),
    ] {
        let (code, stdout, stderr) = output(arguments);
        assert_eq!((code, &*stdout), (Some(64), ""), "{arguments:?}");
        let first = stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with("error: ") && first.contains(reason), "{stderr}");
    }
}

#[test]
fn the_help_shows_the_default_address_and_examples() {
    let (code, stdout, stderr) = output(&["--help"]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    for text in ["[default: 127.0.0.1:8080]", "Examples:", "Exit status:"] {
        assert!(stdout.contains(text), "{text} is missing in\n{stdout}");
    }
    assert_eq!(output(&["--version"]).0, Some(0));
}

#[test]
fn a_host_name_is_looked_up_and_all_its_addresses_are_tried() {
    // localhost may stand for ::1 first, where this server does not listen.
    let server = FakeServer::open();
    let mut child = program()
        .args([PATIENT, &format!("localhost:{}", server.address().port())])
        .stdin(Stdio::null())
        .spawn()
        .expect("the client starts");
    let mut peer = server.accept();
    assert_eq!(peer.hear(), None);
    drop(peer);
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}

#[test]
fn an_input_that_cannot_be_read_is_reported() {
    let server = FakeServer::open();
    let child = program()
        .args([PATIENT, &server.address().to_string()])
        .stdin(File::open("/").expect("a folder"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let mut peer = server.accept();
    peer.say(b"still printed");
    assert_eq!(peer.hear(), None);
    drop(peer);
    let output = child.wait_with_output().expect("a child");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"still printed\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "commandline-client: error: cannot read standard input: Is a directory (os error 21)\n"
    );
}

#[test]
fn an_output_that_cannot_be_written_is_reported() {
    let server = FakeServer::open();
    let full = File::options().write(true).open("/dev/full").expect("a device");
    let child = program()
        .arg(server.address().to_string())
        .stdin(Stdio::piped())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let mut peer = server.accept();
    peer.say(b"no room for this");
    assert_eq!(peer.hear(), None);
    let output = child.wait_with_output().expect("a child");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "commandline-client: error: cannot write standard output: No space left on device (os \
         error 28)\n"
    );
}
