//! The server's own code in a simulated world: short reads and writes, full
//! sockets, delays, resets, connections that fail to be accepted; many clients,
//! one to three shards, every policy, rooms with an upstream server and without. All from one seed,
//! so that a failure replays.
//!
//! `ZILLIONS_SIM_SEEDS=10000` runs more of them, `ZILLIONS_SIM_SEED=17` that one only.

mod chunks;
mod life;
mod network;
mod root;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How many seeds are run unless the environment says otherwise.
const SEEDS: u64 = 300;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

#[test]
fn every_seed_keeps_the_spec() {
    let seeds = match number("ZILLIONS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ZILLIONS_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let next = AtomicU64::new(seeds.start);
    let seen = Mutex::new(life::Seen::default());
    let failed = Mutex::new(Vec::new());
    let live = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || !failed.lock().unwrap().is_empty() {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| life::live(seed))) {
                Ok(what) => seen.lock().unwrap().add(&what),
                Err(_) => failed.lock().unwrap().push(seed),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(live);
        }
    });
    if let Some(seed) = failed.into_inner().unwrap().first() {
        panic!(
            "seed {seed} fails: ZILLIONS_SIM_SEED={seed} cargo test -p zillions-server \
             --test simulation"
        );
    }
    let seen = seen.into_inner().unwrap();
    println!("{seen:?}");
    if seeds.end - seeds.start >= SEEDS {
        seen.assert_everything_happened();
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 14, 15] {
        assert_eq!(life::live(seed), life::live(seed));
    }
}
