//! ORDER: what is received, and in which order.

pub(super) mod causality;
pub(super) mod integrity;
pub(super) mod one_sender;
pub(super) mod receivers;
