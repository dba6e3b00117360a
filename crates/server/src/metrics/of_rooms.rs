//! How rooms are exported: one row per metric.
//!
//! A scrape of thousands of rooms would be megabytes, so only so many rooms have metrics of their
//! own ([`ROOMS_MAX`]), at the start the first of the config file. The metrics of the shards count all.

use crate::counter::Counter;
use crate::counters::Kind;
use crate::room::Room;
use crate::room_counters::RoomCounters;

/// How many rooms have metrics of their own. Each has seven series.
pub(super) const ROOMS_MAX: usize = 100;

/// A metric of a room.
pub(super) struct RoomMetric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    /// Of all shards together.
    pub(super) value: fn(&Room) -> u64,
}

fn sum(room: &Room, of: fn(&RoomCounters) -> &Counter) -> u64 {
    room.counters_of_all().map(|counters| of(counters).get()).sum()
}

macro_rules! metrics {
    ($($kind:ident $name:literal, $help:literal, $value:expr;)*) => {
        /// Every metric of a room.
        pub(super) const METRICS: &[RoomMetric] = &[
            $(RoomMetric {
                name: concat!("zillions_room_", $name),
                kind: Kind::$kind,
                help: $help,
                value: $value,
            },)*
        ];
    };
}

metrics! {
    Gauge "clients", "Connected clients of the room, including those on their way to a shard",
        Room::all_clients;
    Gauge "lagging_clients", "Connected clients of the room that are behind",
        |room| sum(room, |it| &it.lagging_clients);
    Gauge "lag_max_bytes", "Lag of the room's slowest client at the last lag check",
        |room| room.counters_of_all().map(|it| it.lag_max_bytes.get()).max().unwrap_or(0);
    Counter "messages_total", "Messages of the room that have their place in its order",
        |room| room.log.head().messages;
    Counter "message_bytes_total", "Bytes of these messages, headers included",
        |room| room.log.head().bytes;
    Counter "sent_messages_total", "Deliveries: messages of the room handed to clients' sockets",
        |room| sum(room, |it| &it.sent_messages);
    Counter "dropped_messages_total",
        "Messages of the room not sent to a client because it was too slow",
        |room| sum(room, |it| &it.dropped_messages);
}
