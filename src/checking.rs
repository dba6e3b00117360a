//! Checking servers against the spec: what `check` and `bench` share.

use zillions_conformance::{Expectations, KnownFailure, Options, Target, TargetReport, case_ids};
use zillions_harness::manifest::Entry;

use crate::failure::Failure;
use crate::progress;

/// Runs the suite on one target, with its progress on standard error.
pub(crate) fn check(target: &Target, options: &Options) -> Result<TargetReport, Failure> {
    let mut display = progress::Suite::new(&target.name);
    let report = zillions_conformance::run(target, options, &mut display);
    display.finish();
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
