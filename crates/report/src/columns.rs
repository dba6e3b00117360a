//! The columns of every table of figures: one definition each.
//!
//! The tables of the report, the summary in the terminal and as JSON, `zillions compare` and the
//! explanations in `docs/reading-results.md` all derive from the rows of [`FIGURES`] and [`COSTS`].
//! A new column is one entry here, or in `costs`, and its recorded value where that is new.

mod costs;
mod head;
mod value;

use crate::bounded::Bounded;
use crate::cost::Cost;
use crate::figures::Figures;
use crate::format::{bytes, count, digits, percent, time, whole};
use crate::percentile::{
    arrived_p99_ns, lag_p99_ns, latency_p50_ns, latency_p99_ns, latency_p999_ns,
};
use crate::record::{GeneratorThreadRecord, Measurement, RankBy, ScenarioRecord};
use crate::trial_figures::{
    cpu_per_delivery_ns, deliveries_per_second, lost_share, user_instructions_per_delivery,
};

pub use costs::{COSTS, CostColumn, cases_passed};
pub use head::{Head, IMPLEMENTATION, INTERVAL, RUNS, TIER, TO_BEST, VALID_TRIALS};
pub use value::Value;

/// A figure of trials, and of targets over their trials.
#[derive(Clone, Copy, Debug)]
pub struct FigureColumn {
    /// Its names, its unit and its meaning.
    pub head: Head,
    /// How a value is written, with its unit.
    pub format: fn(f64) -> String,
    /// Its value in one trial; `None` if the table of trials does not have it.
    pub of_trial: Option<fn(&Measurement, &ScenarioRecord) -> Option<Bounded>>,
    /// Its value over the trials of a target; `None` if only single trials have it.
    pub of_target: Option<fn(&Figures) -> Value>,
    /// Whether the summary in the terminal, which is narrow, has it.
    pub in_terminal: bool,
    /// Whether the report highlights every value but 0.
    pub is_alarming: bool,
}

impl FigureColumn {
    /// A column that nothing has; the base of the definitions below.
    const NONE: Self = Self {
        head: Head { key: "", title: "", unit: "", meaning: "" },
        format: digits,
        of_trial: None,
        of_target: None,
        in_terminal: false,
        is_alarming: false,
    };

    /// The value over the trials of a target.
    #[must_use]
    pub fn value(&self, figures: &Figures) -> Value {
        self.of_target.map_or(Value::Unknown, |of| of(figures))
    }

    /// The value in one trial.
    #[must_use]
    pub fn trial_value(&self, trial: &Measurement, scenario: &ScenarioRecord) -> Value {
        let value = self.of_trial.and_then(|of| of(trial, scenario));
        value.map_or(Value::Unknown, Value::Number)
    }
}

/// What a search found.
pub static CAPACITY: FigureColumn = FigureColumn {
    head: Head {
        key: "capacity_messages_per_second",
        title: "Capacity, messages/s",
        unit: "messages per second",
        meaning: "Highest rate of messages within the limits of the search. The interval reaches \
                  from the highest rate that was met every time to the lowest that was missed \
                  every time.",
    },
    format: count_or_unbounded,
    of_target: Some(|it| it.capacity_messages_per_second.map_or(Value::Unknown, Value::Estimate)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Deliveries per second.
pub static DELIVERIES: FigureColumn = FigureColumn {
    head: Head {
        key: "deliveries_per_second",
        title: "Deliveries/s",
        unit: "deliveries per second",
        meaning: "Messages that arrived, counted at the receivers. One message to 33 clients is \
                  33 deliveries.",
    },
    format: count,
    of_trial: Some(|trial, _| Some(deliveries_per_second(trial).into())),
    of_target: Some(|it| Value::Estimate(it.deliveries_per_second)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Median latency.
pub static P50: FigureColumn = FigureColumn {
    head: Head {
        key: "latency_p50_ns",
        title: "p50 latency",
        unit: "nanoseconds",
        meaning: "Median latency, from the intended send of a message to its arrival, over all \
                  expected deliveries. Lost ones count as infinitely late: “never” means that at \
                  least half were lost. Here and in the columns below, ≥ means that fewer than \
                  ten are above: a lower bound.",
    },
    format: time,
    of_trial: Some(|trial, scenario| Some(latency_p50_ns(trial, scenario))),
    of_target: Some(|it| Value::Number(it.latency_p50_ns)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// 99th percentile of latency.
pub static P99: FigureColumn = FigureColumn {
    head: Head {
        key: "latency_p99_ns",
        title: "p99 latency",
        unit: "nanoseconds",
        meaning: "99th percentile of latency over all expected deliveries: “never” means that more \
                  than 1 % were lost.",
    },
    format: time,
    of_trial: Some(|trial, scenario| Some(latency_p99_ns(trial, scenario))),
    of_target: Some(|it| Value::Estimate(it.latency_p99_ns)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// 99.9th percentile of latency.
pub static P999: FigureColumn = FigureColumn {
    head: Head {
        key: "latency_p999_ns",
        title: "p99.9 latency",
        unit: "nanoseconds",
        meaning: "99.9th percentile of latency over all expected deliveries.",
    },
    format: time,
    of_trial: Some(|trial, scenario| Some(latency_p999_ns(trial, scenario))),
    of_target: Some(|it| Value::Number(it.latency_p999_ns)),
    ..FigureColumn::NONE
};

/// Latency to the last receiver.
pub static LAST_RECEIVER: FigureColumn = FigureColumn {
    head: Head {
        key: "last_receiver_arrived_p99_ns",
        title: "Last receiver, arrived p99",
        unit: "nanoseconds",
        meaning: "99th percentile of the time from the intended send of a message until the last \
                  client had it; only of the messages that reached all clients.",
    },
    format: time,
    of_trial: Some(|trial, _| Some(arrived_p99_ns(&trial.last_receiver))),
    ..FigureColumn::NONE
};

/// Latency from the actual write.
pub static SERVICE: FigureColumn = FigureColumn {
    head: Head {
        key: "service_arrived_p99_ns",
        title: "Service time, arrived p99",
        unit: "nanoseconds",
        meaning: "99th percentile of the time from the actual write of a message to its arrival, \
                  of the arrivals only. It is what a load generator sees that waits for the \
                  server. Where it is far below p99, messages were queueing.",
    },
    format: time,
    of_trial: Some(|trial, _| Some(arrived_p99_ns(&trial.service))),
    ..FigureColumn::NONE
};

/// Lost deliveries.
pub static LOST: FigureColumn = FigureColumn {
    head: Head {
        key: "lost_share",
        title: "Lost",
        unit: "share, 0 to 1",
        meaning: "Expected deliveries that never arrived: dropped, cut off by a lost connection, \
                  or never accepted by the server.",
    },
    format: percent,
    of_trial: Some(|trial, _| Some(lost_share(trial).into())),
    of_target: Some(|it| Value::Number(it.lost_share.into())),
    in_terminal: true,
    is_alarming: true,
};

/// Pending deliveries.
pub static PENDING: FigureColumn = FigureColumn {
    head: Head {
        key: "pending_share",
        title: "Pending",
        unit: "share, 0 to 1",
        meaning: "Expected deliveries that had not arrived when the time to drain was over.",
    },
    format: percent,
    of_trial: Some(|trial, _| Some(share_of_expected(trial, trial.pairs.pending).into())),
    ..FigureColumn::NONE
};

/// Late deliveries.
pub static LATE: FigureColumn = FigureColumn {
    head: Head {
        key: "late_share",
        title: "Late",
        unit: "share, 0 to 1",
        meaning: "Deliveries that arrived later than the scenario’s limit, as a share of the \
                  expected ones.",
    },
    format: percent,
    of_trial: Some(|trial, _| Some(share_of_expected(trial, trial.late).into())),
    ..FigureColumn::NONE
};

/// CPU time per delivery.
pub static CPU: FigureColumn = FigureColumn {
    head: Head {
        key: "cpu_per_delivery_ns",
        title: "CPU per delivery",
        unit: "nanoseconds",
        meaning: "CPU time of the server’s whole process tree, kernel time included, per delivery.",
    },
    format: time,
    of_trial: Some(|trial, _| cpu_per_delivery_ns(trial).map(Bounded::from)),
    of_target: Some(|it| it.cpu_per_delivery_ns.map_or(Value::Unknown, Value::Estimate)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Tier by CPU time.
pub static CPU_TIER: FigureColumn = FigureColumn {
    head: Head {
        key: "cpu_tier",
        title: "CPU tier",
        unit: "",
        meaning: "Tier by CPU time per delivery, 1 is best; separated as the tiers of the figure \
                  that ranks are. What trials that are NOISY or CLIENT-BOUND keep from that \
                  ranking has one too.",
    },
    format: whole,
    of_target: Some(|it| tier(it, Cost::Cpu)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Tier by context switches.
pub static SWITCHES_TIER: FigureColumn = FigureColumn {
    head: Head {
        key: "switches_tier",
        title: "Switches tier",
        unit: "",
        meaning: "Tier by context switches per delivery, likewise, but without NOISY trials: other \
                  programs make a server switch.",
    },
    format: whole,
    of_target: Some(|it| tier(it, Cost::Switches)),
    ..FigureColumn::NONE
};

fn tier(figures: &Figures, cost: Cost) -> Value {
    Value::number(figures.costs.get(&cost).map(|it| it.tier as f64))
}

/// What was counted, if it was.
fn counted(value: Option<u64>) -> Value {
    value.map_or(Value::Unknown, |value| Value::Number((value as f64).into()))
}

/// What is reached of the limit of the machine.
pub static OF_LIMIT: FigureColumn = FigureColumn {
    head: Head {
        key: "share_of_limit",
        title: "Of the limit",
        unit: "ratio",
        meaning: "What it reaches of what this kernel does without a server: under a saturating \
                  load its deliveries per second relative to a receiver that only calls recv, at a \
                  rate its deliveries per second of CPU time relative to a bare send() loop.",
    },
    of_target: Some(|it| it.share_of_limit.map_or(Value::Unknown, Value::Estimate)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Peak memory.
pub static MEMORY: FigureColumn = FigureColumn {
    head: Head {
        key: "peak_resident_bytes",
        title: "Peak memory",
        unit: "bytes",
        meaning: "Peak resident memory of the process tree, with what processes share counted once; of several trials the highest.",
    },
    format: memory,
    of_trial: Some(|trial, _| Some((trial.server.as_ref()?.peak_resident_bytes as f64).into())),
    of_target: Some(|it| counted(it.peak_resident_bytes)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Threads.
pub static THREADS: FigureColumn = FigureColumn {
    head: Head {
        key: "threads",
        title: "Threads",
        unit: "threads",
        meaning: "Threads of the process tree at the end of the window; of several trials the \
                  most.",
    },
    format: whole,
    of_target: Some(|it| counted(it.threads)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Instructions.
pub static INSTRUCTIONS: FigureColumn = FigureColumn {
    head: Head {
        key: "user_instructions_per_delivery",
        title: "User instructions",
        unit: "instructions per delivery",
        meaning: "Instructions that the server’s whole process tree executes in user mode, per \
                  delivery: its own, those of its libraries and of its runtime, without the \
                  kernel’s. Only where the machine counts them.",
    },
    format: count,
    of_trial: Some(|trial, _| user_instructions_per_delivery(trial).map(Bounded::from)),
    of_target: Some(|it| it.user_instructions_per_delivery.map_or(Value::Unknown, Value::Estimate)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Tier by instructions.
pub static INSTRUCTIONS_TIER: FigureColumn = FigureColumn {
    head: Head {
        key: "user_instructions_tier",
        title: "Instructions tier",
        unit: "",
        meaning: "Tier by user instructions per delivery, as by CPU time.",
    },
    format: whole,
    of_target: Some(|it| tier(it, Cost::UserInstructions)),
    in_terminal: true,
    ..FigureColumn::NONE
};

/// Context switches.
pub static SWITCHES: FigureColumn = FigureColumn {
    head: Head {
        key: "switches_per_1000_deliveries",
        title: "Switches per 1000",
        unit: "context switches per 1000 deliveries",
        meaning: "Context switches of the server per thousand deliveries, voluntary and \
                  involuntary.",
    },
    format: digits,
    of_target: Some(|it| Value::number(it.switches_per_1000_deliveries)),
    ..FigureColumn::NONE
};

/// How busy the load generator was.
pub static GENERATOR_BUSY: FigureColumn = FigureColumn {
    head: Head {
        key: "generator_busy_share",
        title: "Generator busy",
        unit: "share, 0 to 1",
        meaning: "Share of the window in which the load generator used its processor; of several \
                  threads, the busiest.",
    },
    format: percent,
    of_trial: Some(|trial, _| {
        let threads = trial.generator.each(trial.deliveries_arrived);
        threads.iter().map(GeneratorThreadRecord::busy_share).reduce(f64::max).map(Into::into)
    }),
    ..FigureColumn::NONE
};

/// How late the load generator was.
pub static SCHEDULE_LAG: FigureColumn = FigureColumn {
    head: Head {
        key: "schedule_lag_p99_ns",
        title: "Schedule lag p99",
        unit: "nanoseconds",
        meaning: "How far the load generator was behind its own schedule, 99th percentile over \
                  the messages.",
    },
    format: time,
    of_trial: Some(|trial, _| Some(lag_p99_ns(&trial.schedule_lag))),
    ..FigureColumn::NONE
};

/// Every figure, in the order of the tables.
pub static FIGURES: [&FigureColumn; 21] = [
    &CAPACITY,
    &DELIVERIES,
    &P50,
    &P99,
    &P999,
    &LAST_RECEIVER,
    &SERVICE,
    &LOST,
    &PENDING,
    &LATE,
    &CPU,
    &CPU_TIER,
    &OF_LIMIT,
    &MEMORY,
    &THREADS,
    &INSTRUCTIONS,
    &INSTRUCTIONS_TIER,
    &SWITCHES,
    &SWITCHES_TIER,
    &GENERATOR_BUSY,
    &SCHEDULE_LAG,
];

/// What some runs have measured and others have not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// A limit of the machine to compare with.
    pub limit: bool,
    /// The instructions of the servers.
    pub instructions: bool,
}

/// The figures of a target in a scenario that ranks by `rank_by`.
#[must_use]
pub fn target_figures(rank_by: RankBy, measured: Measured) -> Vec<&'static FigureColumn> {
    let is_search = rank_by == RankBy::Capacity;
    let is_cost_tier = |key: &str| {
        [CPU_TIER.head.key, INSTRUCTIONS_TIER.head.key, SWITCHES_TIER.head.key].contains(&key)
    };
    let has_it = |key: &str| {
        (is_search || key != CAPACITY.head.key)
            && (measured.limit || key != OF_LIMIT.head.key)
            && (measured.instructions || !is_of_instructions(key))
            && !(is_search && is_cost_tier(key))
    };
    FIGURES.into_iter().filter(|it| it.of_target.is_some() && has_it(it.head.key)).collect()
}

fn is_of_instructions(key: &str) -> bool {
    [INSTRUCTIONS.head.key, INSTRUCTIONS_TIER.head.key].contains(&key)
}

/// The figures of a single trial.
#[must_use]
pub fn trial_figures(measured: Measured) -> Vec<&'static FigureColumn> {
    FIGURES
        .into_iter()
        .filter(|it| it.of_trial.is_some())
        .filter(|it| measured.instructions || !is_of_instructions(it.head.key))
        .collect()
}

/// The figure that scenarios of this kind rank by.
#[must_use]
pub fn ranking_column(rank_by: RankBy) -> &'static FigureColumn {
    match rank_by {
        RankBy::Latency => &P99,
        RankBy::Throughput => &DELIVERIES,
        RankBy::Capacity => &CAPACITY,
    }
}

/// A ranking figure for people; a bound has ≥ before it.
#[must_use]
pub fn ranking_text(rank_by: RankBy, value: Bounded) -> String {
    value.text(|value| {
        let text = (ranking_column(rank_by).format)(value);
        match rank_by {
            RankBy::Latency => text,
            RankBy::Throughput | RankBy::Capacity if value.is_infinite() => text,
            RankBy::Throughput | RankBy::Capacity => format!("{text}/s"),
        }
    })
}

/// What a scenario ranks by, in words.
#[must_use]
pub fn ranking_title(rank_by: RankBy) -> &'static str {
    match rank_by {
        RankBy::Latency => "99th percentile of latency",
        RankBy::Throughput => "deliveries per second",
        RankBy::Capacity => "messages per second within the limits",
    }
}

fn share_of_expected(trial: &Measurement, deliveries: u64) -> f64 {
    deliveries as f64 / trial.pairs.expected().max(1) as f64
}

/// A rate that may have no upper end.
fn count_or_unbounded(value: f64) -> String {
    if value.is_infinite() { "∞".to_owned() } else { count(value) }
}

fn memory(value: f64) -> String {
    bytes(value as u64)
}

/// Every head, in the order in which `docs/reading-results.md` explains them.
#[must_use]
pub fn heads() -> Vec<&'static Head> {
    let figures = FIGURES.iter().map(|it| &it.head);
    let ranks = [&TIER, &IMPLEMENTATION, &INTERVAL, &TO_BEST];
    let costs = COSTS.iter().map(|it| &it.head);
    costs.chain(ranks).chain(figures).chain([&VALID_TRIALS, &RUNS]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::analysis::analyse;
    use crate::examples;

    #[test]
    fn the_documentation_explains_every_column_in_the_words_of_its_tooltip() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reading-results.md");
        let document = fs::read_to_string(path).unwrap();
        let missing: Vec<String> = heads()
            .into_iter()
            .map(|head| format!("| {} | {} |", head.title, head.meaning))
            .filter(|row| !document.lines().any(|line| line == row))
            .collect();
        assert!(missing.is_empty(), "docs/reading-results.md lacks\n{}", missing.join("\n"));
        let rows = |rest: &str| rest.lines().skip(1).take_while(|it| it.starts_with('|')).count();
        let tables = document.split("\n| column | meaning |\n").skip(1);
        assert_eq!(
            tables.map(rows).sum::<usize>(),
            heads().len(),
            "a column that does not exist is explained"
        );
    }

    #[test]
    fn keys_and_titles_are_unique_and_every_column_is_in_a_table() {
        let keys: BTreeSet<_> = heads().iter().map(|head| head.key).collect();
        let titles: BTreeSet<_> = heads().iter().map(|head| head.title).collect();
        assert_eq!((keys.len(), titles.len()), (heads().len(), heads().len()));
        assert!(FIGURES.iter().all(|it| it.of_trial.is_some() || it.of_target.is_some()));
    }

    #[test]
    fn what_scenarios_rank_by_is_the_ranking_figure() {
        let results = examples::detailed_results();
        for analysis in analyse(&results) {
            let rank_by = analysis.scenario.rank_by;
            for figures in analysis.rows.iter().filter_map(|row| row.figures.as_ref()) {
                assert_eq!(
                    ranking_column(rank_by).value(figures),
                    Value::Estimate(figures.ranking)
                );
            }
            let keys: Vec<_> =
                target_figures(rank_by, Measured::default()).iter().map(|it| it.head.key).collect();
            assert_eq!(keys.contains(&CAPACITY.head.key), rank_by == RankBy::Capacity);
        }
    }
}
