//! How many servers are looked at side by side.
//!
//! Most faults show by what a server does not do: the suite waits, and dozens of
//! such waits cost no more than one. The other faults, and the correct servers,
//! keep a processor busy.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use zillions_faulty::Shows;

use super::known::Known;

/// Waits side by side.
const WAITS_AT_ONCE: usize = 20;
/// Correct servers side by side: they must not fail for lack of time.
const CORRECT_AT_ONCE: usize = 1;
/// Faults side by side that keep the suite busy: one per processor and this many
/// more, as a case waits now and then, but no more than the last figure in all.
const BUSY_BEYOND_PROCESSORS: usize = 1;
const BUSY_AT_ONCE_MAX: usize = 8;

/// Servers, by index, that are looked at one after the other by so many at once.
pub(super) struct Lane {
    servers: Vec<usize>,
    at_once: usize,
}

/// The lanes in which all of `servers` are looked at.
pub(super) fn of(servers: &[Known]) -> [Lane; 3] {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let busy_at_once = (processors + BUSY_BEYOND_PROCESSORS).min(BUSY_AT_ONCE_MAX);
    let shows = |&index: &usize| match &servers[index] {
        Known::Correct(_) => None,
        Known::Faulty(fault) => Some(fault.shows),
    };
    let all = || 0..servers.len();
    let correct = all().filter(|index| shows(index).is_none()).collect();
    let busy = all().filter(|index| shows(index) == Some(Shows::Immediate)).collect();
    let mut waits: Vec<usize> =
        all().filter(|index| shows(index) > Some(Shows::Immediate)).collect();
    // The longest wait comes first.
    waits.sort_by_key(|index| std::cmp::Reverse(shows(index)));
    [
        Lane { servers: waits, at_once: WAITS_AT_ONCE },
        Lane { servers: correct, at_once: CORRECT_AT_ONCE },
        Lane { servers: busy, at_once: busy_at_once },
    ]
}

/// Calls `look` for every server of all lanes, and returns what it finds in the
/// order of the servers, of which there are `count`.
pub(super) fn run_all<T: Send>(
    lanes: &[Lane],
    count: usize,
    look: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let found: Mutex<Vec<Option<T>>> = Mutex::new((0..count).map(|_| None).collect());
    let next: Vec<AtomicUsize> = lanes.iter().map(|_| AtomicUsize::new(0)).collect();
    let (found_in, look) = (&found, &look);
    thread::scope(|scope| {
        for (lane, next) in lanes.iter().zip(&next) {
            for _ in 0..lane.at_once.min(lane.servers.len()) {
                scope.spawn(move || {
                    while let Some(&index) = lane.servers.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let one = look(index);
                        found_in.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(one);
                    }
                });
            }
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use zillions_faulty::{Fault, Oddity};

    use super::*;

    #[test]
    fn every_server_is_in_one_lane_and_the_longest_wait_comes_first() {
        let correct = Oddity::all().into_iter().map(Known::Correct);
        let servers: Vec<Known> = correct.chain(Fault::all().map(Known::Faulty)).collect();
        let lanes = of(&servers);
        let mut placed: Vec<usize> =
            lanes.iter().flat_map(|lane| lane.servers.iter().copied()).collect();
        placed.sort_unstable();
        assert_eq!(placed, (0..servers.len()).collect::<Vec<_>>());
        let first = &servers[lanes[0].servers[0]];
        assert!(matches!(first, Known::Faulty(fault) if fault.shows == Shows::Delay));
    }

    #[test]
    fn what_is_found_keeps_the_order_of_the_servers() {
        let lane = |servers: &[usize]| Lane { servers: servers.to_vec(), at_once: 2 };
        let found = run_all(&[lane(&[4, 1]), lane(&[3, 0, 2])], 5, |index| index * 10);
        assert_eq!(found, [0, 10, 20, 30, 40]);
    }
}
