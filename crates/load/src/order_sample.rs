//! What a few clients sent and received, in order, for an exact check after the trial.

use crate::share::Share;

/// Clients that are sampled, at most, where one thread drives them all; of several threads each has
/// at least one.
pub const SAMPLED_CLIENTS_MAX: usize = 3;
/// Events that are kept, at most; later ones are not sampled.
pub const SAMPLED_EVENTS_MAX: usize = 60_000;

/// One message sent or received by a sampled client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampledEvent {
    /// The index of the client.
    pub client: u16,
    /// Who sent the message; the client itself if it is sent here, unless it is an echo.
    pub sender: u16,
    /// Its number among its sender's messages.
    pub sequence: u32,
    /// Whether the client received it; otherwise it began to send it.
    pub received: bool,
}

/// What a few clients sent and received from the beginning of the window on, in the order in which
/// it was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderSample {
    /// Those clients, in ascending order.
    pub clients: Vec<u16>,
    /// What they sent and received.
    pub events: Vec<SampledEvent>,
    /// When each of them was, at the latest for what was received and at the earliest for what was
    /// sent; never descending.
    times_ns: Vec<u64>,
    is_sampled: Vec<bool>,
    is_open: bool,
}

impl OrderSample {
    /// An empty sample of the first, the middle and the last of `clients` clients, and of the first
    /// one of each of `threads` threads that would have none of them.
    #[must_use]
    pub fn new(clients: usize, threads: usize) -> Self {
        let mut chosen = vec![0, clients / 2, clients.saturating_sub(1)];
        for share in Share::all(threads.min(clients)) {
            if !chosen.iter().any(|&client| share.has(client)) {
                chosen.push(share.index);
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        let is_sampled = (0..clients).map(|client| chosen.contains(&client)).collect();
        Self {
            clients: chosen.into_iter().map(|client| client as u16).collect(),
            events: Vec::with_capacity(SAMPLED_EVENTS_MAX),
            times_ns: Vec::with_capacity(SAMPLED_EVENTS_MAX),
            is_sampled,
            is_open: false,
        }
    }

    /// From now on, events are kept.
    pub fn open(&mut self) {
        self.is_open = true;
    }

    /// Whether events of `client` are kept at present.
    #[inline]
    #[must_use]
    pub fn keeps(&self, client: usize) -> bool {
        self.is_open && self.is_sampled[client]
    }

    /// Keeps one event, if it is of a sampled client and there is room. It happened at `time_ns`: what
    /// was received not after that, what was sent not before.
    #[inline]
    pub fn note(
        &mut self,
        client: usize,
        sender: u16,
        sequence: u32,
        received: bool,
        time_ns: u64,
    ) {
        if self.keeps(client) {
            self.times_ns.push(self.times_ns.last().map_or(time_ns, |&last| last.max(time_ns)));
            self.events.push(SampledEvent { client: client as u16, sender, sequence, received });
            self.is_open = self.events.len() < SAMPLED_EVENTS_MAX;
        }
    }

    /// One sample of what several threads kept, each in its order, by the time; what was received
    /// comes after it was sent, because it arrived later than that.
    pub(crate) fn merge(samples: Vec<Self>) -> Self {
        let first = samples.first().cloned().unwrap_or_default();
        let mut merged = Self { events: Vec::new(), times_ns: Vec::new(), ..first };
        merged.is_open = samples.iter().all(|it| it.is_open);
        let mut taken = vec![0; samples.len()];
        while merged.events.len() < SAMPLED_EVENTS_MAX {
            let next = (0..samples.len())
                .filter(|&thread| taken[thread] < samples[thread].events.len())
                .min_by_key(|&thread| {
                    let (sample, at) = (&samples[thread], taken[thread]);
                    (sample.times_ns[at], sample.events[at].received)
                });
            let Some(thread) = next else { break };
            merged.events.push(samples[thread].events[taken[thread]]);
            merged.times_ns.push(samples[thread].times_ns[taken[thread]]);
            taken[thread] += 1;
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chosen_clients_are_kept_and_only_while_open() {
        let mut sample = OrderSample::new(10, 1);
        assert_eq!(sample.clients, [0, 5, 9]);
        sample.note(0, 1, 7, true, 1);
        sample.open();
        sample.note(1, 1, 7, true, 2);
        sample.note(5, 1, 8, true, 3);
        let kept = SampledEvent { client: 5, sender: 1, sequence: 8, received: true };
        assert_eq!(sample.events, [kept]);
    }

    #[test]
    fn a_sample_is_bounded_and_few_clients_make_a_small_one() {
        let mut sample = OrderSample::new(1, 1);
        assert_eq!(sample.clients, [0]);
        sample.open();
        (0..SAMPLED_EVENTS_MAX as u32 + 5)
            .for_each(|sequence| sample.note(0, 0, sequence, true, 1));
        assert_eq!(sample.events.len(), SAMPLED_EVENTS_MAX);
        assert_eq!(OrderSample::new(2, 1).clients, [0, 1]);
    }

    #[test]
    fn every_thread_has_a_sampled_client() {
        assert_eq!(OrderSample::new(33, 2).clients, [0, 1, 16, 32]);
        assert_eq!(OrderSample::new(33, 4).clients, [0, 1, 2, 3, 16, 32]);
        assert_eq!(OrderSample::new(3, 3).clients, [0, 1, 2]);
        assert_eq!(OrderSample::new(2, 8).clients, [0, 1]);
    }

    #[test]
    fn samples_are_merged_by_time_and_each_keeps_its_order() {
        let mut threads = [OrderSample::new(2, 2), OrderSample::new(2, 2)];
        threads.iter_mut().for_each(OrderSample::open);
        let [one, other] = &mut threads;
        one.note(0, 1, 0, true, 10);
        // Due before, and made after what was just received.
        one.note(0, 0, 0, false, 5);
        one.note(0, 0, 0, true, 30);
        other.note(1, 0, 0, true, 20);
        other.note(1, 1, 0, true, 20);
        let merged = OrderSample::merge(threads.to_vec());
        let order: Vec<_> = merged.events.iter().map(|it| (it.client, it.sender)).collect();
        assert_eq!(order, [(0, 1), (0, 0), (1, 0), (1, 1), (0, 0)]);
    }
}
