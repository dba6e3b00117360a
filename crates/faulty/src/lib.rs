//! Chat servers that are wrong in exactly one known way.
//!
//! A conformance suite is worth what it catches. This crate holds a small
//! correct server and a table of [`Fault`]s: each is the smallest deviation
//! from the correct server that breaks a clause of the spec, some so rarely
//! that only volume shows them. The suite must fail every faulty server, and
//! pass the correct one under every [`Oddity`], such as a queue of five
//! messages or writing one byte at a time.
//!
//! A [`Calibration`] is not a fault to be found but a deviation of known size, which
//! measurements must show exactly.
//!
//! The correct server is one event loop; `locked` is another, with a thread per client, that only
//! shows one more kind of slowness. [`run`] starts it; [`Arguments`] are
//! its command line. Internally every fault overrides a few methods of one
//! trait whose default methods are the correct behaviour.

mod arguments;
mod calibration;
mod chance;
mod client;
mod deviation;
mod error;
mod fault;
mod faults;
mod knobs;
mod locked;
mod server;
mod server_state;
mod start;

pub use arguments::{Arguments, ListFormat};
pub use calibration::Calibration;
pub use error::Error;
pub use fault::{Fault, Shows, UnknownFault};
pub use knobs::{CloseAfterEof, Knobs, Oddity, SlowReader};

use std::time::Duration;

use deviation::{Correct, Deviation};
use server::Server;
use server_state::{Context, ServerState};

/// Listens on `address`, says so on standard output and serves until SIGTERM or
/// SIGINT, with `fault` if there is one.
///
/// The server takes the process over: it handles the two signals, it writes to
/// standard output, and some faults end the process from within.
///
/// # Errors
///
/// When the server cannot start, or when its fault ends it.
pub fn run(fault: Option<Fault>, knobs: &Knobs, address: &str) -> Result<(), Error> {
    run_argument(deviation(fault, None), knobs, Some(address))
}

/// The deviation of a fault or of a calibration, or of neither.
fn deviation(fault: Option<Fault>, calibration: Option<Calibration>) -> Box<dyn Deviation> {
    match (fault, calibration) {
        (Some(fault), _) => (fault.make)(),
        (None, Some(calibration)) => calibration.deviation(),
        (None, None) => Box::new(Correct),
    }
}

/// [`run`] for a command line whose address may be missing.
fn run_argument(
    mut deviation: Box<dyn Deviation>,
    knobs: &Knobs,
    argument: Option<&str>,
) -> Result<(), Error> {
    match start(&mut *deviation, knobs, argument) {
        Ok(state) if knobs.global_lock => locked::serve(&state.listener, &state.context),
        Ok(state) => Server::new(state, deviation).run(),
        Err(error) => deviation.not_started(error),
    }
}

fn start(
    deviation: &mut dyn Deviation,
    knobs: &Knobs,
    argument: Option<&str>,
) -> Result<ServerState, Error> {
    let candidates = deviation.resolve(argument)?;
    let argument = argument.unwrap_or_default();
    std::thread::sleep(Duration::from_millis(knobs.start_milliseconds));
    deviation.before_bind(argument).map_err(Error::system("write to standard output"))?;
    let listener = deviation.listen(&candidates)?;
    let name = start::name_of(&listener, argument).map_err(Error::system("name the listener"))?;
    // Handlers first: a signal may follow the line at once.
    let context = Context::new(knobs.clone()).map_err(Error::system("handle signals"))?;
    let state =
        ServerState::new(listener, context).map_err(Error::system("set up the event loop"))?;
    deviation.announce(&name).map_err(Error::system("write to standard output"))?;
    Ok(state)
}
