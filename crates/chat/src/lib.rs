//! A full-screen chat client for terminals: over TCP, TLS and WebSocket.
//!
//! [`run`] is the whole program. Three threads: one reads keys, one has the connection, and one
//! holds the state and draws it. The state (`chat`, with `history`, `input`, `split` and `text`) and
//! its picture (`view`) touch no socket, no clock and no terminal.

mod address;
mod chat;
mod dial;
mod event;
mod history;
mod input;
mod keys;
mod link;
mod name;
mod outbox;
mod run;
mod screen;
mod socket;
mod split;
mod text;
mod tls;
mod transport;
mod view;

pub use address::ServerAddress;
pub use name::{check_name, user_name};
pub use run::{ChatError, Options, run};
pub use screen::restore_terminal;
pub use split::NAME_BYTES_MAX;
pub use tls::TrustError;
