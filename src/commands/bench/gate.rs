//! Whether a server keeps the spec well enough to be measured.

use zillions_bench::{Access, Gate, program};
use zillions_conformance::{CaseReport, Options, Target as CheckTarget};
use zillions_conformance::{TargetReport, Unobserved, Verdict};
use zillions_report::record::{CaseRecord, ConformanceRecord, TargetRecord};
use zillions_source::hash_of_texts;

use super::remote;
use super::target::Candidate;
use crate::cache::Cache;

/// Name and version of what is kept of a check.
const SCHEMA: &str = "zillions.checked/2";

/// Asks the conformance suite, unless the same program has passed the same suite before.
pub(super) struct Checks {
    /// Where passes are kept; `None` without a cache folder, or with `--fresh`.
    cache: Option<Cache>,
    /// Of the suite, which is part of this executable.
    suite_hash: String,
}

impl Checks {
    /// Checks that may remember and recall passes; with `fresh` they do not.
    pub(super) fn new(fresh: bool) -> Self {
        let suite_hash =
            std::env::current_exe().ok().and_then(|path| program::hash_of_file(&path).ok());
        // Without a hash nothing could be told apart.
        let cache = Cache::open("checked", SCHEMA).filter(|_| !fresh && suite_hash.is_some());
        Self { cache, suite_hash: suite_hash.unwrap_or_default() }
    }

    /// Runs the quick selection of the suite on the target of `record`.
    ///
    /// What the suite could not decide closes no gate: every delivery is verified again in the
    /// trials.
    pub(super) fn check(&self, record: &TargetRecord, candidates: &[Candidate]) -> Gate {
        let candidate = candidates.iter().find(|it| it.target.record.name == record.name);
        let access = candidate.and_then(|candidate| candidate.target.access.as_ref());
        let launch = access.and_then(Access::launch);
        if launch.is_some_and(|launch| launch.broker.is_some()) {
            // The suite does not speak its protocol. Every delivery is verified in the trials.
            return Gate::default();
        }
        let started = match access {
            Some(Access::Remote(remote)) => match remote::start_to_check(remote) {
                Ok((server, address)) => Some((server, CheckTarget::connect(address))),
                Err(reason) => return refused(reason),
            },
            _ => None,
        };
        let known = candidate.and_then(|candidate| candidate.check_target.as_ref());
        let Some(target) = started.as_ref().map(|(_, target)| target).or(known) else {
            return refused("it cannot be started".to_owned());
        };
        // What runs at an address today need not be what ran there yesterday.
        let cache = self.cache.as_ref().filter(|_| launch.is_some());
        let name = self.file_name(record);
        if let Some(conformance) = cache.and_then(|cache| recall(cache, &name)) {
            return Gate { conformance: Some(conformance), refusal: None };
        }
        let options = Options { quick: true, ..Options::default() };
        let report = match zillions_conformance::run(target, &options, &mut Unobserved) {
            Ok(report) => report,
            Err(error) => return refused(error.to_string()),
        };
        let conformance = conformance(&report);
        // Only a pass is kept: what failed may have failed for want of time.
        if let (Some(cache), Verdict::Pass) = (cache, report.verdict) {
            cache.remember(&name, &conformance);
        }
        let is_refused = matches!(report.verdict, Verdict::Fail | Verdict::Error);
        Gate { conformance: Some(conformance), refusal: is_refused.then(|| failures(&report)) }
    }

    /// Another program, tool chain or suite has another name.
    fn file_name(&self, record: &TargetRecord) -> String {
        let what = [
            self.suite_hash.as_str(),
            &record.program_hash,
            &record.command.join("\0"),
            &record.toolchain.join("\0"),
        ];
        format!("{}.json", hash_of_texts(what))
    }
}

fn recall(cache: &Cache, name: &str) -> Option<ConformanceRecord> {
    let conformance: ConformanceRecord = cache.recall(name)?;
    Some(ConformanceRecord { cached: true, ..conformance })
}

fn refused(reason: String) -> Gate {
    Gate { conformance: None, refusal: Some(reason) }
}

fn conformance(report: &TargetReport) -> ConformanceRecord {
    let count = |verdict| report.count(verdict) as u32;
    let did_not_pass = |case: &&CaseReport| {
        matches!(
            case.verdict,
            Verdict::Fail | Verdict::Nonstrict | Verdict::Inconclusive | Verdict::Error
        )
    };
    ConformanceRecord {
        verdict: report.verdict.as_str().to_owned(),
        quick: true,
        cached: false,
        suite: env!("CARGO_PKG_VERSION").to_owned(),
        passed: count(Verdict::Pass),
        failed: count(Verdict::Fail),
        nonstrict: count(Verdict::Nonstrict),
        info: count(Verdict::Info),
        inconclusive: count(Verdict::Inconclusive),
        skipped: count(Verdict::Skip),
        errors: count(Verdict::Error),
        findings: report.cases.iter().filter(did_not_pass).map(finding).collect(),
    }
}

fn finding(case: &CaseReport) -> CaseRecord {
    CaseRecord {
        id: case.id.clone(),
        clause: case.clause.clone(),
        verdict: case.verdict.as_str().to_owned(),
        detail: case.detail.clone(),
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
