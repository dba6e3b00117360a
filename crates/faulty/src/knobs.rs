//! Settings under which the server stays correct, however odd it becomes.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// What happens to a message for a client whose queue is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum SlowReader {
    /// The message is dropped.
    #[default]
    DropNewest,
    /// The oldest queued message of which nothing was written is dropped.
    DropOldest,
    /// The client is disconnected.
    Disconnect,
}

/// What happens to a client that closed its sending side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum CloseAfterEof {
    /// What is queued for it is written first, the echoes of its own messages
    /// included.
    #[default]
    Drain,
    /// It is closed at once: legal, but against the SHOULD clause END-2.
    Immediately,
}

/// Settings of the server. The default is the baseline; with any of them the
/// server still obeys every MUST clause.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct Knobs {
    /// Messages held per client (at least 4, which DROP-3 needs)
    #[arg(long, value_name = "N", default_value_t = 1024,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(4..=1_000_000))]
    pub queue_messages: usize,

    /// Pause after the writing of each message to each client, in microseconds
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub slow_microseconds: u64,

    /// Write at most this many bytes at a time (0: no limit)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub write_bytes_max: usize,

    /// Read at most this many bytes at a time
    #[arg(long, value_name = "N", default_value_t = 16_384,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_536))]
    pub read_bytes_max: usize,

    /// What happens when a client's queue is full
    #[arg(long, value_enum, value_name = "POLICY", default_value_t)]
    pub slow_reader: SlowReader,

    /// Drop one delivery in N while more than 4 messages are under way (0: none)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drop_one_in: u64,

    /// What happens when a client closes its sending side
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub close_after_eof: CloseAfterEof,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            queue_messages: 1024,
            slow_microseconds: 0,
            write_bytes_max: 0,
            read_bytes_max: 16_384,
            slow_reader: SlowReader::default(),
            drop_one_in: 0,
            close_after_eof: CloseAfterEof::default(),
        }
    }
}

impl Knobs {
    /// The command-line arguments that give these settings.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        [
            format!("--queue-messages={}", self.queue_messages),
            format!("--slow-microseconds={}", self.slow_microseconds),
            format!("--write-bytes-max={}", self.write_bytes_max),
            format!("--read-bytes-max={}", self.read_bytes_max),
            format!("--slow-reader={}", name(self.slow_reader.to_possible_value())),
            format!("--drop-one-in={}", self.drop_one_in),
            format!("--close-after-eof={}", name(self.close_after_eof.to_possible_value())),
        ]
        .map(OsString::from)
        .into()
    }
}

/// A correct server that is odd in one way: the suite must pass it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Oddity {
    /// Its name: lower-case words with hyphens.
    pub name: &'static str,
    /// What is odd about it.
    pub what: &'static str,
    /// The settings that make it so.
    pub knobs: Knobs,
}

impl Oddity {
    /// Every odd but correct server, the baseline itself first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let base = Knobs::default;
        let odd = |name, what, knobs| Self { name, what, knobs };
        vec![
            odd("baseline", "nothing is odd about it", base()),
            odd(
                "queue-of-five",
                "it holds five messages per client and drops the newest",
                Knobs { queue_messages: 5, ..base() },
            ),
            odd(
                "queue-of-four",
                "it holds four messages per client, the fewest that are legal",
                Knobs { queue_messages: 4, ..base() },
            ),
            odd(
                "drop-oldest",
                "it holds eight messages per client and drops the oldest",
                Knobs { queue_messages: 8, slow_reader: SlowReader::DropOldest, ..base() },
            ),
            odd(
                "disconnect",
                "it disconnects a client whose queue is full",
                Knobs { queue_messages: 64, slow_reader: SlowReader::Disconnect, ..base() },
            ),
            odd(
                "slow",
                "it takes 50 microseconds per delivery, as an interpreted program does",
                Knobs { slow_microseconds: 50, ..base() },
            ),
            odd(
                "byte-writer",
                "it writes one byte at a time",
                Knobs { write_bytes_max: 1, ..base() },
            ),
            odd(
                "byte-reader",
                "it reads one byte at a time",
                Knobs { read_bytes_max: 1, ..base() },
            ),
            odd(
                "drops-under-load",
                "it drops one delivery in 50 while more than 4 messages are under way",
                Knobs { drop_one_in: 50, ..base() },
            ),
            odd(
                "closes-at-eof",
                "it closes a half-closed connection at once, against a SHOULD clause only",
                Knobs { close_after_eof: CloseAfterEof::Immediately, ..base() },
            ),
        ]
    }
}
