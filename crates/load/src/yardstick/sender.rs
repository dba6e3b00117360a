//! The sender: it accepts the clients, then sends, and never reads more than the byte
//! that each of them begins with.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::Cycle;

/// The most that is sent with one call: as much as the receiver takes with one.
const SEND_BYTES_MAX: usize = 256 * 1024;

/// How a sender sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the sockets take it, with as large a `send` as there is room for.
    Saturate,
    /// So many messages at a time, evenly spaced, with one `send` per message and client.
    Rate {
        /// Messages that are due at the same moment, at least 1.
        messages: u32,
        /// Such moments per second, above 0.
        per_second: f64,
    },
}

/// What one sender sends.
#[derive(Clone, Debug)]
pub struct Feed {
    /// How many clients it waits for before it sends.
    pub clients: usize,
    /// Lengths of the bodies, in turn; at least one.
    pub body_bytes: Vec<u8>,
    /// Further messages before each of these …
    pub untimed: u32,
    /// … and the length of their bodies.
    pub untimed_bytes: u8,
    /// How it sends.
    pub pace: Pace,
}

impl Feed {
    /// Accepts the clients and sends to them until the last one has left.
    ///
    /// # Errors
    ///
    /// What the system says if clients cannot be accepted or waited for.
    pub fn serve(&self, listener: &TcpListener) -> io::Result<()> {
        let clients = self.accept(listener)?;
        let cycle = Cycle::of(&self.body_bytes, self.untimed, self.untimed_bytes);
        match self.pace {
            Pace::Saturate => saturate(clients, &cycle)?,
            Pace::Rate { messages, per_second } => {
                let messages = messages as usize * (1 + self.untimed as usize);
                send_at_rate(clients, &cycle, messages, Duration::from_secs_f64(1.0 / per_second));
            }
        }
        Ok(())
    }

    /// Clients send a byte when all are connected. Who only looks whether somebody listens leaves
    /// without one, and is none.
    fn accept(&self, listener: &TcpListener) -> io::Result<Vec<std::net::TcpStream>> {
        let mut clients = Vec::with_capacity(self.clients);
        while clients.len() < self.clients {
            let missing = self.clients - clients.len();
            let accept = |_| listener.accept().map(|(client, _)| client);
            for mut client in (0..missing).map(accept).collect::<io::Result<Vec<_>>>()? {
                if client.read_exact(&mut [0]).is_ok() {
                    client.set_nodelay(true)?;
                    clients.push(client);
                }
            }
        }
        Ok(clients)
    }
}

/// Returns when no client is left.
fn send_at_rate(
    mut clients: Vec<std::net::TcpStream>,
    cycle: &Cycle,
    messages: usize,
    interval: Duration,
) {
    let mut frames = cycle.0.iter().cycle();
    let mut due = Instant::now();
    while !clients.is_empty() {
        for frame in frames.by_ref().take(messages) {
            clients.retain_mut(|client| client.write_all(frame).is_ok());
        }
        due += interval;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Spreads the clients over as many threads as there are processors. Returns when none is left.
fn saturate(clients: Vec<std::net::TcpStream>, cycle: &Cycle) -> io::Result<()> {
    let threads = thread::available_parallelism()?.get().min(clients.len());
    let ring: Vec<u8> = cycle.0.concat();
    let ring = ring.repeat((SEND_BYTES_MAX / ring.len()).max(1));
    let mut shares: Vec<Vec<std::net::TcpStream>> = (0..threads).map(|_| Vec::new()).collect();
    for (at, client) in clients.into_iter().enumerate() {
        shares[at % threads].push(client);
    }
    thread::scope(|scope| {
        let ring = &ring;
        let senders: Vec<_> =
            shares.into_iter().map(|share| scope.spawn(move || fill(share, ring))).collect();
        senders.into_iter().try_for_each(|sender| match sender.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Keeps the sockets of `clients` full with what follows in the ring.
fn fill(clients: Vec<std::net::TcpStream>, ring: &[u8]) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    // Each with its place in the ring.
    let mut clients = clients
        .into_iter()
        .enumerate()
        .map(|(at, client)| {
            client.set_nonblocking(true)?;
            let mut client = TcpStream::from_std(client);
            poll.registry().register(&mut client, Token(at), Interest::WRITABLE)?;
            Ok(Some((client, 0)))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut left = clients.len();
    let mut writable: VecDeque<usize> = VecDeque::new();
    while left > 0 {
        let wait = if writable.is_empty() { None } else { Some(Duration::ZERO) };
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if !writable.contains(&event.token().0) {
                writable.push_back(event.token().0);
            }
        }
        for _ in 0..writable.len() {
            let Some(at) = writable.pop_front() else { break };
            let Some((client, place)) = &mut clients[at] else { continue };
            match client.write(&ring[*place..]) {
                Ok(bytes) => *place = (*place + bytes) % ring.len(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    clients[at] = None;
                    left -= 1;
                    continue;
                }
            }
            writable.push_back(at);
        }
    }
    Ok(())
}
