//! The line client of the chat protocol: each line of standard input becomes a message, each
//! message received becomes a line of standard output.
//!
//! [`run`] is the whole program on any three files; [`cli`] has its arguments. [`Address`] and [`connect`] serve
//! other clients, too.

pub mod cli;
mod connect;
mod lines;
mod linger;
mod run;
mod session;
mod stderr;

pub use connect::{Address, connect};
pub use run::run;
