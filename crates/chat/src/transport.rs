//! A connection that carries frames, whatever it is made of. It never waits.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use tungstenite::{Error as WebSocketError, Message, WebSocket};
use zillions_escape::visible;

use crate::socket::Socket;
use crate::tls::TlsStream;

/// How much is read at once.
const READ_BYTES_MAX: usize = 16 * 1024;

/// A connection, encrypted or not.
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// From now on nothing waits.
    pub(crate) fn set_polled(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.set_polled(),
            Self::Tls(stream) => stream.sock.set_polled(),
        }
    }

    /// Whether something encrypted waits to be sent.
    fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.conn.wants_write(),
        }
    }

    /// Says that nothing more will be sent.
    fn end(&mut self) -> io::Result<()> {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown_write()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            // Without a word of goodbye it is an end all the same.
            Self::Tls(stream) => match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => match stream.write(bytes) {
                // Its buffer is full.
                Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
                result => result,
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection that carries frames.
pub(crate) enum Transport {
    Stream {
        stream: Stream,
        /// Frames that wait to be sent, and how much of the first is.
        unsent: Vec<u8>,
    },
    WebSocket(Box<WebSocket<Stream>>),
}

/// What reading has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing is there yet.
    Nothing,
    /// Bytes of frames, or something that needs no attention.
    Something,
    /// The server has closed the connection.
    End,
}

impl Transport {
    /// Takes whole frames to be sent; [`flush`](Self::flush) sends them.
    pub(crate) fn queue(&mut self, frames: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Stream { unsent, .. } => {
                unsent.extend_from_slice(&frames);
                Ok(())
            }
            Self::WebSocket(socket) => {
                blocked_is_fine(socket.write(Message::binary(frames)).map_err(io_error))
            }
        }
    }

    /// Sends what the connection takes. Returns whether that was all.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let flushed = match self {
            Self::Stream { stream, unsent } => write_all(stream, unsent),
            Self::WebSocket(socket) => socket.flush().map_err(io_error),
        };
        match flushed {
            Ok(()) => Ok(true),
            Err(error) if is_blocked(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Appends bytes of frames to `frames`, if any have come.
    pub(crate) fn receive(&mut self, frames: &mut Vec<u8>) -> io::Result<Received> {
        let received = match self {
            Self::Stream { stream, .. } => receive_bytes(stream, frames),
            Self::WebSocket(socket) => receive_message(socket, frames),
        };
        match received {
            Err(error) if is_blocked(&error) => Ok(Received::Nothing),
            received => received,
        }
    }

    /// Whether encrypted bytes wait, which no frame shows.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Stream { stream, .. } => stream.wants_write(),
            Self::WebSocket(socket) => socket.get_ref().wants_write(),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Stream { stream, .. } => stream.end(),
            Self::WebSocket(socket) => {
                blocked_is_fine(socket.close(None).map_err(io_error))?;
                blocked_is_fine(socket.flush().map_err(io_error))
            }
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream { stream, .. } => stream.socket().as_fd(),
            Self::WebSocket(socket) => socket.get_ref().socket().as_fd(),
        }
    }
}

fn write_all(stream: &mut Stream, unsent: &mut Vec<u8>) -> io::Result<()> {
    while !unsent.is_empty() {
        match stream.write(unsent) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => drop(unsent.drain(..bytes)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}

fn receive_bytes(stream: &mut Stream, frames: &mut Vec<u8>) -> io::Result<Received> {
    let mut buffer = [0; READ_BYTES_MAX];
    match stream.read(&mut buffer) {
        Ok(0) => Ok(Received::End),
        Ok(bytes) => {
            frames.extend_from_slice(&buffer[..bytes]);
            Ok(Received::Something)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Received::Something),
        Err(error) => Err(error),
    }
}

fn receive_message(socket: &mut WebSocket<Stream>, frames: &mut Vec<u8>) -> io::Result<Received> {
    match socket.read() {
        Ok(Message::Binary(bytes)) => {
            frames.extend_from_slice(&bytes);
            Ok(Received::Something)
        }
        Ok(Message::Text(_)) => Err(io::Error::other(
            "the server sent text: another program than a chat server is there",
        )),
        Ok(Message::Close(Some(close))) if !close.reason.is_empty() => {
            let reason = visible(close.reason.as_str());
            Err(io::Error::other(format!("the server closed the connection: {reason}")))
        }
        // The end follows when both sides have closed.
        Ok(_) => Ok(Received::Something),
        Err(WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed) => Ok(Received::End),
        Err(WebSocketError::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => Ok(Received::End),
        Err(error) => Err(io_error(error)),
    }
}

fn io_error(error: WebSocketError) -> io::Error {
    match error {
        WebSocketError::Io(error) => error,
        error => io::Error::other(error),
    }
}

fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn blocked_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_blocked(&error) => Ok(()),
        result => result,
    }
}
