//! What a user sees of `zillions` and `stresstest`, right and wrong input alike,
//! through the real binaries and real servers.

mod bench;
mod bench_runs;
mod brokers;
mod checking;
mod comparing;
mod gallery;
mod self_check;
mod stresstest;
mod support;
mod templates;
mod workspace;
