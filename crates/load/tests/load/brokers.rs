//! Trials in the protocols of other brokers, against brokers of a few lines for one client each.
//! The real ones are in the tests of the command line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use zillions_load::{Filler, Load, LoadError, Outcome, Plan, WireFormat, run};

fn plan(wire: WireFormat) -> Plan {
    Plan {
        wire,
        clients: 1,
        senders: 1,
        stalled: 0,
        churn_per_second: 0.0,
        filler: Filler::default(),
        split_writes: false,
        load: Load::FixedRate { messages_per_second: 1_000.0 },
        body_bytes: vec![18, 255],
        warm_up: Duration::ZERO,
        measure: Duration::from_millis(200),
        late_after: Duration::from_secs(5),
        quiet: Duration::from_millis(300),
        drain_max: Duration::from_secs(10),
        ready_max: Duration::from_secs(20),
        load_threads: 1,
        tag: 3,
    }
}

/// Serves one connection with `serve`, which gives something back when the client has gone.
fn broker<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let bytes = reader.read_line(&mut line).ok()?;
    (bytes > 0).then(|| line.trim_end().to_owned())
}

fn body(reader: &mut impl BufRead, bytes: usize) -> Vec<u8> {
    let mut body = vec![0; bytes + 2];
    reader.read_exact(&mut body).unwrap();
    body
}

fn assert_all_delivered(outcome: &Outcome) {
    assert_eq!(outcome.pairs.delivered, 200);
    assert_eq!(outcome.pairs.expected(), 200);
    assert!(outcome.anomalies.is_none(), "{:?}", outcome.anomalies);
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
}

#[test]
fn a_nats_server_that_asks_whether_the_client_lives_is_answered() {
    let (address, broker) = broker(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        stream.write_all(b"INFO {\"max_payload\":1048576}\r\nPING\r\n").unwrap();
        let (mut said, mut answers) = (Vec::new(), 0);
        while let Some(line) = line(&mut reader) {
            if let Some(length) = line.strip_prefix("PUB z ") {
                let body = body(&mut reader, length.parse().unwrap());
                // A question before every delivery: more than any real server asks.
                stream.write_all(format!("PING\r\nMSG z 1 {length}\r\n").as_bytes()).unwrap();
                stream.write_all(&body).unwrap();
            } else if line == "PONG" {
                answers += 1;
            } else {
                said.push(line);
            }
        }
        (said, answers)
    });
    assert_all_delivered(&run(address, &plan(WireFormat::Nats), |_| {}).unwrap());
    let (said, answers) = broker.join().unwrap();
    assert!(said[0].starts_with("CONNECT {") && said[0].contains("\"echo\":true"), "{said:?}");
    assert_eq!(said[1..], ["SUB z 1"]);
    // It leaves once everything is delivered, with the last questions on their way.
    assert!(answers > 10, "{answers}");
}

#[test]
fn a_stalled_client_subscribes_and_reads_nothing() {
    const BYTES_MAX: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let broker = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut stalled, _) = listener.accept().unwrap();
        stalled.set_nonblocking(true).unwrap();
        let mut unread = 0;
        // Until the sockets between are full: somebody who reads would take all of it.
        while unread < BYTES_MAX
            && let Ok(bytes) = stalled.write(&[b'\n'; 64 * 1024])
        {
            unread += bytes;
        }
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(line) = line(&mut reader) {
            let Some(length) = line.strip_prefix("PUB z ") else { continue };
            let body = body(&mut reader, length.parse().unwrap());
            stream.write_all(format!("MSG z 1 {length}\r\n").as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
        stalled.set_nonblocking(false).unwrap();
        let mut said = Vec::new();
        // Closing a socket with unread bytes resets it: what was said comes first.
        let _ = stalled.read_to_end(&mut said);
        (unread, said)
    });
    let plan = Plan { stalled: 1, ..plan(WireFormat::Nats) };
    assert_all_delivered(&run(address, &plan, |_| {}).unwrap());
    let (unread, said) = broker.join().unwrap();
    assert!((1..BYTES_MAX).contains(&unread), "{unread} bytes were taken");
    assert_eq!(said, WireFormat::Nats.hello(false));
}

#[test]
fn a_redis_client_says_hello_subscribes_and_publishes_on_one_connection() {
    let (address, broker) = broker(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut said = Vec::new();
        while let Some(header) = line(&mut reader) {
            let words: usize = header.strip_prefix('*').unwrap().parse().unwrap();
            let mut command: Vec<Vec<u8>> = Vec::new();
            for _ in 0..words {
                let length = line(&mut reader).unwrap()[1..].parse().unwrap();
                let mut word = body(&mut reader, length);
                word.truncate(length);
                command.push(word);
            }
            if command[0] == b"PUBLISH" {
                let length = command[2].len();
                let opening = format!(">3\r\n$7\r\nmessage\r\n$1\r\nz\r\n${length}\r\n");
                stream.write_all(opening.as_bytes()).unwrap();
                stream.write_all(&command[2]).unwrap();
                stream.write_all(b"\r\n").unwrap();
            } else {
                let reply: &[u8] = match &command[0][..] {
                    b"HELLO" => b"%1\r\n$5\r\nproto\r\n:3\r\n",
                    b"SUBSCRIBE" => b">3\r\n$9\r\nsubscribe\r\n$1\r\nz\r\n:1\r\n",
                    _ => b"",
                };
                stream.write_all(reply).unwrap();
                said.push(String::from_utf8(command.join(&b' ')).unwrap());
            }
        }
        said
    });
    assert_all_delivered(&run(address, &plan(WireFormat::Redis), |_| {}).unwrap());
    assert_eq!(broker.join().unwrap(), ["HELLO 3", "SUBSCRIBE z", "CLIENT REPLY OFF"]);
}

#[test]
fn a_server_that_refuses_is_quoted() {
    let (address, _broker) = broker(|mut stream| {
        let mut greeting = [0; 8];
        stream.read_exact(&mut greeting).unwrap();
        stream.write_all(b"-NOAUTH Authentication required.\r\n").unwrap();
        // Until the client goes.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = run(address, &plan(WireFormat::Redis), |_| {}).unwrap_err();
    assert!(matches!(error, LoadError::LostEarly { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "connection 0 of 1 ended before the load began: the server said: NOAUTH Authentication required."
    );
}
