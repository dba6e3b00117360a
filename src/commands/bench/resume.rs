//! `zillions bench --resume`: what an interrupted run still needs.

use std::path::Path;
use std::time::Duration;

use zillions_bench::pin::Pinning;
use zillions_bench::{Options, Target, WireFormat};
use zillions_harness::machine::Machine;
use zillions_report::record::{RunRecord, TargetRecord, TargetStatus};
use zillions_report::results::{Results, ResultsError};

use super::prepared::{Prepared, yardsticks};
use super::target::Candidate;
use super::{brokers, target};
use crate::failure::Failure;
use crate::options::Global;
use crate::output::{DOUBTFUL, paint};
use crate::selection::Filters;
use crate::targets;
use crate::tool;

/// The run in `folder`, if the same tool can resume it on the same machine with the same
/// programs: trials under other circumstances could not be compared.
pub(super) fn prepare(
    folder: &Path,
    brokers: &brokers::Arguments,
    global: &Global,
) -> Result<Prepared, Failure> {
    let (results, damaged) = Results::read_undamaged(folder).map_err(Failure::usage)?;
    for error in &damaged {
        if let ResultsError::Damaged { path, what, .. } = error {
            let path = path.display();
            zillions_console::note(&format!(
                "{} '{path}': {what}",
                paint(DOUBTFUL, "measured again")
            ));
        }
    }
    let run = &results.run;
    if let Some(target) = run.targets.iter().find(|target| !target.addresses.is_empty()) {
        return Err(Failure::usage(format!(
            "the run cannot be resumed: '{}' was running already, and nothing tells whether it \
             still is the same; measure anew without --resume",
            target.name
        )));
    }
    if let Some(remote) = &run.remote {
        return Err(Failure::usage(format!(
            "the run cannot be resumed: its servers ran on '{}', and nothing tells whether that is \
             still the same machine; measure anew without --resume",
            remote.host
        )));
    }
    let pin = run.machine.generator_cpu.is_some();
    let load_threads = run.load_threads as usize;
    same_circumstances(run, &Pinning::choose(pin, load_threads))?;
    let targets = targets(&run.targets, brokers, global)?;
    let options = Options {
        scenarios: run.scenarios.clone(),
        seed: run.seed,
        budget: run.budget_seconds.map(Duration::from_secs_f64),
        pin,
        load_threads,
        folder: folder.to_owned(),
        command_line: run.command_line.clone(),
        tool: run.tool.clone(),
        idle: None,
        yardsticks: if run.yardsticks.is_empty() { None } else { Some(yardsticks()?) },
        remote: None,
        resume: Some(results),
    };
    Ok(Prepared { candidates: Vec::new(), targets, options })
}

fn same_circumstances(run: &RunRecord, pinning: &Pinning) -> Result<(), Failure> {
    let (machine, now) = (&run.machine, Machine::read());
    let server_cpus = pinning.pinned_servers();
    let cpus = |of: &[u32]| of.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    for (what, then, today) in [
        ("version of zillions", run.tool.version.clone(), tool::record().version),
        ("processor", machine.cpu_model.clone(), now.cpu_model),
        ("kernel", machine.kernel.clone(), now.kernel),
        ("servers' processors", cpus(&machine.server_cpus), cpus(&server_cpus)),
    ] {
        if then != today {
            return Err(Failure::usage(format!(
                "the run cannot be resumed: its {what} was '{then}' and is '{today}' now; \
                 measure anew without --resume"
            )));
        }
    }
    Ok(())
}

/// The recorded targets, those that are measured with a way to start them.
fn targets(
    records: &[TargetRecord],
    options: &brokers::Arguments,
    global: &Global,
) -> Result<Vec<Target>, Failure> {
    let is_measured = |record: &&TargetRecord| record.status == TargetStatus::Measured;
    let names: Vec<String> =
        records.iter().filter(is_measured).map(|record| record.name.clone()).collect();
    let (compared, names): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| brokers::names::is_compared(name));
    let mut found = if names.is_empty() {
        Vec::new()
    } else {
        let named = targets::select(&names, &Filters::default(), &global.impls)?;
        target::find(named, global)?
    };
    if !compared.is_empty() {
        found.extend(brokers::find(options)?);
    }
    records
        .iter()
        .map(|record| {
            if !is_measured(&record) {
                return Ok(Target {
                    record: record.clone(),
                    access: None,
                    wire: WireFormat::Zillions,
                });
            }
            let is_it = |it: &Candidate| it.target.record.name == record.name;
            let today = found.iter().find(|it| is_it(it)).map(|it| it.target.clone());
            let unchanged = today
                .filter(|today| today.record.program_hash == record.program_hash)
                .filter(|today| today.access.is_some());
            match unchanged {
                Some(today) => Ok(Target { record: record.clone(), ..today }),
                None => Err(Failure::usage(format!(
                    "the run cannot be resumed: the program of '{}' has changed since; \
                     measure anew without --resume",
                    record.name
                ))),
            }
        })
        .collect()
}
