//! The limits on connections, and who has been admitted.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::codec::Protocol;
use crate::keys::{ListenerId, RoomKey};
use crate::listener_rules::ListenerRules;
use crate::origin::Origin;
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
    /// Too many clients at the listening socket.
    MaxClientsOfListener,
}

impl Rejection {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [
        Self::MaxClients,
        Self::MaxClientsPerIp,
        Self::MaxClientsOfRoom,
        Self::MaxClientsOfListener,
    ];

    /// As logs and metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxClients => "max-clients",
            Self::MaxClientsPerIp => "max-clients-per-ip",
            Self::MaxClientsOfRoom => "max-clients-of-room",
            Self::MaxClientsOfListener => "max-clients-of-listener",
        }
    }
}

/// What there may be only so many clients of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Group {
    Listener(ListenerId),
    Ip(IpAddr),
    IpAtListener(ListenerId, IpAddr),
}

/// The groups that a client from there is one of.
fn groups(origin: Origin) -> [Group; 3] {
    let ip = counted(origin.peer);
    let listener = origin.listener;
    [Group::Listener(listener), Group::Ip(ip), Group::IpAtListener(listener, ip)]
}

/// The state of accepting, behind a lock: one shard accepts at a time.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    /// The room of each listening socket.
    rooms: BTreeMap<ListenerId, (RoomKey, Arc<Room>)>,
    /// What is spoken at the listening sockets that do not speak the plain protocol.
    protocols: BTreeMap<ListenerId, Arc<dyn Protocol>>,
    /// What the clients of the listening sockets may do, where not everything.
    rules: BTreeMap<ListenerId, ListenerRules>,
    /// Also kept without limits, because there may be some later.
    clients: HashMap<Group, usize>,
    /// The last failure to accept was logged, and nothing has been accepted since.
    pub(crate) failing: bool,
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        Self {
            limits,
            rooms: BTreeMap::new(),
            protocols: BTreeMap::new(),
            rules: BTreeMap::new(),
            clients: HashMap::new(),
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

    /// From now on these rules hold for new connections of this listening socket.
    pub(crate) fn set_rules(&mut self, listener: ListenerId, rules: ListenerRules) {
        if rules == ListenerRules::default() {
            self.rules.remove(&listener);
        } else {
            self.rules.insert(listener, rules);
        }
    }

    /// The rules that hold for new connections of this listening socket.
    pub(crate) fn rules_of(&self, listener: ListenerId) -> ListenerRules {
        self.rules.get(&listener).copied().unwrap_or_default()
    }

    /// Admits one more client beside `clients`, or says why not.
    pub(crate) fn admit(&mut self, clients: u64, origin: Origin) -> Result<(), Rejection> {
        if self.limits.clients_max.is_some_and(|max| clients >= max as u64) {
            return Err(Rejection::MaxClients);
        }
        let rules = self.rules_of(origin.listener);
        for group in groups(origin) {
            let (clients_max, rejection) = match group {
                Group::Listener(_) => (rules.clients_max, Rejection::MaxClientsOfListener),
                Group::Ip(_) => (self.limits.clients_per_ip_max, Rejection::MaxClientsPerIp),
                Group::IpAtListener(..) => (rules.clients_per_ip_max, Rejection::MaxClientsPerIp),
            };
            let clients = self.clients.get(&group).copied().unwrap_or_default();
            if clients_max.is_some_and(|max| clients >= max) {
                return Err(rejection);
            }
        }
        groups(origin).into_iter().for_each(|it| *self.clients.entry(it).or_default() += 1);
        Ok(())
    }

    /// A client from there has been closed.
    pub(crate) fn release(&mut self, origin: Origin) {
        for group in groups(origin) {
            if let Some(clients) = self.clients.get_mut(&group) {
                *clients -= 1;
                if *clients == 0 {
                    self.clients.remove(&group);
                }
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

    fn at(listener: ListenerId, peer: &str) -> Origin {
        Origin { listener, peer: peer.parse().expect("an address") }
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_of_64_bits_count_as_one() {
        let limits = AdmissionLimits { clients_max: None, clients_per_ip_max: Some(1) };
        let mut admission = Admission::new(limits);
        let [first, same, other, ipv4, next] =
            ["2001:db8::1", "2001:db8:0:0:ffff::2", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.2"]
                .map(|text| at(0, text));
        assert_eq!(admission.admit(0, first), Ok(()));
        assert_eq!(admission.admit(1, same), Err(Rejection::MaxClientsPerIp));
        for peer in [other, ipv4, next] {
            assert_eq!(admission.admit(1, peer), Ok(()), "{peer:?}");
            assert_eq!(admission.admit(1, peer), Err(Rejection::MaxClientsPerIp), "{peer:?}");
        }
        admission.release(first);
        assert_eq!(admission.admit(3, same), Ok(()));
        [same, other, ipv4, next].into_iter().for_each(|peer| admission.release(peer));
        assert!(admission.clients.is_empty(), "nobody is left: {admission:?}");
    }

    #[test]
    fn a_listener_has_limits_of_its_own_which_may_come_later() {
        let mut admission = Admission::new(AdmissionLimits::default());
        assert_eq!(admission.admit(0, at(1, "192.0.2.1")), Ok(()));
        let (clients_max, clients_per_ip_max) = (Some(2), Some(1));
        let rules = ListenerRules { clients_max, clients_per_ip_max, ..Default::default() };
        admission.set_rules(1, rules);
        let per_ip = Err(Rejection::MaxClientsPerIp);
        assert_eq!(admission.admit(1, at(1, "192.0.2.1")), per_ip, "who was there counts");
        assert_eq!(admission.admit(1, at(2, "192.0.2.1")), Ok(()), "at another there is no limit");
        assert_eq!(admission.admit(2, at(1, "192.0.2.2")), Ok(()));
        let of_listener = Err(Rejection::MaxClientsOfListener);
        assert_eq!(admission.admit(3, at(1, "192.0.2.3")), of_listener);
        admission.release(at(1, "192.0.2.2"));
        assert_eq!(admission.admit(2, at(1, "192.0.2.3")), Ok(()));
    }
}
