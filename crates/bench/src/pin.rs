//! Which processors the servers and the load generator have.

use std::fs;

use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How processors are shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinning {
    /// All that this process may use.
    pub all: Vec<u32>,
    /// Those of the servers; all of them if nothing is pinned.
    pub servers: Vec<u32>,
    /// That of the load generator; `None` if nothing is pinned.
    pub generator: Option<u32>,
}

impl Pinning {
    /// Shares out the processors that this process may use: the last one is the generator's.
    ///
    /// With a single processor, or without `pin`, everything runs everywhere. A processor that
    /// shares its core with the generator's is left idle if the servers have another one.
    #[must_use]
    pub fn choose(pin: bool) -> Self {
        let all = allowed();
        Self::share(all, pin, siblings)
    }

    fn share(all: Vec<u32>, pin: bool, siblings: impl Fn(u32) -> Vec<u32>) -> Self {
        let Some((&generator, others)) =
            all.split_last().filter(|(_, others)| pin && !others.is_empty())
        else {
            return Self { servers: all.clone(), all, generator: None };
        };
        let siblings = siblings(generator);
        let apart: Vec<u32> =
            others.iter().copied().filter(|cpu| !siblings.contains(cpu)).collect();
        let servers = if apart.is_empty() { others.to_vec() } else { apart };
        Self { servers, all, generator: Some(generator) }
    }

    /// The processors that a trial keeps busy.
    #[must_use]
    pub fn used(&self) -> Vec<u32> {
        self.servers.iter().copied().chain(self.generator).collect()
    }
}

/// Lets the calling thread, and what it starts from now on, run on `cpus` only.
///
/// # Errors
///
/// What the system says.
pub fn restrict_to(cpus: &[u32]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu as usize);
    }
    sched_setaffinity(None, &set)
}

/// The processors that the calling thread may use.
fn allowed() -> Vec<u32> {
    let Ok(set) = sched_getaffinity(None) else { return vec![0] };
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).map(|cpu| cpu as u32).collect()
}

/// The processors on the same core as `cpu`, itself included.
fn siblings(cpu: u32) -> Vec<u32> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    fs::read_to_string(path).map(|list| parse_list(&list)).unwrap_or_default()
}

/// Reads a list such as `0-1,8`.
fn parse_list(list: &str) -> Vec<u32> {
    list.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gets_the_last_processor_and_the_servers_the_others() {
        let pinning = Pinning::share(vec![0, 1, 2], true, |cpu| vec![cpu]);
        assert_eq!((pinning.servers.clone(), pinning.generator), (vec![0, 1], Some(2)));
        assert_eq!(pinning.used(), [0, 1, 2]);
    }

    #[test]
    fn nothing_is_pinned_on_one_processor_or_without_being_asked() {
        for (all, pin) in [(vec![4], true), (vec![0, 1], false)] {
            let pinning = Pinning::share(all.clone(), pin, |cpu| vec![cpu]);
            assert_eq!((pinning.servers, pinning.generator), (all, None));
        }
    }

    #[test]
    fn the_other_half_of_the_generators_core_is_left_idle_if_it_can_be() {
        let cores = |cpu| vec![cpu % 2, cpu % 2 + 2];
        assert_eq!(Pinning::share(vec![0, 1, 2, 3], true, cores).servers, [0, 2]);
        // Two halves of one core are better than one processor for both.
        assert_eq!(Pinning::share(vec![1, 3], true, cores).servers, [1]);
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(parse_list("0-2,8\n"), [0, 1, 2, 8]);
        assert_eq!(parse_list("5"), [5]);
        assert_eq!(parse_list(""), [] as [u32; 0]);
    }
}
