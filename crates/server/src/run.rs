//! From options to a running server, and to its end.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{info, warn};
use zillions_log::Log;

use crate::config::Config;
use crate::epoll::Epoll;
use crate::error::Error;
use crate::house::{House, Wake};
use crate::io::Io;
use crate::listen::Listeners;
use crate::options::{Engine, Options};
use crate::shard::Shard;
use crate::uring::Uring;
use crate::{logging, metrics};

/// Descriptors that are not clients': standard ones, listeners, engines, metrics, and some spare.
const DESCRIPTORS_BESIDE_CLIENTS: u64 = 64;
/// How much longer than `--drain-seconds` the shards may take to end.
const DRAIN_SLACK: Duration = Duration::from_secs(1);

/// The whole program: parses the command line, runs, says in one line what went wrong.
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

/// Help as it is; everything else in one line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // If standard output is closed there is nobody to tell.
        let _ = error.print();
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

/// Something that the main thread waits for.
enum Event {
    Signal,
    /// A shard's thread is over, with what went wrong, if anything.
    Ended(usize, Result<(), String>),
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
    check_descriptors(config.clients_max)?;
    logging::install(options);
    let log = Log::new(options.ring_bytes, shards).map_err(Error::Ring)?;
    let metrics = options.metrics.as_deref().map(metrics::Endpoint::bind).transpose()?;
    let listeners = Arc::new(Listeners::bind(&addresses, &socket_options)?);

    // Before any thread starts, so that no signal is missed.
    let signals = Signals::new([SIGTERM, SIGINT]).map_err(system("listen for signals"))?;
    let core = Core { options, config, shards, log, metrics, listeners, signals };
    match choose(options.engine, shards)? {
        Engine::IoUring => core.serve("io-uring", Uring::new),
        Engine::Auto | Engine::Epoll => core.serve("epoll", Epoll::new),
    }
}

fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { doing, source }
}

/// Settles on an engine that works here, and says in the log which and why.
fn choose(asked: Engine, shards: usize) -> Result<Engine, Error> {
    match (asked, Uring::probe(shards)) {
        (Engine::IoUring, Err(source)) => Err(Error::Uring { source }),
        (Engine::IoUring | Engine::Epoll, _) => {
            info!(engine = asked.name(), "engine as asked");
            Ok(asked)
        }
        (Engine::Auto, Ok(())) => {
            let engine = Engine::IoUring;
            info!(engine = engine.name(), "io_uring works here, and needs fewer system calls");
            Ok(engine)
        }
        (Engine::Auto, Err(error)) => {
            info!(engine = "epoll", "io_uring does not work here: {error}");
            Ok(Engine::Epoll)
        }
    }
}

/// Everything that a server needs before it has an engine.
struct Core<'a> {
    options: &'a Options,
    config: Config,
    shards: usize,
    log: Log,
    metrics: Option<metrics::Endpoint>,
    listeners: Arc<Listeners>,
    signals: Signals,
}

impl Core<'_> {
    /// Starts the shards, says that it listens, and serves until a signal comes.
    fn serve<I>(
        self,
        engine: &'static str,
        make: impl Fn(Arc<Listeners>) -> io::Result<(I, Wake)>,
    ) -> Result<(), Error>
    where
        I: Io<Stream = OwnedFd> + Send + 'static,
    {
        let engines = (0..self.shards).map(|_| make(Arc::clone(&self.listeners)));
        let engines =
            engines.collect::<io::Result<Vec<_>>>().map_err(system("start the engine"))?;
        let (ios, wakes): (Vec<_>, Vec<Wake>) = engines.into_iter().unzip();
        let house = Arc::new(House::new(self.log, self.config, wakes));
        let (sender, events) = mpsc::channel();
        watch(self.signals, sender.clone()).map_err(system("start a thread"))?;
        for (number, io) in ios.into_iter().enumerate() {
            let shard = Shard::new(number, io, Arc::clone(&house));
            start(shard, number, sender.clone()).map_err(system("start a thread"))?;
        }
        if let Some(endpoint) = self.metrics {
            info!(address = %endpoint.address, "metrics");
            endpoint.serve(Arc::clone(&house))?;
        }
        say(&self.options.addresses, &self.listeners)
            .map_err(system("write to standard output"))?;
        let Options { ring_bytes, .. } = self.options;
        info!(shards = self.shards, ring_bytes, engine, "serving");
        serve(&house, &self.listeners, &events)
    }
}

/// Raises the soft descriptor limit to the hard one, and looks whether it is enough.
fn check_descriptors(clients_max: Option<usize>) -> Result<(), Error> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current }.unwrap_or(u64::MAX);
    let Some(clients) = clients_max else { return Ok(()) };
    let needed = clients as u64 + DESCRIPTORS_BESIDE_CLIENTS;
    if needed > limit { Err(Error::Descriptors { clients, needed, limit }) } else { Ok(()) }
}

fn watch(mut signals: Signals, events: Sender<Event>) -> io::Result<()> {
    let watch = move || {
        for _ in signals.forever() {
            if events.send(Event::Signal).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
}

fn start<I>(mut shard: Shard<I>, number: usize, events: Sender<Event>) -> io::Result<()>
where
    I: Io + Send + 'static,
    I::Stream: Send,
{
    let run = move || {
        let outcome = match catch_unwind(AssertUnwindSafe(|| shard.run())) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("it panicked, which is a bug".into()),
        };
        let _ = events.send(Event::Ended(number, outcome));
    };
    thread::Builder::new().name(format!("shard-{number}")).spawn(run).map(drop)
}

/// The ready line; one for each address.
fn say(given: &[String], listeners: &Listeners) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for (given, bound) in given.iter().zip(listeners.addresses()) {
        // An address stands there as it was given; a name or port 0 as what became of it.
        match given.parse::<std::net::SocketAddr>() {
            Ok(address) if address.port() != 0 => writeln!(stdout, "listening on {given}")?,
            _ => writeln!(stdout, "listening on {bound}")?,
        }
    }
    stdout.flush()
}

/// Waits for a signal, then for the shards to have sent what was queued.
fn serve(
    house: &House<OwnedFd>,
    listeners: &Listeners,
    events: &Receiver<Event>,
) -> Result<(), Error> {
    let broken = |number, outcome: Result<(), String>| match outcome {
        Ok(()) => Ok(()),
        Err(reason) => Err(Error::Shard { number, reason }),
    };
    match events.recv().expect("the threads hold the other end") {
        Event::Signal => {}
        Event::Ended(number, outcome) => broken(number, outcome)?,
    }
    info!(drain_seconds = house.config.drain.as_secs(), "stopping");
    listeners.close();
    house.close();
    let deadline = Instant::now() + house.config.drain + DRAIN_SLACK;
    let mut running = house.shards();
    while running > 0 {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Signal) => {
                warn!("told twice: stopping at once");
                return Ok(());
            }
            Ok(Event::Ended(number, outcome)) => {
                broken(number, outcome)?;
                running -= 1;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                warn!(shards = running, "not everything could be flushed in time");
                return Ok(());
            }
        }
    }
    info!("stopped");
    Ok(())
}
