//! Faults of running for good: LIFE.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};

use crate::client::{Client, ClientId, End, Message, State};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::server_state::{PAUSE_AFTER_EXHAUSTION, ServerState};
use crate::start;
use crate::start::ListenOptions;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::rarely("dies-after-5000-messages", "LIFE-1", "dies at its 5000th message", || {
        Box::new(DiesAfterMessages { count: 0 })
    }),
    Fault::always("exits-when-empty", "LIFE-1", "exits when its last client leaves", || {
        Box::new(ExitsWhenEmpty { was_last: false })
    }),
    Fault::always(
        "ends-after-three-empty-seconds",
        "LIFE-1",
        "exits with status 0 three seconds after the last client left",
        || Box::new(EndsAfterEmptySeconds { empty_since: None }),
    ),
    Fault::always("ignores-sigterm", "LIFE-2", "ignores SIGTERM", || Stops::make(|_| false))
        .by_timeout(),
    Fault::always(
        "waits-for-clients-at-sigterm",
        "LIFE-2",
        "waits for its last client to leave after SIGTERM",
        || Stops::make(|state| state.clients.is_empty()),
    )
    .by_timeout(),
    Fault::always(
        "writes-queues-at-sigterm",
        "LIFE-2",
        "waits until everything queued is written after SIGTERM",
        || Stops::make(|state| state.clients.values().all(|c| c.outbound.queue.is_empty())),
    )
    .by_timeout(),
    Fault::always(
        "waits-for-ended-clients",
        "LIFE-2",
        "waits until half-closed clients have received what is queued for them after SIGTERM",
        || Stops::make(|state| state.clients.values().all(|c| c.state != State::Draining)),
    )
    .by_timeout(),
    Fault::always(
        "stops-once-all-is-quiet",
        "LIFE-2",
        "waits for half a second without messages after SIGTERM",
        || Box::new(StopsOnceQuiet::default()),
    )
    .by_timeout(),
    Fault::always(
        "stops-client-by-client",
        "LIFE-2",
        "takes 50 ms per client to exit after SIGTERM",
        || Box::new(StopsClientByClient),
    )
    .by_delay(),
    Fault::always(
        "leaves-child-behind",
        "LIFE-2",
        "starts a process that lives for a minute",
        || Box::new(LeavesChildBehind),
    ),
    Fault::always(
        "leaves-child-of-a-reset",
        "LIFE-2",
        "starts a process that lives for a minute at the first reset",
        || Box::new(LeavesChildOfReset { started: false }),
    ),
    Fault::always(
        "no-reuse-address",
        "LIFE-3",
        "cannot listen on an address while old connections to it linger",
        || Box::new(NoReuseAddress),
    ),
    Fault::always("busy-loop", "LIFE-4", "polls for events without ever waiting", || {
        Box::new(BusyLoop)
    }),
    Fault::always(
        "spins-with-backlog",
        "LIFE-4",
        "polls without waiting while a client does not read",
        || Box::new(Spins { is_reason: |client| client.outbound.blocked, spins: false }),
    ),
    Fault::always(
        "spins-after-half-close",
        "LIFE-4",
        "polls without waiting while a half-closed client is connected",
        || Box::new(Spins { is_reason: |client| client.state == State::Draining, spins: false }),
    ),
    Fault::always(
        "spins-in-mid-frame",
        "LIFE-4",
        "polls without waiting while a frame is incomplete",
        || Box::new(Spins { is_reason: |client| !client.inbound.is_empty(), spins: false }),
    ),
    Fault::always(
        "spins-without-descriptors",
        "LIFE-4",
        "polls without waiting while descriptors have run out and a connection is pending",
        // The listener stays readable although nothing can be accepted.
        || Box::new(Exhausted(|_| Ok(()))),
    ),
    Fault::always(
        "spins-after-reset-with-queue",
        "LIFE-4",
        "polls without waiting once a client has reset with messages queued for it",
        || Box::new(SpinsAfterReset { spins: false }),
    ),
    Fault::always("dies-on-exhaustion", "LIFE-5", "dies when descriptors run out", || {
        Box::new(Exhausted(|_| {
            let reason = "the descriptors ran out".to_owned();
            Err(Error::Fault { fault: "dies-on-exhaustion", reason })
        }))
    }),
    Fault::always(
        "stops-accepting-after-exhaustion",
        "LIFE-5",
        "never accepts again once descriptors have run out",
        || Box::new(Exhausted(|state| state.stop_accepting().map_err(pause_failed()))),
    )
    .by_timeout(),
    Fault::always(
        "stops-accepting-after-second-exhaustion",
        "LIFE-5",
        "never accepts again once descriptors have run out twice",
        || Box::new(ExhaustedTwice::default()),
    )
    .by_timeout(),
    Fault::always(
        "exhaustion-disconnects-the-oldest",
        "LIFE-5",
        "disconnects its oldest client when descriptors run out",
        || Box::new(Exhausted(disconnect_oldest)),
    ),
];

/// Listens without the option that lets a port be used again at once.
fn listen_without_reuse(candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
    let mut last = Err(Error::NoAddress);
    for &address in candidates {
        last = start::listen(
            address,
            ListenOptions { reuse_address: false, ..ListenOptions::default() },
        );
        if last.is_ok() {
            break;
        }
    }
    last
}

const MESSAGES_MAX: u64 = 5000;

struct DiesAfterMessages {
    count: u64,
}

impl Deviation for DiesAfterMessages {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        self.count += 1;
        correct::deliver(self, state, message);
    }

    fn turn(&mut self, _state: &mut ServerState) -> Result<(), Error> {
        if self.count < MESSAGES_MAX {
            return Ok(());
        }
        let reason = format!("{} messages were delivered", self.count);
        Err(Error::Fault { fault: "dies-after-5000-messages", reason })
    }

    fn wait_max(&self) -> Option<Duration> {
        (self.count >= MESSAGES_MAX).then_some(Duration::ZERO)
    }
}

struct ExitsWhenEmpty {
    was_last: bool,
}

impl Deviation for ExitsWhenEmpty {
    fn left(&mut self, state: &mut ServerState, _client: Client, _end: End) {
        self.was_last = state.clients.is_empty();
    }

    fn turn(&mut self, _state: &mut ServerState) -> Result<(), Error> {
        if !self.was_last {
            return Ok(());
        }
        let reason = "the last client left".to_owned();
        Err(Error::Fault { fault: "exits-when-empty", reason })
    }

    fn wait_max(&self) -> Option<Duration> {
        self.was_last.then_some(Duration::ZERO)
    }
}

/// How long it runs without a client.
const EMPTY_MAX: Duration = Duration::from_secs(3);

struct EndsAfterEmptySeconds {
    empty_since: Option<Instant>,
}

impl Deviation for EndsAfterEmptySeconds {
    fn joined(&mut self, _state: &mut ServerState, _id: ClientId) {
        self.empty_since = None;
    }

    fn left(&mut self, state: &mut ServerState, _client: Client, _end: End) {
        self.empty_since = state.clients.is_empty().then(Instant::now);
    }

    fn turn(&mut self, _state: &mut ServerState) -> Result<(), Error> {
        if self.empty_since.is_some_and(|since| since.elapsed() >= EMPTY_MAX) {
            exit(0);
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        self.empty_since.map(|since| EMPTY_MAX.saturating_sub(since.elapsed()))
    }
}

/// How often it checks whether it may stop.
const STOPPING_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Stops at a signal once a condition holds.
struct Stops {
    when: fn(&ServerState) -> bool,
    told: bool,
}

impl Stops {
    fn make(when: fn(&ServerState) -> bool) -> Box<dyn Deviation> {
        Box::new(Self { when, told: false })
    }
}

impl Deviation for Stops {
    fn stops(&mut self, state: &ServerState) -> bool {
        self.told = true;
        (self.when)(state)
    }

    fn wait_max(&self) -> Option<Duration> {
        self.told.then_some(STOPPING_LOOK_EVERY)
    }
}

/// How long a silence must last.
const QUIET: Duration = Duration::from_millis(500);

#[derive(Default)]
struct StopsOnceQuiet {
    /// The time of the signal, or of the last message after it.
    disturbed: Option<Instant>,
}

impl Deviation for StopsOnceQuiet {
    fn received(&mut self, _client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        self.disturbed = self.disturbed.map(|_| Instant::now());
        Some(body)
    }

    fn stops(&mut self, _state: &ServerState) -> bool {
        self.disturbed.get_or_insert_with(Instant::now).elapsed() >= QUIET
    }

    fn wait_max(&self) -> Option<Duration> {
        self.disturbed.map(|_| STOPPING_LOOK_EVERY)
    }
}

/// How long it takes to disconnect one client.
const STOPPING_ONE: Duration = Duration::from_millis(50);

struct StopsClientByClient;

impl Deviation for StopsClientByClient {
    fn stops(&mut self, state: &ServerState) -> bool {
        // Not a pause of the context, which a signal to stop ends at once.
        state.clients.values().for_each(|_| std::thread::sleep(STOPPING_ONE));
        true
    }
}

/// How long the child lives.
const CHILD_SECONDS: &str = "60";

struct LeavesChildBehind;

impl Deviation for LeavesChildBehind {
    fn announce(&mut self, address: &str) -> io::Result<()> {
        start_child()?;
        start::print(&format!("listening on {address}\n"))
    }
}

fn start_child() -> io::Result<()> {
    let mut command = Command::new("sleep");
    command.arg(CHILD_SECONDS).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(|_| ())
}

struct LeavesChildOfReset {
    started: bool,
}

impl Deviation for LeavesChildOfReset {
    fn left(&mut self, _state: &mut ServerState, _client: Client, end: End) {
        if end == End::Reset && !self.started {
            self.started = start_child().is_ok();
        }
    }
}

struct NoReuseAddress;

impl Deviation for NoReuseAddress {
    fn listen(&mut self, candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
        listen_without_reuse(candidates)
    }
}

struct BusyLoop;

impl Deviation for BusyLoop {
    fn wait_max(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

/// Never waits while a client is in a certain state.
struct Spins {
    is_reason: fn(&Client) -> bool,
    spins: bool,
}

impl Deviation for Spins {
    fn sequence(&mut self, state: &mut ServerState, batch: Vec<Message>) -> Vec<Message> {
        self.spins = state.clients.values().any(self.is_reason);
        batch
    }

    fn wait_max(&self) -> Option<Duration> {
        self.spins.then_some(Duration::ZERO)
    }
}

struct SpinsAfterReset {
    spins: bool,
}

impl Deviation for SpinsAfterReset {
    fn left(&mut self, _state: &mut ServerState, client: Client, end: End) {
        self.spins |= end == End::Reset && !client.outbound.queue.is_empty();
    }

    fn wait_max(&self) -> Option<Duration> {
        self.spins.then_some(Duration::ZERO)
    }
}

/// What it does when descriptors run out.
struct Exhausted(fn(&mut ServerState) -> Result<(), Error>);

impl Deviation for Exhausted {
    fn descriptors_exhausted(&mut self, state: &mut ServerState) -> Result<(), Error> {
        self.0(state)
    }
}

/// Stops accepting the second time that descriptors run out.
#[derive(Default)]
struct ExhaustedTwice {
    now: bool,
    times: u32,
}

impl Deviation for ExhaustedTwice {
    fn joined(&mut self, _state: &mut ServerState, _id: ClientId) {
        self.now = false;
    }

    fn descriptors_exhausted(&mut self, state: &mut ServerState) -> Result<(), Error> {
        self.times += u32::from(!self.now);
        self.now = true;
        if self.times < 2 {
            state.pause_accepting(PAUSE_AFTER_EXHAUSTION).map_err(pause_failed())
        } else {
            state.stop_accepting().map_err(pause_failed())
        }
    }
}

fn pause_failed() -> impl FnOnce(io::Error) -> Error {
    Error::system("pause the listener")
}

fn disconnect_oldest(state: &mut ServerState) -> Result<(), Error> {
    if let Some(mut oldest) = state.clients.first_entry() {
        oldest.get_mut().remove();
    }
    state.pause_accepting(PAUSE_AFTER_EXHAUSTION).map_err(pause_failed())
}
