//! The loop of a trial: the thin part that touches sockets and the clock.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use zillions_harness::MachineFault;

use crate::account::histogram;
use crate::body::{PROBE_SENDER, Stamp};
use crate::churn::{Churn, ChurnCounts};
use crate::clock::{Clock, ThreadMeter};
use crate::closed_loop::ClosedLoop;
use crate::connections::Connections;
use crate::error::{LoadError, Phase};
use crate::outcome::{GeneratorUse, Outcome};
use crate::outgoing::Outgoing;
use crate::part::{Part, outcome};
use crate::plan::{Load, Plan};
use crate::schedule::{Schedule, Window};
use crate::share::Share;
use crate::team::{Found, Stop, Team, TellsOfPanics};
use crate::verifier::Verifier;

/// A saturating sender makes its messages in chunks of about this size.
const CHUNK_BYTES: usize = 16 * 1024;

/// A probe that has not reached every client is followed by the next one after this time, at least …
const PROBE_INTERVAL_NS_MIN: u64 = 100_000_000;

/// … and with many clients after this time per client: a slow server would do nothing else.
const PROBE_INTERVAL_NS_PER_CLIENT: u64 = 100_000;

/// Carries out `plan` against the server at `address`, on the calling thread.
///
/// # Errors
///
/// As [`run_spread`].
pub fn run(
    address: SocketAddr,
    plan: &Plan,
    observe: impl FnMut(Phase),
) -> Result<Outcome, LoadError> {
    run_spread(&[address], plan, observe)
}

/// Carries out `plan` against the service at `addresses`, as [`run_threads`] does.
///
/// # Errors
///
/// As [`run_threads`].
///
/// # Panics
///
/// As [`run_threads`].
pub fn run_spread(
    addresses: &[SocketAddr],
    plan: &Plan,
    observe: impl FnMut(Phase),
) -> Result<Outcome, LoadError> {
    run_threads(addresses, plan, |_| {}, observe)
}

/// Carries out `plan` against the service at `addresses`, on the calling thread and, if the plan asks
/// for more, on as many others. Clients connect to the addresses in turn, and each message must
/// reach the clients of all of them, in one order.
///
/// Each thread calls `begin` first, with its index; the calling thread is the first one, and the only
/// one that calls `observe`.
///
/// Connections that are lost are recorded in the outcome. The duration is bounded by the times in the
/// plan.
///
/// # Errors
///
/// [`LoadError`] if the load could not be brought about, or if no connection outlived the window.
///
/// # Panics
///
/// Without an address, and if a thread of its own panics.
pub fn run_threads(
    addresses: &[SocketAddr],
    plan: &Plan,
    begin: impl Fn(usize) + Sync,
    mut observe: impl FnMut(Phase),
) -> Result<Outcome, LoadError> {
    assert!(!addresses.is_empty(), "a server has an address");
    plan.check()?;
    begin(0);
    let team = Team::new(plan.threads());
    let mut generators = connect_all(addresses, plan, &team)?.into_iter();
    let parts: Result<Vec<Part>, Stop> = thread::scope(|scope| {
        let first = generators.next();
        let begin = &begin;
        let mut others = Vec::new();
        for generator in generators {
            others.push(scope.spawn(move || {
                begin(generator.share.index);
                generator.run(&mut |_| {})
            }));
        }
        let first = first.map(|it| it.run(&mut observe));
        let others = others.into_iter().map(|it| match it.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        first.into_iter().chain(others).collect()
    });
    match parts {
        Ok(parts) => Ok(outcome(plan, parts).expect("there is a thread")),
        Err(_) => Err(team.into_error().expect("a thread that fails leaves its error")),
    }
}

/// The generators of all threads, connected.
fn connect_all<'all>(
    addresses: &'all [SocketAddr],
    plan: &'all Plan,
    team: &'all Team,
) -> Result<Vec<Generator<'all>>, LoadError> {
    let clock = Clock::start();
    let mut connected = 0;
    let verifiers = Verifier::for_threads(plan).into_iter().zip(Share::all(plan.threads()));
    let mut generators = Vec::new();
    for (verifier, share) in verifiers {
        let failed = |(client, source): (usize, _)| {
            let connected = connected + client / share.threads;
            let address = addresses[client % addresses.len()];
            LoadError::connect(address, connected, plan.clients, source)
        };
        let of = (share, &team.connected);
        let connections =
            Connections::open(addresses, plan.clients, of, plan.split_writes, plan.ready_max)
                .map_err(failed)?;
        connected += connections.connected_here();
        let common = Common { addresses, plan, team, clock };
        generators.push(Generator::new(common, share, connections, verifier));
    }
    if let Some(first) = generators.first_mut() {
        let hello = plan.wire.hello(false);
        let stalled = &mut first.connections;
        stalled.open_stalled(addresses, plan.stalled, hello, plan.ready_max).map_err(
            |(stalled, source)| {
                let (connected, all) = (plan.clients + stalled, plan.clients + plan.stalled);
                LoadError::connect(addresses[stalled % addresses.len()], connected, all, source)
            },
        )?;
    }
    Ok(generators)
}

/// What the generators of all threads have in common.
#[derive(Clone, Copy)]
struct Common<'all> {
    addresses: &'all [SocketAddr],
    plan: &'all Plan,
    team: &'all Team,
    clock: Clock,
}

/// One thread's share of the clients.
struct Generator<'all> {
    addresses: &'all [SocketAddr],
    plan: &'all Plan,
    team: &'all Team,
    clock: Clock,
    share: Share,
    connections: Connections,
    /// Per client; those that do not send only reply.
    outgoing: Vec<Outgoing>,
    /// Clients that do not send and whose replies wait for their sockets.
    replying: Vec<usize>,
    /// Per client: whether its socket was full and what was queued then is not yet written.
    held_back: Vec<bool>,
    messages_held_back: u64,
    /// Per sender: how many messages it has made, to take the lengths of bodies in turn.
    made: Vec<usize>,
    schedule: Option<Schedule>,
    closed_loop: ClosedLoop,
    churn: Option<Churn>,
    /// The frames of the filler messages that go before each message.
    filler_frames: Vec<u8>,
    window: Window,
    verifier: Verifier,
    schedule_lag: Histogram<u64>,
    messages_written_in_window: u64,
    last_arrival_ns: u64,
}

impl<'all> Generator<'all> {
    fn new(
        common: Common<'all>,
        share: Share,
        connections: Connections,
        verifier: Verifier,
    ) -> Self {
        let Common { addresses, plan, team, clock } = common;
        let clients = plan.clients;
        let mut generator = Self {
            addresses,
            plan,
            team,
            clock,
            share,
            connections,
            outgoing: (0..clients)
                .map(|_| Outgoing::new(plan.wire).splitting(plan.split_writes))
                .collect(),
            replying: Vec::new(),
            held_back: vec![false; clients],
            messages_held_back: 0,
            made: vec![0; plan.senders],
            schedule: None,
            closed_loop: ClosedLoop::default(),
            churn: None,
            filler_frames: plan.filler.frames(),
            window: Window { start_ns: u64::MAX, end_ns: u64::MAX },
            verifier,
            schedule_lag: histogram(),
            messages_written_in_window: 0,
            last_arrival_ns: 0,
        };
        for client in share.of(clients) {
            generator.send_control(client, plan.wire.hello(client < plan.senders));
        }
        generator
    }

    /// Carries out this thread's part of the trial; the others learn of its failure.
    fn run(mut self, observe: &mut impl FnMut(Phase)) -> Result<Part, Stop> {
        let team = self.team;
        let _tells = TellsOfPanics(team);
        let carried_out = self.carry_out(observe);
        match carried_out {
            Ok((start_ns, is_quiet, used)) => Ok(self.part(start_ns, is_quiet, used)),
            Err(stop) => {
                team.fail(stop);
                Err(Stop::Told)
            }
        }
    }

    /// When the load began, whether the server fell silent, and what this thread used.
    fn carry_out(
        &mut self,
        observe: &mut impl FnMut(Phase),
    ) -> Result<(u64, bool, GeneratorUse), Stop> {
        let mut meter = ThreadMeter::new();
        self.await_service()?;
        let start_ns = if self.share.index == 0 {
            observe(Phase::WarmUp);
            let start_ns = self.clock.now_ns() + self.team.lead_ns();
            self.team.begin(start_ns);
            start_ns
        } else {
            self.await_start()?
        };
        let measure_ns = start_ns + nanoseconds(self.plan.warm_up);
        let end_ns = measure_ns + nanoseconds(self.plan.measure);
        let window = Window { start_ns: measure_ns, end_ns };
        self.begin(start_ns, window);
        self.load_until(window.start_ns)?;
        self.verifier.open_sample();
        let before = (meter.read(), self.connections.reads);
        observe(Phase::Measure);
        self.load_until(window.end_ns)?;
        let after = (meter.read(), self.connections.reads);
        observe(Phase::Drain);
        let is_quiet = self.drain()?;
        Ok((start_ns, is_quiet, GeneratorUse::between(before, after)))
    }

    fn part(self, start_ns: u64, is_quiet: bool, used: GeneratorUse) -> Part {
        let senders = &self.outgoing[..self.plan.senders];
        Part {
            start_ns,
            window: self.window,
            is_quiet,
            used,
            written: senders.iter().map(Outgoing::messages_written).collect(),
            connections: self.connections,
            churn: self.churn.map_or_else(ChurnCounts::default, |it| it.counts),
            closed_loop: self.closed_loop,
            verifier: self.verifier,
            schedule_lag: self.schedule_lag,
            messages_written_in_window: self.messages_written_in_window,
            messages_held_back: self.messages_held_back,
        }
    }

    /// Sends probes until every client has received one: connected is not yet accepted.
    fn await_service(&mut self) -> Result<(), Stop> {
        let clients = self.plan.clients;
        let deadline_ns = self.clock.now_ns() + nanoseconds(self.plan.ready_max);
        // One client probes for all.
        let (mut probe_ns, mut sequence) = (if self.share.index == 0 { 0 } else { u64::MAX }, 0);
        while self.team.served() < clients {
            self.team.check()?;
            let now_ns = self.clock.now_ns();
            if let Some(lost) = self.connections.lost.first() {
                let (client, reason) = (lost.client, lost.reason.clone());
                return Err(LoadError::LostEarly { client, clients, reason }.into());
            }
            if now_ns >= deadline_ns {
                let (served, seconds) = (self.team.served(), self.plan.ready_max.as_secs_f64());
                return Err(LoadError::NotServed { served, clients, seconds }.into());
            }
            if now_ns >= probe_ns && self.outgoing[0].is_empty() {
                let stamp = Stamp { intended_ns: now_ns, sequence, sender: PROBE_SENDER };
                let mut probe = Vec::new();
                let length = self.plan.body_bytes[0];
                self.plan.wire.append_message(stamp, length, self.plan.tag, &mut probe);
                self.send_control(0, &probe);
                sequence += 1;
                let crowd_ns = clients as u64 * PROBE_INTERVAL_NS_PER_CLIENT;
                probe_ns = now_ns + PROBE_INTERVAL_NS_MIN.max(crowd_ns);
            }
            let until_ns = probe_ns.min(deadline_ns).min(self.team.look_ns(now_ns));
            self.receive_until(until_ns)?;
            self.team.serve(self.share.index, self.verifier.served());
        }
        Ok(())
    }

    /// Waits until the first thread has said when the load begins.
    fn await_start(&mut self) -> Result<u64, Stop> {
        loop {
            self.team.check()?;
            if let Some(start_ns) = self.team.start_ns() {
                return Ok(start_ns);
            }
            let now_ns = self.clock.now_ns();
            self.receive_until(self.team.look_ns(now_ns))?;
        }
    }

    /// Waits until then, or for something to receive, and receives all there is.
    fn receive_until(&mut self, until_ns: u64) -> Result<(), Stop> {
        self.flush_writable();
        self.connections.wait(&self.clock, until_ns)?;
        while self.connections.has_readable() {
            self.receive();
        }
        Ok(())
    }

    /// Writes bytes that are not a message of the load, after what waits already.
    fn send_control(&mut self, client: usize, bytes: &[u8]) {
        self.outgoing[client].push_control(bytes);
        if !self.flush(client) && client >= self.plan.senders && !self.replying.contains(&client) {
            self.replying.push(client);
        }
    }

    fn begin(&mut self, start_ns: u64, window: Window) {
        self.window = window;
        self.verifier.open(window);
        let senders = self.plan.senders as u16;
        self.schedule = match self.plan.load {
            Load::FixedRate { messages_per_second } => {
                Some(Schedule::new(start_ns, messages_per_second, senders))
            }
            Load::Burst { messages_per_burst, bursts_per_second } => {
                Some(Schedule::bursts(start_ns, messages_per_burst, bursts_per_second, senders))
            }
            Load::EveryoneAtOnce | Load::Saturate => None,
        };
        self.schedule = self.schedule.take().and_then(|it| it.of(self.share));
        let churns = self.plan.churn_per_second > 0.0 && self.share.index == 0;
        self.churn = churns.then(|| Churn::new(self.addresses, self.plan, start_ns));
    }

    /// Sends and receives until `until_ns`.
    fn load_until(&mut self, until_ns: u64) -> Result<(), Stop> {
        while self.clock.now_ns() < until_ns {
            self.team.check()?;
            self.check_connected()?;
            let next_ns = match self.plan.load {
                Load::FixedRate { .. } | Load::Burst { .. } => self.send_due(until_ns),
                Load::EveryoneAtOnce => self.next_round(),
                Load::Saturate => self.saturate(),
            };
            let now_ns = self.clock.now_ns();
            let churn_ns = self.advance_churn(now_ns.min(until_ns - 1))?;
            let idle_ns = if self.connections.has_readable() { 0 } else { next_ns.min(churn_ns) };
            let look_ns = self.team.failure_look_ns(now_ns);
            self.connections.wait(&self.clock, idle_ns.min(until_ns).min(look_ns))?;
            self.receive_all(until_ns);
        }
        // A generator that was held up still owes what was due before the end.
        self.send_due(until_ns);
        self.advance_churn(until_ns - 1)?;
        Ok(())
    }

    /// Opens and closes the short-lived connections that are due; when the next one is.
    fn advance_churn(&mut self, now_ns: u64) -> Result<u64, MachineFault> {
        self.churn.as_mut().map_or(Ok(u64::MAX), |churn| churn.advance(now_ns))
    }

    /// Begins a round if the one before is over; until when to wait.
    fn next_round(&mut self) -> u64 {
        let (now_ns, delivered) = (self.clock.now_ns(), self.verifier.account.counts.genuine);
        if !self.closed_loop.is_due(now_ns, delivered, self.window) {
            self.flush_writable();
            return self.closed_loop.deadline_ns();
        }
        let made = (0..self.plan.senders).filter(|&it| self.make(it as u16, now_ns)).count();
        (0..self.plan.senders).for_each(|sender| {
            self.flush(sender);
        });
        let expected = (made * self.connections.connected()) as u64;
        self.closed_loop.begin(now_ns, delivered, expected)
    }

    fn check_connected(&self) -> Result<(), LoadError> {
        let (0, Some(last)) = (self.connections.connected(), self.connections.lost.last()) else {
            return Ok(());
        };
        Err(LoadError::AllLost {
            clients: self.plan.clients,
            seconds: last.at_seconds,
            reason: last.reason.clone(),
        })
    }

    /// Queues and writes every message that is due, and due before `until_ns`; when the next one
    /// is.
    fn send_due(&mut self, until_ns: u64) -> u64 {
        let now_ns = self.clock.now_ns().min(until_ns - 1);
        let Some(mut schedule) = self.schedule.take() else { return u64::MAX };
        while let Some((due_ns, sender)) = schedule.take(now_ns) {
            if !self.make(sender, due_ns) {
                self.verifier.refuse(sender, due_ns);
            }
            self.flush(usize::from(sender));
        }
        let next_ns = schedule.due_ns();
        self.schedule = Some(schedule);
        self.flush_writable();
        next_ns
    }

    /// Writes one chunk for every sender whose socket takes it; 0 if any may take more at once.
    fn saturate(&mut self) -> u64 {
        let mut next_ns = u64::MAX;
        for sender in self.share.of(self.plan.senders) {
            if !self.connections.is_writable(sender) {
                continue;
            }
            if self.outgoing[sender].is_empty() {
                let now_ns = self.clock.now_ns();
                let mut chunk_bytes = 0;
                while chunk_bytes < CHUNK_BYTES && self.make(sender as u16, now_ns) {
                    chunk_bytes += self.plan.wire.sent_bytes(self.next_length(sender));
                }
            }
            if self.flush(sender) {
                next_ns = 0;
            }
        }
        next_ns
    }

    /// Queues a message; false if the connection is lost or its queue is full.
    fn make(&mut self, sender: u16, intended_ns: u64) -> bool {
        let index = usize::from(sender);
        let length = self.next_length(index);
        let filler_bytes = self.filler_frames.len();
        if !self.connections.is_connected(index)
            || !self.outgoing[index].has_room(length, filler_bytes)
        {
            return false;
        }
        self.made[index] += 1;
        self.outgoing[index].push_control(&self.filler_frames);
        let stamp = self.verifier.send(sender, intended_ns);
        self.outgoing[index].push(stamp, length, self.plan.tag);
        true
    }

    fn next_length(&self, sender: usize) -> u8 {
        self.plan.body_bytes[self.made[sender] % self.plan.body_bytes.len()]
    }

    fn flush_writable(&mut self) {
        for sender in self.share.of(self.plan.senders) {
            if !self.outgoing[sender].is_empty() && self.connections.is_writable(sender) {
                self.flush(sender);
            }
        }
        for client in std::mem::take(&mut self.replying) {
            if !self.flush(client) && self.connections.is_connected(client) {
                self.replying.push(client);
            }
        }
    }

    /// Writes what waits for `sender`; whether the socket may take more.
    fn flush(&mut self, sender: usize) -> bool {
        while !self.outgoing[sender].is_empty() {
            if self.share.threads > 1 {
                self.tell_of_writing(sender);
            }
            let outgoing = &mut self.outgoing[sender];
            let write = |socket: &mut _| outgoing.write_to(socket);
            if !self.connections.send(&self.clock, sender, write) {
                self.held_back[sender] = true;
                return false;
            }
            let now_ns = self.clock.now_ns();
            let receivers = self.connections.connected() as u32;
            while let Some((sequence, intended_ns)) = outgoing.take_written() {
                if self.share.threads == 1 {
                    self.verifier.written(sender as u16, sequence, now_ns, receivers);
                }
                self.messages_written_in_window += u64::from(self.window.contains(now_ns));
                if !self.window.contains(intended_ns) {
                    continue;
                }
                // What the server did not take at once says nothing about the generator.
                if self.held_back[sender] {
                    self.messages_held_back += 1;
                } else if self.plan.load.messages_per_second().is_some() {
                    self.schedule_lag.saturating_record(now_ns.saturating_sub(intended_ns));
                }
            }
        }
        self.held_back[sender] = false;
        true
    }

    /// Notes that what waits for `sender` is written now: another thread may receive it before the
    /// system call returns. What is not written wholly then is noted again.
    fn tell_of_writing(&mut self, sender: usize) {
        let receivers = self.connections.connected() as u32;
        let now_ns = self.clock.now_ns();
        for sequence in self.outgoing[sender].unwritten() {
            self.verifier.written(sender as u16, sequence, now_ns, receivers);
        }
    }

    fn receive(&mut self) {
        self.verifier.set_receivers_here(self.connections.connected_here() as u32);
        let Self { connections, clock, verifier, last_arrival_ns, .. } = self;
        let mut reply = None;
        connections.receive(clock, |client, bytes, now_ns| {
            *last_arrival_ns = now_ns;
            let control = verifier.receive(client, bytes, now_ns);
            reply = control.reply.map(|bytes| (client, bytes));
            control.error.map_or(Ok(()), Err)
        });
        if let Some((client, bytes)) = reply {
            self.send_control(client, bytes);
        }
    }

    /// Reads once from every connection that has something, without holding up what is due.
    fn receive_all(&mut self, until_ns: u64) {
        for _ in 0..self.connections.readable() {
            self.receive();
            if let Some(schedule) = &self.schedule
                && schedule.due_ns() <= self.clock.now_ns().min(until_ns - 1)
            {
                self.send_due(until_ns);
            }
        }
    }

    /// Receives what is under way; whether the server fell silent in time.
    fn drain(&mut self) -> Result<bool, Stop> {
        let start_ns = self.clock.now_ns();
        let deadline_ns = start_ns + nanoseconds(self.plan.drain_max);
        self.team.drain(self.share.index);
        while self.connections.connected() > 0 {
            self.flush_writable();
            while self.connections.has_readable() && self.clock.now_ns() < deadline_ns {
                self.receive();
            }
            let now_ns = self.clock.now_ns();
            let found = Found {
                last_arrival_ns: self.last_arrival_ns.max(start_ns),
                has_everything: self.has_everything_arrived(),
                has_readable: self.connections.has_readable(),
            };
            let until_ns = self.team.note(self.share.index, now_ns, self.plan.quiet, found);
            if let Some(is_quiet) = self.team.drained() {
                return Ok(is_quiet);
            }
            self.team.check()?;
            if now_ns >= deadline_ns {
                self.team.end_drain(false);
                continue;
            }
            self.connections.wait(&self.clock, until_ns.min(deadline_ns))?;
        }
        Ok(self.team.drained().unwrap_or(true))
    }

    /// Whether every connected client has received everything.
    fn has_everything_arrived(&self) -> bool {
        self.share.of(self.plan.clients).all(|client| {
            !self.connections.is_connected(client) || self.verifier.has_caught_up(client)
        })
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}
