//! What a few clients sent and received, in order, for an exact check after the trial.

/// Clients that are sampled, at most.
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
    is_sampled: Vec<bool>,
    is_open: bool,
}

impl OrderSample {
    /// An empty sample of the first, the middle and the last of `clients` clients.
    #[must_use]
    pub fn new(clients: usize) -> Self {
        let mut chosen = vec![0, clients / 2, clients.saturating_sub(1)];
        chosen.dedup();
        let is_sampled = (0..clients).map(|client| chosen.contains(&client)).collect();
        Self {
            clients: chosen.into_iter().map(|client| client as u16).collect(),
            events: Vec::with_capacity(SAMPLED_EVENTS_MAX),
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

    /// Keeps one event, if it is of a sampled client and there is room.
    #[inline]
    pub fn note(&mut self, client: usize, sender: u16, sequence: u32, received: bool) {
        if self.keeps(client) {
            self.events.push(SampledEvent { client: client as u16, sender, sequence, received });
            self.is_open = self.events.len() < SAMPLED_EVENTS_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chosen_clients_are_kept_and_only_while_open() {
        let mut sample = OrderSample::new(10);
        assert_eq!(sample.clients, [0, 5, 9]);
        sample.note(0, 1, 7, true);
        sample.open();
        sample.note(1, 1, 7, true);
        sample.note(5, 1, 8, true);
        let kept = SampledEvent { client: 5, sender: 1, sequence: 8, received: true };
        assert_eq!(sample.events, [kept]);
    }

    #[test]
    fn a_sample_is_bounded_and_few_clients_make_a_small_one() {
        let mut sample = OrderSample::new(1);
        assert_eq!(sample.clients, [0]);
        sample.open();
        (0..SAMPLED_EVENTS_MAX as u32 + 5).for_each(|sequence| sample.note(0, 0, sequence, true));
        assert_eq!(sample.events.len(), SAMPLED_EVENTS_MAX);
        assert_eq!(OrderSample::new(2).clients, [0, 1]);
    }
}
