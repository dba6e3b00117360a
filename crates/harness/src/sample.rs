//! What a server's whole process tree uses: CPU time, memory, threads,
//! descriptors, context switches. Source: `/proc` (see proc(5)), and for an event that is counted
//! [`event_count`](crate::event_count).

use std::collections::BTreeMap;

use procfs::process::Process;
use serde::{Deserialize, Serialize};

use crate::event_count::Count;

/// The memory of a larger tree is estimated from so many processes, evenly spread: to look which pages
/// of one are shared takes the kernel a while.
const SHARES_LOOKED_AT_MAX: usize = 256;

/// One measurement of a process tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// CPU time in user mode since the start, in seconds, including
    /// children that have ended and were waited for. Resolution: 10 ms.
    pub user_seconds: f64,
    /// The same in kernel mode.
    pub system_seconds: f64,
    /// Both together of the live processes, from the scheduler's own
    /// nanosecond clock.
    pub cpu_seconds: f64,
    /// Resident memory now, in bytes. Of several processes, a page that they share counts once, and
    /// one that they share with other programs in proportion.
    pub resident_bytes: u64,
    /// Sum of each live process's own peak of resident memory, in bytes; of several processes, what
    /// they share now counts once.
    pub resident_bytes_peak: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Voluntary context switches of the threads alive now.
    pub context_switches_voluntary: u64,
    /// Involuntary ones.
    pub context_switches_involuntary: u64,
    /// Processes.
    pub processes: u64,
    /// What the event that is counted in a started server, if any (see
    /// [`StartOptions`](crate::StartOptions)), has counted since its start, in the whole tree and in
    /// what has ended of it.
    pub counted: Option<Count>,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// No process of the tree is alive.
    #[error("the server has ended: there is nothing to measure")]
    Ended,
    /// The server runs, but its process cannot be looked at.
    #[error("{0}")]
    Unreadable(String),
}

impl SampleError {
    /// Why process `pid`, which is alive, cannot be measured.
    pub(crate) fn unreadable(pid: u32) -> Self {
        Self::Unreadable(match proc_readable() {
            Ok(()) => format!(
                "/proc does not tell what the server uses (process {pid}): mount the one of this \
                 namespace, without hidepid, with mount -t proc proc /proc, and run as the server's \
                 user"
            ),
            Err(reason) => reason,
        })
    }
}

/// Whether `/proc` can be read, where the figures of processes come from.
///
/// # Errors
/// Why not, and what to do.
pub fn proc_readable() -> Result<(), String> {
    Process::myself()
        .and_then(|process| process.stat())
        .and_then(|_| procfs::process::all_processes())
        .map(drop)
        .map_err(|error| {
            format!("/proc cannot be read ({error}): mount it with mount -t proc proc /proc")
        })
}

impl Sample {
    /// Measures the processes `pids`, which the tool did not start, without their children.
    ///
    /// # Errors
    /// When one of them has ended, or `/proc` does not tell.
    pub fn of_pids(pids: &[u32]) -> Result<Self, SampleError> {
        proc_readable().map_err(SampleError::Unreadable)?;
        let mut processes = Vec::with_capacity(pids.len());
        for &pid in pids {
            let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
            let process = process.filter(|process| Self::of(std::slice::from_ref(process)).is_ok());
            processes.push(process.ok_or_else(|| {
                SampleError::Unreadable(format!(
                    "process {pid} cannot be measured: no such process, or it belongs to another user"
                ))
            })?);
        }
        Self::of(&processes)
    }

    /// Measures `processes`; those that end meanwhile are left out.
    ///
    /// # Errors
    /// When none of them is alive.
    pub fn of(processes: &[Process]) -> Result<Self, SampleError> {
        Self::after_clocks(processes, Clocks::default())
    }

    /// The same where the `clocks` of some of them were read before.
    pub(crate) fn after_clocks(
        processes: &[Process],
        mut clocks: Clocks,
    ) -> Result<Self, SampleError> {
        clocks.read(processes.iter().map(|process| process.pid));
        let mut sum = Self::default();
        for process in processes {
            // A process may end between two reads: but for its time all of it counts, or nothing.
            let _ = sum.add(process, &mut clocks);
        }
        if sum.processes == 0 {
            return Err(SampleError::Ended);
        }
        sum.cpu_seconds = clocks.0.values().sum();
        if sum.processes > 1 {
            sum.count_shared_once(processes);
        }
        Ok(sum)
    }

    /// Counts a page of several `processes` once.
    fn count_shared_once(&mut self, processes: &[Process]) {
        let step = processes.len().div_ceil(SHARES_LOOKED_AT_MAX);
        let shares: Vec<Share> = processes.iter().step_by(step).filter_map(Share::of).collect();
        let all = |part: fn(&Share) -> u64| of_all(shares.iter().map(part), self.processes);
        let (resident, peak) = (all(|share| share.resident), all(|share| share.peak));
        self.resident_bytes = resident.unwrap_or(self.resident_bytes);
        self.resident_bytes_peak = peak.unwrap_or(self.resident_bytes_peak);
    }

    fn add(&mut self, process: &Process, clocks: &mut Clocks) -> procfs::ProcResult<()> {
        let ticks = procfs::ticks_per_second() as f64;
        let stat = process.stat()?;
        let status = process.status()?;
        let descriptors = process.fd_count()? as u64;
        let user = (stat.utime + stat.cutime.unsigned_abs()) as f64 / ticks;
        let system = (stat.stime + stat.cstime.unsigned_abs()) as f64 / ticks;
        self.user_seconds += user;
        self.system_seconds += system;
        clocks.0.entry(process.pid).or_insert(user + system);
        self.resident_bytes += status.vmrss.unwrap_or(0) * 1024;
        self.resident_bytes_peak += status.vmhwm.unwrap_or(0) * 1024;
        self.threads += status.threads;
        self.descriptors += descriptors;
        self.processes += 1;
        for task in process.tasks()?.flatten() {
            let Ok(status) = task.status() else { continue };
            self.context_switches_voluntary += status.voluntary_ctxt_switches.unwrap_or(0);
            self.context_switches_involuntary += status.nonvoluntary_ctxt_switches.unwrap_or(0);
        }
        Ok(())
    }
}

/// What processes have used of the processors so far, in seconds, by their ids.
///
/// It is read before anything else: to look at a tree of thousands takes a second, in which
/// processes work on, or end and take their time with them.
#[derive(Debug, Default)]
pub(crate) struct Clocks(BTreeMap<i32, f64>);

impl Clocks {
    /// Reads those that were not read yet; processes that have ended have none.
    pub(crate) fn read(&mut self, pids: impl IntoIterator<Item = i32>) {
        for pid in pids {
            if !self.0.contains_key(&pid)
                && let Some(seconds) = cpu_clock_seconds(pid)
            {
                self.0.insert(pid, seconds);
            }
        }
    }
}

/// A process's part of the memory of all, in bytes.
struct Share {
    resident: u64,
    peak: u64,
}

impl Share {
    /// `None` where the kernel does not tell.
    fn of(process: &Process) -> Option<Self> {
        let status = process.status().ok()?;
        let (now, peak) = (status.vmrss? * 1024, status.vmhwm? * 1024);
        let rollup = process.smaps_rollup().ok()?.memory_map_rollup;
        let resident = *rollup.0.first()?.extension.map.get("Pss")?;
        // What it had more of at its peak was its own.
        Some(Self { resident, peak: resident + peak.saturating_sub(now) })
    }
}

/// The sum over `number` of which these are some; `None` without any.
fn of_all(some: impl Iterator<Item = u64>, number: u64) -> Option<u64> {
    let (count, sum) = some.fold((0_u64, 0_u64), |(count, sum), bytes| (count + 1, sum + bytes));
    (count > 0).then(|| (sum as f64 / count as f64 * number as f64) as u64)
}

/// The process's processor-time clock: all threads, also ended ones, in
/// nanoseconds, where `/proc` counts in hundredths of a second.
fn cpu_clock_seconds(pid: i32) -> Option<f64> {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write one value through a pointer to a live local of
    // exactly the type that they expect.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
    };
    (!failed).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_time_of_a_process_counts_if_it_ends_while_the_others_are_looked_at() {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
        let pid = busy.id().cast_signed();
        while cpu_clock_seconds(pid).is_none_or(|used| used < 0.02) {
            std::thread::yield_now();
        }
        let mut clocks = Clocks::default();
        clocks.read([pid]);
        busy.kill().expect("it runs");
        busy.wait().expect("it ends");
        let own = cpu_clock_seconds(std::process::id().cast_signed()).expect("it runs");
        let myself = Process::myself().expect("/proc");
        let sample = Sample::after_clocks(&[myself], clocks).expect("a sample");
        assert_eq!(sample.processes, 1);
        assert!(sample.cpu_seconds >= own + 0.02, "{sample:?}, and {own} s of its own");
    }

    #[test]
    fn a_sum_is_estimated_from_those_that_are_looked_at() {
        assert_eq!(of_all([10, 20].into_iter(), 100), Some(1500));
        assert_eq!(of_all([7, 9].into_iter(), 2), Some(16));
        assert_eq!(of_all(std::iter::empty(), 5), None);
    }
}
