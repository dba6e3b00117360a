//! Who else uses the machine: the other programs, by name. Source: `/proc` (see proc(5)).
//!
//! Looking at every process takes milliseconds of a processor that the servers have. So it is done
//! before the warm-up and after the window, and never within it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use procfs::process::all_processes;
use zillions_report::record::ProgramRecord;

/// The parent of all kernel threads, and the name that they have together.
const KERNEL_PID: i32 = 2;
const KERNEL_THREADS: &str = "kernel threads";
/// So many of them are named.
const PROGRAMS_MAX: usize = 3;
/// A program that took less of a processor is not named.
const CPU_SHARE_MIN: f64 = 0.01;

/// CPU time of each process of the machine at one moment.
pub(crate) struct Neighbours {
    at: Instant,
    by_process: BTreeMap<Identity, Use>,
}

/// A process; its number alone may be given to another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    pid: i32,
    started_ticks: u64,
}

struct Use {
    name: String,
    ticks: u64,
}

impl Neighbours {
    /// Looks at all processes; those of other users may be hidden.
    pub(crate) fn look() -> Self {
        let at = Instant::now();
        let processes = all_processes().into_iter().flatten().flatten();
        let by_process = processes
            .filter_map(|process| process.stat().ok())
            .map(|stat| {
                let is_kernels = stat.pid == KERNEL_PID || stat.ppid == KERNEL_PID;
                let name = if is_kernels { KERNEL_THREADS.to_owned() } else { stat.comm };
                let identity = Identity { pid: stat.pid, started_ticks: stat.starttime };
                (identity, Use { name, ticks: stat.utime + stat.stime })
            })
            .collect();
        Self { at, by_process }
    }

    /// The programs that used most CPU time since `before`, without the processes `own`. What ended
    /// in between is not seen; what began in between counts with all its time.
    pub(crate) fn busiest_since(&self, before: &Self, own: &BTreeSet<i32>) -> Vec<ProgramRecord> {
        let mut ticks_by_name: BTreeMap<&str, u64> = BTreeMap::new();
        for (identity, now) in &self.by_process {
            if own.contains(&identity.pid) {
                continue;
            }
            let earlier = before.by_process.get(identity).map_or(0, |it| it.ticks);
            *ticks_by_name.entry(&now.name).or_default() += now.ticks.saturating_sub(earlier);
        }
        let ticks = (self.at - before.at).as_secs_f64() * procfs::ticks_per_second() as f64;
        let mut programs: Vec<ProgramRecord> = ticks_by_name
            .into_iter()
            .map(|(name, used)| ProgramRecord {
                name: name.to_owned(),
                cpu_share: used as f64 / ticks,
            })
            .filter(|it| it.cpu_share.is_finite() && it.cpu_share >= CPU_SHARE_MIN)
            .collect();
        programs.sort_by(|a, b| b.cpu_share.total_cmp(&a.cpu_share));
        programs.truncate(PROGRAMS_MAX);
        programs
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    fn neighbours(at: Instant, processes: &[(i32, u64, &str, u64)]) -> Neighbours {
        let by_process = processes
            .iter()
            .map(|&(pid, started_ticks, name, ticks)| {
                (Identity { pid, started_ticks }, Use { name: name.to_owned(), ticks })
            })
            .collect();
        Neighbours { at, by_process }
    }

    #[test]
    fn the_busiest_programs_are_named_without_our_own() {
        let rate = procfs::ticks_per_second();
        let began = Instant::now();
        let before = neighbours(
            began,
            &[(5, 1, "cc1", 900), (7, 1, "cc1", 0), (8, 1, "server", 0), (9, 1, "sh", 50)],
        );
        let after = neighbours(
            began + Duration::from_secs(2),
            &[
                (5, 1, "cc1", 900 + rate),
                (7, 1, "cc1", rate / 2),
                (8, 1, "server", 2 * rate),
                // Another process with a number that was in use before.
                (9, 30, "ld", rate),
                (11, 20, "quiet", 0),
            ],
        );
        let found = after.busiest_since(&before, &BTreeSet::from([8]));
        let shares: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.cpu_share)).collect();
        assert_eq!(shares, [("cc1", 0.75), ("ld", 0.5)]);
        // Of no time nothing is said.
        let at_once = neighbours(began, &[(5, 1, "cc1", 1000)]);
        assert_eq!(at_once.busiest_since(&before, &BTreeSet::new()), []);
    }

    #[test]
    fn a_busy_neighbour_of_this_machine_is_seen() {
        let mut busy = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn()
            .expect("a shell");
        let pid = busy.id() as i32;
        let used = |at: &Neighbours| {
            let own = at.by_process.iter().find(|(identity, _)| identity.pid == pid);
            own.map(|(_, it)| it.ticks)
        };
        let mut before = Neighbours::look();
        let until = before.at + Duration::from_secs(60);
        // It gets its turn some time, however busy the machine is.
        let after = loop {
            let after = Neighbours::look();
            if used(&after) > Some(used(&before).unwrap_or(0) + 2) || after.at > until {
                break after;
            }
        };
        busy.kill().and_then(|()| busy.wait().map(drop)).expect("it ends");
        // Alone, so that busier programs do not take its place; and as if it had not waited long
        // for its turn, so that it is busy enough to be named.
        let others = after.by_process.keys().map(|it| it.pid).filter(|it| *it != pid).collect();
        before.at = after.at.checked_sub(Duration::from_millis(100)).expect("a time");
        let found = after.busiest_since(&before, &others);
        let names: Vec<_> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["sh"]);
    }
}
