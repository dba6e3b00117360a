//! The real `commandline-client` against real sockets: what its users rely on.

mod endings;
mod errors;
mod flows;
mod lines;
mod room;
mod terminal;
