//! How long a run and each of its cases may take, and how much load is enough. Knows
//! no case and no server.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::options::{
    CASE_SECONDS_MAX, Options, SUITE_SECONDS_MAX, SUITE_SECONDS_MAX_FLAWLESS,
    SUITE_SECONDS_MAX_WAITING,
};
use crate::verdict::Stop;

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
    began: Instant,
    timeouts_hit_ms: AtomicU64,
    starts: AtomicU32,
    starts_failed: AtomicU32,
    a_case_failed: AtomicBool,
}

impl RunLimits {
    /// The limits of a run that begins now.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            began: Instant::now(),
            timeouts_hit_ms: AtomicU64::new(0),
            starts: AtomicU32::new(0),
            starts_failed: AtomicU32::new(0),
            a_case_failed: AtomicBool::new(false),
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

    /// Whether a case that has taken `time` so far may go on waiting.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check_time(&self, time: Duration) -> Result<(), Stop> {
        let case_max = CASE_SECONDS_MAX * u64::from(self.options.rounds.max(1));
        let failed = self.a_case_failed.load(Ordering::Relaxed);
        let reason = if time > Duration::from_secs(case_max) {
            format!("aborted after {case_max} s: the server answers, but too slowly")
        } else if failed && self.began.elapsed() > Duration::from_secs(SUITE_SECONDS_MAX_WAITING) {
            format!(
                "aborted: the {SUITE_SECONDS_MAX_WAITING} s for one target were used up; \
                 run it alone with --case"
            )
        } else {
            return Ok(());
        };
        Err(Stop::Inconclusive(reason))
    }

    /// Why no further case should begin, if that is so.
    pub(crate) fn over(&self) -> Option<Stop> {
        let failed = self.starts_failed.load(Ordering::Relaxed);
        if self.none_started() && failed >= FAILED_STARTS_MAX {
            return Some(Stop::Skip("the server does not start".to_owned()));
        }
        let a_case_failed = self.a_case_failed.load(Ordering::Relaxed);
        if self.options.fail_fast && a_case_failed {
            return Some(Stop::Skip("another case has failed".to_owned()));
        }
        let seconds_max =
            if a_case_failed { SUITE_SECONDS_MAX } else { SUITE_SECONDS_MAX_FLAWLESS };
        (self.began.elapsed() > Duration::from_secs(seconds_max)).then(|| {
            Stop::Inconclusive(format!(
                "not run: the {seconds_max} s for one target were used up by other cases; \
                 run it alone with --case"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(options: Options) -> RunLimits {
        RunLimits::new(options)
    }

    /// The limits of a run that began so many seconds ago.
    fn begun(seconds: u64, a_case_failed: bool) -> RunLimits {
        let began = Instant::now().checked_sub(Duration::from_secs(seconds)).expect("a time");
        let limits = RunLimits { began, ..limits(Options::default()) };
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
        let (failed, flawless) = (SUITE_SECONDS_MAX, SUITE_SECONDS_MAX_FLAWLESS);
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
    fn a_case_that_waits_for_minutes_is_aborted() {
        let all_time = Duration::from_secs(CASE_SECONDS_MAX);
        let longer = all_time + Duration::from_millis(1);
        let usual = limits(Options::default());
        assert!(usual.check_time(all_time).is_ok());
        assert!(matches!(usual.check_time(longer), Err(Stop::Inconclusive(_))));
        let longer_rounds = limits(Options { rounds: 2, ..Options::default() });
        assert!(longer_rounds.check_time(longer).is_ok());
        assert!(longer_rounds.check_time(longer * 2).is_err());
        let waiting = |seconds, failed| begun(seconds, failed).check_time(Duration::from_secs(1));
        assert!(waiting(SUITE_SECONDS_MAX_WAITING + 1, false).is_ok());
        assert!(waiting(SUITE_SECONDS_MAX_WAITING - 5, true).is_ok());
        assert!(waiting(SUITE_SECONDS_MAX_WAITING + 1, true).is_err());
    }
}
