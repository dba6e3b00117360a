//! Where every delivery of one trial is entered: ledger, counts, histograms. One message at a time,
//! or many at once; both leave the same account.

use std::ops::Range;

use hdrhistogram::Histogram;

use crate::body::Stamp;
use crate::flight::{Arrival, Arrivals, Flight};
use crate::ledger::{Entry, Ledger};
use crate::order_sample::OrderSample;
use crate::outcome::{Anomalies, Pairs};
use crate::plan::Plan;
use crate::schedule::Window;
use crate::share::Share;
use crate::shared_flight::SharedFlights;
use crate::wire::WireFormat;

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

/// Everything that is known of the deliveries of one trial.
///
/// Two accounts are equal if they agree in every pair of the ledger, every count, every bucket of
/// every histogram, and in the order of the sampled events.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    wire: WireFormat,
    window: Window,
    late_after_ns: u64,
    ledger: Ledger,
    /// Who has received a probe.
    served: Vec<bool>,
    flights: Vec<Flight>,
    /// What this thread has in common with others; absent if there are none.
    shared: Option<SharedFlights>,
    /// Clients of this thread that are connected, where there are others.
    pub(crate) receivers_here: u32,
    /// Filler messages that each client has received.
    filler_received: Vec<u64>,
    pub(crate) sample: OrderSample,
    pub(crate) counts: Counts,
    pub(crate) delivery: Histogram<u64>,
    pub(crate) service: Histogram<u64>,
    pub(crate) last_receiver: Histogram<u64>,
}

/// Sums over all receivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Messages of one sender with consecutive sequences that share everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The stamp of the first one.
    pub(crate) first: Stamp,
    /// When each of them was wholly written.
    pub(crate) written_ns: u64,
    /// The length of each body.
    pub(crate) body_bytes: u8,
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

impl Account {
    pub(crate) fn new(plan: &Plan) -> Self {
        let slots = (FLIGHT_SLOTS / plan.senders).max(1);
        Self {
            wire: plan.wire,
            window: Window { start_ns: u64::MAX, end_ns: u64::MAX },
            late_after_ns: u64::try_from(plan.late_after.as_nanos()).unwrap_or(u64::MAX),
            ledger: Ledger::new(plan.clients, plan.senders),
            served: vec![false; plan.clients],
            flights: vec![Flight::new(slots); plan.senders],
            shared: None,
            receivers_here: 0,
            filler_received: vec![0; plan.clients],
            sample: OrderSample::new(plan.clients, plan.threads()),
            counts: Counts::default(),
            delivery: histogram(),
            service: histogram(),
            last_receiver: histogram(),
        }
    }

    /// Accounts of the receivers of each of the plan's threads.
    pub(crate) fn for_threads(plan: &Plan) -> Vec<Self> {
        let whole = Self::new(plan);
        if plan.threads() == 1 {
            return vec![whole];
        }
        let slots = (FLIGHT_SLOTS / plan.senders).max(1);
        let shared = SharedFlights::new(plan.senders, slots);
        let of_thread = |share: Share| Self {
            ledger: whole.ledger.sharing(),
            shared: Some(shared.clone()),
            receivers_here: share.of(plan.clients).count() as u32,
            ..Self::new(plan)
        };
        Share::all(plan.threads()).map(of_thread).collect()
    }

    /// The account of all receivers, from those of every thread, in order. What is under way
    /// is left out, unless there is only one.
    pub(crate) fn merge(mut accounts: Vec<Self>) -> Option<Self> {
        let threads = accounts.len();
        if threads <= 1 {
            return accounts.pop();
        }
        let samples = accounts.iter_mut().map(|it| std::mem::take(&mut it.sample)).collect();
        let mut accounts = accounts.into_iter().zip(Share::all(threads));
        let (mut merged, _) = accounts.next()?;
        for (account, share) in accounts {
            merged.take_over(account, share);
        }
        merged.sample = OrderSample::merge(samples);
        (merged.shared, merged.receivers_here) = (None, 0);
        Some(merged.settled())
    }

    /// Takes over what the thread of `share` has found of its receivers and its senders.
    fn take_over(&mut self, mut other: Self, share: Share) {
        self.ledger.take_over(other.ledger, share);
        for client in share.of(self.served.len()) {
            self.served[client] = other.served[client];
            self.filler_received[client] = other.filler_received[client];
        }
        for sender in share.of(self.flights.len()) {
            std::mem::swap(&mut self.flights[sender], &mut other.flights[sender]);
        }
        self.counts.add(&other.counts);
        for (all, more) in [
            (&mut self.delivery, &other.delivery),
            (&mut self.service, &other.service),
            (&mut self.last_receiver, &other.last_receiver),
        ] {
            add_histogram(all, more);
        }
    }

    /// What a few clients sent and received, in order.
    #[must_use]
    pub fn sample(&self) -> &OrderSample {
        &self.sample
    }

    /// The same, without the messages that are under way.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.flights = self.flights.into_iter().map(Flight::settled).collect();
        self
    }

    pub(crate) fn open(&mut self, window: Window) {
        self.window = window;
    }

    pub(crate) fn served(&self) -> usize {
        self.served.iter().filter(|&&served| served).count()
    }

    pub(crate) fn has_caught_up(&self, receiver: usize) -> bool {
        self.ledger.has_caught_up(receiver)
    }

    /// Numbers the next message of `sender`.
    #[inline]
    pub(crate) fn send(&mut self, sender: u16, intended_ns: u64) -> Stamp {
        let sequence = self.ledger.sent(sender);
        self.ledger.send(sender);
        self.sample.note(usize::from(sender), sender, sequence, false, intended_ns);
        if self.window.contains(intended_ns) {
            self.flights[usize::from(sender)].count(sequence);
        }
        Stamp { intended_ns, sequence, sender }
    }

    pub(crate) fn refuse(&mut self, sender: u16, intended_ns: u64) {
        if self.window.contains(intended_ns) {
            self.flights[usize::from(sender)].refused_in_window += 1;
        }
    }

    #[inline]
    pub(crate) fn written(&mut self, sender: u16, sequence: u32, written_ns: u64, receivers: u32) {
        match &self.shared {
            None => self.flights[usize::from(sender)].write(sequence, written_ns, receivers),
            Some(shared) => shared.of(sender).write(sequence, written_ns, receivers),
        }
    }

    #[inline]
    pub(crate) fn serve(&mut self, receiver: usize) {
        self.served[receiver] = true;
    }

    #[inline]
    pub(crate) fn enter_corrupted(&mut self) {
        self.counts.anomalies.corrupted += 1;
    }

    /// Enters `number` filler messages with bodies of `body_bytes` bytes.
    #[inline]
    pub(crate) fn enter_filler(
        &mut self,
        receiver: usize,
        number: u32,
        body_bytes: u8,
        now_ns: u64,
    ) {
        self.filler_received[receiver] += u64::from(number);
        self.count_arrived(number, body_bytes, now_ns);
    }

    /// Enters one intact message. If it is the next of its sender, or a later one, and it is known
    /// when it was written: that time.
    #[inline]
    pub(crate) fn enter(
        &mut self,
        receiver: usize,
        stamp: Stamp,
        body_bytes: u8,
        now_ns: u64,
    ) -> Option<u64> {
        let counts = self.window.contains(stamp.intended_ns);
        self.sample.note(receiver, stamp.sender, stamp.sequence, true, now_ns);
        let entry = self.ledger.receive(receiver, stamp.sender, stamp.sequence);
        match entry {
            Entry::Delivered => {
                self.counts.delivered += u64::from(counts);
            }
            Entry::Reordered => {
                self.counts.anomalies.reordered += 1;
                self.counts.reordered += u64::from(counts);
            }
            Entry::Duplicated => {
                self.counts.anomalies.duplicated += 1;
                return None;
            }
            Entry::Invented => {
                self.counts.anomalies.invented += 1;
                return None;
            }
        }
        self.counts.genuine += 1;
        let arrival = match self.shared {
            None => self.flights[usize::from(stamp.sender)].arrive(stamp.sequence),
            Some(_) => self.arrive_here(stamp, now_ns),
        };
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
        self.count_arrived(1, body_bytes, now_ns);
        arrival.filter(|_| entry == Entry::Delivered).map(|arrival| arrival.written_ns)
    }

    /// Enters messages `skipped..skipped + number` of `batch`: at once if they are exactly the next
    /// ones of their sender that `receiver` is to receive and all are still under way, one by one
    /// otherwise.
    #[inline]
    pub(crate) fn enter_batch(
        &mut self,
        receiver: usize,
        batch: &Batch,
        skipped: u32,
        number: u32,
        now_ns: u64,
    ) {
        let first = batch.first.sequence + skipped;
        let sequences = first..first + number;
        // At a fixed rate each message is due at a time of its own.
        if number != 1 && self.enter_next(receiver, batch, sequences.clone(), now_ns) {
            return;
        }
        for sequence in sequences {
            let stamp = Stamp { sequence, ..batch.first };
            self.enter(receiver, stamp, batch.body_bytes, now_ns);
        }
    }

    /// Enters `sequences` of `batch` at once; false, and nothing is entered, unless they are the
    /// next ones and under way.
    fn enter_next(
        &mut self,
        receiver: usize,
        batch: &Batch,
        sequences: Range<u32>,
        now_ns: u64,
    ) -> bool {
        let Stamp { intended_ns, sender, .. } = batch.first;
        let number = sequences.len() as u32;
        if !self.flights[usize::from(sender)].remembers(&sequences)
            || !self.ledger.receive_next(receiver, sender, sequences.clone())
        {
            return false;
        }
        if self.sample.keeps(receiver) {
            for sequence in sequences.clone() {
                self.sample.note(receiver, sender, sequence, true, now_ns);
            }
        }
        self.counts.genuine += u64::from(number);
        let flight = &self.flights[usize::from(sender)];
        if self.shared.is_some() && flight.lacks_one(sequences.clone()) {
            sequences.clone().for_each(|sequence| {
                self.complete_here(Stamp { sequence, ..batch.first }, now_ns);
            });
        }
        let Arrivals { waited_for, last } = self.flights[usize::from(sender)].arrive_all(sequences);
        let last = if self.shared.is_some() { 0 } else { last };
        if self.window.contains(intended_ns) {
            self.counts.delivered += u64::from(number);
            let latency_ns = now_ns.saturating_sub(intended_ns);
            self.delivery.saturating_record_n(latency_ns, u64::from(number));
            if latency_ns > self.late_after_ns {
                self.counts.late += u64::from(number);
            }
            record(&mut self.service, now_ns.saturating_sub(batch.written_ns), waited_for);
            record(&mut self.last_receiver, latency_ns, last);
        }
        self.count_arrived(number, batch.body_bytes, now_ns);
        true
    }

    /// Notes one delivery where other threads have receivers, too; `None` if it is not known when the
    /// message was written. Whether it was the last of all is entered already.
    fn arrive_here(&mut self, stamp: Stamp, now_ns: u64) -> Option<Arrival> {
        let Stamp { sequence, sender, .. } = stamp;
        let flight = &mut self.flights[usize::from(sender)];
        if !flight.holds(sequence) {
            let written_ns = self.shared.as_ref()?.of(sender).written_ns(sequence)?;
            // A receiver that was lost before cannot have it, and then the message is never complete.
            flight.write(sequence, written_ns, self.receivers_here);
        }
        self.complete_here(stamp, now_ns);
        let arrival = self.flights[usize::from(sender)].arrive(sequence)?;
        Some(Arrival { is_last: false, ..arrival })
    }

    /// If all receivers of this thread but one have the message, that one gets it now; the last
    /// thread of all enters when the last receiver had it.
    fn complete_here(&mut self, stamp: Stamp, now_ns: u64) {
        let Stamp { intended_ns, sequence, sender } = stamp;
        let all_but_one = self.flights[usize::from(sender)].all_but_one(sequence);
        let Some((receivers, shared)) = all_but_one.zip(self.shared.as_ref()) else { return };
        if let Some(latest_ns) = shared.of(sender).arrive(sequence, receivers, now_ns)
            && self.window.contains(intended_ns)
        {
            self.last_receiver.saturating_record(latest_ns.saturating_sub(intended_ns));
        }
    }

    #[inline]
    fn count_arrived(&mut self, number: u32, body_bytes: u8, now_ns: u64) {
        if self.window.contains(now_ns) {
            let message_bytes = self.wire.received_bytes(usize::from(body_bytes)) as u64;
            self.counts.arrived += u64::from(number);
            self.counts.bytes_arrived += u64::from(number) * message_bytes;
        }
    }

    /// How many filler messages arrived of the `written` ones, summed over the clients, and how many
    /// more than those.
    pub(crate) fn filler(&self, written: u64) -> (u64, u64) {
        let sum = |of: &dyn Fn(u64) -> u64| self.filler_received.iter().map(|&it| of(it)).sum();
        (sum(&|received| received.min(written)), sum(&|received| received.saturating_sub(written)))
    }

    /// Where the pairs of the window ended up; see [`Verifier::pairs`](crate::Verifier::pairs).
    pub(crate) fn pairs(&self, endings: &[Ending], written: &[u32], charge_unsent: bool) -> Pairs {
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

impl Counts {
    fn add(&mut self, other: &Self) {
        self.anomalies.add(&other.anomalies);
        self.delivered += other.delivered;
        self.reordered += other.reordered;
        self.late += other.late;
        self.genuine += other.genuine;
        self.arrived += other.arrived;
        self.bytes_arrived += other.bytes_arrived;
    }
}

/// Adds `more`, which has the same bounds, so that nothing can be out of range.
pub(crate) fn add_histogram(all: &mut Histogram<u64>, more: &Histogram<u64>) {
    let added = all.add(more);
    debug_assert!(added.is_ok(), "{added:?}");
}

/// Records `value_ns` that many times; not at all leaves the extremes as they are.
#[inline]
fn record(histogram: &mut Histogram<u64>, value_ns: u64, times: u32) {
    if times > 0 {
        histogram.saturating_record_n(value_ns, u64::from(times));
    }
}
