//! Runs the servers and looks at them as a client does.
//!
//! Every probe passes on the correct server and fails on each fault that it is
//! listed with; every fault is listed. So each fault is real, and the correct
//! server has none of them. The probes share no code with the conformance suite.
//!
//! One test per probe, one per probe and fault that it shows, one per unusual server:
//! `cargo test -p zillions-faulty --test servers -- double-echo`. By default a short part
//! of them runs, all with `ZILLIONS_TESTS=all`.

mod backlog;
mod baseline;
mod drop;
mod end;
mod fanout;
mod frame;
mod life;
mod mem;
mod order;
mod slow;
mod start;
mod support;
mod table;

use std::collections::BTreeSet;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use zillions_faulty::{Fault, Shows};
use zillions_testing::{Part, left_out_note, select};

use support::{Probe, Seen};

/// How many servers are looked at at the same time: mostly they are waited for.
const SERVERS_AT_ONCE: usize = 8;

/// A probe, and the faults that it shows.
struct Proof {
    name: &'static str,
    probe: fn(&Probe) -> Seen,
    /// It takes more than a second on the correct server.
    is_long: bool,
    shows: &'static [&'static str],
}

/// Defines the table of all probes, each with the module of its group of clauses.
macro_rules! probes {
    (@is_long) => { false };
    (@is_long long) => { true };
    ($($group:ident::$name:ident $(($long:ident))? shows [$($fault:literal),* $(,)?];)*) => {
        const PROOFS: &[Proof] = &[$(
            Proof {
                name: concat!(stringify!($group), "::", stringify!($name)),
                probe: $group::$name,
                is_long: probes!(@is_long $($long)?),
                shows: &[$($fault),*],
            }
        ),*];
    };
}

probes! {
    start::the_line_is_exact_and_the_only_output shows [
        "line-before-bind", "unflushed-line", "wrong-text", "carriage-return-in-line", "no-newline",
        "noise-before-line", "two-lines", "wrong-address-in-line", "noise-after-line",
        "goodbye-on-stdout", "ignores-address", "ignores-sigterm", "waits-for-clients-at-sigterm",
    ];
    start::leaving_is_not_reported_on_standard_output shows ["says-who-resets"];
    start::an_empty_room_is_not_reported_on_standard_output shows ["says-that-the-room-is-empty"];
    start::no_other_address_is_listened_on shows ["all-interfaces"];
    start::one_socket_listens_and_no_more shows ["all-interfaces-on-ipv6", "listens-elsewhere-too"];
    start::another_loopback_address_is_listened_on shows ["first-loopback-only"];
    start::a_second_instance_is_refused shows ["shares-port"];
    start::a_second_instance_is_refused_on_ipv6 shows ["shares-port-on-ipv6"];
    start::a_missing_argument_is_refused shows [
        "starts-without-argument", "exit-zero-on-failure", "silent-on-failure",
    ];
    start::a_bad_address_is_refused shows [
        "default-for-bad-address", "exit-zero-on-failure", "silent-on-failure",
        "port-ends-at-letters",
    ];
    start::a_port_in_use_is_refused shows [
        "line-on-port-in-use", "waits-for-port", "exit-zero-on-failure", "silent-on-failure",
    ];
    start::ipv6_is_listened_on shows ["ipv4-only", "wrong-on-ipv6", "ipv6-in-full"];
    start::seventy_clients_are_served shows ["client-cap-64", "half-of-large-rooms"];
    start::five_hundred_and_ten_clients_are_served shows ["client-cap-500"];
    start::a_thousand_and_thirty_clients_are_served shows ["descriptors-up-to-1023"];
    start::five_clients_are_accepted_at_once shows ["slow-accept"];
    start::who_come_together_are_all_accepted shows ["accepts-one-per-event"];
    start::hundreds_who_come_together_are_all_accepted shows ["accepts-256-per-event"];
    start::who_joins_in_a_flood_is_accepted shows ["accepts-nobody-beside-a-flooder"];
    start::dropping_is_not_reported_on_standard_output (long) shows ["says-what-it-drops"];

    frame::bodies_arrive_unchanged_and_once shows [
        "signed-length", "255-truncated", "text-mode-header", "newline-stripped", "nul-terminated",
        "telnet-escape", "text-only", "hangs-at-an-empty-message",
        "spins-at-an-empty-message", "zero-is-eof", "zero-skipped", "no-echo", "double-echo",
        "echo-only", "one-message-per-connection", "deduplicates", "registered-after-first-send",
        "message-lost-for-joiner", "greeting", "silent-newcomer-blocks-accept",
        "cached-by-length-and-ends", "slash-commands", "bom-stripped", "first-message-is-a-name",
        "deduplicates-long", "empty-ends-a-long-one", "normalises-text",
    ];
    frame::frames_may_arrive_in_pieces shows [
        "single-read-per-body", "parse-buffer-shared", "partial-frame-blocks-others",
    ];
    frame::frames_may_arrive_together shows [
        "one-frame-per-read", "rest-waits-for-next-read", "empty-overtakes",
        "loss-in-burst-of-four", "swapped-for-everyone",
    ];
    frame::frames_may_lie_across_reads shows ["stale-bytes-at-buffer-end", "stale-bytes-at-4096"];
    frame::what_fills_a_buffer_does_not_wait shows ["full-buffer-waits"];
    frame::hundreds_of_frames_may_arrive_together shows ["frames-per-read-256"];
    frame::a_frame_may_look_like_a_request shows ["answers-http"];
    frame::many_open_frames_delay_nobody shows ["holders-fill-its-pool"];
    frame::five_hundred_open_frames_delay_nobody shows ["500-holders-fill-its-pool"];
    frame::a_header_is_acknowledged_at_once shows ["acknowledges-late"];
    frame::empty_messages_of_two_clients_are_two shows ["merges-empties"];
    frame::long_writes_are_read_to_the_end shows ["edge-triggered-reads-once"];
    frame::nothing_comes_unasked (long) shows ["heartbeat"];
    frame::a_pause_is_not_the_end (long) shows ["mid-frame-timeout", "quiet-client-disconnected"];
    frame::a_partial_frame_at_the_end_is_discarded shows [
        "partial-frame-delivered-short", "partial-frame-padded", "slot-reuse-keeps-partial-frame",
    ];
    frame::a_backlog_is_whole_after_seconds (long) shows ["frame-restarted-after-seconds"];
    frame::a_backlog_is_whole_after_a_half_close (long) shows ["frame-restarted-at-half-close"];
    frame::backlogs_of_short_messages_are_whole (long) shows ["header-written-twice"];
    frame::long_frames_may_arrive_together shows [
        "255-truncated-among-others", "long-bodies-overtaken",
    ];
    frame::long_bursts_fill_any_read_buffer (long) shows [
        "stale-bytes-at-65536", "ring-wraps-inside-a-frame", "disconnects-who-reads",
    ];

    fanout::a_joiner_receives_what_is_new shows [
        "history-replayed", "joiner-mid-frame", "joining-skips-another", "last-words-kept",
    ];
    fanout::leaving_disturbs_nobody shows ["leaving-disconnects-another", "leaving-skips-another"];
    fanout::three_may_leave_at_once shows ["leaving-together-disconnects-another"];
    fanout::who_joins_while_another_leaves_is_entered shows ["join-lost-among-leaves"];
    fanout::two_thousand_may_leave_in_mid_frame shows ["counts-leavers-in-mid-frame"];
    fanout::ten_thousand_may_come_and_go (long) shows ["ten-thousand-ever"];
    fanout::a_leave_with_a_backlog_disturbs_nobody shows ["dies-when-one-leaves-with-a-queue"];
    fanout::the_backlog_of_one_who_left_is_forgotten (long) shows ["slot-reuse-leaks-queue"];
    fanout::equal_messages_of_two_clients_are_two shows ["deduplicates-across-senders"];
    fanout::who_leaves_hides_no_message shows ["leaver-hides-message-in-large-rooms"];
    fanout::hundreds_of_thousands_of_messages_leave_nothing_behind shows [
        "sixteen-bit-sequence", "leaks-entry-per-message", "eighteen-bit-sequence",
        "message-65536-lost",
    ];
    fanout::three_hundred_past_clients_cost_nobody_a_place shows ["client-numbers-of-one-byte"];
    fanout::two_thousand_past_clients_cost_nobody_a_place shows ["client-numbers-of-eleven-bits"];

    order::short_messages_overtake_no_backlog shows ["short-overtakes-in-backlog"];
    order::thousands_arrive_once_and_in_order shows [
        "rare-corruption", "rare-duplicate", "loss-at-low-load", "lost-wake-up",
        "task-per-delivery", "rare-adjacent-swap", "dies-after-5000-messages",
    ];
    order::all_agree_on_one_order (long) shows [
        "header-body-interleaved", "per-receiver-locks", "per-core-sequencers",
        "self-echo-before-sequencing", "three-cycle", "reply-overtakes",
    ];
    order::two_agree_in_a_large_room shows ["two-sequencers-in-large-rooms"];
    order::two_agree_in_a_larger_room shows ["two-sequencers-beyond-64"];
    order::two_agree_on_what_one_turn_brings shows ["youngest-hears-itself-first"];
    order::two_agree_on_what_one_turn_brings_to_hundreds shows ["halves-in-large-rooms"];
    order::being_alone_overtakes_nothing shows ["sole-client-overtakes"];
    order::two_agree_after_a_third_has_left shows ["two-sequencers-after-a-leave"];

    drop::all_who_waited_for_room_are_written_to_again shows ["eight-can-wait"];
    drop::who_has_caught_up_misses_nothing (long) shows ["first-after-recovery-lost"];
    drop::megabytes_pass_one_message_at_a_time shows ["rest-behind-the-wrap-waits"];
    drop::two_who_send_at_once_hear_themselves shows ["echo-lost-when-two-send"];
    drop::silence_costs_no_message (long) shows ["lost-after-silence"];

    slow::a_stalled_reader_delays_nobody_and_resumes_with_whole_frames shows [
        "short-write-ignored", "frame-restarted-after-short-write", "drop-cuts-mid-frame",
        "duplicate-after-drop", "buffer-reused-before-sent", "retries-dropped",
        "no-delivery-after-overflow", "stalled-reader-blocks-all", "stalled-reader-delays-all",
        "back-pressure", "unbounded-client-queue", "keeps-all-messages", "rest-of-frame-goes-last",
        "repeats-after-would-block", "blocks-at-4096-queued", "full-queue-drops-for-all",
        "full-queue-disconnects-another", "waits-a-second-for-stalled", "ring-overrun",
    ];
    slow::many_stalled_readers_delay_nobody shows [
        "thirty-two-writers", "fifty-stalled-stop-everybody", "late-witnesses-starve",
    ];
    slow::a_flood_from_one_who_never_reads_is_survived shows [
        "sender-that-never-reads-blocks", "unbounded-inbound-queue",
    ];

    mem::echoes_that_nobody_reads_cost_little_memory (long) shows ["echoes-without-bound"];

    end::frames_before_the_end_are_delivered shows [
        "frames-lost-at-fin", "drops-echo-at-half-close", "never-closes",
    ];
    end::much_before_the_end_is_delivered shows ["last-read-of-512"];
    end::a_reset_in_mid_frame_ends_one_client shows [
        "partial-frame-delivered-at-reset", "reset-kills", "reset-disconnects-all",
    ];
    end::a_reset_while_writing_ends_one_client (long) shows ["sigpipe-kills"];
    end::a_reset_right_after_connecting_ends_one_client shows ["reset-at-accept-stops-accepting"];
    end::descriptors_are_given_back shows [
        "descriptor-leak", "descriptor-leak-at-reset", "descriptor-leak-without-a-byte",
    ];
    end::descriptors_of_cut_frames_are_given_back shows ["descriptor-leak-in-mid-frame"];
    end::nothing_is_left_of_past_clients shows [
        "thread-left-per-connection", "zombie-per-connection",
    ];
    end::memory_of_past_clients_is_given_back shows ["memory-leak-per-connection"];
    end::a_reset_after_a_half_close_leaves_nothing_behind shows [
        "descriptor-lost-at-reset-after-half-close", "queue-kept-at-reset-after-half-close",
    ];
    end::a_backlog_is_given_up_with_its_client (long) shows [
        "descriptor-leak-with-queue", "writes-queues-at-sigterm",
    ];

    life::an_empty_server_goes_on shows ["exits-when-empty"];
    life::who_ended_and_does_not_read_is_not_waited_for (long) shows ["waits-for-ended-clients"];
    life::a_reset_with_a_backlog_costs_nothing (long) shows ["spins-after-reset-with-queue"];
    life::talking_does_not_keep_it_from_stopping shows ["stops-once-all-is-quiet"];
    life::many_clients_do_not_keep_it_from_stopping shows ["stops-client-by-client"];
    life::seconds_without_a_client_are_survived (long) shows ["ends-after-three-empty-seconds"];
    life::nothing_is_left_behind shows ["leaves-child-behind"];
    life::nothing_is_left_behind_after_a_reset shows ["leaves-child-of-a-reset"];
    life::it_starts_again_on_the_same_address shows ["no-reuse-address"];
    life::idle_clients_cost_nothing shows ["busy-loop"];
    life::odd_clients_that_idle_cost_nothing (long) shows [
        "spins-with-backlog", "spins-after-half-close", "spins-in-mid-frame",
    ];
    life::running_out_of_descriptors_is_survived shows [
        "dies-on-exhaustion", "stops-accepting-after-exhaustion",
        "exhaustion-disconnects-the-oldest",
    ];
    life::running_out_of_descriptors_twice_is_survived shows [
        "stops-accepting-after-second-exhaustion",
    ];
    life::running_out_of_descriptors_costs_nothing shows ["spins-without-descriptors"];
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SERVERS_AT_ONCE);
    let (tests, left_out) = select(&arguments, tests());
    let conclusion = libtest_mimic::run(&arguments, tests);
    if let Some(note) = left_out_note(left_out) {
        eprintln!("{note}");
    }
    conclusion.exit_code()
}

fn tests() -> impl Iterator<Item = (Part, Trial)> {
    let short = short_showings();
    let passing = PROOFS.iter().map(|proof| {
        let part = if proof.is_long { Part::Long } else { Part::Short };
        (part, test(format!("the correct server passes {}", proof.name), || passes(proof)))
    });
    let showing = PROOFS.iter().flat_map(move |proof| {
        let short = short.clone();
        proof.shows.iter().map(move |&fault| {
            let part = if short.contains(&(proof.name, fault)) { Part::Short } else { Part::Long };
            (part, test(format!("{} shows {fault}", proof.name), move || shows(proof, fault)))
        })
    });
    table::tests().chain(baseline::tests()).chain(order::tests()).chain(passing).chain(showing)
}

/// The probes and faults of the short part: for each group of clauses the first fault of the
/// table that a short probe shows at once.
fn short_showings() -> BTreeSet<(&'static str, &'static str)> {
    let mut groups = BTreeSet::new();
    let mut short = BTreeSet::new();
    for proof in PROOFS.iter().filter(|proof| !proof.is_long) {
        for &name in proof.shows {
            let fault = Fault::named(name).filter(|fault| fault.shows == Shows::Immediate);
            let group = fault.and_then(|fault| fault.breaks.split('-').next());
            if group.is_some_and(|group| groups.insert(group)) {
                short.insert((proof.name, name));
            }
        }
    }
    short
}

/// A test that fails with what `look` returns.
fn test(name: impl Into<String>, look: impl FnOnce() -> Seen + Send + 'static) -> Trial {
    Trial::test(name, || look().map_err(Failed::from))
}

/// A test that fails by a panic.
fn asserting(name: impl Into<String>, assert: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        assert();
        Ok(())
    })
}

fn passes(proof: &Proof) -> Seen {
    (proof.probe)(&Probe::with_knobs([]))
}

/// Whether the probe fails on the fault: some need things to happen at the same time, and on a
/// busy machine these happen one after the other.
fn shows(proof: &Proof, fault: &str) -> Seen {
    let probe = Probe::with_fault(fault);
    let shows = (0..support::SHOWINGS_MAX).any(|_| (proof.probe)(&probe).is_err());
    support::ensure(shows, "the fault did not show")
}
