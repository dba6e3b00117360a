//! `bench` and `report`: a whole run on small scenarios, and what goes wrong.

use std::fs;
use std::path::Path;

use zillions_bench::pin::allowed;
use zillions_report::record::{Role, TargetStatus, TrialRecord, TrialResult};
use zillions_report::results::Results;
use zillions_report::verdict::{Validity, judge};

use crate::support::{Script, ZILLIONS, run};
use crate::workspace::{SMALL, Workspace};

pub(crate) fn a_run_leaves_results_and_a_report_and_the_report_can_be_made_again() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let ended = workspace.bench(&server, &["--seed", "5", "--format", "json"]);
    // One trial ranks nothing.
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(summary["schema"], "zillions.bench/2");
    let row = &summary["scenarios"][0]["rows"][0];
    assert_eq!(row["target"], server.name());

    let results = Results::read(&workspace.results()).unwrap();
    // The only target is the one that is measured as two arms, and the limit has a trial.
    assert_eq!((results.run.seed, results.trials.len()), (5, 3));
    // On a busy machine a trial may be invalid, and then the row has no figures.
    for trial in &results.trials {
        let TrialResult::Measured(figures) = &trial.result else { panic!("{trial:?}") };
        assert!(figures.pairs.delivered > 0, "{figures:?}");
    }
    let report = workspace.results().join("report.html");
    let first = fs::read_to_string(&report).unwrap();
    assert!(first.contains("Does it work?"));
    fs::remove_file(&report).unwrap();
    let again = run(ZILLIONS, &["report", &workspace.path("out")]);
    assert_eq!((again.code, again.stdout.trim_end()), (0, report.to_str().unwrap()));
    assert!(fs::read_to_string(&report).unwrap() == first, "the same report");
}

pub(crate) fn load_threads_are_recorded_each_by_itself() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let number = allowed().len().min(2);
    let ended = workspace.bench(&server, &["--load-threads", &number.to_string()]);
    // One trial ranks nothing.
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    let results = Results::read(&workspace.results()).unwrap();
    let machine = &results.run.machine;
    assert_eq!(results.run.load_threads as usize, number);
    assert!([0, number].contains(&machine.generator_cpus.len()), "{machine:?}");
    for trial in &results.trials {
        let TrialResult::Measured(figures) = &trial.result else { panic!("{trial:?}") };
        assert!(figures.anomalies == Default::default() && figures.order.violation.is_empty());
        let threads = figures.generator.each(figures.deliveries_arrived);
        assert_eq!(threads.len(), number);
        let arrived: u64 = threads.iter().map(|it| it.deliveries_arrived).sum();
        assert_eq!(arrived, figures.deliveries_arrived);
    }
}

pub(crate) fn limits_of_the_machine_are_measured_beside_servers_unless_they_are_not_wanted() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let saturating = SMALL.replace("messages_per_second = 500\n", "");
    let saturating = saturating.replace("fixed-rate", "saturate").replace("latency", "throughput");
    workspace.scenario("full.toml", &saturating);
    let full = workspace.path("full.toml");
    let ended = workspace.bench(&server, &["--scenario", &full, "--format", "json"]);
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let results = Results::read(&workspace.results()).unwrap();
    for (scenario, kind) in [("small", "send-loop"), ("full", "bare-receiver")] {
        let is_it = |it: &&serde_json::Value| it["name"] == scenario;
        let found = summary["scenarios"].as_array().unwrap().iter().find(is_it).unwrap();
        assert_eq!(found["limit"]["kind"], kind, "{found}");
        assert!(found["limit"]["figure"]["median"].as_f64().unwrap() > 0.0, "{found}");
        let rows = found["rows"].as_array().unwrap();
        assert!(rows.iter().all(|row| row["target"] == server.name()), "{found}");
        let of_kind = |it: &&TrialRecord| it.role == Role::Yardstick && it.target == kind;
        let trials: Vec<_> = results.trials.iter().filter(of_kind).collect();
        assert_eq!(trials.len(), 1, "{scenario}");
        let TrialResult::Measured(figures) = &trials[0].result else { panic!("{trials:?}") };
        assert!(figures.deliveries_arrived > 0 && figures.server.is_some());
        // What is counted is whole frames of this scenario.
        assert!(figures.bytes_arrived >= figures.deliveries_arrived * 19, "{figures:?}");
    }
    let again = Workspace::new();
    let ended = again.bench(&server, &["--no-yardsticks", "--format", "json"]);
    assert!(ended.stdout.contains("\"limit\": null"), "{}", ended.stdout);
    let results = Results::read(&again.results()).unwrap();
    assert!(results.run.yardsticks.is_empty());
    assert!(results.trials.iter().all(|trial| trial.role != Role::Yardstick));
}

pub(crate) fn every_pair_of_a_correct_server_is_accounted_for() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let TrialResult::Measured(figures) = workspace.trial(&server, SMALL) else {
        panic!("the trial failed")
    };
    assert_eq!(figures.pairs.expected(), 100 * 4);
    assert_eq!(figures.pairs.delivered, 100 * 4);
    let server = figures.server.expect("what it used");
    assert!(server.threads >= 1 && server.peak_resident_bytes > 0);
    assert!(server.sampled_seconds >= 0.15);
    assert_ne!(judge(&figures).validity, Validity::Incorrect);
}

pub(crate) fn a_server_that_breaks_the_spec_is_shown_and_not_measured() {
    let (workspace, server) = (Workspace::new(), Script::server("--fault double-echo"));
    let ended = workspace.bench(&server, &[]);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("1 failed the check"), "{}", ended.stderr);
    let results = Results::read(&workspace.results()).unwrap();
    assert!(results.trials.is_empty());
    assert!(matches!(results.run.targets[0].status, TargetStatus::FailedCheck { .. }));
    let report = fs::read_to_string(workspace.results().join("report.html")).unwrap();
    assert!(report.contains("failed the check"));
}

pub(crate) fn a_server_that_dies_in_mid_trial_is_a_failed_trial_with_its_last_words() {
    let workspace = Workspace::new();
    let server = Script::new(&format!(
        "echo 'last words' >&2; exec timeout -s KILL 1.5 '{ZILLIONS}' faulty-server \"$@\""
    ));
    let result =
        workspace.trial(&server, &SMALL.replace("measure_seconds = 0.2", "measure_seconds = 5"));
    let TrialResult::Failed { reason, log } = result else { panic!("the trial did not fail") };
    assert!(reason.starts_with("the server ended in mid-trial"), "{reason}");
    assert_eq!(log, ["last words"]);
}

pub(crate) fn a_wrapper_that_ends_after_its_server_has_closed_its_connections_is_waited_for() {
    let workspace = Workspace::new();
    let server =
        Script::new(&format!("timeout -s KILL 1.5 '{ZILLIONS}' faulty-server \"$@\"; sleep 0.3"));
    let result =
        workspace.trial(&server, &SMALL.replace("measure_seconds = 0.2", "measure_seconds = 5"));
    let TrialResult::Failed { reason, .. } = result else { panic!("the trial did not fail") };
    assert!(reason.starts_with("the server ended in mid-trial"), "{reason}");
}

pub(crate) fn a_server_that_hangs_is_a_failed_trial_and_is_stopped() {
    let workspace = Workspace::new();
    let server =
        Script::new(&format!("(sleep 1; kill -STOP $$) & exec '{ZILLIONS}' faulty-server \"$@\""));
    let slow = SMALL.replace("warm_up_seconds = 0.05", "warm_up_seconds = 2");
    let TrialResult::Failed { reason, .. } = workspace.trial(&server, &slow) else {
        panic!("the trial did not fail")
    };
    assert!(reason.contains("hung") || reason.contains("within 10 s"), "{reason}");
}

pub(crate) fn a_round_that_never_ends_is_a_failed_trial_and_not_one_without_losses() {
    let workspace = Workspace::new();
    let server = Script::server("--keep-one-in 100");
    let rounds = SMALL.replace("messages_per_second = 500\n", "");
    let rounds = rounds.replace("fixed-rate", "everyone-at-once").replace("latency", "throughput");
    // A burst of few messages is not dropped.
    let rounds = rounds.replace("clients = 4\nsenders = 2", "clients = 16\nsenders = 16");
    let TrialResult::Failed { reason, .. } = workspace.trial(&server, &rounds) else {
        panic!("the trial did not fail")
    };
    assert!(reason.contains("not one message of the window was "), "{reason}");
}

pub(crate) fn wrong_input_is_one_line_and_exit_code_64() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let name = server.name();
    let line = |arguments: &[&str]| {
        let ended = run(ZILLIONS, arguments);
        assert_eq!(ended.code, 64, "{}", ended.stderr);
        ended.line().to_owned()
    };
    let unknown = line(&["bench", &name, "--scenario", "small-rom"]);
    assert!(unknown.contains("unknown scenario 'small-rom': choose from "), "{unknown}");

    let misspelt = workspace.path("misspelt.toml");
    fs::write(&misspelt, SMALL.replace("clients", "cleints")).unwrap();
    let syntax = line(&["bench", &name, "--scenario", &misspelt]);
    assert!(syntax.contains("misspelt.toml', line 5: unknown field `cleints`"), "{syntax}");

    let seconds = line(&["bench", &name, "--seconds=-1"]);
    assert!(seconds.contains("seconds"), "{seconds}");

    let budget = line(&["bench", &name, "--budget", "1s", "--scenario", "small-room"]);
    assert!(budget.contains("a budget of 1 s is too short for one block: "), "{budget}");
    let threads = line(&["bench", &name, "--load-threads", "257"]);
    assert!(threads.contains("--load-threads 257: this process may use "), "{threads}");
    assert!(threads.contains("ask for at most "), "{threads}");
    let search = line(&["bench", &name, "--budget", "1m", "--scenario", "capacity"]);
    assert!(search.contains("a search has no budget"), "{search}");

    fs::create_dir(workspace.results()).unwrap();
    fs::write(workspace.results().join("run.json"), "{\"schema\": \"zillions.results/3\",")
        .unwrap();
    let occupied = line(&["bench", &name, "--out", &workspace.path("out")]);
    assert!(occupied.contains("already holds results"), "{occupied}");
    let truncated = line(&["report", &workspace.path("out")]);
    assert!(truncated.contains("run.json', line 1, column "), "{truncated}");
    let elsewhere = line(&["report", &workspace.path("nowhere")]);
    assert!(elsewhere.contains("is not a results folder"), "{elsewhere}");
}

pub(crate) fn a_folder_that_cannot_be_written_is_told_before_anything_runs() {
    let server = Script::server("");
    let ended = run(ZILLIONS, &["bench", &server.name(), "--out", "/dev/null/results"]);
    assert_eq!(ended.code, 70, "{}", ended.stderr);
    assert!(ended.line().contains("cannot write '/dev/null/results'"), "{}", ended.line());
}

pub(crate) fn the_scenarios_are_listed() {
    let ended = run(ZILLIONS, &["bench", "--list"]);
    assert_eq!(ended.code, 0);
    let files = fs::read_dir("scenarios").expect("scenarios");
    let is_scenario = |path: &Path| path.extension().is_some_and(|it| it == "toml");
    let scenarios = files.filter(|it| it.as_ref().is_ok_and(|it| is_scenario(&it.path()))).count();
    let names = zillions_bench::Scenario::built_in().into_iter().map(|scenario| scenario.name);
    assert_eq!(names.len(), scenarios, "each file is built in");
    for name in names {
        assert!(ended.stdout.contains(&name), "{}", ended.stdout);
        assert!(Path::new("scenarios").join(format!("{name}.toml")).is_file());
    }
}
