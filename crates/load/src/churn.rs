//! Churn: short-lived connections beside the load. What connecting and disconnecting costs the other
//! clients is the question. Every byte that they receive is checked; what they miss is not a loss.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use zillions_harness::MachineFault;
use zillions_protocol::Decoder;

use crate::body;
use crate::filler::Filler;
use crate::plan::Plan;

/// How long a connection stays open.
const LIFETIME_NS: u64 = 50_000_000;
/// Short-lived connections at the same time, at most; one that is due beyond that is left out.
pub const CHURN_CONNECTIONS_MAX: usize = 256;
/// Taken from a socket at a time.
const RECEIVE_BYTES_MAX: usize = 64 * 1024;

/// How many short-lived connections a trial had, and how many failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChurnCounts {
    /// Connections that were begun.
    pub connections: u64,
    /// Those among them that could not connect, or that the server ended.
    pub failed: u64,
    /// Messages of which some byte was wrong.
    pub(crate) corrupted: u64,
}

/// The short-lived connections of one trial.
#[derive(Debug)]
pub(crate) struct Churn {
    /// In turn.
    addresses: Vec<SocketAddr>,
    tag: u32,
    filler: Filler,
    begin_ns: u64,
    interval_ns: f64,
    /// Connections that were due, including those that were left out.
    due: u64,
    open: VecDeque<ShortLived>,
    buffer: Vec<u8>,
    pub(crate) counts: ChurnCounts,
}

#[derive(Debug)]
struct ShortLived {
    socket: Socket,
    closes_ns: u64,
}

impl Churn {
    /// Connections at equal distances from `begin_ns` on.
    pub(crate) fn new(addresses: &[SocketAddr], plan: &Plan, begin_ns: u64) -> Self {
        Self {
            addresses: addresses.to_vec(),
            tag: plan.tag,
            filler: plan.filler,
            begin_ns,
            interval_ns: 1e9 / plan.churn_per_second,
            due: 0,
            open: VecDeque::with_capacity(CHURN_CONNECTIONS_MAX),
            buffer: vec![0; RECEIVE_BYTES_MAX],
            counts: ChurnCounts::default(),
        }
    }

    /// Closes and opens what is due at `now_ns`; the time at which to call it again.
    ///
    /// # Errors
    /// When this machine, and not the server, is why nobody can connect.
    pub(crate) fn advance(&mut self, now_ns: u64) -> Result<u64, MachineFault> {
        while self.open.front().is_some_and(|connection| connection.closes_ns <= now_ns) {
            if let Some(connection) = self.open.pop_front() {
                self.close(&connection.socket);
            }
        }
        while self.due_ns() <= now_ns {
            self.due += 1;
            if self.open.len() < CHURN_CONNECTIONS_MAX {
                self.counts.connections += 1;
                let turn = self.counts.connections % self.addresses.len() as u64;
                match connect(self.addresses[turn as usize]) {
                    Ok(socket) => {
                        let closes_ns = now_ns + LIFETIME_NS;
                        self.open.push_back(ShortLived { socket, closes_ns });
                    }
                    Err(error) => match MachineFault::of(&error) {
                        Some(fault) => return Err(fault),
                        None => self.counts.failed += 1,
                    },
                }
            }
        }
        let closes_ns = self.open.front().map_or(u64::MAX, |connection| connection.closes_ns);
        Ok(self.due_ns().min(closes_ns))
    }

    fn due_ns(&self) -> u64 {
        self.begin_ns + (self.due as f64 * self.interval_ns) as u64
    }

    /// Checks what a connection has received and closes it, every other time with a reset.
    fn close(&mut self, mut socket: &Socket) {
        // Its stream begins with a whole frame, whenever it connected.
        let mut decoder = Decoder::new();
        loop {
            match socket.read(&mut self.buffer) {
                Ok(0) => {
                    self.counts.failed += 1;
                    return;
                }
                Ok(bytes) => {
                    let mut rest = &self.buffer[..bytes];
                    while let Some(message) = decoder.decode(&mut rest) {
                        let is_wrong =
                            body::verify(message, self.tag).is_none() && !self.filler.is(message);
                        self.counts.corrupted += u64::from(is_wrong);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.counts.failed += 1;
                    return;
                }
            }
        }
        if self.counts.connections % 2 == 1 {
            // If it cannot be set, the connection closes without a reset.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

/// Begins to connect; whether that succeeds shows when it is closed.
fn connect(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::from(address)) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Err(error)
        }
        _ => Ok(socket),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::body::Stamp;
    use crate::plan::Load;
    use crate::wire::WireFormat;

    fn plan(churn_per_second: f64) -> Plan {
        Plan {
            wire: WireFormat::Zillions,
            clients: 1,
            senders: 1,
            stalled: 0,
            churn_per_second,
            load: Load::Saturate,
            body_bytes: vec![64],
            filler: Filler::default(),
            split_writes: false,
            warm_up: Duration::ZERO,
            measure: Duration::ZERO,
            late_after: Duration::ZERO,
            quiet: Duration::ZERO,
            drain_max: Duration::ZERO,
            ready_max: Duration::ZERO,
            load_threads: 1,
            tag: 7,
        }
    }

    fn frame() -> Vec<u8> {
        let mut frame = Vec::new();
        let stamp = Stamp { intended_ns: 1, sequence: 2, sender: 3 };
        body::append_frame(stamp, 64, 7, &mut frame);
        frame
    }

    /// One connection to a server that does `serve` with it.
    fn connect_once(
        serve: impl FnOnce(std::net::TcpStream) -> Option<std::net::TcpStream>,
    ) -> ChurnCounts {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut churn = Churn::new(&[listener.local_addr().unwrap()], &plan(10.0), 0);
        assert_eq!(churn.advance(0), Ok(LIFETIME_NS));
        let kept = serve(listener.accept().unwrap().0);
        assert_eq!(churn.advance(LIFETIME_NS), Ok(100_000_000));
        drop(kept);
        churn.counts
    }

    #[test]
    fn a_short_lived_connection_checks_what_it_receives() {
        let counts = connect_once(|mut client| {
            client.write_all(&frame()).unwrap();
            Some(client)
        });
        assert_eq!(counts, ChurnCounts { connections: 1, failed: 0, corrupted: 0 });
        let counts = connect_once(|mut client| {
            client.write_all(&frame()[1..]).unwrap();
            Some(client)
        });
        assert!(counts.corrupted > 0, "a stream that begins open a frame: {counts:?}");
    }

    #[test]
    fn a_connection_that_the_server_closes_is_counted() {
        assert_eq!(connect_once(|_| None).failed, 1);
    }

    #[test]
    fn open_connections_are_bounded() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut churn = Churn::new(&[listener.local_addr().unwrap()], &plan(1e9), 0);
        churn.advance(2 * CHURN_CONNECTIONS_MAX as u64).unwrap();
        assert_eq!(churn.open.len(), CHURN_CONNECTIONS_MAX);
        assert_eq!(churn.counts.connections, CHURN_CONNECTIONS_MAX as u64);
    }
}
