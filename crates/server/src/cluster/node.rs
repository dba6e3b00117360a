//! A node: the thread that publishes what the shards have put into the outbox, and appends what the
//! stream gives back.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use async_nats::Event;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::Message;
use futures_util::StreamExt;
use tokio::runtime::{self, Runtime};
use tokio::sync::Notify;
use tracing::{debug, info, warn};
use zillions_log::AppendError;
use zillions_protocol::whole_frames;

use super::batches::whole_prefix;
use super::config::ClusterConfig;
use super::outgoing::Outgoing;
use super::progress::{Progress, Verdict};
use super::session::{Pending, Published, Session};
use super::stream::Start;
use crate::arrivals::let_accept;
use crate::keys::RoomKey;
use crate::listen::Listeners;
use crate::room::{Phase, Room};
use crate::shared::Shared;
use crate::upstream::{Condition, Upstream};

/// The pauses between sessions: doubled after each failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A session that lasted so long was a good one.
const GOOD_TIME: Duration = Duration::from_secs(10);
/// How often a batch is sent in one session; then another NATS server may do better.
const TRIES_MAX: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long a batch may be on its way before the node is not ready.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How often the stream's leader is asked whether there is one.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Why a session ended.
enum End {
    /// The room closes.
    Stopped,
    /// Everything else, in words.
    Lost(String),
}

/// The thread's state.
struct Node {
    shared: Arc<Shared<OwnedFd>>,
    key: RoomKey,
    room: Arc<Room>,
    listeners: Arc<Listeners>,
    wake: Arc<Notify>,
    outgoing: Outgoing,
    progress: Progress,
    /// What came and is not in the log yet, from `begin` on: whole frames.
    incoming: Vec<u8>,
    begin: usize,
    /// The own batch that these are.
    own: Option<u64>,
    started: Instant,
    /// The last failure that was logged as a warning; until there is another one.
    warned: String,
}

/// What goes on in a session beside reading.
#[derive(Default)]
struct Work {
    publishing: Option<Pending<Published>>,
    published_at: Duration,
    retry_at: Option<Duration>,
    checking: Option<Pending<Result<(), String>>>,
    check_at: Duration,
    /// The server stops: when it must be over.
    end_at: Option<Duration>,
}

/// Starts the node of a room of a cluster. `on_panic` is called if its thread ends by a bug.
///
/// # Errors
/// When the system has no thread or descriptor left.
pub(crate) fn start(
    shared: &Arc<Shared<OwnedFd>>,
    key: RoomKey,
    room: &Arc<Room>,
    listeners: &Arc<Listeners>,
    on_panic: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let Some(upstream) = &room.upstream else { return Ok(()) };
    let wake = Arc::new(Notify::new());
    let other = Arc::clone(&wake);
    upstream.set_waker(Box::new(move || other.notify_one()));
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let mut node = Node {
        shared: Arc::clone(shared),
        key,
        room: Arc::clone(room),
        listeners: Arc::clone(listeners),
        wake,
        outgoing: Outgoing::new(upstream.id.to_string()),
        progress: Progress::default(),
        incoming: Vec::new(),
        begin: 0,
        own: None,
        started: Instant::now(),
        warned: String::new(),
    };
    let run = move || {
        if catch_unwind(AssertUnwindSafe(|| node.run(&runtime))).is_err() {
            on_panic();
        }
    };
    thread::Builder::new().name("cluster".into()).spawn(run).map(drop)
}

impl Node {
    fn upstream(&self) -> &Upstream {
        self.room.upstream.as_ref().expect("the room has an upstream")
    }

    fn config(&self) -> &ClusterConfig {
        self.room.config.cluster.as_ref().expect("the room is of a cluster")
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Runs until the room closes.
    fn run(&mut self, runtime: &Runtime) {
        runtime.block_on(self.keep_connected());
        let never_sent = self.outgoing.end();
        self.upstream().discard_taken(never_sent);
        self.outgoing.publish(self.upstream());
    }

    async fn keep_connected(&mut self) {
        let mut failures = 0;
        while self.room.phase() == Phase::Serving {
            let begun = self.now();
            let end = match Session::open(self.config(), &self.progress).await {
                Ok(session) => self.attend(session).await,
                Err(reason) => End::Lost(reason),
            };
            let End::Lost(reason) = end else { return };
            if self.now().saturating_sub(begun) >= GOOD_TIME {
                failures = 0;
            }
            let pause = (PAUSE_MIN * (1 << u32::min(failures, 10))).min(PAUSE_MAX);
            failures += 1;
            self.report(&reason, pause);
            let until = self.now() + pause;
            while self.now() < until && self.room.phase() == Phase::Serving {
                self.wait(until.saturating_sub(self.now())).await;
            }
        }
    }

    /// Everything between the beginning of a session and its end.
    async fn attend(&mut self, mut session: Session) -> End {
        // What came before is in the log before something else is read, for it counts as read.
        while !self.append(self.now()) {
            if self.room.phase() != Phase::Serving {
                return End::Stopped;
            }
            self.wait(SILENCE_MAX).await;
        }
        self.begin_reading(&session.start);
        if self.upstream().set_connected(true) {
            let _ = self.upstream().set_connected(false);
            return End::Stopped;
        }
        if !self.outgoing.is_failing() {
            self.set_ready();
        }
        self.upstream().counters.connects.add(1);
        let room = &self.room.config.name;
        info!(%room, next = self.progress.next(), "the cluster is connected");
        let mut work = Work { check_at: self.now() + CHECK_INTERVAL, ..Work::default() };
        let end = loop {
            if let Err(end) = self.step(&mut session, &mut work).await {
                break end;
            }
        };
        self.upstream().set_condition(Condition::Away);
        if work.publishing.is_some() {
            self.outgoing.failed();
        }
        if self.upstream().set_connected(false) {
            self.shared.flush(&self.room);
        }
        self.outgoing.publish(self.upstream());
        self.shared.notify_writers(self.key, &self.room);
        end
    }

    fn begin_reading(&mut self, start: &Start) {
        match *start {
            Start::At(next) if next == self.progress.next() => {}
            Start::At(next) => self.progress.jump(next),
            Start::Anew(next) => {
                warn!(
                    room = %self.room.config.name,
                    "the stream is not the one that this node has read: its messages are lost"
                );
                self.progress.jump(next);
                self.outgoing.forgotten();
            }
        }
    }

    fn set_ready(&mut self) {
        self.upstream().set_condition(Condition::Connected);
        self.warned.clear();
    }

    /// One round: appends, publishes, and waits until there is more to do.
    async fn step(&mut self, session: &mut Session, work: &mut Work) -> Result<(), End> {
        let now = self.now();
        let is_free = self.append(now);
        self.begin_work(session, work, now);
        self.stop(work, now)?;
        let until = self.next_time(work, now);
        let parks = self.upstream().park();
        let wake = Arc::clone(&self.wake);
        tokio::select! {
            published = ready(&mut work.publishing) => {
                work.publishing = None;
                self.published(published, work)?;
            }
            checked = ready(&mut work.checking) => {
                work.checking = None;
                checked.map_err(End::Lost)?;
            }
            message = session.messages.next(), if is_free => match message {
                Some(Ok(message)) => self.receive(&message, session)?,
                Some(Err(error)) => return Err(End::Lost(format!("reading the stream: {error}"))),
                None => return Err(End::Lost("reading the stream has ended".into())),
            },
            event = session.events.recv() => lost(event)?,
            () = wake.notified() => {}
            () = tokio::time::sleep_until(tokio::time::Instant::now() + until) => {}
            () = tokio::task::yield_now(), if !parks => {}
        }
        self.upstream().unpark();
        Ok(())
    }

    /// Begins what is due.
    fn begin_work(&mut self, session: &Session, work: &mut Work, now: Duration) {
        if work.checking.is_none() && now >= work.check_at {
            work.checking = Some(session.check());
            work.check_at = now + CHECK_INTERVAL;
        }
        if work.publishing.is_some() || work.retry_at.is_some_and(|at| now < at) {
            self.watch_silence(work, now);
            return;
        }
        work.retry_at = None;
        let last_sequence = self.outgoing.last_sequence();
        let upstream = self.room.upstream.as_ref().expect("the room has an upstream");
        let (sending, had_no_space) = self.outgoing.next(upstream, session.batch_bytes_max, now);
        if let Some(sending) = sending {
            let room = &self.room.config.cluster.as_ref().expect("it is of a cluster").room;
            work.publishing = Some(session.publish(room, sending, last_sequence));
            work.published_at = now;
        }
        if had_no_space {
            self.shared.notify_writers(self.key, &self.room);
        }
    }

    /// A batch that is on its way for long makes the node unready.
    fn watch_silence(&self, work: &Work, now: Duration) {
        let is_late = work.publishing.is_some() && now >= work.published_at + SILENCE_MAX;
        if is_late && self.upstream().condition() == Condition::Connected {
            self.upstream().set_condition(Condition::Silent);
        }
    }

    fn next_time(&self, work: &Work, now: Duration) -> Duration {
        let late_at = work.publishing.as_ref().map(|_| work.published_at + SILENCE_MAX);
        let times = [Some(work.check_at), late_at, work.retry_at, work.end_at];
        let next = times.into_iter().flatten().filter(|&at| at > now).min();
        next.map_or(CHECK_INTERVAL, |at| at - now)
    }

    fn published(&mut self, published: Published, work: &mut Work) -> Result<(), End> {
        match published {
            Published::Stored(sequence) => {
                let (messages, bytes) = self.outgoing.stored(sequence);
                self.upstream().counters.sent.add(messages);
                self.upstream().counters.sent_bytes.add(bytes);
                // It may have been stored before this session, and be behind where that began.
                self.outgoing.passed(self.progress.next().saturating_sub(1));
                self.outgoing.publish(self.upstream());
                self.set_ready();
            }
            Published::Behind(sequence) => {
                self.upstream().counters.retries.add(1);
                self.outgoing.expect(sequence);
            }
            Published::Unknown(reason) => {
                self.upstream().counters.retries.add(1);
                let failures = self.outgoing.failed();
                debug!(failures, "a batch is not confirmed: {reason}");
                if failures.is_multiple_of(TRIES_MAX) {
                    return Err(End::Lost(format!("cannot publish: {reason}")));
                }
                work.retry_at = Some(self.now() + RETRY_PAUSE);
            }
        }
        Ok(())
    }

    /// Takes a message of the stream. What was read before is in the log already.
    fn receive(&mut self, message: &Message, session: &mut Session) -> Result<(), End> {
        let info = message.info().map_err(|error| End::Lost(format!("reading: {error}")))?;
        if info.consumer_sequence != session.reader_next {
            // On the way to this node; the stream has it.
            return Err(End::Lost("something was lost on the way from NATS".into()));
        }
        session.reader_next += 1;
        let headers = message.headers.as_ref();
        let id = headers.and_then(|it| it.get(NATS_MESSAGE_ID)).map(|id| id.as_str());
        let subject = message.subject.as_str();
        let (missed, verdict) =
            self.progress.read(info.stream_sequence, subject, id, &message.payload);
        if missed > 0 {
            self.upstream().counters.missed_batches.add(missed);
            warn!(room = %self.room.config.name, missed, "the stream no longer had some batches");
        }
        match verdict {
            Verdict::Append(batch) => {
                self.own = (batch.node == self.outgoing.node()).then_some(batch.number);
                self.incoming = message.payload.to_vec();
                self.begin = 0;
                let_accept(&self.room, &self.shared, &self.listeners);
            }
            Verdict::Repeated => self.upstream().counters.ignored_batches.add(1),
            Verdict::Foreign => {
                self.upstream().counters.ignored_batches.add(1);
                warn!(
                    subject,
                    sequence = info.stream_sequence,
                    "not a batch of a node: who else publishes on the subjects of this room?"
                );
            }
        }
        self.outgoing.passed(info.stream_sequence.saturating_sub(1));
        self.append(self.now());
        Ok(())
    }

    /// Appends what came to the log: the stream's order becomes the order here. `false` while a
    /// shard or a slow reader is behind; the node is notified when it is not any more.
    fn append(&mut self, now: Duration) -> bool {
        while self.begin < self.incoming.len() {
            if self.room.is_backpressured() {
                return false;
            }
            let rest = &self.incoming[self.begin..];
            let frames = &rest[..whole_prefix(rest, self.room.log.append_bytes_max())];
            match self.room.log.append(frames) {
                Ok(_) => {}
                Err(AppendError::Pinned) => return false,
                Err(error) => unreachable!("these are whole frames and not too long: {error}"),
            }
            let upstream = self.room.upstream.as_ref().expect("the room has an upstream");
            upstream.counters.received.add(whole_frames(frames).number as u64);
            upstream.counters.received_bytes.add(frames.len() as u64);
            self.begin += frames.len();
            self.shared.notify_others(self.key, &self.room, usize::MAX);
        }
        if let Some(number) = self.own.take() {
            if let Some(round_trip) = self.outgoing.seen(number, now) {
                let microseconds = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
                self.upstream().counters.round_trip_microseconds.set(microseconds);
            }
            // First the log, then what is settled, then the shards: one that sees the second
            // finds the first.
            self.outgoing.publish(self.upstream());
            self.shared.notify_others(self.key, &self.room, usize::MAX);
        }
        true
    }

    /// When the server stops, what the shards have put is published, and comes back, before the end.
    fn stop(&self, work: &mut Work, now: Duration) -> Result<(), End> {
        if self.room.phase() == Phase::Serving {
            return Ok(());
        }
        let time_max = self.shared.config().drain_timeout / 2;
        if now >= *work.end_at.get_or_insert(now + time_max) {
            warn!("not everything could be published and read back in time");
            return Err(End::Stopped);
        }
        let is_finished = self.upstream().is_finished() && self.outgoing.is_idle();
        if is_finished && self.begin == self.incoming.len() { Err(End::Stopped) } else { Ok(()) }
    }

    /// Does nothing for so long, unless it is notified.
    async fn wait(&self, time: Duration) {
        if self.upstream().park() {
            let notified = self.wake.notified();
            let _ = tokio::time::timeout(time, notified).await;
        } else {
            tokio::task::yield_now().await;
        }
        self.upstream().unpark();
    }

    /// Says why there is no session, once for each reason.
    fn report(&mut self, reason: &str, pause: Duration) {
        self.upstream().counters.failures.add(1);
        let room = &self.room.config.name;
        let retry = format!("retrying in {:.1} s", pause.as_secs_f64());
        if self.warned == reason {
            debug!(%room, "the cluster is not connected: {reason}; {retry}");
        } else {
            warn!(%room, "the cluster is not connected: {reason}; {retry}");
            reason.clone_into(&mut self.warned);
        }
    }
}

/// The result of what is under way, if anything is.
async fn ready<T>(pending: &mut Option<Pending<T>>) -> T {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// Whether the connection is lost.
fn lost(event: Option<Event>) -> Result<(), End> {
    match event {
        Some(Event::Disconnected | Event::Closed) | None => {
            Err(End::Lost("the connection to NATS is lost".into()))
        }
        Some(Event::LameDuckMode) => Err(End::Lost("the NATS server is about to stop".into())),
        Some(event) => {
            debug!("NATS: {event}");
            Ok(())
        }
    }
}
