//! From the command line to a prepared server.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use zillions_signals::not_ignored;

use crate::admin::Admin;
use crate::descriptors::{check_descriptors, descriptors_beside_clients};
use crate::error::Error;
use crate::http::Endpoint;
use crate::listen::Listeners;
use crate::manager::Manager;
use crate::options::{LogLevel, Options};
use crate::passed::Passed;
use crate::reload::Reload;
use crate::room::Room;
use crate::serve::{Core, Prepared, Serving, system};
use crate::settings::Settings;
use crate::supervision::OnHangup;
use crate::{config_file, logging};

/// The whole program: parses the command line, runs, and reports an error in one line.
#[must_use]
pub fn execute() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return usage(&error),
    };
    let code = match carry_out(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::say(&format!("zillions-server: error: {error}"));
            ExitCode::from(error.exit_code())
        }
    };
    logging::flush();
    code
}

/// What the command line asks for.
fn carry_out(options: &Options) -> Result<(), Error> {
    let say = |text: &str| zillions_console::out(text).map_err(system("write to standard output"));
    if options.print_config {
        return say(&config_file::defaults());
    }
    if let Some(path) = &options.check_config {
        check(path)?;
        return say(&format!("{}: valid\n", path.display()));
    }
    run(options)
}

/// Reads a config file, and every file that it names, as running does; warns of the same, too.
fn check(path: &Path) -> Result<(), Error> {
    let settings = config_file::read(path)?;
    // Whatever `log_level` says: who asks wants to know.
    logging::install(LogLevel::Warn, settings.server.log_format)?;
    settings.rooms()?;
    settings.config()?;
    settings.socket_options()?;
    settings.addresses()?;
    settings.rules()?;
    settings.protocols()?;
    settings.admin()?;
    Ok(())
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
    let settings = match &options.config {
        Some(path) => config_file::read(path)?,
        None => Settings::of_command_line(options),
    };
    let served = prepare(&settings).and_then(|serve| serve());
    served.map_err(|error| match error {
        error if lacks_descriptors(&error) => {
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
            let addresses = settings.rooms.iter().map(|room| room.listen.len()).sum();
            let needed = descriptors_beside_clients(shards(&settings), addresses) + 1;
            Error::Descriptors { needed, limit }
        }
        error => error,
    })
}

/// Whether the process had no descriptor left, whatever it was needed for.
fn lacks_descriptors(error: &Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    causes.any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|error| Errno::from_io_error(error) == Some(Errno::MFILE))
    })
}

fn shards(settings: &Settings) -> usize {
    settings.server.shards.map_or_else(
        || thread::available_parallelism().map_or(1, std::num::NonZero::get),
        std::num::NonZero::get,
    )
}

/// Everything that can fail, before anything is served.
fn prepare(settings: &Settings) -> Result<Prepared, Error> {
    // First: its descriptors are told from the process's own by nothing but their age.
    let mut passed = Passed::from_environment()?;
    let config = settings.config()?;
    let socket_options = settings.socket_options()?;
    let room_configs = settings.rooms()?;
    let addresses = settings.addresses()?;
    let rules = settings.rules()?.concat();
    let server = &settings.server;
    let shards = shards(settings);
    check_descriptors(config.admission.clients_max, shards, addresses.concat().len())?;
    logging::install(server.log_level, server.log_format)?;
    let protocols = settings.protocols()?.concat();
    let rooms = room_configs.into_iter().map(|config| Room::new(config, shards));
    let rooms = rooms.collect::<Result<Vec<_>, _>>().map_err(Error::Ring)?;
    let metrics = server.metrics.as_deref();
    let metrics = metrics.map(|text| Endpoint::bind(text, &mut passed)).transpose()?;
    let admin = settings.admin()?;
    let admin = admin.map(|(text, token)| Admin::bind(text, token, &mut passed)).transpose()?;
    let listeners = Listeners::bind(&addresses.concat(), &socket_options, &mut passed)?;
    let listeners = Arc::new(listeners);
    passed.end()?;
    settings.check_upstreams(&listeners.addresses())?;

    let mut handled = vec![SIGTERM, SIGINT];
    if settings.file.is_some() {
        handled.push(SIGHUP);
    }
    // Before the ready line, so that a signal after it is not missed.
    let signals = Signals::new(not_ignored(&handled)).map_err(system("listen for signals"))?;
    let reload = settings.file.clone().map(|path| (path, server.clone()));
    let on_hangup = reload.map(|(path, server)| {
        let make: Box<dyn FnOnce(Serving) -> OnHangup> = Box::new(move |serving| {
            let mut reload = Reload::new(path, server, serving);
            Box::new(move || reload.reload())
        });
        make
    });
    let mut ids = 0..;
    let with_sockets = |(room, addresses): (Room, Vec<SocketAddr>)| {
        (room, addresses.into_iter().zip(ids.by_ref()).collect())
    };
    let rooms = rooms.into_iter().zip(addresses).map(with_sockets).collect();
    let listeners_given = settings.rooms.iter().flat_map(|room| &room.listen);
    let addresses = listeners_given.map(|listener| listener.address.clone()).collect();
    server.engine.prepare(Core {
        addresses,
        protocols,
        rules,
        config,
        shards,
        rooms,
        on_hangup,
        metrics,
        admin,
        listeners,
        signals,
        manager: Manager::from_environment(),
    })
}
