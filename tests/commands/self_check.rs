//! `self-check`: what deviates by a known amount is measured as exactly that.

use serde_json::Value;

use crate::support::{ZILLIONS, run};

/// Measurements whose result does not depend on how busy the machine is.
const EXACT: [&str; 4] =
    ["measured-losses", "measured-repeats", "measured-swaps", "measured-disagreement"];
/// Those that are times; a busy machine adds to them.
const TIMED: [&str; 2] = ["measured-frozen", "measured-frozen-in-rounds"];

fn details(names: &[&str]) -> Vec<(bool, String)> {
    let mut arguments = vec!["self-check", "--format", "json"];
    arguments.extend_from_slice(names);
    let ended = run(ZILLIONS, &arguments);
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["schema"], "zillions.self-check/1");
    let servers = report["servers"].as_array().expect("servers");
    assert_eq!(servers.len(), names.len());
    let detail = |server: &Value| {
        assert_eq!(server["kind"], "measured");
        let text = server["detail"].as_str().expect("a detail").to_owned();
        (server["proven"].as_bool().expect("a verdict"), text)
    };
    servers.iter().map(detail).collect()
}

pub(crate) fn known_losses_repeats_swaps_and_disagreements_are_measured_as_exactly_that() {
    for (proven, detail) in details(&EXACT) {
        assert!(proven, "{detail}");
    }
}

pub(crate) fn a_freeze_is_charged_in_an_open_loop_and_hidden_in_a_closed_one() {
    let found = details(&TIMED);
    let p99_ms = |detail: &str| -> f64 {
        let rest = detail.split("p99 ").nth(1).expect("a percentile");
        rest.split(' ').next().expect("a number").parse().expect("milliseconds")
    };
    // However busy the machine is, the freeze can only seem longer.
    assert!(p99_ms(&found[0].1) >= 1_270.0, "{}", found[0].1);
    assert!(found[1].0 || found[1].1.contains("max"), "{}", found[1].1);
}

pub(crate) fn an_unknown_name_is_a_usage_error() {
    let ended = run(ZILLIONS, &["self-check", "measured-nothing"]);
    assert_eq!(ended.code, 64);
    assert!(ended.line().contains("unknown server 'measured-nothing'"));
}
