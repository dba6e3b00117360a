//! The messages under way of one sender: when each was written and how many receivers lack it.

use std::ops::Range;

/// The latest messages of one sender, and which of its messages count.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    slots: Vec<Slot>,
    /// The sequences that were meant to be sent within the window.
    pub(crate) counted: Range<u32>,
    /// Messages of the window that were due and could not even be queued.
    pub(crate) refused_in_window: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    written_ns: u64,
    sequence: u32,
    /// Receivers that have not received it; 0 in a slot without a message.
    waiting: u32,
}

/// What a delivery shows about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) written_ns: u64,
    /// Whether every receiver has it now.
    pub(crate) is_last: bool,
}

impl Flight {
    /// Room for `slots` messages under way, rounded up to a power of two.
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            slots: vec![Slot::default(); slots.next_power_of_two()],
            counted: 0..0,
            refused_in_window: 0,
        }
    }

    /// Notes that `sequence` was meant to be sent within the window.
    #[inline]
    pub(crate) fn count(&mut self, sequence: u32) {
        if self.counted.is_empty() {
            self.counted = sequence..sequence;
        }
        self.counted.end = sequence + 1;
    }

    /// Notes that the last byte of `sequence` was written; `waiting` clients are to receive it.
    #[inline]
    pub(crate) fn write(&mut self, sequence: u32, written_ns: u64, waiting: u32) {
        let at = self.slot(sequence);
        self.slots[at] = Slot { written_ns, sequence, waiting };
    }

    /// Notes one delivery of `sequence`; `None` if more messages than slots were sent since.
    #[inline]
    pub(crate) fn arrive(&mut self, sequence: u32) -> Option<Arrival> {
        let at = self.slot(sequence);
        let slot = &mut self.slots[at];
        if slot.sequence != sequence || slot.waiting == 0 {
            return None;
        }
        slot.waiting -= 1;
        Some(Arrival { written_ns: slot.written_ns, is_last: slot.waiting == 0 })
    }

    #[inline]
    fn slot(&self, sequence: u32) -> usize {
        sequence as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delivery_to_the_last_receiver_is_known() {
        let mut flight = Flight::new(4);
        flight.write(0, 70, 2);
        assert_eq!(flight.arrive(0), Some(Arrival { written_ns: 70, is_last: false }));
        assert_eq!(flight.arrive(0), Some(Arrival { written_ns: 70, is_last: true }));
        assert_eq!(flight.arrive(0), None);
    }

    #[test]
    fn a_message_whose_slot_was_needed_again_is_unknown() {
        let mut flight = Flight::new(4);
        for sequence in 0..5 {
            flight.write(sequence, 0, 1);
        }
        assert_eq!(flight.arrive(0), None);
        assert!(flight.arrive(1).is_some());
        assert!(flight.arrive(4).is_some());
    }

    #[test]
    fn the_counted_sequences_are_a_range() {
        let mut flight = Flight::new(1);
        for sequence in 3..6 {
            flight.count(sequence);
        }
        assert_eq!(flight.counted, 3..6);
    }
}
