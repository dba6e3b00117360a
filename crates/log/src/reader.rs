//! Pins and slices: the reading half of the log.

use std::fmt;

use zillions_protocol::HEADER_BYTES;

use crate::error::Overrun;
use crate::index::block_start;
use crate::offset::Offset;
use crate::shared::{Shared, UNPINNED};
use crate::sync::{Arc, Ordering, fence};

/// One reading thread's access to the log, made by [`Log::reader`](crate::Log::reader).
///
/// It has one pin, below which it reads nothing. Bytes at or above the pin are
/// safe to read; others must be pinned first, which fails if they have left the
/// log.
pub struct Reader {
    shared: Arc<Shared>,
    number: usize,
    /// The value of `shared.pins[number]`, which only this reader changes.
    pinned: u64,
    /// The head as this reader last acquired it: it may read up to here.
    head: Offset,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Self {
        let mut reader = Self { shared, number, pinned: UNPINNED, head: Offset::default() };
        reader.pin_head();
        reader
    }

    /// Loads the head: what was appended before can now be read.
    pub fn refresh(&mut self) -> Offset {
        self.head = self.shared.head();
        self.head
    }

    /// The head as of the last [`refresh`](Self::refresh).
    #[must_use]
    pub fn head(&self) -> Offset {
        self.head
    }

    /// Moves the pin to `byte`, up or down.
    ///
    /// # Errors
    /// When `byte` is below the current pin and has left the log; that pin is
    /// then kept.
    ///
    /// # Panics
    /// When `byte` is above the head last seen.
    pub fn pin(&mut self, byte: u64) -> Result<(), Overrun> {
        assert!(byte <= self.head.bytes, "a pin cannot pass the head");
        let pin = &self.shared.pins[self.number].0;
        // Release: a writer that sees the pin moved up comes after all reads below it.
        pin.store(byte, Ordering::Release);
        // Stored before the window's start is loaded; see `Shared::reclaim`. Also stored
        // before a later `writer_waits` looks for a waiting writer.
        fence(Ordering::SeqCst);
        // Upwards there is nothing to check: what is above a pin is safe already.
        let downwards = byte < self.pinned;
        if downwards && self.shared.window_start.0.load(Ordering::Acquire) > byte {
            // The kept pin is the higher one, so it was in force all along.
            pin.store(self.pinned, Ordering::Release);
            fence(Ordering::SeqCst);
            return Err(Overrun { byte });
        }
        self.pinned = byte;
        Ok(())
    }

    /// Loads the head and pins it. Never fails: it retries until it has caught up.
    pub fn pin_head(&mut self) -> Offset {
        loop {
            let head = self.refresh();
            if self.pin(head.bytes).is_ok() {
                return head;
            }
        }
    }

    /// Gives up the pin, so that it does not block writers.
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

    /// Whether a writer has found the ring full since any reader last called
    /// this. Call it after moving the pin; a caller that gets `true` must make
    /// the writer retry.
    #[must_use = "a writer waits to be notified"]
    pub fn writer_waits(&self) -> bool {
        let waits = &self.shared.writer_waits;
        waits.load(Ordering::Relaxed) && waits.swap(false, Ordering::AcqRel)
    }

    /// The bytes from one byte offset to another.
    ///
    /// # Panics
    /// When `from` is below the pin, `to` above the head last seen, or `from`
    /// above `to`.
    #[must_use]
    pub fn bytes(&self, from: u64, to: u64) -> &[u8] {
        assert!(
            self.pinned <= from && from <= to && to <= self.head.bytes,
            "{from}..{to} is not within {}..{}",
            self.pinned,
            self.head.bytes
        );
        // SAFETY: both ends lie between the pin and a head that was loaded with acquire, so the
        // bytes are written. The pin is kept as long as `self` is borrowed, and no writer passes
        // it: it was valid when set (`pin`), and `Shared::reclaim` sees it. From pin to head
        // is at most the ring's size, for the same reason.
        unsafe { self.shared.ring.slice(from, (to - from) as usize) }
    }

    /// The first frame boundary at or after `byte`, with its message number.
    ///
    /// Walks at most one block of frames.
    ///
    /// # Panics
    /// When `byte` is not between the pin and the head last seen.
    #[must_use]
    pub fn boundary(&self, byte: u64) -> Offset {
        if byte == self.head.bytes {
            return self.head;
        }
        assert!(self.pinned <= byte && byte < self.head.bytes, "byte {byte} is not pinned");
        let mut offset = self.shared.index.first_in_block(byte, self.head);
        if offset.bytes >= byte {
            return offset;
        }
        let first = offset.bytes;
        // SAFETY: `first` lies in the block of `byte`. The pin keeps that whole block, because
        // writers round pins down to blocks, so this may reach below the pin itself. The rest as
        // in `bytes`.
        let frames = unsafe { self.shared.ring.slice(first, (self.head.bytes - first) as usize) };
        while offset.bytes < byte {
            let length = frames[(offset.bytes - first) as usize];
            offset.bytes += (HEADER_BYTES + usize::from(length)) as u64;
            offset.messages += 1;
        }
        offset
    }

    /// Finds a frame about `lag_bytes` behind the head last seen (up to a block
    /// more) that is safe to read from, in constant time.
    ///
    /// The lag is limited to two thirds of what the log keeps: a reader that
    /// jumps to the oldest frame is overrun again soon. The pin is moved down to
    /// the frame if it is above, and kept otherwise, so what was safe before
    /// stays safe.
    pub fn jump(&mut self, lag_bytes: u64) -> Offset {
        let lag_bytes = lag_bytes.min(self.shared.window_bytes() as u64 * 2 / 3);
        loop {
            let target = block_start(self.head.bytes.saturating_sub(lag_bytes));
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
