//! What real runs report, in each of the forms.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use zillions_conformance::render::human::{Look, render};
use zillions_conformance::render::junit;
use zillions_conformance::report::json_schema;
use zillions_conformance::{
    CheckReport, Expectations, KnownFailure, Observer, Options, SuiteEvent, Target, TargetReport,
    Unobserved, Verdict, run,
};
use zillions_faulty::{Fault, Knobs, Shows};
use zillions_harness::{PortLease, Server, StartOptions};
use zillions_testing::Part;

use super::machine::Share;
use super::{launch, trial};

/// What the quick selection is allowed on a machine that does nothing else,
/// times four for one that does.
const QUICK_TIME_MAX: Duration = Duration::from_secs(4 * 5);

type Test = fn() -> Result<(), Failed>;

pub(super) fn trials() -> impl Iterator<Item = (Part, Trial)> {
    let tests: [(Part, &str, Test); 8] = [
        (Part::Short, "results with failures keep to the published schema", keep_to_the_schema),
        (Part::Short, "a failure says what a reader needs to find the bug", says_what_is_needed),
        (Part::Short, "a failure is a failure in JUnit, and a skip a skip", junit_tells_them_apart),
        (Part::Long, "a running server is checked as far as that goes", checks_a_running_server),
        (Part::Short, "an address where nobody listens is not a pass", nobody_listens),
        (Part::Short, "a server that does not start fails at once", does_not_start),
        (
            Part::Short,
            "a known failure does not count, and an outdated one is an error",
            known_failures,
        ),
        (
            Part::Short,
            "the quick selection is quick, and events are reported in order",
            quick_is_quick,
        ),
    ];
    tests.into_iter().map(|(part, name, test)| (part, trial(name, move || shared(test))))
}

fn shared(test: Test) -> Result<(), Failed> {
    let _share = Share::of_a_fault(Shows::Immediate);
    test()
}

fn check(fault: &str, cases: &[&str]) -> Result<TargetReport, Failed> {
    let fault = Fault::named(fault).ok_or("no such fault")?;
    let target = Target::launch(fault.name, launch(&Knobs::default(), Some(fault))?);
    let case_globs = cases.iter().map(|&case| case.to_owned()).collect();
    Ok(run(&target, &Options { case_globs, ..Options::default() }, &mut Unobserved)?)
}

fn demand(holds: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.to_string().into()) }
}

fn faulty_report() -> Result<CheckReport, Failed> {
    let target = check("double-echo", &["fanout/two", "frame/empty-message", "start/ipv6"])?;
    Ok(CheckReport::new(1, false, vec![target]))
}

fn keep_to_the_schema() -> Result<(), Failed> {
    let schema: Value = serde_json::from_str(&json_schema())?;
    let validator = jsonschema::validator_for(&schema)?;
    let mut document = serde_json::to_value(faulty_report()?)?;
    let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
    demand(errors.is_empty(), errors.join("\n"))?;
    document["targets"][0]["verdict"] = "excellent".into();
    demand(!validator.is_valid(&document), "the schema accepts a verdict that does not exist")
}

fn says_what_is_needed() -> Result<(), Failed> {
    let text = render(&faulty_report()?, Look { colours: false, every_case: false });
    for needed in [
        "fail         fanout/two",
        "FANOUT-1: Each message goes to every connected client",
        "expected    ",
        "actual      ",
        // Which of the two sees it first is chance.
        "(client, from 127.0.0.1:",
        "received last (offset, bytes):",
        "rerun       zillions check double-echo --case fanout/two --seed 1",
        "double-echo: fail (",
    ] {
        demand(text.contains(needed), format!("'{needed}' is missing in:\n{text}"))?;
    }
    Ok(())
}

fn junit_tells_them_apart() -> Result<(), Failed> {
    let mut report = faulty_report()?;
    report.targets[0].cases[0].verdict = Verdict::Skip;
    report.targets[0].cases[0].detail = "no IPv6 <here>".to_owned();
    let text = junit::render(&report)?;
    for needed in ["<failure ", "<skipped ", "no IPv6 &lt;here&gt;", "failures=\"2\""] {
        demand(text.contains(needed), format!("'{needed}' is missing in:\n{text}"))?;
    }
    demand(!text.contains("<error"), format!("there was no error:\n{text}"))
}

fn checks_a_running_server() -> Result<(), Failed> {
    let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    let launch = launch(&Knobs::default(), None)?;
    let server = Server::start(&launch, &lease.address().to_string(), &StartOptions::default())?;
    let case_globs = ["frame/*", "order/with-drops", "life/*"].map(str::to_owned).to_vec();
    let options = Options { case_globs, ..Options::default() };
    let report = run(&Target::connect(server.address()), &options, &mut Unobserved)?;
    demand(report.verdict == Verdict::Pass, format!("{report:#?}"))?;
    let skipped: Vec<&str> = report
        .cases
        .iter()
        .filter(|case| case.verdict == Verdict::Skip)
        .map(|case| case.id.as_str())
        .collect();
    let expected = [
        "life/stops-on-sigterm",
        "life/stops-in-quiet",
        "life/leaves-no-process",
        "life/restarts-at-once",
        "life/idle-cpu",
        "life/idle-cpu-of-odd-clients",
        "life/idle-cpu-without-descriptors",
    ];
    demand(skipped == expected, format!("skipped: {skipped:?}"))
}

fn nobody_listens() -> Result<(), Failed> {
    let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    let options = Options { case_globs: vec!["fanout/*".to_owned()], ..Options::default() };
    let report = run(&Target::connect(lease.address()), &options, &mut Unobserved)?;
    demand(report.verdict == Verdict::Error, format!("{report:#?}"))?;
    let detail = &report.cases[0].detail;
    demand(detail.starts_with("no server can be reached at 127.0.0.1:"), detail)
}

fn does_not_start() -> Result<(), Failed> {
    let target = Target::launch("false", zillions_harness::Launch::executable("/bin/false")?);
    let report = run(&target, &Options::default(), &mut Unobserved)?;
    demand(report.verdict == Verdict::Fail, format!("{report:#?}"))?;
    demand(report.seconds < 5.0, format!("took {} s", report.seconds))?;
    let failed = report.count(Verdict::Fail);
    // The first, and those that begin beside one another before it is known.
    demand(failed <= 20, format!("{failed} cases failed where one says it all"))
}

fn known_failures() -> Result<(), Failed> {
    let case = "start/says-why";
    let known = KnownFailure { case: case.to_owned(), reason: "it is silent".to_owned() };
    let expectations = Expectations::new(vec![known], &[case])?;
    let options = Options { case_globs: vec![case.to_owned()], strict: true, ..Options::default() };
    for (fault, verdict) in [(Some("silent-on-failure"), Verdict::Pass), (None, Verdict::Error)] {
        let fault = fault.and_then(Fault::named);
        let target = Target::launch("server", launch(&Knobs::default(), fault)?)
            .expecting(expectations.clone());
        let report = run(&target, &options, &mut Unobserved)?;
        demand(report.verdict == verdict, format!("{report:#?}"))?;
    }
    Ok(())
}

#[derive(Default)]
struct Told {
    announced: usize,
    running: Vec<&'static str>,
    finished: usize,
    out_of_order: Option<String>,
}

impl Observer for Told {
    fn event(&mut self, event: SuiteEvent<'_>) {
        match event {
            SuiteEvent::Started { cases, .. } => self.announced = cases.len(),
            SuiteEvent::CaseStarted { case } => self.running.push(case.id),
            SuiteEvent::CaseFinished { report } => {
                self.finished += 1;
                let before = self.running.len();
                self.running.retain(|id| *id != report.id);
                if self.running.len() + 1 != before {
                    self.out_of_order = Some(report.id.clone());
                }
            }
        }
    }
}

fn quick_is_quick() -> Result<(), Failed> {
    let target = Target::launch("correct", launch(&Knobs::default(), None)?);
    let mut told = Told::default();
    let began = Instant::now();
    let report = run(&target, &Options { quick: true, ..Options::default() }, &mut told)?;
    demand(report.verdict == Verdict::Pass, format!("{report:#?}"))?;
    let took = began.elapsed();
    demand(took < QUICK_TIME_MAX, format!("the quick selection took {took:?}"))?;
    demand(told.announced == report.cases.len(), "not all cases were announced")?;
    demand(told.finished == told.announced, "not all cases were told to have finished")?;
    demand(
        told.out_of_order.is_none(),
        format!("finished without a start: {:?}", told.out_of_order),
    )
}
