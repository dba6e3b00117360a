//! What a user sees of `zillions` and `stresstest`, right and wrong input alike,
//! through the real binaries and real servers.

mod bench;
mod bench_runs;
mod checking;
mod comparing;
mod gallery;
mod peers;
mod place;
mod scaffold;
mod self_check;
mod stresstest;
mod support;
