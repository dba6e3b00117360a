use super::*;

fn error(change: impl Fn(&str) -> String) -> String {
    let (name, text) = BUILT_IN[0];
    Scenario::parse(name, "s.toml", &change(text)).unwrap_err().to_string()
}

#[test]
fn the_built_in_scenarios_are_right_and_two_or_more_run_by_default() {
    let scenarios = Scenario::built_in();
    assert!(scenarios.iter().filter(|scenario| scenario.is_default).count() >= 2);
    assert!(Scenario::peers().iter().all(|scenario| !scenario.is_default));
    for scenario in scenarios.iter().chain(&Scenario::peers()) {
        let (full, quick) = (scenario.record(false), scenario.record(true));
        assert!(full.question.ends_with('?'), "{}", full.question);
        let seconds = |it: &ScenarioRecord| it.measure_seconds * f64::from(it.repeats);
        assert!(seconds(&quick) < seconds(&full), "{}", scenario.name);
        assert_eq!(Scenario::find(&scenario.name).unwrap(), *scenario);
    }
}

#[test]
fn an_unknown_key_is_an_error_with_its_file_and_line() {
    let error = error(|text| text.replace("clients = 10", "cleints = 10"));
    assert!(error.starts_with("'s.toml', line "), "{error}");
    assert!(error.contains("unknown field `cleints`"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn an_unknown_key_in_a_table_is_an_error_too() {
    let error = error(|text| text.replace("[quick]", "[quick]\nclients = 3"));
    assert!(error.contains("unknown field `clients`"), "{error}");
}

#[test]
fn values_that_do_not_go_together_are_errors() {
    let rate = error(|text| text.replace("messages_per_second = 1000", ""));
    assert_eq!(rate, "'s.toml': load 'fixed-rate' needs messages_per_second");
    let senders = error(|text| text.replace("senders = 10", "senders = 11"));
    assert!(senders.contains("11 of 10 clients cannot send"), "{senders}");
    let body = error(|text| text.replace("[32, 64, 128]", "[3]"));
    assert!(body.contains("a body of 3 bytes is too short"), "{body}");
    let time = error(|text| text.replace("measure_seconds = 0.3", "measure_seconds = -1.0"));
    assert!(time.contains("measure_seconds is out of range"), "{time}");
}

#[test]
fn a_key_of_another_load_is_an_error_and_so_is_a_search_without_limits() {
    let burst = error(|text| text.replace("\nload =", "\nbursts_per_second = 5\nload ="));
    assert_eq!(burst, "'s.toml': load 'fixed-rate' has no bursts_per_second");
    let capacity = |from: &str, to: &str| {
        let (name, text) = BUILT_IN.iter().find(|(name, _)| *name == "capacity").unwrap();
        assert!(text.contains(from), "{from}");
        let error = Scenario::parse(name, "s.toml", &text.replace(from, to)).unwrap_err();
        error.to_string()
    };
    let limit = capacity("max_latency_p99_ms = 20\n", "");
    assert_eq!(limit, "'s.toml': load 'search' needs max_latency_p99_ms");
    let rates = capacity("min_messages_per_second = 50\n", "min_messages_per_second = 1e9\n");
    assert!(rates.contains("cannot be searched"), "{rates}");
    let rank_by = capacity("rank_by = \"capacity\"", "rank_by = \"latency\"");
    assert!(rank_by.ends_with("load 'search' needs rank_by 'capacity'"), "{rank_by}");
}

#[test]
fn as_many_clients_as_allowed_are_at_most_as_many_as_asked_for() {
    let scenario = Scenario::find("idle-crowd").unwrap().record(false);
    assert!(scenario.clients <= 9_000 && scenario.clients > 0);
    assert!(scenario.clients <= clients_allowed());
}

#[test]
fn an_unknown_name_is_answered_with_the_names_there_are() {
    let error = Scenario::find("small-rom").unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no scenario 'small-rom': the scenarios are small-room, one-to-many, \
         many-to-many, everyone-at-once, burst, tiny-frames, churn, slow-reader, idle-crowd, \
         capacity, 1-to-8, 1-to-64, 8-to-8, 1-to-64-stalled, 1000-to-64, 10000-to-64, 200-to-500; \
         or name a .toml file"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Scenario::find("no/such.toml").unwrap_err().to_string();
    assert!(error.starts_with("cannot read 'no/such.toml': "), "{error}");
}
