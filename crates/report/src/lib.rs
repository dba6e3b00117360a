//! Recorded benchmark results: their schema, their statistics, and the report.
//!
//! Everything here is a pure function of recorded results. Nothing measures, nothing reads a
//! clock, and the same results always give the same report.
//!
//! Rooms: [`record`] is the schema of the files, [`results`] reads a folder of them, [`verdict`]
//! judges one trial, [`statistics`] is the arithmetic, [`noise`] says what the machine's noise
//! alone does, [`capacity`] what a search found, [`analysis`] compares the targets of each
//! scenario, [`mod@compare`] two runs, [`merge`] puts runs together, [`mod@format`] writes figures
//! for people, [`html`] writes the report. [`examples`] makes up results for tests.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod capacity;
pub mod compare;
pub mod examples;
pub mod format;
pub mod html;
pub mod merge;
pub mod noise;
mod plots;
pub mod record;
pub mod results;
pub mod schema;
pub mod statistics;
pub mod verdict;
