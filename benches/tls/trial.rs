//! The load on one server, and what it cost.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use rustls::ClientConfig;
use zillions_harness::Sample;
use zillions_load::WireFormat;

use crate::client::{Client, Opening};
use crate::script::{BODY_BYTES, Script, WINDOW_MESSAGES};

/// What the publisher says at once, as the load generator: what fits into one TLS record.
const CHUNK_BYTES: usize = 16 * 1024;
/// Taken from a socket at a time, as the load generator.
const RECEIVE_BYTES_MAX: usize = 256 * 1024;
/// How long the last messages may be under way after the load has ended.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long one wait for events is at most.
const WAIT_TIME_MAX: Duration = Duration::from_millis(10);
const TIMER: Token = Token(usize::MAX);

/// When the publisher speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as the slowest receiver is not a window behind.
    Saturated,
    /// So many messages a second, each due alone.
    PerSecond(u32),
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Clients beside the publisher; it receives everything, too.
    pub(crate) subscribers: usize,
    pub(crate) pace: Pace,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
}

/// The server of one trial.
pub(crate) struct Target<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) wire: WireFormat,
    /// With which clients connect, if with TLS.
    pub(crate) tls: Option<&'a Arc<ClientConfig>>,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Messages that arrived within the window, summed over all clients.
    pub(crate) deliveries: f64,
    /// Length of the window.
    pub(crate) seconds: f64,
    /// CPU time of the server within it, in seconds.
    pub(crate) server_cpu: f64,
    /// CPU time of the receiver within it, in seconds.
    pub(crate) receiver_cpu: f64,
    /// Which share of the window the receiver or the server waited for a processor, the one that
    /// waited longer: other programs had it, or another thread of the same server.
    pub(crate) waited_share: f64,
    /// Which share of the messages at a rate were not sent alone, because the publisher was late.
    pub(crate) late_share: f64,
}

/// Carries out one trial. Every client receives every message, or it is an error.
///
/// # Errors
/// What a socket, TLS or the server said, or that something else arrived than what was sent.
pub(crate) fn run(target: &Target<'_>, plan: &Plan, tag: u32) -> io::Result<Figures> {
    let script = Script::new(target.wire, tag);
    let clients = connect(target, plan.subscribers + 1, &script)?;
    let mut load = Load::new(clients, script, target, plan.pace)?;
    load.run(plan.warm_up, Load::publish)?;
    let (before, late_before, said_before) = (load.reading(target.pid)?, load.late, load.said());
    load.run(plan.measure, Load::publish)?;
    let after = load.reading(target.pid)?;
    let (late, said) = (load.late - late_before, load.said() - said_before);
    load.drain()?;
    let seconds = (after.at - before.at).as_secs_f64();
    let waited = |which: fn(&Reading) -> f64| which(&after) - which(&before);
    Ok(Figures {
        deliveries: after.deliveries - before.deliveries,
        seconds,
        waited_share: waited(|it| it.server_waited).max(waited(|it| it.receiver_waited)) / seconds,
        server_cpu: after.server_cpu - before.server_cpu,
        receiver_cpu: after.receiver_cpu - before.receiver_cpu,
        late_share: late as f64 / said.max(1) as f64,
    })
}

/// Clients that are all served, and have nothing left to receive.
fn connect(target: &Target<'_>, count: usize, script: &Script) -> io::Result<Vec<Client>> {
    let open = |_| Opening::open(target.address, target.wire, target.tls);
    let mut clients = (0..count).map(open).collect::<io::Result<Vec<_>>>()?;
    for (number, client) in (0..).zip(&mut clients) {
        client.write_all(&script.probe(number))?;
        client.read_until(&script.arriving_probe(number))?;
    }
    // After this message only measured ones arrive.
    let fence = count as u32;
    clients[0].write_all(&script.probe(fence))?;
    for client in &mut clients {
        client.read_until(&script.arriving_probe(fence))?;
    }
    clients.into_iter().map(Opening::ready).collect()
}

/// Clocks and counters at one moment.
struct Reading {
    at: Instant,
    deliveries: f64,
    server_cpu: f64,
    receiver_cpu: f64,
    server_waited: f64,
    receiver_waited: f64,
}

/// How long threads have waited for a processor, in seconds. Source: `schedstat` in `/proc`.
fn waited(schedstats: impl IntoIterator<Item = PathBuf>) -> io::Result<f64> {
    let mut sum_ns = 0;
    for path in schedstats {
        let text = fs::read_to_string(path)?;
        let waited = text.split_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok());
        sum_ns += waited.ok_or_else(|| io::Error::other("schedstat tells no time waited"))?;
    }
    Ok(sum_ns as f64 / 1e9)
}

/// The threads of a process, each as [`waited`] takes it.
fn schedstats(pid: u32) -> io::Result<Vec<PathBuf>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?;
    threads.map(|thread| Ok(thread?.path().join("schedstat"))).collect()
}

/// A trial under way. The first client is the publisher.
struct Load {
    poll: Poll,
    events: Events,
    timer: OwnedFd,
    clients: Vec<Client>,
    /// Those that may have something to read; each once.
    readable: Vec<usize>,
    script: Script,
    pace: Pace,
    chunk_messages: u64,
    /// Messages that are due at a rate and have not been said.
    due: u64,
    /// Messages that were said together with an earlier one.
    late: u64,
    said: Vec<u8>,
    buffer: Vec<u8>,
}

impl Load {
    fn new(
        mut clients: Vec<Client>,
        script: Script,
        target: &Target<'_>,
        pace: Pace,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (index, client) in clients.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut client.socket, Token(index), interest)?;
        }
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        if let Pace::PerSecond(rate) = pace {
            let period = Timespec { tv_sec: 0, tv_nsec: 1_000_000_000 / i64::from(rate) };
            let period = Itimerspec { it_interval: period, it_value: period };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &period)?;
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            timer,
            clients,
            readable: Vec::new(),
            script,
            pace,
            chunk_messages: (CHUNK_BYTES / target.wire.sent_bytes(BODY_BYTES)) as u64,
            due: 0,
            late: 0,
            said: Vec::new(),
            buffer: vec![0; RECEIVE_BYTES_MAX],
        })
    }

    fn said(&self) -> u64 {
        self.script.said()
    }

    fn reading(&self, pid: u32) -> io::Result<Reading> {
        let server_cpu = Sample::of_pids(&[pid]).map_err(io::Error::other)?.cpu_seconds;
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let unit_bytes = self.script.unit_bytes() as u64;
        let deliveries: u64 = self.clients.iter().map(|it| it.received() / unit_bytes).sum();
        Ok(Reading {
            at: Instant::now(),
            deliveries: deliveries as f64,
            server_cpu,
            receiver_cpu: time.tv_sec as f64 + time.tv_nsec as f64 / 1e9,
            server_waited: waited(schedstats(pid)?)?,
            receiver_waited: waited([PathBuf::from("/proc/thread-self/schedstat")])?,
        })
    }

    /// Receives for `time`; `publish` returns whether it sent something.
    fn run(
        &mut self,
        time: Duration,
        mut publish: impl FnMut(&mut Self) -> io::Result<bool>,
    ) -> io::Result<()> {
        let end = Instant::now() + time;
        loop {
            let has_sent = publish(self)?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let is_busy = has_sent || !self.readable.is_empty();
            let wait = if is_busy { Duration::ZERO } else { left.min(WAIT_TIME_MAX) };
            self.wait(wait)?;
            for client in std::mem::take(&mut self.readable) {
                if self.clients[client].receive(&self.script, &mut self.buffer)? {
                    self.readable.push(client);
                }
            }
        }
    }

    fn wait(&mut self, time: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            if event.token() == TIMER {
                let mut expirations = [0; 8];
                if rustix::io::read(&self.timer, &mut expirations).is_ok() {
                    self.due += u64::from_ne_bytes(expirations);
                }
                continue;
            }
            let index = event.token().0;
            self.clients[index].is_writable |= event.is_writable();
            if event.is_readable() && !self.readable.contains(&index) {
                self.readable.push(index);
            }
        }
        Ok(())
    }

    /// Says what is due. Returns whether that was something.
    fn publish(&mut self) -> io::Result<bool> {
        if !self.clients[0].flush()? {
            return Ok(false);
        }
        let unit_bytes = self.script.unit_bytes() as u64;
        let slowest = self.clients.iter().map(Client::received).min().unwrap_or(0) / unit_bytes;
        let room = WINDOW_MESSAGES - (self.script.said() - slowest);
        let count = match self.pace {
            Pace::Saturated if room < self.chunk_messages => 0,
            Pace::Saturated => self.chunk_messages,
            Pace::PerSecond(_) => std::mem::take(&mut self.due),
        };
        if count == 0 {
            return Ok(false);
        }
        if count > room {
            let behind = format!("a client is {WINDOW_MESSAGES} messages behind at this rate");
            return Err(io::Error::other(behind));
        }
        if self.pace != Pace::Saturated {
            self.late += count - 1;
        }
        self.said.clear();
        self.script.say(count, &mut self.said);
        self.clients[0].send(&self.said)?;
        Ok(true)
    }

    /// Receives what is under way, all of it.
    fn drain(&mut self) -> io::Result<()> {
        let end = Instant::now() + DRAIN_TIME_MAX;
        let all = self.script.bytes();
        while self.clients.iter().any(|client| client.received() < all) {
            if Instant::now() > end {
                let bytes: u64 = self.clients.iter().map(|it| all - it.received()).sum();
                let missing = bytes.div_ceil(self.script.unit_bytes() as u64);
                let why = format!("{missing} deliveries have not arrived after {DRAIN_TIME_MAX:?}");
                return Err(io::Error::other(why));
            }
            self.run(WAIT_TIME_MAX, |it| it.clients[0].flush().map(|_| false))?;
        }
        Ok(())
    }
}
