//! The table of faults, one file per area.

mod framing;
mod start;

use crate::fault::Fault;

/// All faults by group.
pub(crate) const GROUPS: &[&[Fault]] = &[start::FAULTS, framing::FAULTS];
