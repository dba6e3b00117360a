//! The cost of verifying one delivery, in both ways: by comparison with what another receiver was
//! sent, and message by message (decode, check every byte, enter in the ledger, time).
//!
//! Instructions per delivery, where valgrind is installed:
//!
//! ```sh
//! cargo bench -p zillions-load --bench verify --no-run
//! valgrind --tool=callgrind --toggle-collect='zillions_load::verifier::Verifier::receive' \
//!     target/release/deps/verify-* --test --exact verify::saturated_by_comparison::64
//! ```
//!
//! divided by [`deliveries`]; `--test` carries out each benchmark once. The function is named in full:
//! a pattern would toggle again in functions below it.

use std::thread;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use zillions_load::{Filler, Load, Plan, Verifier, Window, WireFormat, body};

/// About what one `recv` hands over under load.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that every receiver gets in one iteration.
const PIECES: usize = 16;
/// As in `scenarios/one-to-many.toml`.
const CLIENTS: usize = 33;
/// What a saturating sender makes at once.
const CHUNK_BYTES: usize = 16 * 1024;
const BODIES: [u8; 3] = [20, 64, 255];

fn main() {
    divan::main();
}

fn plan() -> Plan {
    Plan {
        wire: WireFormat::Zillions,
        clients: CLIENTS,
        senders: 1,
        stalled: 0,
        churn_per_second: 0.0,
        filler: Filler::default(),
        split_writes: false,
        load: Load::Saturate,
        body_bytes: vec![64],
        warm_up: Duration::ZERO,
        measure: Duration::from_secs(1),
        late_after: Duration::from_secs(1),
        quiet: Duration::ZERO,
        drain_max: Duration::ZERO,
        ready_max: Duration::ZERO,
        load_threads: 1,
        tag: 1,
    }
}

/// Messages in one piece.
fn messages(body_bytes: u8) -> usize {
    PIECE_BYTES / (usize::from(body_bytes) + 1)
}

/// Deliveries of one iteration: 529,848 with bodies of 64 bytes.
fn deliveries(body_bytes: u8) -> usize {
    PIECES * messages(body_bytes) * CLIENTS
}

/// One piece of stream after the other, each received by all clients; `together` messages are due
/// and written at one time.
fn bench(bencher: Bencher<'_, '_>, mut verifier: Verifier, body_bytes: u8, together: usize) {
    verifier.open(Window { start_ns: 0, end_ns: u64::MAX });
    let mut now_ns = 0;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    bencher.counter(ItemsCount::new(deliveries(body_bytes))).bench_local(|| {
        for _ in 0..PIECES {
            // Making the messages is measured too: once for all clients, as in a trial.
            piece.clear();
            for message in 0..messages(body_bytes) {
                now_ns += if message % together == 0 { 10_000 } else { 0 };
                let stamp = verifier.send(0, now_ns);
                verifier.written(0, stamp.sequence, now_ns, CLIENTS as u32);
                body::append_frame(stamp, body_bytes, 1, &mut piece);
            }
            for receiver in 0..CLIENTS {
                now_ns += 10_000;
                verifier.receive(receiver, black_box(&piece), now_ns);
            }
        }
    });
}

fn in_chunk(body_bytes: u8) -> usize {
    CHUNK_BYTES / (usize::from(body_bytes) + 1)
}

#[divan::bench(args = BODIES)]
fn saturated_by_comparison(bencher: Bencher<'_, '_>, body_bytes: u8) {
    bench(bencher, Verifier::new(&plan()), body_bytes, in_chunk(body_bytes));
}

#[divan::bench(args = BODIES)]
fn saturated_one_by_one(bencher: Bencher<'_, '_>, body_bytes: u8) {
    bench(bencher, Verifier::one_by_one(&plan()), body_bytes, in_chunk(body_bytes));
}

/// The whole by several threads, each with its share of the clients: what more processors give where
/// no server takes them.
#[divan::bench(args = [1, 2, 3, 4])]
fn saturated_by_threads(bencher: Bencher<'_, '_>, load_threads: usize) {
    const BODY_BYTES: u8 = 64;
    let mut verifiers = Verifier::for_threads(&Plan { load_threads, ..plan() });
    verifiers.iter_mut().for_each(|it| it.open(Window { start_ns: 0, end_ns: u64::MAX }));
    let mut now_ns = 0;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    bencher.counter(ItemsCount::new(deliveries(BODY_BYTES))).bench_local(|| {
        let mut pieces = Vec::with_capacity(PIECES);
        for _ in 0..PIECES {
            piece.clear();
            for message in 0..messages(BODY_BYTES) {
                now_ns += if message % in_chunk(BODY_BYTES) == 0 { 10_000 } else { 0 };
                let stamp = verifiers[0].send(0, now_ns);
                verifiers[0].written(0, stamp.sequence, now_ns, CLIENTS as u32);
                body::append_frame(stamp, BODY_BYTES, 1, &mut piece);
            }
            pieces.push(piece.clone());
        }
        thread::scope(|scope| {
            for (index, verifier) in verifiers.iter_mut().enumerate() {
                let pieces = &pieces;
                scope.spawn(move || {
                    for piece in pieces {
                        for receiver in (index..CLIENTS).step_by(load_threads) {
                            verifier.receive(receiver, black_box(piece), now_ns + 10_000);
                        }
                    }
                });
            }
        });
    });
}

#[divan::bench(args = BODIES)]
fn scheduled_by_comparison(bencher: Bencher<'_, '_>, body_bytes: u8) {
    bench(bencher, Verifier::new(&plan()), body_bytes, 1);
}

#[divan::bench(args = BODIES)]
fn scheduled_one_by_one(bencher: Bencher<'_, '_>, body_bytes: u8) {
    bench(bencher, Verifier::one_by_one(&plan()), body_bytes, 1);
}
