//! What happened in a life, counted.

use zillions_server::admission::Rejection;
use zillions_server::client::DisconnectReason;
use zillions_server::listener_rules::Role;

use super::{Client, Life, SimRoom};
use crate::network::{Faults, lock};

/// What happened, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    rooms_closed: u64,
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
    pub(crate) dropped: u64,
    pub(crate) slow: u64,
    pub(crate) evicted: u64,
    pub(crate) backpressured: u64,
    /// Connections of edges to their upstreams that were lost.
    pub(crate) losses: u64,
    /// Messages that were under way when they were.
    pub(crate) unconfirmed: u64,
    acknowledgements: u64,
    /// Clients that a stop sent away.
    sent_away: u64,
    limited: Limited,
    coded: Coded,
    faults: Faults,
}

/// What happened at listeners with rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Limited {
    discarded: u64,
    throttles: u64,
    unwanted: u64,
    rejected: u64,
    /// Messages of publish-only clients.
    published: u64,
}

/// What happened with codecs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Coded {
    deliveries: u64,
    answers: u64,
    goodbyes: u64,
    handshakes_failed: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.rooms_closed += other.rooms_closed;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.dropped += other.dropped;
        self.slow += other.slow;
        self.evicted += other.evicted;
        self.backpressured += other.backpressured;
        self.losses += other.losses;
        self.unconfirmed += other.unconfirmed;
        self.acknowledgements += other.acknowledgements;
        self.sent_away += other.sent_away;
        self.limited.discarded += other.limited.discarded;
        self.limited.throttles += other.limited.throttles;
        self.limited.unwanted += other.limited.unwanted;
        self.limited.rejected += other.limited.rejected;
        self.limited.published += other.limited.published;
        self.coded.deliveries += other.coded.deliveries;
        self.coded.answers += other.coded.answers;
        self.coded.goodbyes += other.coded.goodbyes;
        self.coded.handshakes_failed += other.coded.handshakes_failed;
        self.faults.short_writes += other.faults.short_writes;
        self.faults.full += other.faults.full;
        self.faults.short_reads += other.faults.short_reads;
        self.faults.resets += other.faults.resets;
        self.faults.accept_errors += other.faults.accept_errors;
    }

    /// A simulation that never dropped, evicted or broke anything would prove nothing.
    pub(crate) fn assert_everything_happened(&self) {
        let Faults { short_writes, full, short_reads, resets, accept_errors } = self.faults;
        for (what, times) in [
            ("rooms closed", self.rooms_closed),
            ("messages", self.messages),
            ("deliveries", self.deliveries),
            ("drops", self.dropped),
            ("slow clients disconnected", self.slow),
            ("evictions", self.evicted),
            ("publishers that waited", self.backpressured),
            ("lost connections to upstreams", self.losses),
            ("messages under way when they were lost", self.unconfirmed),
            ("acknowledgements of incomplete frames", self.acknowledgements),
            ("clients sent away", self.sent_away),
            ("discarded messages", self.limited.discarded),
            ("clients that sent too much", self.limited.throttles),
            ("unwanted senders disconnected", self.limited.unwanted),
            ("clients too many for their listener", self.limited.rejected),
            ("messages of clients that receive nothing", self.limited.published),
            ("deliveries to clients with a codec", self.coded.deliveries),
            ("answers of a codec", self.coded.answers),
            ("goodbyes of a codec", self.coded.goodbyes),
            ("handshakes that failed", self.coded.handshakes_failed),
            ("short writes", short_writes),
            ("full sockets", full),
            ("short reads", short_reads),
            ("resets", resets),
            ("errors of accept", accept_errors),
        ] {
            assert!(times > 0, "no {what} in all these seeds");
        }
    }
}

impl Life {
    pub(super) fn seen(&self) -> Seen {
        let counters = || (0..self.shards.len()).map(|shard| self.shared.counters(shard));
        let disconnects = |reason| counters().map(|shard| shard.disconnects.by(reason).get()).sum();
        let network = lock(&self.network);
        let coded = || self.clients.iter().filter_map(|it| Some((it, it.coded.as_ref()?)));
        Seen {
            rooms_closed: self.rooms.iter().filter(|room| room.closed).count() as u64,
            messages: self.rooms.iter().map(|it| it.room.log.head().messages).sum(),
            deliveries: self.clients.iter().map(|client| client.frames).sum(),
            dropped: counters().map(|shard| shard.dropped_messages.get()).sum(),
            slow: disconnects(DisconnectReason::Slow),
            evicted: disconnects(DisconnectReason::Evicted),
            backpressured: counters().map(|shard| shard.backpressured_passes.get()).sum(),
            losses: self.rooms.iter().flat_map(|it| &it.root).map(|root| root.losses).sum(),
            unconfirmed: self.rooms.iter().map(SimRoom::unconfirmed).sum(),
            acknowledgements: network.acknowledgements,
            sent_away: self.sent_away,
            limited: Limited {
                discarded: counters().map(|shard| shard.discarded_messages.get()).sum(),
                throttles: counters().map(|shard| shard.throttles.get()).sum(),
                unwanted: disconnects(DisconnectReason::Unwanted),
                rejected: counters()
                    .map(|it| it.connections_rejected.by(Rejection::MaxClientsOfListener).get())
                    .sum(),
                published: self
                    .clients
                    .iter()
                    .filter(|client| client.role == Role::PublishOnly)
                    .map(Client::sent_messages)
                    .sum(),
            },
            coded: Coded {
                deliveries: coded().map(|(client, _)| client.frames).sum(),
                answers: coded().map(|(_, coded)| coded.answers).sum(),
                goodbyes: coded().filter(|(_, coded)| coded.goodbye).count() as u64,
                handshakes_failed: disconnects(DisconnectReason::Handshake),
            },
            faults: network.faults.clone(),
        }
    }
}
