//! What a server has read and written, as the kernel counts it on the server's own
//! sockets: whether it does anything for its clients, wherever they are. Source: sock_diag(7).

use std::io;

use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetResponse, StateFlags};

use crate::socket_diag::SocketDiag;

/// Asks the kernel for the connections of a server.
#[derive(Debug)]
pub struct TrafficProbe {
    diag: SocketDiag,
}

/// The connections of a port, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that the kernel knows.
    pub connections: u64,
    /// Those of them that the server has accepted and not closed.
    pub accepted: u64,
    /// Bytes that it has read from all of them.
    pub read_bytes: u64,
    /// Bytes that it has written to all of them.
    pub written_bytes: u64,
    /// Bytes that have arrived for it and that it has not read.
    pub unread_bytes: u64,
}

impl TrafficProbe {
    /// Opens a line to the kernel.
    ///
    /// # Errors
    /// When the kernel offers none.
    pub fn open() -> io::Result<Self> {
        SocketDiag::open().map(|diag| Self { diag })
    }

    /// The connections whose local port is `port`: none, where the server is in another
    /// network namespace or on another machine.
    ///
    /// # Errors
    /// When the kernel refuses the question, or its answer cannot be understood.
    pub fn look(&mut self, port: u16) -> io::Result<Traffic> {
        let mut sum = Traffic::default();
        let states = StateFlags::all() & !(StateFlags::LISTEN | StateFlags::TIME_WAIT);
        self.diag.each(port, states, ExtensionFlags::INFO, |socket| sum.add(socket))?;
        Ok(sum)
    }
}

impl Traffic {
    fn add(&mut self, socket: &InetResponse) {
        let header = &socket.header;
        self.connections += 1;
        // Before it is accepted, and after it was closed, a connection has no file.
        self.accepted += u64::from(header.inode != 0);
        self.unread_bytes += u64::from(header.recv_queue);
        for nla in &socket.nlas {
            if let Nla::TcpInfo(info) = nla {
                self.read_bytes += info.bytes_received.saturating_sub(u64::from(header.recv_queue));
                self.written_bytes += info.bytes_acked + u64::from(header.send_queue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_a_server_accepts_reads_and_writes_is_counted() {
        let mut probe = TrafficProbe::open().expect("a line to the kernel");
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).expect("a free port");
            let address = listener.local_addr().expect("its address");
            let mut look = || probe.look(address.port()).expect("an answer");
            assert_eq!(look(), Traffic::default());
            let mut client = TcpStream::connect(address).expect("a connection");
            assert_eq!((look().connections, look().accepted), (1, 0));
            let (mut server, _) = listener.accept().expect("the connection");
            assert_eq!((look().connections, look().accepted), (1, 1));
            client.write_all(b"question").expect("a server that accepts");
            server.read_exact(&mut [0; 5]).expect("what was sent");
            let seen = look();
            assert_eq!((seen.read_bytes, seen.unread_bytes), (5, 3));
            server.write_all(b"an answer").expect("a client that is there");
            // What is on its way counts as well as what was acknowledged; the kernel's
            // count begins at one.
            assert_eq!(look().written_bytes - seen.written_bytes, 9);
        }
    }

    #[test]
    fn a_port_of_nobody_has_no_connections() {
        let mut probe = TrafficProbe::open().expect("a line to the kernel");
        assert_eq!(probe.look(0).expect("an answer"), Traffic::default());
    }
}
