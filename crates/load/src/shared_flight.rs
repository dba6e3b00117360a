//! The messages under way of one sender, as the threads of a trial share them: when each was
//! written, and how many receivers of all threads lack it.
//!
//! A thread looks up a message once, when the first of its receivers gets it, and counts its own
//! receivers down by itself. Only when the last of them has the message is it entered here: twice
//! per message and thread, and not once per delivery.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

/// Slots that are made at a time, when the first of them is used: a short trial needs few.
const CHUNK_SLOTS: usize = 4096;

/// The latest messages of one sender. Its own thread writes; all look up and count down.
#[derive(Debug)]
pub(crate) struct SharedFlight {
    /// How many there are: a power of two.
    slots: usize,
    chunks: Vec<OnceLock<Box<[Slot]>>>,
}

/// The flights of all senders.
#[derive(Clone, Debug)]
pub(crate) struct SharedFlights(Arc<[SharedFlight]>);

#[derive(Debug, Default)]
struct Slot {
    at_ns: AtomicU64,
    /// The latest arrival at the last receiver of a thread.
    latest_ns: AtomicU64,
    /// Above, one more than the sequence; below, how many receivers lack it. 0 without a message.
    state: AtomicU64,
}

fn state(sequence: u32, waiting: u32) -> u64 {
    (u64::from(sequence) + 1) << 32 | u64::from(waiting)
}

impl SharedFlight {
    fn new(slots: usize) -> Self {
        let slots = slots.next_power_of_two();
        let chunks = slots.div_ceil(CHUNK_SLOTS);
        Self { slots, chunks: (0..chunks).map(|_| OnceLock::new()).collect() }
    }

    /// The chunk of the slot of `sequence`, and its place in there.
    fn place(&self, sequence: u32) -> (&OnceLock<Box<[Slot]>>, usize) {
        let at = sequence as usize & (self.slots - 1);
        (&self.chunks[at / CHUNK_SLOTS], at % CHUNK_SLOTS)
    }

    fn slot(&self, sequence: u32) -> Option<&Slot> {
        let (chunk, at) = self.place(sequence);
        Some(&chunk.get()?[at])
    }

    /// Notes that `sequence` is written now, and that `waiting` clients are to receive it.
    ///
    /// Before anybody can have received it; again if it was not wholly written after all.
    pub(crate) fn write(&self, sequence: u32, at_ns: u64, waiting: u32) {
        let (chunk, at) = self.place(sequence);
        let slots = CHUNK_SLOTS.min(self.slots);
        let slot = &chunk.get_or_init(|| (0..slots).map(|_| Slot::default()).collect())[at];
        // A thread that reads in between finds nothing.
        slot.state.store(0, SeqCst);
        slot.at_ns.store(at_ns, SeqCst);
        slot.latest_ns.store(0, SeqCst);
        slot.state.store(state(sequence, waiting), SeqCst);
    }

    /// When `sequence` was written; `None` if more messages than slots were sent since.
    pub(crate) fn written_ns(&self, sequence: u32) -> Option<u64> {
        let slot = self.slot(sequence)?;
        let is_held = || slot.state.load(SeqCst) >> 32 == u64::from(sequence) + 1;
        let at_ns = is_held().then(|| slot.at_ns.load(SeqCst))?;
        is_held().then_some(at_ns)
    }

    /// Notes that all `receivers` receivers of a thread have `sequence`, the last of them since
    /// `now_ns`. If nobody waits for it any more: when the last of all received it.
    pub(crate) fn arrive(&self, sequence: u32, receivers: u32, now_ns: u64) -> Option<u64> {
        let slot = self.slot(sequence)?;
        slot.latest_ns.fetch_max(now_ns, SeqCst);
        let mut held = slot.state.load(SeqCst);
        loop {
            if held >> 32 != u64::from(sequence) + 1 {
                return None;
            }
            let waiting = (held as u32).checked_sub(receivers)?;
            match slot.state.compare_exchange(held, state(sequence, waiting), SeqCst, SeqCst) {
                Ok(_) => return (waiting == 0).then(|| slot.latest_ns.load(SeqCst)),
                Err(now) => held = now,
            }
        }
    }
}

impl SharedFlights {
    /// Room for `slots` messages under way of each of `senders` senders.
    pub(crate) fn new(senders: usize, slots: usize) -> Self {
        Self((0..senders).map(|_| SharedFlight::new(slots)).collect())
    }

    #[inline]
    pub(crate) fn of(&self, sender: u16) -> &SharedFlight {
        &self.0[usize::from(sender)]
    }
}

/// They are the same ones.
impl PartialEq for SharedFlights {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_last_thread_to_have_a_message_learns_when_the_last_receiver_got_it() {
        let flight = SharedFlight::new(4);
        flight.write(0, 70, 5);
        assert_eq!(flight.written_ns(0), Some(70));
        assert_eq!(flight.arrive(0, 2, 90), None);
        assert_eq!(flight.arrive(0, 3, 80), Some(90), "the other thread was later, and told first");
        assert_eq!(flight.arrive(0, 1, 95), None);
    }

    #[test]
    fn a_message_whose_slot_was_needed_again_is_unknown() {
        let flight = SharedFlight::new(4);
        (0..5).for_each(|sequence| flight.write(sequence, sequence.into(), 1));
        assert_eq!((flight.written_ns(0), flight.written_ns(4)), (None, Some(4)));
        assert_eq!(flight.arrive(0, 1, 9), None);
        assert_eq!(flight.arrive(4, 1, 9), Some(9));
        assert_eq!(SharedFlight::new(4).written_ns(0), None);
    }

    #[test]
    fn of_threads_that_count_down_at_once_exactly_one_is_the_last() {
        const MESSAGES: u32 = 2_000;
        let flight = SharedFlight::new(MESSAGES as usize);
        (0..MESSAGES).for_each(|sequence| flight.write(sequence, 1, 3));
        let last: usize = thread::scope(|scope| {
            let count = || {
                let last = |&it: &u32| flight.arrive(it, 1, 5) == Some(5);
                (0..MESSAGES).filter(last).count()
            };
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(last, MESSAGES as usize);
    }
}
