//! How many more connections the kernel keeps for a server that has not accepted
//! them yet. What comes beyond it drops, and the client retries a second
//! later, then two, then four. Source: sock_diag(7).

use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// Room for one answer of the kernel, which cuts longer ones into several, in bytes.
const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// Asks the kernel for the queues of listening sockets.
#[derive(Debug)]
pub struct AcceptQueues {
    socket: Socket,
    answer: Vec<u8>,
}

impl AcceptQueues {
    /// Opens a line to the kernel.
    ///
    /// # Errors
    /// When the kernel offers none.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, answer: vec![0; ANSWER_BYTES_MAX] })
    }

    /// How many more connections fit into the queue of the socket that listens at this
    /// port; the fullest, where there are several. `None` when there is none in this
    /// network namespace.
    ///
    /// # Errors
    /// When the kernel refuses the question, or its answer cannot be understood.
    pub fn places(&mut self, port: u16) -> io::Result<Option<u32>> {
        let ipv4 = self.places_of(AF_INET, SocketId::new_v4(), port)?;
        let ipv6 = self.places_of(AF_INET6, SocketId::new_v6(), port)?;
        Ok(ipv4.into_iter().chain(ipv6).min())
    }

    fn places_of(&mut self, family: u8, id: SocketId, port: u16) -> io::Result<Option<u32>> {
        let question = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::LISTEN,
            socket_id: SocketId { source_port: port, ..id },
        };
        self.ask(question)?;
        let mut fewest = None;
        loop {
            let length = self.socket.recv(&mut &mut self.answer[..], 0)?;
            let mut rest = &self.answer[..length];
            while !rest.is_empty() {
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        let header = &response.header;
                        if header.socket_id.source_port == port {
                            let places = places_left(header.recv_queue, header.send_queue);
                            fewest = Some(fewest.map_or(places, |fewest: u32| fewest.min(places)));
                        }
                    }
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => return Ok(fewest),
                }
                // Messages begin at multiples of four bytes.
                let padded = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(padded..).unwrap_or_default();
            }
        }
    }

    fn ask(&self, question: InetRequest) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut message =
            NetlinkMessage::new(header, SockDiagMessage::InetRequest(question).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(|_| ())
    }
}

/// The kernel takes one more than the limit that the server has given.
fn places_left(waiting: u32, limit: u32) -> u32 {
    limit.saturating_add(1).saturating_sub(waiting)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// Listens, with room for so many and one more.
    fn listener(domain: Domain, address: SocketAddr, limit: i32) -> (Socket, SocketAddr) {
        let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
        socket.bind(&address.into()).expect("a free port");
        socket.listen(limit).expect("to listen");
        let address = socket.local_addr().expect("its address").as_socket();
        (socket, address.expect("an IP address"))
    }

    #[test]
    fn who_connects_takes_a_place_until_he_is_accepted() {
        let mut queues = AcceptQueues::open().expect("a line to the kernel");
        for (domain, host) in [(Domain::IPV4, "127.0.0.1:0"), (Domain::IPV6, "[::1]:0")] {
            let host = host.parse().expect("an address");
            let (listener, address) = listener(domain, host, 4);
            let mut places = || queues.places(address.port()).expect("an answer");
            assert_eq!(places(), Some(5));
            let _first = TcpStream::connect(address).expect("a connection");
            let _second = TcpStream::connect(address).expect("a connection");
            assert_eq!(places(), Some(3));
            let _accepted = listener.accept().expect("the first one");
            assert_eq!(places(), Some(4));
        }
    }

    #[test]
    fn where_nobody_listens_there_are_no_places() {
        let mut queues = AcceptQueues::open().expect("a line to the kernel");
        let (listener, address) =
            listener(Domain::IPV4, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 4);
        drop(listener);
        assert_eq!(queues.places(address.port()).expect("an answer"), None);
    }

    #[test]
    fn a_queue_that_is_over_its_limit_has_no_place() {
        assert_eq!(places_left(0, 0), 1);
        assert_eq!(places_left(6, 5), 0);
        assert_eq!(places_left(7, 5), 0);
        assert_eq!(places_left(0, u32::MAX), u32::MAX);
    }
}
