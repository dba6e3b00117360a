//! From the command line to a prepared server.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use zillions_log::Log;
use zillions_signals::not_ignored;

use crate::error::Error;
use crate::listen::Listeners;
use crate::options::Options;
use crate::serve::{Core, system};
use crate::{logging, metrics};

/// Descriptors that are not clients': standard ones, listeners, engines, metrics, and some spare.
const DESCRIPTORS_BESIDE_CLIENTS: u64 = 64;

/// The whole program: parses the command line, runs, and reports an error in one line.
#[must_use]
pub fn execute() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return usage(&error),
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "zillions-server: error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Help unchanged; everything else in one line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // If its reader has gone, nobody wants it.
        let _ = zillions_console::out(&error.render().ansi().to_string());
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .map(|line| line.trim_start_matches("error: "))
        .collect();
    let _ = writeln!(io::stderr(), "zillions-server: error: {} (see --help)", what.join("; "));
    ExitCode::from(64)
}

/// Serves until a signal ends it.
///
/// # Errors
/// When it cannot start, with nothing left half-started, or a shard fails.
pub fn run(options: &Options) -> Result<(), Error> {
    let config = options.config()?;
    let socket_options = options.socket_options()?;
    let addresses = options.addresses()?;
    let shards = options.shards.map_or_else(
        || thread::available_parallelism().map_or(1, std::num::NonZero::get),
        std::num::NonZero::get,
    );
    check_descriptors(config.admission.clients_max)?;
    logging::install(options);
    let log = Log::new(options.ring_bytes, shards).map_err(Error::Ring)?;
    let metrics = options.metrics.as_deref().map(metrics::Endpoint::bind).transpose()?;
    let listeners = Arc::new(Listeners::bind(&addresses, &socket_options)?);

    // Before any thread starts, so that no signal is missed.
    let signals =
        Signals::new(not_ignored(&[SIGTERM, SIGINT])).map_err(system("listen for signals"))?;
    let engine = options.engine.resolve(shards)?;
    let addresses = options.addresses.clone();
    engine.serve(Core { addresses, config, shards, log, metrics, listeners, signals })
}

/// Raises the soft descriptor limit to the hard one, and checks whether it is enough.
fn check_descriptors(clients_max: Option<usize>) -> Result<(), Error> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current }.unwrap_or(u64::MAX);
    let Some(clients) = clients_max else { return Ok(()) };
    let needed = clients as u64 + DESCRIPTORS_BESIDE_CLIENTS;
    if needed > limit { Err(Error::Descriptors { clients, needed, limit }) } else { Ok(()) }
}
