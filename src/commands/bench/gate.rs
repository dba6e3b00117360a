//! Whether a server keeps the spec well enough to be measured.

use zillions_bench::Gate;
use zillions_conformance::{Options, TargetReport, Unobserved, Verdict};
use zillions_report::record::TargetRecord;

use super::target::Candidate;

/// Runs the quick selection of the conformance suite on the target of `record`.
///
/// What the suite could not decide closes no gate: every delivery is verified again in the trials.
pub(super) fn check(record: &TargetRecord, candidates: &[Candidate]) -> Gate {
    let candidate = candidates.iter().find(|it| it.target.record.name == record.name);
    if candidate.is_some_and(|it| it.target.launch.as_ref().is_some_and(|it| it.broker.is_some())) {
        // The suite does not speak its protocol. Every delivery is verified in the trials.
        return Gate::Open;
    }
    let Some(subject) = candidate.and_then(|candidate| candidate.subject.as_ref()) else {
        return Gate::Closed("it cannot be started".to_owned());
    };
    let options = Options { quick: true, ..Options::default() };
    match zillions_conformance::run(subject, &options, &mut Unobserved) {
        Ok(report) => judge(&report),
        Err(error) => Gate::Closed(error.to_string()),
    }
}

fn judge(report: &TargetReport) -> Gate {
    match report.verdict {
        Verdict::Fail | Verdict::Error => Gate::Closed(failures(report)),
        _ => Gate::Open,
    }
}

/// The cases that closed the gate, the first with what it says.
fn failures(report: &TargetReport) -> String {
    let failed: Vec<_> = report
        .cases
        .iter()
        .filter(|case| case.counts(false) || case.verdict == Verdict::Error)
        .collect();
    let ids: Vec<_> = failed.iter().map(|case| format!("{} ({})", case.id, case.clause)).collect();
    let detail = failed.first().map_or("", |case| case.detail.as_str());
    if detail.is_empty() { ids.join(", ") } else { format!("{}: {detail}", ids.join(", ")) }
}
