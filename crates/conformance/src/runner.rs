//! Runs cases on a server: side by side where they may, and never for ever.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use crate::case::{Case, Run};
use crate::cases::{SelectionError, select};
use crate::context::{CaseContext, Shared};
use crate::options::Options;
use crate::report::{CaseReport, TargetReport, case_report, target_verdict};
use crate::target::{Access, Target};
use crate::verdict::{Level, Outcome, Stop, Verdict};

/// Something that happened during a run.
#[derive(Debug)]
pub enum SuiteEvent<'a> {
    /// The cases that will be run.
    Started {
        /// On what.
        target: &'a Target,
        /// In the order of the suite.
        cases: &'a [&'static Case],
    },
    /// A case begins.
    CaseStarted {
        /// Which.
        case: &'static Case,
    },
    /// A case has ended.
    CaseFinished {
        /// How.
        report: &'a CaseReport,
    },
}

/// Watches a run: a progress display, or a test.
pub trait Observer {
    /// Called on the thread that called [`run`], in the order of time.
    fn event(&mut self, event: SuiteEvent<'_>);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn event(&mut self, _event: SuiteEvent<'_>) {}
}

enum Message {
    Started(&'static Case),
    Finished(usize, Box<CaseReport>),
}

/// How many times more cases run side by side if the server takes its time and
/// does nothing meanwhile: they mostly wait for that.
const JOBS_FACTOR_WAITING: usize = 4;

/// Runs the cases that `options` choose on `target`.
///
/// The first case runs alone, so that a server that does not start at all is
/// found out at once; those that measure time or memory run at the end, with none beside
/// them but those that wait. Otherwise those that decide most come first: what a slow server
/// has no time for is then the least.
///
/// # Errors
/// When the patterns for cases choose nothing.
pub fn run(
    target: &Target,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<TargetReport, SelectionError> {
    let cases = select(&options.case_globs, options.quick)?;
    let began = Instant::now();
    observer.event(SuiteEvent::Started { target, cases: &cases });
    let shared = Arc::new(Shared::new(target.clone(), options.clone()));
    let mut reports: Vec<Option<CaseReport>> = vec![None; cases.len()];

    let indices = in_running_order(&cases);
    let (first, rest) = indices.split_at(1);
    let (alone, together): (Vec<usize>, Vec<usize>) =
        rest.iter().partition(|&&index| cases[index].traits.alone);
    let (idling, busy): (Vec<usize>, Vec<usize>) =
        together.iter().partition(|&&index| cases[index].traits.idles);
    let jobs = match target.access {
        Access::Launch(_) => options.jobs.max(1),
        // All cases share the one server that runs there.
        Access::Connect(_) => 1,
    };
    let mut run =
        |schedule: Schedule<'_>| run_schedule(&shared, &cases, &schedule, &mut reports, observer);
    run(Schedule { beside: &[], batches: &[Batch::of(first, 1)] });
    let alone = Batch { starts_ahead: true, ..Batch::of(&alone, 1) };
    if jobs == 1 {
        run(Schedule {
            beside: &[],
            batches: &[Batch::of(&busy, 1), Batch::of(&idling, 1), alone],
        });
    } else {
        let jobs = if shared.waits_mostly() { jobs * JOBS_FACTOR_WAITING } else { jobs };
        run(Schedule { beside: &idling, batches: &[Batch::of(&busy, jobs), alone] });
    }
    shared.servers.end_those_ahead();

    let reports: Vec<CaseReport> = reports.into_iter().flatten().collect();
    Ok(TargetReport {
        name: target.name.clone(),
        command: target.command(),
        verdict: target_verdict(&reports, options.strict),
        seconds: began.elapsed().as_secs_f64(),
        cases: reports,
    })
}

/// The cases by index: the very first, then those of the quick selection, which show most of
/// what goes wrong, and then by how much they weigh.
fn in_running_order(cases: &[&'static Case]) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..cases.len()).collect();
    indices[1..].sort_by_key(|&index| {
        let case = cases[index];
        (!case.traits.quick, case.level != Level::Must)
    });
    indices
}

/// Cases, by index: those that mostly wait, all at once, beside one batch after the other.
struct Schedule<'a> {
    beside: &'a [usize],
    batches: &'a [Batch<'a>],
}

/// Cases, by index, and how many of them run side by side.
struct Batch<'a> {
    cases: &'a [usize],
    jobs: usize,
    /// Whether servers that take their time to start are started for all of them at once.
    starts_ahead: bool,
}

impl<'a> Batch<'a> {
    const fn of(cases: &'a [usize], jobs: usize) -> Self {
        Self { cases, jobs, starts_ahead: false }
    }

    fn run(&self, shared: &Arc<Shared>, run_one: &(dyn Fn(usize) + Sync)) {
        if self.starts_ahead && shared.waits_mostly() && shared.limits.over().is_none() {
            shared.servers.start_ahead(self.cases.len());
        }
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..self.jobs.min(self.cases.len()) {
                scope.spawn(|| {
                    while let Some(&index) = self.cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        run_one(index);
                    }
                });
            }
        });
    }
}

fn run_schedule(
    shared: &Arc<Shared>,
    cases: &[&'static Case],
    schedule: &Schedule<'_>,
    reports: &mut [Option<CaseReport>],
    observer: &mut dyn Observer,
) {
    let (sender, receiver) = mpsc::channel();
    let run_one = move |index: usize| {
        // The receiver outlives the threads of the scope below.
        let _ = sender.send(Message::Started(cases[index]));
        let report = run_case(shared, cases[index]);
        let _ = sender.send(Message::Finished(index, Box::new(report)));
    };
    thread::scope(|scope| {
        scope.spawn(move || {
            let run_one = &run_one;
            thread::scope(|scope| {
                for &index in schedule.beside {
                    scope.spawn(move || run_one(index));
                }
                for batch in schedule.batches {
                    batch.run(shared, run_one);
                }
            });
        });
        for message in receiver {
            match message {
                Message::Started(case) => observer.event(SuiteEvent::CaseStarted { case }),
                Message::Finished(index, report) => {
                    observer.event(SuiteEvent::CaseFinished { report: &report });
                    reports[index] = Some(*report);
                }
            }
        }
    });
}

fn run_case(shared: &Arc<Shared>, case: &'static Case) -> CaseReport {
    let began = Instant::now();
    let outcome = match obstacle(shared, case) {
        Some(stop) => Err(stop),
        None => run_guarded(context_of(shared, case), case),
    };
    let options = &shared.options;
    let rounds =
        if options.rounds == 1 { String::new() } else { format!(" --rounds {}", options.rounds) };
    let rerun = format!(
        "zillions check {} --case {} --seed {}{rounds}",
        shared.target.argument, case.id, options.seed
    );
    let known = shared.target.expectations.reason(case.id);
    let report = case_report(case, outcome, began.elapsed().as_secs_f64(), known, rerun);
    if report.failure.is_some() {
        shared.limits.case_failed();
    }
    if report.counts(options.strict) || report.verdict == Verdict::Error {
        shared.limits.failure_counts();
    }
    report
}

fn context_of(shared: &Arc<Shared>, case: &Case) -> CaseContext {
    CaseContext::new(Arc::clone(shared), case.id, case.level, case.traits)
}

fn obstacle(shared: &Shared, case: &Case) -> Option<Stop> {
    if case.traits.launches && matches!(shared.target.access, Access::Connect(_)) {
        return Some(Stop::Skip(
            "needs a server that the suite starts: pass the executable".to_owned(),
        ));
    }
    shared.limits.over()
}

fn run_guarded(mut context: CaseContext, case: &Case) -> Outcome {
    let ended = catch_unwind(AssertUnwindSafe(|| match case.run {
        Run::WithFixture(act) => context.with_fixture(act),
        Run::WithContext(act) => act(&mut context),
    }));
    ended.unwrap_or_else(|panic| Err(Stop::Error(format!("the case panicked: {}", text(&*panic)))))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cases;

    #[test]
    fn a_panic_is_reported_in_its_own_words() {
        assert_eq!(text(&"a literal"), "a literal");
        assert_eq!(text(&"a text".to_owned()), "a text");
        assert_eq!(text(&7), "without a message");
    }

    #[test]
    fn each_case_has_a_seed_of_its_own() {
        let address = "127.0.0.1:1".parse().expect("an address");
        let shared = Arc::new(Shared::new(Target::connect(address), Options::default()));
        let context = |case: &Case| context_of(&shared, case);
        let seeds: HashSet<u64> = cases::all().iter().map(|case| context(case).seed()).collect();
        assert_eq!(seeds.len(), cases::all().len());
    }

    #[test]
    fn what_decides_most_runs_first() {
        let cases: Vec<&'static Case> = cases::all().iter().collect();
        let order = in_running_order(&cases);
        assert_eq!(order[0], 0, "the one that finds out whether the server starts");
        let place = |holds: &dyn Fn(&Case) -> bool| {
            let places: Vec<usize> =
                (1..order.len()).filter(|&place| holds(cases[order[place]])).collect();
            (places[0], places[places.len() - 1])
        };
        let quick = place(&|case| case.traits.quick);
        let must = place(&|case| !case.traits.quick && case.level == Level::Must);
        let should = place(&|case| !case.traits.quick && case.level != Level::Must);
        assert!(quick.1 < must.0 && must.1 < should.0, "{quick:?} {must:?} {should:?}");
    }

    #[test]
    fn cases_that_start_servers_are_skipped_where_one_runs() {
        let address = "127.0.0.1:1".parse().expect("an address");
        let shared = Shared::new(Target::connect(address), Options::default());
        for case in cases::all() {
            let skipped = matches!(obstacle(&shared, case), Some(Stop::Skip(_)));
            assert_eq!(skipped, case.traits.launches, "{}", case.id);
        }
    }
}
