//! The limits on connections, and who has been admitted.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::codec::Protocol;
use crate::keys::{ListenerId, RoomKey};
use crate::room::Room;

/// How many clients there may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmissionLimits {
    /// In total.
    pub clients_max: Option<usize>,
    /// From one address; all of an IPv6 network of 64 bits count as one.
    pub clients_per_ip_max: Option<usize>,
}

/// Why a connection was closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Too many clients.
    MaxClients,
    /// Too many clients from its address.
    MaxClientsPerIp,
    /// Too many clients in the room.
    MaxClientsOfRoom,
}

impl Rejection {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::MaxClients, Self::MaxClientsPerIp, Self::MaxClientsOfRoom];

    /// As logs and metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxClients => "max-clients",
            Self::MaxClientsPerIp => "max-clients-per-ip",
            Self::MaxClientsOfRoom => "max-clients-of-room",
        }
    }
}

/// The state of accepting, behind a lock: one shard accepts at a time.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    /// The room of each listening socket.
    rooms: BTreeMap<ListenerId, (RoomKey, Arc<Room>)>,
    /// What is spoken at the listening sockets that do not speak the plain protocol.
    protocols: BTreeMap<ListenerId, Arc<dyn Protocol>>,
    /// Also kept without a limit per address, because there may be one later.
    per_ip: HashMap<IpAddr, usize>,
    /// The last failure to accept was logged, and nothing has been accepted since.
    pub(crate) failing: bool,
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        Self {
            limits,
            rooms: BTreeMap::new(),
            protocols: BTreeMap::new(),
            per_ip: HashMap::new(),
            failing: false,
        }
    }

    /// From now on other limits hold; who is admitted stays.
    pub(crate) fn set_limits(&mut self, limits: AdmissionLimits) {
        self.limits = limits;
    }

    /// From now on the connections of this listening socket are clients of the room.
    pub(crate) fn set_room(&mut self, listener: ListenerId, key: RoomKey, room: Arc<Room>) {
        self.rooms.insert(listener, (key, room));
    }

    /// From now on the connections of this listening socket are nobody's.
    pub(crate) fn forget_listener(&mut self, listener: ListenerId) -> Option<Arc<Room>> {
        self.rooms.remove(&listener).map(|(_, room)| room)
    }

    /// From now on the room has no new clients.
    pub(crate) fn forget_room(&mut self, key: RoomKey) {
        self.rooms.retain(|_, (room, _)| *room != key);
    }

    /// From now on nothing is accepted.
    pub(crate) fn forget_rooms(&mut self) {
        self.rooms.clear();
    }

    /// Whose clients the connections of this listening socket are.
    pub(crate) fn room_of(&self, listener: ListenerId) -> Option<(RoomKey, Arc<Room>)> {
        self.rooms.get(&listener).cloned()
    }

    /// From now on the connections of this listening socket speak the protocol.
    pub(crate) fn set_protocol(&mut self, listener: ListenerId, protocol: Arc<dyn Protocol>) {
        self.protocols.insert(listener, protocol);
    }

    /// From now on the connections of this listening socket speak the plain protocol.
    pub(crate) fn forget_protocol(&mut self, listener: ListenerId) {
        self.protocols.remove(&listener);
    }

    /// What the connections of this listening socket speak, if not the plain protocol.
    pub(crate) fn protocol_of(&self, listener: ListenerId) -> Option<Arc<dyn Protocol>> {
        self.protocols.get(&listener).cloned()
    }

    /// Admits one more client beside `clients`, or says why not.
    pub(crate) fn admit(&mut self, clients: u64, peer: IpAddr) -> Result<(), Rejection> {
        if self.limits.clients_max.is_some_and(|max| clients >= max as u64) {
            return Err(Rejection::MaxClients);
        }
        let from_peer = self.per_ip.entry(counted(peer)).or_default();
        if self.limits.clients_per_ip_max.is_some_and(|max| *from_peer >= max) {
            return Err(Rejection::MaxClientsPerIp);
        }
        *from_peer += 1;
        Ok(())
    }

    /// A client of this address has been closed.
    pub(crate) fn release(&mut self, peer: IpAddr) {
        let peer = counted(peer);
        if let Some(from_peer) = self.per_ip.get_mut(&peer) {
            *from_peer -= 1;
            if *from_peer == 0 {
                self.per_ip.remove(&peer);
            }
        }
    }
}

/// The address that a peer counts as: an IPv6 host can take any of its network of 64 bits.
fn counted(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_an_ipv6_network_of_64_bits_count_as_one() {
        let limits = AdmissionLimits { clients_max: None, clients_per_ip_max: Some(1) };
        let mut admission = Admission::new(limits);
        let [first, same, other, ipv4, next] =
            ["2001:db8::1", "2001:db8:0:0:ffff::2", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.2"]
                .map(|text| text.parse::<IpAddr>().expect("an address"));
        assert_eq!(admission.admit(0, first), Ok(()));
        assert_eq!(admission.admit(1, same), Err(Rejection::MaxClientsPerIp));
        for peer in [other, ipv4, next] {
            assert_eq!(admission.admit(1, peer), Ok(()), "{peer}");
            assert_eq!(admission.admit(1, peer), Err(Rejection::MaxClientsPerIp), "{peer}");
        }
        admission.release(first);
        assert_eq!(admission.admit(3, same), Ok(()));
        [same, other, ipv4, next].into_iter().for_each(|peer| admission.release(peer));
        assert!(admission.per_ip.is_empty(), "nobody is left: {admission:?}");
    }
}
