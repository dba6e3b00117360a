//! A node on core NATS, as one would write it first: each message is published, and whatever NATS
//! delivers is sent to the clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{frame, receive};

type Clients = Arc<Mutex<Vec<TcpStream>>>;

/// A node that serves until the process ends, or NATS does.
pub(crate) struct CoreNode {
    pub(crate) address: SocketAddr,
}

impl CoreNode {
    pub(crate) fn start(nats: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut publisher = TcpStream::connect(nats).expect("NATS is there");
        publisher.write_all(b"CONNECT {\"verbose\":false}\r\nSUB room 1\r\n").expect("it reads");
        let clients = Clients::default();
        let incoming = publisher.try_clone().expect("a handle");
        let publisher = Arc::new(Mutex::new(publisher));
        let (receivers, answering) = (Arc::clone(&clients), Arc::clone(&publisher));
        thread::spawn(move || deliver(incoming, &receivers, &answering));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                clients.lock().expect("a lock").push(stream.try_clone().expect("a handle"));
                let publisher = Arc::clone(&publisher);
                thread::spawn(move || publish(stream, &publisher));
            }
        });
        Self { address }
    }
}

fn publish(mut client: TcpStream, publisher: &Mutex<TcpStream>) {
    while let Some(body) = receive(&mut client) {
        let mut message = format!("PUB room {}\r\n", body.len()).into_bytes();
        message.extend(body);
        message.extend(b"\r\n");
        if publisher.lock().expect("a lock").write_all(&message).is_err() {
            return;
        }
    }
}

fn deliver(nats: TcpStream, clients: &Mutex<Vec<TcpStream>>, answering: &Mutex<TcpStream>) {
    let mut reader = BufReader::new(nats);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        if let Some(length) = line.strip_prefix("MSG ").and_then(|it| it.trim().rsplit(' ').next())
        {
            let mut body = vec![0; length.parse::<usize>().expect("a length") + 2];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let frame = frame(&body[..body.len() - 2]);
            // Those who have gone are of no interest.
            clients.lock().expect("a lock").retain_mut(|it| it.write_all(&frame).is_ok());
        } else if line.starts_with("PING") {
            let _ = answering.lock().expect("a lock").write_all(b"PONG\r\n");
        }
        line.clear();
    }
}
