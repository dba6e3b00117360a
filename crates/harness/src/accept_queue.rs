//! How many more connections the kernel keeps for a server that has not accepted
//! them yet. What comes beyond it drops, and the client retries a second
//! later, then two, then four. Source: sock_diag(7).

use std::io;

use netlink_packet_sock_diag::inet::{ExtensionFlags, StateFlags};

use crate::socket_diag::SocketDiag;

/// Asks the kernel for the queues of listening sockets.
#[derive(Debug)]
pub struct AcceptQueues {
    diag: SocketDiag,
}

impl AcceptQueues {
    /// Opens a line to the kernel.
    ///
    /// # Errors
    /// When the kernel offers none.
    pub fn open() -> io::Result<Self> {
        SocketDiag::open().map(|diag| Self { diag })
    }

    /// How many more connections fit into the queue of the socket that listens at this
    /// port; the fullest, where there are several. `None` when there is none in this
    /// network namespace.
    ///
    /// # Errors
    /// When the kernel refuses the question, or its answer cannot be understood.
    pub fn places(&mut self, port: u16) -> io::Result<Option<u32>> {
        let mut fewest: Option<u32> = None;
        self.diag.each(port, StateFlags::LISTEN, ExtensionFlags::empty(), |socket| {
            let places = places_left(socket.header.recv_queue, socket.header.send_queue);
            fewest = Some(fewest.map_or(places, |fewest| fewest.min(places)));
        })?;
        Ok(fewest)
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
