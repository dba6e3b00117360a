//! The command line, and what it means.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::config::{Config, SlowReader};
use crate::error::Error;
use crate::listen::{SocketOptions, parse};

/// The largest ring, in bytes. All of it is taken at the start; and a ring that processors'
/// caches do not hold is slower, not faster.
const RING_BYTES_MAX: usize = 1 << 30;
/// The least that a client's lag may be limited to, in bytes: some frames.
const LAG_BYTES_MIN: usize = 8 * 1024;

/// The reference chat server: one shared log, a cursor per client.
#[derive(Debug, Parser)]
#[command(
    name = "zillions-server",
    version,
    max_term_width = 100,
    after_help = "Sizes are bytes, or end in KiB, MiB or GiB. SIGTERM and SIGINT stop it gracefully, \
                  a second one at once.\nExit codes: 0 stopped as told, 64 usage, 70 it cannot run here."
)]
pub struct Options {
    /// Where to listen, HOST:PORT; several are possible.
    #[arg(required = true, value_name = "ADDR")]
    pub addresses: Vec<String>,
    /// How it talks to the kernel; auto says in the log what it chose and why.
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    pub engine: Engine,
    /// Threads that serve clients [default: the cores available].
    #[arg(long, value_name = "N")]
    pub shards: Option<NonZeroUsize>,
    /// What happens to a client that reads too slowly.
    #[arg(long, value_name = "POLICY", default_value = "drop")]
    pub slow_reader: SlowReader,
    /// Memory for messages, shared by all clients: a power of two.
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = size)]
    pub ring_bytes: usize,
    /// How far behind a client may be before --slow-reader applies [default: half the ring].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub client_lag_bytes_max: Option<usize>,
    /// How long one client may hold up publishers, with --slow-reader backpressure [default: 10].
    #[arg(long, value_name = "SECONDS")]
    pub eviction_seconds: Option<NonZeroU64>,
    /// Clients in all [default: what the descriptor limit allows].
    #[arg(long, value_name = "N")]
    pub max_clients: Option<NonZeroUsize>,
    /// Clients from one IP address [default: no limit].
    #[arg(long, value_name = "N")]
    pub max_clients_per_ip: Option<NonZeroUsize>,
    /// Disconnect clients that have sent nothing for so long [default: never].
    #[arg(long, value_name = "SECONDS")]
    pub idle_seconds: Option<NonZeroU64>,
    /// Silence after which the system probes whether a client is still there, or off.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds_or_off)]
    pub keepalive_seconds: OrOff,
    /// How long sent bytes may stay unacknowledged before the connection is given up, or off.
    #[arg(long, value_name = "SECONDS", default_value = "off", value_parser = seconds_or_off)]
    pub user_timeout_seconds: OrOff,
    /// Kernel memory for what a client has not yet been sent or acknowledged.
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = size)]
    pub send_buffer_bytes: usize,
    /// Of which may wait to be sent (TCP_NOTSENT_LOWAT) [default: half the send buffer].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub unsent_bytes_max: Option<usize>,
    /// How long a busy shard looks away at most, so that small messages share a send; 0 never.
    #[arg(long, value_name = "MICROSECONDS", default_value = "100", value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub rest_microseconds_max: u64,
    /// How long a stop may take to flush what is queued.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain_seconds: u64,
    /// Serve Prometheus metrics, /healthz and /readyz over HTTP there [default: nowhere].
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// How log lines look; they go to standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// The least important log lines to write.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
}

/// How the server talks to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The best that works here.
    Auto,
    /// Readiness; works everywhere.
    Epoll,
    /// Many sends with one system call.
    IoUring,
}

impl Engine {
    /// As the command line names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Epoll => "epoll",
            Self::IoUring => "io-uring",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How important log lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What ends the server.
    Error,
    /// What an operator should look at.
    Warn,
    /// Starts, stops, disconnected slow clients.
    Info,
    /// Every client's coming and going.
    Debug,
}

/// A time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrOff(pub Option<Duration>);

fn seconds_or_off(text: &str) -> Result<OrOff, String> {
    if text == "off" {
        return Ok(OrOff(None));
    }
    match text.parse::<u64>() {
        // What setsockopt takes: an int, in milliseconds for one of the two.
        Ok(seconds @ 1..=32_767) => Ok(OrOff(Some(Duration::from_secs(seconds)))),
        _ => Err("write a number of seconds from 1 to 32767, or off".into()),
    }
}

/// Reads a number of bytes.
fn size(text: &str) -> Result<usize, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = units.iter().find_map(|&(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let number: usize = number
        .trim()
        .parse()
        .map_err(|_| "write a number of bytes, for example 65536, 64KiB or 4MiB".to_owned())?;
    let bytes = number.checked_mul(1 << shift).filter(|&bytes| bytes <= 1 << 46);
    bytes.ok_or_else(|| "that is more memory than there can be".to_owned())
}

impl Options {
    /// The addresses to listen on.
    ///
    /// # Errors
    /// When one is none, or there twice.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let mut addresses = Vec::new();
        for text in &self.addresses {
            let address = parse(text)?;
            if addresses.contains(&address) && address.port() != 0 {
                return Err(Error::AddressTwice { address });
            }
            addresses.push(address);
        }
        Ok(addresses)
    }

    /// The limits of the core, checked against each other.
    ///
    /// # Errors
    /// [`Error::Contradiction`], which names the options.
    pub fn config(&self) -> Result<Config, Error> {
        let contradiction = |text: String| Err(Error::Contradiction(text));
        if self.ring_bytes > RING_BYTES_MAX {
            return contradiction(format!(
                "--ring-bytes {} is more than 1 GiB: that is memory without a use",
                self.ring_bytes
            ));
        }
        // A quarter is slack for writers, a quarter what one append may take.
        let lag_bytes_most = self.ring_bytes / 2;
        let lag_bytes_max = self.client_lag_bytes_max.unwrap_or(lag_bytes_most);
        if self.client_lag_bytes_max.is_some() && lag_bytes_max > lag_bytes_most {
            return contradiction(format!(
                "--client-lag-bytes-max {lag_bytes_max} is more than half of --ring-bytes {}: \
                 the ring does not keep that much",
                self.ring_bytes
            ));
        }
        if self.client_lag_bytes_max.is_some() && lag_bytes_max < LAG_BYTES_MIN {
            return contradiction(format!(
                "--client-lag-bytes-max {lag_bytes_max} is less than {LAG_BYTES_MIN}: \
                 clients that keep up would count as slow"
            ));
        }
        if self.eviction_seconds.is_some() && self.slow_reader != SlowReader::Backpressure {
            return contradiction(
                "--eviction-seconds has an effect only with --slow-reader backpressure".into(),
            );
        }
        if let (Some(per_ip), Some(all)) = (self.max_clients_per_ip, self.max_clients)
            && per_ip > all
        {
            return contradiction(format!(
                "--max-clients-per-ip {per_ip} is more than --max-clients {all}"
            ));
        }
        Ok(Config {
            slow_reader: self.slow_reader,
            client_lag_bytes_max: lag_bytes_max as u64,
            eviction: Duration::from_secs(self.eviction_seconds.map_or(10, NonZeroU64::get)),
            clients_max: self.max_clients.map(NonZeroUsize::get),
            clients_per_ip_max: self.max_clients_per_ip.map(NonZeroUsize::get),
            idle: self.idle_seconds.map(|seconds| Duration::from_secs(seconds.get())),
            rest_max: Duration::from_micros(self.rest_microseconds_max),
            drain: Duration::from_secs(self.drain_seconds),
        })
    }

    /// What is set on every connection.
    ///
    /// # Errors
    /// [`Error::Contradiction`], which names the options.
    pub fn socket_options(&self) -> Result<SocketOptions, Error> {
        let unsent_bytes_max = self.unsent_bytes_max.unwrap_or(self.send_buffer_bytes / 2);
        if self.send_buffer_bytes < 4096 || self.send_buffer_bytes > 1 << 30 {
            return Err(Error::Contradiction(format!(
                "--send-buffer-bytes {} is not between 4096 and 1 GiB",
                self.send_buffer_bytes
            )));
        }
        if unsent_bytes_max > self.send_buffer_bytes || unsent_bytes_max == 0 {
            return Err(Error::Contradiction(format!(
                "--unsent-bytes-max {unsent_bytes_max} has to be between 1 and \
                 --send-buffer-bytes {}",
                self.send_buffer_bytes
            )));
        }
        Ok(SocketOptions {
            send_buffer_bytes: self.send_buffer_bytes,
            unsent_bytes_max,
            keepalive: self.keepalive_seconds.0,
            user_timeout: self.user_timeout_seconds.0,
        })
    }
}
