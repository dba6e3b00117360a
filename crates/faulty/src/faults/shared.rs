//! Deviations that faults of several groups are made of.

pub(super) mod held;
pub(super) mod late;
pub(super) mod overtaking;
