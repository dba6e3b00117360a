//! A TCP connection that is waited for until a deadline at first, and polled afterwards.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::net::sockopt;

/// A silent peer is asked after so many seconds whether it is still there,
const KEEPALIVE_IDLE_SECONDS: u64 = 30;
/// again after so many,
const KEEPALIVE_INTERVAL_SECONDS: u64 = 10;
/// and given up after so many questions.
const KEEPALIVE_PROBES: u32 = 3;

/// The connection. Reads and writes fail with [`io::ErrorKind::TimedOut`] after the deadline, and
/// with [`io::ErrorKind::WouldBlock`] once there is none.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    deadline: Option<Instant>,
}

impl Socket {
    /// A connection whose handshakes must be over at `deadline`.
    pub(crate) fn until(stream: TcpStream, deadline: Instant) -> io::Result<Self> {
        // A typed line leaves at once.
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, Duration::from_secs(KEEPALIVE_IDLE_SECONDS))?;
        sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(KEEPALIVE_INTERVAL_SECONDS))?;
        sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
        Ok(Self { stream, deadline: Some(deadline) })
    }

    /// From now on nothing waits.
    pub(crate) fn set_polled(&mut self) -> io::Result<()> {
        self.deadline = None;
        self.stream.set_nonblocking(true)
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// The time left, which is never zero.
    fn left(&self) -> io::Result<Option<Duration>> {
        let Some(deadline) = self.deadline else { return Ok(None) };
        match deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// A limit that was reached is told as `WouldBlock`.
    fn limit_told<T>(&self, result: io::Result<T>) -> io::Result<T> {
        match result {
            Err(error) if self.deadline.is_some() && error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            result => result,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = self.left()? {
            self.stream.set_read_timeout(Some(left))?;
        }
        let result = self.stream.read(buffer);
        self.limit_told(result)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(left) = self.left()? {
            self.stream.set_write_timeout(Some(left))?;
        }
        let result = self.stream.write(bytes);
        self.limit_told(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
