//! What an operator has chosen, wherever it was written: here options become limits, and are
//! checked against each other.

mod cluster;
mod upstream;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use zillions_log::{LogError, RING_BYTES_MIN};
use zillions_websocket::Token;

use crate::admission::AdmissionLimits;
use crate::codec::Spoken;
use crate::config::Config;
use crate::error::Error;
use crate::listen::SocketOptions;
use crate::listen_address::{Scheme, parse_listen};
use crate::listener_options::ListenerOptions;
use crate::listener_rules::ListenerRules;
use crate::listener_settings::rules_of;
use crate::options::{
    ClientOptions, Options, RoomOptions, ServerOptions, TlsOptions, WebSocketOptions,
};
use crate::protocols::Protocols;
use crate::room::RoomConfig;
use crate::slow_reader::SlowReaderPolicy;
use crate::web;

/// The largest ring, in bytes. All of it is allocated at the start, and a ring larger than the
/// processor's caches is slower, not faster.
const RING_BYTES_MAX: usize = 1 << 30;
/// How long a client may take for its handshake: several round trips to anywhere.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name of a room, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Everything that an operator can choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The config file, if they are from one.
    pub file: Option<PathBuf>,
    /// Of the process.
    pub server: ServerOptions,
    /// Of all clients.
    pub clients: ClientOptions,
    /// Of those that come over WebSocket.
    pub websocket: WebSocketOptions,
    /// Of those that come over TLS.
    pub tls: TlsOptions,
    /// The rooms, each with its addresses.
    pub rooms: Vec<RoomOptions>,
}

impl Settings {
    /// What the command line says, which has one room.
    pub(crate) fn of_command_line(options: &Options) -> Self {
        let name = "main".to_owned();
        let listen = options.addresses.iter().map(ListenerOptions::plain).collect();
        let room = RoomOptions { name, listen, ..options.room.clone() };
        Self {
            file: None,
            server: options.server.clone(),
            clients: options.clients.clone(),
            websocket: options.websocket.clone(),
            tls: options.tls.clone(),
            rooms: vec![room],
        }
    }

    /// The addresses to listen on, room by room.
    ///
    /// # Errors
    /// When one is invalid or given twice.
    pub fn addresses(&self) -> Result<Vec<Vec<SocketAddr>>, Error> {
        let mut seen = HashSet::new();
        self.each_room(|room| {
            if room.listen.is_empty() {
                return Err(Error::Contradiction(
                    "it has no address: write for example listen = [\"127.0.0.1:4000\"]".into(),
                ));
            }
            let mut addresses = Vec::new();
            for listener in &room.listen {
                let address = parse_listen(&listener.address)?.1;
                if seen.contains(&address) && address.port() != 0 {
                    return Err(Error::AddressTwice { address });
                }
                seen.insert(address);
                addresses.push(address);
            }
            Ok(addresses)
        })
    }

    /// Checks that each upstream server has an address now, and that none is one of these
    /// addresses, which the server listens on.
    ///
    /// # Errors
    /// When one is invalid, or this server itself.
    pub fn check_upstreams(&self, listening: &[SocketAddr]) -> Result<(), Error> {
        let check = |room: &RoomOptions| {
            room.upstream.iter().try_for_each(|text| upstream::check(text, listening))
        };
        self.each_room(check).map(drop)
    }

    /// The address of administration, and the token that is asked for there.
    ///
    /// # Errors
    /// When one is given without the other, or the token cannot be read.
    pub(crate) fn admin(&self) -> Result<Option<(&str, Token)>, Error> {
        let server = &self.server;
        match (&server.admin, &server.admin_token_file) {
            (None, None) => Ok(None),
            (Some(address), Some(path)) => match web::read_token("--admin-token-file", path) {
                Ok(token) => Ok(Some((address, token))),
                Err(Error::Contradiction(text)) => Err(self.contradiction(text)),
                Err(error) => Err(error),
            },
            (Some(_), None) => {
                Err(self.contradiction("--admin requires --admin-token-file".into()))
            }
            (None, Some(_)) => {
                Err(self.contradiction("--admin-token-file requires --admin".into()))
            }
        }
    }

    /// What is spoken at each of the addresses, in their order; `None` is the plain protocol.
    ///
    /// # Errors
    /// When an option is invalid or has no effect, or a file that one names cannot be used.
    pub(crate) fn protocols(&self) -> Result<Vec<Vec<Spoken>>, Error> {
        let schemes = self.each_room(|room| {
            room.listen
                .iter()
                .map(|it| Ok(parse_listen(&it.address)?.0))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let protocols = Protocols::new(&self.websocket, &self.tls, &schemes.concat());
        let protocols = protocols.map_err(|error| match error {
            Error::Contradiction(text) => self.contradiction(text),
            error => error,
        })?;
        let of_room = |schemes: Vec<Scheme>| -> Vec<Spoken> {
            schemes.into_iter().map(|scheme| protocols.of(scheme)).collect()
        };
        Ok(schemes.into_iter().map(of_room).collect())
    }

    /// What clients may do at each of the addresses, in their order.
    ///
    /// # Errors
    /// When rules contradict each other.
    pub fn rules(&self) -> Result<Vec<Vec<ListenerRules>>, Error> {
        self.each_room(rules_of)
    }

    /// The rooms, in the order of [`addresses`](Self::addresses).
    ///
    /// # Errors
    /// [`Error::Contradiction`], which names the options.
    pub fn rooms(&self) -> Result<Vec<RoomConfig>, Error> {
        let mut names = HashSet::new();
        let rooms = self.each_room(|room| {
            check_name(&room.name)?;
            if !names.insert(room.name.clone()) {
                return Err(Error::Contradiction("another room has this name".into()));
            }
            let ring_bytes = room.ring_bytes.0;
            check_ring(ring_bytes)?;
            let slow_reader = SlowReaderPolicy::new(
                room.slow_reader,
                room.max_client_lag_bytes.map(|size| size.0),
                room.eviction_timeout_seconds,
                ring_bytes,
            )?;
            if let (Some(of_room), Some(all)) = (room.max_clients, self.clients.max_clients)
                && of_room > all
            {
                return Err(Error::Contradiction(format!(
                    "--max-clients {of_room} is more than the {all} of [clients]"
                )));
            }
            let clients_max = room.max_clients.map(NonZeroUsize::get);
            let (name, upstreams) = (room.name.clone(), room.upstream.clone());
            let upstream_ca = upstream::ca(room)?;
            let cluster = cluster::cluster(room)?;
            Ok(RoomConfig {
                name,
                ring_bytes,
                slow_reader,
                clients_max,
                upstreams,
                upstream_ca,
                cluster,
            })
        })?;
        if rooms.is_empty() {
            return Err(self.contradiction("it has no room: add a table [[room]]".into()));
        }
        Ok(rooms)
    }

    /// The limits of the core, checked against each other.
    ///
    /// # Errors
    /// [`Error::Contradiction`], which names the options.
    pub fn config(&self) -> Result<Config, Error> {
        let clients = &self.clients;
        if let (Some(per_ip), Some(all)) = (clients.max_clients_per_ip, clients.max_clients)
            && per_ip > all
        {
            return Err(self.contradiction(format!(
                "--max-clients-per-ip {per_ip} is more than --max-clients {all}"
            )));
        }
        if clients.idle_traffic.is_some() && clients.idle_timeout_seconds.is_none() {
            return Err(self.contradiction("--idle-traffic requires --idle-timeout-seconds".into()));
        }
        Ok(Config {
            admission: AdmissionLimits {
                clients_max: clients.max_clients.map(NonZeroUsize::get),
                clients_per_ip_max: clients.max_clients_per_ip.map(NonZeroUsize::get),
            },
            idle_timeout: clients
                .idle_timeout_seconds
                .map(|seconds| Duration::from_secs(seconds.get())),
            idle_traffic: clients.idle_traffic.unwrap_or_default(),
            coalesce_max: Duration::from_micros(self.server.max_coalesce_microseconds),
            lame_duck: Duration::from_secs(self.server.lame_duck_seconds),
            drain_timeout: Duration::from_secs(self.server.drain_timeout_seconds),
            handshake_timeout: HANDSHAKE_TIMEOUT,
        })
    }

    /// What is set on every connection.
    ///
    /// # Errors
    /// [`Error::Contradiction`], which names the options.
    pub fn socket_options(&self) -> Result<SocketOptions, Error> {
        let clients = &self.clients;
        let send_buffer_bytes = clients.send_buffer_bytes.0;
        let unsent_bytes_max = clients.max_unsent_bytes.map_or(send_buffer_bytes / 2, |it| it.0);
        if !(4096..=1 << 30).contains(&send_buffer_bytes) {
            return Err(self.contradiction(format!(
                "--send-buffer-bytes {send_buffer_bytes} is not between 4096 and 1 GiB"
            )));
        }
        if unsent_bytes_max > send_buffer_bytes || unsent_bytes_max == 0 {
            return Err(self.contradiction(format!(
                "--max-unsent-bytes {unsent_bytes_max} is not between 1 and --send-buffer-bytes \
                 {send_buffer_bytes}"
            )));
        }
        Ok(SocketOptions {
            send_buffer_bytes,
            unsent_bytes_max,
            keepalive: clients.keepalive_seconds.0,
            user_timeout: clients.user_timeout_seconds.0,
        })
    }

    /// Asks `what` of each room; an error says which room it is about.
    fn each_room<T>(
        &self,
        mut what: impl FnMut(&RoomOptions) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let ask = |room| {
            what(room).map_err(|error| match &self.file {
                None => error,
                Some(path) => Error::Config {
                    path: path.clone(),
                    line: room.line,
                    what: format!("room '{}': {}", room.name, as_keys(&error.to_string())),
                },
            })
        };
        self.rooms.iter().map(ask).collect()
    }

    /// A contradiction that is of no room; `text` names options as the command line does.
    fn contradiction(&self, text: String) -> Error {
        match &self.file {
            None => Error::Contradiction(text),
            Some(path) => Error::Config { path: path.clone(), line: None, what: as_keys(&text) },
        }
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_valid = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_valid {
        return Ok(());
    }
    Err(Error::Contradiction(format!(
        "invalid name: write name = \"…\" with 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' or '.'"
    )))
}

fn check_ring(bytes: usize) -> Result<(), Error> {
    if bytes > RING_BYTES_MAX {
        return Err(Error::Contradiction(format!(
            "--ring-bytes {bytes} is more than 1 GiB: more memory than is of use"
        )));
    }
    if !bytes.is_power_of_two() || bytes < RING_BYTES_MIN {
        return Err(Error::Ring(LogError::Size { bytes }));
    }
    Ok(())
}

/// The text with each `--some-option` written as the key of a config file, `some_option`.
pub(crate) fn as_keys(text: &str) -> String {
    let mut words = text.split("--");
    let mut keys = words.next().unwrap_or_default().to_owned();
    for word in words {
        let end = word.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(word.len());
        keys += &word[..end].replace('-', "_");
        keys += &word[end..];
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_a_key_with_underscores() {
        let text = "--max-client-lag-bytes 300 is less than half of --ring-bytes: too-small";
        let keys = "max_client_lag_bytes 300 is less than half of ring_bytes: too-small";
        assert_eq!(as_keys(text), keys);
    }
}
