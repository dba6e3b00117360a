//! Counts what a whole process tree does, by an event of the kernel (see perf_event_open(2)).
//!
//! An event of a thread is inherited by all that the thread starts, and by what that starts in turn;
//! it must exist before. One read then sums up all of them, those that have ended included.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::mem;
use std::os::fd::FromRawFd;

use perf_event_open_sys::bindings::{
    PERF_COUNT_HW_INSTRUCTIONS, PERF_COUNT_SW_TASK_CLOCK, PERF_FLAG_FD_CLOEXEC,
    PERF_FORMAT_TOTAL_TIME_ENABLED, PERF_FORMAT_TOTAL_TIME_RUNNING, PERF_TYPE_HARDWARE,
    PERF_TYPE_SOFTWARE, perf_event_attr,
};
use perf_event_open_sys::perf_event_open;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Processes without privileges may count what they do in user mode up to this level of
/// `kernel.perf_event_paranoid`. Higher ones, which some distributions have, forbid all of it.
const PARANOID_MAX: i32 = 2;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Instructions that processors have executed in user mode. Only hardware counts them.
    UserInstructions,
    /// CPU time in nanoseconds, user and kernel mode. Every kernel with events counts it.
    CpuTime,
}

/// What an event has counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How often it happened while it was counted.
    pub value: u64,
    /// CPU time for which it should have been counted, in nanoseconds.
    pub enabled_ns: u64,
    /// CPU time for which it was counted, in nanoseconds: less where several events take turns with
    /// a counter of the processor.
    pub running_ns: u64,
}

impl Count {
    /// How often it happened since `before`: scaled up if it was counted for a part of that time,
    /// `None` if for none of it.
    #[must_use]
    pub fn since(&self, before: &Self) -> Option<u64> {
        let value = self.value.saturating_sub(before.value);
        let enabled = self.enabled_ns.saturating_sub(before.enabled_ns);
        let running = self.running_ns.saturating_sub(before.running_ns);
        match running {
            _ if running >= enabled => Some(value),
            0 => None,
            _ => Some((value as f64 * enabled as f64 / running as f64).round() as u64),
        }
    }
}

/// Why an event cannot be counted on this machine, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Uncounted {
    /// Why not.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
}

impl fmt::Display for Uncounted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason, self.remedy)
    }
}

impl Uncounted {
    fn of(error: &io::Error) -> Self {
        let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok();
        Self::at_level(error, paranoid.and_then(|text| text.trim().parse().ok()))
    }

    /// What `error` means where `kernel.perf_event_paranoid` is `paranoid`.
    fn at_level(error: &io::Error, paranoid: Option<i32>) -> Self {
        let (reason, remedy) = match (Errno::from_io_error(error), paranoid) {
            (Some(Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::OPNOTSUPP), _) => (
                "the machine has no hardware counters".to_owned(),
                "measure on one that is not virtual, or whose hypervisor passes its counters on",
            ),
            (Some(Errno::NOSYS), _) => (
                "the kernel has no perf events".to_owned(),
                "boot one that was built with CONFIG_PERF_EVENTS",
            ),
            (Some(Errno::ACCESS | Errno::PERM), Some(level)) if level > PARANOID_MAX => (
                format!("kernel.perf_event_paranoid is {level} and forbids it"),
                "sysctl -w kernel.perf_event_paranoid=2",
            ),
            (Some(Errno::ACCESS | Errno::PERM), _) => (
                format!("perf_event_open is forbidden ({error})"),
                "allow it in the container's seccomp profile, or grant CAP_PERFMON",
            ),
            _ => (
                format!("perf_event_open failed ({error})"),
                "perf stat true shows whether others can count",
            ),
        };
        Self { reason, remedy }
    }
}

/// Counts an event in all that one thread starts.
#[derive(Debug)]
pub struct EventCount {
    file: File,
}

impl EventCount {
    /// Counts `event` in whatever this thread starts from now on, from its exec on, and in all that
    /// descends from it.
    ///
    /// # Errors
    /// [`Uncounted`] if this machine cannot count it, or forbids it.
    pub fn of_what_this_thread_starts(event: Event) -> Result<Self, Uncounted> {
        open(event).map(|file| Self { file }).map_err(|error| Uncounted::of(&error))
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self) -> io::Result<Count> {
        const NUMBER: usize = size_of::<u64>();
        let mut bytes = [0; 3 * NUMBER];
        (&self.file).read_exact(&mut bytes)?;
        let number = |at: usize| {
            let mut number = [0; NUMBER];
            number.copy_from_slice(&bytes[at * NUMBER..][..NUMBER]);
            u64::from_ne_bytes(number)
        };
        Ok(Count { value: number(0), enabled_ns: number(1), running_ns: number(2) })
    }
}

/// Whether `event` can be counted on this machine.
///
/// # Errors
/// [`Uncounted`]: why not, and what to do.
pub fn check(event: Event) -> Result<(), Uncounted> {
    EventCount::of_what_this_thread_starts(event).map(drop)
}

fn open(event: Event) -> io::Result<File> {
    let (kind, number) = match event {
        Event::UserInstructions => (PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS),
        Event::CpuTime => (PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK),
    };
    let mut attributes = perf_event_attr {
        type_: kind,
        size: mem::size_of::<perf_event_attr>() as u32,
        config: number.into(),
        read_format: (PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING).into(),
        ..perf_event_attr::default()
    };
    // Not this thread itself, which is the tool's.
    attributes.set_disabled(1);
    attributes.set_enable_on_exec(1);
    attributes.set_inherit(1);
    attributes.set_exclude_kernel(1);
    attributes.set_exclude_hv(1);
    let (this_thread, any_processor, no_group) = (0, -1, -1);
    // SAFETY: the attributes are a live local, whose size they name.
    let descriptor = unsafe {
        perf_event_open(
            &raw mut attributes,
            this_thread,
            any_processor,
            no_group,
            PERF_FLAG_FD_CLOEXEC.into(),
        )
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_for_a_part_of_the_time_is_scaled_up_and_for_none_of_it_is_unknown() {
        let before = Count { value: 100, enabled_ns: 1_000, running_ns: 1_000 };
        let after = |value, enabled_ns, running_ns| Count { value, enabled_ns, running_ns };
        assert_eq!(after(400, 3_000, 3_000).since(&before), Some(300));
        assert_eq!(after(400, 5_000, 2_000).since(&before), Some(1_200));
        assert_eq!(after(100, 5_000, 1_000).since(&before), None);
        assert_eq!(before.since(&before), Some(0), "what rests executes nothing");
    }

    #[test]
    fn each_reason_says_what_to_do() {
        let said =
            |errno: Errno, paranoid| Uncounted::at_level(&errno.into(), paranoid).to_string();
        let begins = [
            (Errno::NOENT, Some(2), "the machine has no hardware counters: measure on one"),
            (Errno::OPNOTSUPP, Some(2), "the machine has no hardware counters: "),
            (Errno::ACCESS, Some(3), "kernel.perf_event_paranoid is 3 and forbids it: sysctl -w "),
            (Errno::PERM, Some(2), "perf_event_open is forbidden (Operation not permitted"),
            (Errno::NOSYS, None, "the kernel has no perf events: boot one"),
            (Errno::MFILE, Some(2), "perf_event_open failed (Too many open files"),
        ];
        for (errno, paranoid, begin) in begins {
            let said = said(errno, paranoid);
            assert!(said.starts_with(begin), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
