//! A trial on paper that is verified in both ways: by comparison with what another receiver was
//! sent, and message by message. Also what the fuzz target `verify_both_ways` steps through.

use std::time::Duration;

use zillions_load::body::{self, PROBE_SENDER, Stamp};
use zillions_load::{Ending, Filler, Load, Plan, Verifier, Window, WireFormat};

const TAG: u32 = 77;
const LENGTHS: [u8; 4] = [64, 18, 64, 255];

/// What may be wrong with a stream at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anomaly {
    /// A unit is missing.
    Lost,
    /// A unit comes twice.
    Repeated,
    /// Two units have changed places.
    Swapped,
    /// A bit of a unit is another one: of its header, its stamp or its padding.
    Flipped,
    /// A unit ends too early.
    Cut,
    /// A byte has come into a unit.
    Grown,
    /// A message that was not sent, but might have been.
    Invented,
    /// The message after the last one that was sent.
    Early,
    /// A message of a sender that does not exist.
    Stranger,
    /// A message of another trial.
    Foreign,
    /// A probe.
    Probe,
    /// A unit from long ago.
    Old,
    /// The receiver joined later: everything until now is missing.
    Joined,
    /// What a broker says beside messages.
    Control,
}

impl Anomaly {
    pub(crate) const ALL: [Self; 14] = [
        Self::Lost,
        Self::Repeated,
        Self::Swapped,
        Self::Flipped,
        Self::Cut,
        Self::Grown,
        Self::Invented,
        Self::Early,
        Self::Stranger,
        Self::Foreign,
        Self::Probe,
        Self::Old,
        Self::Joined,
        Self::Control,
    ];
}

/// What the server sends to one receiver.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// The unit of the log that comes next.
    next: usize,
    /// Sent, and not all of it received.
    bytes: Vec<u8>,
    /// How many of these were received; taken away together with the last of them, since to move
    /// the rest at every piece takes longer than all that is tested.
    received: usize,
    is_lost: bool,
}

impl Stream {
    /// The next `bytes` bytes, as far as there are so many: they are received.
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let end = self.received.saturating_add(bytes).min(self.bytes.len());
        let piece = self.bytes[self.received..end].to_vec();
        self.received = end;
        if end == self.bytes.len() {
            self.bytes.clear();
            self.received = 0;
        }
        piece
    }
}

pub(crate) struct BothWays {
    plan: Plan,
    by_comparison: Verifier,
    one_by_one: Verifier,
    /// Those of several threads; none if there is only one.
    of_threads: Vec<Verifier>,
    now_ns: u64,
    written: Vec<u32>,
    /// The units that the server received, in its order.
    log: Vec<Vec<u8>>,
    streams: Vec<Stream>,
}

impl BothWays {
    /// Verified in both ways, and a third time as on `threads` threads, if that is more than one.
    pub(crate) fn on_threads(
        threads: usize,
        wire: WireFormat,
        clients: usize,
        senders: usize,
        filler: Filler,
    ) -> Self {
        let plan = Plan {
            wire,
            clients,
            senders,
            stalled: 0,
            churn_per_second: 0.0,
            filler,
            split_writes: false,
            load: Load::Saturate,
            body_bytes: LENGTHS.to_vec(),
            warm_up: Duration::ZERO,
            measure: Duration::from_secs(1),
            late_after: Duration::from_micros(40),
            quiet: Duration::ZERO,
            drain_max: Duration::ZERO,
            ready_max: Duration::ZERO,
            load_threads: threads,
            tag: TAG,
        };
        plan.check().expect("a plan that can be carried out");
        let mut trial = Self {
            by_comparison: Verifier::new(&plan),
            one_by_one: Verifier::one_by_one(&plan),
            of_threads: if threads > 1 { Verifier::for_threads(&plan) } else { Vec::new() },
            now_ns: 1_000,
            written: vec![0; senders],
            log: Vec::new(),
            streams: vec![Stream::default(); clients],
            plan,
        };
        // Whatever comes before or after it counts differently.
        trial.all(|it| it.open(Window { start_ns: 2_000, end_ns: 400_000 }));
        trial
    }

    /// A trial that the first byte of a script chooses.
    pub(crate) fn chosen_by(byte: u8) -> Self {
        let wire =
            [WireFormat::Zillions, WireFormat::Zillions, WireFormat::Nats, WireFormat::Redis];
        let wire = wire[usize::from(byte) % 4];
        let with_filler = wire == WireFormat::Zillions && byte & 4 != 0;
        let filler = Filler { per_message: u32::from(with_filler) * 2, bytes: byte >> 3 & 1 };
        let senders = 1 + usize::from(byte >> 4) % 3;
        let threads = if byte & 0x80 == 0 { 1 } else { 3 };
        let mut trial = Self::on_threads(threads, wire, 4, senders, filler);
        trial.open_samples();
        trial
    }

    /// One step, whatever the bytes are.
    pub(crate) fn step(&mut self, [kind, a, b, c]: [u8; 4]) {
        let receiver = usize::from(a) % self.plan.clients;
        match kind % 8 {
            0 | 1 => {
                let sender = u16::from(a) % self.plan.senders as u16;
                self.send(sender, LENGTHS[usize::from(b) % LENGTHS.len()], c % 40 + 1);
            }
            2 => (0..self.plan.clients).for_each(|receiver| self.deliver(receiver, usize::MAX)),
            3 => self.deliver(receiver, b.into()),
            4 => {
                let anomaly = Anomaly::ALL[usize::from(b) % Anomaly::ALL.len()];
                self.deliver_wrongly(receiver, anomaly, c.into());
            }
            5 | 6 => self.receive(receiver, usize::from(b) << (c % 8)),
            _ => self.now_ns += u64::from(a) * 100,
        }
    }

    fn both(&mut self, mut act: impl FnMut(&mut Verifier)) {
        act(&mut self.by_comparison);
        act(&mut self.one_by_one);
    }

    fn all(&mut self, mut act: impl FnMut(&mut Verifier)) {
        self.both(&mut act);
        self.of_threads.iter_mut().for_each(act);
    }

    /// The thread that `client` belongs to, if there are several, with its connected receivers.
    fn thread_of(&mut self, client: usize) -> Option<&mut Verifier> {
        let threads = self.of_threads.len();
        let thread = client.checked_rem(threads)?;
        let mates = self.streams.iter().skip(thread).step_by(threads);
        let connected = mates.filter(|it| !it.is_lost).count() as u32;
        let verifier = &mut self.of_threads[thread];
        verifier.set_receivers_here(connected);
        Some(verifier)
    }

    /// `number` messages that are due at once and are written with two calls.
    pub(crate) fn send(&mut self, sender: u16, length: u8, number: u8) {
        let due_ns = self.now_ns;
        let connected = self.streams.iter().filter(|it| !it.is_lost).count() as u32;
        for index in 0..number {
            let stamp = self.by_comparison.send(sender, due_ns);
            assert_eq!(stamp, self.one_by_one.send(sender, due_ns));
            if let Some(thread) = self.thread_of(sender.into()) {
                assert_eq!(stamp, thread.send(sender, due_ns));
            }
            let written_ns = due_ns + 10 + u64::from(index >= number / 2) * 500;
            // Of some messages fewer receivers are known than receive them. (Each of several threads
            // knows its own.)
            let unknown = u32::from(stamp.sequence % 7 == 6 && self.of_threads.is_empty()) * 2;
            let receivers = connected.saturating_sub(unknown);
            self.both(|it| it.written(sender, stamp.sequence, written_ns, receivers));
            if let Some(thread) = self.thread_of(sender.into()) {
                // The first attempt did not take all of it.
                thread.written(sender, stamp.sequence, due_ns, receivers);
                thread.written(sender, stamp.sequence, written_ns, receivers);
            }
            self.written[usize::from(sender)] += 1;
            let filler = self.plan.filler;
            for _ in 0..filler.per_message {
                self.log.push(received(self.plan.wire, &vec![0xa5; filler.bytes.into()]));
            }
            self.log.push(self.message(stamp, length, TAG));
        }
        self.now_ns += 1_000;
    }

    fn message(&self, stamp: Stamp, length: u8, tag: u32) -> Vec<u8> {
        let mut body = Vec::new();
        body::append(stamp, length, tag, &mut body);
        received(self.plan.wire, &body)
    }

    /// The server sends `number` units to `receiver`, as far as there are so many.
    pub(crate) fn deliver(&mut self, receiver: usize, number: usize) {
        let stream = &mut self.streams[receiver];
        let end = stream.next.saturating_add(number).min(self.log.len());
        for unit in &self.log[stream.next.min(end)..end] {
            stream.bytes.extend_from_slice(unit);
        }
        stream.next = stream.next.max(end);
    }

    /// The server does something wrong at the next unit of `receiver`; `choice` says where in it.
    pub(crate) fn deliver_wrongly(&mut self, receiver: usize, anomaly: Anomaly, choice: usize) {
        let Stream { next, .. } = self.streams[receiver];
        let Some(mut unit) = self.log.get(next).cloned() else { return };
        let at = choice % unit.len();
        let (mut taken, sequence) = (1, self.written[0]);
        let stamp = Stamp { intended_ns: self.now_ns, sequence, sender: 0 };
        match anomaly {
            Anomaly::Lost => unit.clear(),
            Anomaly::Repeated => unit = unit.repeat(2),
            Anomaly::Swapped => {
                let other = self.log.get(next + 1).cloned().unwrap_or_default();
                taken += usize::from(!other.is_empty());
                unit = [other, unit].concat();
            }
            Anomaly::Flipped => unit[at] ^= 1 << (choice % 8),
            Anomaly::Cut => unit.truncate(at),
            Anomaly::Grown => unit.insert(at, choice as u8),
            Anomaly::Invented => {
                unit = self.message(Stamp { sequence: sequence + 1_000, ..stamp }, 64, TAG);
            }
            Anomaly::Early => unit = self.message(stamp, 64, TAG),
            Anomaly::Stranger => unit = self.message(Stamp { sender: 900, ..stamp }, 64, TAG),
            Anomaly::Foreign => unit = self.message(Stamp { sequence: 0, ..stamp }, 64, TAG + 1),
            Anomaly::Probe => {
                unit = self.message(Stamp { sender: PROBE_SENDER, ..stamp }, 64, TAG);
            }
            Anomaly::Old => (unit, taken) = (self.log[choice % (next + 1)].clone(), 0),
            Anomaly::Joined => (unit, taken) = (Vec::new(), self.log.len() - next),
            Anomaly::Control => {
                unit = match self.plan.wire {
                    WireFormat::Zillions => vec![0],
                    WireFormat::Nats => b"PING\r\n".to_vec(),
                    WireFormat::Redis => b"+OK\r\n".to_vec(),
                };
                taken = 0;
            }
        }
        let stream = &mut self.streams[receiver];
        stream.bytes.extend(unit);
        stream.next += taken;
    }

    /// `receiver` receives `bytes` bytes at once, as far as there are so many.
    pub(crate) fn receive(&mut self, receiver: usize, bytes: usize) {
        let stream = &mut self.streams[receiver];
        if stream.is_lost {
            return;
        }
        let piece = stream.take(bytes);
        let control = self.by_comparison.receive(receiver, &piece, self.now_ns);
        assert_eq!(control, self.one_by_one.receive(receiver, &piece, self.now_ns));
        let now_ns = self.now_ns;
        if let Some(thread) = self.thread_of(receiver) {
            assert_eq!(control, thread.receive(receiver, &piece, now_ns));
        }
        let stream = &mut self.streams[receiver];
        stream.is_lost = control.error.is_some();
        self.now_ns += 100;
        let caught_up = self.by_comparison.has_caught_up(receiver);
        assert_eq!(caught_up, self.one_by_one.has_caught_up(receiver));
        if let Some(thread) = self.thread_of(receiver) {
            assert_eq!(caught_up, thread.has_caught_up(receiver));
        }
    }

    /// `receiver` receives everything that it was sent, in pieces of `piece_bytes` bytes.
    pub(crate) fn receive_all(&mut self, receiver: usize, piece_bytes: usize) {
        while !self.streams[receiver].is_lost && !self.streams[receiver].bytes.is_empty() {
            self.receive(receiver, piece_bytes);
        }
    }

    /// Everything arrives, and the two accounts agree; how many messages were compared so far.
    pub(crate) fn finish(&mut self) -> u64 {
        for receiver in 0..self.plan.clients {
            self.deliver(receiver, usize::MAX);
            self.receive_all(receiver, 300);
        }
        // Not `assert_eq`: the accounts have hundreds of thousands of numbers.
        assert!(self.by_comparison.account() == self.one_by_one.account(), "the accounts differ");
        for ending in [Ending::Quiet, Ending::Busy, Ending::Lost] {
            let endings = vec![ending; self.plan.clients];
            let pairs = self.by_comparison.pairs(&endings, &self.written, true);
            assert_eq!(pairs, self.one_by_one.pairs(&endings, &self.written, true));
        }
        assert_eq!(self.by_comparison.filler(3), self.one_by_one.filler(3));
        assert_eq!(self.one_by_one.compared(), 0);
        self.by_comparison.compared()
    }

    /// From now on, events are kept in the samples of the order.
    pub(crate) fn open_samples(&mut self) {
        self.all(Verifier::open_sample);
    }

    /// Everything arrives, and the threads, if there are several, together have the account of one.
    pub(crate) fn finish_threads(mut self) {
        self.finish();
        let threads = std::mem::take(&mut self.of_threads);
        let Some(merged) = Verifier::merge(threads) else { return };
        let (several, one) = (merged.account().clone(), self.one_by_one.account().clone());
        assert_eq!(several.sample(), one.sample());
        assert!(several == one.settled(), "the accounts differ");
        for ending in [Ending::Quiet, Ending::Busy, Ending::Lost] {
            let endings = vec![ending; self.plan.clients];
            let pairs = merged.pairs(&endings, &self.written, true);
            assert_eq!(pairs, self.one_by_one.pairs(&endings, &self.written, true));
        }
        assert_eq!(merged.filler(3), self.one_by_one.filler(3));
    }
}

/// A message with `body` as a server sends it.
fn received(wire: WireFormat, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let (opening, end) = match wire {
        WireFormat::Zillions => (vec![length as u8], &b""[..]),
        WireFormat::Nats => (format!("MSG z 1 {length}\r\n").into_bytes(), &b"\r\n"[..]),
        WireFormat::Redis => {
            let opening = format!(">3\r\n$7\r\nmessage\r\n$1\r\nz\r\n${length}\r\n");
            (opening.into_bytes(), &b"\r\n"[..])
        }
    };
    [&opening, body, end].concat()
}
