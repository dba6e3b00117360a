//! Which sent message each short message's receipt can be, in a beginning of
//! a history.
//!
//! A short message carries no id, but it is between messages that do
//! (*fences*), and it can only be one that had been sent. For each receiver:
//!
//! 1. *One sender.* A receipt whose body only one connection had sent so far
//!    came from it. These receipts and that sender's fences, in the receiver's
//!    order, must be a subsequence of what it sent.
//! 2. *Several senders.* All receipts of one body must be different sent
//!    messages, each sent before its receipt, not before a fence of its sender
//!    that it follows, and not after one that it precedes.
//!
//! A receipt of the first kind for which only one message is possible counts,
//! for TOTAL and CAUSAL, as that message. All others say nothing about order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::chains::{Chains, Receipts};
use crate::history::NONE;
use crate::shorts::Origin;

/// No assignment of a receiver's short messages to sent ones exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unassignable {
    OutOfOrder { receiver: u32, sender: u32 },
    Unmatched { receiver: u32, body: u32, received: u32, matched: u32 },
}

/// The chains of the first `prefix` events with every short message either
/// identified or left out. Messages with ids must be in their senders' order.
pub(crate) fn assign(chains: &Chains, prefix: u32) -> Result<Receipts, Unassignable> {
    let mut assigned = Receipts::default();
    let mut bounds = Bounds { per_sender: vec![(NONE, 0); chains.connections()], pass: 0 };
    let mut first = Vec::new();
    for receiver in 0..chains.connections() {
        assigned.start.push(assigned.vertex.len() as u32);
        let range = chains.receipts.range_before(receiver, prefix);
        let is_short = |&vertex: &u32| vertex >= chains.vertices();
        if !chains.receipts.vertex[range.clone()].iter().any(is_short) {
            assigned.vertex.extend_from_slice(&chains.receipts.vertex[range.clone()]);
            assigned.event.extend_from_slice(&chains.receipts.event[range]);
            continue;
        }
        earliest(chains, receiver, range.clone(), &mut bounds, &mut first)?;
        match_bodies_of_several(chains, receiver, range.clone(), prefix)?;
        keep_identified(chains, range, &mut bounds, &first, &mut assigned);
    }
    assigned.start.push(assigned.vertex.len() as u32);
    Ok(assigned)
}

/// One number per sender, forgotten when a new pass begins.
struct Bounds {
    per_sender: Vec<(u32, u32)>,
    pass: u32,
}

impl Bounds {
    fn begin(&mut self) {
        self.pass += 1;
    }

    fn get(&self, sender: u32) -> Option<u32> {
        let (pass, bound) = self.per_sender[sender as usize];
        (pass == self.pass).then_some(bound)
    }

    fn set(&mut self, sender: u32, bound: u32) {
        self.per_sender[sender as usize] = (self.pass, bound);
    }
}

/// For each place of a chain the earliest message it can be, [`NONE`] if its
/// sender is not known.
fn earliest(
    chains: &Chains,
    receiver: usize,
    range: Range<usize>,
    next: &mut Bounds,
    first: &mut Vec<u32>,
) -> Result<(), Unassignable> {
    next.begin();
    first.clear();
    for place in range {
        let vertex = chains.receipts.vertex[place];
        let (sender, found) = match chains.short_receipt(vertex) {
            None => {
                let sender = chains.sender[vertex as usize];
                let in_order = next.get(sender).is_none_or(|next| next <= vertex);
                (sender, in_order.then_some(vertex))
            }
            Some(receipt) => {
                let Origin::Only(sender) = receipt.origin else {
                    first.push(NONE);
                    continue;
                };
                let from = next.get(sender).unwrap_or(chains.base[sender as usize]);
                let sent = chains.sent_before(sender as usize, chains.receipts.event[place]);
                let sends = chains.shorts.sends_of(receipt.body);
                let index = sends.partition_point(|&vertex| vertex < from);
                (sender, sends.get(index).copied().filter(|&vertex| vertex < sent.end))
            }
        };
        let Some(found) = found else {
            return Err(Unassignable::OutOfOrder { receiver: receiver as u32, sender });
        };
        next.set(sender, found + 1);
        first.push(found);
    }
    Ok(())
}

/// Appends a chain, with the short messages that can be one message only.
fn keep_identified(
    chains: &Chains,
    range: Range<usize>,
    before: &mut Bounds,
    first: &[u32],
    assigned: &mut Receipts,
) {
    before.begin();
    let appended = assigned.vertex.len();
    for place in range.clone().rev() {
        let vertex = chains.receipts.vertex[place];
        let event = chains.receipts.event[place];
        let earliest = first[place - range.start];
        let latest = match chains.short_receipt(vertex) {
            None => vertex,
            Some(_) if earliest == NONE => continue,
            Some(receipt) => {
                let sender = chains.sender[earliest as usize];
                let sent = chains.sent_before(sender as usize, event).end;
                let end = before.get(sender).unwrap_or(sent).min(sent);
                let sends = chains.shorts.sends_of(receipt.body);
                // The earliest one qualifies, so there is a latest one.
                sends[sends.partition_point(|&vertex| vertex < end) - 1]
            }
        };
        before.set(chains.sender[latest as usize], latest);
        if latest == earliest {
            assigned.vertex.push(latest);
            assigned.event.push(event);
        }
    }
    assigned.vertex[appended..].reverse();
    assigned.event[appended..].reverse();
}

/// Checks each body that one receiver got after several connections had sent it.
fn match_bodies_of_several(
    chains: &Chains,
    receiver: usize,
    range: Range<usize>,
    prefix: u32,
) -> Result<(), Unassignable> {
    let mut receipts = Vec::new();
    let mut fences = Vec::new();
    let mut any_of_several = false;
    for place in range {
        let (vertex, event) = (chains.receipts.vertex[place], chains.receipts.event[place]);
        match chains.short_receipt(vertex) {
            None => fences.push((vertex, event)),
            Some(receipt) => {
                any_of_several |= receipt.origin == Origin::Several;
                receipts.push((receipt.body, event, receipt.origin == Origin::Several));
            }
        }
    }
    if !any_of_several {
        return Ok(());
    }
    fences.sort_unstable();
    receipts.sort_unstable();
    for receipts in receipts.chunk_by(|a, b| a.0 == b.0) {
        if receipts.iter().any(|receipt| receipt.2) {
            let body = receipts[0].0;
            let windows = windows(chains, body, &fences, prefix);
            let matched = match_in_windows(receipts.iter().map(|receipt| receipt.1), windows);
            let received = receipts.len() as u32;
            if matched < received {
                let receiver = receiver as u32;
                return Err(Unassignable::Unmatched { receiver, body, received, matched });
            }
        }
    }
    Ok(())
}

/// For each message of this body, the events between which one receiver can
/// have received it (both exclusive), ascending. `fences` are that receiver's
/// receipts of messages with ids, as vertex and event, ascending.
fn windows(chains: &Chains, body: u32, fences: &[(u32, u32)], prefix: u32) -> Vec<(u32, u32)> {
    let mut windows = Vec::new();
    for &vertex in chains.shorts.sends_of(body) {
        let sent = chains.send_event[vertex as usize];
        if sent >= prefix {
            continue;
        }
        let sender = chains.sender[vertex as usize];
        let is_theirs = |fence: &&(u32, u32)| chains.sender[fence.0 as usize] == sender;
        let (before, after) = fences.split_at(fences.partition_point(|fence| fence.0 < vertex));
        let opens = before.last().filter(is_theirs).map_or(sent, |fence| fence.1.max(sent));
        let closes = after.first().filter(is_theirs).map_or(NONE, |fence| fence.1);
        if opens < closes {
            windows.push((opens, closes));
        }
    }
    windows.sort_unstable();
    windows
}

/// The most receipts (events, ascending) that can each have a window of their
/// own: of the open windows, the one that closes first is always taken.
fn match_in_windows(receipts: impl Iterator<Item = u32>, windows: Vec<(u32, u32)>) -> u32 {
    let mut windows = windows.into_iter().peekable();
    let mut open = BinaryHeap::new();
    let mut matched = 0;
    for receipt in receipts {
        while let Some((_, closes)) = windows.next_if(|window| window.0 < receipt) {
            open.push(Reverse(closes));
        }
        while open.peek().is_some_and(|Reverse(closes)| *closes < receipt) {
            open.pop();
        }
        matched += u32::from(open.pop().is_some());
    }
    matched
}
