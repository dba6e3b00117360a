//! How long a run and each of its cases may take, and how much load is enough. Knows
//! no case and no server.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use zillions_harness::MachineTime;

use crate::options::Options;
use crate::verdict::Stop;

/// Time for one target after which nothing new is begun once a case has failed: a server
/// that is wrong in many places makes the suite wait in each.
const TIME_LIMIT_FAILED: Duration = Duration::from_secs(110);
/// Time for one target after which cases that wait are aborted once one has failed.
const TIME_LIMIT_FAILED_WAITING: Duration = Duration::from_secs(160);
/// One case may take this fraction of the time for a target, as its denominator.
const CASE_PART: u32 = 4;
/// How often to look at the machine.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Sum of the time-outs that were hit, counted in patiences, after which patience is
/// reduced: the run has failed by then, and the rest should not take all afternoon.
const TIMEOUTS_HIT_MAX: u32 = 3;
/// The fraction of patience that is left then.
const PATIENCE_REDUCED: f64 = 0.3;
/// Starts that may fail before the rest of the suite is skipped, as long as
/// none has succeeded.
const FAILED_STARTS_MAX: u32 = 2;

/// How much load is enough.
#[derive(Debug, Clone, Copy)]
pub struct Volume {
    /// Deliveries, after which it ends.
    pub deliveries: u64,
    /// Time, after which it ends, too.
    pub time: Duration,
}

/// The limits of one run of the suite, and what of them has been used up.
#[derive(Debug)]
pub struct RunLimits {
    options: Options,
    clock: Mutex<Clock>,
    timeouts_hit_ms: AtomicU64,
    starts: AtomicU32,
    starts_failed: AtomicU32,
    a_case_failed: AtomicBool,
    /// Whether that counts against the target, as a known failure does not.
    a_failure_counts: AtomicBool,
}

/// The time that a run has used: less than went by, where others took processors.
#[derive(Debug)]
struct Clock {
    machine: MachineTime,
    looked: Instant,
    used: Duration,
}

impl Clock {
    fn begin() -> Self {
        Self { machine: MachineTime::begin(), looked: Instant::now(), used: Duration::ZERO }
    }

    fn look(&mut self) -> Duration {
        if self.looked.elapsed() > LOOK_INTERVAL {
            self.used = self.used.max(self.machine.look());
            self.looked = Instant::now();
        }
        self.used
    }
}

impl RunLimits {
    /// The limits of a run that begins now.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            clock: Mutex::new(Clock::begin()),
            timeouts_hit_ms: AtomicU64::new(0),
            starts: AtomicU32::new(0),
            starts_failed: AtomicU32::new(0),
            a_case_failed: AtomicBool::new(false),
            a_failure_counts: AtomicBool::new(false),
        }
    }

    /// How long to wait for what must come.
    pub fn patience(&self) -> Duration {
        let patience = self.options.patience;
        let hit = Duration::from_millis(self.timeouts_hit_ms.load(Ordering::Relaxed));
        if hit < patience * TIMEOUTS_HIT_MAX {
            patience
        } else {
            patience.mul_f64(PATIENCE_REDUCED)
        }
    }

    /// The volume that was asked for, where `deliveries` and `seconds` are
    /// what a default run does. A slow server ends by time, a fast one by number.
    pub fn volume(&self, deliveries: u64, seconds: f64) -> Volume {
        let factor = f64::from(self.options.rounds.max(1));
        let factor = if self.options.quick { factor / 4.0 } else { factor };
        Volume {
            deliveries: (deliveries as f64 * factor) as u64,
            time: Duration::from_secs_f64(seconds * factor),
        }
    }

    /// Counts a wait of `time` that ended by its time-out.
    pub(crate) fn timeout_hit(&self, time: Duration) {
        self.timeouts_hit_ms.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Counts a server that got ready.
    pub(crate) fn server_started(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a server that did not.
    pub(crate) fn server_failed(&self) {
        self.starts_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether no server has got ready so far.
    pub(crate) fn none_started(&self) -> bool {
        self.starts.load(Ordering::Relaxed) == 0
    }

    /// Notes that a case has failed: less time is left for the others.
    pub(crate) fn case_failed(&self) {
        self.a_case_failed.store(true, Ordering::Relaxed);
    }

    /// Notes that a case has failed, or could not be run, and that this counts.
    pub(crate) fn failure_counts(&self) {
        self.a_failure_counts.store(true, Ordering::Relaxed);
    }

    /// How much of its time the run has used.
    pub(crate) fn used(&self) -> Duration {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).look()
    }

    /// Whether a case may go on waiting that began when the run had used `since`.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check_time(&self, since: Duration) -> Result<(), OutOfTime> {
        let used = self.used();
        let failed = self.a_case_failed.load(Ordering::Relaxed);
        let case_max = self.options.time_limit / CASE_PART * self.options.rounds.max(1);
        if used.saturating_sub(since) > case_max {
            return Err(OutOfTime::Case(case_max));
        }
        let limit_waiting = self.options.time_limit.min(TIME_LIMIT_FAILED_WAITING);
        if failed && used > limit_waiting {
            return Err(OutOfTime::Target(limit_waiting));
        }
        Ok(())
    }

    /// Why no further case should begin, if that is so.
    pub(crate) fn over(&self) -> Option<Stop> {
        let failed = self.starts_failed.load(Ordering::Relaxed);
        if self.none_started() && failed >= FAILED_STARTS_MAX {
            return Some(Stop::Skip("the server does not start".to_owned()));
        }
        let a_case_failed = self.a_case_failed.load(Ordering::Relaxed);
        if self.options.fail_fast && self.a_failure_counts.load(Ordering::Relaxed) {
            return Some(Stop::Skip("another case has failed before".to_owned()));
        }
        let limit = self.options.time_limit;
        let limit = if a_case_failed { limit.min(TIME_LIMIT_FAILED) } else { limit };
        // Once a case has failed the limit is fixed.
        let remedy = if a_case_failed { "" } else { "raise them with --time-limit, or " };
        (self.used() > limit).then(|| {
            Stop::Inconclusive(format!(
                "not run: the {} s for one target were used up by other cases; {remedy}run this \
                 case alone with --case",
                limit.as_secs()
            ))
        })
    }
}

/// What has come to its end while a case waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutOfTime {
    /// The time for one case.
    Case(Duration),
    /// The time for a target of which a case has failed.
    Target(Duration),
}

impl OutOfTime {
    /// The case is inconclusive: the server did `done` until then.
    pub(crate) fn stop(self, done: &str) -> Stop {
        let (time, what, remedy) = match self {
            Self::Case(time) => (time, "one case", "give it more with --time-limit"),
            Self::Target(time) => {
                (time, "a target of which a case has failed", "run this case alone with --case")
            }
        };
        Stop::Inconclusive(format!(
            "stopped after the {} s for {what}, while the server was still at work ({done}): \
             {remedy}",
            time.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TIME_LIMIT_DEFAULT;

    fn limits(options: Options) -> RunLimits {
        RunLimits::new(options)
    }

    /// The limits of a run that began so many seconds ago.
    fn begun(seconds: u64, a_case_failed: bool) -> RunLimits {
        let clock = Clock { used: Duration::from_secs(seconds), ..Clock::begin() };
        let limits = RunLimits { clock: Mutex::new(clock), ..limits(Options::default()) };
        limits.a_case_failed.store(a_case_failed, Ordering::Relaxed);
        limits
    }

    #[test]
    fn patience_is_reduced_after_three_time_outs() {
        let limits = limits(Options::default());
        limits.timeout_hit(Duration::from_millis(29_999));
        assert_eq!(limits.patience(), Duration::from_secs(10));
        limits.timeout_hit(Duration::from_millis(1));
        assert_eq!(limits.patience(), Duration::from_secs(3));
    }

    #[test]
    fn a_volume_grows_with_rounds_and_is_a_quarter_in_the_quick_selection() {
        let volume = |quick, rounds| {
            let volume = limits(Options { quick, rounds, ..Options::default() }).volume(4000, 2.0);
            (volume.deliveries, volume.time.as_millis())
        };
        assert_eq!(volume(false, 1), (4000, 2000));
        assert_eq!(volume(true, 1), (1000, 500));
        assert_eq!(volume(false, 3), (12_000, 6000));
        assert_eq!(volume(false, 0), (4000, 2000), "no round at all counts as one");
    }

    #[test]
    fn nothing_is_begun_once_the_time_for_a_target_is_over() {
        let failed = TIME_LIMIT_FAILED.as_secs();
        let flawless = TIME_LIMIT_DEFAULT.as_secs();
        assert!(begun(failed - 5, true).over().is_none());
        assert!(matches!(begun(failed + 1, true).over(), Some(Stop::Inconclusive(_))));
        assert!(begun(failed + 1, false).over().is_none());
        assert!(matches!(begun(flawless + 1, false).over(), Some(Stop::Inconclusive(_))));
    }

    #[test]
    fn nothing_is_begun_when_no_server_starts_or_one_failure_is_enough() {
        let fail_fast = limits(Options { fail_fast: true, ..Options::default() });
        assert!(fail_fast.over().is_none());
        fail_fast.case_failed();
        assert!(fail_fast.over().is_none(), "a known failure");
        fail_fast.failure_counts();
        assert!(matches!(fail_fast.over(), Some(Stop::Skip(_))));
        let failing = begun(0, true);
        for _ in 0..FAILED_STARTS_MAX {
            assert!(failing.over().is_none());
            failing.server_failed();
        }
        assert!(matches!(failing.over(), Some(Stop::Skip(_))));
        failing.server_started();
        assert!(failing.over().is_none());
    }

    #[test]
    fn a_case_that_waits_for_minutes_is_out_of_time() {
        let case = TIME_LIMIT_DEFAULT / CASE_PART;
        let checked = |options: Options, used: Duration| {
            let clock = Clock { used, ..Clock::begin() };
            RunLimits { clock: Mutex::new(clock), ..limits(options) }.check_time(Duration::ZERO)
        };
        let longer = case + Duration::from_millis(1);
        assert_eq!(checked(Options::default(), case), Ok(()));
        assert_eq!(checked(Options::default(), longer), Err(OutOfTime::Case(case)));
        let twice = Options { rounds: 2, ..Options::default() };
        assert_eq!(checked(twice.clone(), longer), Ok(()));
        assert_eq!(checked(twice, longer * 2), Err(OutOfTime::Case(case * 2)));
        let short = Options { time_limit: Duration::from_secs(40), ..Options::default() };
        assert!(checked(short, Duration::from_secs(11)).is_err());
    }

    #[test]
    fn one_that_waits_once_another_has_failed_is_out_of_time_sooner() {
        let seconds = TIME_LIMIT_FAILED_WAITING.as_secs();
        let checked =
            |used, failed| begun(used, failed).check_time(Duration::from_secs(used - 1)).is_ok();
        assert!(checked(seconds + 1, false) && checked(seconds - 5, true));
        assert!(!checked(seconds + 1, true));
    }

    #[test]
    fn the_reason_says_what_was_done_and_how_to_give_more_time() {
        let Stop::Inconclusive(reason) =
            OutOfTime::Case(Duration::from_secs(150)).stop("40 deliveries a second")
        else {
            panic!("it is inconclusive");
        };
        assert_eq!(
            reason,
            "stopped after the 150 s for one case, while the server was still at work (40 \
             deliveries a second): give it more with --time-limit"
        );
        let Stop::Inconclusive(reason) = OutOfTime::Target(Duration::from_secs(160)).stop("none")
        else {
            panic!("it is inconclusive");
        };
        assert!(reason.ends_with("(none): run this case alone with --case"), "{reason}");
    }
}
