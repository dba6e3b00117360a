//! All repetitions, one after another.

use std::net::SocketAddr;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::error::StressError;
use crate::outcome::{Latency, Summary, Violation};
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

/// Tests the server at `addresses` and stops at the first violation. Clients are spread over
/// several addresses, and the order is decided over all of them together.
///
/// # Errors
/// When there is no address, the clients cannot be set up, or the server drops a connection.
pub fn run(
    parameters: &Parameters,
    addresses: &[SocketAddr],
    observe: &mut dyn FnMut(Progress),
) -> Result<Summary, StressError> {
    if parameters.clients() > CLIENTS_MAX {
        return Err(StressError::TooManyClients { clients: parameters.clients() });
    }
    if addresses.is_empty() {
        return Err(StressError::NoAddress);
    }
    let started = Instant::now();
    let mut latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
        .map_err(|error| StressError::Setup(std::io::Error::other(error.to_string())))?;
    let mut summary = Summary::default();
    for number in 1..=parameters.repetitions {
        match Repetition::start(parameters, addresses, number, &mut latency) {
            Ok(repetition) => summary.add(repetition.finish()?),
            // That is the service's fault, and as sure as what the checker finds.
            Err(apart @ StressError::Apart { .. }) => {
                summary.violation = Some(Violation {
                    repetition: number,
                    clause: "FANOUT-1".to_owned(),
                    explanation: apart.to_string(),
                });
            }
            Err(error) => return Err(error),
        }
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
