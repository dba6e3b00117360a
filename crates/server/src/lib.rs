//! `zillions-server`: the reference chat server, on one shared log.
//!
//! Every client is sent the same bytes, so they are kept once
//! ([`zillions_log`]), and a client is a position in them. [`Shard`] is one
//! thread's loop over its share of the clients; it sees the world through
//! [`Io`](io::Io), which [`epoll`] and [`uring`] implement on sockets and the simulator of
//! the tests in memory. [`House`] is what the shards share. [`run`] puts it
//! together from [`Options`].
//!
//! Why it is built so: `docs/design/0008-reference-server.md`. How to run it:
//! `docs/operating-zillions-server.md`.

pub mod client;
pub mod config;
pub mod counters;
pub mod epoll;
mod error;
pub mod house;
pub mod io;
pub mod listen;
mod logging;
mod metrics;
pub mod options;
mod run;
mod shard;
pub mod uring;

pub use config::{Config, SlowReader};
pub use error::Error;
pub use house::House;
pub use options::Options;
pub use run::{execute, run};
pub use shard::{Farewell, Shard};
