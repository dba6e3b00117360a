//! A server and its clients, all in one loop: what a case acts on. Which method to use
//! when, `docs/writing-a-case.md` says.
//!
//! Clients are numbered from 0 in the order in which they connect. Nothing
//! here waits without a bound: [`Fixture::await_each`] is the only way to wait
//! for something. It fails the case when that does not come and the server has done nothing
//! for as long as patience lasts; of one that is still at work at the end of its time nothing
//! is known.

mod accept_backlog;
mod bursts;
mod connecting;
mod flood;
mod messages;
mod nodes;
mod pace;
mod recorder;
mod silence;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::{buffer::spare_capacity, event::Timespec};
use zillions_harness::{GrantedTime, Sample, SampleError, Server, TrafficProbe};
use zillions_protocol::Decoder;

pub use bursts::Bursts;
pub use flood::{Flood, FloodPace, Flooded, OverloadResponse};
pub use messages::{FENCE_BYTES, IN_FLIGHT_MAX};
pub use nodes::NodeIndex;
pub use recorder::{Recorder, Tally, Violation, show_body};
pub(crate) use {bursts::QUIET, messages::frame};

use crate::client::{Client, End};
use crate::limits::RunLimits;
use crate::traits::Bound;
use crate::verdict::{Failure, Level, Outcome, Stop, harness};

use nodes::Nodes;
use pace::Pace;
use silence::{Activity, Silence, Watched};

/// Read at once from one client, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Reads from one client before the others get their turn.
const READS_IN_A_ROW_MAX: usize = 4;
/// Events taken from the system at once.
const EVENTS_MAX: usize = 256;
/// How often a waiting fixture looks whether its server is still there.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often a waiting fixture looks what time its server was granted.
const GRANTED_INTERVAL: Duration = Duration::from_millis(100);
/// Log lines shown with a failure.
const LOG_LINES_MAX: usize = 12;

/// Index of a client in its fixture.
pub type ClientIndex = usize;

#[derive(Debug)]
struct ClientEntry {
    client: Client,
    decoder: Decoder,
    /// What the event queue knows of it; `None` when it is not registered.
    registered: Option<EventFlags>,
    role: &'static str,
    node: NodeIndex,
}

/// A server and its clients.
pub struct Fixture {
    /// How long it may wait, and how much load it makes.
    pub limits: Arc<RunLimits>,
    /// The record of what was sent and received.
    pub recorder: Recorder,
    /// Chance, from the case's seed.
    pub rng: ChaCha8Rng,
    level: Level,
    bound: Bound,
    server: Option<Server>,
    nodes: Nodes,
    /// `None` where the kernel does not tell.
    traffic: Option<TrafficProbe>,
    pace: Pace,
    /// Who has flooded, and has not been known since to have nothing under way.
    flooders: BTreeSet<ClientIndex>,
    clients: Vec<ClientEntry>,
    /// Bytes and frames that have arrived at all clients together.
    bytes_received: u64,
    frames_received: u64,
    /// What clients were given to send since the case last waited, in bytes; and the most of it.
    unawaited_bytes: u64,
    unawaited_bytes_max: u64,
    epoll: OwnedFd,
    events: Vec<Event>,
    buffer: Box<[u8]>,
    opened: Instant,
    /// How much of its time the run had used by then.
    opened_at: Duration,
}

impl Watched for Fixture {
    fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Always the same where the kernel does not tell.
    fn activity(&mut self) -> Activity {
        let mut activity = Activity::default();
        if let Some(probe) = &mut self.traffic {
            let looks = self.nodes.ports().filter_map(|port| probe.look(port).ok());
            looks.for_each(|traffic| activity.add(&traffic));
        }
        activity
    }

    fn granted_time(&self) -> GrantedTime {
        self.granted_time()
    }
}

impl Fixture {
    /// A fixture with a server that was just started, or with one at `addresses` that
    /// the suite did not start. The same `seed` makes the same random choices.
    pub(crate) fn open(
        limits: Arc<RunLimits>,
        seed: u64,
        (level, bound): (Level, Bound),
        server: Option<Server>,
        addresses: &[SocketAddr],
    ) -> Result<Self, Stop> {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let salt = (seed ^ seed >> 32) as u32;
        let epoll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|errno| Stop::Error(format!("cannot create an event queue: {errno}")))?;
        Ok(Self {
            opened_at: limits.used(),
            limits,
            recorder: Recorder::new(salt),
            rng,
            level,
            bound,
            server,
            nodes: Nodes::new(addresses, seed),
            traffic: TrafficProbe::open().ok(),
            pace: Pace::new(),
            flooders: BTreeSet::new(),
            clients: Vec::new(),
            bytes_received: 0,
            frames_received: 0,
            unawaited_bytes: 0,
            unawaited_bytes_max: 0,
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES_MAX].into_boxed_slice(),
            opened: Instant::now(),
        })
    }

    /// The server's address; the first one where there are several.
    pub fn address(&self) -> SocketAddr {
        self.nodes.address(0)
    }

    /// Where the next client will connect to.
    pub(crate) fn next_address(&self) -> SocketAddr {
        self.nodes.address(self.nodes.next())
    }

    /// How many addresses the clients are spread over.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.count()
    }

    /// The address that a client is connected to.
    pub(crate) fn node(&self, index: ClientIndex) -> NodeIndex {
        self.clients[index].node
    }

    /// The server, for cases that measure or stop it.
    ///
    /// # Errors
    /// A harness error when the suite did not start it.
    pub fn server(&self) -> Result<&Server, Stop> {
        self.server
            .as_ref()
            .ok_or_else(|| Stop::Error("this case needs a server that the suite starts".to_owned()))
    }

    /// Takes the server out, for cases that stop it.
    ///
    /// # Errors
    /// As [`server`](Self::server).
    pub fn take_server(&mut self) -> Result<Server, Stop> {
        self.server().map(|_| ())?;
        self.server.take().ok_or_else(|| Stop::Error("the server was taken twice".to_owned()))
    }

    /// One client.
    pub fn client(&self, index: ClientIndex) -> &Client {
        &self.clients[index].client
    }

    /// How many clients have connected so far, those that left included.
    fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// The indices of all clients so far.
    pub fn all_clients(&self) -> Vec<ClientIndex> {
        (0..self.clients.len()).collect()
    }

    /// Stops or resumes reading what arrives at a client.
    ///
    /// # Errors
    /// A harness error when the system refuses to watch the socket.
    pub fn set_reading(&mut self, index: ClientIndex, reading: bool) -> Result<(), Stop> {
        self.clients[index].client.set_reading(reading);
        self.refresh_interest(index)
    }

    /// Closes the sending side of a client.
    pub fn finish_sending(&mut self, index: ClientIndex) {
        self.flooders.remove(&index);
        self.clients[index].client.finish_sending();
    }

    /// Closes a client's connection in order.
    pub fn close(&mut self, index: ClientIndex) {
        // The system forgets a closed descriptor by itself.
        self.clients[index].registered = None;
        self.clients[index].client.close();
    }

    /// Closes a client's connection with a reset.
    pub fn reset(&mut self, index: ClientIndex) {
        self.clients[index].registered = None;
        self.clients[index].client.reset();
    }

    /// Queues raw bytes for a client to send; [`flush`](Self::flush) sends them.
    pub fn queue_bytes(&mut self, index: ClientIndex, bytes: &[u8]) {
        self.unawaited_bytes += bytes.len() as u64;
        self.unawaited_bytes_max = self.unawaited_bytes_max.max(self.unawaited_bytes);
        self.clients[index].client.queue(bytes);
    }

    /// Sends what the system takes now, of all clients, each with one write.
    ///
    /// # Errors
    /// A harness error when the system refuses to watch a socket.
    pub fn flush(&mut self) -> Result<(), Stop> {
        for index in 0..self.clients.len() {
            if self.clients[index].client.has_unsent() {
                self.clients[index].client.write_some();
                self.refresh_interest(index)?;
            }
        }
        Ok(())
    }

    /// Reads at most `bytes` of what has arrived at a client that does not
    /// read by itself. Returns how many there were.
    pub fn read_up_to(&mut self, index: ClientIndex, bytes: usize) -> usize {
        self.receive(index, bytes.min(READ_BYTES_MAX))
    }

    /// Sends, receives and records for at most `time`, less when something
    /// happened earlier. Returns how many sockets had something to do.
    ///
    /// # Errors
    /// A harness error when the event queue fails.
    pub fn pump(&mut self, time: Duration) -> Result<usize, Stop> {
        self.flush()?;
        self.events.clear();
        let wait = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Stop::Error(format!("cannot wait for events: {errno}"))),
        }
        let events = std::mem::take(&mut self.events);
        for event in &events {
            self.handle(event.data.u64() as usize, event.flags)?;
        }
        let count = events.len();
        self.events = events;
        Ok(count)
    }

    fn handle(&mut self, index: ClientIndex, flags: EventFlags) -> Result<(), Stop> {
        if flags.contains(EventFlags::OUT) {
            self.clients[index].client.write_some();
        }
        if self.clients[index].client.is_reading() {
            for _ in 0..READS_IN_A_ROW_MAX {
                if self.receive(index, READ_BYTES_MAX) < READ_BYTES_MAX {
                    break;
                }
            }
        } else if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            // The client does not read, so it would not learn of it; and the queue would
            // report it again and again.
            return self.unregister(index);
        }
        self.refresh_interest(index)
    }

    fn receive(&mut self, index: ClientIndex, bytes_max: usize) -> usize {
        let entry = &mut self.clients[index];
        let count = entry.client.read_some(&mut self.buffer[..bytes_max]);
        let time_ns = self.opened.elapsed().as_nanos() as u64;
        let mut input = &self.buffer[..count];
        loop {
            let offset = entry.decoder.position();
            let Some(body) = entry.decoder.decode(&mut input) else { break };
            self.recorder.receive(index, body, offset, time_ns);
            self.frames_received += 1;
        }
        self.bytes_received += count as u64;
        count
    }

    /// Tells the event queue what is of interest now.
    fn refresh_interest(&mut self, index: ClientIndex) -> Result<(), Stop> {
        let entry = &mut self.clients[index];
        let Some(stream) = entry.client.stream() else { return Ok(()) };
        if entry.client.end().is_some() {
            return self.unregister(index);
        }
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, entry.client.is_reading());
        wanted.set(EventFlags::OUT, entry.client.has_unsent());
        let data = EventData::new_u64(index as u64);
        let done = match entry.registered {
            Some(flags) if flags == wanted => return Ok(()),
            Some(_) => epoll::modify(&self.epoll, stream, data, wanted),
            None => epoll::add(&self.epoll, stream, data, wanted),
        };
        entry.registered = Some(wanted);
        done.map_err(|errno| Stop::Error(format!("cannot watch connection #{index}: {errno}")))
    }

    fn unregister(&mut self, index: ClientIndex) -> Result<(), Stop> {
        let entry = &mut self.clients[index];
        if let (Some(stream), Some(_)) = (entry.client.stream(), entry.registered.take()) {
            epoll::delete(&self.epoll, stream)
                .map_err(std::io::Error::from)
                .map_err(harness("cannot stop watching a connection"))?;
        }
        Ok(())
    }

    /// Pumps until `done` holds for each of `clients`, which it is asked in turn.
    ///
    /// # Errors
    /// A failure that says `expected` and what happened, when a client's
    /// connection ends, the server ends, or nothing has moved for as long as patience lasts;
    /// inconclusive when the server is still at work at the end of its time.
    pub fn await_each(
        &mut self,
        clients: &[ClientIndex],
        expected: &str,
        done: impl FnMut(&Self, ClientIndex) -> bool,
    ) -> Result<(), Stop> {
        self.await_each_while(clients, expected, done, |fixture| fixture.pump(POLL_INTERVAL))
    }

    /// [`await_each`](Self::await_each) while `act` does something meanwhile: it pumps, and
    /// says how many sockets had something to do.
    ///
    /// # Errors
    /// As there, and those of `act`.
    pub fn await_each_while(
        &mut self,
        clients: &[ClientIndex],
        expected: &str,
        mut done: impl FnMut(&Self, ClientIndex) -> bool,
        mut act: impl FnMut(&mut Self) -> Result<usize, Stop>,
    ) -> Result<(), Stop> {
        let started = Instant::now();
        let patience = self.limits.patience();
        let mut pending = clients.to_vec();
        let mut silence = Silence::begin(self, pending.len(), patience);
        loop {
            pending.retain(|&index| !done(self, index));
            if pending.is_empty() {
                self.unawaited_bytes = 0;
                return Ok(());
            }
            if let Some(&index) = pending.iter().find(|&&index| self.client(index).end().is_some())
            {
                return Err(self.failure(index, expected, self.describe_end(index)));
            }
            self.check_time()?;
            if silence.look(self, pending.len()) > patience {
                self.limits.timeout_hit(started.elapsed());
                return Err(self.in_vain(&pending, clients.len(), started.elapsed(), expected));
            }
            if started.elapsed() > patience {
                // What must not have come is reason enough.
                self.check_violations()?;
            }
            if act(self)? == 0 && self.server_ended() {
                return Err(self.failure(pending[0], expected, "the server ended"));
            }
        }
    }

    /// Whether there is time left for the case.
    ///
    /// # Errors
    /// Inconclusive, with what was seen, once it is used up.
    pub fn check_time(&self) -> Result<(), Stop> {
        self.limits.check_time(self.opened_at).map_err(|out_of_time| {
            let seconds = self.opened.elapsed().as_secs_f64();
            let rate = self.frames_received as f64 / seconds;
            out_of_time.stop(&format!("{rate:.0} deliveries a second in {seconds:.0} s"))
        })
    }

    fn in_vain(
        &self,
        pending: &[ClientIndex],
        asked: usize,
        waited: Duration,
        expected: &str,
    ) -> Stop {
        let others = if asked > 1 {
            format!(" ({} of {asked} connections waiting)", pending.len())
        } else {
            String::new()
        };
        let actual = format!(
            "did not arrive within {:.0} s{others}, and the server did nothing any more",
            waited.as_secs_f64()
        );
        self.failure(pending[0], expected, actual)
    }

    /// Counts the time that is granted to the server from now on; all time where the suite did
    /// not start it.
    pub fn granted_time(&self) -> GrantedTime {
        self.server.as_ref().map_or_else(GrantedTime::that_goes_by, Server::granted_time)
    }

    /// Pumps until `done` holds, or nothing has moved for `time`: no byte in or out of the
    /// server's sockets, in time that it was granted. Says whether it does.
    ///
    /// # Errors
    /// A harness error when the event queue fails; inconclusive when the case is out of time.
    pub fn pump_until_silent(
        &mut self,
        time: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Stop> {
        let mut silence = Silence::begin(self, 0, time);
        loop {
            if self.pump_until(silence.interval(), &mut done)? {
                self.unawaited_bytes = 0;
                return Ok(true);
            }
            if silence.look(self, 0) >= time {
                self.unawaited_bytes = 0;
                return Ok(done(self));
            }
            self.check_time()?;
        }
    }

    /// Pumps until `done` holds, or the server was granted `time` (see [`GrantedTime`]): for
    /// what it must do in that time. Says whether it does.
    ///
    /// # Errors
    /// A harness error when the event queue fails; inconclusive when the case is out of time.
    pub fn pump_while_granted(
        &mut self,
        time: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Stop> {
        let mut granted = self.granted_time();
        loop {
            if self.pump_until(GRANTED_INTERVAL.min(time), &mut done)? {
                return Ok(true);
            }
            if granted.look() >= time {
                return Ok(done(self));
            }
            self.check_time()?;
        }
    }

    /// Pumps until `done` holds, at most `time`; says whether it does.
    ///
    /// # Errors
    /// A harness error when the event queue fails.
    pub fn pump_until(
        &mut self,
        time: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Stop> {
        let deadline = Instant::now() + time;
        loop {
            if done(self) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.pump(left.min(POLL_INTERVAL))?;
        }
    }

    /// Pumps for `time`, whatever happens: a pause that is the stimulus of a case.
    ///
    /// # Errors
    /// A harness error when the event queue fails.
    pub fn pump_for(&mut self, time: Duration) -> Result<(), Stop> {
        self.pump_until(time, |_| false).map(|_| ())
    }

    fn describe_end(&self, index: ClientIndex) -> String {
        let how = match self.client(index).end() {
            Some(End::EndOfFile) => "the server closed the connection".to_owned(),
            Some(End::Broken(error)) => format!("the connection broke: {error}"),
            Some(End::Ours) => "the suite had closed the connection".to_owned(),
            None => "nothing arrived".to_owned(),
        };
        if self.server_ended() { format!("{how}, and the server has ended") } else { how }
    }

    /// Measures the server's process tree.
    ///
    /// # Errors
    /// A failure when the server has ended; inconclusive when the system does not tell.
    pub fn sample(&self) -> Result<Sample, Stop> {
        self.server()?.sample().map_err(|error| match error {
            SampleError::Unreadable(reason) => Stop::Inconclusive(reason),
            SampleError::Ended => {
                Stop::fail("the server runs until it is told to stop", error.to_string())
                    .breaking("LIFE-1")
            }
        })
    }

    /// Whether the server that the suite started has ended.
    fn server_ended(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.exited().is_some())
    }

    /// A failure as seen by one client, with what it received last.
    pub fn failure(
        &self,
        index: ClientIndex,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Stop {
        let client = self.client(index);
        if let Some(fault) = client.machine_fault() {
            return Stop::Error(format!("connection #{index}: {fault}"));
        }
        let mut path = client.local().map_or_else(String::new, |local| format!(", from {local}"));
        if self.node_count() > 1 {
            path += &format!(" to {}", self.nodes.address(self.node(index)));
        }
        Stop::Fail(Box::new(Failure {
            expected: expected.into(),
            actual: actual.into(),
            connection: Some(format!("#{index} ({}{path})", self.clients[index].role)),
            bytes: (client.bytes_received() > 0).then(|| client.excerpt()),
            ..Failure::default()
        }))
    }

    /// Fails if a frame has arrived that must not have.
    ///
    /// # Errors
    /// The failure.
    pub fn check_violations(&self) -> Result<(), Stop> {
        let Some(Violation { receiver, what }) = self.recorder.violations().first() else {
            return Ok(());
        };
        let expected =
            "only frames that were sent, each unchanged, once, and in its sender's order";
        let failure = self.failure(*receiver, expected, what.clone());
        // That weighs as a MUST, whatever the case itself is about.
        let is_must = self.level == Level::Must;
        Err(if is_must { failure } else { failure.breaking("ORDER-1") })
    }

    /// What every case ends with: nothing arrived that must not have, and the
    /// server is alive. Adds the server's log to a failure.
    pub(crate) fn conclude(&mut self, outcome: Outcome) -> Outcome {
        let outcome = match outcome {
            Ok(note) => self
                .check_violations()
                .and_then(|()| self.check_alive())
                .and_then(|()| self.check_bound())
                .map(|()| note),
            // What must not have come decides, however the case ended.
            Err(Stop::Inconclusive(reason)) => {
                self.check_violations().and(Err(Stop::Inconclusive(reason)))
            }
            Err(stop) => Err(stop),
        };
        outcome.map_err(|stop| match stop {
            Stop::Fail(mut failure) => {
                if let Some(server) = &self.server {
                    failure.log = server.log_tail(LOG_LINES_MAX);
                    if let Some(status) = server.exited() {
                        failure.actual = format!("{} (server: {status})", failure.actual);
                    }
                }
                Stop::Fail(failure)
            }
            other => other,
        })
    }

    /// Only a case that says so may send much without waiting for it.
    fn check_bound(&self) -> Result<(), Stop> {
        match self.bound.bytes() {
            Some(most) if self.unawaited_bytes_max > most => Err(Stop::Error(format!(
                "the case sent {} bytes without waiting, and may send {most}",
                self.unawaited_bytes_max
            ))),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// A harness error for a case that does not say that it sends so much.
    fn ensure_bound(&self, bound: Bound) -> Result<(), Stop> {
        match self.bound {
            Bound::Buffers => Ok(()),
            declared if declared == bound => Ok(()),
            _ => Err(Stop::Error("the case does not say that it floods".to_owned())),
        }
    }

    fn check_alive(&self) -> Result<(), Stop> {
        if self.server_ended() {
            return Err(Stop::fail(
                "the server runs until it is told to stop",
                "it ended during this case",
            )
            .breaking("LIFE-1"));
        }
        Ok(())
    }
}
