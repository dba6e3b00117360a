//! The cases that decide whether a chat server keeps `docs/spec.md`.
//!
//! ```no_run
//! use zillions_conformance::{Options, Target, Unobserved, run};
//! use zillions_harness::Launch;
//!
//! let launch = Launch::executable("./impls/std-mpsc/target/release/server")?;
//! let report = run(&Target::launch("std-mpsc", launch), &Options::default(), &mut Unobserved)?;
//! println!("{}: {}", report.name, report.verdict.as_str());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Modules: [`spec`] reads the clauses, [`case`] says what a case is and `cases/`
//! holds them, one file or folder per clause group; [`client`] is one connection,
//! [`fixture`] a server with its clients in one loop, [`context`] what one case may
//! use, within the [`limits`] of the run; [`servers`] starts servers; [`runner`] runs
//! cases, [`report`] holds what they found, [`render`] writes it. Measuring never
//! formats, and formatting never measures.
//!
//! How to write a case: `docs/writing-a-case.md`. How verdicts are reached:
//! `docs/design/0006-conformance.md`.

mod attempt;
pub mod case;
mod cases;
pub mod client;
pub mod context;
pub mod expectations;
pub mod fixture;
pub mod limits;
pub mod options;
pub mod render;
pub mod report;
pub mod runner;
pub mod servers;
pub mod spec;
mod tagged;
pub mod target;
pub mod traits;
pub mod verdict;
mod waiting;

pub use case::Case;
pub use cases::{SelectionError, all as all_cases, ids as case_ids, select};
pub use expectations::{ExpectationError, Expectations, KnownFailure};
pub use options::Options;
pub use report::{CaseReport, CheckReport, FailureReport, TargetReport, exit_code};
pub use runner::{Observer, SuiteEvent, Unobserved, run};
pub use target::{Access, Target};
pub use verdict::{Level, Verdict};
