//! The cost of verifying one delivery: decode, check every byte, enter in the ledger, time.

use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use zillions_load::{Filler, Load, Plan, Verifier, Window, WireFormat, body};

/// About what one `recv` hands over under load.
const PIECE_BYTES: usize = 64 * 1024;
const BODIES: [u8; 3] = [20, 64, 255];

fn main() {
    divan::main();
}

fn plan(clients: usize) -> Plan {
    Plan {
        wire: WireFormat::Zillions,
        clients,
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
        tag: 1,
    }
}

/// One piece of stream after the other, each received by all of 16 clients.
#[divan::bench(args = BODIES)]
fn deliveries(bencher: Bencher<'_, '_>, body_bytes: u8) {
    const CLIENTS: usize = 16;
    let messages = PIECE_BYTES / (usize::from(body_bytes) + 1);
    let mut verifier = Verifier::new(&plan(CLIENTS));
    verifier.open(Window { start_ns: 0, end_ns: u64::MAX });
    let mut now_ns = 0;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    bencher.counter(ItemsCount::new(messages * CLIENTS)).bench_local(|| {
        // Making the messages is measured too: once for 16 deliveries, as in a trial.
        piece.clear();
        for _ in 0..messages {
            now_ns += 100;
            let stamp = verifier.send(0, now_ns);
            verifier.written(0, stamp.sequence, now_ns, CLIENTS as u32);
            body::append_frame(stamp, body_bytes, 1, &mut piece);
        }
        for receiver in 0..CLIENTS {
            now_ns += 10_000;
            verifier.receive(receiver, black_box(&piece), now_ns);
        }
    });
}
