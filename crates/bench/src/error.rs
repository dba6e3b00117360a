//! Why a run cannot begin or go on.

use zillions_harness::{limits, resources};

use crate::store::StoreError;

/// A run that could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Nothing to do.
    #[error("no scenario to run")]
    NoScenario,
    /// The results cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many clients for this process.
    #[error(transparent)]
    Descriptors(#[from] limits::TooFewDescriptors),
    /// Too many clients for this machine.
    #[error(transparent)]
    LocalPorts(#[from] resources::TooFewPorts),
}
