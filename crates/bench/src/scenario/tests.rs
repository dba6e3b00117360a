use std::collections::{BTreeMap, BTreeSet};

use zillions_load::{CHURN_PER_SECOND_MAX, FILLER_PER_MESSAGE_MAX, body};
use zillions_report::percentile::samples_needed;

use super::*;

/// The text of a built-in scenario.
fn text_of(wanted: &str) -> &'static str {
    BUILT_IN.iter().find(|(name, _)| *name == wanted).expect("a scenario").1
}

/// What is wrong with `small-room` after a change.
fn error(change: impl Fn(&str) -> String) -> String {
    Scenario::parse("s", "s.toml", &change(text_of("small-room"))).unwrap_err().to_string()
}

#[test]
fn the_built_in_scenarios_are_right_and_two_or_more_run_by_default() {
    let scenarios = Scenario::built_in();
    assert!(scenarios.iter().filter(|scenario| scenario.is_default).count() >= 2);
    assert!(Scenario::brokers().iter().all(|scenario| !scenario.is_default));
    for scenario in scenarios.iter().chain(&Scenario::brokers()) {
        let (full, quick) = (scenario.record(false), scenario.record(true));
        assert!(full.question.ends_with('?'), "{}", full.question);
        let seconds = |it: &ScenarioRecord| it.measure_seconds * f64::from(it.repeats);
        assert!(seconds(&quick) < seconds(&full), "{}", scenario.name);
        assert_eq!(Scenario::find(&scenario.name).unwrap(), *scenario);
    }
}

#[test]
fn built_in_scenarios_have_enough_deliveries_for_the_percentile_that_they_rank_by() {
    for scenario in Scenario::built_in().iter().chain(&Scenario::brokers()) {
        for record in [scenario.record(false), scenario.record(true)] {
            let (RankBy::Latency, Some(rate)) = (record.rank_by, offered_rate(&record)) else {
                continue;
            };
            let deliveries = rate * record.measure_seconds * f64::from(record.clients);
            let needed = samples_needed(0.99) as f64;
            assert!(deliveries >= needed, "{}: {deliveries} in a trial", record.name);
        }
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
    assert_eq!(senders, "'s.toml': senders must be 1 to 10, the number of clients (got 11)");
    let clients = error(|text| text.replace("clients = 10", "clients = 0"));
    assert_eq!(clients, "'s.toml': clients must be 1 to 20000, stalled ones included (got 0)");
    let body = error(|text| text.replace("[32, 64, 128]", "[3]"));
    assert_eq!(body, "'s.toml': body_bytes must be 18 to 255 each (got 3)");
    let split = error(|text| {
        text.replace("[32, 64, 128]", "[32]\nuntimed_per_message = 1\nsplit_writes = true")
    });
    assert_eq!(
        split,
        "'s.toml': split_writes does not go with untimed_per_message: those share one write"
    );
    let time = error(|text| text.replace("measure_seconds = 0.3", "measure_seconds = -1.0"));
    assert_eq!(time, "'s.toml': measure_seconds must be 0 to 3600 (got -1)");
}

#[test]
fn a_key_of_another_load_is_an_error_and_so_is_a_search_without_limits() {
    let burst = error(|text| text.replace("\nload =", "\nbursts_per_second = 5\nload ="));
    assert_eq!(burst, "'s.toml': load 'fixed-rate' does not use bursts_per_second");
    let capacity = |from: &str, to: &str| {
        let text = text_of("capacity");
        assert!(text.contains(from), "{from}");
        let error = Scenario::parse("s", "s.toml", &text.replace(from, to)).unwrap_err();
        error.to_string()
    };
    let limit = capacity("max_latency_p99_ms = 20\n", "");
    assert_eq!(limit, "'s.toml': load 'search' needs max_latency_p99_ms");
    let rates = capacity("min_messages_per_second = 50\n", "min_messages_per_second = 1e9\n");
    assert!(rates.starts_with("'s.toml': min_messages_per_second must be above 0"), "{rates}");
    let rank_by = capacity("rank_by = \"capacity\"", "rank_by = \"latency\"");
    assert!(rank_by.ends_with("load 'search' needs rank_by 'capacity'"), "{rank_by}");
}

#[test]
fn clients_are_limited_by_descriptors_and_by_what_is_asked_for() {
    let scenario = Scenario::find("idle-crowd").unwrap().record(false);
    assert!(scenario.clients <= 9_000 && scenario.clients > 0);
    assert!(scenario.clients <= clients_max());
}

#[test]
fn an_unknown_name_is_answered_with_the_names_there_are() {
    let error = Scenario::find("small-rom").unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown scenario 'small-rom': choose from burst, capacity, churn, everyone-at-once, \
         idle-crowd, many-to-many, naive-client, one-to-many, slow-reader, small-room, tiny-frames, 1-to-64, \
         1-to-64-stalled, 1-to-8, 1000-to-64, 10000-to-64, 200-to-500, 8-to-8, or name a .toml file"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Scenario::find("no/such.toml").unwrap_err().to_string();
    assert!(error.starts_with("cannot read 'no/such.toml': "), "{error}");
}

/// The page that documents scenario files.
const PAGE: &str = include_str!("../../../../docs/scenarios.md");

/// What serde accepts where `text` has something else: the names in backquotes after "expected".
fn accepted<T: serde::de::DeserializeOwned>(text: &str) -> BTreeSet<String> {
    let error = toml::from_str::<T>(text).err().expect("an error").message().to_owned();
    let (_, names) = error.split_once("expected").expect("what is expected");
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names in the first column of the tables under `heading`.
fn documented(heading: &str) -> BTreeSet<String> {
    let (_, rest) = PAGE.split_once(&format!("\n{heading}\n")).expect("a heading");
    let level = heading.split(' ').next().expect("a level");
    let section = rest.split(&format!("\n{level} ")).next().expect("a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect()
}

#[test]
fn every_key_of_a_scenario_is_documented_and_every_documented_key_exists() {
    assert_eq!(documented("## Keys"), accepted::<File>("no_such_key = 1"));
    assert_eq!(documented("## `[quick]`"), accepted::<Quick>("no_such_key = 1"));
    type Loads = BTreeMap<String, LoadName>;
    assert_eq!(documented("## Values of `load`"), accepted::<Loads>("load = 'none'"));
    type Rankings = BTreeMap<String, RankBy>;
    assert_eq!(documented("## Values of `rank_by`"), accepted::<Rankings>("rank_by = 'none'"));
}

#[test]
fn the_scenario_in_the_documentation_is_valid_and_bounds_are_those_of_the_code() {
    let (_, rest) = PAGE.split_once("```toml\n").expect("an example");
    let text = rest.split("```").next().expect("its end");
    let scenario = Scenario::parse("standup", "standup.toml", text).unwrap();
    assert_ne!(scenario.record(true), scenario.record(false));
    for bound in [
        CLIENTS_MAX.to_string(),
        MESSAGES_PER_SECOND_MAX.to_string(),
        CHURN_PER_SECOND_MAX.to_string(),
        FILLER_PER_MESSAGE_MAX.to_string(),
        body::BODY_BYTES_MIN.to_string(),
    ] {
        assert!(
            PAGE.contains(&format!("{bound} ")) || PAGE.contains(&format!("{bound},")),
            "{bound}"
        );
    }
}
