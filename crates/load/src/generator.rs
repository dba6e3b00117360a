//! The loop of a trial: the thin part that touches sockets and the clock.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use zillions_harness::MachineFault;

use crate::account::{Ending, histogram};
use crate::body::{PROBE_SENDER, Stamp};
use crate::churn::{Churn, ChurnCounts};
use crate::clock::{Clock, ThreadMeter};
use crate::closed_loop::ClosedLoop;
use crate::connections::Connections;
use crate::error::{LoadError, Phase};
use crate::outcome::{Extras, GeneratorUse, Latencies, Outcome, Traffic};
use crate::outgoing::Outgoing;
use crate::plan::{Load, Plan};
use crate::schedule::{Schedule, Window};
use crate::verifier::Verifier;

/// A saturating sender makes its messages in chunks of about this size.
const CHUNK_BYTES: usize = 16 * 1024;

/// Between the last probe and the first message that is due.
const LEAD_NS: u64 = 1_000_000;

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

/// Carries out `plan` against the service at `addresses`, on the calling thread. Clients connect to
/// them in turn, and each message must reach the clients of all of them, in one order.
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
/// Without an address.
pub fn run_spread(
    addresses: &[SocketAddr],
    plan: &Plan,
    mut observe: impl FnMut(Phase),
) -> Result<Outcome, LoadError> {
    assert!(!addresses.is_empty(), "a server has an address");
    plan.check()?;
    let mut generator = Generator::connect(addresses, plan)?;
    generator.await_service()?;
    observe(Phase::WarmUp);
    let start_ns = generator.clock.now_ns() + LEAD_NS;
    let measure_ns = start_ns + nanoseconds(plan.warm_up);
    let window = Window { start_ns: measure_ns, end_ns: measure_ns + nanoseconds(plan.measure) };
    generator.begin(addresses, start_ns, window);
    generator.load_until(window.start_ns)?;
    generator.verifier.account.sample.open();
    let before = (generator.meter.read(), generator.connections.reads);
    observe(Phase::Measure);
    generator.load_until(window.end_ns)?;
    let after = (generator.meter.read(), generator.connections.reads);
    observe(Phase::Drain);
    let is_quiet = generator.drain()?;
    let used = GeneratorUse::between(before, after);
    Ok(generator.outcome(start_ns, window, is_quiet, used))
}

struct Generator<'plan> {
    plan: &'plan Plan,
    clock: Clock,
    meter: ThreadMeter,
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

impl<'plan> Generator<'plan> {
    fn connect(addresses: &[SocketAddr], plan: &'plan Plan) -> Result<Self, LoadError> {
        let clients = plan.clients;
        // Where the one that failed was to connect to.
        let turn = |connected: usize| addresses[connected % addresses.len()];
        let failed =
            |(connected, source)| LoadError::connect(turn(connected), connected, clients, source);
        let mut connections =
            Connections::open(addresses, clients, plan.split_writes, plan.ready_max)
                .map_err(failed)?;
        connections
            .open_stalled(addresses, plan.stalled, plan.wire.hello(false), plan.ready_max)
            .map_err(|(stalled, source)| {
            let all = clients + plan.stalled;
            LoadError::connect(turn(stalled), clients + stalled, all, source)
        })?;
        let mut generator = Self {
            plan,
            clock: Clock::start(),
            meter: ThreadMeter::new(),
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
            verifier: Verifier::new(plan),
            schedule_lag: histogram(),
            messages_written_in_window: 0,
            last_arrival_ns: 0,
        };
        for client in 0..clients {
            generator.send_control(client, plan.wire.hello(client < plan.senders));
        }
        Ok(generator)
    }

    /// Sends probes until every client has received one: connected is not yet accepted.
    fn await_service(&mut self) -> Result<(), LoadError> {
        let clients = self.plan.clients;
        let deadline_ns = self.clock.now_ns() + nanoseconds(self.plan.ready_max);
        let (mut probe_ns, mut sequence) = (0, 0);
        let mut served = 0;
        while served < clients {
            let now_ns = self.clock.now_ns();
            if let Some(lost) = self.connections.lost.first() {
                let (client, reason) = (lost.client, lost.reason.clone());
                return Err(LoadError::LostEarly { client, clients, reason });
            }
            if now_ns >= deadline_ns {
                let seconds = self.plan.ready_max.as_secs_f64();
                return Err(LoadError::NotServed { served, clients, seconds });
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
            self.flush_writable();
            self.connections.wait(&self.clock, probe_ns.min(deadline_ns))?;
            while self.connections.has_readable() {
                self.receive();
            }
            served = self.verifier.served();
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

    fn begin(&mut self, addresses: &[SocketAddr], start_ns: u64, window: Window) {
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
        self.churn =
            (self.plan.churn_per_second > 0.0).then(|| Churn::new(addresses, self.plan, start_ns));
    }

    /// Sends and receives until `until_ns`.
    fn load_until(&mut self, until_ns: u64) -> Result<(), LoadError> {
        while self.clock.now_ns() < until_ns {
            self.check_connected()?;
            let next_ns = match self.plan.load {
                Load::FixedRate { .. } | Load::Burst { .. } => self.send_due(until_ns),
                Load::EveryoneAtOnce => self.next_round(),
                Load::Saturate => self.saturate(),
            };
            let now_ns = self.clock.now_ns();
            let churn_ns = self.advance_churn(now_ns.min(until_ns - 1))?;
            let idle_ns = if self.connections.has_readable() { 0 } else { next_ns.min(churn_ns) };
            self.connections.wait(&self.clock, idle_ns.min(until_ns))?;
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
        for sender in 0..self.plan.senders {
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
        for sender in 0..self.plan.senders {
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
        let outgoing = &mut self.outgoing[sender];
        while !outgoing.is_empty() {
            let write = |socket: &mut _| outgoing.write_to(socket);
            if !self.connections.send(&self.clock, sender, write) {
                self.held_back[sender] = true;
                return false;
            }
            let now_ns = self.clock.now_ns();
            let receivers = self.connections.connected() as u32;
            while let Some((sequence, intended_ns)) = outgoing.take_written() {
                self.verifier.written(sender as u16, sequence, now_ns, receivers);
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

    fn receive(&mut self) {
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
    fn drain(&mut self) -> Result<bool, LoadError> {
        let start_ns = self.clock.now_ns();
        let deadline_ns = start_ns + nanoseconds(self.plan.drain_max);
        while self.connections.connected() > 0 {
            self.flush_writable();
            while self.connections.has_readable() && self.clock.now_ns() < deadline_ns {
                self.receive();
            }
            let now_ns = self.clock.now_ns();
            let quiet =
                if self.has_everything_arrived() { self.plan.quiet / 3 } else { self.plan.quiet };
            let quiet_at_ns = self.last_arrival_ns.max(start_ns) + nanoseconds(quiet);
            if now_ns >= quiet_at_ns && !self.connections.has_readable() {
                return Ok(true);
            }
            if now_ns >= deadline_ns {
                return Ok(false);
            }
            self.connections.wait(&self.clock, quiet_at_ns.min(deadline_ns))?;
        }
        Ok(true)
    }

    /// Whether every connected client has received everything.
    fn has_everything_arrived(&self) -> bool {
        (0..self.plan.clients).all(|client| {
            !self.connections.is_connected(client) || self.verifier.has_caught_up(client)
        })
    }

    fn outcome(
        mut self,
        start_ns: u64,
        window: Window,
        is_quiet: bool,
        used: GeneratorUse,
    ) -> Outcome {
        let ending = |client| match (self.connections.is_connected(client), is_quiet) {
            (false, _) => Ending::Lost,
            (true, true) => Ending::Quiet,
            (true, false) => Ending::Busy,
        };
        let endings: Vec<_> = (0..self.plan.clients).map(ending).collect();
        let senders = &self.outgoing[..self.plan.senders];
        let written: Vec<_> = senders.iter().map(Outgoing::messages_written).collect();
        let charge_unsent = self.plan.load.messages_per_second().is_some();
        let pairs = self.verifier.pairs(&endings, &written, charge_unsent);
        for lost in &mut self.connections.lost {
            lost.at_seconds -= start_ns as f64 / 1e9;
        }
        let extras = self.extras(written.iter().copied().map(u64::from).sum());
        let counts = self.verifier.account.counts;
        Outcome {
            pairs,
            anomalies: counts.anomalies,
            traffic: Traffic {
                messages_written: self.messages_written_in_window,
                messages_held_back: self.messages_held_back,
                deliveries_arrived: counts.arrived,
                bytes_arrived: counts.bytes_arrived,
                window_seconds: window.seconds(),
                late: counts.late,
            },
            latencies: Latencies {
                delivery: self.verifier.account.delivery,
                service: self.verifier.account.service,
                last_receiver: self.verifier.account.last_receiver,
                schedule_lag: self.schedule_lag,
            },
            generator: used,
            extras,
            sample: self.verifier.account.sample,
            are_all_lost: self.connections.connected() == 0,
            lost: self.connections.lost,
        }
    }

    /// What only some plans ask for; `written` messages were written in the whole trial.
    fn extras(&mut self, written: u64) -> Extras {
        let churn = self.churn.as_ref().map_or_else(ChurnCounts::default, |it| it.counts);
        let filler_written = written * u64::from(self.plan.filler.per_message);
        let (filler_delivered, filler_surplus) = self.verifier.filler(filler_written);
        self.verifier.account.counts.anomalies.corrupted += churn.corrupted;
        self.verifier.account.counts.anomalies.invented += filler_surplus;
        Extras {
            filler_expected: filler_written * self.plan.clients as u64,
            filler_delivered,
            churn,
            stalled_disconnected: self.connections.stalled_disconnected(),
            rounds: self.closed_loop.counts(self.verifier.account.counts.genuine, self.window),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}
