//! A connection to an upstream server, encrypted or not, as a socket that never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error as TlsError};
use socket2::SockRef;

use crate::tls::tls_reason;

/// How long a handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);

/// Whom to trust, and the name that the certificate must be for.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// A connection. Encrypted, it holds at most what the library does: 64 KiB to be sent, of which
/// nothing is known when the connection is lost, and what one read has decrypted.
#[derive(Debug)]
pub(super) struct Channel {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// It may hold decrypted bytes, of which no event tells.
    may_hold_more: bool,
}

impl Channel {
    /// Shakes hands, if it is to be encrypted.
    ///
    /// # Errors
    /// What [`reason`] puts in words.
    pub(super) fn open(stream: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        let tls = match tls {
            None => None,
            Some(tls) => Some(Box::new(shake_hands(&stream, tls).map_err(in_handshake)?)),
        };
        stream.set_nonblocking(true)?;
        // After a handshake, more than its end may have come.
        Ok(Self { stream, may_hold_more: tls.is_some(), tls })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether to receive again before waiting for an event.
    pub(super) fn may_hold_more(&self) -> bool {
        self.may_hold_more
    }

    /// Receives into `space`, which is not empty; 0 at the end of the stream, however it is said: an
    /// incomplete frame is discarded.
    pub(super) fn receive(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.read(space) };
        let received = loop {
            match tls.reader().read(space) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break Ok(0),
                received => break received,
            }
            if let Err(error) = tls.read_tls(&mut self.stream) {
                break Err(error);
            }
            if let Err(error) = tls.process_new_packets() {
                // Its alert says why; it may have been closed already.
                let _ = tls.write_tls(&mut self.stream);
                break Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        };
        self.may_hold_more = received.is_ok();
        received
    }

    /// Takes some of `bytes` to be sent. While something that was taken is not sent, nothing is.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tls.is_none() {
            return self.stream.write(bytes);
        }
        if self.flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let tls = self.tls.as_mut().expect("it is encrypted");
        let taken = tls.writer().write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    /// Sends what was taken; returns whether something is left, for when the socket takes it.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if is_for_later(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Nothing more is sent: that is said to the other side after what was taken.
    pub(super) fn finish(&mut self) {
        // If it is broken, the next read says so.
        match &mut self.tls {
            None => drop(self.stream.shutdown(Shutdown::Write)),
            Some(tls) => {
                tls.send_close_notify();
                let _ = self.flush();
            }
        }
    }

    /// Ends it so that the other side does not read what it has not read yet.
    pub(super) fn reset(self) {
        // Fails on a connection that is gone already.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Whether it is to be tried again.
pub(super) fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Blocks until it is done, or the time is over.
fn shake_hands(mut stream: &TcpStream, tls: &Tls) -> io::Result<ClientConnection> {
    let invalid = |error: TlsError| io::Error::new(ErrorKind::InvalidData, error);
    let end = Instant::now() + HANDSHAKE_TIME_MAX;
    let mut connection = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone());
    let connection_ref = connection.as_mut().map_err(|error| invalid(error.clone()))?;
    while connection_ref.is_handshaking() || connection_ref.wants_write() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        stream.set_write_timeout(Some(left))?;
        if connection_ref.wants_write() {
            connection_ref.write_tls(&mut stream)?;
        } else if connection_ref.read_tls(&mut stream)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        } else if let Err(error) = connection_ref.process_new_packets() {
            let _ = connection_ref.write_tls(&mut stream);
            return Err(invalid(error));
        }
    }
    connection.map_err(invalid)
}

/// An error of a handshake, in words if it does not have them.
fn in_handshake(error: io::Error) -> io::Error {
    let text = match error.kind() {
        ErrorKind::UnexpectedEof => "it has closed the connection during the TLS handshake",
        // A socket that is waited for with a time-out says either.
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            "it has not answered the TLS handshake: leave out tls:// if it does not speak TLS there"
        }
        _ => return error,
    };
    io::Error::other(text)
}

/// What went wrong, in one line, and what to do where that is known.
pub(super) fn reason(error: &io::Error) -> String {
    tls_reason(error, "--upstream-ca-file").unwrap_or_else(|| error.to_string())
}
