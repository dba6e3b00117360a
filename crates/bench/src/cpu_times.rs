//! How busy processors are, with all programs of the machine together.

use procfs::{CurrentSI, KernelStats};

/// Time that some processors have spent since the machine started, in seconds; counted in ticks of
/// 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CpuTimes {
    /// On programs. Interrupts are left out: they are not in the programs' own times either.
    pub(crate) busy_seconds: f64,
    /// On other machines, as the hypervisor has it (steal time).
    pub(crate) stolen_seconds: f64,
    /// On soft interrupts.
    pub(crate) soft_interrupt_seconds: f64,
}

impl CpuTimes {
    /// Those of `cpus` together; `None` where the system does not tell.
    pub(crate) fn read(cpus: &[u32]) -> Option<Self> {
        let stats = KernelStats::current().ok()?;
        let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
        let mut sum = Self::default();
        for &cpu in cpus {
            let times = stats.cpu_time.get(cpu as usize)?;
            sum.busy_seconds += seconds(times.user + times.nice + times.system);
            sum.stolen_seconds += seconds(times.steal.unwrap_or(0));
            sum.soft_interrupt_seconds += seconds(times.softirq.unwrap_or(0));
        }
        Some(sum)
    }

    /// What was spent since `before`. The kernel corrects its counters now and then.
    pub(crate) fn since(self, before: Self) -> Self {
        let spent = |now: f64, before: f64| (now - before).max(0.0);
        Self {
            busy_seconds: spent(self.busy_seconds, before.busy_seconds),
            stolen_seconds: spent(self.stolen_seconds, before.stolen_seconds),
            soft_interrupt_seconds: spent(
                self.soft_interrupt_seconds,
                before.soft_interrupt_seconds,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_processors_only_grow_and_those_of_none_that_exists_are_unknown() {
        let before = CpuTimes::read(&[0]).expect("the system tells");
        assert!(before.busy_seconds > 0.0);
        let after = CpuTimes::read(&[0]).expect("the system tells");
        assert!(after.busy_seconds >= before.busy_seconds);
        assert_eq!(before.since(after).busy_seconds, 0.0);
        assert_eq!(CpuTimes::read(&[100_000]), None);
    }
}
