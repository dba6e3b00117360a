//! The hot path: from received bytes to ledger entries and latencies. Pure, and in a steady state
//! free of allocations.

use crate::body::{self, PROBE_SENDER, Stamp};
use crate::filler::Filler;
use crate::flight::Flight;
use crate::ledger::{Entry, Ledger};
use crate::order_sample::OrderSample;
use crate::outcome::{Anomalies, Pairs};
use crate::plan::Plan;
use crate::schedule::Window;
use crate::wire::{Decode, Decoders, Inbound, WireFormat, with_decoder};
use hdrhistogram::Histogram;

/// The longest time a histogram tells apart; what took longer counts as this long.
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Messages under way, of all senders together, whose write times are remembered.
const FLIGHT_SLOTS: usize = 1 << 20;

/// An empty histogram of nanoseconds, up to [`LATENCY_NS_MAX`] with three significant digits.
///
/// # Panics
///
/// Never: the bounds are constants that the histogram accepts.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds are accepted")
}

/// Checks and times everything that is received in one trial.
#[derive(Debug)]
pub struct Verifier {
    wire: WireFormat,
    tag: u32,
    window: Window,
    late_after_ns: u64,
    ledger: Ledger,
    decoders: Decoders,
    /// Who has received a probe.
    served: Vec<bool>,
    flights: Vec<Flight>,
    filler: Filler,
    /// Filler messages that each client has received.
    filler_received: Vec<u64>,
    pub(crate) sample: OrderSample,
    pub(crate) counts: Counts,
    pub(crate) delivery: Histogram<u64>,
    pub(crate) service: Histogram<u64>,
    pub(crate) last_receiver: Histogram<u64>,
}

/// Sums over all receivers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) anomalies: Anomalies,
    /// Deliveries of messages of the window.
    delivered: u64,
    reordered: u64,
    pub(crate) late: u64,
    /// Everything genuine that arrived in the whole trial.
    pub(crate) genuine: u64,
    /// Everything genuine that arrived within the window.
    pub(crate) arrived: u64,
    pub(crate) bytes_arrived: u64,
}

/// What a server sent besides messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The answer that it is waiting for; repeated requests need one answer.
    pub reply: Option<&'static [u8]>,
    /// It reported an error, or does not speak the protocol: the connection must be closed.
    pub error: Option<String>,
}

/// How a trial ended for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was connected and nothing more arrived.
    Quiet,
    /// It was connected and messages were still arriving.
    Busy,
    /// It had lost its connection.
    Lost,
}

impl Verifier {
    /// A verifier for the messages of `plan`; none of them counts before [`open`](Self::open).
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let slots = (FLIGHT_SLOTS / plan.senders).max(1);
        Self {
            wire: plan.wire,
            tag: plan.tag,
            window: Window { start_ns: u64::MAX, end_ns: u64::MAX },
            late_after_ns: u64::try_from(plan.late_after.as_nanos()).unwrap_or(u64::MAX),
            ledger: Ledger::new(plan.clients, plan.senders),
            decoders: Decoders::new(plan.wire, plan.clients),
            served: vec![false; plan.clients],
            flights: vec![Flight::new(slots); plan.senders],
            filler: plan.filler,
            filler_received: vec![0; plan.clients],
            sample: OrderSample::new(plan.clients),
            counts: Counts::default(),
            delivery: histogram(),
            service: histogram(),
            last_receiver: histogram(),
        }
    }

    /// Sets the window whose messages count.
    pub fn open(&mut self, window: Window) {
        self.window = window;
    }

    /// How many clients have received a probe.
    #[must_use]
    pub fn served(&self) -> usize {
        self.served.iter().filter(|&&served| served).count()
    }

    /// Whether the latest message of every sender has reached `receiver`.
    #[must_use]
    pub fn has_caught_up(&self, receiver: usize) -> bool {
        self.ledger.has_caught_up(receiver)
    }

    /// Numbers the next message of `sender`, which was meant to be sent at `intended_ns`.
    #[inline]
    pub fn send(&mut self, sender: u16, intended_ns: u64) -> Stamp {
        let sequence = self.ledger.sent(sender);
        self.ledger.send(sender);
        self.sample.note(usize::from(sender), sender, sequence, false);
        if self.window.contains(intended_ns) {
            self.flights[usize::from(sender)].count(sequence);
        }
        Stamp { intended_ns, sequence, sender }
    }

    /// Notes a message that was due at `intended_ns` and that the server left no room to send.
    pub fn refuse(&mut self, sender: u16, intended_ns: u64) {
        if self.window.contains(intended_ns) {
            self.flights[usize::from(sender)].refused_in_window += 1;
        }
    }

    /// Notes that a message was wholly written, with `receivers` clients connected.
    #[inline]
    pub fn written(&mut self, sender: u16, sequence: u32, written_ns: u64, receivers: u32) {
        self.flights[usize::from(sender)].write(sequence, written_ns, receivers);
    }

    /// Checks and times all messages in `bytes`, which `receiver` received at `now_ns`; and what else
    /// the server sent there.
    ///
    /// The stream may be cut anywhere.
    pub fn receive(&mut self, receiver: usize, bytes: &[u8], now_ns: u64) -> Control {
        // The decoders are moved out and back so that the loop may borrow the rest of `self`.
        let mut decoders = std::mem::take(&mut self.decoders);
        let control = with_decoder!(&mut decoders, receiver, |decoder| {
            self.receive_all(decoder, receiver, bytes, now_ns)
        });
        self.decoders = decoders;
        control
    }

    /// [`receive`](Self::receive), compiled for each protocol.
    fn receive_all(
        &mut self,
        decoder: &mut impl Decode,
        receiver: usize,
        mut bytes: &[u8],
        now_ns: u64,
    ) -> Control {
        let arrived_in_window = self.window.contains(now_ns);
        let mut control = Control::default();
        while let Some(inbound) = decoder.decode(&mut bytes) {
            let body = match inbound {
                Inbound::Message(body) => body,
                Inbound::Ignored => continue,
                Inbound::Ping(reply) => {
                    control.reply = Some(reply);
                    continue;
                }
                Inbound::Error(reason) => {
                    control.error = Some(reason);
                    break;
                }
            };
            match body::verify(body, self.tag) {
                None if self.filler.is(body) => {
                    self.filler_received[receiver] += 1;
                    self.count_arrived(arrived_in_window, body);
                }
                None => self.counts.anomalies.corrupted += 1,
                Some(stamp) if stamp.sender == PROBE_SENDER => self.served[receiver] = true,
                Some(stamp) => {
                    let is_genuine = self.enter(receiver, stamp, now_ns);
                    self.count_arrived(is_genuine && arrived_in_window, body);
                }
            }
        }
        control
    }

    #[inline]
    fn count_arrived(&mut self, counts: bool, body: &[u8]) {
        if counts {
            self.counts.arrived += 1;
            self.counts.bytes_arrived += self.wire.received_bytes(body.len()) as u64;
        }
    }

    /// Enters one intact message; whether it is one that `receiver` was to receive.
    #[inline]
    fn enter(&mut self, receiver: usize, stamp: Stamp, now_ns: u64) -> bool {
        let counts = self.window.contains(stamp.intended_ns);
        self.sample.note(receiver, stamp.sender, stamp.sequence, true);
        match self.ledger.receive(receiver, stamp.sender, stamp.sequence) {
            Entry::Delivered => {
                self.counts.delivered += u64::from(counts);
            }
            Entry::Reordered => {
                self.counts.anomalies.reordered += 1;
                self.counts.reordered += u64::from(counts);
            }
            Entry::Duplicated => {
                self.counts.anomalies.duplicated += 1;
                return false;
            }
            Entry::Invented => {
                self.counts.anomalies.invented += 1;
                return false;
            }
        }
        self.counts.genuine += 1;
        let arrival = self.flights[usize::from(stamp.sender)].arrive(stamp.sequence);
        if counts {
            let latency_ns = now_ns.saturating_sub(stamp.intended_ns);
            self.delivery.saturating_record(latency_ns);
            self.counts.late += u64::from(latency_ns > self.late_after_ns);
            if let Some(arrival) = arrival {
                self.service.saturating_record(now_ns.saturating_sub(arrival.written_ns));
                if arrival.is_last {
                    self.last_receiver.saturating_record(latency_ns);
                }
            }
        }
        true
    }

    /// How many filler messages arrived of the `written` ones, summed over the clients, and how many
    /// more than those.
    #[must_use]
    pub fn filler(&self, written: u64) -> (u64, u64) {
        let sum = |of: &dyn Fn(u64) -> u64| self.filler_received.iter().map(|&it| of(it)).sum();
        (sum(&|received| received.min(written)), sum(&|received| received.saturating_sub(written)))
    }

    /// Where the pairs of the window ended up.
    ///
    /// `endings` has one entry per client, `written` the number of messages that each sender
    /// wholly wrote. With `charge_unsent`, messages that were due and never written count; without
    /// (a saturating sender always has one more), they do not.
    #[must_use]
    pub fn pairs(&self, endings: &[Ending], written: &[u32], charge_unsent: bool) -> Pairs {
        let clients = endings.len() as u64;
        let mut pairs = Pairs {
            delivered: self.counts.delivered,
            reordered: self.counts.reordered,
            ..Pairs::default()
        };
        let mut sent_pairs = 0;
        for (sender, (flight, &written)) in self.flights.iter().zip(written).enumerate() {
            let counted = &flight.counted;
            let end = counted.end.min(written).max(counted.start);
            sent_pairs += u64::from(end - counted.start) * clients;
            if charge_unsent {
                pairs.unsent += (u64::from(counted.end - end) + flight.refused_in_window) * clients;
            }
            for (receiver, ending) in endings.iter().enumerate() {
                // From here on, nothing of this sender has arrived.
                let next = self.ledger.next(receiver, sender as u16).max(counted.start);
                let tail = u64::from(end.saturating_sub(next));
                match ending {
                    Ending::Quiet => {}
                    Ending::Busy => pairs.pending += tail,
                    Ending::Lost => pairs.cut_off += tail,
                }
            }
        }
        let accounted = pairs.delivered + pairs.reordered + pairs.pending + pairs.cut_off;
        pairs.dropped = sent_pairs.saturating_sub(accounted);
        pairs
    }
}

#[cfg(test)]
mod tests;
