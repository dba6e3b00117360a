//! The addresses of a room, as a config file writes them.

use std::num::{NonZeroU64, NonZeroUsize};

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::listener_rules::{Role, UnwantedSender};
use crate::values::Size;

/// An address of a room in a config file: a string, or a table with rules that differ from those
/// of the room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerOptions {
    /// Where to listen: HOST:PORT, alone or after ws://, tls:// or wss://.
    pub address: String,
    /// What its clients may do.
    #[serde(default)]
    pub role: Option<Role>,
    /// What happens to one that sends and may not.
    #[serde(default)]
    pub unwanted_sender: Option<UnwantedSender>,
    /// The maximum number of its clients.
    #[serde(default)]
    pub max_clients: Option<NonZeroUsize>,
    /// The maximum number of its clients for each IP address.
    #[serde(default)]
    pub max_clients_per_ip: Option<NonZeroUsize>,
    /// The maximum number of messages that each may send per second.
    #[serde(default)]
    pub max_messages_per_second: Option<NonZeroU64>,
    /// The maximum number of bytes that each may send per second.
    #[serde(default)]
    pub max_bytes_per_second: Option<Size>,
}

impl ListenerOptions {
    /// An address with the rules of its room.
    #[must_use]
    pub fn plain(address: impl Into<String>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }
}

/// Reads the addresses of a room: strings, and tables.
pub(crate) fn listeners<'de, D>(deserializer: D) -> Result<Vec<ListenerOptions>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Listener(ListenerOptions);

    impl<'de> Deserialize<'de> for Listener {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(ListenerVisitor).map(Self)
        }
    }

    struct ListenerVisitor;

    impl<'de> Visitor<'de> for ListenerVisitor {
        type Value = ListenerOptions;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an address, or a table with an address")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ListenerOptions, E> {
            Ok(ListenerOptions::plain(text))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListenerOptions, A::Error> {
            ListenerOptions::deserialize(MapAccessDeserializer::new(map))
        }
    }

    let listeners = Vec::<Listener>::deserialize(deserializer)?;
    Ok(listeners.into_iter().map(|Listener(options)| options).collect())
}
