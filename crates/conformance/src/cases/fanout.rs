//! FANOUT: who receives.

mod joining;
mod leaving;
mod receivers;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[receivers::CASES, joining::CASES, leaving::CASES];
