//! The session: four flows in one thread (input, sending, receiving, printing), each bounded. One
//! waits for another only while the buffer between them is full.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use thiserror::Error;
use zillions_escape::append_visible;
use zillions_harness::MachineFault;
use zillions_protocol::{BODY_BYTES_MAX, Decoder, HEADER_BYTES, encode};

use crate::{
    cli::{Arguments, Quiet},
    lines::{Line, Lines},
    linger::{Linger, Sent},
    stderr::complain,
};

/// How much is read at once, from the input and from the server.
const READ_BYTES_MAX: usize = 16 * 1024;

/// While more than this waits to be sent, no input is read. A line read makes a frame of its own
/// size, so what waits stays below this + [`READ_BYTES_MAX`] + one frame.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// While more than this waits to be printed, nothing is received. What is received at once grows at
/// most fourfold, to escapes such as `\xff`.
const UNPRINTED_BYTES_MAX: usize = 64 * 1024;

/// A pipe that is ready takes this much without blocking (Linux' `PIPE_BUF`).
const PRINT_BYTES_MAX: usize = 4096;

/// Why a session failed.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    /// The server closed the connection although the input had not ended or was not all sent.
    #[error("the server closed the connection")]
    Closed,
    /// The server closed the connection inside a frame.
    #[error(
        "the server closed the connection within a message ({received} of {length} bytes received)"
    )]
    CutShort {
        /// Bytes of the body that were received.
        received: usize,
        /// Bytes of the body that were announced.
        length: usize,
    },
    /// The connection broke.
    #[error("lost the connection: {}", MachineFault::explain(.0))]
    Lost(#[source] io::Error),
    /// Standard output failed, and not because its reader went away.
    #[error("cannot write standard output: {0}")]
    Output(#[source] io::Error),
    /// `poll` failed.
    #[error("cannot wait for input and messages: {0}")]
    Wait(#[source] io::Error),
}

impl SessionError {
    /// Whether this machine, and neither the server nor a file, is why the session failed.
    pub(crate) fn is_the_machines(&self) -> bool {
        matches!(self, Self::Lost(error) if MachineFault::of(error).is_some())
    }
}

/// What can be done without blocking.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    input: bool,
    receive: bool,
    print: bool,
    /// The time is up, and nothing has happened.
    leave: bool,
    /// The reader of the output has gone away.
    output_gone: bool,
}

/// How far sending has come.
#[derive(Debug)]
enum Sending {
    Open,
    HalfClosed,
    Broken(io::Error),
}

pub(crate) struct Session<'a> {
    socket: &'a TcpStream,
    stdin: BorrowedFd<'a>,
    stdout: BorrowedFd<'a>,
    stderr: &'a mut dyn Write,
    raw: bool,
    quiet: Quiet,
    /// `None` once the input has ended.
    lines: Option<Lines>,
    unsent: Vec<u8>,
    sending: Sending,
    sent: Sent,
    decoder: Decoder,
    unprinted: Vec<u8>,
    /// Set when all is sent, unless the wait for the server is unlimited.
    linger: Option<Linger>,
    /// Whether every line of the input could be read and put into a message.
    complete: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        socket: &'a TcpStream,
        stdin: BorrowedFd<'a>,
        stdout: BorrowedFd<'a>,
        stderr: &'a mut dyn Write,
        arguments: &Arguments,
    ) -> Result<Self, SessionError> {
        // A typed line leaves at once; input from a pipe is batched here anyway.
        socket.set_nodelay(true).map_err(SessionError::Lost)?;
        socket.set_nonblocking(true).map_err(SessionError::Wait)?;
        Ok(Self {
            socket,
            stdin,
            stdout,
            stderr,
            raw: arguments.raw,
            quiet: arguments.linger_seconds,
            lines: Some(Lines::default()),
            unsent: Vec::new(),
            sending: Sending::Open,
            sent: Sent::new(),
            decoder: Decoder::new(),
            unprinted: Vec::new(),
            linger: None,
            complete: true,
        })
    }

    /// Runs to the end. Returns whether every line of the input became a message.
    pub(crate) fn run(mut self) -> Result<bool, SessionError> {
        loop {
            let ready = self.wait()?;
            if ready.output_gone {
                return Ok(self.complete);
            }
            if ready.input {
                self.read_input();
            }
            // Before receiving: the end of the connection is an error unless the input has ended.
            self.send();
            let received = if ready.receive { self.receive()? } else { Received::Nothing };
            if received == Received::End {
                return self.finish().and_then(|()| self.verdict());
            }
            if ready.print && !self.print()? {
                return Ok(self.complete);
            }
            // While others keep sending, no wait ends without a message.
            if ready.leave || (received == Received::Something && self.is_time_to_leave()) {
                return self.finish().map(|()| self.complete);
            }
        }
    }

    fn wants_input(&self) -> bool {
        self.lines.is_some() && self.unsent.len() <= UNSENT_BYTES_MAX
    }

    fn wants_to_receive(&self) -> bool {
        self.unprinted.len() <= UNPRINTED_BYTES_MAX
    }

    fn is_time_to_leave(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }

    /// The remaining wait for the server. Silence means nothing while nothing is received.
    fn time_left(&self) -> Option<Duration> {
        let linger = self.linger.as_ref().filter(|_| self.wants_to_receive())?;
        Some(linger.left(Instant::now()))
    }

    /// Waits until something can be done or the time is up.
    fn wait(&self) -> Result<Ready, SessionError> {
        let mut on_socket = PollFlags::empty();
        on_socket.set(PollFlags::IN, self.wants_to_receive());
        on_socket.set(PollFlags::OUT, !self.unsent.is_empty());
        let mut on_stdout = PollFlags::empty();
        on_stdout.set(PollFlags::OUT, !self.unprinted.is_empty());

        // Standard output is always polled, because its reader may go away. The others only when
        // wanted: their errors would end every wait at once.
        let mut files = vec![PollFd::from_borrowed_fd(self.stdout, on_stdout)];
        if !on_socket.is_empty() {
            files.push(PollFd::from_borrowed_fd(self.socket.as_fd(), on_socket));
        }
        if self.wants_input() {
            files.push(PollFd::from_borrowed_fd(self.stdin, PollFlags::IN));
        }
        let timeout = self.time_left().and_then(|left| Timespec::try_from(left).ok());
        let leave = match poll(&mut files, timeout.as_ref()) {
            Ok(files_ready) => files_ready == 0,
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(SessionError::Wait(error.into())),
        };

        let mut events = files.iter().map(PollFd::revents);
        let stdout = events.next().unwrap_or(PollFlags::empty());
        let socket = match on_socket.is_empty() {
            true => PollFlags::empty(),
            false => events.next().unwrap_or(PollFlags::empty()),
        };
        let stdin = events.next().unwrap_or(PollFlags::empty());
        let failed = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        Ok(Ready {
            input: !stdin.is_empty(),
            receive: self.wants_to_receive() && socket.intersects(PollFlags::IN | failed),
            print: stdout.contains(PollFlags::OUT),
            leave,
            output_gone: stdout.intersects(failed),
        })
    }

    fn read_input(&mut self) {
        let mut buffer = [0; READ_BYTES_MAX];
        let Self { lines, unsent, sent, complete, stderr, .. } = self;
        let Some(open) = lines else { return };
        let mut each = |line: Line<'_>| match line.body.map(|body| (body, encode(body, unsent))) {
            Ok((body, Ok(()))) => sent.insert(body),
            Ok((_, Err(error))) | Err(error) => {
                *complete = false;
                complain(*stderr, format_args!("line {} not sent: {error}", line.number));
            }
        };
        match rustix::io::read(self.stdin, &mut buffer) {
            Ok(0) => {
                if let Some(lines) = lines.take() {
                    lines.finish(each);
                }
            }
            Ok(bytes) => open.feed(&buffer[..bytes], each),
            // Another process that shares the file may have made it non-blocking.
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => {
                if let Some(lines) = lines.take() {
                    lines.finish(&mut each);
                }
                *complete = false;
                let error = io::Error::from(error);
                complain(*stderr, format_args!("cannot read standard input: {error}"));
            }
        }
    }

    /// Sends what the connection takes; closes our side once the input has ended and all is sent.
    fn send(&mut self) {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(bytes) => drop(self.unsent.drain(..bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // What has arrived before is still received.
                    self.unsent.clear();
                    self.lines = None;
                    self.sending = Sending::Broken(error);
                }
            }
        }
        if self.lines.is_none() && matches!(self.sending, Sending::Open) {
            // An error here means that the connection is gone, which receiving will report.
            let _ = self.socket.shutdown(Shutdown::Write);
            self.sending = Sending::HalfClosed;
            self.linger = self.quiet.0.map(|quiet| Linger::new(quiet, Instant::now()));
        }
    }

    fn receive(&mut self) -> Result<Received, SessionError> {
        let mut buffer = [0; READ_BYTES_MAX];
        let bytes = match self.socket.read(&mut buffer) {
            Ok(0) => return Ok(Received::End),
            Ok(bytes) => bytes,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {
                    return Ok(Received::Nothing);
                }
                _ => {
                    self.finish()?;
                    return Err(SessionError::Lost(error));
                }
            },
        };
        let mut may_be_ours = false;
        let mut input = &buffer[..bytes];
        while let Some(body) = self.decoder.decode(&mut input) {
            if self.linger.is_some() {
                may_be_ours |= self.sent.may_contain(body);
            }
            if self.raw {
                self.unprinted.extend_from_slice(body);
            } else {
                append_visible(body, &mut self.unprinted);
            }
            self.unprinted.push(b'\n');
        }
        if let Some(linger) = &mut self.linger {
            linger.heard(may_be_ours, Instant::now());
        }
        Ok(Received::Something)
    }

    /// Prints what the output takes without blocking; `false` if its reader has gone away.
    fn print(&mut self) -> Result<bool, SessionError> {
        let bytes = self.unprinted.len().min(PRINT_BYTES_MAX);
        match rustix::io::write(self.stdout, &self.unprinted[..bytes]) {
            Ok(bytes) => drop(self.unprinted.drain(..bytes)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::PIPE) => return Ok(false),
            Err(error) => return Err(SessionError::Output(error.into())),
        }
        Ok(true)
    }

    /// Prints the rest, however long that takes.
    fn finish(&mut self) -> Result<(), SessionError> {
        while !self.unprinted.is_empty() {
            let mut files = [PollFd::from_borrowed_fd(self.stdout, PollFlags::OUT)];
            match poll(&mut files, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(SessionError::Wait(error.into())),
            }
            if !self.print()? {
                self.unprinted.clear();
            }
        }
        Ok(())
    }

    /// Whether the end of the server's stream is an error.
    fn verdict(self) -> Result<bool, SessionError> {
        match (self.sending, self.decoder.rest()) {
            (Sending::Broken(error), _) => Err(SessionError::Lost(error)),
            (_, [length, body @ ..]) => {
                Err(SessionError::CutShort { received: body.len(), length: usize::from(*length) })
            }
            (Sending::Open, []) => Err(SessionError::Closed),
            (Sending::HalfClosed, []) => Ok(self.complete),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    Nothing,
    Something,
    End,
}

// A read buffer of input makes at most its own length of frames, so the bound above holds.
const _: () = assert!(HEADER_BYTES == 1 && BODY_BYTES_MAX < READ_BYTES_MAX);
