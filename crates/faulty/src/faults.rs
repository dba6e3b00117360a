//! The table of faults, one file per area.

mod accepting;
mod causal;
mod drops;
mod empties;
mod ending;
mod fanout;
mod framing;
mod integrity;
mod joining;
mod life;
mod order;
mod overtaking;
mod slow;
mod start;
mod text;
mod unasked;
mod wholeness;
mod witnesses;

use crate::fault::Fault;

/// All faults by group.
pub(crate) const GROUPS: &[&[Fault]] = &[
    start::FAULTS,
    framing::FAULTS,
    text::FAULTS,
    empties::FAULTS,
    wholeness::FAULTS,
    unasked::FAULTS,
    accepting::FAULTS,
    joining::FAULTS,
    fanout::FAULTS,
    integrity::FAULTS,
    overtaking::FAULTS,
    order::FAULTS,
    causal::FAULTS,
    drops::FAULTS,
    slow::FAULTS,
    witnesses::FAULTS,
    ending::FAULTS,
    life::FAULTS,
];
