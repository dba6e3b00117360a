//! Errors of the system that are this machine's doing and never a server's, each with
//! what to do: the one table for all who judge what a socket of their own reports.

use std::io;

use rustix::io::Errno;

/// Something that this machine lacks or forbids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this machine {what} ({error}): {remedy}")]
pub struct MachineFault {
    what: &'static str,
    remedy: &'static str,
    error: String,
}

impl MachineFault {
    /// What the machine lacks, if that is what `error` of a socket says. A connection that is
    /// refused or reset, and a time that is over, may be the server's doing and are none.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        let (what, remedy) = row(Errno::from_io_error(error)?)?;
        Some(Self { what, remedy, error: error.to_string() })
    }

    /// What `error` says, and what to do if the machine is to blame.
    #[must_use]
    pub fn explain(error: &io::Error) -> String {
        Self::of(error).map_or_else(|| error.to_string(), |fault| fault.to_string())
    }
}

fn row(errno: Errno) -> Option<(&'static str, &'static str)> {
    Some(match errno {
        Errno::ADDRNOTAVAIL => (
            "has no local port left, or not such an address",
            "give it more ports with sysctl -w net.ipv4.ip_local_port_range='32768 60999', or wait \
             a minute for those of closed connections",
        ),
        Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN => (
            "does not reach that address",
            "bring the interface up, for the loopback device with ip link set lo up",
        ),
        Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT => {
            ("does not have that protocol", "for IPv6, load it with modprobe ipv6")
        }
        Errno::NOBUFS | Errno::NOMEM => {
            ("is out of memory", "end other programs, or raise the container's memory limit")
        }
        Errno::MFILE => {
            ("lets this process open no more descriptors", "raise the limit with ulimit -n 4096")
        }
        Errno::NFILE => {
            ("is out of descriptors", "raise the limit with sysctl -w fs.file-max=1000000")
        }
        Errno::ACCESS | Errno::PERM => (
            "forbids it",
            "allow it in the firewall, the security module or the container's seccomp profile",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(errno: Errno) -> Option<String> {
        MachineFault::of(&errno.into()).map(|fault| fault.to_string())
    }

    #[test]
    fn what_the_machine_lacks_is_told_with_what_to_do() {
        let ports = fault(Errno::ADDRNOTAVAIL).expect("the machine's");
        assert!(ports.starts_with("this machine has no local port left"), "{ports}");
        assert!(ports.contains("os error 99"), "{ports}");
        assert!(ports.contains("sysctl -w net.ipv4.ip_local_port_range="), "{ports}");
        for errno in [
            Errno::NETUNREACH,
            Errno::HOSTUNREACH,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::MFILE,
            Errno::NFILE,
            Errno::ACCESS,
            Errno::PERM,
            Errno::AFNOSUPPORT,
        ] {
            assert!(fault(errno).is_some(), "{errno}");
        }
    }

    #[test]
    fn what_a_server_can_cause_is_not_the_machines() {
        for errno in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::TIMEDOUT, Errno::PIPE] {
            assert_eq!(fault(errno), None);
        }
        let time_out = io::Error::new(io::ErrorKind::TimedOut, "connection timed out");
        assert_eq!(MachineFault::of(&time_out), None);
        assert_eq!(MachineFault::explain(&time_out), "connection timed out");
    }
}
