//! An independent WebSocket client, in another language: Python's websockets, at `ws://` and `wss://`
//! addresses of a room, beside a plain client.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::DnType;

use crate::config::Configured;
use crate::one_order::{MESSAGES, assert_one_order};
use crate::support::{Ended, read_until, receive, send};
use crate::tls::Authority;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/websocket-client/bin/python");
const CLIENT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zillions_server/python_websockets.py");
const TOKEN: &str = "correct-horse-battery-staple";
/// The number of the plain client; Python's are 0 and 1.
const PLAIN: u8 = 2;

/// Whether the library is there; says so if not. Where CI is true it is an error.
fn is_installed() -> bool {
    let is_installed = Path::new(PYTHON).exists();
    if !is_installed {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI without {PYTHON}");
        eprintln!("skipped: there is no {PYTHON}; scripts/websocket-client installs it");
    }
    is_installed
}

/// A room at a plain, a `ws://` and a `wss://` address, with a token for the latter two.
fn serve(authority: &Authority) -> Configured {
    let token = authority.path("token");
    fs::write(&token, TOKEN).expect("a file");
    fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).expect("it is ours");
    Configured::start(&format!(
        "[[room]]\nname = \"lobby\"\nring_bytes = \"1MiB\"\n\
         listen = [\"127.0.0.1:0\", \"ws://127.0.0.1:0\", \"wss://127.0.0.1:0\"]\n\
         [websocket]\ntoken_file = \"{}\"\n[tls]\n{}",
        token.display(),
        authority.options()
    ))
}

#[test]
fn python_s_websockets_and_a_plain_client_see_one_order() {
    if !is_installed() {
        return;
    }
    let authority = Authority::new();
    // By default its name is that of the authority, so that OpenSSL takes it for self-signed.
    authority.sign_as("localhost", "127.0.0.1", |params| {
        params.distinguished_name.push(DnType::CommonName, "a server");
    });
    let mut configured = serve(&authority);
    let [plain, web, secure] = [(); 3].map(|()| configured.next_address());
    let mut plain = configured.connect(&plain);

    let mut command = Command::new(PYTHON);
    command.args([CLIENT, &web, &secure]).arg(authority.path("ca.pem")).arg(TOKEN);
    let mut client = Ended(command.stdout(Stdio::piped()).spawn().expect("it starts"));
    let lines = BufReader::new(client.0.stdout.take().expect("a pipe")).lines();
    let mut lines = lines.map(|line| line.expect("text"));
    assert_eq!(lines.next().as_deref(), Some("connected"));
    send(&mut plain, b"now");
    let shapes = read_until(&mut plain, b"now");
    assert_eq!(shapes.first().map(Vec::as_slice), Some(&b"fragm"[..]));
    for number in 0..MESSAGES {
        send(&mut plain, &[PLAIN, number]);
    }
    let total = 3 * usize::from(MESSAGES);
    let own = (0..total).map(|_| receive(&mut plain).expect("a message")).collect();
    let mut streams: Vec<Vec<Vec<u8>>> =
        lines.map(|line| line.split(' ').map(from_hex).collect()).collect();
    streams.push(own);
    assert_eq!(streams.len(), 3, "what each has received");
    assert_one_order(&streams);
    assert!(client.0.wait().expect("it ends").success(), "its complaint is above");
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |pair| u8::from_str_radix(pair, 16).expect("a number");
    text.as_bytes().chunks(2).map(|pair| byte(std::str::from_utf8(pair).expect("digits"))).collect()
}
