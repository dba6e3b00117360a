//! Who is connected, and closing somebody: only with the token.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::config::Configured;
use crate::manager::StoppedThread;
use crate::metrics::{self, ask};
use crate::support::{PATIENCE, Running, eventually, read_until, receive, send};
use crate::websocket::Web;

const TOKEN: &str = "correct-horse-battery-staple";

/// A server with an administrator.
struct Administered {
    running: Running,
    address: String,
    _folder: tempfile::TempDir,
}

/// The status and the body.
fn request(address: &str, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
    answer_of(begin(address, method, path, token))
}

/// A connection on which a request was sent.
fn begin(address: &str, method: &str, path: &str, token: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the admin's address");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let headers = format!("Host: x\r\n{}", token.unwrap_or_default());
    write!(stream, "{method} {path} HTTP/1.1\r\n{headers}\r\n").expect("a request");
    stream
}

/// The status and the body that come on it.
fn answer_of(mut stream: TcpStream) -> (u16, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).expect("a status").parse().expect("a number"), body.to_owned())
}

fn write_token(path: &Path, mode: u32) {
    std::fs::write(path, format!("{TOKEN}\n")).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
}

impl Administered {
    fn start(options: &[&str], mode: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        write_token(&path, mode);
        let path = path.to_str().expect("text");
        let admin = ["--admin", "127.0.0.1:0", "--admin-token-file", path];
        let running = Running::start(&[options, &admin].concat());
        let mut address = String::new();
        eventually("it logs the address", || {
            let lines = running.server.log_tail(100);
            let line = lines.iter().find_map(|line| line.split("admin address=").nth(1));
            address = line.unwrap_or_default().trim().to_owned();
            !address.is_empty()
        });
        Self { running, address, _folder: folder }
    }

    fn request(&self, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
        request(&self.address, method, path, token)
    }

    fn list(&self, query: &str) -> Value {
        let (status, body) = self.request("GET", &format!("/clients{query}"), Some(TOKEN));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn clients(&self) -> Vec<Value> {
        self.list("")["clients"].as_array().expect("a list").clone()
    }
}

#[test]
fn the_list_says_who_is_connected_and_what_each_was_sent() {
    let server = Administered::start(&["--shards", "2"], 0o600);
    assert_eq!(server.clients(), [] as [Value; 0]);
    let mut first = server.running.connect();
    send(&mut first, b"one");
    read_until(&mut first, b"one");
    let mut second = server.running.connect();
    send(&mut second, b"two");
    [&mut first, &mut second].into_iter().for_each(|client| drop(read_until(client, b"two")));
    let sent = |clients: &[Value]| {
        let mut sent: Vec<u64> =
            clients.iter().map(|client| client["sent_messages"].as_u64().unwrap()).collect();
        sent.sort_unstable();
        sent
    };
    eventually("both are listed", || sent(&server.clients()) == [1, 2]);
    for client in server.clients() {
        assert_eq!(client["address"], "127.0.0.1");
        for none in ["dropped_messages", "lag_messages", "lag_bytes"] {
            assert_eq!(client[none], 0, "{none} in {client}");
        }
        let joined = client["joined"].as_str().expect("a time");
        let joined = humantime::parse_rfc3339(joined).expect("a time");
        assert!(joined.elapsed().is_ok_and(|age| age < 2 * PATIENCE), "{client}");
        assert_eq!((&client["room"], &client["protocol"]), (&"main".into(), &"plain".into()));
    }
}

#[test]
fn long_lists_are_given_in_parts() {
    let server = Administered::start(&["--shards", "2"], 0o600);
    let _clients: Vec<_> = (0..7).map(|_| server.running.join()).collect();
    for limit in [1, 3, 7, 100] {
        let (mut ids, mut query) = (Vec::new(), format!("?limit={limit}"));
        loop {
            let list = server.list(&query);
            let clients = list["clients"].as_array().expect("a list");
            assert!(clients.len() <= limit);
            ids.extend(clients.iter().map(|client| client["id"].as_str().unwrap().to_owned()));
            let Some(next) = list["next"].as_str() else { break };
            query = format!("?limit={limit}&after={next}");
        }
        let listed = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((listed, ids.len()), (7, 7), "each once");
    }
    for query in ["?limit=0", "?limit=10001", "?limit=many", "?after=x", "?order=lag"] {
        assert_eq!(server.request("GET", &format!("/clients{query}"), Some(TOKEN)).0, 400);
    }
}

#[test]
fn a_closed_client_is_sent_what_is_due_to_it_and_the_others_notice_nothing() {
    let options = ["--shards", "1", "--metrics", "127.0.0.1:0"];
    let server = Administered::start(&options, 0o600);
    let mut closed = server.running.connect();
    send(&mut closed, b"hello");
    read_until(&mut closed, b"hello");
    let id = server.clients()[0]["id"].as_str().expect("an id").to_owned();
    let mut other = server.running.join();
    send(&mut other, b"last");
    read_until(&mut other, b"last");
    let (status, body) = server.request("POST", &format!("/clients/{id}/close"), Some(TOKEN));
    assert_eq!(status, 202, "{body}");
    read_until(&mut closed, b"last");
    assert_eq!(receive(&mut closed), None);
    send(&mut other, b"still here");
    read_until(&mut other, b"still here");
    let reason = "zillions_disconnects_total{shard=\"0\",reason=\"admin\"}";
    assert_eq!(metrics::value(&server.running, reason), 1);
    let again = server.request("POST", &format!("/clients/{id}/close"), Some(TOKEN));
    assert_eq!(again.0, 404, "it is gone");
    assert_eq!(server.clients().len(), 1);
}

#[test]
fn a_client_that_floods_and_does_not_read_is_closed_all_the_same() {
    let options = ["--shards", "1", "--drain-timeout-seconds", "1", "--send-buffer-bytes", "8KiB"];
    let server = Administered::start(&options, 0o600);
    let mut flood = server.running.connect();
    flood.set_write_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    // Until its echoes fill the sockets, or the server has had enough for now.
    for _ in 0..40_000 {
        if flood.write_all(&crate::support::frame(&[7; 255])).is_err() {
            break;
        }
    }
    let id = server.clients()[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.request("POST", &format!("/clients/{id}/close"), Some(TOKEN)).0, 202);
    eventually("it is closed", || server.clients().is_empty());
    drop(server.running.join());
}

#[test]
fn a_client_over_websocket_is_listed_as_such_and_told_that_it_was_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    write_token(&path, 0o600);
    let admin = format!("admin = \"127.0.0.1:0\"\nadmin_token_file = \"{}\"", path.display());
    let mut configured = Configured::start(&format!(
        "[server]\n{admin}\n[[room]]\nname = \"lobby\"\nlisten = [\"ws://127.0.0.1:0\"]\n"
    ));
    let line = configured.log_line_with("admin address=");
    let admin = line.split("address=").nth(1).expect("an address").trim();
    let web = configured.next_address();
    let web = web.strip_prefix("ws://").expect("the address as it was given");
    let mut client = Web::connect(&configured, web);
    let (status, body) = request(admin, "GET", "/clients", Some(TOKEN));
    assert_eq!(status, 200, "{body}");
    let list: Value = serde_json::from_str(&body).expect("JSON");
    let listed = &list["clients"][0];
    assert_eq!((&listed["room"], &listed["protocol"]), (&"lobby".into(), &"websocket".into()));
    let close = format!("/clients/{}/close", listed["id"].as_str().expect("an id"));
    assert_eq!(request(admin, "POST", &close, Some(TOKEN)).0, 202);
    assert_eq!(client.close_code(), CloseCode::Policy);
}

#[test]
fn a_shard_that_hangs_costs_a_request_its_time_and_nobody_else() {
    let server = Administered::start(&["--shards", "2"], 0o600);
    let Some(stopped) = StoppedThread::stop(server.running.server.pid(), "shard-1") else {
        eprintln!("skipped: this machine lets nobody stop a thread");
        return;
    };
    // More than may wait for the shard.
    for _ in 0..3 {
        let many: Vec<_> =
            (0..30).map(|_| begin(&server.address, "GET", "/clients", Some(TOKEN))).collect();
        assert_eq!(server.request("GET", "/healthz", Some(TOKEN)).0, 200);
        for waiting in many {
            let answer = answer_of(waiting);
            assert_eq!(answer, (503, "shard 1 does not answer\n".to_owned()));
        }
    }
    drop(stopped);
    eventually("it answers again", || server.request("GET", "/clients", Some(TOKEN)).0 == 200);
}

#[test]
fn without_the_token_nothing_is_told_or_done() {
    let server = Administered::start(&[], 0o600);
    let _client = server.running.join();
    let id = server.clients()[0]["id"].as_str().expect("an id").to_owned();
    let close = format!("/clients/{id}/close");
    for token in [None, Some(""), Some("wrong"), Some("correct-horse-battery-stapl")] {
        for (method, path) in [("GET", "/clients"), ("POST", &*close), ("GET", "/elsewhere")] {
            let (status, body) = server.request(method, path, token);
            assert_eq!((status, &*body), (401, "the token is missing or wrong\n"), "{path}");
        }
    }
    for (method, path, status) in [
        ("POST", "/clients", 405),
        ("GET", &close, 405),
        ("GET", "/elsewhere", 404),
        ("POST", "/clients/7-1/close", 404),
        ("POST", "/clients/none/close", 404),
        ("POST", "/clients/0-18446744073709551615/close", 404),
    ] {
        assert_eq!(server.request(method, path, Some(TOKEN)).0, status, "{method} {path}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(server.request("GET", path, Some(TOKEN)).0, 200, "{path}");
        assert_eq!(server.request("GET", path, None).0, 401, "{path}");
    }
    assert_eq!(server.clients().len(), 1, "nobody was closed");
}

#[test]
fn a_token_that_others_may_read_is_a_warning() {
    let warned = |mode| {
        let server = Administered::start(&[], mode);
        let lines = server.running.server.log_tail(100);
        lines.iter().any(|line| line.contains("others may read the token in"))
    };
    assert!(warned(0o644));
    assert!(warned(0o640));
    assert!(!warned(0o600));
}

#[test]
fn a_reader_of_the_metrics_sees_numbers_and_no_address() {
    let options = ["--metrics", "127.0.0.1:0"];
    let server = Administered::start(&options, 0o600);
    let _client = server.running.join();
    let metrics = metrics::endpoint(&server.running);
    let (status, text) = metrics::get(&metrics, "/metrics");
    assert_eq!(status, 200);
    assert!(!text.contains("127.0.0.1"), "{text}");
    assert_eq!(metrics::get(&metrics, "/clients").0, 404);
    let id = server.clients()[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(metrics::get(&metrics, &format!("/clients/{id}/close")).0, 404);
    assert_eq!(server.clients().len(), 1);
}

#[test]
fn metrics_are_compressed_where_that_is_asked_for() {
    let running = Running::start(&["--metrics", "127.0.0.1:0"]);
    let address = metrics::endpoint(&running);
    let mut stream = TcpStream::connect(&address).expect("the metrics' address");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut unpack = std::process::Command::new("gzip");
    let unpack = unpack.arg("-dc").stdin(std::process::Stdio::piped());
    let mut unpack = unpack.stdout(std::process::Stdio::piped()).spawn().expect("gzip");
    unpack.stdin.take().expect("its input").write_all(&answer[end..]).expect("it reads");
    let text = unpack.wait_with_output().expect("it ends").stdout;
    let (plain_head, plain) = ask(&address, "/metrics", "");
    assert!(!plain_head.contains("content-encoding"), "{plain_head}");
    let names = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
    let text = String::from_utf8(text).expect("text");
    assert_eq!(names(&text), names(&plain));
    assert!(answer.len() - end < plain.len() / 2);
}
