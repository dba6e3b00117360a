//! Plans and runs benchmark trials.
//!
//! Every trial starts a fresh server. The trials run in blocks, each target once per block and
//! scenario, in an order drawn from a seed. Server and load generator are pinned to different
//! processors where there are two. Each trial's figures are on disk before the next one starts.
//!
//! This crate measures and never formats: what happens is reported as [`Event`]s, what was found
//! as the records of [`zillions_report::record`].
//!
//! Rooms: [`scenario`] reads scenarios, [`plan`] orders the trials and estimates their time,
//! [`pin`] chooses processors, [`program`] looks at a program's files, [`trial`] runs one trial, [`store`] keeps results, [`mod@run`] does it
//! all.

#![forbid(unsafe_code)]

mod cpu_times;
pub mod pin;
pub mod plan;
pub mod program;
pub mod run;
pub mod scenario;
pub mod store;
pub mod trial;

pub use run::{BenchError, Event, Gate, Options, Target, run};
pub use scenario::{Scenario, ScenarioError};
