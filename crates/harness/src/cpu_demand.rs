//! What a process wants of the processors: how long its threads worked, and how long
//! they were ready and waited for a turn.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use procfs::process::Process;

/// A process and one of its threads.
pub(crate) type ThreadId = (i32, i32);

/// What threads have had of processors since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuDemand {
    worked: Duration,
    waited: Duration,
    turns: u64,
}

impl CpuDemand {
    /// That of the threads of a process; `None` where the system does not tell.
    pub fn of(pid: u32) -> Option<Self> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        // A thread that ends meanwhile has done what it had to do.
        let texts = threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
        let mut sum = Self::default();
        for text in texts {
            let thread = Self::read(&text)?;
            sum.worked += thread.worked;
            sum.waited += thread.waited;
            sum.turns += thread.turns;
        }
        Some(sum)
    }

    /// That of each thread of these processes, as far as the system tells.
    pub(crate) fn by_thread(processes: &[Process]) -> HashMap<ThreadId, Self> {
        let mut demands = HashMap::new();
        for process in processes {
            let Ok(threads) = process.tasks() else { continue };
            for thread in threads.flatten() {
                let path = format!("/proc/{}/task/{}/schedstat", thread.pid, thread.tid);
                let demand = fs::read_to_string(path).ok().and_then(|text| Self::read(&text));
                demands.extend(demand.map(|demand| ((thread.pid, thread.tid), demand)));
            }
        }
        demands
    }

    /// That of the calling thread; `None` where the system does not tell.
    pub fn of_this_thread() -> Option<Self> {
        Self::read(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
    }

    /// From the scheduler's line: nanoseconds on a processor, nanoseconds ready to
    /// run, and how often it was given one.
    fn read(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let mut number = || numbers.next()?.ok();
        let (worked, waited) = (Duration::from_nanos(number()?), Duration::from_nanos(number()?));
        Some(Self { worked, waited, turns: number()? })
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            worked: self.worked + other.worked,
            waited: self.waited + other.waited,
            turns: self.turns + other.turns,
        }
    }

    /// How long they worked.
    pub(crate) fn worked(self) -> Duration {
        self.worked
    }

    /// How long they waited for a processor.
    pub(crate) fn waited(self) -> Duration {
        self.waited
    }

    #[cfg(test)]
    pub(crate) fn new(worked: Duration, waited: Duration) -> Self {
        Self { worked, waited, turns: 1 }
    }

    /// What was added since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            worked: self.worked.saturating_sub(earlier.worked),
            waited: self.waited.saturating_sub(earlier.waited),
            turns: self.turns.saturating_sub(earlier.turns),
        }
    }

    /// How long they worked or waited for a processor.
    pub fn wanted(self) -> Duration {
        self.worked + self.waited
    }

    /// How long they worked each time that they were given a processor.
    pub fn turn(self) -> Duration {
        Duration::from_nanos((self.worked.as_nanos() as u64).checked_div(self.turns).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_and_waiting_for_a_processor_are_added_up() {
        let demand = CpuDemand::read("1500 2500 3\n").expect("three numbers");
        assert_eq!(demand.wanted(), Duration::from_nanos(4000));
        assert_eq!(demand.turn(), Duration::from_nanos(500));
        assert_eq!(CpuDemand::read("1500 2500\n"), None);
        assert_eq!(CpuDemand::read("no numbers here"), None);
        assert_eq!(CpuDemand::default().turn(), Duration::ZERO);
    }

    #[test]
    fn a_difference_holds_what_was_added() {
        let [before, after] = ["1000 50 1", "4000 70 4"].map(|line| CpuDemand::read(line).unwrap());
        let since = after.since(before);
        assert_eq!(since.wanted(), Duration::from_nanos(3020));
        assert_eq!(since.turn(), Duration::from_nanos(1000));
        // Threads that have ended are gone from the sum.
        assert_eq!(before.since(after), CpuDemand::default());
    }

    #[test]
    fn the_system_tells_about_this_process() {
        let demand = CpuDemand::of(std::process::id()).expect("this process");
        assert!(!demand.wanted().is_zero());
        assert_eq!(CpuDemand::of(u32::MAX), None);
        // The kernel enters a thread's time when it next looks, at a tick at the latest.
        let until = Instant::now() + Duration::from_secs(60);
        while CpuDemand::of_this_thread().expect("this thread").wanted().is_zero() {
            assert!(Instant::now() < until, "a thread that works has a time");
        }
    }
}
