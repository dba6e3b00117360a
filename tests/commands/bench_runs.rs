//! `bench`: whole runs that are cached, interrupted, resumed, searched, or cramped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use zillions_report::record::{Measurement, Role, TrialResult};
use zillions_report::results::Results;
use zillions_report::verdict::{Validity, judge};

use crate::support::{Script, ZILLIONS, processes_mentioning, run};
use crate::workspace::{SMALL, Workspace};

/// The trials' files, in the order of the trials.
fn trial_files(workspace: &Workspace) -> Vec<PathBuf> {
    let folder = fs::read_dir(workspace.results().join("trials")).expect("trials");
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

pub(crate) fn a_run_knows_what_a_program_costs_and_what_the_suite_found() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    workspace.bench(&server, &["--quick"]);
    let run = Results::read(&workspace.results()).unwrap().run;
    let target = &run.targets[0];
    assert_eq!(run.twin.as_deref(), Some(target.name.as_str()));
    assert_eq!(target.program_hash.len(), 64);
    assert_eq!(target.costs.start_up_seconds.len(), 3);
    let idle = target.costs.idle.expect("it idled");
    assert!(idle.many_connections > idle.few_connections && idle.window_seconds >= 0.15);
    assert!((0.0..0.5).contains(&idle.cpu_share()), "{idle:?}");
    assert!(idle.few_resident_bytes > 0);
    let found = target.conformance.as_ref().expect("it was checked");
    assert!(found.quick && !found.cached && found.passed > 10, "{found:?}");
}

pub(crate) fn a_program_that_passed_the_check_is_not_checked_again_unless_asked() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let is_cached = |options: &[&str]| {
        workspace.bench(&server, options);
        let run = Results::read(&workspace.results()).unwrap().run;
        fs::remove_dir_all(workspace.results()).unwrap();
        run.targets[0].conformance.as_ref().is_some_and(|found| found.cached)
    };
    assert!(!is_cached(&[]));
    assert!(is_cached(&[]));
    assert!(!is_cached(&["--fresh"]));
    // Another program at the same path is another program.
    let text = fs::read_to_string(&server.path).unwrap();
    fs::write(&server.path, text + "# changed\n").unwrap();
    assert!(!is_cached(&[]));
}

pub(crate) fn a_run_is_gone_on_with_and_only_what_is_missing_or_damaged_is_measured() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    workspace.bench(&server, &["--repeats", "3", "--seed", "7", "--no-yardsticks"]);
    let files = trial_files(&workspace);
    assert_eq!(files.len(), 6, "three trials in each of two arms");
    let before: Vec<_> = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    fs::remove_file(&files[1]).unwrap();
    fs::write(&files[4], &before[4][..before[4].len() / 2]).unwrap();

    let out = workspace.path("out");
    let ended = workspace.run(&["bench", "--resume", &out, "--format", "json"]);
    assert!(ended.code == 0 || ended.code == 2, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("measured again"), "{}", ended.stderr);
    assert!(ended.stderr.contains("6 trials, 4 kept"), "{}", ended.stderr);
    assert_eq!(trial_files(&workspace), files);
    for at in [0, 2, 3, 5] {
        assert!(fs::read_to_string(&files[at]).unwrap() == before[at], "trial {at} was kept");
    }
    let results = Results::read(&workspace.results()).unwrap();
    assert_eq!((results.trials.len(), results.run.resumed.len(), results.run.seed), (6, 1, 7));

    let again = workspace.run(&["bench", "--resume", &out, "--no-progress"]);
    assert!(again.code == 0 || again.code == 2, "{}", again.stderr);
    assert_eq!(Results::read(&workspace.results()).unwrap().trials, results.trials);
}

pub(crate) fn further_trials_follow_within_the_budget_and_a_resumed_run_decides_the_same() {
    let (workspace, servers) = (Workspace::new(), [Script::server(""), Script::server("")]);
    let names = servers.each_ref().map(Script::name);
    let five = SMALL.replace("repeats = 1", "repeats = 5").replace("= 500", "= 5000");
    let scenario = workspace.scenario("five.toml", &five);
    let out = workspace.path("out");
    let arguments = ["bench", &names[0], &names[1], "--scenario", &scenario, "--budget", "20s"];
    let ended = workspace.run(&[&arguments[..], &["--no-yardsticks", "--out", &out]].concat());
    assert!(ended.code == 0 || ended.code == 2, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("15 trials, about"), "{}", ended.stderr);
    assert!(ended.stderr.contains("within 20 s in all"), "{}", ended.stderr);
    assert!(ended.stdout.contains("ecided: ") || ended.stdout.contains("was decided"));
    let before = Results::read(&workspace.results()).unwrap();
    assert_eq!(before.run.budget_seconds, Some(20.0));
    assert!(before.run.scenarios[0].looks_max > 1);
    let (first, further) = before.trials.split_at(15);
    assert!(first.iter().all(|trial| trial.block < 5));
    assert!(further.iter().all(|trial| trial.block >= 5));

    let again = workspace.run(&["bench", "--resume", &out, "--no-progress"]);
    assert!(again.code == 0 || again.code == 2, "{}", again.stderr);
    let after = Results::read(&workspace.results()).unwrap();
    assert_eq!(after.trials, before.trials, "all was decided as before");
}

pub(crate) fn a_run_is_not_gone_on_with_under_other_circumstances() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    workspace.bench(&server, &[]);
    let out = workspace.path("out");
    let refusal = || {
        let ended = workspace.run(&["bench", "--resume", &out]);
        assert_eq!(ended.code, 64, "{}", ended.stderr);
        ended.line().to_owned()
    };
    let file = workspace.results().join("run.json");
    let sound = fs::read_to_string(&file).unwrap();
    let with = |from: &str, to: &str| {
        assert!(sound.contains(from), "{from}");
        fs::write(&file, sound.replace(from, to)).unwrap();
        refusal()
    };
    let schema = with("zillions.results/3", "zillions.results/1");
    assert!(schema.contains("is in the format 'zillions.results/1'"), "{schema}");
    let kernel = with("\"kernel\": \"Linux", "\"kernel\": \"Another");
    assert!(kernel.contains("its kernel was 'Another"), "{kernel}");

    fs::write(&file, &sound).unwrap();
    let text = fs::read_to_string(&server.path).unwrap();
    fs::write(&server.path, text + "# changed\n").unwrap();
    let program = refusal();
    assert!(program.contains(&format!("the program of '{}' has changed", server.name())));
}

pub(crate) fn an_interrupted_run_keeps_what_it_has_says_how_to_go_on_and_leaves_nothing_running() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let (name, scenario, out) =
        (server.name(), workspace.path("small.toml"), workspace.path("out"));
    let mut child = workspace
        .command()
        .args(["bench", &name, "--scenario", &scenario, "--out", &out, "--seconds", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("zillions runs");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let planned = lines.by_ref().map_while(Result::ok).find(|line| line.contains("trials, about"));
    assert!(planned.is_some());
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    kill_process(pid, Signal::INT).expect("it is running");
    let last = lines.map_while(Result::ok).last().unwrap_or_default();
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(last.contains(&format!("resume with: zillions bench --resume {out}")), "{last}");
    assert!(Results::read(&workspace.results()).is_ok());
    assert_eq!(processes_mentioning(&server.address()), 0);
    assert_eq!(processes_mentioning(&name), 0);
}

pub(crate) fn too_few_descriptors_are_told_in_one_line_with_what_to_do() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let scenario = workspace.scenario("crowd.toml", &SMALL.replace("clients = 4", "clients = 300"));
    let out = workspace.path("out");
    let command = format!("ulimit -n 200; exec '{ZILLIONS}' bench \"$@\"");
    let name = server.name();
    let ended = run("sh", &["-c", &command, "sh", &name, "--scenario", &scenario, "--out", &out]);
    assert_eq!(ended.code, 70, "{}", ended.stderr);
    assert!(ended.line().contains("raise it with 'ulimit -n 364'"), "{}", ended.line());
}

pub(crate) fn on_one_processor_nothing_is_pinned_and_the_run_says_so() {
    let (workspace, server) = (Workspace::new(), Script::server(""));
    let allowed = rustix::thread::sched_getaffinity(None).expect("an affinity");
    let cpu = (0..1024).find(|&cpu| allowed.is_set(cpu)).expect("a processor").to_string();
    let (name, scenario, out) =
        (server.name(), workspace.path("small.toml"), workspace.path("out"));
    let ended = run(
        "taskset",
        &["-c", &cpu, ZILLIONS, "bench", &name, "--scenario", &scenario, "--out", &out, "--fresh"],
    );
    assert!(ended.code == 0 || ended.code == 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("servers and load share the processors"), "{}", ended.stderr);
    let run = Results::read(&workspace.results()).unwrap().run;
    assert_eq!((run.machine.cpus, run.machine.generator_cpu), (1, None));
}

pub(crate) fn a_capacity_is_searched_held_and_drawn_as_a_curve() {
    let (workspace, server) = (Workspace::new(), Script::server("--slow-microseconds 200"));
    let search = SMALL
        .replace("\"latency\"", "\"capacity\"")
        .replace("\"fixed-rate\"", "\"search\"")
        .replace(
            "messages_per_second = 500",
            "min_messages_per_second = 50\nmax_messages_per_second = 50000\n\
             max_latency_p99_ms = 50\nmax_lost_share = 0.01",
        )
        .replace("measure_seconds = 0.2", "measure_seconds = 0.1");
    let scenario = workspace.scenario("search.toml", &search);
    let (name, out) = (server.name(), workspace.path("out"));
    let arguments = ["bench", &name, "--scenario", &scenario, "--out", &out, "--format", "json"];
    let ended = workspace.run(&arguments);
    // On a busy machine a trial may fail; the search goes on all the same.
    assert!(ended.code <= 2, "{}{}", ended.stdout, ended.stderr);
    let results = Results::read(&workspace.results()).unwrap();
    assert_eq!(results.run.twin, None, "nothing of a search is repeated as two arms");
    let of = |role| results.trials.iter().filter(move |trial| trial.role == role);
    assert!(of(Role::Search).count() >= 2 && of(Role::Hold).count() >= 1);
    for trial in &results.trials {
        let rate = trial.offered_rate.expect("every trial of a search has a rate");
        assert!((10.0..=75_000.0).contains(&rate), "{rate}");
    }
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let row = &summary["scenarios"][0]["rows"][0];
    // 200 µs for each of four clients: the server carries at most 1250 messages per second; on a
    // very busy machine not even the lowest rate.
    let curve = of(Role::Curve).count();
    match row["figures"]["capacity_messages_per_second"]["median"].as_f64() {
        Some(found) => assert!((50.0..2_000.0).contains(&found) && curve == 7, "{found} {curve}"),
        None => assert_eq!(curve, 0),
    }
}

/// The figures of one trial of a correct server.
fn measured(scenario: &str) -> Measurement {
    match Workspace::new().trial(&Script::server(""), scenario) {
        TrialResult::Measured(figures) => *figures,
        TrialResult::Failed { reason, .. } | TrialResult::Prevented { reason } => {
            panic!("the trial failed: {reason}")
        }
    }
}

pub(crate) fn churn_stalled_clients_and_untimed_messages_appear_in_the_results() {
    let figures = measured(&SMALL.replace(
        "senders = 2",
        "senders = 2\nstalled_clients = 1\nchurn_per_second = 40\n\
         untimed_per_message = 3\nuntimed_bytes = 1",
    ));
    assert_eq!(figures.pairs.delivered, 100 * 4);
    // 25 messages of warm-up and 100 of the window, three tiny ones before each.
    assert_eq!(figures.extras.untimed_expected, 125 * 3 * 4);
    assert_eq!(figures.extras.untimed_delivered, figures.extras.untimed_expected);
    assert!((9..=11).contains(&figures.extras.churn_connections), "{:?}", figures.extras);
    assert_eq!((figures.extras.churn_failures, figures.extras.stalled_disconnected), (0, 0));
    assert_ne!(judge(&figures).validity, Validity::Incorrect);
}

pub(crate) fn every_trial_compares_the_order_of_a_few_receivers() {
    let figures = measured(
        &SMALL
            .replace("\"fixed-rate\"", "\"everyone-at-once\"")
            .replace("messages_per_second = 500", ""),
    );
    // How many of them are complete depends on what else the machine does.
    assert!(figures.extras.rounds > 0);
    assert_eq!((figures.order.receivers, figures.order.violation.as_str()), (3, ""));
    assert!(figures.order.deliveries > 10, "{:?}", figures.order);
}

pub(crate) fn what_nobody_has_is_told_in_one_line() {
    let workspace = Workspace::new();
    let unknown = workspace.run(&["bench", "no-such-entry"]);
    assert_eq!(unknown.code, 64);
    assert!(unknown.line().contains("no implementation is called 'no-such-entry'"));
    let together = workspace.run(&["bench", "--resume", "somewhere", "--quick"]);
    assert_eq!(together.code, 64);
    assert!(together.stderr.contains("cannot be used with"), "{}", together.stderr);
    let nowhere = workspace.run(&["bench", "--resume", &workspace.path("nowhere")]);
    assert_eq!(nowhere.code, 64);
    assert!(nowhere.line().contains("is not a results folder"), "{}", nowhere.line());
}
