//! Time less what others took of the processors: what a budget is counted in, so that a
//! busy machine has as much work done for it as a quiet one. Source: `/proc/stat` (see proc(5)).

use std::time::{Duration, Instant};

use procfs::process::{Process, Stat, all_processes};
use procfs::{CurrentSI, KernelStats};

use crate::marker::is_ours;

/// The most that others count for, as a part of all processors: time goes on in any case.
const SHARE_MAX: f64 = 0.95;

/// Counts time on a machine that is shared. Where the system does not tell who works, it is
/// the time that goes by.
#[derive(Debug)]
pub struct MachineTime {
    looked: Instant,
    ticks: Option<Ticks>,
    sum: Duration,
}

/// CPU time since boot, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    /// Of everybody, what a hypervisor gave to other machines included.
    all: u64,
    /// Of this process, and of the servers that it started.
    ours: u64,
    processors: u64,
}

impl MachineTime {
    /// Begins to count now.
    pub fn begin() -> Self {
        Self { looked: Instant::now(), ticks: Ticks::read(), sum: Duration::ZERO }
    }

    /// How much time there was since the beginning.
    pub fn look(&mut self) -> Duration {
        let (now, ticks) = (Instant::now(), Ticks::read());
        let elapsed = now - self.looked;
        let others = match (self.ticks, ticks) {
            (Some(before), Some(after)) => after.share_of_others(before, elapsed),
            _ => 0.0,
        };
        self.sum += elapsed.mul_f64(1.0 - others);
        (self.looked, self.ticks) = (now, ticks);
        self.sum
    }
}

impl Ticks {
    fn read() -> Option<Self> {
        let stats = KernelStats::current().ok()?;
        let total = &stats.total;
        let optional = [total.irq, total.softirq, total.steal];
        let all = total.user + total.nice + total.system;
        Some(Self {
            all: all + optional.into_iter().flatten().sum::<u64>(),
            ours: ticks_of(&Process::myself().ok()?.stat().ok()?) + servers_ticks(),
            processors: stats.cpu_time.len() as u64,
        })
    }

    /// Which part of all processors others had in the time since `before`.
    fn share_of_others(self, before: Self, elapsed: Duration) -> f64 {
        let ours = self.ours.saturating_sub(before.ours);
        let others = self.all.saturating_sub(before.all).saturating_sub(ours);
        let ticks = elapsed.as_secs_f64() * procfs::ticks_per_second() as f64;
        let all = ticks * self.processors as f64;
        if all < 1.0 { 0.0 } else { (others as f64 / all).min(SHARE_MAX) }
    }
}

/// Of servers that this process has started and that still run.
fn servers_ticks() -> u64 {
    let processes = all_processes().into_iter().flatten().flatten();
    let ours = processes.filter(is_ours).filter_map(|process| process.stat().ok());
    ours.map(|stat| ticks_of(&stat)).sum()
}

/// Of a process, and of its children that have ended.
fn ticks_of(stat: &Stat) -> u64 {
    stat.utime + stat.stime + stat.cutime.unsigned_abs() + stat.cstime.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn share(all: u64, ours: u64) -> f64 {
        let rate = procfs::ticks_per_second();
        let before = Ticks { all: 1000, ours: 500, processors: 2 };
        let after = Ticks {
            all: before.all + all * rate / 100,
            ours: before.ours + ours * rate / 100,
            ..before
        };
        after.share_of_others(before, SECOND)
    }

    #[test]
    fn what_others_take_of_all_processors_is_their_share() {
        assert_eq!(share(0, 0), 0.0);
        assert_eq!(share(150, 150), 0.0, "all of it is ours");
        assert_eq!(share(150, 50), 0.5);
        assert_eq!(share(200, 0), SHARE_MAX);
        // Of a server that has ended nothing is told any more.
        assert_eq!(share(50, 60), 0.0);
    }

    #[test]
    fn no_time_at_all_has_no_share() {
        let ticks = Ticks { all: 10, ours: 0, processors: 2 };
        let later = Ticks { all: 20, ..ticks };
        assert_eq!(later.share_of_others(ticks, Duration::ZERO), 0.0);
    }

    #[test]
    fn time_goes_by_and_never_faster_than_the_clock() {
        let (began, mut time) = (Instant::now(), MachineTime::begin());
        let until = began + Duration::from_secs(60);
        while time.look() < Duration::from_millis(20) {
            assert!(Instant::now() < until, "others have had everything for a minute");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(time.look() <= began.elapsed());
    }
}
