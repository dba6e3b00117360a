//! The command line.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use clap::Parser;

use crate::admission::AdmissionLimits;
use crate::config::{Config, IdleTraffic};
use crate::engines::EngineChoice;
use crate::error::Error;
use crate::listen::{SocketOptions, parse};
pub use crate::logging::{LogFormat, LogLevel};
use crate::slow_reader::{SlowReader, SlowReaderPolicy};

/// The largest ring, in bytes. All of it is allocated at the start, and a ring larger than the
/// processor's caches is slower, not faster.
const RING_BYTES_MAX: usize = 1 << 30;

/// The reference chat server: one shared log, an offset per client.
#[derive(Debug, Parser)]
#[command(
    name = "zillions-server",
    version,
    max_term_width = 100,
    after_help = "Sizes are bytes, or end in KiB, MiB or GiB. SIGTERM and SIGINT stop it gracefully, \
                  a second one at once.\nExit codes: 0 stopped by a signal, 64 usage error, 70 \
                  cannot run here."
)]
pub struct Options {
    /// Where to listen, HOST:PORT; may be repeated.
    #[arg(required = true, value_name = "ADDR")]
    pub addresses: Vec<String>,
    /// I/O backend; auto logs its choice and the reason.
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = EngineChoice::parser())]
    pub engine: EngineChoice,
    /// Threads that serve clients [default: the available cores].
    #[arg(long, value_name = "N")]
    pub shards: Option<NonZeroUsize>,
    /// What happens to a client that reads too slowly.
    // All of the policy is in slow_reader.rs; here are only its three options.
    #[arg(long, value_name = "POLICY", default_value = "drop")]
    pub slow_reader: SlowReader,
    /// Maximum lag of a client before --slow-reader applies [default: half the ring].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_client_lag_bytes: Option<usize>,
    /// How long one client may block publishers, with --slow-reader backpressure [default: 10].
    #[arg(long, value_name = "SECONDS")]
    pub eviction_timeout_seconds: Option<NonZeroU64>,
    /// Memory for messages, shared by all clients: a power of two.
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = size)]
    pub ring_bytes: usize,
    /// Maximum number of clients [default: what the descriptor limit allows].
    #[arg(long, value_name = "N")]
    pub max_clients: Option<NonZeroUsize>,
    /// Maximum number of clients per IP address; an IPv6 /64 counts as one [default: no limit].
    #[arg(long, value_name = "N")]
    pub max_clients_per_ip: Option<NonZeroUsize>,
    /// Disconnect clients that have been idle for so long [default: never].
    #[arg(long, value_name = "SECONDS")]
    pub idle_timeout_seconds: Option<NonZeroU64>,
    /// What keeps a client from being idle [default: sent].
    #[arg(long, value_name = "TRAFFIC")]
    pub idle_traffic: Option<IdleTraffic>,
    /// Silence after which the kernel probes whether a client is still there, or off. While bytes
    /// are unacknowledged there is no silence: see --user-timeout-seconds.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds_or_off)]
    pub keepalive_seconds: OrOff,
    /// How long sent bytes may stay unacknowledged before the connection is closed, or off.
    #[arg(long, value_name = "SECONDS", default_value = "off", value_parser = seconds_or_off)]
    pub user_timeout_seconds: OrOff,
    /// Kernel buffer per client for bytes that are unsent or unacknowledged.
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = size)]
    pub send_buffer_bytes: usize,
    /// Limit on unsent bytes in that buffer (TCP_NOTSENT_LOWAT) [default: half of it].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_unsent_bytes: Option<usize>,
    /// Maximum send-coalescing delay of a busy shard; 0 disables it.
    #[arg(long, value_name = "MICROSECONDS", default_value = "100", value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub max_coalesce_microseconds: u64,
    /// How long a stop may take to flush what is queued.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain_timeout_seconds: u64,
    /// Serve Prometheus metrics, /healthz and /readyz over HTTP at this address [default: off].
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// Format of log lines, which go to standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// The least severe log lines to write.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
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

/// Parses a number of bytes.
fn size(text: &str) -> Result<usize, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = units.iter().find_map(|&(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let number: usize = number
        .trim()
        .parse()
        .map_err(|_| "write a number of bytes, for example 65536, 64KiB or 4MiB".to_owned())?;
    let bytes = number.checked_mul(1 << shift).filter(|&bytes| bytes <= 1 << 46);
    bytes.ok_or_else(|| "more memory than a machine can have".to_owned())
}

impl Options {
    /// The addresses to listen on.
    ///
    /// # Errors
    /// When one is invalid or given twice.
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
        if self.ring_bytes > RING_BYTES_MAX {
            return Err(Error::Contradiction(format!(
                "--ring-bytes {} is more than 1 GiB: more memory than is of use",
                self.ring_bytes
            )));
        }
        let slow_reader = SlowReaderPolicy::new(
            self.slow_reader,
            self.max_client_lag_bytes,
            self.eviction_timeout_seconds,
            self.ring_bytes,
        )?;
        if let (Some(per_ip), Some(all)) = (self.max_clients_per_ip, self.max_clients)
            && per_ip > all
        {
            return Err(Error::Contradiction(format!(
                "--max-clients-per-ip {per_ip} is more than --max-clients {all}"
            )));
        }
        if self.idle_traffic.is_some() && self.idle_timeout_seconds.is_none() {
            return Err(Error::Contradiction(
                "--idle-traffic requires --idle-timeout-seconds".into(),
            ));
        }
        Ok(Config {
            slow_reader,
            admission: AdmissionLimits {
                clients_max: self.max_clients.map(NonZeroUsize::get),
                clients_per_ip_max: self.max_clients_per_ip.map(NonZeroUsize::get),
            },
            idle_timeout: self
                .idle_timeout_seconds
                .map(|seconds| Duration::from_secs(seconds.get())),
            idle_traffic: self.idle_traffic.unwrap_or_default(),
            coalesce_max: Duration::from_micros(self.max_coalesce_microseconds),
            drain_timeout: Duration::from_secs(self.drain_timeout_seconds),
        })
    }

    /// What is set on every connection.
    ///
    /// # Errors
    /// [`Error::Contradiction`], which names the options.
    pub fn socket_options(&self) -> Result<SocketOptions, Error> {
        let unsent_bytes_max = self.max_unsent_bytes.unwrap_or(self.send_buffer_bytes / 2);
        if self.send_buffer_bytes < 4096 || self.send_buffer_bytes > 1 << 30 {
            return Err(Error::Contradiction(format!(
                "--send-buffer-bytes {} is not between 4096 and 1 GiB",
                self.send_buffer_bytes
            )));
        }
        if unsent_bytes_max > self.send_buffer_bytes || unsent_bytes_max == 0 {
            return Err(Error::Contradiction(format!(
                "--max-unsent-bytes {unsent_bytes_max} is not between 1 and --send-buffer-bytes {}",
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_of_keepalive_names_the_option_for_what_it_does_not_see() {
        let command = Options::command();
        let keepalive = |it: &&clap::Arg| it.get_long() == Some("keepalive-seconds");
        let option = command.get_opts().find(keepalive).expect("the option");
        let help = option.get_help().expect("a help text").to_string();
        assert!(help.contains("--user-timeout-seconds"), "{help}");
    }

    #[test]
    fn limits_begin_with_max_and_units_are_last() {
        let units =
            [("SIZE", "-bytes"), ("SECONDS", "-seconds"), ("MICROSECONDS", "-microseconds")];
        let command = Options::command();
        let options = command.get_opts().filter(|option| option.get_long().is_some());
        let mut seen = 0;
        for option in options {
            let name = option.get_long().expect("a long name");
            let value = option.get_value_names().expect("a value")[0].as_str();
            seen += 1;
            for (value_name, suffix) in units {
                assert_eq!(value == value_name, name.ends_with(suffix), "--{name} <{value}>");
            }
            assert!(!name.contains("-max") && !name.contains("min"), "--{name}: max comes first");
            let help = option.get_help().expect("a help text").to_string();
            let is_limit = help.starts_with("Maximum") || help.starts_with("Limit");
            assert_eq!(is_limit, name.starts_with("max-"), "--{name}: {help}");
        }
        assert!(seen > 15, "{seen} options");
    }
}
