//! How a thread waits for something to do without missing that there is something.
//!
//! The thread stores that it parks and then loads whether it was notified; a notifier stores that
//! and then loads whether the thread is parked. With the fences in between one of the two sees the
//! other. So a thread that runs costs its notifiers no system call, and a parked one costs one.

use std::sync::atomic::{AtomicBool, Ordering, fence};

use crate::engine::Wake;

/// One thread, as its notifiers see it.
pub(crate) struct Parker {
    wake: Wake,
    /// It waits, or is about to.
    parked: AtomicBool,
    /// It was notified since it last looked.
    notified: AtomicBool,
}

impl Parker {
    pub(crate) fn new(wake: Wake) -> Self {
        Self { wake, parked: AtomicBool::new(false), notified: AtomicBool::new(false) }
    }

    /// Makes the thread look again at what there is to do, and wakes it if it is parked.
    pub(crate) fn notify(&self) {
        self.notified.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// Whether the thread may wait now. `false`: it was notified and must look again.
    pub(crate) fn park(&self) -> bool {
        self.parked.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let parks = !self.notified.load(Ordering::Acquire);
        if !parks {
            self.unpark();
        }
        parks
    }

    /// The thread runs again and takes note of its notifications.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Release);
        self.notified.swap(false, Ordering::AcqRel);
    }
}
