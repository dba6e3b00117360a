//! From a prepared server to its end: threads, the ready line, signals; then
//! [`supervision`](crate::supervision).

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use signal_hook::iterator::Signals;
use tracing::info;

use crate::admin::{Admin, Asker};
use crate::codec::Spoken;
use crate::config::Config;
use crate::engine::{Engine, Wake};
use crate::error::Error;
use crate::http::Endpoint;
use crate::keys::{ListenerId, RoomKey};
use crate::listen::Listeners;
use crate::listen_address::Scheme;
use crate::listener_rules::ListenerRules;
use crate::manager::Manager;
use crate::metrics;
use crate::room::{Room, RoomConfig};
use crate::shard::Shard;
use crate::shared::Shared;
use crate::socket_engine::SocketEngine;
use crate::supervision::{Event, OnHangup, Supervision};
use crate::uplink;

/// Everything that a server needs before it has an engine.
pub(crate) struct Core {
    /// The addresses as given on the command line.
    pub(crate) addresses: Vec<String>,
    /// What is spoken at each, if not the plain protocol.
    pub(crate) protocols: Vec<Spoken>,
    /// What clients may do at each.
    pub(crate) rules: Vec<ListenerRules>,
    pub(crate) config: Config,
    pub(crate) shards: usize,
    /// The rooms, each with its listening sockets.
    pub(crate) rooms: Vec<(Room, Vec<(SocketAddr, ListenerId)>)>,
    /// Makes what is done on each SIGHUP, if that is not to end the process.
    pub(crate) on_hangup: Option<Box<dyn FnOnce(Serving) -> OnHangup>>,
    pub(crate) metrics: Option<Endpoint>,
    pub(crate) admin: Option<Admin>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) signals: Signals,
    pub(crate) manager: Manager,
}

/// A server that serves.
pub(crate) struct Serving {
    pub(crate) rooms: Vec<OpenRoom>,
    pub(crate) shared: Arc<Shared<OwnedFd>>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) start_uplink: StartUplink,
}

/// Starts the uplink of a room that has an upstream.
pub(crate) type StartUplink = Box<dyn Fn(RoomKey) -> io::Result<()>>;

/// An open room, and its sockets by the addresses that were asked for.
#[derive(Clone, Debug)]
pub(crate) struct OpenRoom {
    pub(crate) config: RoomConfig,
    pub(crate) key: RoomKey,
    pub(crate) sockets: Vec<(SocketAddr, ListenerId)>,
}

/// Serves until a signal arrives.
pub(crate) type Prepared = Box<dyn FnOnce() -> Result<(), Error>>;

/// A server whose engine does not work here.
pub(crate) struct Unprepared {
    pub(crate) core: Box<Core>,
    pub(crate) source: io::Error,
}

impl Core {
    /// Makes the engines, and so finds out whether they work here: returns how to serve with
    /// them, or itself, for another engine.
    pub(crate) fn prepare<E: SocketEngine>(self: Box<Self>) -> Result<Prepared, Unprepared> {
        let engines = || {
            E::probe()?;
            let engines = (0..self.shards).map(|_| E::new(Arc::clone(&self.listeners)));
            let engines = engines.collect::<io::Result<Vec<_>>>()?;
            // A server without a descriptor for a client would be of no use.
            self.listeners.probe_descriptor()?;
            Ok(engines)
        };
        match engines() {
            Ok(engines) => Ok(Box::new(move || self.serve(engines))),
            Err(source) => Err(Unprepared { core: self, source }),
        }
    }

    /// Starts the shards, prints the ready line, and serves until a signal arrives.
    fn serve<E: SocketEngine>(self, engines: Vec<(E, Wake)>) -> Result<(), Error> {
        let (engines, wakes): (Vec<_>, Vec<Wake>) = engines.into_iter().unzip();
        let ring_bytes: usize = self.rooms.iter().map(|(room, _)| room.config.ring_bytes).sum();
        let shared = Arc::new(Shared::new(self.config, wakes));
        let mut spoken = self.protocols.into_iter().zip(self.rules);
        let open = |(room, sockets): (Room, Vec<(SocketAddr, ListenerId)>)| {
            let config = room.config.clone();
            let key = shared.add_room(room);
            for (&(_, listener), (protocol, rules)) in sockets.iter().zip(spoken.by_ref()) {
                shared.set_protocol(listener, protocol);
                shared.set_rules(listener, rules);
                shared.add_listener(listener, key);
            }
            OpenRoom { config, key, sockets }
        };
        let rooms: Vec<OpenRoom> = self.rooms.into_iter().map(open).collect();
        let (sender, events) = mpsc::channel();
        let start_uplink = starting_uplinks(&shared, &self.listeners, &sender);
        rooms
            .iter()
            .try_for_each(|room| start_uplink(room.key))
            .map_err(system("start a thread"))?;
        watch(self.signals, sender.clone()).map_err(system("start a thread"))?;
        for (number, engine) in engines.into_iter().enumerate() {
            let shard = Shard::new(number, engine, Arc::clone(&shared));
            start(shard, number, sender.clone()).map_err(system("start a thread"))?;
        }
        if let Some(endpoint) = self.metrics {
            metrics::serve(endpoint, Arc::clone(&shared))?;
        }
        if let Some(admin) = self.admin {
            admin.serve(Asker::new(Arc::clone(&shared), sender.clone()))?;
        }
        print_ready(&self.addresses, &self.listeners)
            .map_err(system("write to standard output"))?;
        info!(shards = self.shards, rooms = rooms.len(), ring_bytes, engine = E::NAME, "serving");
        let on_hangup = self.on_hangup.map(|make| {
            let (shared, listeners) = (Arc::clone(&shared), Arc::clone(&self.listeners));
            make(Serving { rooms, shared, listeners, start_uplink })
        });
        Supervision::new(&shared, &self.listeners, &events, self.manager).run(on_hangup)
    }
}

/// An [`Error::System`] that says what failed.
pub(crate) fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { doing, source }
}

fn watch(mut signals: Signals, events: Sender<Event>) -> io::Result<()> {
    let watch = move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
}

fn start<E>(mut shard: Shard<E>, number: usize, events: Sender<Event>) -> io::Result<()>
where
    E: Engine + Send + 'static,
    E::Stream: Send,
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

/// How the uplinks of rooms are started, now and when the config file is read again.
fn starting_uplinks(
    shared: &Arc<Shared<OwnedFd>>,
    listeners: &Arc<Listeners>,
    events: &Sender<Event>,
) -> StartUplink {
    let (shared, listeners) = (Arc::clone(shared), Arc::clone(listeners));
    let events = events.clone();
    Box::new(move |room| {
        let events = events.clone();
        uplink::start(&shared, room, &listeners, move || {
            let _ = events.send(Event::UplinkPanicked);
        })
    })
}

/// The ready line; one for each address.
fn print_ready(given: &[String], listeners: &Listeners) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for (given, bound) in given.iter().zip(listeners.addresses()) {
        let (scheme, address) = Scheme::split(given);
        // An address is printed as given; a name or port 0 as what it was resolved to.
        match address.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => writeln!(stdout, "listening on {given}")?,
            _ => writeln!(stdout, "listening on {}{bound}", scheme.prefix())?,
        }
    }
    stdout.flush()
}
