//! What a user sees of `zillions` and `stresstest`, right and wrong input alike,
//! through the real binaries and real servers.

mod bench;
mod gallery;
mod stresstest;
mod support;
