//! Lines on their way to standard error: bounded, and nobody who adds one waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many lines may wait to be written; each is some hundred bytes.
const LINES_MAX: usize = 4096;

/// The lines that wait to be written. The lock is never held while something is written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is a line, or the last one has been written.
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// A line has been taken and is not written yet.
    writing: bool,
}

impl State {
    fn is_done(&self) -> bool {
        self.lines.is_empty() && !self.writing
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or loses it if too many wait.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.state();
        if state.lines.len() >= LINES_MAX {
            drop(state);
            return self.lose();
        }
        state.lines.push_back(line);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the next line; [`written`](Self::written) must follow.
    pub(super) fn take(&self) -> Vec<u8> {
        let state = self.state();
        let waited = self.changed.wait_while(state, |state| state.lines.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        state.lines.pop_front().expect("it waited for one")
    }

    /// The line that was taken is done with. Returns whether it was the last one.
    pub(super) fn written(&self) -> bool {
        let mut state = self.state();
        state.writing = false;
        let is_done = state.is_done();
        drop(state);
        self.changed.notify_all();
        is_done
    }

    /// A line could not be written.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many lines were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, for `time_max` at most.
    pub(super) fn flush(&self, time_max: Duration) {
        let state = self.state();
        let _ = self.changed.wait_timeout_while(state, time_max, |state| !state.is_done());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_nobody_empties_is_bounded_and_counts_what_it_loses() {
        let queue = Queue::default();
        for number in 0..LINES_MAX as u64 + 3 {
            queue.push(number.to_le_bytes().to_vec());
        }
        assert_eq!(queue.lost(), 3, "the newest");
        queue.flush(Duration::from_millis(1));
        for number in 0..LINES_MAX as u64 {
            assert_eq!(queue.take(), number.to_le_bytes(), "in their order");
            assert_eq!(queue.written(), number == LINES_MAX as u64 - 1);
        }
        queue.flush(Duration::MAX);
    }
}
