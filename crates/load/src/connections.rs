//! The sockets of one trial and the events on them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::event::{PollFd, PollFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::clock::Clock;
use crate::outcome::LostConnection;
use crate::share::Share;

/// Taken from a socket at a time.
const RECEIVE_BYTES_MAX: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;

/// The kernel's buffer for what a client sends. Fixed, because the default grows to megabytes that
/// would still be under way when the window has ended.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// After a trial, stalled clients read for this long, to see whose connection has ended.
const STALLED_READ_MAX: Duration = Duration::from_millis(300);

/// The kernel's buffer for what a stalled client does not read: it is full at once.
const STALLED_BUFFER_BYTES: usize = 16 * 1024;

const TIMER: Token = Token(usize::MAX);

/// One client's socket.
#[derive(Debug)]
struct Connection {
    /// Absent once it is lost.
    stream: Option<TcpStream>,
    /// Whether writing may succeed, as far as known.
    writable: bool,
    /// Whether the peer has closed: only reading to the end shows what still comes.
    closing: bool,
    /// Whether it is in the queue of those to be read.
    queued: bool,
}

/// All sockets, their readiness, and a timer precise to microseconds (what `epoll_wait` itself
/// waits for is whole milliseconds).
#[derive(Debug)]
pub(crate) struct Connections {
    poll: Poll,
    events: Events,
    timer: OwnedFd,
    /// When the timer expires; `None` if it has or was never set.
    alarm_ns: Option<u64>,
    connections: Vec<Connection>,
    readable: VecDeque<usize>,
    buffer: Vec<u8>,
    /// Connections that are open: here, and of all threads together.
    connected_here: usize,
    connected: Arc<AtomicUsize>,
    /// Reads that returned bytes.
    pub(crate) reads: u64,
    /// Open for as long as the trial lasts, and never read.
    stalled: Vec<Socket>,
    pub(crate) lost: Vec<LostConnection>,
}

impl Connections {
    /// Connects those of `clients` sockets that are in `share` to `addresses` in turn within `time_max`,
    /// with Nagle's algorithm on if `nagle`, and counts them in `connected`; on failure, which one
    /// could not.
    pub(crate) fn open(
        addresses: &[SocketAddr],
        clients: usize,
        (share, connected): (Share, &Arc<AtomicUsize>),
        nagle: bool,
        time_max: Duration,
    ) -> Result<Self, (usize, io::Error)> {
        let setup = |error| (0, error);
        let poll = Poll::new().map_err(setup)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, flags).map_err(|e| setup(e.into()))?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(setup)?;
        let deadline = Instant::now() + time_max;
        let absent = || Connection { stream: None, writable: true, closing: false, queued: false };
        let mut connections: Vec<_> = (0..clients).map(|_| absent()).collect();
        for client in share.of(clients) {
            let stream = connect(addresses[client % addresses.len()], nagle, deadline)
                .and_then(|mut stream| {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(client), interest)?;
                    Ok(stream)
                })
                .map_err(|error| (client, error))?;
            connections[client].stream = Some(stream);
        }
        let connected_here = share.of(clients).count();
        connected.fetch_add(connected_here, Ordering::Relaxed);
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            timer,
            alarm_ns: None,
            connections,
            readable: VecDeque::with_capacity(clients),
            buffer: vec![0; RECEIVE_BYTES_MAX],
            connected_here,
            connected: Arc::clone(connected),
            reads: 0,
            stalled: Vec::new(),
            lost: Vec::new(),
        })
    }

    /// Connects `clients` further sockets within `time_max`, which send `hello` and never read; on
    /// failure, how many had been connected.
    pub(crate) fn open_stalled(
        &mut self,
        addresses: &[SocketAddr],
        clients: usize,
        hello: &[u8],
        time_max: Duration,
    ) -> Result<(), (usize, io::Error)> {
        let deadline = Instant::now() + time_max;
        for client in 0..clients {
            let address = addresses[client % addresses.len()];
            let stalled = connect_socket(address, deadline, Some(STALLED_BUFFER_BYTES))
                .and_then(|mut socket| {
                    // A few bytes fit into any socket's buffer.
                    socket.write_all(hello)?;
                    Ok(socket)
                })
                .map_err(|error| (client, error))?;
            self.stalled.push(stalled);
        }
        Ok(())
    }

    /// Reads what the server has for the stalled clients, and counts those whose streams end.
    ///
    /// Only reading shows that: the end of the stream follows what the server could not send before.
    pub(crate) fn stalled_disconnected(&mut self) -> u64 {
        let deadline = Instant::now() + STALLED_READ_MAX;
        let mut waiting: Vec<Socket> = std::mem::take(&mut self.stalled);
        waiting.retain(|socket| socket.set_nonblocking(true).is_ok());
        let mut disconnected = 0;
        while !waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(timeout) = Timespec::try_from(left) else { break };
            let mut polled: Vec<PollFd<'_>> =
                waiting.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
            if left.is_zero()
                || !rustix::event::poll(&mut polled, Some(&timeout)).is_ok_and(|n| n > 0)
            {
                break;
            }
            let buffer = &mut self.buffer;
            waiting.retain_mut(|socket| match socket.read(buffer) {
                Ok(bytes) if bytes > 0 => true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                _ => {
                    disconnected += 1;
                    false
                }
            });
        }
        disconnected
    }

    /// How many connections of all threads are open.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// How many of them are here.
    pub(crate) fn connected_here(&self) -> usize {
        self.connected_here
    }

    pub(crate) fn is_connected(&self, client: usize) -> bool {
        self.connections[client].stream.is_some()
    }

    pub(crate) fn is_writable(&self, client: usize) -> bool {
        let connection = &self.connections[client];
        connection.writable && connection.stream.is_some()
    }

    /// Whether there may be something to read.
    pub(crate) fn has_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// How many connections may have something to read.
    pub(crate) fn readable(&self) -> usize {
        self.readable.len()
    }

    /// Waits for events until `until_ns`, or only takes the events there are if that is past.
    pub(crate) fn wait(&mut self, clock: &Clock, until_ns: u64) -> io::Result<()> {
        let now_ns = clock.now_ns();
        let timeout = if until_ns <= now_ns {
            Some(Duration::ZERO)
        } else {
            self.set_alarm(until_ns, now_ns)?;
            None
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            if event.token() == TIMER {
                self.alarm_ns = None;
                continue;
            }
            let client = event.token().0;
            let connection = &mut self.connections[client];
            connection.writable |= event.is_writable();
            connection.closing |= event.is_read_closed() || event.is_error();
            if (event.is_readable() || connection.closing) && !connection.queued {
                connection.queued = true;
                self.readable.push_back(client);
            }
        }
        Ok(())
    }

    fn set_alarm(&mut self, at_ns: u64, now_ns: u64) -> io::Result<()> {
        if self.alarm_ns == Some(at_ns) {
            return Ok(());
        }
        let wait_ns = at_ns - now_ns;
        let alarm = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: (wait_ns / 1_000_000_000) as i64,
                tv_nsec: (wait_ns % 1_000_000_000) as i64,
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &alarm)?;
        self.alarm_ns = Some(at_ns);
        Ok(())
    }

    /// Reads once from the connection that has waited longest, and passes the bytes to `take`, with
    /// the time of their arrival. If `take` returns a reason, the connection is closed.
    pub(crate) fn receive(
        &mut self,
        clock: &Clock,
        mut take: impl FnMut(usize, &[u8], u64) -> Result<(), String>,
    ) {
        let Some(client) = self.readable.pop_front() else { return };
        let connection = &mut self.connections[client];
        connection.queued = false;
        let Some(stream) = connection.stream.as_mut() else { return };
        match stream.read(&mut self.buffer) {
            Ok(0) => self.lose(client, clock.now_ns(), "the server closed the connection"),
            Ok(bytes) => {
                let now_ns = clock.now_ns();
                self.reads += 1;
                if let Err(reason) = take(client, &self.buffer[..bytes], now_ns) {
                    return self.lose(client, now_ns, &reason);
                }
                // A short read has emptied the socket: the next byte makes a new event. Only the
                // end of the stream may have been announced before.
                if bytes == self.buffer.len() || connection.closing {
                    connection.queued = true;
                    self.readable.push_back(client);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                connection.queued = true;
                self.readable.push_back(client);
            }
            Err(error) => self.lose(client, clock.now_ns(), &error.to_string()),
        }
    }

    /// Lets `write` write to `client`'s socket once; false if the socket takes no more for now.
    pub(crate) fn send(
        &mut self,
        clock: &Clock,
        client: usize,
        write: impl FnOnce(&mut TcpStream) -> io::Result<usize>,
    ) -> bool {
        let connection = &mut self.connections[client];
        let Some(stream) = connection.stream.as_mut() else { return false };
        match write(stream) {
            Ok(_) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.writable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => self.lose(client, clock.now_ns(), &error.to_string()),
        }
        false
    }

    fn lose(&mut self, client: usize, now_ns: u64, reason: &str) {
        // Dropping the socket closes it, which also takes it out of the poll.
        self.connections[client].stream = None;
        self.connected_here -= 1;
        self.connected.fetch_sub(1, Ordering::Relaxed);
        let at_seconds = now_ns as f64 / 1e9;
        self.lost.push(LostConnection { client, at_seconds, reason: reason.to_owned() });
    }
}

fn connect(address: SocketAddr, nagle: bool, deadline: Instant) -> io::Result<TcpStream> {
    let socket = connect_socket(address, deadline, None)?;
    socket.set_tcp_nodelay(!nagle)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}

/// A connected socket; without `receive_buffer_bytes` the kernel chooses the receive buffer.
fn connect_socket(
    address: SocketAddr,
    deadline: Instant,
    receive_buffer_bytes: Option<usize>,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    if let Some(bytes) = receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    let left = deadline.saturating_duration_since(Instant::now());
    // A timeout of zero would be an invalid argument instead of a timeout.
    socket.connect_timeout(&SockAddr::from(address), left.max(Duration::from_millis(1)))?;
    Ok(socket)
}
