//! What the compared servers are called in results and tables.

use zillions_server::engines::ENGINES;

pub(crate) const NATS: &str = "nats-server";
pub(crate) const REDIS: &str = "redis-server";

/// What the reference server's names begin with; its engine follows.
pub(crate) const OWN_PREFIX: &str = "zillions-server-";

/// The reference server, once with each engine: the engine, and what the target is called.
pub(crate) fn own() -> impl Iterator<Item = (&'static str, String)> {
    ENGINES.iter().map(|engine| (engine.name, format!("{OWN_PREFIX}{}", engine.name)))
}

/// Whether `name` is one of the compared servers.
pub(crate) fn is_compared(name: &str) -> bool {
    [NATS, REDIS].contains(&name) || own().any(|(_, own)| own == name)
}
