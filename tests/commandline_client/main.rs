//! The real `commandline-client` against real sockets: what its users rely on.

mod endings;
mod errors;
mod fake_server;
mod flows;
mod lines;
mod terminal;
