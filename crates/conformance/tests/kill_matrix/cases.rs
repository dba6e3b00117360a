//! A case that cannot fail proves nothing, and one that cannot pass no more: here
//! each of them, all by itself, fails on a server with one fault and passes on the
//! correct one.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use libtest_mimic::{Failed, Trial};
use zillions_conformance::{Options, all_cases};
use zillions_faulty::Fault;

use super::{check_for_fault, trial};

/// For each case, in the order of the suite, a fault that it tells from the
/// correct server.
const FAILS_ON: &[(&str, &str)] = &[
    ("start/runs-on-an-address", "text-only"),
    ("start/listening-line", "two-lines"),
    ("start/address-in-line", "wrong-address-in-line"),
    ("start/accepts-at-once", "line-before-bind"),
    ("start/stdout-stays-quiet", "noise-after-line"),
    ("start/only-the-given-address", "all-interfaces"),
    ("start/another-address", "first-loopback-only"),
    ("start/refuses-no-argument", "exit-zero-on-failure"),
    ("start/refuses-bad-address", "exit-zero-on-failure"),
    ("start/refuses-port-in-use", "line-on-port-in-use"),
    ("start/refuses-second-instance", "line-on-port-in-use"),
    ("start/refuses-foreign-address", "line-on-port-in-use"),
    ("start/says-why", "silent-on-failure"),
    ("start/ipv6", "ipv4-only"),
    ("frame/every-length", "255-truncated-among-others"),
    ("frame/nothing-but-frames", "double-echo"),
    ("frame/nothing-unasked", "heartbeat"),
    ("frame/spec-vectors", "signed-length"),
    ("frame/every-byte", "newline-stripped"),
    ("frame/empty-message", "zero-is-eof"),
    ("frame/every-pair", "empty-ends-a-long-one"),
    ("frame/byte-at-a-time", "single-read-per-body"),
    ("frame/every-split", "single-read-per-body"),
    ("frame/pause-after-header", "one-frame-per-read"),
    ("frame/pause-of-seconds", "mid-frame-timeout"),
    ("frame/cut-side-by-side", "parse-buffer-shared"),
    ("frame/several-in-one-write", "one-frame-per-read"),
    ("frame/filled-buffers", "full-buffer-waits"),
    ("frame/empties-at-once", "frames-per-read-256"),
    ("frame/pipelined-64k", "stale-bytes-at-buffer-end"),
    ("frame/whole-and-uninterrupted", "header-body-interleaved"),
    ("frame/short-writes", "short-write-ignored"),
    ("frame/partial-then-end", "partial-frame-delivered-short"),
    ("frame/partial-then-reset", "partial-frame-delivered-at-reset"),
    ("frame/held-open", "partial-frame-blocks-others"),
    ("frame/many-held-open", "holders-fill-its-pool"),
    ("fanout/alone", "double-echo"),
    ("fanout/two", "double-echo"),
    ("fanout/ten", "double-echo"),
    ("fanout/hundred", "double-echo"),
    ("fanout/exactly-once", "deduplicates"),
    ("fanout/many-messages", "double-echo"),
    ("fanout/over-ipv6", "double-echo"),
    ("fanout/silent-clients", "silent-newcomer-blocks-accept"),
    ("fanout/own-first-message", "double-echo"),
    ("fanout/first-message-of-others", "message-lost-for-joiner"),
    ("fanout/quiet-for-seconds", "quiet-client-disconnected"),
    ("fanout/joiners-at-once", "silent-newcomer-blocks-accept"),
    ("fanout/joiners-mid-stream", "history-replayed"),
    ("fanout/joiners-in-a-flood", "silent-newcomer-blocks-accept"),
    ("fanout/no-history", "history-replayed"),
    ("fanout/no-legacy", "slot-reuse-leaks-queue"),
    ("fanout/leavers", "client-numbers-of-one-byte"),
    ("fanout/leavers-at-once", "leaving-together-disconnects-another"),
    ("fanout/leavers-of-a-large-room", "leaver-hides-message-in-large-rooms"),
    ("fanout/leavers-in-a-flood", "dies-when-one-leaves-with-a-queue"),
    ("fanout/comings-and-goings", "join-lost-among-leaves"),
    ("fanout/passers-by", "client-numbers-of-eleven-bits"),
    ("order/integrity", "cached-by-length-and-ends"),
    ("order/integrity-with-drops", "duplicate-after-drop"),
    ("order/one-sender", "long-bodies-overtaken"),
    ("order/down-to-one", "sole-client-overtakes"),
    ("order/many-senders", "task-per-delivery"),
    ("order/one-sender-with-drops", "retries-dropped"),
    ("order/empty-messages", "empty-overtakes"),
    ("order/two-receivers-agree", "per-core-sequencers"),
    ("order/many-receivers-agree", "per-core-sequencers"),
    ("order/large-room", "two-sequencers-in-large-rooms"),
    ("order/with-drops", "per-core-sequencers"),
    ("order/with-churn", "two-sequencers-after-a-leave"),
    ("order/own-echo", "self-echo-before-sequencing"),
    ("order/relay", "task-per-delivery"),
    ("order/replies-under-load", "per-core-sequencers"),
    ("drops/whole-messages-only", "drop-cuts-mid-frame"),
    ("drops/none-alone", "loss-in-burst-of-four"),
    ("drops/none-at-low-load", "echo-lost-when-two-send"),
    ("drops/none-after-silence", "lost-after-silence"),
    ("drops/none-after-recovery", "first-after-recovery-lost"),
    ("drops/end-with-their-cause", "disconnects-who-reads"),
    ("drops/end-for-each-of-many", "eight-can-wait"),
    ("slow/stalled-reader", "full-queue-disconnects-another"),
    ("slow/many-stalled", "full-queue-disconnects-another"),
    ("slow/reads-on-later", "ring-overrun"),
    ("slow/reads-on-after-seconds", "frame-restarted-after-seconds"),
    ("slow/sender-never-reads", "sender-that-never-reads-blocks"),
    ("slow/drip-reader", "drop-cuts-mid-frame"),
    ("end/frames-before-end", "frames-lost-at-fin"),
    ("end/frame-before-close", "frames-lost-at-fin"),
    ("end/echo-after-end", "drops-echo-at-half-close"),
    ("end/close-after-end", "never-closes"),
    ("end/backlog-after-end", "frame-restarted-at-half-close"),
    ("end/close-after-backlog", "never-closes"),
    ("end/reset-after-connect", "sigpipe-kills"),
    ("end/reset-in-mid-frame", "sigpipe-kills"),
    ("end/reset-while-written-to", "reset-kills"),
    ("end/descriptors-given-back", "descriptor-leak"),
    ("end/threads-and-processes-given-back", "thread-left-per-connection"),
    ("scale/thousand-clients", "client-cap-500"),
    ("scale/burst-of-connections", "client-cap-64"),
    ("scale/let-in-amid-a-flood", "accepts-in-quiet-turns-only"),
    ("scale/descriptors-run-out", "dies-on-exhaustion"),
    ("life/survives-everything", "dies-after-5000-messages"),
    ("life/empty-room", "exits-when-empty"),
    ("life/empty-for-seconds", "ends-after-three-empty-seconds"),
    ("life/stops-on-sigterm", "writes-queues-at-sigterm"),
    ("life/stops-in-quiet", "stops-client-by-client"),
    ("life/leaves-no-process", "leaves-child-behind"),
    ("life/restarts-at-once", "no-reuse-address"),
    ("life/idle-cpu", "busy-loop"),
    ("life/idle-cpu-of-odd-clients", "spins-with-backlog"),
    ("life/idle-cpu-without-descriptors", "spins-without-descriptors"),
    ("memory/stalled-reader", "unbounded-client-queue"),
    ("memory/many-stalled", "unbounded-client-queue"),
    ("memory/sender-never-reads", "echoes-without-bound"),
    ("memory/flood", "keeps-all-messages"),
    ("memory/flood-of-empty-messages", "unbounded-inbound-queue"),
    ("memory/many-messages", "leaks-entry-per-message"),
    ("memory/past-clients", "memory-leak-per-connection"),
];

/// A case that can fail, and a fault that can be caught, may still need more than one go to meet a fault that is rare.
pub(super) const SEEDS: RangeInclusive<u64> = 1..=3;

pub(super) fn trials() -> impl Iterator<Item = Trial> {
    let complete = trial("every case has a fault that it fails on", every_case_is_here);
    let passing = FAILS_ON.iter().map(|&(case, _)| {
        trial(format!("case {case} alone passes on the correct server"), move || passes_on(case))
    });
    let failing = FAILS_ON.iter().map(|&(case, fault)| {
        trial(format!("case {case} alone fails on {fault}"), move || fails_on(case, fault))
    });
    std::iter::once(complete).chain(passing).chain(failing)
}

/// Whether one of these cases, all by itself, proves that `fault` is caught by a case of
/// the clause that it breaks.
pub(super) fn catch(fault: Fault) -> bool {
    let clause = |id: &str| all_cases().iter().find(|case| case.id == id).map(|case| case.clause);
    FAILS_ON.iter().any(|(case, on)| *on == fault.name && clause(case) == Some(fault.breaks))
}

fn every_case_is_here() -> Result<(), Failed> {
    let listed: BTreeSet<&str> = FAILS_ON.iter().map(|(case, _)| *case).collect();
    let all: BTreeSet<&str> = all_cases().iter().map(|case| case.id).collect();
    if listed == all {
        return Ok(());
    }
    let differing: Vec<&&str> = listed.symmetric_difference(&all).collect();
    Err(format!("listed or in the suite, and not both: {differing:?}").into())
}

fn passes_on(case: &str) -> Result<(), Failed> {
    let options = Options { case_globs: vec![case.to_owned()], ..Options::default() };
    super::passes_with(&super::baseline(), &options)
}

fn fails_on(case: &str, fault: &str) -> Result<(), Failed> {
    let fault = Fault::named(fault).ok_or("no such fault")?;
    let mut said = String::new();
    for seed in SEEDS {
        let report = check_for_fault(fault, case, seed)?;
        if super::fails(&report.cases[0]) {
            return Ok(());
        }
        said = super::listing(&report);
    }
    Err(said.into())
}
