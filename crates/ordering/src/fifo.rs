//! The first break of FIFO, among messages with ids and short ones alike.

use crate::assign::{Unassignable, assign};
use crate::chains::{Chains, FifoFinding};
use crate::search::shortest_broken_prefix;

/// The first break of FIFO.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FifoBreak {
    /// The fewest events that break it.
    pub(crate) prefix: u32,
    pub(crate) kind: FifoBreakKind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum FifoBreakKind {
    Overtaken(FifoFinding),
    Short(Unassignable),
}

impl FifoBreak {
    pub(crate) fn first(chains: &Chains, found: Option<FifoFinding>) -> Option<Self> {
        let limit = found.map_or(chains.events, |found| found.event);
        if chains.shorts.any_received() && assign(chains, limit).is_err() {
            let prefix = shortest_broken_prefix(limit, |prefix| assign(chains, prefix).is_err());
            let unassignable = assign(chains, prefix).err()?;
            return Some(Self { prefix, kind: FifoBreakKind::Short(unassignable) });
        }
        found.map(|found| Self { prefix: found.event + 1, kind: FifoBreakKind::Overtaken(found) })
    }
}
