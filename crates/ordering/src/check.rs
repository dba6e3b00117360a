//! The four verdicts on a history.

use std::borrow::Cow;

use thiserror::Error;

use crate::assign::assign;
use crate::chains::{Chains, Receipts};
use crate::confirm::{Refutation, confirm};
use crate::counterexample::{Counterexample, Rule};
use crate::evidence::Evidence;
use crate::fifo::FifoBreak;
use crate::graph::Graph;
use crate::history::History;
use crate::search::{Hop, shortest_broken_prefix, shortest_cycle};

/// Whether a history keeps each rule; if not, the proof.
///
/// INTEGRITY is judged on its own. The other three are judged on the history
/// without the receipts that break integrity, and each includes the ones before
/// it: what breaks FIFO breaks TOTAL, and what breaks TOTAL breaks CAUSAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// ORDER-1.
    pub integrity: Result<(), Counterexample>,
    /// ORDER-2.
    pub fifo: Result<(), Counterexample>,
    /// ORDER-3.
    pub total: Result<(), Counterexample>,
    /// ORDER-4.
    pub causal: Result<(), Counterexample>,
}

impl Verdicts {
    /// The verdict on one rule.
    pub fn of(&self, rule: Rule) -> &Result<(), Counterexample> {
        match rule {
            Rule::Integrity => &self.integrity,
            Rule::Fifo => &self.fifo,
            Rule::Total => &self.total,
            Rule::Causal => &self.causal,
        }
    }

    /// Whether the history keeps all four rules.
    pub fn all_kept(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The counterexamples of the rules that are broken, in the order of
    /// [`Rule::ALL`].
    pub fn broken(&self) -> impl Iterator<Item = &Counterexample> {
        Rule::ALL.into_iter().filter_map(|rule| self.of(rule).as_ref().err())
    }

    /// The verdicts on `history`, with every counterexample [confirmed](confirm()):
    /// what accuses a server is proven by two independent means.
    ///
    /// # Errors
    /// When one cannot be confirmed, which is a defect of this crate.
    pub fn confirmed(self, history: &History) -> Result<Self, Unconfirmed> {
        for counterexample in self.broken() {
            confirm(history, counterexample)
                .map_err(|refutation| Unconfirmed { rule: counterexample.rule, refutation })?;
        }
        Ok(self)
    }
}

/// The checker contradicts itself about a history: its verdicts are worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "internal error of the ordering checker: its counterexample to {} is refuted: {refutation}; \
     please report it with the history",
    rule.clause()
)]
pub struct Unconfirmed {
    /// The rule that it said was broken.
    pub rule: Rule,
    /// What is wrong with its proof.
    pub refutation: Refutation,
}

/// Judges a history, in time linear in its events if it keeps the rules and
/// holds no short messages. Those cost a logarithm more, and for a body that
/// several connections sent, its messages times the receivers that got it.
///
/// A broken rule takes about ten times as long, since the smallest counterexample
/// is searched.
pub fn check(history: &History) -> Verdicts {
    let (chains, findings) = Chains::build(history);
    let evidence = Evidence { history, chains: &chains };
    let integrity = findings.integrity.map_or(Ok(()), |found| Err(evidence.integrity(found)));

    let fifo_break = FifoBreak::first(&chains, findings.fifo);
    // The graph is looked at only as far as FIFO holds: at the latest there,
    // TOTAL and CAUSAL are broken too.
    let limit = fifo_break.as_ref().map_or(chains.events, |found| found.prefix - 1);
    let causal_prefix = cyclic_prefix(&chains, limit, true);
    let total_prefix = causal_prefix.and_then(|_| cyclic_prefix(&chains, limit, false));

    let judge = |rule, cyclic_prefix: Option<u32>| match (cyclic_prefix, &fifo_break) {
        (Some(prefix), _) => {
            let hops = smallest_cycle(&chains, prefix, rule == Rule::Causal);
            Err(evidence.cycle(rule, prefix, &hops))
        }
        (None, Some(found)) => Err(evidence.fifo(rule, found)),
        (None, None) => Ok(()),
    };
    Verdicts {
        integrity,
        fifo: judge(Rule::Fifo, None),
        total: judge(Rule::Total, total_prefix),
        causal: judge(Rule::Causal, causal_prefix),
    }
}

/// The fewest of the first `limit` events whose graph has a cycle. Among them
/// FIFO must hold.
fn cyclic_prefix(chains: &Chains, limit: u32, causal: bool) -> Option<u32> {
    let is_cyclic = |prefix| {
        let receipts = identified(chains, prefix);
        !Graph { chains, receipts: &receipts, prefix, causal }.is_acyclic()
    };
    (limit > 0 && is_cyclic(limit)).then(|| shortest_broken_prefix(limit, is_cyclic))
}

/// The receivers' chains, at least as far as the prefix, without short messages
/// that could be more than one.
fn identified(chains: &Chains, prefix: u32) -> Cow<'_, Receipts> {
    if !chains.shorts.any_received() {
        return Cow::Borrowed(&chains.receipts);
    }
    match assign(chains, prefix) {
        Ok(receipts) => Cow::Owned(receipts),
        Err(found) => unreachable!("FIFO holds in the first {prefix} events, but {found:?}"),
    }
}

/// The cycle with the fewest hops in the shortest prefix that has one.
fn smallest_cycle(chains: &Chains, prefix: u32, causal: bool) -> Vec<Hop> {
    let receipts = identified(chains, prefix);
    let closing_event = prefix - 1;
    let receiver = (0..chains.connections()).find(|&receiver| {
        let range = chains.receipts.range_before(receiver, prefix);
        chains.receipts.event[range].last() == Some(&closing_event)
    });
    let Some(receiver) = receiver else {
        unreachable!("event {closing_event} is not a receipt, so it closes no cycle");
    };
    // With short messages, one receipt can tell what several earlier ones are.
    let before = identified(chains, closing_event);
    let old = &before.vertex[before.range_before(receiver, closing_event)];
    let new = &receipts.vertex[receipts.range_before(receiver, prefix)];
    let starts = added(old, new);
    let graph = Graph { chains, receipts: &receipts, prefix, causal };
    match shortest_cycle(&graph, &starts) {
        Some(hops) => hops,
        None => unreachable!("the first {prefix} events have no cycle"),
    }
}

/// What `new` holds more than `old`, a subsequence of it.
fn added(old: &[u32], new: &[u32]) -> Vec<u32> {
    let mut old = old.iter().peekable();
    new.iter().copied().filter(|vertex| old.next_if(|&old| old == vertex).is_none()).collect()
}
