//! The command line, in groups that a config file has as tables.
//!
//! An option of a group is also a key of the group's table, with `_` for `-`. So a new option is
//! one field here, and its meaning one line in `settings.rs`.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{ArgAction, Args, Command, Parser, ValueEnum};
use serde::Deserialize;

use crate::cluster::config::Storage;
use crate::config::IdleTraffic;
use crate::engines::EngineChoice;
use crate::listener_options::{ListenerOptions, listeners};
use crate::listener_rules::{Role, UnwantedSender};
pub use crate::logging::{LogFormat, LogLevel};
use crate::slow_reader::SlowReader;
use crate::values::{SecondsOrOff, Size, at_most};

/// The reference chat server: one shared log, an offset per client.
#[derive(Debug, Parser)]
#[command(
    name = "zillions-server",
    version,
    max_term_width = 100,
    after_help = "Sizes are bytes, or end in KiB, MiB or GiB. SIGTERM and SIGINT stop it gracefully, \
                  a second one at once.\nExit codes: 0 stopped by a signal, 64 usage error, 70 \
                  cannot run here."
)]
pub struct Options {
    /// Where to listen, HOST:PORT; tls:// before it for TLS, ws:// or wss:// for WebSocket and a chat
    /// page; may be repeated.
    #[arg(required = true, value_name = "ADDR")]
    pub addresses: Vec<String>,
    /// Read everything from this TOML file, with any number of rooms; no other argument is allowed
    /// beside it.
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub config: Option<PathBuf>,
    /// Say whether a config file and the files that it names are valid, warn as running would, and
    /// end.
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub check_config: Option<PathBuf>,
    /// Print a config file with all defaults and what they mean, and end.
    #[arg(long, exclusive = true)]
    pub print_config: bool,
    /// Of the process.
    #[command(flatten)]
    pub server: ServerOptions,
    /// Of the only room.
    #[command(flatten)]
    pub room: RoomOptions,
    /// Of all clients.
    #[command(flatten)]
    pub clients: ClientOptions,
    /// Of those that come over WebSocket.
    #[command(flatten)]
    pub websocket: WebSocketOptions,
    /// Of those that come over TLS.
    #[command(flatten)]
    pub tls: TlsOptions,
}

/// What concerns the whole process: the table `[server]` of a config file.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerOptions {
    /// I/O backend; auto logs its choice and the reason.
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = EngineChoice::parser())]
    pub engine: EngineChoice,
    /// Threads that serve clients [default: the available cores].
    #[arg(long, value_name = "N")]
    pub shards: Option<NonZeroUsize>,
    /// Maximum send-coalescing delay of a busy shard; 0 disables it.
    #[arg(long, value_name = "MICROSECONDS", default_value = "100", value_parser = clap::value_parser!(u64).range(0..=100_000))]
    #[serde(deserialize_with = "at_most::<_, 100_000>")]
    pub max_coalesce_microseconds: u64,
    /// Over what time a stop sends the clients away, one by one, before it ends; it refuses
    /// new connections meanwhile. 0 ends all at once.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = clap::value_parser!(u64).range(0..=3600))]
    #[serde(deserialize_with = "at_most::<_, 3600>")]
    pub lame_duck_seconds: u64,
    /// How long a stop may take to flush what is queued.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clap::value_parser!(u64).range(0..=3600))]
    #[serde(deserialize_with = "at_most::<_, 3600>")]
    pub drain_timeout_seconds: u64,
    /// Serve Prometheus metrics, /healthz and /readyz over HTTP at this address [default: off].
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// Serve administration over HTTP at this address: GET /clients and POST /clients/ID/close, and
    /// what --metrics serves [default: off].
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// The file with the token that each request to --admin must show.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Format of log lines, which go to standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// The least severe log lines to write.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
}

/// What concerns one room: a table `[[room]]` of a config file.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomOptions {
    /// Its name, in a config file.
    #[arg(skip)]
    pub name: String,
    /// Its addresses, in a config file; on the command line they are the arguments.
    #[arg(skip)]
    #[serde(deserialize_with = "listeners")]
    pub listen: Vec<ListenerOptions>,
    /// The maximum number of its clients, in a config file.
    #[arg(skip)]
    pub max_clients: Option<NonZeroUsize>,
    /// The line of its table in the config file.
    #[arg(skip)]
    #[serde(skip)]
    pub line: Option<usize>,
    /// Be an edge of the server at this address: messages go there, and its order is everyone's;
    /// tls:// before it for TLS. Several, and when one fails, the next is tried.
    #[arg(long, value_name = "ADDR")]
    pub upstream: Vec<String>,
    /// A file with the certificates to trust for upstreams at tls:// [default: the system's].
    #[arg(long, value_name = "FILE")]
    pub upstream_ca_file: Option<PathBuf>,
    /// Be a node of a cluster on these servers of NATS JetStream, nats://HOST:PORT or tls://HOST:PORT:
    /// a stream there makes the order of all nodes.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub cluster: Vec<String>,
    /// The room's name in the cluster; all nodes with it are one room [default: the room's name, main
    /// on the command line].
    #[arg(long, value_name = "NAME")]
    pub cluster_room: Option<String>,
    /// How many of the NATS servers hold the stream, 1 or 3: with 3, one may fail.
    #[arg(long, value_name = "N", default_value = "3")]
    pub cluster_replicas: usize,
    /// How they hold it.
    #[arg(long, value_name = "STORAGE", default_value = "file")]
    pub cluster_storage: Storage,
    /// Maximum size of the stream on each of them, for nodes that were away; then the oldest go.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub max_cluster_bytes: Size,
    /// A file with USER:PASSWORD or a token for the NATS servers.
    #[arg(long, value_name = "FILE")]
    pub cluster_credentials_file: Option<PathBuf>,
    /// A file with the certificates to trust for the NATS servers; requires TLS of them [default:
    /// the system's].
    #[arg(long, value_name = "FILE")]
    pub cluster_ca_file: Option<PathBuf>,
    /// What happens to a client that reads too slowly.
    // All of the policy is in slow_reader.rs; here are only its three options.
    #[arg(long, value_name = "POLICY", default_value = "drop")]
    pub slow_reader: SlowReader,
    /// Maximum lag of a client before --slow-reader applies [default: half the ring].
    #[arg(long, value_name = "SIZE")]
    pub max_client_lag_bytes: Option<Size>,
    /// How long one client may block publishers, with --slow-reader backpressure [default: 10].
    #[arg(long, value_name = "SECONDS")]
    pub eviction_timeout_seconds: Option<NonZeroU64>,
    /// Memory for messages, shared by all clients: a power of two.
    #[arg(long, value_name = "SIZE", default_value = "4MiB")]
    pub ring_bytes: Size,
    /// What clients may do. What a client that may only listen sends is passed on to nobody; one
    /// that may only publish receives nothing.
    #[arg(long, value_name = "ROLE", default_value = "both")]
    pub role: Role,
    /// What happens to a client that sends a message and may only listen [default: discard].
    #[arg(long, value_name = "REACTION")]
    pub unwanted_sender: Option<UnwantedSender>,
    /// Maximum number of messages per second that a client may send; what exceeds it waits and is
    /// not read meanwhile [default: no limit].
    #[arg(long, value_name = "N")]
    pub max_messages_per_second: Option<NonZeroU64>,
    /// Maximum number of bytes per second that a client may send, likewise; a message is its body
    /// and one byte [default: no limit].
    #[arg(long, value_name = "RATE")]
    pub max_bytes_per_second: Option<Size>,
}

/// What concerns all clients: the table `[clients]` of a config file.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientOptions {
    /// Maximum number of clients [default: what the descriptor limit allows].
    #[arg(long, value_name = "N")]
    pub max_clients: Option<NonZeroUsize>,
    /// Maximum number of clients per IP address; an IPv6 /64 counts as one [default: no limit].
    #[arg(long, value_name = "N")]
    pub max_clients_per_ip: Option<NonZeroUsize>,
    /// Disconnect clients that have been idle for so long [default: never].
    #[arg(long, value_name = "SECONDS")]
    pub idle_timeout_seconds: Option<NonZeroU64>,
    /// What keeps a client from being idle [default: sent].
    #[arg(long, value_name = "TRAFFIC")]
    pub idle_traffic: Option<IdleTraffic>,
    /// Silence after which the kernel probes whether a client is still there, or off. While bytes
    /// are unacknowledged there is no silence: see --user-timeout-seconds.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub keepalive_seconds: SecondsOrOff,
    /// How long sent bytes may stay unacknowledged before the connection is closed, or off.
    #[arg(long, value_name = "SECONDS", default_value = "off")]
    pub user_timeout_seconds: SecondsOrOff,
    /// Kernel buffer per client for bytes that are unsent or unacknowledged.
    #[arg(long, value_name = "SIZE", default_value = "256KiB")]
    pub send_buffer_bytes: Size,
    /// Limit on unsent bytes in that buffer (TCP_NOTSENT_LOWAT) [default: half of it].
    #[arg(long, value_name = "SIZE")]
    pub max_unsent_bytes: Option<Size>,
}

/// What concerns the clients at `ws://` and `wss://` addresses: the table `[websocket]` of a config file.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocketOptions {
    /// Web pages that may connect, as SCHEME://HOST, or * for all; may be repeated [default: the
    /// server's own chat page].
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// A file with the token that clients must know [default: everybody may connect].
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Whether to serve a chat page for browsers at /.
    #[arg(long, value_name = "BOOL", default_value = "true", action = ArgAction::Set)]
    pub page: bool,
    /// Maximum length of a message that a client may send; it holds one frame or many.
    #[arg(long, value_name = "SIZE", default_value = "64KiB")]
    pub max_message_bytes: Size,
}

/// What concerns the clients at `tls://` and `wss://` addresses: the table `[tls]` of a config file.
#[derive(Clone, Debug, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsOptions {
    /// The server's certificate and those that lead to its authority, in PEM.
    #[arg(long, value_name = "FILE")]
    pub certificate_file: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Whether clients must show certificates.
    #[arg(long, value_name = "WHETHER", default_value = "none")]
    pub client_certificates: ClientCertificates,
    /// The authorities of clients' certificates, in PEM.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// A name that a client's certificate may be for, DNS name or IP address; may be repeated
    /// [default: every one].
    #[arg(long, value_name = "NAME")]
    pub allow_client_name: Vec<String>,
}

/// Whether clients must show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not asked.
    None,
    /// They may: one that is shown must be valid.
    Optional,
    /// They must.
    Required,
}

/// The defaults of a group, which its attributes declare.
fn defaults<T: Args>() -> T {
    let command = T::augment_args(Command::new("defaults"));
    let matches = command.try_get_matches_from(["defaults"]).expect("nothing is required");
    T::from_arg_matches(&matches).expect("every option has a default")
}

impl Default for ServerOptions {
    fn default() -> Self {
        defaults()
    }
}

impl Default for RoomOptions {
    fn default() -> Self {
        defaults()
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        defaults()
    }
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        defaults()
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        defaults()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_of_keepalive_names_the_option_for_what_it_does_not_see() {
        let command = Options::command();
        let keepalive = |it: &&clap::Arg| it.get_long() == Some("keepalive-seconds");
        let option = command.get_opts().find(keepalive).expect("the option");
        let help = option.get_help().expect("a help text").to_string();
        assert!(help.contains("--user-timeout-seconds"), "{help}");
    }

    #[test]
    fn limits_begin_with_max_and_units_are_last() {
        let units =
            [("SIZE", "-bytes"), ("SECONDS", "-seconds"), ("MICROSECONDS", "-microseconds")];
        let command = Options::command();
        let options = command.get_opts().filter(|option| option.get_long().is_some());
        let mut seen = 0;
        for option in options {
            let name = option.get_long().expect("a long name");
            let value = option.get_value_names().expect("a value")[0].as_str();
            seen += 1;
            for (value_name, suffix) in units {
                assert_eq!(value == value_name, name.ends_with(suffix), "--{name} <{value}>");
            }
            let is_min = name.split('-').any(|word| word == "min");
            assert!(!name.contains("-max") && !is_min, "--{name}: max comes first");
            let help = option.get_help().expect("a help text").to_string();
            let is_limit = help.starts_with("Maximum") || help.starts_with("Limit");
            assert_eq!(is_limit, name.starts_with("max-"), "--{name}: {help}");
        }
        assert!(seen > 15, "{seen} options");
    }
}
