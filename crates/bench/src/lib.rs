//! Plans and runs benchmark trials.
//!
//! Every trial starts a fresh server, here or by [`remote`] on another machine, or measures one that runs already. The trials run in blocks, each target once per block and
//! scenario, in an order drawn from a seed. Server and load generator are pinned to different
//! processors where there are two. Each trial's figures are on disk before the next one starts.
//!
//! This crate measures and never formats: it reports its steps as [`Event`]s and its findings as the
//! records of [`zillions_report::record`].
//!
//! Modules: [`scenario`] reads scenarios, [`plan`] orders the trials and estimates their time, [`further`] decides which ones follow the first
//! blocks,
//! [`pin`] chooses processors, [`program`] looks at a program's files, [`trial`] runs one trial, [`yardstick`] measures what the machine does without a server,
//! [`order`] checks its sample, [`search`] chooses the next rate to try, [`idle`] measures what idle
//! clients cost, [`store`] keeps results, [`mod@run`] carries out a whole run.

#![forbid(unsafe_code)]

mod access;
mod cpu_times;
mod disturbance;
mod error;
mod event;
pub mod further;
pub mod idle;
mod machine;
pub mod order;
mod patience;
pub mod pin;
pub mod plan;
pub mod program;
pub mod remote;
pub mod run;
mod runner;
pub mod scenario;
pub mod search;
pub mod store;
mod subject;
mod timestamp;
pub mod trial;
pub mod yardstick;

pub use access::{Access, Running};
pub use error::BenchError;
pub use event::Event;
pub use run::{Gate, Options, Target, run};
pub use scenario::{Scenario, ScenarioError};
pub use zillions_load::WireFormat;
