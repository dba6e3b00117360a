//! Free ports without collisions.
//!
//! Asking the kernel for "any port" and closing the socket again gives a port
//! that the next outgoing connection of anybody may take. So ports come from
//! *outside* the range that the kernel hands out by itself, and a lock file
//! per port keeps two tools (or two tests) on one machine apart. What remains
//! possible is a stranger who listens there on purpose; a trial bind finds
//! him.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;

use crate::address::{self, AddressError};
use crate::machine_fault::MachineFault;

/// Ports below this are left alone: well-known services live there.
const PORT_FIRST: u16 = 10_000;
/// Used when the kernel does not tell its own range.
const EPHEMERAL_FIRST_DEFAULT: u16 = 32_768;

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub struct PortLease {
    address: SocketAddr,
    /// Holds the lock; closing the file gives it back.
    _lock: File,
}

/// Why no port could be leased.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The folder of lock files cannot be used.
    #[error("cannot use the folder of port locks '{}': {source}", path.display())]
    Locks {
        /// The folder or the file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This machine has no such address.
    #[error("this machine cannot listen on {ip}: {reason}")]
    Unusable {
        /// The address.
        ip: IpAddr,
        /// What bind said.
        reason: String,
    },
    /// The machine has it, and still does not let a socket listen on it.
    #[error("this machine does not listen on {ip}: {reason}")]
    Refused {
        /// The address.
        ip: IpAddr,
        /// Why, and what to do.
        reason: String,
    },
    /// Every port was taken.
    #[error("no free port on {ip} between {first} and {last}")]
    Exhausted {
        /// The address.
        ip: IpAddr,
        /// First port tried.
        first: u16,
        /// Last port tried.
        last: u16,
    },
}

impl PortLease {
    /// Leases a free port on `ip`.
    ///
    /// # Errors
    /// When the machine has no such address, or no port is free.
    pub fn take(ip: IpAddr) -> Result<Self, PortError> {
        let folder = lock_folder()?;
        let last = ephemeral_first().saturating_sub(1).max(PORT_FIRST);
        let span = u32::from(last - PORT_FIRST) + 1;
        for _ in 0..span {
            let port = PORT_FIRST + (next_candidate() % span) as u16;
            let Some(lock) = try_lock(&folder, port)? else { continue };
            let address = SocketAddr::new(ip, port);
            match address::check_free(address) {
                Ok(()) => return Ok(Self { address, _lock: lock }),
                Err(error) => judge(ip, &error)?,
            }
        }
        Err(PortError::Exhausted { ip, first: PORT_FIRST, last })
    }

    /// The leased address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Whether another port may do where one cannot be listened on.
fn judge(ip: IpAddr, error: &AddressError) -> Result<(), PortError> {
    match error {
        AddressError::NotLocal { .. } => {
            Err(PortError::Unusable { ip, reason: "no interface has this address".to_owned() })
        }
        AddressError::Bind { source, .. }
            if Errno::from_io_error(source) == Some(Errno::AFNOSUPPORT) =>
        {
            Err(PortError::Unusable { ip, reason: MachineFault::explain(source) })
        }
        AddressError::Bind { source, .. } => {
            Err(PortError::Refused { ip, reason: MachineFault::explain(source) })
        }
        // The ports that are tried need no privilege.
        AddressError::NoPermission { .. } => {
            let reason = MachineFault::explain(&Errno::ACCESS.into());
            Err(PortError::Refused { ip, reason })
        }
        AddressError::InUse { .. } | AddressError::Unparsable { .. } => Ok(()),
    }
}

/// Walks the range in steps, from a start that differs between processes, so
/// that neighbours rarely try the same port.
fn next_candidate() -> u32 {
    /// Prime, and larger than any remainder that matters.
    const STEP: u32 = 7_919;
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(104_729);
    start.wrapping_add(COUNTER.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP)) >> 1
}

fn lock_folder() -> Result<PathBuf, PortError> {
    let path = std::env::temp_dir().join("zillions-ports");
    let locks = |source| PortError::Locks { path: path.clone(), source };
    fs::create_dir_all(&path).map_err(locks)?;
    // Another user of this machine may have made it; then its modes are his.
    let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o1777));
    Ok(path)
}

/// The locked file of `port`, or `None` if another tool holds it.
fn try_lock(folder: &std::path::Path, port: u16) -> Result<Option<File>, PortError> {
    let path = folder.join(port.to_string());
    let opened = OpenOptions::new().create(true).append(true).mode(0o666).open(&path);
    let file = match opened {
        Ok(file) => file,
        // Another user's lock file: his port.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(source) => return Err(PortError::Locks { path, source }),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(PortError::Locks { path, source }),
    }
}

/// First port that the kernel hands out by itself.
fn ephemeral_first() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .filter(|first| *first > PORT_FIRST)
        .unwrap_or(EPHEMERAL_FIRST_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn leases_held_at_once_never_share_a_port() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let leases: Vec<_> = (0..200).map(|_| PortLease::take(ip).expect("a free port")).collect();
        let ports: HashSet<_> = leases.iter().map(|lease| lease.address().port()).collect();
        assert_eq!(ports.len(), leases.len());
    }

    #[test]
    fn a_leased_port_is_outside_the_kernels_own_range_and_can_be_listened_on() {
        let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a free port");
        assert!(lease.address().port() < ephemeral_first());
        TcpListener::bind(lease.address()).expect("the leased port is free");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        // 192.0.2.0/24 is reserved for documentation: no machine has it.
        let error = PortLease::take(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))).unwrap_err();
        assert!(matches!(error, PortError::Unusable { .. }), "{error}");
    }
}
