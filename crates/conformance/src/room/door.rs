//! How clients come in: no faster than the kernel can queue. What comes beyond the limit
//! that a server has given to `listen` is dropped, and tried again seconds later. A limit
//! of five is legal, and no clause says how many may come in the same moment.

use std::time::{Duration, Instant};

use zillions_harness::AcceptQueues;
use zillions_protocol::Decoder;

use super::{ClientIndex, Room, Seat};
use crate::client::{Client, ConnectOptions};
use crate::verdict::Stop;

/// How long to wait before one looks again whether there is a place.
const LOOK: Duration = Duration::from_millis(1);
/// A queue that is full for so long belongs to a server that does not accept.
const STANDSTILL: Duration = Duration::from_secs(1);
/// How long to wait for places in all. This decides how fast clients come, never a
/// verdict.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Connections before the next look, where the kernel does not tell or waiting is
/// of no use.
const UNKNOWN_PLACES: u32 = 32;

impl Room {
    /// Connects a client. It is not certain to be served before
    /// [`settle`](Self::settle).
    ///
    /// # Errors
    /// A failure when the server refuses.
    pub fn connect(&mut self, role: &'static str) -> Result<ClientIndex, Stop> {
        self.connect_with(role, ConnectOptions::default())
    }

    /// [`connect`](Self::connect) with options.
    ///
    /// # Errors
    /// A failure when the server refuses.
    pub fn connect_with(
        &mut self,
        role: &'static str,
        options: ConnectOptions,
    ) -> Result<ClientIndex, Stop> {
        self.await_place()?;
        let patience = self.trial.patience();
        match Client::connect(self.address, options, patience) {
            Ok(client) => self.seat(client, role),
            Err(error) => Err(self.refused(role, &error)),
        }
    }

    /// Begins to connect a client and goes on at once.
    ///
    /// # Errors
    /// A failure when the server refuses at once.
    pub fn connect_without_waiting(&mut self, role: &'static str) -> Result<ClientIndex, Stop> {
        self.await_place()?;
        match Client::connect_without_waiting(self.address, ConnectOptions::default()) {
            Ok(client) => self.seat(client, role),
            Err(error) => Err(self.refused(role, &error)),
        }
    }

    fn refused(&self, role: &str, error: &std::io::Error) -> Stop {
        if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
            return Stop::Error(format!("connection {}: {error}", self.seats.len()));
        }
        Stop::fail(
            format!("connection #{} ({role}) to {} is accepted", self.seats.len(), self.address),
            format!("connect failed: {error}"),
        )
    }

    fn seat(&mut self, client: Client, role: &'static str) -> Result<ClientIndex, Stop> {
        let index = self.seats.len();
        self.recorder.join();
        self.seats.push(Seat { client, decoder: Decoder::new(), registered: None, role });
        self.refresh_interest(index)?;
        Ok(index)
    }

    /// Waits until one more connection fits into the kernel's queue.
    fn await_place(&mut self) -> Result<(), Stop> {
        self.trial.check_time(self.opened.elapsed())?;
        while let Err(wait) = self.door.enter() {
            self.pump(wait)?;
        }
        Ok(())
    }
}

impl Room {
    /// How many may connect now before one of them is accepted.
    pub(crate) fn places_at_door(&mut self) -> usize {
        self.door.places = self.door.look();
        self.door.places as usize
    }
}

/// The queue of connections of one server.
#[derive(Debug)]
pub(super) struct Door {
    /// `None` when the kernel does not tell.
    queues: Option<AcceptQueues>,
    port: u16,
    /// Connections for which there is a place for certain.
    places: u32,
    full_since: Option<Instant>,
    waited: Duration,
}

impl Door {
    pub(super) fn at(port: u16) -> Self {
        let queues = AcceptQueues::open().ok();
        Self { queues, port, places: 0, full_since: None, waited: Duration::ZERO }
    }

    /// Takes a place for a connection, or says how long to wait before one asks again.
    pub(super) fn enter(&mut self) -> Result<(), Duration> {
        if self.places == 0 {
            self.places = self.look();
        }
        let wait = self.full_since.map_or(Duration::ZERO, |since| since.elapsed());
        if self.places == 0 && wait < STANDSTILL && self.waited + wait < WAIT_MAX {
            self.full_since.get_or_insert_with(Instant::now);
            return Err(LOOK);
        }
        self.waited += wait;
        self.full_since = None;
        if self.places == 0 {
            self.places = UNKNOWN_PLACES;
        }
        self.places -= 1;
        Ok(())
    }

    /// Also where the server is on another machine nobody listens here.
    fn look(&mut self) -> u32 {
        let Some(queues) = &mut self.queues else { return UNKNOWN_PLACES };
        match queues.places(self.port) {
            Ok(places) => places.unwrap_or(UNKNOWN_PLACES),
            Err(_) => UNKNOWN_PLACES,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn nobody_enters_a_full_queue_before_somebody_is_accepted() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).expect("a free port");
        listener.listen(1).expect("to listen");
        let address = listener.local_addr().expect("its address");
        let address = address.as_socket().expect("an IP address");
        let mut door = Door::at(address.port());
        let mut inside = Vec::new();
        for _ in 0..2 {
            assert_eq!(door.enter(), Ok(()));
            inside.push(TcpStream::connect(address).expect("a connection"));
        }
        assert_eq!(door.enter(), Err(LOOK));
        let _accepted = listener.accept().expect("the first one");
        assert_eq!(door.enter(), Ok(()));
    }

    #[test]
    fn where_nobody_listens_everybody_may_try() {
        // Port 0 is nobody's.
        let mut door = Door::at(0);
        for _ in 0..3 * UNKNOWN_PLACES {
            assert_eq!(door.enter(), Ok(()));
        }
    }
}
