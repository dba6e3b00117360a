//! Questions to the kernel about the TCP sockets of a port. Source: sock_diag(7).

use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// Room for one answer of the kernel, which cuts longer ones into several, in bytes.
const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// A line to the kernel.
#[derive(Debug)]
pub(crate) struct SocketDiag {
    socket: Socket,
    answer: Vec<u8>,
}

impl SocketDiag {
    /// Opens the line.
    ///
    /// # Errors
    /// When the kernel offers none.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, answer: vec![0; ANSWER_BYTES_MAX] })
    }

    /// Calls `each` for every socket of this network namespace whose local port is `port`
    /// and that is in one of `states`, IPv4 and IPv6.
    ///
    /// # Errors
    /// When the kernel refuses the question, or its answer cannot be understood.
    pub(crate) fn each(
        &mut self,
        port: u16,
        states: StateFlags,
        extensions: ExtensionFlags,
        mut each: impl FnMut(&InetResponse),
    ) -> io::Result<()> {
        for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let question = InetRequest {
                family,
                protocol: IPPROTO_TCP,
                extensions: extensions.clone(),
                states: states.clone(),
                socket_id: SocketId { source_port: port, ..id },
            };
            self.ask(question)?;
            while self.read_answer(port, &mut each)? {}
        }
        Ok(())
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

    /// Reads one part of an answer; whether more follows.
    fn read_answer(&mut self, port: u16, each: &mut impl FnMut(&InetResponse)) -> io::Result<bool> {
        let length = self.socket.recv(&mut &mut self.answer[..], 0)?;
        let mut rest = &self.answer[..length];
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    if response.header.socket_id.source_port == port {
                        each(&response);
                    }
                }
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => return Ok(false),
            }
            // Messages begin at multiples of four bytes.
            let padded = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(padded..).unwrap_or_default();
        }
        Ok(true)
    }
}
