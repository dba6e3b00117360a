//! Recorded benchmark results: their schema, their statistics, and the report.
//!
//! Everything here is a pure function of recorded results. Nothing measures, nothing reads a
//! clock, and the same results always give the same report.
//!
//! Modules: [`record`] is the schema of the files, [`results`] reads a folder of them, [`schema`]
//! publishes it and [`mod@reference`] explains its keys. [`verdict`] judges one trial; [`percentile`] computes every p99,
//! which is [`bounded`] where samples are few, [`trial_figures`] the other figures of one trial, [`mod@figures`] those of a target over its trials. [`analysis`]
//! ranks the targets of each scenario in [`row`]s, [`noise`] is the A/A test, [`told_apart`] says what separates two targets and what it would take, [`decided`] puts that in
//! sentences, [`capacity`] what a
//! search found, [`cost`] is what a delivery costs and is ranked by, too, [`statistics`] is the arithmetic. [`columns`] defines every column of every table,
//! and [`mod@format`] writes its values. [`html`] writes the report, [`style_map`] draws the map of styles and
//! [`style_tree`] their family tree, [`mod@compare`] compares two runs, [`markdown`] writes that as
//! Markdown, [`merge`] puts runs together. [`gallery_results`] are the figures of a run that are
//! committed, and [`gallery_text`] is what documents say of them.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod bounded;
pub mod capacity;
pub mod columns;
pub mod compare;
pub mod cost;
mod cost_tiers;
pub mod decided;
#[cfg(any(test, feature = "test-support"))]
pub mod examples;
pub mod figures;
pub mod format;
pub mod gallery_results;
pub mod gallery_text;
pub mod html;
pub mod markdown;
mod markup;
pub mod merge;
pub mod noise;
pub mod percentile;
mod picture;
mod plots;
pub mod record;
pub mod reference;
pub mod results;
pub mod row;
pub mod schema;
mod searched;
pub mod statistics;
pub mod style_map;
pub mod style_tree;
pub mod told_apart;
pub mod trial_figures;
pub mod verdict;
pub mod yardstick;
