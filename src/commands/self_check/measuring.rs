//! The measuring half of the self-check: servers that deviate by a known amount must be
//! measured as exactly that.

use std::path::Path;

use clap::ValueEnum;
use zillions_bench::pin::Pinning;
use zillions_bench::{Access, WireFormat, trial};
use zillions_faulty::Calibration;
use zillions_harness::Launch;
use zillions_report::percentile::latency_p99_ns;
use zillions_report::record::{
    AnomaliesRecord, LoadRecord, Measurement, RankBy, ScenarioRecord, TrialResult,
};
use zillions_report::trial_figures::lost_share;
use zillions_report::verdict::{Validity, judge};

/// Clients of each trial.
const CLIENTS: u64 = 4;
/// What disturbs the machine for a moment is waited out by measuring again, so often.
const ATTEMPTS_MAX: u32 = 3;

/// Something that is measured, and what has to come out.
pub(super) struct Known {
    /// Its name in the output and on the command line.
    pub(super) name: &'static str,
    /// What the server does and what it is asked for.
    pub(super) what: &'static str,
    calibration: Option<Calibration>,
    load: LoadRecord,
    senders: u32,
    warm_up_seconds: f64,
    measure_seconds: f64,
    /// What was found, or how it is wrong.
    expect: fn(&Measurement, &ScenarioRecord) -> Result<String, String>,
}

/// Everything that is measured.
pub(super) fn all() -> Vec<Known> {
    let known = |name, what, calibration, expect| Known {
        name,
        what,
        calibration,
        load: LoadRecord::FixedRate { messages_per_second: 1_000.0 },
        senders: CLIENTS as u32,
        warm_up_seconds: 0.1,
        measure_seconds: 2.0,
        expect,
    };
    vec![
        known("measured-correct", "a correct server", None, is_correct),
        Known {
            measure_seconds: 3.0,
            ..known(
                "measured-frozen",
                "stops for 1.4 s while messages are due",
                Some(Calibration::Frozen),
                is_charged_for_the_freeze,
            )
        },
        Known {
            load: LoadRecord::EveryoneAtOnce,
            warm_up_seconds: 0.0,
            measure_seconds: 3.0,
            ..known(
                "measured-frozen-in-rounds",
                "stops for 1.4 s while no message is due",
                Some(Calibration::Frozen),
                hides_the_freeze,
            )
        },
        Known {
            load: LoadRecord::FixedRate { messages_per_second: 500.0 },
            measure_seconds: 1.0,
            ..known(
                "measured-late",
                "delivers everything 20 ms late",
                Some(Calibration::Late),
                is_20_ms_late,
            )
        },
        known(
            "measured-losses",
            "loses every 100th message",
            Some(Calibration::Loses),
            loses_one_percent,
        ),
        known(
            "measured-repeats",
            "delivers every 100th message twice",
            Some(Calibration::Repeats),
            repeats_one_percent,
        ),
        Known {
            senders: 1,
            ..known(
                "measured-swaps",
                "delivers every 100th message after the next one",
                Some(Calibration::Swaps),
                swaps_one_percent,
            )
        },
        known(
            "measured-disagreement",
            "delivers every 100th message to every other client after the next one",
            Some(Calibration::Disagrees),
            lets_receivers_disagree,
        ),
    ]
}

impl Known {
    /// Measures it; what was found, or how it is wrong.
    pub(super) fn prove(&self, executable: &Path) -> Result<String, String> {
        let mut arguments = vec!["faulty-server".into()];
        if let Some(value) =
            self.calibration.and_then(|calibration| calibration.to_possible_value())
        {
            arguments.push(format!("--calibration={}", value.get_name()).into());
        }
        let program = executable.to_owned();
        let access = Access::Launch(Launch { arguments, ..Launch::new(program) });
        let scenario = self.scenario();
        let pinning = Pinning::choose(true, 1);
        let mut found = Err(String::new());
        for attempt in 1..=ATTEMPTS_MAX {
            let rate = zillions_bench::scenario::offered_rate(&scenario);
            let figures =
                match trial::run(&access, WireFormat::Zillions, &scenario, rate, &pinning, attempt)
                {
                    TrialResult::Measured(figures) => figures,
                    TrialResult::Failed { reason, .. } | TrialResult::Prevented { reason } => {
                        return Err(reason);
                    }
                };
            found = (self.expect)(&figures, &scenario);
            let is_disturbed =
                matches!(judge(&figures).validity, Validity::Noisy | Validity::ClientBound);
            if found.is_ok() || !is_disturbed {
                return found;
            }
        }
        found.map_err(|what| format!("{what}; the machine was disturbed in every attempt"))
    }

    fn scenario(&self) -> ScenarioRecord {
        ScenarioRecord {
            name: self.name.to_owned(),
            question: String::new(),
            note: String::new(),
            rank_by: RankBy::Latency,
            load: self.load,
            clients: CLIENTS as u32,
            senders: self.senders,
            stalled_clients: 0,
            churn_per_second: 0.0,
            body_bytes: vec![64],
            untimed_per_message: 0,
            untimed_bytes: 0,
            split_writes: false,
            warm_up_seconds: self.warm_up_seconds,
            measure_seconds: self.measure_seconds,
            late_after_ms: 1_000.0,
            repeats: 1,
            looks_max: 1,
        }
    }
}

fn is_correct(figures: &Measurement, _: &ScenarioRecord) -> Result<String, String> {
    nothing_else(figures, AnomaliesRecord::default())?;
    let (delivered, expected) = (figures.pairs.delivered, figures.pairs.expected());
    if delivered != 2_000 * CLIENTS || expected != delivered {
        return Err(format!("{delivered} of {expected} delivered, and 8000 of 8000 were due"));
    }
    if figures.order.deliveries == 0 || !figures.order.violation.is_empty() {
        return Err(format!("the order of {} deliveries was compared", figures.order.deliveries));
    }
    Ok(format!("{delivered} of {expected} delivered, each once and in order"))
}

/// With evenly spread messages the 99th percentile of a window of 3 s with a freeze of 1.4 s is
/// 30 ms below the freeze.
fn is_charged_for_the_freeze(
    figures: &Measurement,
    scenario: &ScenarioRecord,
) -> Result<String, String> {
    let (p99_ms, max_ms) =
        (p99_ms(figures, scenario)?, figures.latency.arrived_max_ns as f64 / 1e6);
    between("p99", p99_ms, 1_270.0, 1_500.0)?;
    Ok(format!("p99 {p99_ms:.0} ms, max {max_ms:.0} ms"))
}

/// The same freeze in a closed loop is one slow round.
fn hides_the_freeze(figures: &Measurement, scenario: &ScenarioRecord) -> Result<String, String> {
    let (p99_ms, max_ms) =
        (p99_ms(figures, scenario)?, figures.latency.arrived_max_ns as f64 / 1e6);
    between("max", max_ms, 1_270.0, 1_600.0)?;
    between("p99", p99_ms, 0.0, 100.0)?;
    Ok(format!("p99 {p99_ms:.1} ms, max {max_ms:.0} ms: why loops that wait are not believed"))
}

fn is_20_ms_late(figures: &Measurement, _: &ScenarioRecord) -> Result<String, String> {
    let histogram = figures.latency.histogram().map_err(|error| error.to_string())?;
    let ms = |ns: u64| ns as f64 / 1e6;
    let (least, median) = (ms(histogram.min()), ms(histogram.value_at_quantile(0.5)));
    between("least", least, 19.9, 22.0)?;
    between("median", median, 20.0, 23.0)?;
    Ok(format!("least {least:.1} ms, median {median:.1} ms"))
}

fn loses_one_percent(figures: &Measurement, _: &ScenarioRecord) -> Result<String, String> {
    nothing_else(figures, AnomaliesRecord::default())?;
    let (dropped, expected) = (figures.pairs.dropped, figures.pairs.expected());
    let share = lost_share(figures);
    if dropped != 20 * CLIENTS || (share - 0.01).abs() > 1e-9 {
        return Err(format!("{dropped} of {expected} dropped, and 80 of 8000 were"));
    }
    Ok(format!("{dropped} of {expected} dropped: {} %", share * 100.0))
}

fn repeats_one_percent(figures: &Measurement, _: &ScenarioRecord) -> Result<String, String> {
    let duplicated = figures.anomalies.duplicated;
    of_one_percent("duplicated", duplicated)?;
    nothing_else(figures, AnomaliesRecord { duplicated, ..AnomaliesRecord::default() })?;
    is_incorrect(figures)?;
    Ok(format!("{duplicated} duplicated, and nothing else"))
}

fn swaps_one_percent(figures: &Measurement, _: &ScenarioRecord) -> Result<String, String> {
    let reordered = figures.anomalies.reordered;
    of_one_percent("reordered", reordered)?;
    nothing_else(figures, AnomaliesRecord { reordered, ..AnomaliesRecord::default() })?;
    is_incorrect(figures)?;
    Ok(format!("{reordered} reordered, and nothing else"))
}

fn lets_receivers_disagree(figures: &Measurement, _: &ScenarioRecord) -> Result<String, String> {
    nothing_else(figures, AnomaliesRecord::default())?;
    is_incorrect(figures)?;
    let violation = &figures.order.violation;
    if violation.contains("ORDER-3") {
        return Ok(violation.clone());
    }
    Err(format!("the order of {} deliveries was found right", figures.order.deliveries))
}

fn p99_ms(figures: &Measurement, scenario: &ScenarioRecord) -> Result<f64, String> {
    let p99 = latency_p99_ns(figures, scenario);
    p99.exact().map(|ns| ns / 1e6).ok_or_else(|| {
        let least = p99.text(|ns| format!("{:.1} ms", ns / 1e6));
        format!("p99 {least}, and with so few deliveries no more is known")
    })
}

fn between(what: &str, ms: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&ms) {
        return Ok(());
    }
    Err(format!("{what} {ms:.1} ms, and {least} to {most} ms is right"))
}

/// Of 2100 messages and a few probes to each client, every 100th.
fn of_one_percent(what: &str, number: u64) -> Result<(), String> {
    if (21 * CLIENTS..=22 * CLIENTS).contains(&number) {
        return Ok(());
    }
    Err(format!("{number} {what}, and 84 to 88 were"))
}

fn nothing_else(figures: &Measurement, expected: AnomaliesRecord) -> Result<(), String> {
    if figures.anomalies == expected {
        return Ok(());
    }
    Err(format!("more was found than there is: {:?}", figures.anomalies))
}

fn is_incorrect(figures: &Measurement) -> Result<(), String> {
    let verdict = judge(figures);
    if verdict.validity == Validity::Incorrect {
        return Ok(());
    }
    Err(format!("the trial is called {}", verdict.validity))
}
