//! What each thread of a trial has found, and one outcome of all of them.

use hdrhistogram::Histogram;

use crate::account::{Ending, add_histogram, histogram};
use crate::churn::ChurnCounts;
use crate::closed_loop::ClosedLoop;
use crate::connections::Connections;
use crate::outcome::{Extras, GeneratorUse, Latencies, Outcome, Traffic};
use crate::plan::Plan;
use crate::schedule::Window;
use crate::verifier::Verifier;

/// What one thread has found.
#[derive(Debug)]
pub(crate) struct Part {
    /// When the first message of all was due.
    pub(crate) start_ns: u64,
    pub(crate) window: Window,
    /// Whether the server fell silent in time.
    pub(crate) is_quiet: bool,
    pub(crate) used: GeneratorUse,
    /// Its own, and none of the other clients.
    pub(crate) connections: Connections,
    /// Per sender: how many messages it has wholly written; 0 for those of other threads.
    pub(crate) written: Vec<u32>,
    pub(crate) churn: ChurnCounts,
    pub(crate) closed_loop: ClosedLoop,
    pub(crate) verifier: Verifier,
    pub(crate) schedule_lag: Histogram<u64>,
    pub(crate) messages_written_in_window: u64,
    pub(crate) messages_held_back: u64,
}

/// The outcome of a trial from the parts of all its threads, in order; `None` of none.
pub(crate) fn outcome(plan: &Plan, mut parts: Vec<Part>) -> Option<Outcome> {
    let generator = parts.iter().map(|part| GeneratorUse {
        deliveries_arrived: part.verifier.account.counts.arrived,
        ..part.used
    });
    let generator = generator.collect();
    let written: Vec<u32> =
        (0..plan.senders).map(|sender| parts.iter().map(|it| it.written[sender]).sum()).collect();
    let endings: Vec<Ending> =
        (0..plan.clients).map(|client| ending(&parts[client % parts.len()], client)).collect();
    let sum = |of: fn(&Part) -> u64| parts.iter().map(of).sum();
    let messages_written = sum(|it| it.messages_written_in_window);
    let messages_held_back = sum(|it| it.messages_held_back);
    let mut schedule_lag = histogram();
    parts.iter().for_each(|it| add_histogram(&mut schedule_lag, &it.schedule_lag));
    let (start_ns, window) = parts.first().map(|it| (it.start_ns, it.window))?;
    let mut lost: Vec<_> =
        parts.iter_mut().flat_map(|it| std::mem::take(&mut it.connections.lost)).collect();
    lost.sort_by(|a, b| a.at_seconds.total_cmp(&b.at_seconds));
    lost.iter_mut().for_each(|lost| lost.at_seconds -= start_ns as f64 / 1e9);
    let mut verifiers = Vec::with_capacity(parts.len());
    let mut others = Vec::with_capacity(parts.len());
    for Part { verifier, connections, churn, closed_loop, .. } in parts {
        verifiers.push(verifier);
        others.push((connections, churn, closed_loop));
    }
    let mut verifier = Verifier::merge(verifiers)?;
    let (mut connections, churn, closed_loop) = others.swap_remove(0);
    let charge_unsent = plan.load.messages_per_second().is_some();
    let pairs = verifier.pairs(&endings, &written, charge_unsent);
    // What only some plans ask for, and the first thread has done.
    let filler_written =
        written.iter().copied().map(u64::from).sum::<u64>() * u64::from(plan.filler.per_message);
    let (filler_delivered, filler_surplus) = verifier.filler(filler_written);
    let counts = &mut verifier.account.counts;
    counts.anomalies.corrupted += churn.corrupted;
    counts.anomalies.invented += filler_surplus;
    let counts = *counts;
    let extras = Extras {
        filler_expected: filler_written * plan.clients as u64,
        filler_delivered,
        churn,
        stalled_disconnected: connections.stalled_disconnected(),
        rounds: closed_loop.counts(counts.genuine, window),
    };
    Some(Outcome {
        pairs,
        anomalies: counts.anomalies,
        traffic: Traffic {
            messages_written,
            messages_held_back,
            deliveries_arrived: counts.arrived,
            bytes_arrived: counts.bytes_arrived,
            window_seconds: window.seconds(),
            late: counts.late,
        },
        latencies: Latencies {
            delivery: verifier.account.delivery,
            service: verifier.account.service,
            last_receiver: verifier.account.last_receiver,
            schedule_lag,
        },
        generator,
        extras,
        sample: verifier.account.sample,
        are_all_lost: connections.connected() == 0,
        lost,
    })
}

/// How the trial ended for a client of this thread.
fn ending(part: &Part, client: usize) -> Ending {
    match (part.connections.is_connected(client), part.is_quiet) {
        (false, _) => Ending::Lost,
        (true, true) => Ending::Quiet,
        (true, false) => Ending::Busy,
    }
}
