//! Which sockets a server's process tree listens on. Source: `/proc` (see proc(5)).

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};

/// The addresses at which `processes` listen for TCP connections. What cannot be
/// looked at, as of a process that ends meanwhile, is left out.
pub(crate) fn listening(processes: &[Process]) -> Vec<SocketAddr> {
    let addresses: BTreeSet<SocketAddr> = processes.iter().flat_map(of_one).collect();
    addresses.into_iter().collect()
}

fn of_one(process: &Process) -> Vec<SocketAddr> {
    let own: HashSet<u64> = process
        .fd()
        .into_iter()
        .flatten()
        .filter_map(|descriptor| match descriptor.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    // The tables hold the sockets of all processes.
    let tables = [process.tcp(), process.tcp6()];
    let entries = tables.into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.state == TcpState::Listen && own.contains(&entry.inode))
        .map(|entry| canonical(entry.local_address))
        .collect()
}

/// An IPv6 socket may serve IPv4 under a mapped address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener};

    use super::*;

    #[test]
    fn those_who_listen_are_found_and_others_are_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let connected = std::net::TcpStream::connect(address).expect("a connection");
        let here = listening(&[Process::myself().expect("this process")]);
        assert!(here.contains(&address), "{here:?}");
        let local = connected.local_addr().expect("its address");
        assert!(!here.contains(&local), "{here:?}");
        drop(listener);
        let then = listening(&[Process::myself().expect("this process")]);
        assert!(!then.contains(&address), "{then:?}");
    }

    #[test]
    fn a_mapped_address_is_the_one_of_ipv4() {
        let mapped = SocketAddr::new(Ipv6Addr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]).into(), 7);
        assert_eq!(canonical(mapped).to_string(), "127.0.0.1:7");
        assert_eq!(canonical("[::1]:7".parse().expect("an address")).to_string(), "[::1]:7");
    }
}
