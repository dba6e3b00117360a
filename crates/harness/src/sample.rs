//! What a server's whole process tree uses: CPU time, memory, threads,
//! descriptors, context switches. Source: `/proc` (see proc(5)), and for an event that is counted
//! [`event_count`](crate::event_count).

use procfs::process::Process;
use serde::{Deserialize, Serialize};

use crate::event_count::Count;

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
    /// Resident memory now, in bytes, summed over the processes (shared pages
    /// count once for each).
    pub resident_bytes: u64,
    /// Sum of each live process's own peak of resident memory, in bytes.
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
        let mut sum = Self::default();
        for process in processes {
            // A process may end between two reads: all of it counts, or nothing.
            let _ = sum.add(process);
        }
        if sum.processes == 0 { Err(SampleError::Ended) } else { Ok(sum) }
    }

    fn add(&mut self, process: &Process) -> procfs::ProcResult<()> {
        let ticks = procfs::ticks_per_second() as f64;
        let stat = process.stat()?;
        let status = process.status()?;
        let descriptors = process.fd_count()? as u64;
        let user = (stat.utime + stat.cutime.unsigned_abs()) as f64 / ticks;
        let system = (stat.stime + stat.cstime.unsigned_abs()) as f64 / ticks;
        self.user_seconds += user;
        self.system_seconds += system;
        self.cpu_seconds += cpu_clock_seconds(process.pid).unwrap_or(user + system);
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
