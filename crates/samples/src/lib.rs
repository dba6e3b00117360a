//! The arithmetic that a report does thousands of times: medians of [`Samples`] that are drawn again
//! and again, and [histograms](mod@histogram) as they are recorded.
//!
//! It is a crate of its own because tests compile it with optimizations (`[profile.dev.package]` in
//! the workspace's manifest). So nothing here is generic, which would be compiled with its caller.

#![forbid(unsafe_code)]

pub mod histogram;
mod samples;

pub use samples::{Samples, interval, median};
