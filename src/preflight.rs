//! What this machine must allow before a server is started, told in one line before anything
//! is blamed on a server. `zillions doctor` tells it beforehand.

use std::net::Ipv4Addr;

use zillions_harness::{loopback, sample};

use crate::failure::{Failure, Outcome};

/// Whether servers can be connected to.
pub(crate) fn can_check() -> Outcome {
    loopback::check(Ipv4Addr::LOCALHOST.into()).map_err(Failure::harness)
}

/// The same, and whether what they use can be measured.
pub(crate) fn can_measure() -> Outcome {
    can_check()?;
    sample::proc_readable().map_err(Failure::harness)
}
