//! Whether memory stops growing, one part of a load after the other. Pure: it is given what was
//! measured.

use std::time::Duration;

/// Parts after which a server that still grows counts as unbounded; it has one more
/// for each [`PART_BYTES`] that it begins with, for a collector may let a heap double.
const PARTS_MAX: u64 = 16;
/// The memory that gives one more part, in bytes.
const PART_BYTES: u64 = 6 << 20;
/// One whose growth slows down may need so many times as many parts until it has stopped.
const SLOWING_PARTS: u64 = 3;
/// Growth has slowed down if the later half of the parts raised the peak by less than this fraction
/// of what the earlier half did; what leaks raises it by as much in both.
const SLOWING_MAX: f64 = 0.75;
/// A server that begins with more than this, in bytes, goes on until it has doubled,
/// and some more, for nothing is collected before.
const LARGE_BYTES: u64 = 128 << 20;
/// How long a large one goes on that has not doubled: after that the answer is unknown.
const LARGE_TIME: Duration = Duration::from_secs(30);
/// A part in which a server takes less than this fraction of the average, as its denominator, shows
/// nothing: it was busy, or held the senders back.
const IDLE_PART: u64 = 4;
/// After so many of those in a row the server takes no more.
const IDLE_PARTS_MAX: usize = 4;
/// A part that adds less than this, in bytes, adds next to nothing: heaps
/// grow in steps.
const NOISE_BYTES: u64 = 512 * 1024;
/// A part that adds less than this fraction of what it sent does, too.
const GROWTH_MAX: f64 = 0.25;
/// Parts in a row that must add next to nothing.
const STEADY_PARTS: usize = 2;
/// Memory that no server needs for this, in bytes: what a virtual machine
/// takes by default, and room to spare.
const RESIDENT_BYTES_MAX: u64 = 2 << 30;
/// Parts that [`Growth::course`] shows, from the first and from the last ones.
const PARTS_SHOWN: usize = 4;

/// What is known after a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Not enough yet.
    GoOn,
    /// It has stopped growing.
    Steady,
    /// It grows and grows.
    Unbounded,
    /// It grows, but may yet stop, and that takes too long to see.
    Unknown,
}

/// The memory of a server while the same load goes on.
#[derive(Debug)]
pub(crate) struct Growth {
    begun: u64,
    resident: u64,
    handled: u64,
    steady: usize,
    idle: usize,
    /// What each part added, what was sent in it, and what was in use after it, in bytes.
    parts: Vec<(u64, u64, u64)>,
}

impl Growth {
    /// From `resident` bytes on.
    pub(crate) fn begin(resident: u64) -> Self {
        Self { begun: resident, resident, handled: 0, steady: 0, idle: 0, parts: Vec::new() }
    }

    /// A further part, in which the server was sent `bytes`; after it `resident` bytes
    /// are in use, `elapsed` after the beginning.
    pub(crate) fn part(&mut self, bytes: u64, resident: u64, elapsed: Duration) -> Finding {
        let growth = resident.saturating_sub(self.resident);
        self.resident = resident;
        self.handled += bytes;
        self.parts.push((growth, bytes, resident));
        if resident > RESIDENT_BYTES_MAX {
            return Finding::Unbounded;
        }
        self.count(bytes, growth);
        if self.steady == STEADY_PARTS || self.idle == IDLE_PARTS_MAX {
            return Finding::Steady;
        }
        match (self.parts.len() as u64 >= self.parts_max(), self.may_double()) {
            (false, _) => Finding::GoOn,
            (true, false) => self.over_all_parts(),
            (true, true) if elapsed < LARGE_TIME => Finding::GoOn,
            (true, true) => Finding::Unknown,
        }
    }

    fn count(&mut self, bytes: u64, growth: u64) {
        let number = self.parts.len() as u64;
        if bytes * IDLE_PART < self.handled / number {
            // Hardly anything was taken, so not growing shows nothing. A
            // server that never takes more keeps nothing either.
            self.idle += 1;
        } else {
            let allowed = NOISE_BYTES.max((bytes as f64 * GROWTH_MAX) as u64);
            // The first part fills the queues.
            self.steady = if number > 1 && growth <= allowed { self.steady + 1 } else { 0 };
            self.idle = 0;
        }
    }

    /// What the parts show together, none of which was followed by another that added nothing: memory
    /// that goes up and down under a collector, or grows ever more slowly, does not grow without end.
    fn over_all_parts(&self) -> Finding {
        let peak = |parts: &[(u64, u64, u64)]| parts.iter().map(|it| it.2).max().unwrap_or(0);
        let (earlier, later) = self.parts.split_at(self.parts.len() / 2);
        let (earlier, later) = (peak(earlier), peak(later));
        let risen = later.saturating_sub(earlier);
        let before = earlier.saturating_sub(self.begun);
        let may_slow_down = (self.parts.len() as u64) < self.parts_max() * SLOWING_PARTS;
        if risen <= NOISE_BYTES {
            Finding::Steady
        } else if may_slow_down && (risen as f64) < before as f64 * SLOWING_MAX {
            Finding::GoOn
        } else {
            Finding::Unbounded
        }
    }

    fn parts_max(&self) -> u64 {
        // One that is large goes by what it grows to.
        PARTS_MAX + if self.is_large() { 0 } else { self.begun / PART_BYTES }
    }

    fn is_large(&self) -> bool {
        self.begun > LARGE_BYTES
    }

    fn may_double(&self) -> bool {
        self.is_large() && self.resident < self.begun * 5 / 2
    }

    /// From where to where, and after how much.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} at first, {} after {} sent",
            size(self.begun),
            size(self.resident),
            size(self.handled)
        )
    }

    /// What the parts added, the first and the last of them.
    pub(crate) fn course(&self) -> String {
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|&(growth, bytes, _)| format!("{} for {}", size(growth), size(bytes)))
            .collect();
        let Some(between) = parts.len().checked_sub(2 * PARTS_SHOWN).filter(|&parts| parts > 0)
        else {
            return parts.join(", ");
        };
        let (first, last) = (&parts[..PARTS_SHOWN], &parts[parts.len() - PARTS_SHOWN..]);
        format!("{}, {between} more, {}", first.join(", "), last.join(", "))
    }
}

fn size(bytes: u64) -> String {
    if bytes < 10 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Goes on with parts of 6 MiB, a second each, until there is a finding; `resident`
    /// gives the memory after each part.
    fn find(begun: u64, mut resident: impl FnMut(u64) -> u64) -> (Finding, u64, Growth) {
        let mut growth = Growth::begin(begun);
        for number in 1.. {
            let finding = growth.part(6 * MIB, resident(number), Duration::from_secs(number));
            if finding != Finding::GoOn {
                return (finding, number, growth);
            }
        }
        unreachable!("there is a finding some time")
    }

    #[test]
    fn what_keeps_all_that_is_sent_is_unbounded() {
        let (finding, parts, growth) = find(10 * MIB, |number| (10 + 6 * number) * MIB);
        assert_eq!((finding, parts), (Finding::Unbounded, 17));
        assert_eq!(growth.summary(), "10 MiB at first, 112 MiB after 102 MiB sent");
        let part = "6144 KiB for 6144 KiB";
        let four = [part; 4].join(", ");
        assert_eq!(growth.course(), format!("{four}, 9 more, {four}"));
    }

    #[test]
    fn two_parts_that_add_next_to_nothing_are_enough_but_not_the_first() {
        let (finding, parts, growth) = find(10 * MIB, |_| 10 * MIB);
        assert_eq!((finding, parts), (Finding::Steady, 3));
        assert_eq!(growth.course(), ["0 KiB for 6144 KiB"; 3].join(", "));
    }

    #[test]
    fn a_collector_that_lets_its_heap_double_has_time_to() {
        let doubling = |begun: u64| move |number: u64| (begun + 4 * number).min(2 * begun) * MIB;
        assert_eq!(find(60 * MIB, doubling(60)).0, Finding::Steady);
        assert_eq!(find(200 * MIB, doubling(200)).0, Finding::Unknown);
        let (finding, parts, _) = find(200 * MIB, |number| (200 + 12 * number).min(420) * MIB);
        assert_eq!((finding, parts), (Finding::Steady, 21));
    }

    #[test]
    fn a_heap_that_goes_up_and_down_is_steady() {
        let saw = |number: u64| if number.is_multiple_of(2) { 49 * MIB } else { 53 * MIB };
        let (finding, parts, _) = find(49 * MIB, saw);
        assert_eq!((finding, parts), (Finding::Steady, 16 + 49 / 6));
        let leaks = |number: u64| saw(number) + number * MIB;
        assert_eq!(find(49 * MIB, leaks).0, Finding::Unbounded, "its peaks rise");
    }

    #[test]
    fn one_that_grows_ever_more_slowly_may_go_on_until_it_stops() {
        let slowing = |number: u64| 8 * MIB + 60 * MIB * number / (number + 12);
        assert_eq!(find(8 * MIB, slowing).0, Finding::Steady);
        let after_a_leap = |number: u64| (38 + 6 * number) * MIB;
        let (finding, parts, _) = find(8 * MIB, after_a_leap);
        assert_eq!(finding, Finding::Unbounded, "it leaks, and began with a leap");
        assert!(parts <= 48, "{parts}");
    }

    #[test]
    fn a_large_one_that_more_than_doubles_is_unbounded() {
        let (finding, parts, _) = find(200 * MIB, |number| (200 + 12 * number) * MIB);
        assert_eq!((finding, parts), (Finding::Unbounded, 25));
    }

    #[test]
    fn a_large_one_that_leaks_slowly_is_not_known_to() {
        let (finding, parts, _) = find(200 * MIB, |number| (200 + 2 * number) * MIB);
        assert_eq!((finding, parts), (Finding::Unknown, 30));
    }

    #[test]
    fn more_than_any_server_needs_is_unbounded_at_once() {
        let (finding, parts, _) = find(10 * MIB, |number| number * 1100 * MIB);
        assert_eq!((finding, parts), (Finding::Unbounded, 2));
    }

    #[test]
    fn parts_in_which_nothing_is_taken_show_nothing_before_the_fourth_in_a_row() {
        let mut growth = Growth::begin(MIB);
        let mut part = |bytes, resident| growth.part(bytes, resident, Duration::ZERO);
        assert_eq!(part(60 * MIB, 61 * MIB), Finding::GoOn);
        for _ in 0..3 {
            assert_eq!(part(0, 61 * MIB), Finding::GoOn);
        }
        assert_eq!(part(60 * MIB, 121 * MIB), Finding::GoOn);
        for _ in 0..3 {
            assert_eq!(part(0, 121 * MIB), Finding::GoOn);
        }
        assert_eq!(part(0, 121 * MIB), Finding::Steady);
    }

    proptest! {
        #[test]
        fn a_queue_that_is_full_in_time_is_steady(
            begun in 1..1000u64,
            bound in 0..1000u64,
            step in 1..1000u64,
        ) {
            prop_assume!(bound.div_ceil(step) + STEADY_PARTS as u64 <= PARTS_MAX);
            let resident = |number: u64| (begun + (step * number).min(bound)) * MIB;
            prop_assert_eq!(find(begun * MIB, resident).0, Finding::Steady);
        }

        #[test]
        fn what_keeps_half_of_what_is_sent_is_never_steady(begun in 1..2000u64) {
            let (finding, _, _) = find(begun * MIB, |number| (begun + 3 * number) * MIB);
            prop_assert_ne!(finding, Finding::Steady);
            prop_assert!(finding == Finding::Unbounded || begun > 128);
        }
    }
}
