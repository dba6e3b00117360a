//! The line client of the chat protocol: each line of standard input becomes a message, each
//! message received becomes a line of standard output.
//!
//! [`run`] is the whole program on any three files; [`cli`] holds its arguments. The parts serve
//! other clients too: [`Address`] and [`connect`] reach a server, [`Lines`] cuts input into
//! messages, [`append_visible`] makes a message safe to show on a terminal.

mod address;
pub mod cli;
mod connect;
mod escape;
mod lines;
mod linger;
mod run;
mod session;

pub use address::{Address, AddressError};
pub use connect::{Attempt, ConnectError, connect};
pub use escape::append_visible;
pub use lines::{Line, Lines};
pub use run::{Exit, run};
pub use session::SessionError;

/// What the program is called, in its help and before each of its errors.
pub const PROGRAM: &str = "commandline-client";
