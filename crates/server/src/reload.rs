//! SIGHUP: the config file is read again, and what has changed is applied.
//!
//! Everything that can fail is done before anything is changed. So a file that is wrong, or an
//! address that is taken, leaves the server as it was.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{info, warn};

use crate::codec::Spoken;
use crate::config_file;
use crate::descriptors::check_descriptors;

use crate::error::Error;
use crate::keys::{ListenerId, RoomKey};
use crate::listen::{Listener, Listeners, SocketOptions};
use crate::listener_rules::ListenerRules;
use crate::options::ServerOptions;
use crate::room::{Room, RoomConfig};
use crate::serve::{OpenRoom, Serving, StartUplink};
use crate::shared::Shared;

/// What a config file has opened so far.
pub(crate) struct Reload {
    path: PathBuf,
    server: ServerOptions,
    rooms: Vec<OpenRoom>,
    shared: Arc<Shared<OwnedFd>>,
    listeners: Arc<Listeners>,
    start_uplink: StartUplink,
}

/// A room as it is to be.
struct Plan {
    config: RoomConfig,
    place: Place,
    sockets: Vec<Planned>,
}

/// An address as it is to be.
struct Planned {
    address: SocketAddr,
    protocol: Spoken,
    rules: ListenerRules,
    socket: PlannedSocket,
}

enum Place {
    Open(RoomKey),
    New(Box<Room>),
}

enum PlannedSocket {
    Open(ListenerId),
    New(Listener),
}

impl Reload {
    /// What the file said of the process, and the server that serves the rest of it.
    pub(crate) fn new(path: PathBuf, server: ServerOptions, serving: Serving) -> Self {
        let Serving { rooms, shared, listeners, start_uplink } = serving;
        Self { path, server, rooms, shared, listeners, start_uplink }
    }

    /// Applies what has changed in the file, or nothing of it; says which in one log line.
    pub(crate) fn reload(&mut self) {
        match self.apply_file() {
            Ok((opened, closed)) => {
                let rooms = self.rooms.len();
                info!(rooms, opened, closed, "config file reloaded");
            }
            Err(error) => warn!("config file not reloaded, nothing has changed: {error}"),
        }
    }

    /// How many rooms it has opened and closed.
    fn apply_file(&mut self) -> Result<(usize, usize), Error> {
        let settings = config_file::read(&self.path)?;
        let rooms = settings.rooms()?;
        let config = settings.config()?;
        let options = settings.socket_options()?;
        let addresses = settings.addresses()?;
        let protocols = settings.protocols()?;
        let rules = settings.rules()?;
        let sockets = addresses.concat().len();
        check_descriptors(config.admission.clients_max, self.shared.shards(), sockets)?;
        settings.check_upstreams(&addresses.concat())?;
        let spoken = addresses.concat().into_iter().zip(protocols.concat());
        let mut wanted =
            spoken.zip(rules.concat()).map(|((it, spoken), rules)| (it, spoken, rules));
        let of_rooms = addresses.iter().map(|it| wanted.by_ref().take(it.len()).collect());
        let plans = self.plan(rooms, of_rooms.collect(), &options)?;

        if restart_is_needed(&self.server, &settings.server) {
            warn!("engine, shards, metrics, admin and the log change with a restart only");
        }
        self.shared.set_config(config);
        if let Err(error) = self.listeners.configure(&options) {
            warn!(%error, "cannot change the socket options of new connections");
        }
        Ok(self.carry_out(plans))
    }

    /// Binds the new addresses and makes the new rooms; nothing is served yet.
    fn plan(
        &self,
        rooms: Vec<RoomConfig>,
        addresses: Vec<Vec<(SocketAddr, Spoken, ListenerRules)>>,
        options: &SocketOptions,
    ) -> Result<Vec<Plan>, Error> {
        let mut kept = HashSet::new();
        let mut plans = Vec::new();
        for (config, addresses) in rooms.into_iter().zip(addresses) {
            let mut sockets = Vec::new();
            for (address, protocol, rules) in addresses {
                let socket = match self.find_socket(&config.name, address, &kept) {
                    Some(id) => {
                        kept.insert(id);
                        PlannedSocket::Open(id)
                    }
                    None => PlannedSocket::New(Listener::bind(address, options)?),
                };
                sockets.push(Planned { address, protocol, rules, socket });
            }
            let place = match self.rooms.iter().find(|room| room.config.may_become(&config)) {
                Some(room) => Place::Open(room.key),
                None => {
                    let room = Room::new(config.clone(), self.shared.shards());
                    Place::New(Box::new(room.map_err(Error::Ring)?))
                }
            };
            plans.push(Plan { config, place, sockets });
        }
        Ok(plans)
    }

    /// The socket of an address. One whose port the kernel chose stays with its room.
    fn find_socket(
        &self,
        room: &str,
        address: SocketAddr,
        kept: &HashSet<ListenerId>,
    ) -> Option<ListenerId> {
        let rooms = self.rooms.iter().filter(|it| address.port() != 0 || it.config.name == room);
        let mut sockets = rooms.flat_map(|room| &room.sockets);
        let socket = sockets.find(|(known, id)| *known == address && !kept.contains(id));
        socket.map(|(_, id)| *id)
    }

    fn carry_out(&mut self, plans: Vec<Plan>) -> (usize, usize) {
        let before = std::mem::take(&mut self.rooms);
        let mut opened = 0;
        for Plan { config, place, sockets } in plans {
            let key = match place {
                Place::Open(key) => {
                    self.shared.set_clients_max(key, config.clients_max);
                    key
                }
                Place::New(room) => {
                    opened += 1;
                    let key = self.shared.add_room(*room);
                    if let Err(error) = (self.start_uplink)(key) {
                        warn!(room = %config.name, %error, "cannot start the uplink");
                    }
                    key
                }
            };
            let mut open = OpenRoom { config, key, sockets: Vec::new() };
            for Planned { address, protocol, rules, socket } in sockets {
                let id = match socket {
                    PlannedSocket::Open(id) => {
                        self.shared.set_protocol(id, protocol);
                        self.shared.set_rules(id, rules);
                        self.shared.add_listener(id, key);
                        id
                    }
                    PlannedSocket::New(listener) => {
                        let id = self.listeners.next_id();
                        self.shared.set_protocol(id, protocol);
                        self.shared.set_rules(id, rules);
                        self.open_socket(&open.config, key, id, listener);
                        id
                    }
                };
                open.sockets.push((address, id));
            }
            self.rooms.push(open);
        }
        let sockets = |rooms: &[OpenRoom]| -> HashSet<ListenerId> {
            rooms.iter().flat_map(|room| room.sockets.iter().map(|(_, id)| *id)).collect()
        };
        for &id in sockets(&before).difference(&sockets(&self.rooms)) {
            self.shared.remove_listener(id);
            self.listeners.close_one(id);
        }
        let mut closed = 0;
        for room in before.iter().filter(|old| self.rooms.iter().all(|new| new.key != old.key)) {
            info!(room = %room.config.name, "room closes");
            self.shared.close_room(room.key);
            closed += 1;
        }
        (opened, closed)
    }

    fn open_socket(&self, room: &RoomConfig, key: RoomKey, id: ListenerId, listener: Listener) {
        let address = listener.address();
        // In this order: once it is registered a connection may be reported.
        self.shared.add_listener(id, key);
        match self.listeners.add(id, listener) {
            Ok(()) => info!(room = %room.name, %address, "listening"),
            Err(error) => warn!(room = %room.name, %address, %error, "cannot accept connections"),
        }
    }
}

/// Whether something has changed that is not applied to a running server.
fn restart_is_needed(old: &ServerOptions, new: &ServerOptions) -> bool {
    let fixed = |it: &ServerOptions| {
        let endpoints = (&it.metrics, &it.admin, &it.admin_token_file);
        format!("{:?}", (&it.engine, it.shards, endpoints, it.log_format, it.log_level))
    };
    fixed(old) != fixed(new)
}
