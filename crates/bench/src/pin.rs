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
    /// Those of the load generator's threads, in their order; none if nothing is pinned.
    pub generator: Vec<u32>,
    /// How many threads the load generator has, at most.
    pub load_threads: usize,
}

impl Pinning {
    /// Shares out the processors that this process may use: the last one is the generator's, or the
    /// last ones if it has several threads.
    ///
    /// Where that would leave no processor to the servers, or without `pin`, everything runs
    /// everywhere. A processor that shares its core with one of the generator's is left idle if the
    /// servers have another one.
    #[must_use]
    pub fn choose(pin: bool, load_threads: usize) -> Self {
        Self::share(allowed(), pin, load_threads, siblings)
    }

    fn share(
        all: Vec<u32>,
        pin: bool,
        load_threads: usize,
        siblings: impl Fn(u32) -> Vec<u32>,
    ) -> Self {
        if !pin || load_threads >= all.len() {
            return Self { servers: all.clone(), all, generator: Vec::new(), load_threads };
        }
        let (others, generator) = all.split_at(all.len() - load_threads);
        // The first thread has the last processor, however many there are.
        let generator: Vec<u32> = generator.iter().rev().copied().collect();
        let siblings: Vec<u32> = generator.iter().flat_map(|&cpu| siblings(cpu)).collect();
        let apart: Vec<u32> =
            others.iter().copied().filter(|cpu| !siblings.contains(cpu)).collect();
        let servers = if apart.is_empty() { others.to_vec() } else { apart };
        Self { servers, all, generator, load_threads }
    }

    /// The processors that the servers are pinned to; none if nothing is pinned.
    #[must_use]
    pub fn pinned_servers(&self) -> Vec<u32> {
        if self.generator.is_empty() { Vec::new() } else { self.servers.clone() }
    }

    /// The processors that a trial keeps busy.
    #[must_use]
    pub fn used(&self) -> Vec<u32> {
        self.servers.iter().chain(&self.generator).copied().collect()
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
#[must_use]
pub fn allowed() -> Vec<u32> {
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
        let pinning = Pinning::share(vec![0, 1, 2], true, 1, |cpu| vec![cpu]);
        assert_eq!(pinning.used(), [0, 1, 2]);
        assert_eq!((pinning.servers, pinning.generator), (vec![0, 1], vec![2]));
    }

    #[test]
    fn nothing_is_pinned_on_one_processor_or_without_being_asked() {
        for (all, pin, threads) in
            [(vec![4], true, 1), (vec![0, 1], false, 1), (vec![0, 1], true, 2)]
        {
            let pinning = Pinning::share(all.clone(), pin, threads, |cpu| vec![cpu]);
            assert_eq!((pinning.servers, pinning.generator), (all, vec![]));
        }
    }

    #[test]
    fn each_thread_of_the_generator_gets_a_processor() {
        let cores = |cpu| vec![cpu % 4, cpu % 4 + 4];
        let pinning = Pinning::share((0..8).collect(), true, 2, cores);
        assert_eq!((pinning.servers, pinning.generator), (vec![0, 1, 4, 5], vec![7, 6]));
        assert_eq!(Pinning::share(vec![0, 1, 2], true, 2, cores).servers, [0]);
    }

    #[test]
    fn the_other_half_of_the_generators_core_is_left_idle_if_it_can_be() {
        let cores = |cpu| vec![cpu % 2, cpu % 2 + 2];
        assert_eq!(Pinning::share(vec![0, 1, 2, 3], true, 1, cores).servers, [0, 2]);
        // Two halves of one core are better than one processor for both.
        assert_eq!(Pinning::share(vec![1, 3], true, 1, cores).servers, [1]);
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(parse_list("0-2,8\n"), [0, 1, 2, 8]);
        assert_eq!(parse_list("5"), [5]);
        assert_eq!(parse_list(""), [] as [u32; 0]);
    }
}
