//! What verification leaves of a processor's capacity to receive: over loopback, one publisher and
//! 32 or 64 further clients, bodies of 64 bytes. Two receivers in turn, on the same processor and
//! against the same server: one that only calls `recv` and counts bytes, and the load generator.
//!
//! `cargo bench -p zillions-load --bench loopback [-- SERVER…]`: without an executable against a
//! server in this process that passes on whatever it reads, as fast as the kernel allows.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use zillions_harness::{Launch, Server, StartOptions};
use zillions_load::{Filler, Load, Plan, WireFormat, run};

const RECEIVERS: [usize; 2] = [32, 64];
const BODY_BYTES: u8 = 64;
const FRAME_BYTES: usize = BODY_BYTES as usize + 1;
const ROUNDS: usize = 9;
const WARM_UP: Duration = Duration::from_millis(100);
const MEASURE: Duration = Duration::from_millis(400);
/// What the publisher offers at once, as the generator's.
const CHUNK_FRAMES: usize = 16 * 1024 / FRAME_BYTES;
/// As the generator's.
const RECEIVE_BYTES_MAX: usize = 256 * 1024;
const SEND_BUFFER_BYTES: usize = 64 * 1024;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What one receiver achieved.
#[derive(Clone, Copy, Debug)]
struct Figures {
    deliveries_per_second: f64,
    cpu_ns_per_delivery: f64,
}

fn main() -> Outcome<()> {
    let servers: Vec<PathBuf> = std::env::args_os()
        .skip(1)
        .map(PathBuf::from)
        .filter(|it| !it.starts_with("--bench"))
        .collect();
    for clients in RECEIVERS.map(|receivers| receivers + 1) {
        if servers.is_empty() {
            compare("relay", clients, || Ok(Target::Relay(relay(clients)?)))?;
        }
        for server in &servers {
            let name = server.file_name().unwrap_or_default().to_string_lossy();
            compare(&name, clients, || start(server).map(Target::Server))?;
        }
    }
    Ok(())
}

/// What is received from; a server ends when it is dropped, the relay with its publisher.
enum Target {
    Relay(SocketAddr),
    Server(Server),
}

impl Target {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Relay(address) => *address,
            Self::Server(server) => server.address(),
        }
    }
}

/// Measures both receivers in turn and prints what they achieved.
fn compare(name: &str, clients: usize, start: impl Fn() -> Outcome<Target>) -> Outcome<()> {
    let (mut bare, mut verified) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for is_bare in [round % 2 == 0, round % 2 != 0] {
            let target = start()?;
            let figures = if is_bare { &mut bare } else { &mut verified };
            let measure = if is_bare { receive_only } else { verify };
            figures.push(measure(target.address(), clients)?);
        }
    }
    let per_second = |it: &Figures| it.deliveries_per_second / 1e6;
    let ratios = bare
        .iter()
        .zip(&verified)
        .map(|(bare, verified)| verified.deliveries_per_second / bare.deliveries_per_second);
    let [low, ratio, high] = quartiles(ratios);
    let [bare_rate, verified_rate] =
        [&bare, &verified].map(|it| quartiles(it.iter().map(per_second))[1]);
    let [bare_cpu, verified_cpu] =
        [&bare, &verified].map(|it| quartiles(it.iter().map(|it| it.cpu_ns_per_delivery))[1]);
    println!(
        "{name}, 1 to {}: bare {bare_rate:.1} million deliveries/s ({bare_cpu:.1} ns of CPU each), \
         verified {verified_rate:.1} ({verified_cpu:.1} ns); of neighbouring trials \
         {ratio:.2} [{low:.2}, {high:.2}]",
        clients - 1
    );
    Ok(())
}

/// The quartiles of a few figures.
fn quartiles(figures: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}

/// The processors of the receiver (the last one) and of the server (the others).
fn processors() -> io::Result<(CpuSet, CpuSet)> {
    let allowed = sched_getaffinity(None)?;
    let mut others = allowed;
    let mut last = CpuSet::new();
    if let Some(cpu) = (0..CpuSet::MAX_CPU).rev().find(|&cpu| allowed.is_set(cpu)) {
        last.set(cpu);
        if allowed.count() > 1 {
            others.unset(cpu);
        }
    }
    Ok((last, others))
}

/// Carries out `act` on the receiver's processor.
fn pinned<T: Send>(act: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
    let (receiver, _) = processors()?;
    thread::scope(|scope| {
        let pinned = move || {
            sched_setaffinity(None, &receiver).map_err(|error| error.to_string())?;
            act().map_err(|error| error.to_string())
        };
        scope.spawn(pinned).join().expect("the receiver does not panic").map_err(Into::into)
    })
}

/// A server of one thread for a first client that sends and others that do not: it reads no frames.
fn relay(clients: usize) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (_, server) = processors()?;
    thread::spawn(move || -> io::Result<()> {
        sched_setaffinity(None, &server)?;
        let accept = |_| listener.accept().map(|(client, _)| client);
        let mut clients = (0..clients).map(accept).collect::<io::Result<Vec<_>>>()?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match clients[0].read(&mut buffer)? {
                0 => return Ok(()),
                bytes => clients.iter_mut().try_for_each(|it| it.write_all(&buffer[..bytes]))?,
            }
        }
    });
    Ok(address)
}

/// Starts an executable on its processors, which it inherits.
fn start(executable: &PathBuf) -> Outcome<Server> {
    let all = sched_getaffinity(None)?;
    sched_setaffinity(None, &processors()?.1)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let launch = Launch::executable(executable)?;
    let server = Server::start(&launch, &format!("127.0.0.1:{port}"), &StartOptions::default());
    sched_setaffinity(None, &all)?;
    Ok(server?)
}

/// A trial of the load generator.
fn verify(address: SocketAddr, clients: usize) -> Outcome<Figures> {
    let plan = Plan {
        wire: WireFormat::Zillions,
        clients,
        senders: 1,
        stalled: 0,
        churn_per_second: 0.0,
        filler: Filler::default(),
        split_writes: false,
        load: Load::Saturate,
        body_bytes: vec![BODY_BYTES],
        warm_up: WARM_UP,
        measure: MEASURE,
        late_after: Duration::from_secs(1),
        quiet: Duration::from_millis(150),
        drain_max: Duration::from_secs(2),
        ready_max: Duration::from_secs(10),
        load_threads: 1,
        tag: 1,
    };
    let outcome = pinned(|| Ok(run(address, &plan, |_| {})?))?;
    if !outcome.anomalies.is_none() {
        return Err(format!("anomalies: {:?}", outcome.anomalies).into());
    }
    let deliveries = outcome.traffic.deliveries_arrived as f64;
    Ok(Figures {
        deliveries_per_second: deliveries / outcome.traffic.window_seconds,
        cpu_ns_per_delivery: outcome.generator[0].cpu_seconds * 1e9 / deliveries,
    })
}

/// Receives and counts; the first client sends as much as its socket takes.
fn receive_only(address: SocketAddr, clients: usize) -> Outcome<Figures> {
    pinned(|| {
        let mut receiver = Bare::connect(address, clients)?;
        receiver.receive_for(WARM_UP)?;
        let (began, cpu_before) = (Instant::now(), cpu_ns());
        let bytes = receiver.receive_for(MEASURE)?;
        let seconds = began.elapsed().as_secs_f64();
        let deliveries = bytes as f64 / FRAME_BYTES as f64;
        Ok(Figures {
            deliveries_per_second: deliveries / seconds,
            cpu_ns_per_delivery: (cpu_ns() - cpu_before) / deliveries,
        })
    })
}

/// What the calling thread has used.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// A receiver that does nothing else, with the generator's system calls.
struct Bare {
    poll: Poll,
    events: Events,
    clients: Vec<TcpStream>,
    readable: Vec<usize>,
    chunk: Vec<u8>,
    /// What of the chunk was sent.
    sent: usize,
    buffer: Vec<u8>,
}

impl Bare {
    fn connect(address: SocketAddr, clients: usize) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::new();
        for client in 0..clients {
            let stream = std::net::TcpStream::connect(address)?;
            socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(client), interest)?;
            streams.push(stream);
        }
        let mut frame = [0; FRAME_BYTES];
        frame[0] = BODY_BYTES;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            clients: streams,
            readable: Vec::new(),
            chunk: frame.repeat(CHUNK_FRAMES),
            sent: 0,
            buffer: vec![0; RECEIVE_BYTES_MAX],
        })
    }

    /// How many bytes came within `time`.
    fn receive_for(&mut self, time: Duration) -> Outcome<u64> {
        let end = Instant::now() + time;
        let mut received = 0;
        while Instant::now() < end {
            let has_sent = self.send()?;
            let is_busy = has_sent || !self.readable.is_empty();
            let wait = if is_busy { Duration::ZERO } else { Duration::from_millis(10) };
            self.poll.poll(&mut self.events, Some(wait))?;
            for event in self.events.iter().filter(|event| event.is_readable()) {
                if !self.readable.contains(&event.token().0) {
                    self.readable.push(event.token().0);
                }
            }
            for client in std::mem::take(&mut self.readable) {
                match self.clients[client].read(&mut self.buffer) {
                    Ok(0) => return Err("the server closed a connection".into()),
                    Ok(bytes) => {
                        received += bytes as u64;
                        if bytes == self.buffer.len() {
                            self.readable.push(client);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(received)
    }

    /// Sends once; whether the socket took anything.
    fn send(&mut self) -> Outcome<bool> {
        match self.clients[0].write(&self.chunk[self.sent..]) {
            Ok(bytes) => {
                self.sent = (self.sent + bytes) % self.chunk.len();
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
