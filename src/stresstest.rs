//! The command line of `stresstest`, which is that of the original zillions.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use zillions_console::ColorOption;
use zillions_harness::{
    Launch, MachineFault, PortLease, Server, StartError, StartOptions, limits, loopback, resources,
};
use zillions_report::percentile::of_count;
use zillions_stress::{Latency, Parameters, StressError, Summary};

use crate::addresses;
use crate::failure::{Failure, Outcome};
use crate::options::{Format, positive_seconds};
use crate::output::{self, BAD, GOOD, paint};
use crate::progress;

/// How long the server may take to end when the test is over.
const GRACE_SECONDS: f64 = 5.0;
/// How long to wait for the end of a server that closed a connection.
const DEATH_SECONDS: f64 = 0.5;
/// How much of a dead server's log is shown.
const LOG_LINES_SHOWN: usize = 8;

/// Stress a chat server: publishers that send one message after another, each
/// with subscribers that wait for them; every order is checked.
#[derive(Debug, Parser)]
#[command(
    name = "stresstest",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  \
        stresstest -a 127.0.0.1:55555 ./impls/gjio/target/release/server\n  \
        stresstest -p 8 -s 16 -r 10 ./server\n  \
        stresstest --connect 127.0.0.1:8080\n  \
        stresstest --connect 10.0.0.1:8080 --connect 10.0.0.2:8080\n  \
        stresstest -a 127.0.0.1:8080 -a 127.0.0.1:8081 zillions-server\n\n\
        Exit codes: 0 every order held, 1 a violation (it is explained), 64 usage, 70 the server \
        could not be started or ended early, or the tool failed."
)]
pub struct Arguments {
    /// The server to start; it is given the address as its only argument (or several, see -a).
    #[arg(required_unless_present = "connect")]
    executable: Option<PathBuf>,
    /// The address that the server listens on; with port 0, a free one is found. May be repeated
    /// for a server that takes several addresses: clients are spread over them.
    #[arg(short = 'a', long = "server", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    servers: Vec<String>,
    /// Clients that send.
    #[arg(short, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    publishers: u16,
    /// Clients that wait for the messages of a publisher, per publisher.
    #[arg(short, long, value_name = "N", default_value_t = 3)]
    subscribers: u16,
    /// Messages, per publisher and repetition.
    #[arg(short, long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Repetitions of all of that, each with new connections.
    #[arg(short, long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// How long a publisher waits for its subscribers.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = positive_seconds)]
    timeout: f64,
    /// How long the server may take to print its line.
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0, value_parser = positive_seconds)]
    ready_timeout: f64,
    /// Random seed of the lengths and contents of the messages.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Test a running server, instead of starting one. May be repeated, once for each node of one
    /// service: clients are spread over them, and all together must see one order.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["executable", "servers"])]
    connect: Vec<String>,
    #[command(flatten)]
    color: ColorOption,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// `zillions.stresstest/2`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    server: String,
    publishers: u16,
    subscribers: u16,
    messages_per_publisher: u32,
    seed: u64,
    verdict: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// Runs the test.
///
/// # Errors
/// When a clause is broken, or the test cannot be completed.
pub fn run(arguments: &Arguments) -> Outcome {
    let parameters = Parameters {
        publishers: arguments.publishers,
        subscribers: arguments.subscribers,
        messages: arguments.messages,
        repetitions: arguments.repetitions,
        timeout: Duration::from_secs_f64(arguments.timeout),
        seed: arguments.seed,
    };
    limits::ensure_minimum(limits::DESCRIPTORS_RESERVED).map_err(Failure::harness)?;
    limits::ensure_descriptors(parameters.clients()).map_err(Failure::usage)?;
    resources::ensure_local_ports(parameters.clients()).map_err(Failure::harness)?;
    if arguments.connect.is_empty() {
        loopback::check(Ipv4Addr::LOCALHOST.into()).map_err(Failure::harness)?;
    }
    let (server, addresses) = start(arguments)?;
    let progress =
        progress::total(parameters.repetitions as usize, "repetitions, {msg}, {eta} left");
    let result = zillions_stress::run(&parameters, &addresses, &mut |now| {
        progress.set_position(u64::from(now.repetitions));
        progress.set_message(format!("{} delivered, {} dropped", now.delivered, now.dropped));
    });
    progress.finish_and_clear();
    let summary = result.map_err(|error| explain(&error, server.as_ref()))?;
    if let Some(server) = server {
        server.stop(GRACE_SECONDS);
    }
    match arguments.format {
        Format::Human => output::print(&human(&summary))?,
        Format::Json => output::print_json(&Report {
            schema: "zillions.stresstest/2",
            server: joined(&addresses),
            publishers: parameters.publishers,
            subscribers: parameters.subscribers,
            messages_per_publisher: parameters.messages,
            seed: parameters.seed,
            verdict: if summary.violation.is_some() { "fail" } else { "pass" },
            summary: &summary,
        })?,
    }
    match &summary.violation {
        None => Ok(()),
        Some(violation) => Err(Failure::fail(format!(
            "{} is broken in repetition {} (seed {})",
            violation.clause, violation.repetition, parameters.seed
        ))),
    }
}

/// Starts the server, unless one is running.
fn start(arguments: &Arguments) -> Result<(Option<Server>, Vec<SocketAddr>), Failure> {
    if !arguments.connect.is_empty() {
        return Ok((None, addresses::parse_all(&arguments.connect)?));
    }
    let Some(executable) = &arguments.executable else {
        return Err(Failure::usage("no executable given"));
    };
    let mut launch = Launch::executable(executable).map_err(Failure::usage)?;
    let options =
        StartOptions { ready_seconds_max: arguments.ready_timeout, ..StartOptions::default() };
    let mut addresses = addresses::parse_all(&arguments.servers)?;
    // Held until the server has its ports.
    let mut leases = Vec::new();
    for address in &mut addresses {
        if address.port() == 0 {
            let lease = PortLease::take(address.ip()).map_err(Failure::usage)?;
            *address = lease.address();
            leases.push(lease);
        }
    }
    launch.more_addresses = addresses[1..].to_vec();
    // One address goes to the server as it was written.
    let first = match (arguments.servers.as_slice(), leases.is_empty()) {
        ([text], true) => text.clone(),
        _ => addresses[0].to_string(),
    };
    let server = Server::start(&launch, &first, &options).map_err(|error| match error {
        StartError::Address(_) => Failure::usage(error),
        _ => Failure::harness(error),
    })?;
    Ok((Some(server), addresses))
}

fn joined(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Explains the error, and quotes the log of a server that has ended.
fn explain(error: &StressError, server: Option<&Server>) -> Failure {
    if let StressError::Connect { source, .. } = error
        && let Some(fault) = MachineFault::of(source)
    {
        return Failure::harness(format!("{error}: {fault}"));
    }
    let dead = server.and_then(|server| Some((server, server.wait(DEATH_SECONDS)?)));
    match dead {
        None => Failure::harness(error),
        Some((server, status)) => {
            let log = server.log_tail(LOG_LINES_SHOWN);
            let said = match log.as_slice() {
                [] => "it wrote nothing to standard error".to_owned(),
                lines => format!("its last log lines: {}", lines.join(" | ")),
            };
            Failure::harness(format!(
                "the server ended ({status}) during the test: {error}; {said}"
            ))
        }
    }
}

/// Percentiles of few deliveries are lower bounds.
fn latency_line(latency: &Latency) -> String {
    let us = |value: f64| format!("{value:.0} µs");
    let percentiles = [
        ("p50", latency.arrived_p50_us, 0.5),
        ("p90", latency.arrived_p90_us, 0.9),
        ("p99", latency.arrived_p99_us, 0.99),
        ("p99.9", latency.arrived_p999_us, 0.999),
    ];
    let texts = percentiles.map(|(name, value, quantile)| {
        format!("{name} {}", of_count(value, latency.timed, quantile).text(us))
    });
    format!(
        "latency of arrived deliveries: {}, max {}\n",
        texts.join(", "),
        us(latency.arrived_max_us)
    )
}

fn human(summary: &Summary) -> String {
    let mut text = format!(
        "drop rate: {:.4} % ({} of {} deliveries)\nelapsed: {:.3} s for {} messages in {} repetitions\n",
        summary.drop_rate * 100.0,
        summary.dropped,
        summary.expected,
        summary.seconds,
        summary.messages,
        summary.repetitions,
    );
    if let Some(latency) = &summary.latency {
        text += &latency_line(latency);
    }
    if summary.timeouts > 0 {
        text += &format!(
            "time-outs: {} ({} deliveries arrived late, which is not an error)\n",
            summary.timeouts, summary.late
        );
    }
    match &summary.violation {
        None => {
            text += &format!("order: {}\n", paint(GOOD, "integrity, FIFO, total and causal hold"))
        }
        Some(violation) => {
            text += &format!("order: {}\n{}\n", paint(BAD, "violated"), violation.explanation);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_deliveries_are_lower_bounds() {
        let latency = Latency {
            timed: 1_600,
            arrived_p50_us: 50.0,
            arrived_p90_us: 90.0,
            arrived_p99_us: 99.0,
            arrived_p999_us: 99.9,
            arrived_max_us: 120.0,
        };
        let line = "latency of arrived deliveries: p50 50 µs, p90 90 µs, p99 99 µs, p99.9 ≥ 100 µs, \
                    max 120 µs\n";
        assert_eq!(latency_line(&latency), line);
        let few = latency_line(&Latency { timed: 12, ..latency });
        assert_eq!(few.matches('≥').count(), 4, "{few}");
    }
}
