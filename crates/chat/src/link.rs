//! The connection's thread: sends, receives, and connects again with growing pauses.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use zillions_protocol::Decoder;

use crate::chat::Connection;
use crate::dial::{Target, dial};
use crate::event::{Event, News};
use crate::outbox::Outbox;
use crate::transport::{Received, Transport};

/// The pause before the first new try.
const PAUSE_SECONDS_MIN: f64 = 1.0;
/// Each is twice as long as the one before, up to this.
const PAUSE_SECONDS_MAX: f64 = 30.0;
/// A connection that lived so long makes the next pause a short one again.
const STABLE_SECONDS: u64 = 30;

/// The other side of the thread has gone.
struct Gone;

/// Starts the thread on a connection to `target`. It tells `sender` what happens, and ends when
/// `outbox` is closed and sent, or when nobody listens.
pub(crate) fn start(
    target: Target,
    transport: Transport,
    outbox: Arc<Outbox>,
    sender: SyncSender<Event>,
) -> io::Result<()> {
    let mut link = Link { target, outbox, sender, in_flight: 0 };
    thread::Builder::new().name("connection".to_owned()).spawn(move || {
        // An end that nobody wants to know of is one, too.
        let _ = link.run(transport);
    })?;
    Ok(())
}

struct Link {
    target: Target,
    outbox: Arc<Outbox>,
    sender: SyncSender<Event>,
    /// Messages that the transport has and the system may not have taken.
    in_flight: usize,
}

/// Why a connection is over.
enum Over {
    /// As was asked.
    Closed,
    /// One line.
    Lost(String),
}

impl Link {
    fn run(&mut self, mut transport: Transport) -> Result<(), Gone> {
        let mut tries = 0;
        loop {
            let since = Instant::now();
            let reason = match self.converse(&mut transport)? {
                Over::Closed => return self.finish(transport),
                Over::Lost(reason) => reason,
            };
            drop(transport);
            if since.elapsed() >= Duration::from_secs(STABLE_SECONDS) {
                tries = 0;
            }
            let lost = std::mem::take(&mut self.in_flight) + self.outbox.take().1;
            if lost > 0 {
                self.tell(News::NotSent(lost))?;
            }
            match self.reconnect(reason, &mut tries)? {
                Some(again) => transport = again,
                None => return self.tell(News::Ended { not_sent: lost }),
            }
            self.tell(News::Connection(Connection::Connected))?;
        }
    }

    fn tell(&self, news: News) -> Result<(), Gone> {
        self.sender.send(Event::News(news)).map_err(|mpsc::SendError(_)| Gone)
    }

    /// Sends and receives until the connection is over.
    fn converse(&mut self, transport: &mut Transport) -> Result<Over, Gone> {
        let mut decoder = Decoder::new();
        let mut bytes = Vec::new();
        loop {
            self.outbox.calm();
            let closing = self.outbox.is_closed();
            let sent_all = match self.send(transport) {
                Ok(all) => all,
                Err(error) => return Ok(Over::Lost(lost(&error))),
            };
            if closing && sent_all {
                return Ok(Over::Closed);
            }
            bytes.clear();
            let received = transport.receive(&mut bytes);
            let messages = decoded(&mut decoder, &bytes);
            if !messages.is_empty() {
                self.tell(News::Messages(messages))?;
            }
            match received {
                // There may be more, in a buffer that no poll sees.
                Ok(Received::Something) => continue,
                Ok(Received::Nothing) => {}
                Ok(Received::End) if decoder.is_at_boundary() => {
                    return Ok(Over::Lost("the server closed the connection".to_owned()));
                }
                Ok(Received::End) => {
                    let reason = "the server closed the connection within a message";
                    return Ok(Over::Lost(reason.to_owned()));
                }
                Err(error) => return Ok(Over::Lost(lost(&error))),
            }
            self.wait(transport, sent_all);
        }
    }

    /// Hands over what waits, if the connection takes it. Returns whether all has left.
    fn send(&mut self, transport: &mut Transport) -> io::Result<bool> {
        let mut sent_all = transport.flush()?;
        if sent_all {
            self.in_flight = 0;
            let (frames, number) = self.outbox.take();
            if number > 0 {
                self.in_flight = number;
                transport.queue(frames)?;
                sent_all = transport.flush()?;
                if sent_all {
                    self.in_flight = 0;
                }
            }
        }
        Ok(sent_all)
    }

    fn wait(&self, transport: &Transport, sent_all: bool) {
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, !sent_all || transport.wants_write());
        let mut files = [PollFd::new(transport, events), PollFd::new(&*self.outbox, PollFlags::IN)];
        // Whatever ends it, the next round finds out.
        let _ = poll(&mut files, None);
    }

    /// Tries until there is a connection; `None` if the end was asked for meanwhile.
    fn reconnect(&self, mut reason: String, tries: &mut u32) -> Result<Option<Transport>, Gone> {
        loop {
            let until = Instant::now() + pause(*tries, chance());
            *tries += 1;
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                let seconds = left.as_secs_f64().ceil() as u64;
                let reason = reason.clone();
                self.tell(News::Connection(Connection::Waiting { reason, seconds }))?;
                self.outbox.calm();
                if self.outbox.is_closed() {
                    return Ok(None);
                }
                self.pause(left.min(Duration::from_secs(1)));
            }
            self.tell(News::Connection(Connection::Connecting))?;
            match dial(&self.target) {
                Ok(transport) => return Ok(Some(transport)),
                Err(error) => reason = error,
            }
        }
    }

    /// Waits, or until the outbox changes.
    fn pause(&self, duration: Duration) {
        let timeout = Timespec::try_from(duration).ok();
        let mut files = [PollFd::new(&*self.outbox, PollFlags::IN)];
        while poll(&mut files, timeout.as_ref()) == Err(Errno::INTR) {}
    }

    /// Ends the connection so that nothing that was sent is lost: closed with unread messages, it
    /// would be reset. The time is bounded by those who wait for the thread.
    fn finish(&self, mut transport: Transport) -> Result<(), Gone> {
        self.tell(News::AllSent)?;
        let mut bytes = Vec::new();
        if transport.end().is_ok() {
            loop {
                bytes.clear();
                match transport.receive(&mut bytes) {
                    Ok(Received::Something) => {}
                    Ok(Received::Nothing) => self.wait(&transport, true),
                    Ok(Received::End) | Err(_) => break,
                }
            }
        }
        self.tell(News::Ended { not_sent: 0 })
    }
}

fn decoded(decoder: &mut Decoder, mut bytes: &[u8]) -> Vec<Box<[u8]>> {
    let mut messages = Vec::new();
    while let Some(body) = decoder.decode(&mut bytes) {
        messages.push(body.into());
    }
    messages
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "the server does not answer any more".to_owned(),
        _ => error.to_string(),
    }
}

/// The pause before try number `tries`, counted from 0. `chance` from 0 to 1 shortens it by up to a
/// half, so that the clients of a server that starts again do not all come at once.
fn pause(tries: u32, chance: f64) -> Duration {
    let full = (PAUSE_SECONDS_MIN * 2_f64.powi(tries.min(16) as i32)).min(PAUSE_SECONDS_MAX);
    Duration::from_secs_f64(full * (1.0 - chance / 2.0))
}

/// From 0 to 1, another each time.
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_never_longer() {
        let seconds = |tries| pause(tries, 0.0).as_secs_f64();
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, u32::MAX].map(seconds),
            [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
        );
        assert_eq!(pause(2, 1.0).as_secs_f64(), 2.0);
        assert!((0.0..=1.0).contains(&chance()));
    }
}
