//! Machine and method: where the figures come from, and the thresholds of the verdicts.

use crate::analysis::ScenarioAnalysis;
use crate::format::{bytes, digits, time};
use crate::merge::MergedRun;
use crate::record::{RemoteRecord, RunRecord};
use crate::results::Results;
use crate::verdict::{
    DELIVERIES_PER_READ_MIN, GENERATOR_BUSY_SHARE_MAX, OTHERS_CPU_SHARE_MAX, READY_WAIT_SHARE_MAX,
    SCHEDULE_LAG_P99_NS_MAX, STEAL_SHARE_MAX, VALID_TRIALS_MIN,
};

/// The section's content.
pub(super) struct Method {
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) noise: Vec<NoiseView>,
    pub(super) limits: Vec<(&'static str, String)>,
    pub(super) runs: Vec<RunView>,
    pub(super) valid_trials_min: usize,
}

/// The noise floor of one scenario.
pub(super) struct NoiseView {
    pub(super) scenario: String,
    pub(super) target: String,
    pub(super) ratio: String,
    pub(super) interval: String,
}

/// One of several runs.
pub(super) struct RunView {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) started: String,
    pub(super) command: String,
    pub(super) trials: usize,
    pub(super) version: String,
    pub(super) kernel: String,
}

impl Method {
    pub(super) fn of(
        results: &Results,
        analyses: &[ScenarioAnalysis<'_>],
        runs: &[MergedRun],
    ) -> Self {
        Self {
            facts: facts(results, runs),
            noise: analyses.iter().filter_map(noise).collect(),
            limits: limits(),
            runs: runs.iter().enumerate().map(|(at, run)| run_view(at, run)).collect(),
            valid_trials_min: VALID_TRIALS_MIN,
        }
    }
}

fn noise(analysis: &ScenarioAnalysis<'_>) -> Option<NoiseView> {
    let floor = analysis.noise.as_ref()?;
    Some(NoiseView {
        scenario: analysis.scenario.name.clone(),
        target: floor.target.clone(),
        ratio: format!("× {}", digits(floor.ratio.median)),
        interval: format!("{} – {}", digits(floor.ratio.low), digits(floor.ratio.high)),
    })
}

fn run_view(at: usize, run: &MergedRun) -> RunView {
    RunView {
        number: at + 1,
        name: run.name.clone(),
        started: time_of_day(&run.run.started),
        command: run.run.command_line.join(" "),
        trials: run.trials.len(),
        version: run.run.tool.version.clone(),
        kernel: run.run.machine.kernel.clone(),
    }
}

/// `2026-11-22T03:00:00Z` as people write it.
pub(super) fn time_of_day(rfc3339: &str) -> String {
    rfc3339.replace('T', " ").replace('Z', " UTC")
}

fn facts(results: &Results, runs: &[MergedRun]) -> Vec<(&'static str, String)> {
    let run = &results.run;
    let machine = &run.machine;
    let mut facts = vec![
        ("Processor", format!("{} ({})", machine.cpu_model, machine.architecture)),
        ("Processors used", cpus(run)),
        ("Memory", bytes(machine.memory_bytes)),
        (
            "Frequency governor",
            machine.cpu_governor.clone().unwrap_or_else(|| "unknown".to_owned()),
        ),
        ("Open files per process", machine.descriptor_limit.to_string()),
    ];
    let servers_machine = run.remote.as_ref().map_or(machine, |it| &it.machine);
    let uncounted = servers_machine.instructions_uncounted.as_ref();
    facts.extend(uncounted.map(|why| ("User instructions", format!("not counted: {why}"))));
    facts.extend(results.run.remote.as_ref().map(|it| ("Servers ran on", elsewhere(it))));
    if runs.is_empty() {
        facts.extend([
            ("Kernel", machine.kernel.clone()),
            ("Load before the run", format!("{:.2} runnable processes", machine.load_average)),
            ("zillions", run.tool.version.clone()),
            ("Commit", run.tool.git_commit.clone().unwrap_or_else(|| "unknown".to_owned())),
            ("Command", run.command_line.join(" ")),
            ("Started", time_of_day(&run.started)),
        ]);
        if !run.resumed.is_empty() {
            let times: Vec<_> = run.resumed.iter().map(|time| time_of_day(time)).collect();
            facts.push(("Resumed", times.join(", ")));
        }
        let trials = results.trials.len();
        facts.push(("Trials", format!("{trials}, in an order drawn from seed {}", run.seed)));
    }
    facts
}

/// Another machine that the servers ran on, in one line.
pub(super) fn elsewhere(remote: &RemoteRecord) -> String {
    let RemoteRecord { host, address, tool, machine } = remote;
    format!(
        "{host} ({address}): {}, {}, {} processors, {}, zillions {}; the other facts are those of the \
         load generator's machine",
        machine.cpu_model,
        machine.kernel,
        machine.cpus,
        bytes(machine.memory_bytes),
        tool.version
    )
}

/// Which processors ran what.
pub(super) fn cpus(run: &RunRecord) -> String {
    let machine = &run.machine;
    if run.remote.is_some() {
        return format!("{}, for the load generator (not pinned)", machine.cpus);
    }
    let Some(first) = machine.generator_cpu else {
        return format!("{}, shared by servers and load generator (not pinned)", machine.cpus);
    };
    let servers: Vec<_> = machine.server_cpus.iter().map(u32::to_string).collect();
    let more = machine.generator_cpus.iter().skip(1);
    let generator: Vec<_> = std::iter::once(&first).chain(more).map(u32::to_string).collect();
    format!("servers on {}, load generator on {}", servers.join(", "), generator.join(", "))
}

fn limits() -> Vec<(&'static str, String)> {
    let whole = |share: f64| format!("{:.0} %", share * 100.0);
    vec![
        (
            "CLIENT-BOUND",
            format!(
                "The load generator was busy for more than {} of the time (under a saturating load: \
                 and found {DELIVERIES_PER_READ_MIN} or more deliveries per read), or more than {} \
                 behind its own schedule at the 99th percentile: the server could have done more.",
                whole(GENERATOR_BUSY_SHARE_MAX),
                time(SCHEDULE_LAG_P99_NS_MAX as f64)
            ),
        ),
        (
            "NOISY",
            format!(
                "Other programs used more than {} of the processors, or kept the load generator \
                 waiting for more than {} of the time; or a hypervisor gave more than {} of the \
                 processors to other machines, or a container’s quota held processes back.",
                whole(OTHERS_CPU_SHARE_MAX),
                whole(READY_WAIT_SHARE_MAX),
                whole(STEAL_SHARE_MAX)
            ),
        ),
        (
            "INCORRECT",
            "A message was corrupted, invented, duplicated or reordered under this load, or \
             receivers disagreed on the order."
                .to_owned(),
        ),
        ("FAILED", "The server exited, hung, or lost all of its connections.".to_owned()),
    ]
}
