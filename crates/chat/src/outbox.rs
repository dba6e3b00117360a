//! Messages on their way from the keyboard to the connection.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use zillions_protocol::{TooLong, encode};

/// The most that waits while a server does not read, in bytes.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// What waits, and a descriptor that is readable when that has changed.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Whole frames.
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    closed: bool,
}

/// Why messages were not taken: a server does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Outbox {
    pub(crate) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { waiting: Mutex::default(), wake })
    }

    /// Takes all of `bodies` or none.
    pub(crate) fn send(&self, bodies: &[Vec<u8>]) -> Result<(), Full> {
        let frames: Result<Vec<Vec<u8>>, TooLong> = bodies
            .iter()
            .map(|body| {
                let mut frame = Vec::new();
                encode(body, &mut frame).map(|()| frame)
            })
            .collect();
        let frames = frames.expect("bodies are cut to the length of a message");
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let mut waiting = self.lock();
        if waiting.bytes + bytes > WAITING_BYTES_MAX {
            return Err(Full);
        }
        waiting.bytes += bytes;
        waiting.frames.extend(frames);
        drop(waiting);
        self.wake();
        Ok(())
    }

    /// Takes the frames that wait, and how many they are.
    pub(crate) fn take(&self) -> (Vec<u8>, usize) {
        let mut waiting = self.lock();
        let number = waiting.frames.len();
        waiting.bytes = 0;
        (waiting.frames.drain(..).flatten().collect(), number)
    }

    /// No more is sent: the connection may end when all that waits has left.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Makes the descriptor unreadable until something changes.
    pub(crate) fn calm(&self) {
        // Nothing there is the same.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    fn wake(&self) {
        // It can only be full, and so readable.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_paste_is_taken_or_none_and_what_waits_is_bounded() {
        let outbox = Outbox::new().expect("a descriptor");
        let paste = vec![vec![b'x'; 255]; 200];
        assert_eq!(outbox.send(&paste), Ok(()));
        assert_eq!(outbox.send(&paste), Err(Full));
        let (frames, number) = outbox.take();
        assert_eq!((frames.len(), number), (200 * 256, 200));
        assert_eq!(outbox.send(&paste), Ok(()));
    }
}
