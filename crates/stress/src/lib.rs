//! The stress test of the original zillions, done right.
//!
//! A repetition launches the publishers, each with its subscribers, all of them
//! ordinary clients. Each publisher sends its messages one after another and
//! waits until its subscribers have each, or a time-out has passed. Bodies have
//! every length from 0 to 255 bytes. Every frame that any client receives is
//! recorded, and when the repetition ends the whole history is checked for
//! integrity, FIFO, total and causal order across all publishers.
//!
//! [`run`] drives all clients from one thread: that gives the history its order
//! without locks, and the load one clock.

mod body;
mod client;
mod error;
mod outcome;
mod parameters;
mod repetition;
mod run;

pub use error::StressError;
pub use outcome::{Latency, Summary, Violation};
pub use parameters::{CLIENTS_MAX, Parameters};
pub use run::{Progress, run};
