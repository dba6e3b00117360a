//! Made-up results: for the tests of this crate and of what shows its reports.

mod gallery;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use hdrhistogram::Histogram;

use crate::record::{
    AnomaliesRecord, ArrivalsRecord, CaseRecord, ConformanceRecord, CostsRecord,
    DisturbancesRecord, ExtrasRecord, GeneratorRecord, IdleRecord, LinesRecord, LoadRecord,
    MachineRecord, Measurement, OrderRecord, PairsRecord, RankBy, Role, RunRecord, SCHEMA,
    ScenarioRecord, ScheduleLagRecord, ServerRecord, SourceRecord, TargetRecord, TargetStatus,
    ToolRecord, TrialRecord, TrialResult, YardstickKind, YardstickRecord,
};
use crate::results::{RUN_FILE, Results, TRIALS_FOLDER};

pub use gallery::gallery;

const MESSAGES: u64 = 500;
const CLIENTS: u64 = 8;
/// Latencies rise in so many steps.
const STEPS: u64 = 100;

/// A valid trial: everything delivered, around 100 µs.
#[must_use]
pub fn measurement() -> Measurement {
    scaled(1.0)
}

/// A valid trial that is `slowness` times as slow.
///
/// # Panics
///
/// If a histogram does not take what lies within its bounds, which does not happen.
#[must_use]
pub fn scaled(slowness: f64) -> Measurement {
    let histogram = |least_ns: f64| {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for step in 0..STEPS {
            let tail = 1.0 + step as f64 / 20.0;
            let latency_ns = (least_ns * tail * slowness) as u64;
            histogram.record_n(latency_ns, MESSAGES * CLIENTS / STEPS).unwrap();
        }
        histogram
    };
    let arrivals = |least_ns: f64| ArrivalsRecord::new(&histogram(least_ns));
    Measurement {
        window_seconds: 0.5,
        messages_written: MESSAGES,
        messages_held_back: 0,
        deliveries_arrived: (MESSAGES as f64 * CLIENTS as f64 / slowness) as u64,
        bytes_arrived: MESSAGES * CLIENTS * 65,
        late: 0,
        pairs: PairsRecord { delivered: MESSAGES * CLIENTS, ..PairsRecord::default() },
        anomalies: AnomaliesRecord::default(),
        order: OrderRecord::default(),
        extras: ExtrasRecord::default(),
        latency: arrivals(100_000.0),
        service: arrivals(80_000.0),
        last_receiver: arrivals(150_000.0),
        schedule_lag: ScheduleLagRecord {
            lag_p99_ns: 60_000,
            count: 500,
            ..ScheduleLagRecord::new(&histogram(10_000.0))
        },
        generator: GeneratorRecord {
            sampled_seconds: 0.5,
            cpu_seconds: 0.1,
            ready_wait_seconds: 0.001,
            reads: 100,
            threads: Vec::new(),
        },
        server: Some(ServerRecord {
            start_seconds: Some(0.01),
            sampled_seconds: 0.5,
            cpu_seconds: 0.05 * slowness,
            idle_resident_bytes: 2 << 20,
            peak_resident_bytes: 3 << 20,
            threads: 17,
            processes: 1,
            voluntary_context_switches: 900,
            involuntary_context_switches: 3,
            user_instructions: None,
        }),
        others_cpu_share: Some(0.01),
        throttled_seconds: Some(0.0),
        disturbances: DisturbancesRecord::default(),
        lost_connections: Vec::new(),
    }
}

/// Leaves of a trial only its first `deliveries` deliveries, all of which arrived.
///
/// # Panics
///
/// If a histogram of an example cannot be read, which does not happen.
pub fn deliver_only(trial: &mut Measurement, deliveries: u64) {
    let mut latencies = trial.latency.histogram().unwrap();
    let least_ns = latencies.min();
    latencies.reset();
    for step in 0..deliveries {
        latencies.record(least_ns + least_ns * (step % STEPS) / 20).unwrap();
    }
    trial.latency = ArrivalsRecord::new(&latencies);
    trial.pairs = PairsRecord { delivered: deliveries, ..PairsRecord::default() };
}

/// A scenario of eight clients.
#[must_use]
pub fn scenario(name: &str, rank_by: RankBy) -> ScenarioRecord {
    ScenarioRecord {
        name: name.to_owned(),
        question: format!("What of {name}?"),
        note: "Made up.".to_owned(),
        rank_by,
        load: match rank_by {
            RankBy::Latency => LoadRecord::FixedRate { messages_per_second: 1_000.0 },
            RankBy::Throughput => LoadRecord::Saturate,
            RankBy::Capacity => LoadRecord::Search {
                max_latency_p99_ms: 10.0,
                max_lost_share: 0.001,
                min_messages_per_second: 100.0,
                max_messages_per_second: 100_000.0,
            },
        },
        clients: CLIENTS as u32,
        senders: 2,
        stalled_clients: 0,
        churn_per_second: 0.0,
        body_bytes: vec![64],
        untimed_per_message: 0,
        untimed_bytes: 0,
        split_writes: false,
        warm_up_seconds: 0.2,
        measure_seconds: 0.5,
        late_after_ms: 100.0,
        repeats: 5,
        looks_max: 1,
    }
}

/// A target in Rust.
#[must_use]
pub fn target(name: &str, style: &str, status: TargetStatus) -> TargetRecord {
    TargetRecord {
        name: name.to_owned(),
        command: vec![format!("./{name}")],
        language: "Rust".to_owned(),
        style: style.to_owned(),
        library: "std".to_owned(),
        summary: "One thread & a <queue> per client".to_owned(),
        slow_reader: "drop-newest".to_owned(),
        queue_limit: "64".to_owned(),
        status,
        ..TargetRecord::default()
    }
}

/// A trial of that target in that scenario.
#[must_use]
pub fn trial(
    scenario: &str,
    target: &str,
    block: u32,
    order: u32,
    result: TrialResult,
) -> TrialRecord {
    TrialRecord {
        schema: SCHEMA.to_owned(),
        scenario: scenario.to_owned(),
        target: target.to_owned(),
        role: Role::Measure,
        offered_rate: Some(1_000.0),
        block,
        order,
        started: "2026-11-21T12:00:01Z".to_owned(),
        took_seconds: Some(0.9),
        result,
    }
}

/// Two scenarios and six targets: fast, as fast, slow, dying, skipped, incorrect.
#[must_use]
pub fn results() -> Results {
    // Dozens of histograms; nearly every test begins with them.
    static RESULTS: LazyLock<Results> = LazyLock::new(new_results);
    RESULTS.clone()
}

fn new_results() -> Results {
    let measured = || TargetStatus::Measured;
    let targets = vec![
        target("fast", "readiness loop", measured()),
        target("as-fast", "async/await", measured()),
        target("slow", "threads + locks", measured()),
        target("dying", "CSP", measured()),
        target(
            "absent",
            "green threads + STM",
            TargetStatus::Skipped {
                reason: "ghc is not installed".to_owned(),
                remedy: "apt-get install ghc".to_owned(),
            },
        ),
        target(
            "wrong",
            "promises",
            TargetStatus::FailedCheck { reason: "order/fifo (ORDER-2)".to_owned() },
        ),
    ];
    let mut trials = Vec::new();
    for (scenario, block) in ["room", "crowd"].into_iter().flat_map(|s| (0..5).map(move |b| (s, b)))
    {
        let wobble = f64::from(block) * 0.01;
        for (target, slowness) in [("fast", 1.0), ("as-fast", 1.005), ("slow", 3.0), ("dying", 1.0)]
        {
            let order = trials.len() as u32;
            let result = if target == "dying" {
                TrialResult::Failed {
                    reason: "the server ended in mid-trial (signal: 6)".to_owned(),
                    log: vec!["assertion failed".to_owned()],
                }
            } else {
                TrialResult::Measured(Box::new(scaled(slowness + wobble)))
            };
            trials.push(trial(scenario, target, block, order, result));
        }
        let order = trials.len() as u32;
        let again = TrialResult::Measured(Box::new(scaled(1.002 + wobble)));
        trials
            .push(TrialRecord { role: Role::Twin, ..trial(scenario, "fast", block, order, again) });
    }
    Results {
        run: RunRecord {
            schema: SCHEMA.to_owned(),
            started: "2026-11-21T12:00:00Z".to_owned(),
            resumed: Vec::new(),
            command_line: vec!["zillions".to_owned(), "bench".to_owned()],
            seed: 42,
            tool: ToolRecord { version: "0.1.0".to_owned(), git_commit: Some("abc123".to_owned()) },
            machine: MachineRecord {
                kernel: "Linux 6.1".to_owned(),
                cpu_model: "A processor".to_owned(),
                architecture: "x86_64".to_owned(),
                cpus: 2,
                cpu_quota: None,
                memory_bytes: 8 << 30,
                cpu_governor: None,
                load_average: 0.1,
                descriptor_limit: 1024,
                server_cpus: vec![0],
                instructions_uncounted: None,
                generator_cpu: Some(1),
                generator_cpus: vec![1],
            },
            load_threads: 1,
            scenarios: vec![
                scenario("room", RankBy::Latency),
                scenario("crowd", RankBy::Throughput),
            ],
            targets,
            twin: Some("fast".to_owned()),
            yardsticks: Vec::new(),
            budget_seconds: None,
            remote: None,
        },
        trials,
    }
}

/// [`results`] with the limits of the machine: `fast` takes 0.8 of what a bare `send()` loop does in
/// `room`, and gets 0.8 of what a bare receiver does in `crowd`.
#[must_use]
pub fn with_limits() -> Results {
    let mut results = results();
    for (scenario, kind) in
        [("room", YardstickKind::SendLoop), ("crowd", YardstickKind::BareReceiver)]
    {
        let command = vec!["zillions".to_owned(), "yardstick".to_owned(), kind.name().to_owned()];
        results.run.yardsticks.push(YardstickRecord {
            scenario: scenario.to_owned(),
            kind,
            command,
        });
        for block in 0..5 {
            let mut limit = scaled(1.0 + f64::from(block) * 0.01);
            match kind {
                YardstickKind::SendLoop => {
                    if let Some(server) = &mut limit.server {
                        server.cpu_seconds *= 0.8;
                    }
                }
                YardstickKind::BareReceiver => {
                    limit.deliveries_arrived = limit.deliveries_arrived * 5 / 4;
                }
            }
            // The receiver has nothing to wait for.
            limit.generator.cpu_seconds = limit.generator.sampled_seconds;
            let order = results.trials.len() as u32;
            let measured = TrialResult::Measured(Box::new(limit));
            let trial = trial(scenario, kind.name(), block, order, measured);
            results.trials.push(TrialRecord { role: Role::Yardstick, ..trial });
        }
    }
    results
}

/// [`results`] with all that a record may hold: programs, costs, what the suite found, and a third
/// scenario that searched a rate, `limit`.
#[must_use]
pub fn detailed_results() -> Results {
    static RESULTS: LazyLock<Results> = LazyLock::new(new_detailed_results);
    RESULTS.clone()
}

fn new_detailed_results() -> Results {
    let mut results = results();
    let [fast, as_fast, slow, ..] = &mut results.run.targets[..] else { return results };
    fast.url = "https://example.org/a?b=c&d=e".to_owned();
    fast.toolchain = vec!["rustc 1.95.0".to_owned()];
    fast.sources = vec![source("server.rs", "// A <comment> & more.\nfn main() {}\n")];
    fast.costs = costs(97, 0.002);
    fast.conformance = Some(conformance());
    as_fast.url = "javascript:alert(1)".to_owned();
    as_fast.costs = costs(212, 0.004);
    slow.language = "Python".to_owned();
    slow.library = "eventlib".to_owned();
    slow.sources = vec![source("server.py", "# Slow.\nasync def main(): pass\n")];
    slow.costs = costs(61, 0.09);
    let limit = LoadRecord::Search {
        max_latency_p99_ms: 10.0,
        max_lost_share: 0.001,
        min_messages_per_second: 100.0,
        max_messages_per_second: 100_000.0,
    };
    let scenario = ScenarioRecord { load: limit, ..scenario("limit", RankBy::Capacity) };
    results.run.scenarios.push(scenario);
    for (target, slowness) in [("fast", 1.0), ("as-fast", 1.1), ("slow", 3.0)] {
        for (role, number) in [(Role::Curve, 6_u32), (Role::Hold, 6)] {
            for block in 0..number {
                // Three holds at a rate that is carried, three at one that is not.
                let step = if role == Role::Hold { 3 + block / 3 } else { block };
                let is_too_much = role == Role::Hold && step > 3;
                let slowness = if is_too_much { 30.0 * slowness } else { slowness };
                let rate = 1_000.0 * f64::from(1 << step);
                let measured = TrialResult::Measured(Box::new(scaled(slowness + f64::from(step))));
                let order = results.trials.len() as u32;
                let of_target = trial("limit", target, block, order, measured);
                let offered_rate = Some(rate);
                results.trials.push(TrialRecord { role, offered_rate, ..of_target });
            }
        }
    }
    results
}

fn source(path: &str, text: &str) -> SourceRecord {
    SourceRecord { path: path.to_owned(), language: String::new(), text: text.to_owned() }
}

fn costs(code: u32, start_up_seconds: f64) -> CostsRecord {
    CostsRecord {
        binary_bytes: Some(1_200_000),
        dependencies: Some(code / 10),
        lines: Some(LinesRecord { code, comments: 20, blanks: 12 }),
        build_seconds: Some(4.5),
        start_up_seconds: vec![start_up_seconds; 5],
        idle: Some(IdleRecord {
            few_connections: 10,
            few_resident_bytes: 2_000_000,
            many_connections: 110,
            many_resident_bytes: 2_000_000 + 100 * u64::from(code) * 64,
            many_threads: 2,
            window_seconds: 2.0,
            cpu_seconds: 0.000_2,
        }),
        idle_failure: None,
    }
}

fn conformance() -> ConformanceRecord {
    ConformanceRecord {
        verdict: "pass".to_owned(),
        quick: true,
        suite: "0.1.0".to_owned(),
        passed: 51,
        nonstrict: 1,
        findings: vec![CaseRecord {
            id: "life/idle-cpu".to_owned(),
            clause: "LIFE-4".to_owned(),
            verdict: "nonstrict".to_owned(),
            detail: "12 % of a core <while> idle".to_owned(),
        }],
        ..ConformanceRecord::default()
    }
}

/// Writes `results` to `folder`, as a run leaves them there.
///
/// # Errors
///
/// If a file cannot be written.
pub fn write(results: &Results, folder: &Path) -> io::Result<()> {
    fs::write(folder.join(RUN_FILE), serde_json::to_string_pretty(&results.run)?)?;
    let trials = folder.join(TRIALS_FOLDER);
    fs::create_dir(&trials)?;
    for trial in &results.trials {
        let name = format!("{:04}.json", trial.order);
        fs::write(trials.join(name), serde_json::to_string_pretty(trial)?)?;
    }
    Ok(())
}
