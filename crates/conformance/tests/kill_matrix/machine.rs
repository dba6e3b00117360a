//! How many servers are under test at the same time.

use std::sync::{Condvar, Mutex, PoisonError};

use zillions_faulty::{Knobs, Oddity, Shows};

/// The shares of the machine.
const SHARES: usize = 16;
/// Tests that run at once: more than can have a share, so that small ones use what
/// large ones leave.
pub(crate) const TESTS_AT_ONCE: usize = 26;
/// The share of a fault that shows by a time-out or a delay: the suite waits.
const SHARES_WAITING: usize = 1;
/// The share of a fault that shows at once: the suite is busy until it does.
const SHARES_BUSY: usize = 3;
/// The share of a correct server, on which the whole suite runs.
const SHARES_CORRECT: usize = 4;
/// The share of a correct server that works for each byte or delivery.
const SHARES_WORKING: usize = 8;
/// The share of a correct server that mostly waits.
const SHARES_IDLE: usize = 2;

static FREE: Mutex<usize> = Mutex::new(SHARES);
static FREED: Condvar = Condvar::new();

/// A part of the machine, given back when dropped.
pub(crate) struct Share(usize);

impl Share {
    pub(crate) fn of_a_fault(shows: Shows) -> Self {
        Self::take(if shows == Shows::Immediate { SHARES_BUSY } else { SHARES_WAITING })
    }

    pub(crate) fn of_a_correct_server(oddity: &Oddity) -> Self {
        let (knobs, usual) = (&oddity.knobs, Knobs::default());
        let works = knobs.slow_microseconds != usual.slow_microseconds
            || knobs.write_bytes_max != usual.write_bytes_max;
        Self::take(match (works, oddity.waits_mostly()) {
            (true, _) => SHARES_WORKING,
            (false, true) => SHARES_IDLE,
            (false, false) => SHARES_CORRECT,
        })
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
