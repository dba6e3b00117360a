//! FANOUT: who receives.

pub(super) mod everyone;
pub(super) mod joining;
pub(super) mod leaving;
