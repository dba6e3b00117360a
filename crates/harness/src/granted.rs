//! Time that a process tree cannot blame on the machine: it had a processor, or did not
//! ask for one. Limits on what a program does are counted in it, so that a busy machine,
//! or one that stood still, never makes a program late.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use procfs::process::Process;

use crate::cpu_demand::{CpuDemand, ThreadId};

/// Looks that follow each other faster see the same.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The most that the time between two looks counts for: this process looks more often, and
/// where it could not, the machine stood still for others, too.
const STEP_MAX: Duration = Duration::from_secs(1);

/// Lists the processes of a tree.
type Members = Box<dyn Fn() -> Vec<Process> + Send>;

/// Counts granted time of one process tree. Where the system does not tell what
/// its threads waited for, all time is granted.
pub struct GrantedTime {
    members: Option<Members>,
    looked: Instant,
    threads: HashMap<ThreadId, CpuDemand>,
    sum: Sum,
}

impl GrantedTime {
    /// Begins to count, with a tree that has just been started.
    pub(crate) fn of_new(members: impl Fn() -> Vec<Process> + Send + 'static) -> Self {
        Self { members: Some(Box::new(members)), ..Self::that_goes_by() }
    }

    /// Begins to count now.
    pub(crate) fn of(members: impl Fn() -> Vec<Process> + Send + 'static) -> Self {
        Self { threads: CpuDemand::by_thread(&members()), ..Self::of_new(members) }
    }

    /// All time that goes by, for what is not of a process tree of ours.
    pub fn that_goes_by() -> Self {
        Self { members: None, looked: Instant::now(), threads: HashMap::new(), sum: Sum::default() }
    }

    /// How much time was granted since the beginning. To be called at least every second.
    pub fn look(&mut self) -> Duration {
        let now = Instant::now();
        if self.members.is_some() && now - self.looked < LOOK_INTERVAL {
            return self.sum.granted();
        }
        let members = self.members.as_ref().map(|members| members()).unwrap_or_default();
        let threads = CpuDemand::by_thread(&members);
        // A thread that was not there before has had all that it had since.
        let demand = threads.iter().fold(CpuDemand::default(), |sum, (id, demand)| {
            sum.plus(demand.since(self.threads.get(id).copied().unwrap_or_default()))
        });
        self.sum.add((now - self.looked).min(STEP_MAX), demand);
        self.threads = threads;
        self.looked = now;
        self.sum.granted()
    }
}

impl fmt::Debug for GrantedTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GrantedTime").field("sum", &self.sum).finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    elapsed: Duration,
    demand: CpuDemand,
}

impl Sum {
    fn add(&mut self, elapsed: Duration, demand: CpuDemand) {
        self.elapsed += elapsed;
        self.demand = self.demand.plus(demand);
    }

    /// The system counts waiting only once it is over, so the two are compared in all and
    /// not step by step. Of several threads that wait at once each is counted; but what they
    /// worked was granted in any case, so one that is never done runs out of time on the busiest
    /// machine.
    fn granted(self) -> Duration {
        let not_waited = self.elapsed.saturating_sub(self.demand.waited());
        not_waited.max(self.demand.worked().min(self.elapsed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn granted(steps: &[(u64, u64, u64)]) -> u64 {
        let mut sum = Sum::default();
        for &(elapsed, worked, waited) in steps {
            let [elapsed, worked, waited] = [elapsed, worked, waited].map(Duration::from_millis);
            sum.add(elapsed, CpuDemand::new(worked, waited));
        }
        sum.granted().as_millis() as u64
    }

    #[test]
    fn one_that_sleeps_or_works_alone_is_granted_all_time() {
        assert_eq!(granted(&[(500, 0, 0), (500, 0, 0)]), 1000);
        assert_eq!(granted(&[(500, 500, 0), (500, 500, 0)]), 1000);
    }

    #[test]
    fn one_that_waits_for_a_processor_is_granted_what_it_gets() {
        assert_eq!(granted(&[(1000, 250, 750)]), 250);
        assert_eq!(granted(&[(1000, 0, 1000)]), 0);
        // Told late: the wait was over only in the second step.
        assert_eq!(granted(&[(1000, 0, 0), (1000, 100, 1900)]), 100);
    }

    #[test]
    fn many_threads_that_spin_use_up_their_time() {
        assert_eq!(granted(&[(1000, 500, 9500)]), 500);
    }

    #[test]
    fn where_nobody_is_watched_all_time_is_granted() {
        let began = Instant::now();
        let mut time = GrantedTime::that_goes_by();
        let until = began + Duration::from_secs(60);
        while time.look() < Duration::from_millis(50) {
            assert!(Instant::now() < until, "time goes by");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(time.look() <= began.elapsed());
    }

    proptest! {
        #[test]
        fn never_more_than_went_by_and_never_less_than_was_worked(
            steps in prop::collection::vec((0..1000u64, 0..1000u64, 0..4000u64), 0..20),
        ) {
            let elapsed: u64 = steps.iter().map(|step| step.0).sum();
            let worked: u64 = steps.iter().map(|step| step.1).sum();
            let granted = granted(&steps);
            prop_assert!(granted <= elapsed);
            prop_assert!(granted >= worked.min(elapsed));
        }
    }
}
