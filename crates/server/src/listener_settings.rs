//! From the addresses of a room, and the room's own options, to the rules of each.

use std::num::{NonZeroU64, NonZeroUsize};

use crate::error::Error;
use crate::listener_options::ListenerOptions;
use crate::listener_rules::{ListenerRules, Role};
use crate::options::RoomOptions;
use crate::rate::Rates;
use crate::values::Size;

/// The rules of the room's addresses, in their order.
///
/// # Errors
/// [`Error::Contradiction`], which names the options.
pub(crate) fn rules_of(room: &RoomOptions) -> Result<Vec<ListenerRules>, Error> {
    let rules = room.listen.iter().map(|listener| rules(listener, room));
    let rules = rules.collect::<Result<Vec<_>, _>>()?;
    if room.unwanted_sender.is_some() && rules.iter().all(|it| it.role != Role::ListenOnly) {
        return Err(needs_listen_only());
    }
    Ok(rules)
}

fn needs_listen_only() -> Error {
    Error::Contradiction("--unwanted-sender requires --role listen-only".into())
}

/// The rules that hold at one address.
fn rules(listener: &ListenerOptions, room: &RoomOptions) -> Result<ListenerRules, Error> {
    let role = listener.role.unwrap_or(room.role);
    if listener.unwanted_sender.is_some() && role != Role::ListenOnly {
        return Err(needs_listen_only());
    }
    if let (Some(per_ip), Some(all)) = (listener.max_clients_per_ip, listener.max_clients)
        && per_ip > all
    {
        return Err(Error::Contradiction(format!(
            "--max-clients-per-ip {per_ip} is more than --max-clients {all} of {}",
            listener.address
        )));
    }
    if let (Some(of_listener), Some(of_room)) = (listener.max_clients, room.max_clients)
        && of_listener > of_room
    {
        return Err(Error::Contradiction(format!(
            "--max-clients {of_listener} of {} is more than the {of_room} of its room",
            listener.address
        )));
    }
    let bytes = listener.max_bytes_per_second.or(room.max_bytes_per_second);
    if bytes == Some(Size(0)) {
        return Err(Error::Contradiction("--max-bytes-per-second 0 lets nothing pass".into()));
    }
    Ok(ListenerRules {
        role,
        unwanted_sender: listener.unwanted_sender.or(room.unwanted_sender).unwrap_or_default(),
        clients_max: listener.max_clients.map(NonZeroUsize::get),
        clients_per_ip_max: listener.max_clients_per_ip.map(NonZeroUsize::get),
        rates: Rates {
            messages: listener.max_messages_per_second.or(room.max_messages_per_second),
            bytes: bytes.and_then(|size| NonZeroU64::new(size.0 as u64)),
        },
    })
}
