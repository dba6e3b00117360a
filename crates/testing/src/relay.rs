//! A second node of a service, as a test needs one: an address of its own in front of a server,
//! that passes on what it gets, in order, or with two messages exchanged.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Messages that each client receives in order before two are exchanged: what opens a test, such as
/// greetings, may not be judged.
const EXCHANGED_AFTER: u64 = 100;
/// A shorter body may be that of several senders, and so tells nothing of where it was sent.
const TELLING_BODY_BYTES_MIN: usize = 8;
/// Read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// What a relay does with the order of what its clients receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayedOrder {
    /// It is kept.
    Kept,
    /// Once per client, a message that was sent through this relay comes before one that was not
    /// and that the server had put first. Each sender's messages keep their order, so that only the
    /// clients of other nodes can tell.
    OwnMessageFirst,
}

/// A relay that accepts clients for as long as the process lives.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
}

/// The bodies that clients of a relay have sent.
type OwnBodies = Arc<Mutex<HashSet<Vec<u8>>>>;

impl Relay {
    /// A relay in front of `server`, on a free port of the loopback device.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(server: SocketAddr, order: RelayedOrder) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let own = OwnBodies::default();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that cannot be served sees its connection end.
                let _ = relay(client, server, order, &own);
            }
        });
        Ok(Self { address })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Relays one client, on two threads.
fn relay(
    client: TcpStream,
    server: SocketAddr,
    order: RelayedOrder,
    own: &OwnBodies,
) -> io::Result<()> {
    let upstream = TcpStream::connect(server)?;
    for stream in [&client, &upstream] {
        stream.set_nodelay(true)?;
    }
    let (from_client, to_server) = (client.try_clone()?, upstream.try_clone()?);
    let sent = Arc::clone(own);
    thread::spawn(move || {
        let _ = up(&from_client, &to_server, &sent);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let own = Arc::clone(own);
    thread::spawn(move || {
        let _ = down(&upstream, &client, order, &own);
        let _ = client.shutdown(Shutdown::Write);
    });
    Ok(())
}

fn up(mut from: &TcpStream, mut to: &TcpStream, own: &OwnBodies) -> io::Result<()> {
    let (mut frames, mut buffer) = (Frames::default(), vec![0; READ_BYTES]);
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        {
            let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
            own.extend(frames.take(&buffer[..count]).into_iter().map(|frame| frame[1..].to_vec()));
        }
        to.write_all(&buffer[..count])?;
    }
}

fn down(
    mut from: &TcpStream,
    mut to: &TcpStream,
    order: RelayedOrder,
    own: &OwnBodies,
) -> io::Result<()> {
    let (mut frames, mut buffer) = (Frames::default(), vec![0; READ_BYTES]);
    let (mut passed, mut exchanges) = (0, order == RelayedOrder::OwnMessageFirst);
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut whole = frames.take(&buffer[..count]);
        passed += whole.len() as u64;
        if exchanges && passed > EXCHANGED_AFTER {
            let own = own.lock().unwrap_or_else(PoisonError::into_inner);
            let is_own = |frame: &Vec<u8>| own.contains(&frame[1..]);
            let tells = |frame: &Vec<u8>| frame.len() > TELLING_BODY_BYTES_MIN;
            let place = whole
                .windows(2)
                .position(|pair| !is_own(&pair[0]) && is_own(&pair[1]) && tells(&pair[1]));
            if let Some(place) = place {
                whole.swap(place, place + 1);
                exchanges = false;
            }
        }
        to.write_all(&whole.concat())?;
    }
}

/// Cuts a stream into frames.
#[derive(Debug, Default)]
struct Frames {
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
}

impl Frames {
    /// The frames that are whole with these bytes, each with its header.
    fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.rest.extend_from_slice(bytes);
        let (mut whole, mut at) = (Vec::new(), 0);
        while let Some(&length) = self.rest.get(at) {
            let end = at + 1 + usize::from(length);
            let Some(frame) = self.rest.get(at..end) else { break };
            whole.push(frame.to_vec());
            at = end;
        }
        self.rest.drain(..at);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Greets through the relay, and then lets the "server" send what is given.
    fn relayed(order: RelayedOrder, frames: &[u8]) -> Vec<u8> {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let relay = Relay::start(server.local_addr().expect("an address"), order).expect("a relay");
        let mut client = TcpStream::connect(relay.address()).expect("a connection");
        client.write_all(b"\x08of mine.\x03own").expect("a relay that reads");
        let (mut upstream, _) = server.accept().expect("the relay");
        let mut own = [0; 13];
        upstream.read_exact(&mut own).expect("both messages");
        upstream.write_all(frames).expect("a relay that reads");
        upstream.shutdown(Shutdown::Write).expect("a connection");
        let mut received = Vec::new();
        client.read_to_end(&mut received).expect("all of it");
        received
    }

    #[test]
    fn one_own_message_comes_before_a_foreign_one_or_all_is_as_it_was() {
        let opening = vec![0; EXCHANGED_AFTER as usize];
        let sent = [&opening[..], b"\x01a\x03own\x01b\x08of mine."].concat();
        assert_eq!(relayed(RelayedOrder::Kept, &sent), sent);
        let exchanged = [&opening[..], b"\x01a\x03own\x08of mine.\x01b"].concat();
        let received = relayed(RelayedOrder::OwnMessageFirst, &sent);
        // Reads may be cut anywhere: the exchange is then a later one, or none.
        assert!(received == exchanged || received.len() == sent.len(), "{received:?}");
    }

    #[test]
    fn frames_are_found_wherever_a_stream_is_cut() {
        let stream = b"\x01a\x00\x02bc";
        for cut in 0..stream.len() {
            let mut frames = Frames::default();
            let mut found = frames.take(&stream[..cut]);
            found.extend(frames.take(&stream[cut..]));
            assert_eq!(found, [&b"\x01a"[..], b"\x00", b"\x02bc"], "cut at {cut}");
        }
    }
}
