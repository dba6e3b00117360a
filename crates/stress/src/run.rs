//! All repetitions, one after another.

use std::net::SocketAddr;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::error::StressError;
use crate::outcome::{Latency, Summary};
use crate::parameters::{CLIENTS_MAX, Parameters};
use crate::repetition::Repetition;

/// Longest latency that is recorded exactly, in nanoseconds: 10 minutes.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Reported after each repetition.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Repetitions done.
    pub repetitions: u32,
    /// Deliveries so far.
    pub delivered: u64,
    /// Drops so far.
    pub dropped: u64,
}

/// Tests the server at `address` and stops at the first violation.
///
/// # Errors
/// When the clients cannot be set up, or the server drops a connection.
pub fn run(
    parameters: &Parameters,
    address: SocketAddr,
    observe: &mut dyn FnMut(Progress),
) -> Result<Summary, StressError> {
    if parameters.clients() > CLIENTS_MAX {
        return Err(StressError::TooManyClients { clients: parameters.clients() });
    }
    let started = Instant::now();
    let mut latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
        .map_err(|error| StressError::Setup(std::io::Error::other(error.to_string())))?;
    let mut summary = Summary::default();
    for number in 1..=parameters.repetitions {
        let result = Repetition::start(parameters, address, number, &mut latency)?.finish()?;
        summary.add(result);
        observe(Progress {
            repetitions: number,
            delivered: summary.delivered,
            dropped: summary.dropped,
        });
        if summary.violation.is_some() {
            break;
        }
    }
    summary.seconds = started.elapsed().as_secs_f64();
    summary.latency = Latency::of(&latency);
    Ok(summary)
}
