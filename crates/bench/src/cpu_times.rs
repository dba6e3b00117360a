//! How busy processors are, with all programs of the machine together.

use procfs::{CurrentSI, KernelStats};

/// Time that some processors have spent on programs since the machine started, in seconds.
///
/// Counted in ticks of 10 ms. Interrupts are left out: they are not in the programs' own times
/// either.
pub(crate) fn busy_seconds(cpus: &[u32]) -> Option<f64> {
    let stats = KernelStats::current().ok()?;
    let ticks_per_second = procfs::ticks_per_second() as f64;
    cpus.iter()
        .map(|&cpu| {
            let times = stats.cpu_time.get(cpu as usize)?;
            let ticks = times.user + times.nice + times.system + times.steal.unwrap_or(0);
            Some(ticks as f64 / ticks_per_second)
        })
        .sum()
}
