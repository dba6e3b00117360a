//! Pins and slices: the reading half of the log.

use std::fmt;

use zillions_protocol::HEADER_BYTES;

use crate::Mark;
use crate::index::block_start;
use crate::log::{Shared, UNPINNED};
use crate::sync::{Arc, Ordering, fence};

/// The position is gone: it has been, or may any moment be, overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("position {position} has left the log")]
pub struct Overrun {
    /// What was to be pinned.
    pub position: u64,
}

/// One reading thread's access to the log, made by [`Log::reader`](crate::Log::reader).
///
/// It has one pin, below which it uses nothing. It may serve any number of
/// positions: those at or above the pin are safe, others have to be pinned
/// first, which fails if they have left the log.
pub struct Reader {
    shared: Arc<Shared>,
    number: usize,
    /// What `shared.pins[number]` holds; only this reader changes it.
    pinned: u64,
    /// The head as this reader last acquired it: it may read up to here.
    head: Mark,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Self {
        let mut reader = Self { shared, number, pinned: UNPINNED, head: Mark::default() };
        reader.pin_head();
        reader
    }

    /// Looks at the head: what was appended before can now be read.
    pub fn refresh(&mut self) -> Mark {
        self.head = self.shared.head();
        self.head
    }

    /// The head as of the last [`refresh`](Self::refresh).
    #[must_use]
    pub fn head(&self) -> Mark {
        self.head
    }

    /// Moves the pin to `position`, up or down.
    ///
    /// # Errors
    /// When `position` is below the pin held so far and has left the log; that
    /// pin then still stands.
    ///
    /// # Panics
    /// When `position` is above the head last seen.
    pub fn pin(&mut self, position: u64) -> Result<(), Overrun> {
        assert!(position <= self.head.position, "a pin cannot pass the head");
        let pin = &self.shared.pins[self.number].0;
        // Release: a writer that sees the pin moved up comes after all reads below it.
        pin.store(position, Ordering::Release);
        // Stored before the window's start is loaded; see `Shared::make_room`. Also stored
        // before a later `writer_waits` looks for a waiting writer.
        fence(Ordering::SeqCst);
        // Upwards there is nothing to ask: what is above a pin is safe already.
        let downwards = position < self.pinned;
        if downwards && self.shared.window_start.0.load(Ordering::Acquire) > position {
            // The pin held so far was the higher one, so it has not been lifted for a moment.
            pin.store(self.pinned, Ordering::Release);
            fence(Ordering::SeqCst);
            return Err(Overrun { position });
        }
        self.pinned = position;
        Ok(())
    }

    /// Looks at the head and pins it. Never fails: it tries until it has caught up.
    pub fn pin_head(&mut self) -> Mark {
        loop {
            let head = self.refresh();
            if self.pin(head.position).is_ok() {
                return head;
            }
        }
    }

    /// Holds nothing any more, so that it does not keep writers from going on.
    pub fn unpin(&mut self) {
        self.shared.pins[self.number].0.store(UNPINNED, Ordering::Release);
        // Before a later `writer_waits`, as in `pin`.
        fence(Ordering::SeqCst);
        self.pinned = UNPINNED;
    }

    /// The pin, if one is held.
    #[must_use]
    pub fn pinned(&self) -> Option<u64> {
        Some(self.pinned).filter(|&pinned| pinned != UNPINNED)
    }

    /// Whether a writer found the ring full since this was last asked, by
    /// whatever reader. To be asked after moving the pin; whoever is told so has
    /// to see to it that the writer tries again.
    #[must_use = "a writer waits for being told"]
    pub fn writer_waits(&self) -> bool {
        let waits = &self.shared.writer_waits;
        waits.load(Ordering::Relaxed) && waits.swap(false, Ordering::AcqRel)
    }

    /// The bytes from one position to another.
    ///
    /// # Panics
    /// When `from` is below the pin, `to` above the head last seen, or `from`
    /// above `to`.
    #[must_use]
    pub fn bytes(&self, from: u64, to: u64) -> &[u8] {
        assert!(
            self.pinned <= from && from <= to && to <= self.head.position,
            "{from}..{to} is not within {}..{}",
            self.pinned,
            self.head.position
        );
        // SAFETY: both ends lie between the pin and a head that was loaded with acquire, so the
        // bytes are written. The pin stands as long as `self` is borrowed, and no writer passes
        // it: it was valid when set (`pin`), and `Shared::make_room` sees it. From pin to head
        // is at most the ring's size, for the same reason.
        unsafe { self.shared.ring.slice(from, (to - from) as usize) }
    }

    /// The first frame boundary at or after `position`, with its message number.
    ///
    /// Walks at most one block of frames.
    ///
    /// # Panics
    /// When `position` is not between the pin and the head last seen.
    #[must_use]
    pub fn boundary(&self, position: u64) -> Mark {
        if position == self.head.position {
            return self.head;
        }
        assert!(self.pinned <= position && position < self.head.position, "it is not pinned");
        let mut mark = self.shared.index.first_in_block(position, self.head);
        if mark.position >= position {
            return mark;
        }
        let first = mark.position;
        // SAFETY: `first` lies in the block of `position`. The pin keeps that whole block, because
        // writers round pins down to blocks, so this may reach below the pin itself. The rest as
        // in `bytes`.
        let frames =
            unsafe { self.shared.ring.slice(first, (self.head.position - first) as usize) };
        while mark.position < position {
            let length = frames[(mark.position - first) as usize];
            mark.position += (HEADER_BYTES + usize::from(length)) as u64;
            mark.message += 1;
        }
        mark
    }

    /// Finds a frame about `lag_bytes` behind the head last seen (up to a block
    /// more) that is safe to read from, in constant time.
    ///
    /// The lag is cut to two thirds of what the log keeps: who jumps to the
    /// brink is soon lost again. The pin is moved down to the frame if it is
    /// above, and stays otherwise; so what was safe before stays safe.
    pub fn jump(&mut self, lag_bytes: u64) -> Mark {
        let lag_bytes = lag_bytes.min(self.shared.window_bytes() as u64 * 2 / 3);
        loop {
            let target = block_start(self.head.position.saturating_sub(lag_bytes));
            if target >= self.pinned || self.pin(target).is_ok() {
                return self.shared.index.first_in_block(target, self.head);
            }
            // Writers have run far ahead of the head last seen.
            if let Some(pinned) = self.pinned() {
                return self.boundary(pinned);
            }
            self.refresh();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.give_back(self.number);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("pinned", &self.pinned())
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}
