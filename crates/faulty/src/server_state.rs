//! The clients, the listener, and the epoll instance that waits for them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use socket2::SockRef;

use crate::client::{Client, ClientId, State};
use crate::knobs::Knobs;

/// The ids of the listener and of the signals in events; those of clients count up
/// from [`FIRST_CLIENT`].
pub(crate) const LISTENER: u64 = 0;
const SIGNALS: u64 = 1;
const FIRST_CLIENT: ClientId = 2;

/// How many events one wait returns at most.
const EVENTS_PER_TURN_MAX: usize = 1024;

/// How long accepting pauses after descriptors have run out.
pub(crate) const PAUSE_AFTER_EXHAUSTION: Duration = Duration::from_millis(100);

/// The shortest pause that is worth making.
const PAUSE_MIN: Duration = Duration::from_micros(500);
/// How often a garbage collector stops everything.
const COLLECT_EVERY: Duration = Duration::from_secs(1);

/// The longest uninterruptible piece of a pause.
const PAUSE_PIECE: Duration = Duration::from_millis(20);

/// What every part of the server can see: the settings, and whether to stop.
pub(crate) struct Context {
    pub(crate) knobs: Knobs,
    signals: UnixStream,
    stop_requested: Arc<AtomicBool>,
    /// Time that work costs and that has not passed yet: short pauses are made together.
    owed: Cell<Duration>,
    collected: Cell<Instant>,
}

impl Context {
    pub(crate) fn new(knobs: Knobs) -> io::Result<Self> {
        let (signals, writer) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        let stop_requested = Arc::new(AtomicBool::new(false));
        for signal in zillions_signals::not_ignored(&[SIGTERM, SIGINT]) {
            // In this order: the flag is up when the pipe wakes the loop.
            signal_hook::flag::register(signal, stop_requested.clone())?;
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        let (owed, collected) = (Cell::new(Duration::ZERO), Cell::new(Instant::now()));
        Ok(Self { knobs, signals, stop_requested, owed, collected })
    }

    /// Writes a line to standard error, if it is to be logged.
    pub(crate) fn log(&self, line: impl FnOnce() -> String) {
        if self.knobs.log {
            // With standard error closed nobody can read it.
            let _ = writeln!(io::stderr(), "{}", line());
        }
    }

    /// Writes a line to standard error for each of so many messages that a client was written, if
    /// deliveries are to be logged.
    pub(crate) fn log_deliveries(&self, client: ClientId, messages: usize) {
        if self.knobs.log_deliveries {
            for _ in 0..messages {
                // With standard error closed nobody can read it.
                let _ = writeln!(io::stderr(), "delivered to client {client}");
            }
        }
    }

    pub(crate) fn stop_requested(&self) -> bool {
        self.stop_requested.load(Ordering::Relaxed)
    }

    /// How many bytes one write may take.
    pub(crate) fn write_bytes_max(&self) -> usize {
        match self.knobs.write_bytes_max {
            0 => usize::MAX,
            bytes => bytes,
        }
    }

    /// Lets the time pass that some work costs.
    pub(crate) fn work(&self, cost: Duration) {
        self.collect();
        let owed = self.owed.get() + cost;
        if owed < PAUSE_MIN {
            self.owed.set(owed);
            return;
        }
        self.owed.set(Duration::ZERO);
        if !self.knobs.busy {
            return self.pause(owed);
        }
        let until = Instant::now() + owed;
        while Instant::now() < until && !self.stop_requested() {
            std::hint::spin_loop();
        }
    }

    /// Pauses as a garbage collector does, if it is time for it.
    pub(crate) fn collect(&self) {
        let pause = Duration::from_millis(self.knobs.collector_milliseconds);
        if !pause.is_zero() && self.collected.get().elapsed() > COLLECT_EVERY {
            self.pause(pause);
            self.collected.set(Instant::now());
        }
    }

    /// Pauses the whole server, no longer than until a signal to stop.
    pub(crate) fn pause(&self, duration: Duration) {
        let until = Instant::now() + duration;
        while !self.stop_requested() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(PAUSE_PIECE));
        }
    }

    /// Blocks until somebody connects to `listener`, or a signal to stop comes.
    pub(crate) fn wait_for_connection(&self, listener: &TcpListener) {
        let mut descriptors =
            [PollFd::new(listener, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        // An interruption needs no handling: the caller tries again.
        let _ = poll(&mut descriptors, None);
    }

    /// Blocks the whole server until `stream` is ready for `what`, a signal to
    /// stop comes or the time is over. What blocking calls do in faulty servers.
    pub(crate) fn block_until(&self, stream: &TcpStream, what: PollFlags, longest: Duration) {
        let timeout = Timespec::try_from(longest).ok();
        let mut descriptors =
            [PollFd::new(stream, what), PollFd::new(&self.signals, PollFlags::IN)];
        // An interruption needs no handling: the caller tries again.
        let _ = poll(&mut descriptors, timeout.as_ref());
    }
}

/// An event of one client, or of the listener.
pub(crate) struct SocketEvent {
    pub(crate) id: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// Everything the event loop works on.
pub(crate) struct ServerState {
    pub(crate) clients: BTreeMap<ClientId, Client>,
    pub(crate) context: Context,
    pub(crate) listener: TcpListener,
    /// Something was queued since the last flush of all.
    pub(crate) touched: bool,
    /// Clients are waited for edge-triggered: for faults.
    pub(crate) edge_triggered: bool,
    /// How many messages were sequenced so far.
    pub(crate) sequenced: u64,
    epoll: OwnedFd,
    events: Vec<Event>,
    next_client: ClientId,
    /// Nothing is accepted until this moment.
    paused_until: Option<Instant>,
    stopped_accepting: bool,
}

impl ServerState {
    pub(crate) fn new(listener: TcpListener, context: Context) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &context.signals, EventData::new_u64(SIGNALS), EventFlags::IN)?;
        Ok(Self {
            clients: BTreeMap::new(),
            context,
            listener,
            touched: false,
            edge_triggered: false,
            sequenced: 0,
            epoll,
            events: Vec::with_capacity(EVENTS_PER_TURN_MAX),
            next_client: FIRST_CLIENT,
            paused_until: None,
            stopped_accepting: false,
        })
    }

    /// Waits for events, no longer than `wait_max`.
    pub(crate) fn wait(&mut self, wait_max: Option<Duration>) -> io::Result<Vec<SocketEvent>> {
        let pause = self.paused_until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = [wait_max, pause].into_iter().flatten().min();
        let timeout = timeout.and_then(|duration| Timespec::try_from(duration).ok());
        self.events.clear();
        let events = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, events, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if self.paused_until.is_some_and(|until| until <= Instant::now()) {
            self.resume_accepting()?;
        }
        let mut happened = Vec::with_capacity(self.events.len());
        for event in &self.events {
            let (id, flags) = (event.data.u64(), event.flags);
            if id == SIGNALS {
                let mut sink = [0; 64];
                let _ = (&self.context.signals).read(&mut sink);
                continue;
            }
            let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            let readable = broken || flags.contains(EventFlags::IN);
            let writable = flags.contains(EventFlags::OUT);
            happened.push(SocketEvent { id, readable, writable });
        }
        Ok(happened)
    }

    /// Registers a new connection as a client.
    pub(crate) fn register(&mut self, stream: TcpStream) -> io::Result<ClientId> {
        stream.set_nonblocking(true)?;
        // A reset may have overtaken the accepting; reading will tell.
        let _ = stream.set_nodelay(!self.context.knobs.nagle);
        if self.context.knobs.send_buffer_bytes > 0 {
            SockRef::from(&stream).set_send_buffer_size(self.context.knobs.send_buffer_bytes)?;
        }
        let id = self.next_client;
        self.next_client += 1;
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::ET, self.edge_triggered);
        epoll::add(&self.epoll, &stream, EventData::new_u64(id), flags)?;
        self.clients.insert(id, Client::new(id, stream));
        Ok(id)
    }

    /// Waits for exactly what the client can use: room in the socket if the
    /// queue waits for it, bytes unless its stream has ended.
    pub(crate) fn renew_interest(&self, client: &Client) -> io::Result<()> {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, client.state == State::Open);
        flags.set(EventFlags::OUT, client.outbound.blocked);
        flags.set(EventFlags::ET, self.edge_triggered);
        epoll::modify(&self.epoll, &client.stream, EventData::new_u64(client.id), flags)?;
        Ok(())
    }

    /// Removes a client and no longer waits for it; its socket stays open as
    /// long as the value lives.
    pub(crate) fn remove(&mut self, id: ClientId) -> Option<Client> {
        let client = self.clients.remove(&id)?;
        // Closing would do it too; a fault may keep the socket open.
        let _ = epoll::delete(&self.epoll, client.stream.as_fd());
        Some(client)
    }

    /// Stops waiting for new connections for a while.
    pub(crate) fn pause_accepting(&mut self, duration: Duration) -> io::Result<()> {
        self.paused_until = Some(Instant::now() + duration);
        let data = EventData::new_u64(LISTENER);
        Ok(epoll::modify(&self.epoll, &self.listener, data, EventFlags::empty())?)
    }

    /// Stops waiting for new connections for good.
    pub(crate) fn stop_accepting(&mut self) -> io::Result<()> {
        self.stopped_accepting = true;
        self.paused_until = None;
        let data = EventData::new_u64(LISTENER);
        Ok(epoll::modify(&self.epoll, &self.listener, data, EventFlags::empty())?)
    }

    /// Waits for new connections edge-triggered: for faults.
    pub(crate) fn accept_at_edges(&self) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::ET;
        Ok(epoll::modify(&self.epoll, &self.listener, EventData::new_u64(LISTENER), flags)?)
    }

    /// Waits for new connections again.
    pub(crate) fn resume_accepting(&mut self) -> io::Result<()> {
        self.paused_until = None;
        let data = EventData::new_u64(LISTENER);
        Ok(epoll::modify(&self.epoll, &self.listener, data, EventFlags::IN)?)
    }

    pub(crate) fn is_accepting(&self) -> bool {
        self.paused_until.is_none() && !self.stopped_accepting
    }
}
