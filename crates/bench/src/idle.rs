//! What a server costs before any client sends: starting, waiting, holding connections.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use zillions_harness::{Launch, PortLease, Server};
use zillions_load::WireFormat;
use zillions_report::record::{CostsRecord, IdleRecord};

use crate::patience::{END_SECONDS_MAX, STOP_SECONDS_MAX};
use crate::pin::Pinning;
use crate::scenario::READY_MAX;
use crate::trial;

/// Clients at the first sample of memory: enough that one-time costs are paid.
const CONNECTIONS_FEW: u32 = 10;
/// Clients at the second sample: enough to see the share of one client in pages.
const CONNECTIONS_MANY: u32 = 400;
/// A client that has received nothing by then makes the first one send another probe.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// One message of one byte; every client receives it, so every client has been accepted.
const PROBE: [u8; 2] = [1, b'?'];

/// How thoroughly it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// How often the server is started.
    pub starts: u32,
    /// How long its clients stay silent.
    pub silence: Duration,
}

impl Thoroughness {
    /// What a quick run, or a usual one, does.
    #[must_use]
    pub fn choose(quick: bool) -> Self {
        if quick {
            Self { starts: 3, silence: Duration::from_millis(200) }
        } else {
            Self { starts: 5, silence: Duration::from_millis(500) }
        }
    }
}

/// Measures what `launch` costs while idle, and enters it in `costs`.
pub fn measure(
    launch: &Launch,
    wire: WireFormat,
    pinning: &Pinning,
    thoroughness: Thoroughness,
    costs: &mut CostsRecord,
) {
    costs.start_up_seconds.clear();
    for start in 1..=thoroughness.starts {
        let lease = match PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
            Ok(lease) => lease,
            Err(error) => {
                costs.idle_failure = Some(error.to_string());
                return;
            }
        };
        let server = match trial::start(launch, &lease.address().to_string(), pinning) {
            Ok(server) => server,
            Err(blame) => {
                costs.idle_failure = Some(blame.into_reason());
                return;
            }
        };
        costs.start_up_seconds.push(server.start_seconds());
        if wire != WireFormat::Zillions {
            let reason =
                "idle clients are measured with the frames of the spec, which it does not speak";
            costs.idle_failure = Some(reason.to_owned());
        } else if start == thoroughness.starts {
            match idle(&server, thoroughness.silence) {
                Ok(record) => costs.idle = Some(record),
                Err(reason) => {
                    // Lost connections may be the first sign of the server's end.
                    let status = server.wait(END_SECONDS_MAX);
                    costs.idle_failure = Some(match status {
                        Some(status) => format!("the server ended with idle clients ({status})"),
                        None => reason,
                    });
                }
            }
        }
        server.stop(STOP_SECONDS_MAX);
    }
}

fn idle(server: &Server, silence: Duration) -> Result<IdleRecord, String> {
    let deadline = Instant::now() + READY_MAX;
    let sample = || server.sample().map_err(|error| error.to_string());
    let mut clients = Vec::new();
    connect(server.address(), &mut clients, CONNECTIONS_FEW, deadline)?;
    let few = sample()?;
    connect(server.address(), &mut clients, CONNECTIONS_MANY, deadline)?;
    let many = sample()?;
    let began = Instant::now();
    if server.wait(silence.as_secs_f64()).is_some() {
        return Err("the server ended while its clients were silent".to_owned());
    }
    let window_seconds = began.elapsed().as_secs_f64();
    let after = sample()?;
    Ok(IdleRecord {
        few_connections: CONNECTIONS_FEW,
        few_resident_bytes: few.resident_bytes,
        many_connections: CONNECTIONS_MANY,
        many_resident_bytes: many.resident_bytes,
        many_threads: many.threads,
        window_seconds,
        // A child that ended took its time with it.
        cpu_seconds: (after.cpu_seconds - many.cpu_seconds).max(0.0),
    })
}

/// Connects until there are `wanted` clients and each has received something since.
fn connect(
    address: SocketAddr,
    clients: &mut Vec<TcpStream>,
    wanted: u32,
    deadline: Instant,
) -> Result<(), String> {
    let before = clients.len();
    while clients.len() < wanted as usize {
        let stream = TcpStream::connect_timeout(&address, READY_MAX).map_err(|error| {
            format!("connected {} of {wanted} idle clients, then: {error}", clients.len())
        })?;
        let set =
            stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PROBE_INTERVAL)));
        set.map_err(|error| error.to_string())?;
        clients.push(stream);
    }
    probe(&clients[0]).map_err(|error| format!("cannot send to the server: {error}"))?;
    for client in before..clients.len() {
        let mut received = [0; PROBE.len()];
        loop {
            match (&clients[client]).read_exact(&mut received) {
                Ok(()) => break,
                Err(error) if is_time_out(&error) && Instant::now() < deadline => {
                    probe(&clients[0])
                        .map_err(|error| format!("cannot send to the server: {error}"))?;
                }
                Err(error) if is_time_out(&error) => {
                    let seconds = READY_MAX.as_secs_f64();
                    return Err(format!(
                        "only {client} of {wanted} idle clients were served within {seconds} s"
                    ));
                }
                Err(error) => return Err(format!("idle client {client} was lost: {error}")),
            }
        }
    }
    Ok(())
}

fn probe(mut client: &TcpStream) -> io::Result<()> {
    client.write_all(&PROBE)
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
