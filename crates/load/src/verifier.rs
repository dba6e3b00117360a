//! The hot path: from received bytes to ledger entries and latencies. Pure, and in a steady state
//! free of allocations.
//!
//! All receivers of a server that drops nothing are sent the same bytes. So the first one's
//! messages are decoded and checked one by one, and kept ([`CommonStream`]); the others' bytes are
//! compared with them. What is equal is entered many messages at a time, everything else one by
//! one. Both ways leave the same account (`docs/design/0014`).

use crate::account::{Account, Batch, Ending};
use crate::body::{self, PROBE_SENDER, Stamp};
use crate::common_stream::{CommonStream, Content, Position};
use crate::filler::Filler;
use crate::outcome::Pairs;
use crate::plan::Plan;
use crate::schedule::Window;
use crate::wire::{Decode, Decoders, Inbound, with_decoder};

/// A comparison that gave fewer messages was not worth its cost …
const WORTHWHILE_UNITS: u32 = 4;

/// … and after some of those in a row, at most so many messages are verified one by one until the
/// receiver's place is looked up again.
const PAUSE_UNITS_MAX: u32 = 63;

/// Checks and times everything that is received in one trial.
#[derive(Debug)]
pub struct Verifier {
    tag: u32,
    filler: Filler,
    decoders: Decoders,
    pub(crate) account: Account,
    /// Absent if every message is to be verified for itself.
    common: Option<CommonStream>,
    /// Per receiver: where its incomplete or next unit is expected in the common stream.
    positions: Vec<Option<Position>>,
    /// The beginning of the unit that the end of the last piece has cut.
    carried: Vec<u8>,
    compared: u64,
}

/// What a server sent besides messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The answer that it is waiting for; repeated requests need one answer.
    pub reply: Option<&'static [u8]>,
    /// It reported an error, or does not speak the protocol: the connection must be closed.
    pub error: Option<String>,
}

impl Verifier {
    /// A verifier for the messages of `plan`; none of them counts before [`open`](Self::open).
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self { common: Some(CommonStream::new(plan.senders)), ..Self::one_by_one(plan) }
    }

    /// The same, but every message is decoded and checked for itself: what [`new`](Self::new) is
    /// compared with.
    #[must_use]
    pub fn one_by_one(plan: &Plan) -> Self {
        Self {
            tag: plan.tag,
            filler: plan.filler,
            decoders: Decoders::new(plan.wire, plan.clients),
            account: Account::new(plan),
            common: None,
            positions: vec![None; plan.clients],
            carried: Vec::new(),
            compared: 0,
        }
    }

    /// One for each of the plan's threads: thread k of n receives for the clients whose index modulo
    /// n is k, and sends for those of them that are senders. They may be on different threads.
    #[must_use]
    pub fn for_threads(plan: &Plan) -> Vec<Self> {
        let of_thread = |account| Self { account, ..Self::new(plan) };
        Account::for_threads(plan).into_iter().map(of_thread).collect()
    }

    /// The verifier of all clients, from those of [every thread](Self::for_threads), in order; `None`
    /// of none. Of several nothing is received any more.
    #[must_use]
    pub fn merge(mut verifiers: Vec<Self>) -> Option<Self> {
        if verifiers.len() == 1 {
            return verifiers.pop();
        }
        let compared = verifiers.iter().map(|it| it.compared).sum();
        let accounts = verifiers.iter_mut().map(|it| it.account.clone()).collect();
        let account = Account::merge(accounts)?;
        Some(Self { account, compared, ..verifiers.swap_remove(0) })
    }

    /// Notes how many clients of this thread are connected, where there are other threads.
    #[inline]
    pub fn set_receivers_here(&mut self, receivers: u32) {
        self.account.receivers_here = receivers;
    }

    /// Everything that has been found so far.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// How many messages were entered because their bytes equalled those of verified ones.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Sets the window whose messages count.
    pub fn open(&mut self, window: Window) {
        self.account.open(window);
    }

    /// From now on, events are kept in the sample of the order.
    pub fn open_sample(&mut self) {
        self.account.sample.open();
    }

    /// How many clients have received a probe.
    #[must_use]
    pub fn served(&self) -> usize {
        self.account.served()
    }

    /// Whether the latest message of every sender has reached `receiver`.
    #[must_use]
    pub fn has_caught_up(&self, receiver: usize) -> bool {
        self.account.has_caught_up(receiver)
    }

    /// Numbers the next message of `sender`, which was meant to be sent at `intended_ns`.
    #[inline]
    pub fn send(&mut self, sender: u16, intended_ns: u64) -> Stamp {
        self.account.send(sender, intended_ns)
    }

    /// Notes a message that was due at `intended_ns` and that the server left no room to send.
    pub fn refuse(&mut self, sender: u16, intended_ns: u64) {
        self.account.refuse(sender, intended_ns);
    }

    /// Notes that a message was wholly written, with `receivers` clients of all threads connected.
    ///
    /// Once per message, before anybody can have received it. With several threads that is before it
    /// is written, and again if it was not wholly written after all.
    #[inline]
    pub fn written(&mut self, sender: u16, sequence: u32, written_ns: u64, receivers: u32) {
        self.account.written(sender, sequence, written_ns, receivers);
    }

    /// Checks and times all messages in `bytes`, which `receiver` received at `now_ns`; and what else
    /// the server sent there.
    ///
    /// The stream may be cut anywhere.
    pub fn receive(&mut self, receiver: usize, bytes: &[u8], now_ns: u64) -> Control {
        // Moved out and back so that the loop may borrow the rest of `self`.
        let mut decoders = std::mem::take(&mut self.decoders);
        let mut carried = std::mem::take(&mut self.carried);
        let control = with_decoder!(&mut decoders, receiver, |decoder| {
            carried.clear();
            carried.extend_from_slice(decoder.rest());
            self.receive_all(decoder, &mut carried, receiver, bytes, now_ns)
        });
        (self.decoders, self.carried) = (decoders, carried);
        control
    }

    /// [`receive`](Self::receive), compiled for each protocol. `carried` is what the decoder has of
    /// an incomplete unit.
    fn receive_all(
        &mut self,
        decoder: &mut impl Decode,
        carried: &mut Vec<u8>,
        receiver: usize,
        mut bytes: &[u8],
        now_ns: u64,
    ) -> Control {
        let mut control = Control::default();
        let (mut pause, mut pause_left) = (0, 0);
        loop {
            if self.may_compare(receiver) {
                let units = self.receive_common(decoder, carried, receiver, &mut bytes, now_ns);
                let is_worthwhile = units >= WORTHWHILE_UNITS;
                pause = if is_worthwhile { 0 } else { PAUSE_UNITS_MAX.min(2 * pause + 1) };
                pause_left = pause;
            }
            let before = bytes;
            let Some(inbound) = decoder.decode(&mut bytes) else { break };
            self.positions[receiver] = match inbound {
                Inbound::Message(body) => {
                    let unit = [&carried[..], &before[..before.len() - bytes.len()]];
                    let may_search = pause_left == 0;
                    pause_left = pause_left.saturating_sub(1);
                    self.receive_message(receiver, body, unit, now_ns, may_search)
                }
                Inbound::Ignored => None,
                Inbound::Ping(reply) => {
                    control.reply = Some(reply);
                    None
                }
                Inbound::Error(reason) => {
                    control.error = Some(reason);
                    self.positions[receiver] = None;
                    break;
                }
            };
            carried.clear();
        }
        control
    }

    /// Whether `receiver` has a position with something after it.
    #[inline]
    fn may_compare(&self, receiver: usize) -> bool {
        let (Some(common), Some(position)) = (&self.common, self.positions[receiver]) else {
            return false;
        };
        !common.is_end(position)
    }

    /// Takes the units from the beginning of `bytes` that equal those at the receiver's position;
    /// how many.
    fn receive_common(
        &mut self,
        decoder: &mut impl Decode,
        carried: &mut Vec<u8>,
        receiver: usize,
        bytes: &mut &[u8],
        now_ns: u64,
    ) -> u32 {
        let (Some(common), Some(mut position)) = (&self.common, self.positions[receiver]) else {
            return 0;
        };
        let equal_bytes = common.equal_bytes(position, carried, bytes);
        let (mut units, mut taken) = (0, 0);
        while let Some(section) = common.section(position, equal_bytes - taken) {
            match section.content {
                Content::Messages(batch) => {
                    let (skipped, number) = (section.skipped, section.units);
                    self.account.enter_batch(receiver, &batch, skipped, number, now_ns);
                }
                Content::Filler(body_bytes) => {
                    self.account.enter_filler(receiver, section.units, body_bytes, now_ns);
                }
            }
            position = section.end;
            units += section.units;
            taken += section.units as usize * section.unit_bytes;
        }
        if units > 0 {
            self.compared += u64::from(units);
            self.positions[receiver] = Some(position);
            let end = taken - carried.len();
            let tail = &bytes[end..];
            if !carried.is_empty() {
                // So that the decoder is at a boundary; the message has been entered.
                decoder.decode(bytes);
                carried.clear();
            }
            *bytes = tail;
        }
        units
    }

    /// Enters one message; where its receiver is in the common stream then, as far as known.
    ///
    /// `unit` is the message as it was received. Its place is looked up only if it `may_search`.
    #[inline]
    fn receive_message(
        &mut self,
        receiver: usize,
        body: &[u8],
        unit: [&[u8]; 2],
        now_ns: u64,
        may_search: bool,
    ) -> Option<Position> {
        // No protocol has a longer one; what is not ours is not intact, whatever its length.
        let body_bytes = body.len() as u8;
        let Some(stamp) = body::verify(body, self.tag) else {
            if !self.filler.is(body) {
                self.account.enter_corrupted();
                return None;
            }
            self.account.enter_filler(receiver, 1, body_bytes, now_ns);
            let position = self.positions[receiver]?;
            let common = self.common.as_mut()?;
            return common
                .is_end(position)
                .then(|| common.append(unit, Content::Filler(body_bytes)));
        };
        if stamp.sender == PROBE_SENDER {
            self.account.serve(receiver);
            return None;
        }
        let written_ns = self.account.enter(receiver, stamp, body_bytes, now_ns);
        let common = self.common.as_mut()?;
        match written_ns {
            Some(written_ns) if common.is_new(stamp) => {
                let batch = Batch { first: stamp, written_ns, body_bytes };
                Some(common.append(unit, Content::Messages(batch)))
            }
            _ if may_search => common.after(stamp),
            _ => None,
        }
    }

    /// How many filler messages arrived of the `written` ones, summed over the clients, and how many
    /// more than those.
    #[must_use]
    pub fn filler(&self, written: u64) -> (u64, u64) {
        self.account.filler(written)
    }

    /// Where the pairs of the window ended up.
    ///
    /// `endings` has one entry per client, `written` the number of messages that each sender
    /// wholly wrote. With `charge_unsent`, messages that were due and never written count; without
    /// (a saturating sender always has one more), they do not.
    #[must_use]
    pub fn pairs(&self, endings: &[Ending], written: &[u32], charge_unsent: bool) -> Pairs {
        self.account.pairs(endings, written, charge_unsent)
    }
}

#[cfg(test)]
mod tests;
