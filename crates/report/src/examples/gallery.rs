//! Made-up results of a large gallery: to see what a report of it weighs, and how fast it is drawn.

use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::record::{
    ArrivalsRecord, Measurement, RankBy, Role, ScenarioRecord, TargetRecord, TargetStatus,
    TrialRecord, TrialResult,
};
use crate::results::Results;

use super::{conformance, costs, measurement, results, scenario, source, target, trial};

/// As many scenarios as there are of each kind in `scenarios/`.
const BY_LATENCY: usize = 6;
const BY_THROUGHPUT: usize = 4;
/// Trials of a target in a scenario, and in one that searches.
const REPEATS: u32 = 5;
const SEARCH_TRIALS: u32 = 24;
/// Histograms are drawn from so many, each as large as those of a real run.
const HISTOGRAMS: usize = 32;
const SAMPLES: usize = 40_000;

const LANGUAGES: [&str; 12] = [
    "Rust", "Go", "C", "Python", "Erlang", "Haskell", "C#", "Java", "Kotlin", "Scala", "Ada", "Lua",
];
const STYLES: [&str; 20] = [
    "threads + channels",
    "threads + locks",
    "monitors",
    "readiness loop",
    "completion loop",
    "callbacks",
    "stackful coroutines",
    "futures",
    "promises",
    "reactive streams",
    "CSP",
    "synchronous events",
    "green threads",
    "green threads + STM",
    "generators",
    "async/await",
    "structured concurrency",
    "actors",
    "ring buffer",
    "shared log",
];

/// A run of `number` targets in eleven scenarios, with all that a record may hold.
#[must_use]
pub fn gallery(number: usize) -> Results {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let histograms: Vec<ArrivalsRecord> = (0..HISTOGRAMS).map(|_| arrivals(&mut random)).collect();
    let like = measurement();
    let mut results = results();
    results.trials.clear();
    results.run.targets = (0..number).map(|at| of_gallery(at, &mut random)).collect();
    results.run.twin = Some(results.run.targets[0].name.clone());
    results.run.scenarios = scenarios();
    let speeds: Vec<f64> = (0..number).map(|_| 30_f64.powf(random.random::<f64>())).collect();
    for scenario in results.run.scenarios.clone() {
        for (at, slowness) in speeds.iter().enumerate() {
            let name = results.run.targets[at].name.clone();
            for (role, block, rate) in roles(&scenario, at == 0) {
                let wobble = 1.0 + 0.05 * random.random::<f64>();
                let slowness = slowness * wobble;
                let mut measured = of_histograms(&like, &histograms, slowness, &mut random);
                measured.pairs.dropped = if at % 7 == 0 { 40 * at as u64 } else { 0 };
                let order = results.trials.len() as u32;
                let result = TrialResult::Measured(Box::new(measured));
                let of_target = trial(&scenario.name, &name, block, order, result);
                results.trials.push(TrialRecord { role, offered_rate: rate, ..of_target });
            }
        }
    }
    results
}

fn scenarios() -> Vec<ScenarioRecord> {
    let by = |rank_by, number: usize, name: &'static str| {
        (1..=number).map(move |at| scenario(&format!("{name}-{at}"), rank_by))
    };
    let mut scenarios: Vec<ScenarioRecord> =
        by(RankBy::Latency, BY_LATENCY, "small-room").collect();
    scenarios.extend(by(RankBy::Throughput, BY_THROUGHPUT, "one-to-many"));
    scenarios.push(scenario("capacity", RankBy::Capacity));
    scenarios
}

/// The trials of one target in `scenario`: role, block and offered rate.
fn roles(scenario: &ScenarioRecord, is_twin: bool) -> Vec<(Role, u32, Option<f64>)> {
    if scenario.rank_by == RankBy::Capacity {
        let of = |step: u32| {
            let role = if step < SEARCH_TRIALS / 2 { Role::Curve } else { Role::Hold };
            (role, step, Some(1_000.0 * 1.3_f64.powi(step as i32 % 12)))
        };
        return (0..SEARCH_TRIALS).map(of).collect();
    }
    let mut roles: Vec<_> = (0..REPEATS).map(|block| (Role::Measure, block, Some(1e3))).collect();
    if is_twin {
        roles.extend((0..REPEATS).map(|block| (Role::Twin, block, Some(1e3))));
    }
    roles
}

fn of_gallery(at: usize, random: &mut ChaCha8Rng) -> TargetRecord {
    let (style, language) = (STYLES[at % STYLES.len()], LANGUAGES[at * 5 % LANGUAGES.len()]);
    let name = format!("{}-{at}", style.split(' ').next().unwrap_or_default().replace('/', "-"));
    // As long as a program of the gallery.
    let program = include_str!("../statistics.rs");
    TargetRecord {
        language: language.to_owned(),
        library: format!("library {at}.0"),
        summary:
            "A reader and a writer task per client; a hub owns the clients, and only channels \
                  connect them"
                .to_owned(),
        toolchain: vec!["rustc 1.95.0".to_owned()],
        sources: vec![source("server.rs", program)],
        costs: costs(60 + random.random_range(0..260), 0.002),
        conformance: Some(conformance()),
        ..target(&name, style, TargetStatus::Measured)
    }
}

/// Latencies with a long tail.
fn arrivals(random: &mut ChaCha8Rng) -> ArrivalsRecord {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)
        .expect("bounds that a histogram may have");
    let least_ns = 30_000.0 * 20_f64.powf(random.random::<f64>());
    for _ in 0..SAMPLES {
        let tail = -random.random::<f64>().max(1e-9).ln();
        let latency_ns = least_ns * (1.0 + tail + tail.powi(4) / 10.0);
        histogram.saturating_record(latency_ns as u64);
    }
    ArrivalsRecord::new(&histogram)
}

/// A trial of a target that is `slowness` times as slow, with some of `histograms`.
fn of_histograms(
    like: &Measurement,
    histograms: &[ArrivalsRecord],
    slowness: f64,
    random: &mut ChaCha8Rng,
) -> Measurement {
    let mut any = || histograms[random.random_range(0..histograms.len())].clone();
    let mut measured = Measurement {
        latency: any(),
        service: any(),
        last_receiver: any(),
        deliveries_arrived: (like.deliveries_arrived as f64 / slowness) as u64,
        ..like.clone()
    };
    if let Some(server) = &mut measured.server {
        server.cpu_seconds *= slowness;
    }
    measured
}
