//! Servers that are not written for the spec, such as message brokers: how they are told where to
//! listen, and how they show that they are ready.
//!
//! They print no `listening on` line, so readiness is the first thing that their own protocol
//! lets them say on a connection. A port that is not open yet is tried again until the time is up
//! or the process has ended.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A connection that is refused is tried again after this.
pub(crate) const RETRY_SECONDS: f64 = 0.005;

/// How to start a server that does not keep the spec's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broker {
    /// The option before the host to listen on.
    pub host_option: &'static str,
    /// The option before the port.
    pub port_option: &'static str,
    /// What a client sends to find out whether it is ready; empty if the broker speaks first.
    pub ready_request: &'static [u8],
    /// What its answer begins with once it is ready.
    pub ready_reply: &'static str,
}

/// What one attempt has shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// It is ready.
    Ready,
    /// Nobody listens, or nothing was said in time.
    NotYet,
    /// Somebody said something else.
    Wrong(Vec<u8>),
}

impl Broker {
    /// The arguments that tell it to listen on `address`.
    pub(crate) fn arguments(&self, address: SocketAddr) -> [String; 4] {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        [self.host_option.to_owned(), host, self.port_option.to_owned(), port]
    }

    /// Connects to `address`, and reads until the greeting is complete or another one.
    pub(crate) fn try_greeting(&self, address: SocketAddr, deadline: Instant) -> Greeting {
        let greets = self.ready_reply.as_bytes();
        match self.converse(greets, address, deadline) {
            Ok(said) if said == greets => Greeting::Ready,
            Ok(said) if greets.starts_with(&said) => Greeting::NotYet,
            Ok(said) => Greeting::Wrong(said),
            Err(_) => Greeting::NotYet,
        }
    }

    /// What was said: the greeting, a beginning of it if the connection ended or time was up, or
    /// the beginning of something else.
    fn converse(
        &self,
        greets: &[u8],
        address: SocketAddr,
        deadline: Instant,
    ) -> io::Result<Vec<u8>> {
        let left = || {
            let left = deadline.saturating_duration_since(Instant::now());
            left.max(Duration::from_millis(1))
        };
        let mut stream = TcpStream::connect_timeout(&address, left())?;
        stream.write_all(self.ready_request)?;
        let mut said = Vec::new();
        let mut rest = [0; 64];
        while said.len() < greets.len() && greets.starts_with(&said) {
            stream.set_read_timeout(Some(left()))?;
            let wanted = (greets.len() - said.len()).min(rest.len());
            match stream.read(&mut rest[..wanted]) {
                Ok(0) => break,
                Ok(bytes) => said.extend_from_slice(&rest[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const BROKER: Broker = Broker {
        host_option: "-h",
        port_option: "-p",
        ready_request: b"PING\r\n",
        ready_reply: "+PONG",
    };

    /// What an attempt shows when the other side says `words`, in pieces of one byte, and closes.
    fn greeting(words: &'static [u8]) -> Greeting {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut asked = [0; 6];
            stream.read_exact(&mut asked).expect("a question");
            for byte in words {
                // The client goes as soon as it has heard enough.
                let _ = stream.write_all(&[*byte]);
            }
            asked
        });
        let greeting = BROKER.try_greeting(address, Instant::now() + Duration::from_secs(20));
        assert_eq!(&server.join().expect("a server"), b"PING\r\n");
        greeting
    }

    #[test]
    fn a_greeting_is_recognised_by_how_it_begins() {
        assert_eq!(greeting(b"+PONG\r\n"), Greeting::Ready);
        assert_eq!(greeting(b"+PO"), Greeting::NotYet);
        assert_eq!(greeting(b""), Greeting::NotYet);
        assert!(matches!(greeting(b"-ERR no"), Greeting::Wrong(said) if said.starts_with(b"-")));
    }

    #[test]
    fn nobody_listening_is_not_ready_yet() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        assert_eq!(BROKER.try_greeting(address, deadline), Greeting::NotYet);
    }

    #[test]
    fn host_and_port_follow_their_options() {
        let v6 = BROKER.arguments("[::1]:4222".parse().unwrap());
        assert_eq!(v6, ["-h", "::1", "-p", "4222"]);
    }
}
