//! The uplink of an edge: the thread that is a client of the upstream server.
//!
//! It writes what the shards have put into the [outbox](crate::upstream), whole and in order, and
//! appends what comes down to the log, so that the upstream's order becomes the order here. When
//! the connection is lost it reconnects, with growing pauses, to one upstream after the other. The
//! state of the connection is a [`Link`]; here are sockets and time.

mod channel;
mod dial;
mod end;
mod link;
mod pauses;

pub use link::Link;

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tracing::{debug, info, warn};

use crate::arrivals::let_accept;
use crate::engine::Wake;
use crate::keys::RoomKey;
use crate::listen::Listeners;
use crate::room::{Phase, Room};
use crate::shared::Shared;
use crate::upstream::probe::Probe;
use crate::upstream::{Condition, Upstream};
use channel::{Channel, is_for_later, reason};
use dial::{Dialed, Way};
use end::End;
use pauses::Pauses;

/// How long a new connection says nothing: until then a loop shows, and what an earlier
/// connection still held at the other side has been read.
const PROBATION: Duration = Duration::from_millis(250);

/// The thread's state.
struct Uplink {
    shared: Arc<Shared<OwnedFd>>,
    room: Arc<Room>,
    listeners: Arc<Listeners>,
    waker: Arc<OwnedFd>,
    link: Link,
    started: Instant,
    /// The last failure that was logged as a warning; until there is another one.
    warned: String,
}

/// One connection.
struct Connection {
    channel: Channel,
    way: Way,
    /// When the probation is over.
    sends_from: Duration,
    /// Everything has been sent up, for ever.
    finished: bool,
    /// The server stops: when it must be over.
    end_at: Option<Duration>,
}

/// What wakes the uplink, and the function that does. That holds no descriptor: the last one to
/// drop the room may be the thread of an HTTP endpoint, in whose table of descriptors the number
/// means another one.
fn waker() -> io::Result<(Arc<OwnedFd>, Wake)> {
    let waker = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let other = Arc::downgrade(&waker);
    let wake = Box::new(move || {
        if let Some(waker) = other.upgrade() {
            // Fails only if the counter is full, and then it wakes, too.
            let _ = rustix::io::write(&*waker, &1_u64.to_ne_bytes());
        }
    });
    Ok((waker, wake))
}

/// Starts the uplink of a room, or its node of a cluster; does nothing for a room whose order is
/// made here. `on_panic` is called if its thread ends by a bug.
///
/// # Errors
/// When the system has no thread or descriptor left.
pub(crate) fn start(
    shared: &Arc<Shared<OwnedFd>>,
    key: RoomKey,
    listeners: &Arc<Listeners>,
    on_panic: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let Some(room) = shared.room(key) else { return Ok(()) };
    let Some(upstream) = &room.upstream else { return Ok(()) };
    #[cfg(feature = "cluster")]
    if room.config.cluster.is_some() {
        return crate::cluster::start(shared, key, &room, listeners, on_panic);
    }
    let (waker, wake) = waker()?;
    upstream.set_waker(wake);
    let (shared, listeners) = (Arc::clone(shared), Arc::clone(listeners));
    let mut uplink = Uplink::new(shared, key, Arc::clone(&room), listeners, waker);
    let run = move || {
        if catch_unwind(AssertUnwindSafe(|| uplink.run())).is_err() {
            on_panic();
        }
    };
    thread::Builder::new().name("uplink".into()).spawn(run).map(drop)
}

impl Uplink {
    fn new(
        shared: Arc<Shared<OwnedFd>>,
        key: RoomKey,
        room: Arc<Room>,
        listeners: Arc<Listeners>,
        waker: Arc<OwnedFd>,
    ) -> Self {
        let link = Link::new(key, Arc::clone(&room));
        let (started, warned) = (Instant::now(), String::new());
        Self { shared, room, listeners, waker, link, started, warned }
    }

    fn upstream(&self) -> &Upstream {
        self.room.upstream.as_ref().expect("the room has an upstream")
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Runs until the room closes.
    fn run(&mut self) {
        self.keep_connected();
        self.link.discard();
    }

    fn keep_connected(&mut self) {
        let mut pauses = Pauses::new(self.room.config.upstreams.len());
        while self.room.phase() == Phase::Serving {
            let config = &self.room.config;
            let address = config.upstreams[pauses.target()].clone();
            let begun = self.now();
            let end = match dial::dial(&address, config.upstream_ca.as_deref(), &self.listeners) {
                Ok(dialed) => self.converse(&address, dialed),
                Err(end) => end,
            };
            let pause = match end {
                End::Stopped => return,
                End::Loop => pauses.refused(),
                End::Lost(_) => pauses.failed(self.now().saturating_sub(begun)),
            };
            self.report(&address, &end, pause);
            self.wait_until(self.now() + pause);
        }
    }

    /// Everything between connecting and the loss of the connection.
    fn converse(&mut self, address: &str, dialed: Dialed) -> End {
        if !self.link.connected() {
            return End::Stopped;
        }
        self.upstream().set_condition(Condition::Connected);
        self.upstream().counters.connects.add(1);
        self.warned.clear();
        let Dialed { channel, way } = dialed;
        let peer = way.peer;
        info!(room = %self.room.config.name, upstream = address, %peer, "upstream connected");
        dial::send_probe(&way, Probe::of(self.upstream().id));
        let sends_from = self.now() + PROBATION;
        let mut connection = Connection { channel, way, sends_from, finished: false, end_at: None };
        let end = loop {
            if let Err(end) = self.step(&mut connection) {
                break end;
            }
        };
        self.upstream().set_condition(match end {
            End::Loop => Condition::Loop,
            End::Stopped | End::Lost(_) => Condition::Away,
        });
        self.append_the_rest(connection.end_at);
        self.link.lost(&self.shared, self.now());
        if !matches!(end, End::Stopped) {
            // What the other side has not read yet it would put in order after what is sent on the
            // next connection.
            connection.channel.reset();
        }
        end
    }

    /// What came whole is appended, however long the shards take for it.
    fn append_the_rest(&mut self, end_at: Option<Duration>) {
        while !self.link.append(&self.shared, self.now()) {
            let end_at = end_at.or((self.room.phase() != Phase::Serving).then(|| self.now()));
            if end_at.is_some_and(|at| at <= self.now()) {
                return;
            }
            self.wait(&[], end_at);
        }
    }

    /// One round: reads, writes, and waits until there is more to do.
    fn step(&mut self, connection: &mut Connection) -> Result<(), End> {
        let now = self.now();
        self.pass_on_probes(&connection.way)?;
        self.receive(connection, now)?;
        let can_send = self.send(connection, now)?;
        self.stop(connection, now)?;
        self.watch_silence(now);
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, !self.link.is_blocked());
        events.set(PollFlags::OUT, can_send);
        let times = [
            Some(connection.sends_from),
            connection.end_at,
            self.link.silent_at(),
            self.link.settles_at(now),
        ];
        let next = match connection.channel.may_hold_more() && !self.link.is_blocked() {
            true => Some(now),
            false => times.into_iter().flatten().filter(|&at| at > now).min(),
        };
        self.wait(&[PollFd::new(&connection.channel, events)], next);
        Ok(())
    }

    fn pass_on_probes(&self, way: &Way) -> Result<(), End> {
        while let Some(probe) = self.upstream().next_probe() {
            if probe.origin == self.upstream().id {
                return Err(End::Loop);
            }
            dial::send_probe(way, probe.passed_on());
        }
        Ok(())
    }

    fn receive(&mut self, connection: &mut Connection, now: Duration) -> Result<(), End> {
        if !self.link.append(&self.shared, now) {
            return Ok(());
        }
        match connection.channel.receive(self.link.space()) {
            Ok(0) if connection.finished => Err(End::Stopped),
            Ok(0) => Err(self.lost(connection, "it has closed the connection".into())),
            Ok(bytes) => {
                self.link.received(bytes);
                let_accept(&self.room, &self.shared, &self.listeners);
                self.link.append(&self.shared, now);
                Ok(())
            }
            Err(error) if is_for_later(&error) => Ok(()),
            Err(error) => Err(self.lost(connection, reason(&error))),
        }
    }

    /// The connection is lost. That it should have been encrypted shows when the other side says
    /// why it closes it: by an alert of TLS.
    fn lost(&self, connection: &Connection, reason: String) -> End {
        let is_alert = matches!(self.link.incomplete(), [0x15, 3, _, 0, 2, _, _]);
        End::Lost(match is_alert && !connection.channel.is_encrypted() {
            true => "it speaks TLS there: write tls:// before its address".into(),
            false => reason,
        })
    }

    /// Writes once; returns whether there is more to write, when the socket takes it.
    fn send(&mut self, connection: &mut Connection, now: Duration) -> Result<bool, End> {
        let lost = |error: io::Error| End::Lost(reason(&error));
        if now < connection.sends_from || connection.finished {
            return connection.channel.flush().map_err(lost);
        }
        let bytes = self.link.outgoing(&self.shared);
        if bytes.is_empty() {
            return connection.channel.flush().map_err(lost);
        }
        match connection.channel.send(bytes) {
            Ok(sent) => self.link.wrote(sent, now),
            Err(error) if is_for_later(&error) => {}
            Err(error) => return Err(lost(error)),
        }
        let has_output = connection.channel.flush().map_err(lost)?;
        Ok(has_output || !self.link.outgoing(&self.shared).is_empty())
    }

    /// When the server stops, the end of what goes up is sent after it: the upstream then sends
    /// everything before the last echo, and closes.
    fn stop(&mut self, connection: &mut Connection, now: Duration) -> Result<(), End> {
        if self.room.phase() == Phase::Serving {
            return Ok(());
        }
        let time_max = self.shared.config().drain_timeout / 2;
        if now >= *connection.end_at.get_or_insert(now + time_max) {
            warn!("not everything could be sent upstream and back in time");
            return Err(End::Stopped);
        }
        // What waits is more than what a new connection has had the time for.
        connection.sends_from = connection.sends_from.min(now);
        let is_finished = self.upstream().is_finished();
        if is_finished && !connection.finished && self.link.outgoing(&self.shared).is_empty() {
            connection.finished = true;
            connection.channel.finish();
        }
        Ok(())
    }

    fn watch_silence(&mut self, now: Duration) {
        self.link.publish(now);
        let is_silent = self.link.silent_at().is_some_and(|at| at <= now);
        match (self.upstream().condition(), is_silent) {
            (Condition::Connected, true) => {
                self.upstream().set_condition(Condition::Silent);
                warn!(
                    "upstream is silent: it answers nothing; is it connected to its own upstream?"
                );
            }
            (Condition::Silent, false) => {
                self.upstream().set_condition(Condition::Connected);
                info!("upstream answers again");
            }
            _ => {}
        }
    }

    /// Waits for events, for a notification, or until `until`.
    fn wait(&self, events: &[PollFd<'_>], until: Option<Duration>) {
        let parks = self.upstream().park();
        let time_max = if parks {
            until.map(|at| at.saturating_sub(self.now()))
        } else {
            Some(Duration::ZERO)
        };
        // Not less than the time, so that it is over then.
        let time_max = time_max.map(|time| Timespec {
            tv_sec: time.as_secs().min(1 << 30) as i64,
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        let waker = PollFd::new(&*self.waker, PollFlags::IN);
        let mut events: Vec<PollFd<'_>> = events.iter().cloned().chain([waker]).collect();
        // An error is the interruption by a signal: then it looks again.
        if poll(&mut events, time_max.as_ref()).is_ok()
            && events.last().is_some_and(|waker| !waker.revents().is_empty())
        {
            let _ = rustix::io::read(&*self.waker, &mut [0_u8; 8]);
        }
        self.upstream().unpark();
    }

    /// Does nothing until then, unless the server stops.
    fn wait_until(&self, until: Duration) {
        while self.now() < until && self.room.phase() == Phase::Serving {
            self.wait(&[], Some(until));
        }
    }

    /// Says why there is no connection, once for each reason.
    fn report(&mut self, address: &str, end: &End, pause: Duration) {
        self.upstream().counters.failures.add(1);
        let retry = format!("retrying in {:.1} s", pause.as_secs_f64());
        let reason = match end {
            End::Stopped => return,
            End::Loop => "this edge reaches itself over it, so nobody would make an order".into(),
            End::Lost(reason) => reason.clone(),
        };
        if self.warned == reason {
            debug!(upstream = address, "no connection to the upstream: {reason}; {retry}");
        } else {
            warn!(upstream = address, "no connection to the upstream: {reason}; {retry}");
            self.warned = reason;
        }
        if matches!(end, End::Loop) {
            self.upstream().set_condition(Condition::Loop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wakes_an_uplink_keeps_no_descriptor_open() {
        let (waker, wake) = waker().expect("a descriptor");
        assert_eq!(Arc::strong_count(&waker), 1);
        wake();
        assert_eq!(rustix::io::read(&*waker, &mut [0_u8; 8]), Ok(8), "it wakes");
        drop(waker);
        wake();
    }
}
