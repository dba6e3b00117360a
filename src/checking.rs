//! Checking servers against the spec: what `check` and `bench` share.

use zillions_conformance::{
    Expectations, KnownFailure, Options, Target, TargetReport, Verdict, case_ids,
};
use zillions_harness::manifest::Entry;

use crate::failure::Failure;
use crate::progress;

/// Runs the suite on one target after the other, with progress on standard error. With
/// `fail_fast` the first that fails is the last. Returns the names of those that are left, too.
pub(crate) fn check_all(
    targets: &[Target],
    options: &Options,
) -> Result<(Vec<TargetReport>, Vec<String>), Failure> {
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    let mut reports: Vec<TargetReport> = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        let display = progress::Suite::of_several(&names, index);
        let report = run_suite(target, options, display)?;
        let failed = matches!(report.verdict, Verdict::Fail | Verdict::Error);
        reports.push(report);
        if options.fail_fast && failed {
            break;
        }
    }
    let left = names[reports.len()..].iter().map(|name| (*name).to_owned()).collect();
    Ok((reports, left))
}

fn run_suite(
    target: &Target,
    options: &Options,
    mut display: progress::Suite,
) -> Result<TargetReport, Failure> {
    let report = zillions_conformance::run(target, options, &mut display);
    display.finish(report.as_ref().ok());
    report.map_err(Failure::usage)
}

/// An entry of the gallery as a target, with its known failures.
pub(crate) fn target_of(entry: &Entry) -> Result<Target, String> {
    let launch = entry.launch().map_err(|error| error.to_string())?;
    let known = entry.manifest.known_failures.iter();
    let known = known.map(|it| KnownFailure { case: it.case.clone(), reason: it.reason.clone() });
    let expectations = Expectations::new(known.collect(), &case_ids())
        .map_err(|error| format!("{}/impl.toml: {error}", entry.directory.display()))?;
    Ok(Target::launch(&entry.name, launch).expecting(expectations))
}
