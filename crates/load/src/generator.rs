//! The loop of a trial: the thin part that touches sockets and the clock.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::body::{PROBE_SENDER, Stamp};
use crate::clock::{Clock, ThreadMeter};
use crate::connections::Connections;
use crate::error::{LoadError, Phase};
use crate::outcome::{Extras, GeneratorUse, Latencies, Outcome, Traffic};
use crate::outgoing::Outgoing;
use crate::plan::{Load, Plan};
use crate::rounds::Rounds;
use crate::schedule::{Schedule, Window};
use crate::verifier::{Ending, Verifier, histogram};
use crate::visitors::{VisitCounts, Visitors};

/// A saturating sender makes its messages in chunks of about this size.
const CHUNK_BYTES: usize = 16 * 1024;

/// Between the last probe and the first message that is due.
const LEAD_NS: u64 = 1_000_000;

/// A probe that has not reached everybody is followed by the next one after this time, at least …
const PROBE_AGAIN_NS: u64 = 100_000_000;

/// … and in a crowd after this time per client: a slow server would be busy with nothing else.
const PROBE_AGAIN_PER_CLIENT_NS: u64 = 100_000;

/// Carries out `plan` against the server at `address`, on the calling thread.
///
/// A connection that is lost on the way is recorded in the outcome. The time it takes is bounded by
/// the times of the plan.
///
/// # Errors
///
/// [`LoadError`] if the load could not be brought about, or if no connection outlived the window.
pub fn run(
    address: SocketAddr,
    plan: &Plan,
    mut observe: impl FnMut(Phase),
) -> Result<Outcome, LoadError> {
    plan.check()?;
    let mut generator = Generator::connect(address, plan)?;
    generator.await_service()?;
    observe(Phase::WarmUp);
    let start_ns = generator.clock.now_ns() + LEAD_NS;
    let measure_ns = start_ns + nanoseconds(plan.warm_up);
    let window = Window { start_ns: measure_ns, end_ns: measure_ns + nanoseconds(plan.measure) };
    generator.begin(address, start_ns, window);
    generator.load_until(window.start_ns)?;
    generator.verifier.sample.open();
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
    /// Per client; those that do not send only answer.
    outgoing: Vec<Outgoing>,
    /// Clients beyond the senders whose answers wait for their sockets.
    answering: Vec<usize>,
    /// Per client: whether its socket was full and what was queued then is not yet written.
    held_back: Vec<bool>,
    messages_held_back: u64,
    /// Per sender: how many messages it has made, to take the lengths of bodies in turn.
    made: Vec<usize>,
    schedule: Option<Schedule>,
    rounds: Rounds,
    visitors: Option<Visitors>,
    /// The frames of the tiny messages that go before each message.
    tiny_frames: Vec<u8>,
    window: Window,
    verifier: Verifier,
    schedule_lag: Histogram<u64>,
    messages_written_in_window: u64,
    last_arrival_ns: u64,
}

impl<'plan> Generator<'plan> {
    fn connect(address: SocketAddr, plan: &'plan Plan) -> Result<Self, LoadError> {
        let clients = plan.clients;
        let failed =
            |(connected, source)| LoadError::Connect { address, connected, clients, source };
        let mut connections =
            Connections::open(address, clients, plan.ready_max).map_err(failed)?;
        connections
            .open_stalled(address, plan.stalled, plan.wire.hello(false), plan.ready_max)
            .map_err(|(stalled, source)| LoadError::Connect {
                address,
                connected: clients + stalled,
                clients: clients + plan.stalled,
                source,
            })?;
        let mut generator = Self {
            plan,
            clock: Clock::start(),
            meter: ThreadMeter::new(),
            connections,
            outgoing: (0..clients).map(|_| Outgoing::new(plan.wire)).collect(),
            answering: Vec::new(),
            held_back: vec![false; clients],
            messages_held_back: 0,
            made: vec![0; plan.senders],
            schedule: None,
            rounds: Rounds::default(),
            visitors: None,
            tiny_frames: plan.tiny.frames(),
            window: Window { start_ns: u64::MAX, end_ns: u64::MAX },
            verifier: Verifier::new(plan),
            schedule_lag: histogram(),
            messages_written_in_window: 0,
            last_arrival_ns: 0,
        };
        for client in 0..clients {
            generator.say(client, plan.wire.hello(client < plan.senders));
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
                self.say(0, &probe);
                sequence += 1;
                let crowd_ns = clients as u64 * PROBE_AGAIN_PER_CLIENT_NS;
                probe_ns = now_ns + PROBE_AGAIN_NS.max(crowd_ns);
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

    /// Writes what is no message of the load, after what waits already.
    fn say(&mut self, client: usize, words: &[u8]) {
        self.outgoing[client].push_words(words);
        if !self.flush(client) && client >= self.plan.senders && !self.answering.contains(&client) {
            self.answering.push(client);
        }
    }

    fn begin(&mut self, address: SocketAddr, start_ns: u64, window: Window) {
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
        self.visitors = (self.plan.visits_per_second > 0.0)
            .then(|| Visitors::new(address, self.plan, start_ns));
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
            let visit_ns = self.visitors.as_mut().map_or(u64::MAX, |it| it.turn(now_ns));
            let idle_ns = if self.connections.has_readable() { 0 } else { next_ns.min(visit_ns) };
            self.connections.wait(&self.clock, idle_ns.min(until_ns))?;
            self.receive_all(until_ns);
        }
        // A generator that was held up still owes what was due before the end.
        self.send_due(until_ns);
        Ok(())
    }

    /// Lets everybody send if all have received what was sent before; until when to wait.
    fn next_round(&mut self) -> u64 {
        let (now_ns, delivered) = (self.clock.now_ns(), self.verifier.counts.genuine);
        if !self.rounds.is_due(now_ns, delivered, self.window) {
            self.flush_writable();
            return self.rounds.deadline_ns();
        }
        let made = (0..self.plan.senders).filter(|&it| self.make(it as u16, now_ns)).count();
        (0..self.plan.senders).for_each(|sender| {
            self.flush(sender);
        });
        let expected = (made * self.connections.connected()) as u64;
        self.rounds.begin(now_ns, delivered, expected)
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
        let tiny_bytes = self.tiny_frames.len();
        if !self.connections.is_connected(index)
            || !self.outgoing[index].has_room(length, tiny_bytes)
        {
            return false;
        }
        self.made[index] += 1;
        self.outgoing[index].push_words(&self.tiny_frames);
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
        for client in std::mem::take(&mut self.answering) {
            if !self.flush(client) && self.connections.is_connected(client) {
                self.answering.push(client);
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
        let mut answer = None;
        connections.receive(clock, |client, bytes, now_ns| {
            *last_arrival_ns = now_ns;
            let aside = verifier.receive(client, bytes, now_ns);
            answer = aside.answer.map(|words| (client, words));
            aside.refusal.map_or(Ok(()), Err)
        });
        if let Some((client, words)) = answer {
            self.say(client, words);
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

    /// Receives what is under way; whether all of it came within the time.
    fn drain(&mut self) -> Result<bool, LoadError> {
        let start_ns = self.clock.now_ns();
        let deadline_ns = start_ns + nanoseconds(self.plan.drain_max);
        while self.connections.connected() > 0 {
            self.flush_writable();
            while self.connections.has_readable() && self.clock.now_ns() < deadline_ns {
                self.receive();
            }
            let now_ns = self.clock.now_ns();
            let quiet = if self.is_all_there() { self.plan.quiet / 3 } else { self.plan.quiet };
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

    /// Whether nothing is under way: nobody waits for a message any more.
    fn is_all_there(&self) -> bool {
        (0..self.plan.clients).all(|client| {
            !self.connections.is_connected(client) || self.verifier.is_at_the_end(client)
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
        let counts = self.verifier.counts;
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
                delivery: self.verifier.delivery,
                service: self.verifier.service,
                last_receiver: self.verifier.last_receiver,
                schedule_lag: self.schedule_lag,
            },
            generator: used,
            extras,
            sample: self.verifier.sample,
            lost: self.connections.lost,
        }
    }

    /// What only some plans ask for; `written` messages were written in the whole trial.
    fn extras(&mut self, written: u64) -> Extras {
        let visits = self.visitors.as_ref().map_or_else(VisitCounts::default, |it| it.counts);
        let tiny_written = written * u64::from(self.plan.tiny.per_message);
        let (tiny_delivered, tiny_more) = self.verifier.tiny(tiny_written);
        self.verifier.counts.anomalies.corrupted += visits.corrupted;
        self.verifier.counts.anomalies.invented += tiny_more;
        Extras {
            tiny_expected: tiny_written * self.plan.clients as u64,
            tiny_delivered,
            visits,
            stalled_disconnected: self.connections.stalled_disconnected(),
            rounds: self.rounds.counts,
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}
