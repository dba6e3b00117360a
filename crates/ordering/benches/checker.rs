//! Deliveries recorded, checked, saved and loaded per second.
//!
//! `cargo bench -p zillions-ordering`; `-- 10m` picks the largest history. The
//! first lines give the CPU time of a check, which other programs disturb less than
//! the wall time.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use zillions_ordering::{
    ConnectionId, History, MessageId, StreamPosition, account, check, load, save,
};

/// One sequencer, receivers that lag behind it, and drops.
#[derive(Clone, Copy, Debug)]
struct Load {
    name: &'static str,
    connections: u32,
    messages: u32,
    drop_percent: u32,
    /// At the end, one receiver gets the last two messages of others swapped.
    broken: bool,
}

const BASE: Load =
    Load { name: "", connections: 100, messages: 10_000, drop_percent: 0, broken: false };

const LOADS: [Load; 6] = [
    Load { name: "1m, 100 clients", ..BASE },
    Load { name: "1m, 100 clients, 20 % dropped", drop_percent: 20, messages: 12_500, ..BASE },
    Load { name: "1m, 1000 clients", connections: 1000, messages: 1000, ..BASE },
    Load { name: "1m, 2 clients", connections: 2, messages: 500_000, ..BASE },
    Load { name: "1m, 100 clients, TOTAL broken", broken: true, ..BASE },
    Load { name: "10m, 100 clients, 20 % dropped", drop_percent: 20, messages: 125_000, ..BASE },
];

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The most messages a receiver lags behind.
const LAG_MAX: usize = 64;
const FRAME_BYTES: u64 = 65;

impl Load {
    fn history(self) -> History {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut history = History::new();
        for _ in 0..self.connections {
            history.connect();
        }
        let mut order: Vec<MessageId> = Vec::new();
        let mut next = vec![(0, 0); self.connections as usize];
        let mut time_ns = 0;
        let mut receive = |history: &mut History,
                           rng: &mut ChaCha8Rng,
                           order: &[MessageId],
                           (next, offset): &mut (usize, u64),
                           receiver: u32| {
            time_ns += rng.random_range(50..2000);
            let id = order[*next];
            *next += 1;
            if rng.random_range(0..100) >= self.drop_percent {
                let position = StreamPosition { offset: *offset, time_ns };
                history.receive(ConnectionId::from_index(receiver), id, position);
                *offset += FRAME_BYTES;
            }
        };
        for _ in 0..self.messages {
            order.push(
                history.send(ConnectionId::from_index(rng.random_range(0..self.connections))),
            );
            let receiver = rng.random_range(0..self.connections);
            for _ in 0..rng.random_range(0..LAG_MAX) {
                if next[receiver as usize].0 < order.len() {
                    let next = &mut next[receiver as usize];
                    receive(&mut history, &mut rng, &order, next, receiver);
                }
            }
            for receiver in 0..self.connections {
                while next[receiver as usize].0 + LAG_MAX < order.len() {
                    let next = &mut next[receiver as usize];
                    receive(&mut history, &mut rng, &order, next, receiver);
                }
            }
        }
        if self.broken {
            order.extend([0, 1].map(|sender| history.send(ConnectionId::from_index(sender))));
        }
        for receiver in (0..self.connections).rev() {
            if self.broken && receiver == 0 {
                let last = order.len() - 1;
                order.swap(last, last - 1);
            }
            while next[receiver as usize].0 < order.len() {
                let next = &mut next[receiver as usize];
                receive(&mut history, &mut rng, &order, next, receiver);
            }
        }
        history
    }
}

fn main() {
    for load in LOADS {
        let history = load.history();
        let deliveries = history.deliveries() as f64;
        let best = (0..CHECKS).map(|_| {
            let start_ns = cpu_ns();
            let is_broken = !check(black_box(&history)).all_kept();
            assert_eq!(is_broken, load.broken, "{load}: the history is not what it should be");
            cpu_ns() - start_ns
        });
        let check_ns = best.min().unwrap_or_default() as f64 / deliveries;
        println!("{load}: {deliveries} deliveries, checked in {check_ns:.1} ns each",);
    }
    divan::main();
}

/// Checks of which the fastest counts.
const CHECKS: u32 = 3;

/// CPU time of this thread so far.
fn cpu_ns() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let first = times.split(' ').next().and_then(|ns| ns.parse().ok());
    first.expect("the first number is the CPU time")
}

fn deliveries(history: &History) -> ItemsCount {
    ItemsCount::new(history.deliveries())
}

#[divan::bench(args = LOADS, sample_count = 5, sample_size = 1)]
fn checking(bencher: Bencher<'_, '_>, load: Load) {
    let history = load.history();
    bencher.counter(deliveries(&history)).bench_local(|| check(black_box(&history)));
}

#[divan::bench(args = &LOADS[..2], sample_count = 5, sample_size = 1)]
fn accounting(bencher: Bencher<'_, '_>, load: &Load) {
    let history = load.history();
    bencher.counter(deliveries(&history)).bench_local(|| account(black_box(&history)));
}

#[divan::bench(args = &LOADS[..1], sample_count = 5, sample_size = 1)]
fn recording(bencher: Bencher<'_, '_>, load: &Load) {
    let history = load.history();
    let events: Vec<_> = history.events().collect();
    bencher.counter(deliveries(&history)).bench_local(|| {
        let mut copy = History::new();
        for &event in &events {
            copy.record(event).expect("it was recorded before");
        }
        copy
    });
}

#[divan::bench(args = &LOADS[..1], sample_count = 5, sample_size = 1)]
fn saving(bencher: Bencher<'_, '_>, load: &Load) {
    let history = load.history();
    bencher.counter(deliveries(&history)).bench_local(|| {
        let mut file = Vec::new();
        save(&history, "", &mut file).expect("memory takes it");
        file
    });
}

#[divan::bench(args = &LOADS[..1], sample_count = 5, sample_size = 1)]
fn loading(bencher: Bencher<'_, '_>, load_of: &Load) {
    let history = load_of.history();
    let mut file = Vec::new();
    save(&history, "", &mut file).expect("memory takes it");
    bencher.counter(deliveries(&history)).bench_local(|| load(black_box(&file[..])).is_ok());
}
