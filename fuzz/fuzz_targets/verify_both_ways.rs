//! Whatever receivers are sent, and however it is cut: verification by comparison leaves the same
//! account as verification message by message, and several threads the account of one.
//!
//! `cargo +nightly fuzz run verify_both_ways -- -max_total_time=60`

#![no_main]

#[path = "../../crates/load/tests/load/both_ways.rs"]
mod both_ways;

use both_ways::BothWays;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: (u8, Vec<[u8; 4]>)| {
    let (choice, steps) = script;
    let mut trial = BothWays::chosen_by(choice);
    steps.into_iter().for_each(|step| trial.step(step));
    trial.finish_threads();
});
