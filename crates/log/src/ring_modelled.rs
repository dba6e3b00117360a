//! The ring for loom: plain memory, and beside every granule a cell that fails
//! the model when a read and a write of it are not ordered.

use std::io;

use loom::cell::UnsafeCell;

/// The models append frames of multiples of this size, so that neighbours in
/// one granule are never mistaken for a race.
const GRANULE_BYTES: usize = 64;

pub(crate) struct Ring {
    /// Both halves, each written in full: what the mirrored mapping does in hardware.
    memory: std::cell::UnsafeCell<Vec<u8>>,
    granules: Vec<UnsafeCell<()>>,
    bytes: usize,
}

// SAFETY: accesses are checked by the cells in `granules`; loom runs one thread at a time.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        let granules = (0..bytes / GRANULE_BYTES).map(|_| UnsafeCell::new(())).collect();
        Ok(Self { memory: std::cell::UnsafeCell::new(vec![0; 2 * bytes]), granules, bytes })
    }

    fn granules(&self, byte: u64, length: usize) -> impl Iterator<Item = &UnsafeCell<()>> {
        let first = byte as usize / GRANULE_BYTES;
        let last = (byte as usize + length).div_ceil(GRANULE_BYTES);
        (first..last).map(|granule| &self.granules[granule % self.granules.len()])
    }

    /// # Safety
    /// As the real ring's; here a breach fails the model.
    pub(crate) unsafe fn write(&self, byte: u64, frames: &[u8]) {
        self.granules(byte, frames.len()).for_each(|granule| granule.with_mut(|_| ()));
        for (number, value) in frames.iter().enumerate() {
            let index = (byte as usize + number) % self.bytes;
            // SAFETY: in range; loom runs one thread at a time, and the cells check the order.
            unsafe {
                let memory = (*self.memory.get()).as_mut_ptr();
                memory.add(index).write(*value);
                memory.add(index + self.bytes).write(*value);
            }
        }
    }

    /// # Safety
    /// As the real ring's; here a breach fails the model.
    pub(crate) unsafe fn slice(&self, byte: u64, length: usize) -> &[u8] {
        self.granules(byte, length).for_each(|granule| granule.with(|_| ()));
        let index = byte as usize % self.bytes;
        // SAFETY: in range of the two halves.
        unsafe { &(&*self.memory.get())[index..index + length] }
    }
}
