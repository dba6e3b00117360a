//! The report: one HTML file that works offline.

use askama::Template;

use crate::analysis::{
    Figures, JudgedTrial, Row, ScenarioAnalysis, Standing, analyse, cpu_us_per_delivery,
    deliveries_per_second, number_of, trial_latency_ns,
};
use crate::format::{bytes, count, digits, interval, percent, time};
use crate::plots;
use crate::record::{
    Headline, LoadRecord, MachineRecord, Measurement, ScenarioRecord, TargetRecord, TargetStatus,
    TrialResult,
};
use crate::results::Results;
use crate::verdict::{
    GENERATOR_BUSY_SHARE_MAX, OTHERS_CPU_SHARE_MAX, READY_WAIT_SHARE_MAX, SCHEDULE_LAG_P99_NS_MAX,
    Worth,
};

/// The whole report of `results`.
///
/// # Panics
///
/// If a JSON value cannot be written as text, which does not happen.
#[must_use]
pub fn report(results: &Results) -> String {
    let analyses = analyse(results);
    let run = &results.run;
    let page = Page {
        run_started: &run.started,
        started: run.started.replace('T', " ").replace('Z', " UTC"),
        scenarios: analyses.iter().map(scenario_view).collect(),
        unmeasured: run.targets.iter().filter_map(unmeasured_view).collect(),
        facts: facts(results),
        limits: limits(),
        raw: raw_json(results),
        script: plots::script(),
    };
    page.render().expect("the template's values can be written to memory")
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    run_started: &'a str,
    started: String,
    scenarios: Vec<ScenarioView<'a>>,
    unmeasured: Vec<UnmeasuredView<'a>>,
    facts: Vec<(&'static str, String)>,
    limits: Vec<(&'static str, String)>,
    raw: String,
    script: String,
}

struct ScenarioView<'a> {
    name: &'a str,
    question: &'a str,
    note: &'a str,
    setting: String,
    /// What it is ranked by.
    headline: &'static str,
    winners: Vec<&'a TargetRecord>,
    verdicts: Vec<(&'static str, String)>,
    rows: Vec<RowView<'a>>,
    plots: Vec<PlotView>,
    trials: Vec<TrialView<'a>>,
}

struct RowView<'a> {
    target: &'a TargetRecord,
    /// Empty if it is not ranked.
    tier: String,
    /// Empty if it is ranked.
    reason: String,
    figures: Option<FiguresView>,
    trials: String,
}

struct FiguresView {
    relative: String,
    relative_interval: String,
    rate: String,
    rate_interval: String,
    p50: String,
    p99: String,
    p99_interval: String,
    p999: String,
    failed: String,
    has_failed: bool,
    cpu: String,
    cpu_interval: String,
    memory: String,
    threads: u64,
}

struct PlotView {
    title: &'static str,
    /// What the plot shows, for those who do not see it.
    description: String,
    html: String,
}

/// One trial in the table of the raw figures.
struct TrialView<'a> {
    order: u32,
    block: u32,
    target: &'a str,
    verdict: String,
    class: &'static str,
    reason: &'a str,
    cells: Vec<String>,
    log: String,
}

struct UnmeasuredView<'a> {
    target: &'a TargetRecord,
    verdict: &'static str,
    reason: &'a str,
    remedy: &'a str,
}

fn scenario_view<'a>(analysis: &'a ScenarioAnalysis<'a>) -> ScenarioView<'a> {
    let scenario = analysis.scenario;
    let measured: Vec<_> = analysis.rows.iter().filter(|row| !row.trials.is_empty()).collect();
    let is_winner = |row: &&&Row<'_>| row.standing == Standing::Ranked { tier: 1 };
    let mut trials: Vec<_> = measured
        .iter()
        .flat_map(|row| &row.trials)
        .map(|trial| trial_view(trial, scenario))
        .collect();
    trials.sort_by_key(|trial| trial.order);
    ScenarioView {
        name: &scenario.name,
        question: &scenario.question,
        note: &scenario.note,
        setting: setting(scenario),
        headline: match scenario.headline {
            Headline::Latency => "99th percentile of latency",
            Headline::Throughput => "deliveries per second",
            Headline::Capacity => "messages per second within the limits",
        },
        winners: measured.iter().filter(is_winner).map(|row| row.target).collect(),
        verdicts: verdict_counts(&measured),
        rows: measured.iter().map(|row| row_view(row)).collect(),
        plots: plot_views(analysis),
        trials,
    }
}

fn setting(scenario: &ScenarioRecord) -> String {
    let load = match scenario.load {
        LoadRecord::FixedRate { messages_per_second } => {
            format!("{} messages per second in all, whatever the server does", messages_per_second)
        }
        LoadRecord::Burst { messages_per_burst, bursts_per_second } => format!(
            "{messages_per_burst} messages at once, {bursts_per_second} times a second, whatever \
             the server does"
        ),
        LoadRecord::Saturate => "each as fast as the server takes them".to_owned(),
        LoadRecord::EveryoneAtOnce => {
            "each one message at a time, the next when everybody has received all".to_owned()
        }
        LoadRecord::Search { latency_p99_ms_max, failed_share_max, .. } => format!(
            "at the highest rate with a 99th percentile of {latency_p99_ms_max} ms at most and \
             {} lost at most",
            percent(failed_share_max)
        ),
    };
    let bodies: Vec<_> = scenario.body_bytes.iter().map(u8::to_string).collect();
    format!(
        "{} clients receive and {} of them send, {load}. Bodies of {} bytes; {} s of warm-up, \
         then {} s measured, {} times for each implementation.",
        scenario.clients,
        scenario.senders,
        bodies.join(", "),
        scenario.warm_up_seconds,
        scenario.measure_seconds,
        scenario.repeats
    )
}

fn verdict_counts(rows: &[&Row<'_>]) -> Vec<(&'static str, String)> {
    let failed =
        rows.iter().flat_map(|row| &row.trials).filter(|trial| trial.verdict.is_none()).count();
    let mut counts: Vec<_> = [Worth::Valid, Worth::ClientBound, Worth::Noisy, Worth::Incorrect]
        .into_iter()
        .map(|worth| (worth, rows.iter().map(|row| number_of(&row.trials, worth)).sum::<usize>()))
        .filter(|(_, number)| *number > 0)
        .map(|(worth, number)| (class(worth), format!("{number} {worth}")))
        .collect();
    if failed > 0 {
        counts.push(("bad", format!("{failed} FAILED")));
    }
    counts
}

fn class(worth: Worth) -> &'static str {
    match worth {
        Worth::Valid => "good",
        Worth::ClientBound | Worth::Noisy => "doubtful",
        Worth::Incorrect => "bad",
    }
}

fn row_view<'a>(row: &'a Row<'a>) -> RowView<'a> {
    let (tier, reason) = match &row.standing {
        Standing::Ranked { tier } => (tier.to_string(), String::new()),
        Standing::Unranked { reason } => (String::new(), reason.clone()),
    };
    let valid = number_of(&row.trials, Worth::Valid);
    RowView {
        target: row.target,
        tier,
        reason,
        figures: row.figures.as_ref().map(figures_view),
        trials: format!("{valid} of {}", row.trials.len()),
    }
}

fn figures_view(figures: &Figures) -> FiguresView {
    let microseconds = |us: f64| time(us * 1e3);
    FiguresView {
        relative: figures.relative.map_or_else(String::new, |ratio| digits(ratio.median)),
        relative_interval: figures.relative.map_or_else(String::new, |it| interval(&it, digits)),
        rate: count(figures.deliveries_per_second.median),
        rate_interval: interval(&figures.deliveries_per_second, count),
        p50: time(figures.latency_p50_ns),
        p99: time(figures.latency_p99_ns.median),
        p99_interval: interval(&figures.latency_p99_ns, time),
        p999: time(figures.latency_p999_ns),
        failed: percent(figures.failed_share),
        has_failed: figures.failed_share > 0.0,
        cpu: figures
            .cpu_us_per_delivery
            .map_or_else(|| "–".to_owned(), |cpu| microseconds(cpu.median)),
        cpu_interval: figures
            .cpu_us_per_delivery
            .map_or_else(String::new, |cpu| interval(&cpu, microseconds)),
        memory: bytes(figures.resident_bytes_peak),
        threads: figures.threads,
    }
}

fn plot_views(analysis: &ScenarioAnalysis<'_>) -> Vec<PlotView> {
    if analysis.rows.iter().all(|row| row.figures.is_none()) {
        return Vec::new();
    }
    let name = &analysis.scenario.name;
    let curves = PlotView {
        title: "Latency by percentile",
        description: format!(
            "Line plot of the latency of {name} by percentile, one line per implementation; \
             a line ends where messages never arrived. The table above has the same figures."
        ),
        html: plots::latency_curves(analysis, &format!("latency-{name}")),
    };
    let bars = PlotView {
        title: "Deliveries per second, and what never arrived",
        description: format!(
            "Bar chart of the deliveries per second of {name} with their intervals, and beside \
             them the deliveries that never arrived. The table above has the same figures."
        ),
        html: plots::throughput_bars(analysis, &format!("throughput-{name}")),
    };
    match analysis.scenario.headline {
        Headline::Latency => vec![curves, bars],
        Headline::Throughput | Headline::Capacity => vec![bars, curves],
    }
}

/// The heads of [`TrialView::cells`].
const TRIAL_HEADS: [&str; 13] = [
    "deliveries/s",
    "p50",
    "p99",
    "p99.9",
    "last receiver p99",
    "service p99",
    "lost",
    "pending",
    "late",
    "CPU/delivery",
    "peak memory",
    "generator busy",
    "schedule lag p99",
];

fn trial_view<'a>(trial: &'a JudgedTrial<'a>, scenario: &ScenarioRecord) -> TrialView<'a> {
    let record = trial.record;
    let (verdict, class, reason) = match (&trial.verdict, &record.result) {
        (Some(verdict), _) => {
            (verdict.worth.to_string(), class(verdict.worth), verdict.reason.as_str())
        }
        (None, TrialResult::Failed { reason, .. }) => ("FAILED".to_owned(), "bad", reason.as_str()),
        (None, TrialResult::Measured(_)) => (String::new(), "doubtful", ""),
    };
    let (cells, log) = match &record.result {
        TrialResult::Measured(figures) => (trial_cells(figures, scenario), String::new()),
        TrialResult::Failed { log, .. } => {
            (vec!["–".to_owned(); TRIAL_HEADS.len()], log.join("\n"))
        }
    };
    let (order, block) = (record.order, record.block);
    TrialView { order, block, target: &record.target, verdict, class, reason, cells, log }
}

fn trial_cells(trial: &Measurement, scenario: &ScenarioRecord) -> Vec<String> {
    let of_expected = |pairs: u64| percent(pairs as f64 / trial.pairs.expected().max(1) as f64);
    let latency = |quantile| time(trial_latency_ns(trial, scenario, quantile));
    vec![
        count(deliveries_per_second(trial)),
        latency(0.5),
        latency(0.99),
        latency(0.999),
        time(trial.last_receiver.p99_ns as f64),
        time(trial.service.p99_ns as f64),
        of_expected(trial.pairs.failed()),
        of_expected(trial.pairs.pending),
        of_expected(trial.late),
        cpu_us_per_delivery(trial).map_or_else(|| "–".to_owned(), |us| time(us * 1e3)),
        bytes(trial.server.resident_bytes_peak),
        percent(trial.generator.cpu_seconds / trial.generator.sampled_seconds),
        time(trial.schedule_lag.p99_ns as f64),
    ]
}

fn unmeasured_view(target: &TargetRecord) -> Option<UnmeasuredView<'_>> {
    let (verdict, reason, remedy) = match &target.status {
        TargetStatus::Measured => return None,
        TargetStatus::Skipped { reason, remedy } => ("skipped", reason.as_str(), remedy.as_str()),
        TargetStatus::FailedCheck { reason } => ("failed the check", reason.as_str(), ""),
    };
    Some(UnmeasuredView { target, verdict, reason, remedy })
}

fn facts(results: &Results) -> Vec<(&'static str, String)> {
    let run = &results.run;
    let machine = &run.machine;
    vec![
        ("Processor", format!("{} ({})", machine.cpu_model, machine.architecture)),
        ("Processors used", cpus(machine)),
        ("Memory", bytes(machine.memory_bytes)),
        ("Kernel", machine.kernel.clone()),
        (
            "Frequency governor",
            machine.cpu_governor.clone().unwrap_or_else(|| "unknown".to_owned()),
        ),
        ("Load before the run", format!("{:.2} runnable processes", machine.load_average)),
        ("zillions", run.tool.version.clone()),
        ("Commit", run.tool.git_commit.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("Command", run.command_line.join(" ")),
        ("Began", run.started.clone()),
        ("Trials", format!("{}, in an order drawn from seed {}", results.trials.len(), run.seed)),
    ]
}

fn cpus(machine: &MachineRecord) -> String {
    let Some(generator) = machine.generator_cpu else {
        return format!("{}, shared by servers and load generator (not pinned)", machine.cpus);
    };
    let servers: Vec<_> = machine.server_cpus.iter().map(u32::to_string).collect();
    format!("servers on {}, load generator on {generator}", servers.join(", "))
}

fn limits() -> Vec<(&'static str, String)> {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    vec![
        (
            "CLIENT-BOUND",
            format!(
                "The load generator was busy for more than {} of the time, or more than {} \
                 behind its own schedule at the 99th percentile: the server could have done more.",
                percent(GENERATOR_BUSY_SHARE_MAX),
                time(SCHEDULE_LAG_P99_NS_MAX as f64)
            ),
        ),
        (
            "NOISY",
            format!(
                "Other programs used more than {} of the processors, or kept the load generator \
                 waiting for more than {} of the time.",
                percent(OTHERS_CPU_SHARE_MAX),
                percent(READY_WAIT_SHARE_MAX)
            ),
        ),
        (
            "INCORRECT",
            "A message was corrupted, invented, duplicated or reordered under this load."
                .to_owned(),
        ),
        ("FAILED", "The server ended, hung, or lost all of its connections.".to_owned()),
    ]
}

/// Everything recorded, safe within a `script` element.
fn raw_json(results: &Results) -> String {
    let value = serde_json::json!({ "run": results.run, "trials": results.trials });
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    fn page() -> String {
        report(&examples::results())
    }

    #[test]
    fn the_same_results_give_the_same_report() {
        assert!(page() == page());
    }

    #[test]
    fn the_report_asks_nothing_of_any_network() {
        // Plotly's script names addresses of maps, which only map plots load.
        let page = page().replace(&plots::script(), "");
        for wanted in ["<script src", "<link", "@import", "url(", "src=\"http", "fetch("] {
            assert!(!page.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn the_drawing_script_is_embedded_once_and_the_plots_are_four() {
        let page = page();
        let script = plots::script();
        assert!(script.len() > 1_000_000, "{} bytes", script.len());
        assert_eq!(page.matches(&script[..200]).count(), 1);
        assert_eq!(page.matches("Plotly.newPlot(\"").count(), 4);
        assert!(!page.contains("MathJax.tex"), "formulas are not typeset");
    }

    #[test]
    fn every_target_is_shown_with_its_reason_where_it_has_no_rank() {
        let page = page();
        for text in [
            "as-fast",
            "apt-get install ghc",
            "order/fifo (ORDER-2)",
            "failed in 5 of 5 trials",
            "assertion failed",
            "15 VALID",
            "5 FAILED",
        ] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn texts_from_outside_cannot_break_the_page() {
        let mut results = examples::results();
        results.run.targets[0].summary = "</script><script>alert(1)</script>".to_owned();
        let page = report(&results);
        assert!(!page.contains("<script>alert(1)"));
        assert!(page.contains("&#60;/script&#62;") || page.contains("&lt;/script&gt;"));
    }

    #[test]
    fn tables_and_plots_can_be_read_aloud() {
        let page = page();
        let tables = page.matches("<table").count();
        assert_eq!(tables, page.matches("<caption").count());
        assert!(page.matches("scope=\"col\"").count() >= 10);
        assert!(page.matches("scope=\"row\"").count() >= 8);
        assert_eq!(page.matches("role=\"img\" aria-label=").count(), 4);
        assert!(page.contains("href=\"#main\">Skip"));
        assert!(page.contains("<html lang=\"en\">"));
    }

    #[test]
    fn a_run_without_trials_still_gives_a_page() {
        let mut results = examples::results();
        results.trials.clear();
        let page = report(&results);
        assert!(page.contains("Nothing was measured"));
    }
}
