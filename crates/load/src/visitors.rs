//! Clients that come, listen a little, and go: what their coming and going costs the others is the
//! question. Every byte that they receive is checked; what they miss is no loss.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use zillions_protocol::Decoder;

use crate::body;
use crate::plan::Plan;
use crate::tiny::Tiny;

/// How long a visit lasts.
const VISIT_NS: u64 = 50_000_000;
/// Visitors at the same time, at most; who finds the room full stays away.
pub const VISITORS_MAX: usize = 256;
/// Taken from a socket at a time.
const RECEIVE_BYTES_MAX: usize = 64 * 1024;

/// How the visits of a trial went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VisitCounts {
    /// Visits that have begun.
    pub visits: u64,
    /// Those among them that could not connect, or that the server ended.
    pub failed: u64,
    /// Messages of which some byte was wrong.
    pub(crate) corrupted: u64,
}

/// Everybody who visits in one trial.
#[derive(Debug)]
pub(crate) struct Visitors {
    address: SocketAddr,
    tag: u32,
    tiny: Tiny,
    begin_ns: u64,
    interval_ns: f64,
    /// Visits that were due, also those that found no room.
    due: u64,
    inside: VecDeque<Visitor>,
    buffer: Vec<u8>,
    pub(crate) counts: VisitCounts,
}

#[derive(Debug)]
struct Visitor {
    socket: Socket,
    leaves_ns: u64,
}

impl Visitors {
    /// Visits at equal distances from `begin_ns` on.
    pub(crate) fn new(address: SocketAddr, plan: &Plan, begin_ns: u64) -> Self {
        Self {
            address,
            tag: plan.tag,
            tiny: plan.tiny,
            begin_ns,
            interval_ns: 1e9 / plan.visits_per_second,
            due: 0,
            inside: VecDeque::with_capacity(VISITORS_MAX),
            buffer: vec![0; RECEIVE_BYTES_MAX],
            counts: VisitCounts::default(),
        }
    }

    /// Lets out who wants to leave and in who is due at `now_ns`; when it is to be called again.
    pub(crate) fn turn(&mut self, now_ns: u64) -> u64 {
        while self.inside.front().is_some_and(|visitor| visitor.leaves_ns <= now_ns) {
            if let Some(visitor) = self.inside.pop_front() {
                self.leave(&visitor.socket);
            }
        }
        while self.due_ns() <= now_ns {
            self.due += 1;
            if self.inside.len() < VISITORS_MAX {
                self.counts.visits += 1;
                match come(self.address) {
                    Ok(socket) => {
                        let leaves_ns = now_ns + VISIT_NS;
                        self.inside.push_back(Visitor { socket, leaves_ns });
                    }
                    Err(_) => self.counts.failed += 1,
                }
            }
        }
        let leaves_ns = self.inside.front().map_or(u64::MAX, |visitor| visitor.leaves_ns);
        self.due_ns().min(leaves_ns)
    }

    fn due_ns(&self) -> u64 {
        self.begin_ns + (self.due as f64 * self.interval_ns) as u64
    }

    /// Checks what a visitor has received and closes its socket, every other time with a reset.
    fn leave(&mut self, mut socket: &Socket) {
        // A visitor begins at the beginning of a frame, whenever it came.
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
                            body::verify(message, self.tag).is_none() && !self.tiny.is(message);
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
        if self.counts.visits % 2 == 1 {
            // If it cannot be set, the visitor leaves politely.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

/// Begins to connect; whether that succeeds shows when the visitor leaves.
fn come(address: SocketAddr) -> io::Result<Socket> {
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

    fn plan(visits_per_second: f64) -> Plan {
        Plan {
            wire: WireFormat::Zillions,
            clients: 1,
            senders: 1,
            stalled: 0,
            visits_per_second,
            load: Load::Saturate,
            body_bytes: vec![64],
            tiny: Tiny::default(),
            warm_up: Duration::ZERO,
            measure: Duration::ZERO,
            late_after: Duration::ZERO,
            quiet: Duration::ZERO,
            drain_max: Duration::ZERO,
            ready_max: Duration::ZERO,
            tag: 7,
        }
    }

    fn frame() -> Vec<u8> {
        let mut frame = Vec::new();
        let stamp = Stamp { intended_ns: 1, sequence: 2, sender: 3 };
        body::append_frame(stamp, 64, 7, &mut frame);
        frame
    }

    /// One visit to a server that does `serve` with it.
    fn visit(
        serve: impl FnOnce(std::net::TcpStream) -> Option<std::net::TcpStream>,
    ) -> VisitCounts {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut visitors = Visitors::new(listener.local_addr().unwrap(), &plan(10.0), 0);
        assert_eq!(visitors.turn(0), VISIT_NS);
        let kept = serve(listener.accept().unwrap().0);
        assert_eq!(visitors.turn(VISIT_NS), 100_000_000);
        drop(kept);
        visitors.counts
    }

    #[test]
    fn a_visitor_checks_what_it_receives() {
        let counts = visit(|mut client| {
            client.write_all(&frame()).unwrap();
            Some(client)
        });
        assert_eq!(counts, VisitCounts { visits: 1, failed: 0, corrupted: 0 });
        let counts = visit(|mut client| {
            client.write_all(&frame()[1..]).unwrap();
            Some(client)
        });
        assert!(counts.corrupted > 0, "a stream that begins inside a frame: {counts:?}");
    }

    #[test]
    fn a_visitor_that_is_turned_away_is_counted() {
        assert_eq!(visit(|_| None).failed, 1);
    }

    #[test]
    fn the_room_is_bounded() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut visitors = Visitors::new(listener.local_addr().unwrap(), &plan(1e9), 0);
        visitors.turn(2 * VISITORS_MAX as u64);
        assert_eq!(visitors.inside.len(), VISITORS_MAX);
        assert_eq!(visitors.counts.visits, VISITORS_MAX as u64);
    }
}
