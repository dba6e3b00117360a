//! How many servers are under test at the same time.

use std::sync::{Condvar, Mutex, PoisonError};

use zillions_faulty::Knobs;

/// What there is to share. A fault takes one: it mostly makes the suite wait.
pub(crate) const SHARES: usize = 6;
/// What a correct server takes, on which the whole suite runs.
const SHARES_CORRECT: usize = 2;
/// What one takes that takes its time for each byte or delivery.
const SHARES_TOILING: usize = 4;

static FREE: Mutex<usize> = Mutex::new(SHARES);
static FREED: Condvar = Condvar::new();

/// A part of the machine, given back when dropped.
pub(crate) struct Share(usize);

impl Share {
    pub(crate) fn of_a_fault() -> Self {
        Self::take(1)
    }

    pub(crate) fn of_a_correct_server(knobs: &Knobs) -> Self {
        let usual = Knobs::default();
        let toils = knobs.slow_microseconds != usual.slow_microseconds
            || knobs.write_bytes_max != usual.write_bytes_max;
        Self::take(if toils { SHARES_TOILING } else { SHARES_CORRECT })
    }

    fn take(shares: usize) -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            FREED.wait_while(free, |free| *free < shares).unwrap_or_else(PoisonError::into_inner);
        *free -= shares;
        Self(shares)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        FREED.notify_all();
    }
}
