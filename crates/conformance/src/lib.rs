//! The cases that decide whether a chat server keeps `docs/spec.md`.
mod attempt;
pub mod case;
mod cases;
pub mod client;
pub mod options;
pub mod room;
pub mod spec;
pub mod subject;
mod tagged;
pub mod trial;
pub mod verdict;
