//! The main thread while the shards serve: it waits for a signal, tells the service manager that
//! all is well, and stops the shards.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGHUP;
use tracing::{info, warn};

use crate::error::Error;
use crate::listen::Listeners;
use crate::manager::Manager;
use crate::shared::Shared;
use crate::watchdog::Watchdog;

/// How much longer than `--drain-timeout-seconds` the shards may take to end.
const DRAIN_SLACK: Duration = Duration::from_secs(1);

/// How often a lame-duck stop looks whether any client is left.
const CLIENTS_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Something that the main thread waits for.
#[derive(Debug)]
pub(crate) enum Event {
    /// One has arrived.
    Signal(i32),
    /// A shard's thread has ended, with its error, if any.
    Ended(usize, Result<(), String>),
    /// A shard was left a question, and is to be notified of it here: who asks cannot wake it.
    Asked(usize),
    /// The thread of an uplink has ended by a bug.
    UplinkPanicked,
}

/// What is done on each SIGHUP.
pub(crate) type OnHangup = Box<dyn FnMut()>;

/// What the main thread needs.
pub(crate) struct Supervision<'a> {
    shared: &'a Shared<OwnedFd>,
    listeners: &'a Listeners,
    events: &'a Receiver<Event>,
    manager: Manager,
    watchdog: Option<Watchdog>,
    running: usize,
}

impl<'a> Supervision<'a> {
    pub(crate) fn new(
        shared: &'a Shared<OwnedFd>,
        listeners: &'a Listeners,
        events: &'a Receiver<Event>,
        manager: Manager,
    ) -> Self {
        let watchdog = manager.watchdog().map(|time_max| Watchdog::new(time_max, shared));
        Self { shared, listeners, events, manager, watchdog, running: shared.shards() }
    }

    /// Waits for a signal that ends it, then for the shards to flush what is queued.
    pub(crate) fn run(mut self, mut on_hangup: Option<OnHangup>) -> Result<(), Error> {
        self.ready();
        loop {
            match (self.signal_before(None)?, &mut on_hangup) {
                (Some(SIGHUP), Some(on_hangup)) => {
                    self.manager.reloading();
                    on_hangup();
                    self.ready();
                }
                (Some(_), _) => {
                    if self.lame_duck()? {
                        warn!("second signal: stopping at once");
                        return Ok(());
                    }
                    return self.stop();
                }
                (None, _) => {}
            }
        }
    }

    fn ready(&self) {
        let addresses = self.listeners.addresses();
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.manager.ready(&format!("serving on {}", addresses.join(", ")));
    }

    /// If it is configured, refuses new connections and lets the shards send their clients away over some
    /// time, so that these do not all connect elsewhere at once. Returns whether a signal ended it.
    fn lame_duck(&mut self) -> Result<bool, Error> {
        let time = self.shared.config().lame_duck;
        if time.is_zero() {
            return Ok(false);
        }
        let clients = self.shared.clients();
        info!(clients, lame_duck_seconds = time.as_secs(), "sending clients away one by one");
        self.manager.stopping(&format!("sending {clients} clients away"), time + DRAIN_SLACK);
        // In this order: who is there when the second begins is all there will be.
        self.listeners.close();
        self.shared.begin_lame_duck();
        let deadline = Instant::now() + time;
        while self.shared.clients() > 0 && Instant::now() < deadline {
            let look_at = deadline.min(Instant::now() + CLIENTS_LOOK_INTERVAL);
            if self.signal_before(Some(look_at))?.is_some_and(|signal| signal != SIGHUP) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stops accepting and reading, and waits until everything is flushed, not for long.
    fn stop(mut self) -> Result<(), Error> {
        let drain_timeout = self.shared.config().drain_timeout;
        info!(drain_timeout_seconds = drain_timeout.as_secs(), "stopping");
        let time_max = drain_timeout + DRAIN_SLACK;
        self.manager.stopping("sending what is queued", time_max);
        let deadline = Instant::now() + time_max;
        // In this order: a shard whose accept fails because of the second knows of the first.
        self.shared.stop();
        self.listeners.close();
        while self.running > 0 {
            if self.signal_before(Some(deadline))?.is_some_and(|signal| signal != SIGHUP) {
                warn!("second signal: stopping at once");
                return Ok(());
            }
            if self.running > 0 && Instant::now() >= deadline {
                warn!(shards = self.running, "not everything could be flushed in time");
                return Ok(());
            }
        }
        info!("stopped");
        Ok(())
    }

    /// Waits for the next event, and meanwhile checks the shards for the manager's watchdog.
    /// Returns the signal if it was one; otherwise a shard has ended or the time is over.
    ///
    /// # Errors
    /// When a shard or an uplink ended unasked.
    fn signal_before(&mut self, deadline: Option<Instant>) -> Result<Option<i32>, Error> {
        loop {
            let check = self.watchdog.as_ref().map(Watchdog::next);
            let event = match [check, deadline].into_iter().flatten().min() {
                Some(until) => {
                    self.events.recv_timeout(until.saturating_duration_since(Instant::now()))
                }
                None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Signal(signal)) => return Ok(Some(signal)),
                Ok(Event::Ended(number, Err(reason))) => {
                    return Err(Error::Shard { number, reason });
                }
                Ok(Event::Ended(number, Ok(()))) => {
                    self.running -= 1;
                    self.watchdog.iter_mut().for_each(|watchdog| watchdog.ended(number));
                    return Ok(None);
                }
                Ok(Event::Asked(shard)) => self.shared.notify(shard),
                Ok(Event::UplinkPanicked) => return Err(Error::Uplink),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the thread that waits for signals holds the other end")
                }
            }
            let now = Instant::now();
            if let Some(watchdog) = &mut self.watchdog
                && now >= watchdog.next()
                && watchdog.check(self.shared)
            {
                self.manager.ping();
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(None);
            }
        }
    }
}
