//! What was delivered, what was dropped, and whether the run exercised order
//! at all.

use serde::{Deserialize, Serialize};

use crate::chains::Chains;
use crate::event::ConnectionId;
use crate::history::{Entry, History, NONE};

/// Deliveries and losses among the messages that a receiver could expect.
///
/// Counted are messages that carry an id. A receiver can expect those that
/// were sent after it connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages that arrived; those sent before the receiver connected included.
    pub delivered: u64,
    /// Messages that did not arrive although a later one of the same sender did.
    pub dropped: u64,
    /// Messages that did not arrive, nor a later one of the same sender: they
    /// may be under way.
    pub unresolved: u64,
    /// Messages that did not arrive and may never have left their sender.
    pub maybe_sent: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.dropped += other.dropped;
        self.unresolved += other.unresolved;
        self.maybe_sent += other.maybe_sent;
    }
}

/// One sender's messages at one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairTally {
    /// Who sent.
    pub sender: ConnectionId,
    /// Who received.
    pub receiver: ConnectionId,
    /// Deliveries and losses.
    pub tally: Tally,
}

/// Short messages, at all receivers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortTally {
    /// Short messages that arrived.
    pub delivered: u64,
    /// Short messages that were surely dropped: a receiver got fewer than stand
    /// before the latest message with an id that it got of each sender.
    pub dropped_min: u64,
}

/// The deliveries of a history, counted. Receipts that break integrity are left
/// out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    interleaved: bool,
    totals: Tally,
    shorts: ShortTally,
    receivers: Vec<Tally>,
    pairs: Vec<PairTally>,
}

impl Account {
    /// Whether some receiver got a message of one sender between two messages
    /// of another. A run without that says nothing about the order between
    /// senders: a check of it is inconclusive.
    pub fn interleaved(&self) -> bool {
        self.interleaved
    }

    /// Messages with ids, at all receivers together.
    pub fn totals(&self) -> Tally {
        self.totals
    }

    /// Short messages, at all receivers together.
    pub fn shorts(&self) -> ShortTally {
        self.shorts
    }

    /// Messages with ids at one receiver, of all senders together.
    pub fn receiver(&self, receiver: ConnectionId) -> Option<Tally> {
        self.receivers.get(receiver.at()).copied()
    }

    /// One sender's messages at one receiver; `None` if none of them arrived.
    pub fn pair(&self, sender: ConnectionId, receiver: ConnectionId) -> Option<Tally> {
        let key = |pair: &PairTally| (pair.receiver, pair.sender);
        let found = self.pairs.binary_search_by_key(&(receiver, sender), key).ok()?;
        Some(self.pairs[found].tally)
    }

    /// All pairs of which at least one message arrived, by receiver, then by
    /// sender.
    pub fn pairs(&self) -> &[PairTally] {
        &self.pairs
    }
}

/// Counts what was delivered and what was dropped.
pub fn account(history: &History) -> Account {
    let (chains, _) = Chains::build(history);
    let counter = Counter::new(history, &chains);
    let mut account = Account::default();
    // Per sender: the receiver that saw it last, and what that one received.
    let mut seen = vec![(NONE, Seen::default()); chains.connections()];
    for receiver in 0..chains.connections() {
        let (tally, shorts) = counter.receiver(receiver, &mut seen, &mut account);
        account.totals.add(tally);
        account.receivers.push(tally);
        account.shorts.delivered += shorts.delivered;
        account.shorts.dropped_min += shorts.dropped_min;
    }
    account
}

/// What one receiver got from one sender.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    delivered: u64,
    /// Of these, the ones that were expected, and whether they surely left.
    expected_sure: u64,
    expected_maybe: u64,
    /// The first message that was sent after the receiver connected.
    first_expected: u32,
    latest: u32,
}

/// Messages with ids, by whether they surely left.
#[derive(Clone, Copy, Debug, Default)]
struct Split {
    sure: u64,
    maybe: u64,
}

/// When a connection was made, and how much had been sent by then.
#[derive(Clone, Copy, Debug, Default)]
struct Joined {
    event: u32,
    sent: Split,
}

struct Counter<'c> {
    chains: &'c Chains,
    /// How many of the vertices before each carry an id.
    with_id: Vec<u32>,
    /// The first vertex of each sender that may never have left.
    maybe_from: Vec<u32>,
    joined: Vec<Joined>,
    sent: Split,
}

impl<'c> Counter<'c> {
    fn new(history: &History, chains: &'c Chains) -> Self {
        let mut with_id = Vec::with_capacity(chains.vertices() as usize + 1);
        let mut count = 0;
        for vertex in 0..chains.vertices() {
            with_id.push(count);
            count += u32::from(!chains.shorts.is_short(vertex));
        }
        with_id.push(count);
        let maybe_from = (0..chains.connections())
            .map(|sender| chains.base[sender] + history.surely_sent(sender))
            .collect();
        let mut counter = Self {
            chains,
            with_id,
            maybe_from,
            joined: Vec::with_capacity(chains.connections()),
            sent: Split::default(),
        };
        counter.follow(history);
        counter
    }

    /// Notes for each connection how much had been sent when it was made.
    fn follow(&mut self, history: &History) {
        for (event, entry) in (0..).zip(history.entries()) {
            match *entry {
                Entry::Connect { .. } => self.joined.push(Joined { event, sent: self.sent }),
                Entry::Send { message, short: None, .. } => {
                    let sender = message.sender.at();
                    let vertex = self.chains.base[sender] + message.sequence;
                    if vertex < self.maybe_from[sender] {
                        self.sent.sure += 1;
                    } else {
                        self.sent.maybe += 1;
                    }
                }
                _ => {}
            }
        }
    }

    fn split(&self, sender: usize, first: u32, end: u32) -> Split {
        let middle = self.maybe_from[sender].clamp(first, end.max(first));
        let count = |first: u32, end: u32| {
            u64::from(self.with_id[end as usize].saturating_sub(self.with_id[first as usize]))
        };
        Split { sure: count(first, middle), maybe: count(middle, end.max(first)) }
    }

    fn receiver(
        &self,
        receiver: usize,
        seen: &mut [(u32, Seen)],
        account: &mut Account,
    ) -> (Tally, ShortTally) {
        let mut shorts = ShortTally::default();
        let mut senders = Vec::new();
        let mut sender_before = NONE;
        for &vertex in &self.chains.receipts.vertex[self.chains.receipts.range(receiver)] {
            if vertex >= self.chains.vertices() {
                shorts.delivered += 1;
                continue;
            }
            let sender = self.chains.sender[vertex as usize];
            let (seen_by, seen) = &mut seen[sender as usize];
            if *seen_by != receiver as u32 {
                *seen_by = receiver as u32;
                let first = self.first_expected(sender as usize, receiver);
                *seen = Seen { first_expected: first, ..Seen::default() };
                senders.push(sender);
            } else if sender_before != sender {
                account.interleaved = true;
            }
            sender_before = sender;
            seen.delivered += 1;
            seen.latest = seen.latest.max(vertex);
            if vertex >= seen.first_expected {
                let is_sure = vertex < self.maybe_from[sender as usize];
                seen.expected_sure += u64::from(is_sure);
                seen.expected_maybe += u64::from(!is_sure);
            }
        }
        senders.sort_unstable();
        let tally = self.tally(receiver, &senders, seen, account, &mut shorts);
        (tally, shorts)
    }

    /// Adds up one receiver's senders, including those of whom nothing arrived.
    fn tally(
        &self,
        receiver: usize,
        senders: &[u32],
        seen: &[(u32, Seen)],
        account: &mut Account,
        shorts: &mut ShortTally,
    ) -> Tally {
        let mut total = Tally::default();
        let joined = self.joined[receiver];
        let mut unseen = Split {
            sure: self.sent.sure - joined.sent.sure,
            maybe: self.sent.maybe - joined.sent.maybe,
        };
        let mut shorts_expected = 0;
        for &sender in senders {
            let index = sender as usize;
            let seen = seen[index].1;
            let end = self.chains.base[index + 1];
            let all = self.split(index, seen.first_expected, end);
            let until_latest = self.split(index, seen.first_expected, seen.latest + 1);
            let tally = Tally {
                delivered: seen.delivered,
                dropped: until_latest.sure - seen.expected_sure,
                unresolved: all.sure - until_latest.sure,
                maybe_sent: all.maybe - seen.expected_maybe,
            };
            unseen.sure -= all.sure;
            unseen.maybe -= all.maybe;
            total.add(tally);
            shorts_expected += self.shorts_between(index, seen.first_expected, seen.latest);
            account.pairs.push(PairTally {
                sender: ConnectionId(sender),
                receiver: ConnectionId(receiver as u32),
                tally,
            });
        }
        total.unresolved += unseen.sure;
        total.maybe_sent += unseen.maybe;
        shorts.dropped_min = shorts_expected.saturating_sub(shorts.delivered);
        total
    }

    /// Short messages that surely left, from `first` on and before `end`.
    fn shorts_between(&self, sender: usize, first: u32, end: u32) -> u64 {
        let end = end.min(self.maybe_from[sender]).max(first);
        u64::from(end - first) - self.split(sender, first, end).sure
    }

    /// The first vertex of the sender that was sent after the receiver connected.
    fn first_expected(&self, sender: usize, receiver: usize) -> u32 {
        self.chains.sent_before(sender, self.joined[receiver].event).end
    }
}
