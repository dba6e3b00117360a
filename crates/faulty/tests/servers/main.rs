//! Runs the servers and looks at them as a client does.
//!
//! Every probe passes on the correct server and fails on each fault that it is
//! listed with; every fault is listed. So each fault is real, and the correct
//! server has none of them.

mod backlogs;
mod baseline;
mod endings;
mod joins;
mod life;
mod messages;
mod situations;
mod slow;
mod starts;
mod support;
mod table;
mod volume;

/// Defines a test per probe and the table of all of them.
macro_rules! probes {
    ($($name:ident in $module:ident shows [$($fault:literal),* $(,)?];)*) => {
        $(
            #[test]
            fn $name() {
                support::prove($module::$name, &[$($fault),*]);
            }
        )*

        /// Every fault that a probe shows.
        const SHOWN: &[&str] = &[$($($fault),*),*];
    };
}

probes! {
    the_line_is_exact_and_the_only_output in starts shows [
        "line-before-bind", "unflushed-line", "wrong-text", "carriage-return-in-line", "no-newline",
        "noise-before-line", "two-lines", "wrong-address-in-line", "noise-after-line",
        "goodbye-on-stdout",
        "ignores-address", "ignores-sigterm", "waits-for-clients-at-sigterm",
    ];
    leaving_is_not_reported_on_standard_output in starts shows ["says-who-resets"];
    an_empty_room_is_not_reported_on_standard_output in starts shows [
        "says-that-the-room-is-empty",
    ];
    no_other_address_is_listened_on in starts shows ["all-interfaces"];
    one_socket_listens_and_no_more in starts shows [
        "all-interfaces-on-ipv6", "listens-elsewhere-too",
    ];
    another_loopback_address_is_listened_on in starts shows ["first-loopback-only"];
    a_second_instance_is_refused in starts shows ["shares-port"];
    a_second_instance_is_refused_on_ipv6 in starts shows ["shares-port-on-ipv6"];
    a_missing_argument_is_refused in starts shows [
        "starts-without-argument", "exit-zero-on-failure", "silent-on-failure",
    ];
    a_bad_address_is_refused in starts shows [
        "default-for-bad-address", "exit-zero-on-failure", "silent-on-failure",
        "port-ends-at-letters",
    ];
    a_port_in_use_is_refused in starts shows [
        "line-on-port-in-use", "waits-for-port", "exit-zero-on-failure", "silent-on-failure",
    ];
    ipv6_is_listened_on in starts shows ["ipv4-only", "wrong-on-ipv6", "ipv6-in-full"];

    bodies_arrive_unchanged_and_once in messages shows [
        "signed-length", "255-truncated", "text-mode-header", "newline-stripped",
        "nul-terminated", "telnet-escape", "text-only", "zero-is-eof", "zero-skipped",
        "no-echo", "double-echo", "echo-only", "one-message-per-connection", "deduplicates",
        "registered-after-first-send", "message-lost-for-joiner", "greeting",
        "silent-newcomer-blocks-accept", "cached-by-length-and-ends", "slash-commands",
        "bom-stripped", "first-message-is-a-name", "deduplicates-long", "empty-ends-a-long-one",
        "normalises-text",
    ];
    frames_may_arrive_in_pieces in messages shows [
        "single-read-per-body", "parse-buffer-shared", "partial-frame-blocks-others",
    ];
    frames_may_arrive_together in messages shows [
        "one-frame-per-read", "rest-waits-for-next-read", "empty-overtakes",
        "loss-in-burst-of-four", "swapped-for-everyone",
    ];
    frames_may_lie_across_reads in messages shows [
        "stale-bytes-at-buffer-end", "stale-bytes-at-4096",
    ];
    what_fills_a_buffer_does_not_wait in messages shows ["full-buffer-waits"];
    hundreds_of_frames_may_arrive_together in messages shows ["frames-per-read-256"];
    a_frame_may_look_like_a_request in messages shows ["answers-http"];
    many_open_frames_delay_nobody in messages shows ["holders-fill-its-pool"];
    five_hundred_open_frames_delay_nobody in messages shows ["500-holders-fill-its-pool"];
    empty_messages_of_two_clients_are_two in situations shows ["merges-empties"];
    long_writes_are_read_to_the_end in messages shows ["edge-triggered-reads-once"];
    nothing_comes_unasked in messages shows ["heartbeat"];
    a_pause_is_not_the_end in messages shows ["mid-frame-timeout", "quiet-client-disconnected"];

    a_joiner_receives_what_is_new in joins shows [
        "history-replayed", "joiner-mid-frame", "joining-skips-another", "last-words-kept",
    ];
    seventy_clients_are_served in joins shows ["client-cap-64", "half-of-large-rooms"];
    five_hundred_and_ten_clients_are_served in joins shows ["client-cap-500"];
    a_thousand_and_thirty_clients_are_served in joins shows ["descriptors-up-to-1023"];
    five_clients_are_accepted_at_once in joins shows ["slow-accept"];
    leaving_disturbs_nobody in joins shows [
        "leaving-disconnects-another", "leaving-skips-another",
    ];
    three_may_leave_at_once in joins shows ["leaving-together-disconnects-another"];
    who_joins_while_another_leaves_is_entered in joins shows ["join-lost-among-leaves"];
    who_come_together_are_all_accepted in joins shows ["accepts-one-per-event"];
    hundreds_who_come_together_are_all_accepted in joins shows ["accepts-256-per-event"];
    who_joins_in_a_flood_is_accepted in joins shows ["accepts-in-quiet-turns-only"];
    two_thousand_may_leave_in_mid_frame in joins shows ["counts-leavers-in-mid-frame"];
    ten_thousand_may_come_and_go in joins shows ["ten-thousand-ever"];
    an_empty_server_goes_on in joins shows ["exits-when-empty"];

    frames_before_the_end_are_delivered in endings shows [
        "frames-lost-at-fin", "drops-echo-at-half-close", "never-closes",
    ];
    much_before_the_end_is_delivered in endings shows ["last-read-of-512"];
    a_partial_frame_at_the_end_is_discarded in endings shows [
        "partial-frame-delivered-short", "partial-frame-padded",
        "slot-reuse-keeps-partial-frame",
    ];
    a_reset_in_mid_frame_ends_one_client in endings shows [
        "partial-frame-delivered-at-reset", "reset-kills", "reset-disconnects-all",
    ];
    a_reset_while_writing_ends_one_client in endings shows ["sigpipe-kills"];
    a_reset_right_after_connecting_ends_one_client in endings shows [
        "reset-at-accept-stops-accepting",
    ];
    descriptors_are_given_back in endings shows [
        "descriptor-leak", "descriptor-leak-at-reset", "descriptor-leak-without-a-byte",
    ];
    descriptors_of_cut_frames_are_given_back in endings shows ["descriptor-leak-in-mid-frame"];
    nothing_is_left_of_past_clients in endings shows [
        "thread-left-per-connection", "zombie-per-connection",
    ];
    memory_of_past_clients_is_given_back in endings shows ["memory-leak-per-connection"];

    a_stalled_reader_delays_nobody_and_resumes_with_whole_frames in slow shows [
        "short-write-ignored", "frame-restarted-after-short-write", "drop-cuts-mid-frame",
        "duplicate-after-drop", "buffer-reused-before-sent", "retries-dropped",
        "no-delivery-after-overflow", "stalled-reader-blocks-all", "stalled-reader-delays-all",
        "back-pressure", "unbounded-client-queue", "keeps-all-messages",
        "rest-of-frame-goes-last", "repeats-after-would-block", "blocks-at-4096-queued",
        "full-queue-drops-for-all", "full-queue-disconnects-another",
        "waits-a-second-for-stalled", "ring-overrun",
    ];
    many_stalled_readers_delay_nobody in backlogs shows [
        "thirty-two-writers", "fifty-stalled-stop-everybody", "late-witnesses-starve",
    ];
    all_who_waited_for_room_are_written_to_again in backlogs shows ["eight-can-wait"];
    a_reset_after_a_half_close_leaves_nothing_behind in backlogs shows [
        "descriptor-lost-at-reset-after-half-close", "queue-kept-at-reset-after-half-close",
    ];
    a_backlog_is_whole_after_seconds in backlogs shows ["frame-restarted-after-seconds"];
    a_backlog_is_whole_after_a_half_close in backlogs shows ["frame-restarted-at-half-close"];
    short_messages_overtake_no_backlog in backlogs shows ["short-overtakes-in-backlog"];
    backlogs_of_short_messages_are_whole in backlogs shows ["header-written-twice"];
    who_has_caught_up_misses_nothing in backlogs shows ["first-after-recovery-lost"];
    a_leave_with_a_backlog_disturbs_nobody in backlogs shows [
        "dies-when-one-leaves-with-a-queue",
    ];
    dropping_is_not_reported_on_standard_output in backlogs shows ["says-what-it-drops"];
    who_ended_and_does_not_read_is_not_waited_for in backlogs shows ["waits-for-ended-clients"];
    a_reset_with_a_backlog_costs_nothing in backlogs shows ["spins-after-reset-with-queue"];
    a_flood_from_one_who_never_reads_is_survived in slow shows [
        "sender-that-never-reads-blocks", "unbounded-inbound-queue",
    ];
    echoes_that_nobody_reads_cost_little_memory in slow shows ["echoes-without-bound"];
    the_backlog_of_one_who_left_is_forgotten in slow shows ["slot-reuse-leaks-queue"];

    thousands_arrive_once_and_in_order in volume shows [
        "rare-corruption", "rare-duplicate", "loss-at-low-load", "lost-wake-up",
        "task-per-delivery", "rare-adjacent-swap", "dies-after-5000-messages",
    ];
    all_agree_on_one_order in volume shows [
        "header-body-interleaved", "per-receiver-locks", "per-core-sequencers",
        "self-echo-before-sequencing", "three-cycle", "reply-overtakes",
    ];

    long_frames_may_arrive_together in situations shows [
        "255-truncated-among-others", "long-bodies-overtaken",
    ];
    long_bursts_fill_any_read_buffer in situations shows [
        "stale-bytes-at-65536", "ring-wraps-inside-a-frame", "disconnects-who-reads",
    ];
    equal_messages_of_two_clients_are_two in situations shows ["deduplicates-across-senders"];
    two_agree_in_a_large_room in situations shows ["two-sequencers-in-large-rooms"];
    two_agree_in_a_larger_room in situations shows ["two-sequencers-beyond-64"];
    two_agree_on_what_one_turn_brings in situations shows ["youngest-hears-itself-first"];
    two_agree_on_what_one_turn_brings_to_hundreds in situations shows ["halves-in-large-rooms"];
    who_leaves_hides_no_message in situations shows ["leaver-hides-message-in-large-rooms"];
    megabytes_pass_one_message_at_a_time in situations shows ["rest-behind-the-wrap-waits"];
    being_alone_overtakes_nothing in situations shows ["sole-client-overtakes"];
    two_agree_after_a_third_has_left in situations shows ["two-sequencers-after-a-leave"];
    two_who_send_at_once_hear_themselves in situations shows ["echo-lost-when-two-send"];
    silence_costs_no_message in situations shows ["lost-after-silence"];
    hundreds_of_thousands_of_messages_leave_nothing_behind in situations shows [
        "sixteen-bit-sequence", "leaks-entry-per-message", "eighteen-bit-sequence",
        "message-65536-lost",
    ];
    three_hundred_past_clients_cost_nobody_a_place in situations shows [
        "client-numbers-of-one-byte",
    ];
    two_thousand_past_clients_cost_nobody_a_place in situations shows [
        "client-numbers-of-eleven-bits",
    ];
    a_backlog_is_given_up_with_its_client in situations shows [
        "descriptor-leak-with-queue", "writes-queues-at-sigterm",
    ];

    talking_does_not_keep_it_from_stopping in life shows ["stops-once-all-is-quiet"];
    many_clients_do_not_keep_it_from_stopping in life shows ["stops-client-by-client"];
    seconds_without_a_client_are_survived in life shows ["ends-after-three-empty-seconds"];
    nothing_is_left_behind in life shows ["leaves-child-behind"];
    nothing_is_left_behind_after_a_reset in life shows ["leaves-child-of-a-reset"];
    it_starts_again_on_the_same_address in life shows ["no-reuse-address"];
    idle_clients_cost_nothing in life shows ["busy-loop"];
    odd_clients_that_idle_cost_nothing in life shows [
        "spins-with-backlog", "spins-after-half-close", "spins-in-mid-frame",
    ];
    running_out_of_descriptors_is_survived in life shows [
        "dies-on-exhaustion", "stops-accepting-after-exhaustion",
        "exhaustion-disconnects-the-oldest",
    ];
    running_out_of_descriptors_twice_is_survived in life shows [
        "stops-accepting-after-second-exhaustion",
    ];
    running_out_of_descriptors_costs_nothing in life shows ["spins-without-descriptors"];
}
