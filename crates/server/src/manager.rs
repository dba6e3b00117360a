//! What a service manager such as systemd is told: sd_notify(3), and its watchdog's interval.
//!
//! Without `NOTIFY_SOCKET` there is no manager, and nothing happens here. sd-notify has the words
//! and the parsing; it does not send to abstract sockets, so that is done here.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// How long a manager that does not read may hold up the main thread; never a shard.
const SEND_TIME_MAX: Duration = Duration::from_secs(1);

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that the environment names. One that cannot be reached is none, with a warning.
    #[must_use]
    pub fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                warn!(%error, ?name, "cannot reach the service manager at NOTIFY_SOCKET");
                None
            }
        });
        Self { socket, watchdog: sd_notify::watchdog_enabled().filter(|time| !time.is_zero()) }
    }

    /// After how much silence the manager takes the server for hung.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog)
    }

    /// It serves, after the start or a reload.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// It reloads its configuration; [`ready`](Self::ready) must follow.
    pub fn reloading(&self) {
        // The manager tells by the time that what follows is of this reload.
        let time = NotifyState::monotonic_usec_now();
        let time = time.unwrap_or(NotifyState::MonotonicUsec(0));
        self.tell(&[NotifyState::Reloading, time]);
    }

    /// It begins to stop, and will have ended after `time_max`.
    pub fn stopping(&self, status: &str, time_max: Duration) {
        let time_max = u32::try_from(time_max.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::Status(status),
            NotifyState::ExtendTimeoutUsec(time_max),
        ]);
    }

    /// It is alive.
    pub fn ping(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// One line for humans.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let mut message = String::new();
        for state in states {
            writeln!(message, "{state}").expect("text");
        }
        if let Err(error) = socket.send(message.as_bytes()) {
            warn!(%error, "cannot notify the service manager");
        }
    }
}

/// A connection to a path, or to the abstract name after an `@`.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(SEND_TIME_MAX))?;
    Ok(socket)
}
