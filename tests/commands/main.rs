//! What a user sees of `zillions` and `stresstest`, right and wrong input alike,
//! through the real binaries and real servers.
//!
//! A short part of the tests runs by default, all with `ZILLIONS_TESTS=all`.

mod addresses;
mod bench;
mod bench_runs;
mod brokers;
mod checking;
mod comparing;
mod encrypted;
mod figures;
mod gallery;
mod machine;
mod other_machine;
mod outputs;
mod readme;
mod self_check;
mod stresstest;
mod support;
mod templates;
mod terminals;
mod workspace;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use zillions_testing::{Part, left_out_note, select};

/// Most tests wait for servers, and for times that are up.
const TESTS_AT_ONCE: usize = 5;

/// The tests of each file, those that take long marked as such.
macro_rules! tests {
    ($($file:ident { $($name:ident $(($part:ident))?;)* })*) => {
        fn tests() -> Vec<(Part, Trial)> {
            vec![$($((
                tests!(@part $($part)?),
                Trial::test(concat!(stringify!($file), "::", stringify!($name)), || {
                    $file::$name();
                    Ok(())
                }),
            ),)*)*]
        }
    };
    (@part) => { Part::Short };
    (@part long) => { Part::Long };
}

tests! {
    addresses {
        one_service_at_two_addresses_passes;
        two_servers_that_share_nothing_are_no_service;
        a_running_service_of_two_addresses_is_measured;
        two_servers_that_share_nothing_are_not_measured (long);
        a_running_service_that_cannot_be_measured_is_told_in_one_line;
        one_message_that_overtakes_at_one_address_breaks_the_total_order;
        addresses_that_cannot_be_used_are_told_in_one_line;
    }
    bench {
        load_threads_are_recorded_each_by_itself;
        limits_of_the_machine_are_measured_beside_servers_unless_they_are_not_wanted;
        a_run_leaves_results_and_a_report_and_the_report_can_be_made_again;
        every_pair_of_a_correct_server_is_accounted_for;
        a_server_that_breaks_the_spec_is_shown_and_not_measured;
        a_server_that_dies_in_mid_trial_is_a_failed_trial_with_its_last_words;
        a_wrapper_that_ends_after_its_server_has_closed_its_connections_is_waited_for;
        a_server_that_hangs_is_a_failed_trial_and_is_stopped;
        a_round_that_never_ends_is_a_failed_trial_and_not_one_without_losses;
        wrong_input_is_one_line_and_exit_code_64;
        a_folder_that_cannot_be_written_is_told_before_anything_runs;
        the_scenarios_are_listed;
    }
    bench_runs {
        a_run_knows_what_a_program_costs_and_what_the_suite_found;
        a_program_that_passed_the_check_is_not_checked_again_unless_asked (long);
        a_run_is_gone_on_with_and_only_what_is_missing_or_damaged_is_measured;
        further_trials_follow_within_the_budget_and_a_resumed_run_decides_the_same (long);
        a_run_is_not_gone_on_with_under_other_circumstances;
        an_interrupted_run_keeps_what_it_has_says_how_to_go_on_and_leaves_nothing_running;
        too_few_descriptors_are_told_in_one_line_with_what_to_do;
        on_one_processor_nothing_is_pinned_and_the_run_says_so;
        a_capacity_is_searched_held_and_drawn_as_a_curve (long);
        churn_stalled_clients_and_untimed_messages_appear_in_the_results;
        every_trial_compares_the_order_of_a_few_receivers;
        what_nobody_has_is_told_in_one_line;
    }
    brokers {
        nats_and_redis_deliver_everything_beside_the_reference_server;
        brokers_that_are_missing_are_skipped_and_a_comparison_can_be_gone_on_with;
        a_broker_that_does_not_start_is_skipped_with_its_last_words;
        options_of_the_brokers_need_the_comparison;
    }
    checking {
        a_correct_server_passes;
        json_has_the_published_form;
        a_broken_clause_is_quoted_and_exits_with_1;
        a_should_that_is_not_met_fails_only_when_strict;
        with_fail_fast_the_first_failure_ends_the_run;
        of_several_targets_a_log_says_which_is_checked_and_what_is_left;
        a_known_failure_does_not_count_and_one_that_passes_is_an_error;
        a_server_that_does_not_start_fails_and_is_quoted;
        wrong_input_is_a_usage_error_with_one_line;
        a_running_server_that_does_not_run_is_told_in_one_line;
        labelled_histories_are_judged_as_labelled;
    }
    comparing {
        equal_runs_compare_as_equal_and_exit_with_0;
        a_clear_regression_exits_with_1_in_every_format;
        a_noisy_run_exits_with_2_because_nothing_was_compared;
        another_machine_is_refused_in_one_line;
        another_version_a_truncated_file_and_no_results_are_one_line_and_exit_code_64;
        a_threshold_that_is_no_percentage_is_refused_with_an_example;
        several_runs_make_one_report_that_names_them;
        runs_of_other_machines_and_one_run_twice_make_no_report;
    }
    encrypted {
        a_part_of_the_suite_passes_over_tls;
        the_suite_passes_over_tls (long);
    }
    figures {
        figures_go_from_a_run_into_the_documents_and_leave_with_the_program;
        damaged_figures_are_told_with_the_file;
        a_run_is_drawn_for_light_and_for_dark_ground;
    }
    gallery {
        the_list_shows_what_is_missing_and_what_installs_it;
        entries_are_selected_by_what_they_are_and_a_filter_that_nothing_matches_is_an_error;
        versions_are_shown_and_one_that_is_too_old_is_as_good_as_none;
        a_build_that_fails_shows_the_end_of_its_log_and_the_others_go_on;
        of_a_long_log_only_the_end_is_shown_whatever_bytes_are_in_it;
        the_time_of_the_first_build_is_kept_since_a_second_does_nothing;
        checks_of_one_entry_at_once_build_it_once_and_leave_each_other_its_program;
        a_time_limit_that_is_none_is_refused;
        an_old_program_is_not_taken_for_one_that_was_built_elsewhere;
        what_steers_a_tool_chain_elsewhere_is_kept_from_builds_and_programs;
        what_is_asked_for_by_name_may_not_be_skipped;
        unknown_names_and_empty_galleries_are_usage_errors;
        a_wrong_manifest_is_named_with_file_line_and_remedy;
        two_entries_with_one_name_are_named_with_both_folders;
        the_script_that_installs_tool_chains_follows_the_manifests;
        the_gallery_is_shown_by_style_and_by_entry_where_a_page_has_a_place;
        a_tool_chain_that_does_not_work_is_not_skipped;
        a_listing_ends_quietly_when_its_reader_goes_away;
        the_doctor_knows_this_machine;
        completions_and_manual_pages_cover_every_binary;
    }
    other_machine {
        servers_of_another_machine_are_measured_from_here;
        a_machine_that_cannot_be_used_is_told_in_one_line (long);
        a_machine_that_vanishes_leaves_what_was_measured_and_nothing_that_runs (long);
    }
    outputs {
        what_a_server_writes_is_escaped_in_every_format;
        what_a_user_writes_is_escaped_where_it_is_shown_again;
        a_slow_reader_of_a_non_blocking_pipe_gets_all_of_it;
        a_failure_stays_one_when_its_reader_has_gone;
        a_tool_that_is_short_of_descriptors_blames_nobody_else;
        the_fewest_descriptors_are_enough_for_a_correct_server;
        a_wrapped_server_does_not_outlive_a_tool_that_is_killed;
        errors_that_nobody_can_read_end_a_command_as_others_do;
        a_signal_that_was_ignored_at_the_start_stays_ignored;
        what_is_left_of_a_tool_that_was_killed_is_named_by_the_doctor;
    }
    readme {
        the_check_that_it_shows_ends_like_that;
    }
    machine {
        few_local_ports_are_told_with_what_to_do;
        a_loopback_device_that_is_down_is_told_with_what_to_do;
        without_ipv6_the_rest_is_checked;
        without_proc_memory_is_unknown_and_the_rest_is_checked;
        an_interpreter_that_is_missing_is_named;
        local_ports_that_run_out_in_mid_trial_prevent_it_and_are_no_failure_of_the_server;
        the_line_client_says_what_the_machine_lacks;
    }
    self_check {
        known_losses_repeats_swaps_and_disagreements_are_measured_as_exactly_that (long);
        a_freeze_is_charged_in_an_open_loop_and_hidden_in_a_closed_one (long);
        an_unknown_name_is_a_usage_error;
    }
    terminals {
        no_table_breaks_a_word_at_any_width;
        a_comparison_breaks_no_word_and_no_number_at_any_width;
        a_table_fits_80_and_40_columns_and_says_what_it_leaves_out;
        a_terminal_that_does_not_tell_its_width_is_one_of_80_columns;
        every_command_ends_the_same_on_every_terminal (long);
        of_several_targets_a_terminal_shows_which_is_checked_and_what_is_left;
        without_colours_there_are_none_in_usage_errors_either;
    }
    stresstest {
        a_correct_server_passes_and_nothing_is_dropped;
        with_port_0_a_free_one_is_found;
        json_has_its_schema_and_every_figure;
        more_publishers_than_a_byte_can_count_are_told_apart;
        a_violation_is_explained_and_exits_with_1;
        lost_messages_are_counted_and_are_no_error;
        a_server_that_runs_already_can_be_tested;
        a_missing_executable_is_named;
        a_file_that_is_not_executable_is_named;
        a_server_that_exits_at_once_is_reported_with_its_log;
        a_server_that_never_prints_its_line_is_given_up;
        a_server_that_prints_another_line_is_quoted;
        a_server_that_prints_its_line_and_refuses_connections_is_reported;
        a_server_that_dies_in_mid_run_is_reported_with_its_status;
        an_address_in_use_is_reported;
        an_address_that_cannot_be_used_is_reported_with_what_to_write;
        too_few_descriptors_are_reported_with_the_limit_and_the_remedy;
        nonsense_on_the_command_line_is_a_usage_error;
        ctrl_c_stops_the_server_and_exits_with_130;
    }
    templates {
        a_new_entry_in_every_language_builds_and_passes (long);
        a_name_that_cannot_be_used_is_refused;
        the_readmes_table_and_the_tool_chain_script_are_up_to_date;
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    let (tests, left_out) = select(&arguments, tests());
    let conclusion = libtest_mimic::run(&arguments, tests);
    if let Some(note) = left_out_note(left_out) {
        println!("{note}");
    }
    conclusion.exit_code()
}
