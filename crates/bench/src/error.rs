//! Why a run cannot begin or go on.

use zillions_harness::{limits, resources};

use crate::remote::RemoteError;
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
    /// The machine of the servers cannot be asked any more.
    #[error(transparent)]
    Lost(#[from] RemoteError),
    /// Too many clients for this process.
    #[error(transparent)]
    Descriptors(#[from] limits::TooFewDescriptors),
    /// Too many clients for this machine.
    #[error(transparent)]
    LocalPorts(#[from] resources::TooFewPorts),
}
