//! The messages under way of one sender: when each was written and how many receivers lack it.

use std::ops::Range;

/// The latest messages of one sender, and which of its messages count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flight {
    /// A power of two.
    slots: usize,
    /// The slots that were used so far.
    written: Vec<Written>,
    /// Beside each of these, how many receivers have not received it; 0 in a slot without a
    /// message. Apart from the rest, so that many are counted down with few instructions.
    waiting: Vec<u32>,
    /// The latest sequences that were written one after the other and are all still in their slots.
    remembered: Range<u32>,
    /// The sequences that were meant to be sent within the window.
    pub(crate) counted: Range<u32>,
    /// Messages of the window that were due and could not even be queued.
    pub(crate) refused_in_window: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    at_ns: u64,
    sequence: u32,
    /// How many were to receive it.
    receivers: u32,
}

/// What a delivery shows about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) written_ns: u64,
    /// Whether every receiver has it now.
    pub(crate) is_last: bool,
}

/// What the deliveries of several messages to one receiver show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrivals {
    /// How many of the messages some receiver had not received.
    pub(crate) waited_for: u32,
    /// How many every receiver has now.
    pub(crate) last: u32,
}

impl Flight {
    /// Room for `slots` messages under way, rounded up to a power of two.
    pub(crate) fn new(slots: usize) -> Self {
        let slots = slots.next_power_of_two();
        Self {
            slots,
            written: Vec::with_capacity(slots),
            waiting: Vec::with_capacity(slots),
            remembered: 0..0,
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
        if at >= self.written.len() {
            self.written.resize(at + 1, Written::default());
            self.waiting.resize(at + 1, 0);
        }
        self.written[at] = Written { at_ns: written_ns, sequence, receivers: waiting };
        self.waiting[at] = waiting;
        if sequence != self.remembered.end {
            self.remembered.start = sequence;
        }
        let oldest = (sequence + 1).saturating_sub(self.slots as u32);
        self.remembered = self.remembered.start.max(oldest)..sequence + 1;
    }

    /// Notes one delivery of `sequence`; `None` if more messages than slots were sent since.
    #[inline]
    pub(crate) fn arrive(&mut self, sequence: u32) -> Option<Arrival> {
        let at = self.slot(sequence);
        let Written { at_ns, sequence: held, .. } = *self.written.get(at)?;
        let waiting = &mut self.waiting[at];
        if held != sequence || *waiting == 0 {
            return None;
        }
        *waiting -= 1;
        Some(Arrival { written_ns: at_ns, is_last: *waiting == 0 })
    }

    /// Whether `sequence` is in its slot.
    pub(crate) fn holds(&self, sequence: u32) -> bool {
        self.written
            .get(self.slot(sequence))
            .is_some_and(|it| it.sequence == sequence && it.receivers > 0)
    }

    /// Whether one of `sequences` is lacked by one receiver only.
    pub(crate) fn lacks_one(&self, sequences: Range<u32>) -> bool {
        let (begin, number) = (self.slot(sequences.start), sequences.len());
        let before_the_end = number.min(self.slots - begin);
        let parts =
            [&self.waiting[begin..][..before_the_end], &self.waiting[..number - before_the_end]];
        parts.into_iter().any(|part| part.contains(&1))
    }

    /// How many were to receive `sequence`, if all but one of them have it.
    pub(crate) fn all_but_one(&self, sequence: u32) -> Option<u32> {
        let at = self.slot(sequence);
        let written = self.written.get(at).filter(|it| it.sequence == sequence)?;
        (self.waiting[at] == 1).then_some(written.receivers)
    }

    /// What counts, without the messages under way.
    pub(crate) fn settled(self) -> Self {
        Self { counted: self.counted, refused_in_window: self.refused_in_window, ..Self::new(1) }
    }

    /// Whether all of `sequences` are in their slots.
    #[inline]
    pub(crate) fn remembers(&self, sequences: &Range<u32>) -> bool {
        self.remembered.start <= sequences.start && sequences.end <= self.remembered.end
    }

    /// Notes one delivery of each of `sequences`, all of which are [remembered](Self::remembers).
    #[inline]
    pub(crate) fn arrive_all(&mut self, sequences: Range<u32>) -> Arrivals {
        let (begin, number) = (self.slot(sequences.start), sequences.len());
        let before_the_end = number.min(self.slots - begin);
        let mut arrivals = Arrivals::default();
        arrivals.count_down(&mut self.waiting[begin..begin + before_the_end]);
        arrivals.count_down(&mut self.waiting[..number - before_the_end]);
        arrivals
    }

    #[inline]
    fn slot(&self, sequence: u32) -> usize {
        sequence as usize & (self.slots - 1)
    }
}

impl Arrivals {
    /// Without a branch per message, so that it is compiled to vector instructions.
    #[inline]
    fn count_down(&mut self, waiting: &mut [u32]) {
        let (mut waited_for, mut last) = (0, 0);
        for waiting in waiting {
            let is_waited_for = u32::from(*waiting != 0);
            waited_for += is_waited_for;
            last += u32::from(*waiting == 1);
            *waiting -= is_waited_for;
        }
        self.waited_for += waited_for;
        self.last += last;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn sequences_are_remembered_as_long_as_they_were_written_in_turn_and_have_their_slots() {
        let mut flight = Flight::new(4);
        (0..3).for_each(|sequence| flight.write(sequence, 0, 1));
        assert!(flight.remembers(&(0..3)) && flight.remembers(&(1..2)));
        assert!(!flight.remembers(&(2..4)));
        (3..6).for_each(|sequence| flight.write(sequence, 0, 1));
        assert!(!flight.remembers(&(1..3)), "1 has lost its slot to 5");
        assert!(flight.remembers(&(2..6)));
        flight.write(9, 0, 1);
        assert!(!flight.remembers(&(5..6)), "5 has lost its slot to 9");
        assert!(flight.remembers(&(9..10)));
    }

    proptest! {
        /// Many at once, across the end of the slots too, is one by one.
        #[test]
        fn all_at_once_is_one_after_the_other(
            receivers in prop::collection::vec(0_u32..4, 1..40),
            ranges in prop::collection::vec((0_u32..40, 1_u32..12), 0..20),
        ) {
            let mut at_once = Flight::new(16);
            for (sequence, &receivers) in receivers.iter().enumerate() {
                at_once.write(sequence as u32, 5, receivers);
            }
            let mut one_by_one = at_once.clone();
            for (start, length) in ranges {
                let sequences = start..start + length;
                if !at_once.remembers(&sequences) {
                    continue;
                }
                let arrivals: Vec<_> =
                    sequences.clone().filter_map(|it| one_by_one.arrive(it)).collect();
                let expected = Arrivals {
                    waited_for: arrivals.len() as u32,
                    last: arrivals.iter().filter(|it| it.is_last).count() as u32,
                };
                prop_assert_eq!(at_once.arrive_all(sequences), expected);
            }
            prop_assert_eq!(at_once, one_by_one);
        }
    }
}
