//! `zillions-server`: the reference chat server, on one shared log.
//!
//! Every client is sent the same bytes, so they are kept once
//! ([`zillions_log`]), and a client is an offset in them. [`Shard`] is one
//! thread's loop over its share of the clients; it sees the world through an
//! [`Engine`](engine::Engine), which [`epoll`] and [`io_uring`] implement on sockets and
//! the simulator of the tests in memory. [`Room`] is what the shards share of one log, and
//! [`Shared`] everything else. [`run`] puts
//! it together from [`Options`] or a config file, which both are [`Settings`] then.
//!
//! A room of an edge has its order made elsewhere: the shards put messages into the outbox of its
//! [`upstream`], and its [`uplink`] appends what comes down. So it is in a room of a [`cluster`],
//! where a stream of NATS JetStream makes the order.
//!
//! Entry points: a metric is a row in [`counters`], or of a room in `metrics/of_rooms.rs`; an engine is a row in [`engines`]; the
//! slow-reader policy is [`slow_reader`].
//!
//! Why it is built so: `docs/design/0008-reference-server.md`, `0018-edges.md` for edges,
//! and `0021-cluster.md` for clusters. How to
//! run it: `docs/operating-zillions-server.md`.

mod admin;
pub mod admission;
mod arrivals;
pub mod client;
pub mod cluster;
pub mod codec;
pub mod config;
mod config_file;
pub mod counter;
pub mod counters;
mod descriptors;
mod disconnect_reason;
pub mod engine;
pub mod engines;
pub mod epoll;
mod error;
mod http;
pub mod io_uring;
pub mod keys;
pub mod listen;
mod listen_address;
pub mod listener_options;
pub mod listener_rules;
mod listener_settings;
mod logging;
pub mod manager;
mod metrics;
pub mod options;
mod origin;
mod parker;
pub mod passed;
mod protocols;
mod questions;
pub mod rate;
mod reload;
pub mod room;
mod room_counters;
mod run;
mod serve;
pub mod settings;
mod shard;
pub mod shared;
pub mod slow_reader;
pub mod socket_engine;
mod supervision;
mod tls;
pub mod uplink;
pub mod upstream;
pub mod values;
mod watchdog;
mod web;
mod websocket;

pub use config::Config;
pub use error::Error;
pub use options::Options;
pub use room::Room;
pub use run::{execute, run};
pub use settings::Settings;
pub use shard::Shard;
pub use shared::Shared;
