//! What is going on, on standard error: live on a terminal, line by line elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar};
use zillions_bench::{Event, Target};
use zillions_escape::visible;
use zillions_report::bounded::Bounded;
use zillions_report::capacity::{Answer, answer};
use zillions_report::format::{count, time};
use zillions_report::percentile::latency_p99_ns;
use zillions_report::record::{
    Measurement, RankBy, Role, ScenarioRecord, TargetStatus, TrialRecord, TrialResult,
};
use zillions_report::statistics::bounded_median;
use zillions_report::trial_figures::deliveries_per_second;
use zillions_report::verdict::{Validity, judge_as};

use crate::output::{BAD, DOUBTFUL, FAINT, GOOD, HEADING, paint};
use crate::progress;

/// The display of one run.
pub(super) struct Display<'a> {
    scenarios: &'a [ScenarioRecord],
    live: Option<Live>,
    /// Whether lines are wanted where there is no live display.
    lines: bool,
}

/// One line per target with its figures so far, and a bar.
struct Live {
    all: MultiProgress,
    bar: ProgressBar,
    rows: HashMap<String, ProgressBar>,
    /// Ranking figures so far, by target and scenario.
    figures: HashMap<(String, String), Vec<Bounded>>,
    name_width: usize,
}

impl<'a> Display<'a> {
    /// A display of `targets` in `scenarios`; without `progress`, only what goes wrong is shown.
    pub(super) fn new(targets: &[Target], scenarios: &'a [ScenarioRecord], progress: bool) -> Self {
        let live = progress && std::io::stderr().is_terminal();
        let display = Self { scenarios, live: live.then(|| Live::new(targets)), lines: progress };
        for target in targets {
            if let TargetStatus::Skipped { reason, remedy } = &target.record.status {
                let remedy = if remedy.is_empty() { String::new() } else { format!("; {remedy}") };
                let name = &target.record.name;
                display.line(&format!("{} {name}: {reason}{remedy}", paint(DOUBTFUL, "skipped")));
            }
        }
        display
    }

    /// Shows what has happened.
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Checking { target, done, total } => {
                self.doing(&format!("checking {target} ({} of {total})", done + 1));
            }
            Event::Refused { target, reason } => {
                self.line(&format!("{} {target}: {reason}", paint(BAD, "not measured")));
                if let Some(row) = self.live.as_mut().and_then(|live| live.rows.remove(*target)) {
                    row.finish_and_clear();
                }
            }
            Event::Passed { target, cached } => {
                if *cached && self.lines && self.live.is_none() {
                    self.line(&format!("{target} passed the check before"));
                }
            }
            Event::Idling { target, done, total } => {
                self.doing(&format!("idling {target} ({} of {total})", done + 1));
            }
            Event::Planned { trials, kept, estimate, budget, pinning } => {
                if !self.lines {
                    return;
                }
                let place = match &pinning.generator[..] {
                    [_, ..] => {
                        let servers: Vec<_> = pinning.servers.iter().map(u32::to_string).collect();
                        let load: Vec<_> = pinning.generator.iter().map(u32::to_string).collect();
                        let (servers, load) = (servers.join(", "), load.join(", "));
                        format!("servers on CPU {servers}, load on CPU {load}")
                    }
                    [] => "servers and load share the processors".to_owned(),
                };
                let about = rough(*estimate);
                let known = if *kept > 0 { format!(", {kept} kept") } else { String::new() };
                let further = budget.map_or_else(String::new, |budget| {
                    format!(
                        ", and more where tiers are not told apart, within {} in all",
                        rough(budget)
                    )
                });
                let line = format!("{trials} trials{known}, about {about}{further}; {place}");
                self.line(&paint(HEADING, line));
                if let Some(live) = &self.live {
                    live.bar.set_length(*trials as u64);
                }
            }
            Event::Started { target, scenario, role, rate } => {
                if let Some(live) = &self.live {
                    let purpose = purpose(*role, *rate);
                    live.bar.set_message(visible(format!("{scenario} · {target}{purpose}")));
                }
            }
            Event::Ended { trial, done, total, remaining } => {
                self.ended(trial, *done, *total, *remaining);
            }
        }
    }

    /// What is going on before the trials.
    fn doing(&self, text: &str) {
        match &self.live {
            Some(live) => live.bar.set_message(visible(text)),
            None if self.lines => self.line(text),
            None => {}
        }
    }

    fn ended(&mut self, trial: &TrialRecord, done: usize, total: usize, remaining: Duration) {
        if let TrialResult::Failed { reason, .. } = &trial.result {
            let what = format!("{} in {}", trial.target, trial.scenario);
            self.line(&format!("{} {what}: {reason}", paint(BAD, "failed")));
        }
        if let TrialResult::Prevented { reason } = &trial.result {
            let what = format!("{} in {}", trial.target, trial.scenario);
            self.line(&format!("{} {what}: {reason}", paint(DOUBTFUL, "prevented")));
        }
        match (&mut self.live, &trial.result) {
            (Some(live), result) => {
                if let TrialResult::Measured(figures) = result {
                    live.add(trial, figures, self.scenarios);
                }
                live.bar.set_prefix(format!("{} left", rough(remaining)));
                live.bar.set_length(total as u64);
                live.bar.set_position(done as u64);
            }
            (None, TrialResult::Measured(figures)) if self.lines => {
                let verdict = judge_as(trial.role, figures);
                let style = match verdict.validity {
                    Validity::Valid => GOOD,
                    Validity::ClientBound | Validity::Noisy => DOUBTFUL,
                    Validity::Incorrect => BAD,
                };
                let why = if verdict.reason.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", verdict.reason)
                };
                // Nobody times what a limit delivers.
                let p99 = match trial.role {
                    Role::Yardstick => String::new(),
                    _ => format!(", p99 {}", self.p99_ns(trial, figures).text(time)),
                };
                self.line(&format!(
                    "[{done}/{total}] {} {}{}: {}/s{p99} {}{why}",
                    trial.scenario,
                    trial.target,
                    purpose(trial.role, trial.offered_rate),
                    count(deliveries_per_second(figures)),
                    paint(style, verdict.validity)
                ));
            }
            (None, _) => {}
        }
    }

    /// The 99th percentile of everything expected in the trial.
    fn p99_ns(&self, trial: &TrialRecord, figures: &Measurement) -> Bounded {
        let scenario = self.scenarios.iter().find(|it| it.name == trial.scenario);
        scenario.map_or(f64::NAN.into(), |scenario| latency_p99_ns(figures, scenario))
    }

    /// A line that stays.
    fn line(&self, text: &str) {
        match &self.live {
            Some(live) => live.bar.suspend(|| zillions_console::note(text)),
            None => zillions_console::note(text),
        }
    }

    /// Takes the live display away.
    pub(super) fn finish(&mut self) {
        if let Some(live) = &mut self.live {
            for row in live.rows.values() {
                row.finish_and_clear();
            }
            live.bar.finish_and_clear();
        }
    }
}

impl Live {
    fn new(targets: &[Target]) -> Self {
        let all = MultiProgress::new();
        let names = targets.iter().filter(|target| target.access.is_some());
        let names: Vec<_> = names.map(|target| target.record.name.clone()).collect();
        let name_width = names.iter().map(String::len).max().unwrap_or(0);
        let mut rows = HashMap::new();
        for name in names {
            let row = all.add(ProgressBar::no_length().with_style(progress::style("{wide_msg}")));
            row.set_message(paint(FAINT, format!("{:name_width$}", visible(&name))));
            rows.insert(name, row);
        }
        let template = "{bar:24} {pos}/{len} {prefix} {wide_msg}";
        let bar = all.add(ProgressBar::new(0).with_style(progress::style(template)));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { all, bar, rows, figures: HashMap::new(), name_width }
    }

    /// Adds a trial's ranking figure to its target's line.
    fn add(&mut self, trial: &TrialRecord, figures: &Measurement, scenarios: &[ScenarioRecord]) {
        let key = (trial.target.clone(), trial.scenario.clone());
        let of_scenario = |scenario: &ScenarioRecord| match scenario.rank_by {
            RankBy::Latency => Some(latency_p99_ns(figures, scenario)),
            RankBy::Throughput => Some(deliveries_per_second(figures).into()),
            RankBy::Capacity => {
                answer(trial, scenario).filter(|it| it.1 == Answer::Met).map(|it| it.0.into())
            }
        };
        let Some(scenario) = scenarios.iter().find(|it| it.name == trial.scenario) else { return };
        self.figures.entry(key).or_default().extend(of_scenario(scenario));
        let so_far = scenarios.iter().filter_map(|scenario| {
            let key = (trial.target.clone(), scenario.name.clone());
            let figures = self.figures.get(&key).filter(|figures| !figures.is_empty())?;
            let figure = match scenario.rank_by {
                RankBy::Latency => format!("p99 {}", bounded_median(figures).text(time)),
                RankBy::Throughput => format!("{}/s", bounded_median(figures).text(count)),
                RankBy::Capacity => {
                    let highest = figures.iter().map(Bounded::least).fold(0.0, f64::max);
                    format!("{}/s met", count(highest))
                }
            };
            Some(format!("{} {figure}", paint(FAINT, &scenario.name)))
        });
        let text = so_far.collect::<Vec<_>>().join("   ");
        if let Some(row) = self.rows.get(&trial.target) {
            let name = visible(&trial.target);
            row.set_message(format!("{name:width$}  {text}", width = self.name_width));
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // An error may end the run early: leave a clean screen. Clearing fails only if the
        // terminal has gone.
        let _ = self.all.clear();
    }
}

/// A time as people say it.
pub(super) fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// What a trial is for, where that is not just one more repeat.
fn purpose(role: Role, rate: Option<f64>) -> String {
    let rate = rate.map_or_else(String::new, |rate| format!(" at {}/s", count(rate)));
    match role {
        Role::Measure => String::new(),
        Role::Twin => " (second arm)".to_owned(),
        Role::Search => format!("{rate} (searching)"),
        Role::Hold => format!("{rate} (holding)"),
        Role::Curve => format!("{rate} (curve)"),
        Role::Yardstick => " (limit)".to_owned(),
    }
}
