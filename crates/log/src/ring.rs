//! The ring's memory: the same pages mapped twice, one after the other, so that
//! a slice that runs over the end continues at the beginning.

use std::ptr::{self, NonNull};
use std::slice;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// `bytes` bytes of memory at `base`, and the same bytes again at `base + bytes`.
pub(crate) struct Ring {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: `base` is memory that this value alone owns, and a mapping belongs to
// the process, not to a thread. Which bytes may be accessed when is the contract
// of `write` and `slice`, whichever thread calls them.
unsafe impl Send for Ring {}
// SAFETY: as above; no method changes the ring's own fields.
unsafe impl Sync for Ring {}

impl Ring {
    /// Maps a ring of `bytes` bytes, a power of two and a multiple of the page size.
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        let file = memfd_create("zillions-log", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, bytes as u64)?;
        // SAFETY: a null hint lets the kernel choose free addresses; nothing of ours is there.
        let base = unsafe {
            mmap_anonymous(ptr::null_mut(), 2 * bytes, ProtFlags::empty(), MapFlags::PRIVATE)
        }?;
        let base = NonNull::new(base.cast::<u8>()).expect("no mapping lies at address 0");
        let ring = Self { base, bytes };
        for half in [0, bytes] {
            // All pages at once: a shortage of memory shows now, and use never grows later.
            let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::POPULATE;
            // SAFETY: `half..half + bytes` lies in the 2 × `bytes` reserved above, which are
            // ours alone and hold nothing yet, so that FIXED replaces only our reservation.
            unsafe {
                let address = ring.base.as_ptr().add(half).cast();
                mmap(address, bytes, ProtFlags::READ | ProtFlags::WRITE, flags, &file, 0)
            }?;
        }
        Ok(ring)
    }

    fn index(&self, byte: u64) -> usize {
        byte as usize & (self.bytes - 1)
    }

    /// Copies `frames` to `byte` and the bytes after it.
    ///
    /// # Safety
    /// `frames` is no longer than the ring. Until the caller publishes the new
    /// head, no other thread reads or writes these bytes, nor the bytes one lap
    /// earlier or later; and a reader sees them only through an acquiring load
    /// of what the caller then stores with release.
    pub(crate) unsafe fn write(&self, byte: u64, frames: &[u8]) {
        debug_assert!(frames.len() <= self.bytes);
        // SAFETY: index < bytes and length <= bytes, so the range ends within the double mapping.
        // `frames` is a live Rust slice of other memory: a slice of this ring could only be one
        // that is pinned, and the caller's contract excludes writing there.
        unsafe {
            let target = self.base.as_ptr().add(self.index(byte));
            ptr::copy_nonoverlapping(frames.as_ptr(), target, frames.len());
        }
    }

    /// The bytes from `byte` on.
    ///
    /// # Safety
    /// `length` is at most the ring's. The bytes were written, their writer's
    /// release is ordered before this call, and nobody overwrites them while
    /// the slice lives.
    pub(crate) unsafe fn slice(&self, byte: u64, length: usize) -> &[u8] {
        debug_assert!(length <= self.bytes);
        // SAFETY: within the double mapping as in `write`; initialised (the kernel zeroes pages,
        // and writers fill them); unchanging while borrowed by the caller's contract. A byte may
        // have been written through the other half of the mapping, which the compiler takes for
        // other memory: the release and acquire between that write and this read keep it from
        // moving either across, and the processor's caches work on physical addresses.
        unsafe { slice::from_raw_parts(self.base.as_ptr().add(self.index(byte)), length) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` reserved; slices borrow the ring, so none is left.
        // An error would mean that the addresses are wrong: then leaking is the safe choice.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), 2 * self.bytes) };
    }
}
