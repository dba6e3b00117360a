//! Settings under which the server stays correct, however unusual.

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
    /// What is queued for it is written first, including the echoes of its own
    /// messages.
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

    /// Pause after each delivery, in microseconds
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub slow_microseconds: u64,

    /// Pause after each message received, in microseconds
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(..=100_000))]
    pub message_microseconds: u64,

    /// Pause after each connection accepted, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(..=100))]
    pub connection_milliseconds: u64,

    /// Pause after each byte read or written, in nanoseconds
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(..=100_000))]
    pub byte_nanoseconds: u64,

    /// Pause each second, as a garbage collector does, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(..=1_000))]
    pub collector_milliseconds: u64,

    /// Keep a processor busy in these pauses
    #[arg(long)]
    pub busy: bool,

    /// Write at most this many bytes at a time (0: no limit)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub write_bytes_max: usize,

    /// Read at most this many bytes at a time
    #[arg(long, value_name = "N", default_value_t = 16_384,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_536))]
    pub read_bytes_max: usize,

    /// Read at most this many bytes at a time from every other client (0: as many as from the rest)
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=65_536))]
    pub uneven_bytes_max: usize,

    /// What happens when a client's queue is full
    #[arg(long, value_enum, value_name = "POLICY", default_value_t)]
    pub slow_reader: SlowReader,

    /// Drop one delivery in N while more than 4 messages are under way (0: none)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drop_one_in: u64,

    /// Make only one delivery in N while more than 4 messages are under way (0: all)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_one_in: u64,

    /// Batch messages for this long before delivery, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(..=1_000))]
    pub batch_milliseconds: u64,

    /// Delay before listening, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(..=8_000))]
    pub start_milliseconds: u64,

    /// Socket send buffer per client, in bytes (0: the system's default)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub send_buffer_bytes: usize,

    /// Leave Nagle's algorithm on, and write headers and bodies separately
    #[arg(long)]
    pub nagle: bool,

    /// Deliver each message to its sender last
    #[arg(long)]
    pub sender_last: bool,

    /// Log every connection and message to standard error
    #[arg(long)]
    pub log: bool,

    /// Log every delivery to standard error, as soon as it is written
    #[arg(long)]
    pub log_deliveries: bool,

    /// Serve each client in a thread of its own, under one lock that is held while writing; of the
    /// other settings only the pauses per message and per delivery apply, and what is logged
    #[arg(long, conflicts_with_all = ["fault", "calibration"])]
    pub global_lock: bool,

    /// What happens when a client closes its sending side
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub close_after_eof: CloseAfterEof,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            queue_messages: 1024,
            slow_microseconds: 0,
            message_microseconds: 0,
            connection_milliseconds: 0,
            byte_nanoseconds: 0,
            collector_milliseconds: 0,
            busy: false,
            write_bytes_max: 0,
            read_bytes_max: 16_384,
            uneven_bytes_max: 0,
            slow_reader: SlowReader::default(),
            drop_one_in: 0,
            keep_one_in: 0,
            batch_milliseconds: 0,
            start_milliseconds: 0,
            send_buffer_bytes: 0,
            nagle: false,
            sender_last: false,
            log: false,
            log_deliveries: false,
            global_lock: false,
            close_after_eof: CloseAfterEof::default(),
        }
    }
}

impl Knobs {
    /// How many bytes are read at a time from the client of this number.
    pub(crate) fn read_bytes_max_from(&self, client: u64) -> usize {
        let is_short = self.uneven_bytes_max > 0 && client % 2 == 1;
        if is_short { self.uneven_bytes_max.min(self.read_bytes_max) } else { self.read_bytes_max }
    }

    /// The command-line arguments that give these settings.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let flags = [
            (self.busy, "--busy"),
            (self.nagle, "--nagle"),
            (self.sender_last, "--sender-last"),
            (self.log, "--log"),
            (self.log_deliveries, "--log-deliveries"),
            (self.global_lock, "--global-lock"),
        ];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.into());
        let values = [
            format!("--queue-messages={}", self.queue_messages),
            format!("--slow-microseconds={}", self.slow_microseconds),
            format!("--message-microseconds={}", self.message_microseconds),
            format!("--connection-milliseconds={}", self.connection_milliseconds),
            format!("--byte-nanoseconds={}", self.byte_nanoseconds),
            format!("--collector-milliseconds={}", self.collector_milliseconds),
            format!("--write-bytes-max={}", self.write_bytes_max),
            format!("--read-bytes-max={}", self.read_bytes_max),
            format!("--uneven-bytes-max={}", self.uneven_bytes_max),
            format!("--slow-reader={}", name(self.slow_reader.to_possible_value())),
            format!("--drop-one-in={}", self.drop_one_in),
            format!("--keep-one-in={}", self.keep_one_in),
            format!("--batch-milliseconds={}", self.batch_milliseconds),
            format!("--start-milliseconds={}", self.start_milliseconds),
            format!("--send-buffer-bytes={}", self.send_buffer_bytes),
            format!("--close-after-eof={}", name(self.close_after_eof.to_possible_value())),
        ];
        values.map(OsString::from).into_iter().chain(flags).collect()
    }
}

/// A correct server with one unusual setting: the suite must pass it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Oddity {
    /// Its name: lower-case words with hyphens.
    pub name: &'static str,
    /// What it does: one sentence without a full stop.
    pub what: &'static str,
    /// The settings that make it so.
    pub knobs: Knobs,
}

impl Oddity {
    /// Whether it mostly waits: checking it takes many times as long as checking the others.
    #[must_use]
    pub fn waits_mostly(&self) -> bool {
        self.knobs.batch_milliseconds > 0 || self.knobs.start_milliseconds > 0 || self.knobs.nagle
    }

    /// Servers that are correct and slow, each in another way. The suite must never call one
    /// of them wrong, however busy the machine is.
    #[must_use]
    pub fn slow() -> Vec<Self> {
        [Self::slow_in_everything(), Self::slow_unevenly()].concat()
    }

    /// Those that need long for each delivery, message, connection or byte.
    fn slow_in_everything() -> Vec<Self> {
        let base = Knobs::default;
        let slow = |name, what, knobs| Self { name, what, knobs };
        vec![
            slow(
                "slow-deliveries",
                "takes 300 microseconds per delivery",
                Knobs { slow_microseconds: 300, ..base() },
            ),
            slow(
                "slow-messages",
                "takes 2 milliseconds per message, however many receive it",
                Knobs { message_microseconds: 2_000, ..base() },
            ),
            slow(
                "slow-connections",
                "takes 5 milliseconds per connection and 100 microseconds per delivery",
                Knobs { connection_milliseconds: 5, slow_microseconds: 100, ..base() },
            ),
            slow(
                "slow-bytes",
                "takes 2 microseconds per byte that it reads or writes",
                Knobs { byte_nanoseconds: 2_000, ..base() },
            ),
            slow(
                "slow-log",
                "writes a line for each message and takes 100 microseconds per delivery",
                Knobs { log: true, slow_microseconds: 100, ..base() },
            ),
            slow(
                "slow-log-of-deliveries",
                "writes a line to standard error for each delivery, which takes 50 microseconds",
                Knobs { log_deliveries: true, slow_microseconds: 50, ..base() },
            ),
            slow(
                "global-lock",
                "serves each client in a thread and holds one lock while it writes, so that one slow reader delays all, and takes 100 microseconds per delivery",
                Knobs { global_lock: true, slow_microseconds: 100, ..base() },
            ),
            slow(
                "busy-deliveries",
                "keeps a processor busy for 100 microseconds per delivery",
                Knobs { slow_microseconds: 100, busy: true, ..base() },
            ),
        ]
    }

    /// Those that serve one client and let another wait, or all for a while.
    fn slow_unevenly() -> Vec<Self> {
        let base = Knobs::default;
        let slow = |name, what, knobs| Self { name, what, knobs };
        vec![
            slow(
                "large-chunks",
                "works off 64 KiB of one client before it looks at any other, 100 microseconds per delivery",
                Knobs { read_bytes_max: 65_536, slow_microseconds: 100, ..base() },
            ),
            slow(
                "small-pieces",
                "reads one byte at a time, writes eight, and holds five messages per client",
                Knobs {
                    read_bytes_max: 1,
                    write_bytes_max: 8,
                    queue_messages: 5,
                    byte_nanoseconds: 500,
                    ..base()
                },
            ),
            slow(
                "collector",
                "stops for 300 milliseconds each second, and takes 30 microseconds per delivery",
                Knobs { collector_milliseconds: 300, slow_microseconds: 30, ..base() },
            ),
            slow(
                "uneven",
                "reads little at a time from every other client, takes 200 microseconds per delivery, and drops one in 12 while more than 4 messages are under way",
                Knobs { uneven_bytes_max: 700, slow_microseconds: 200, drop_one_in: 12, ..base() },
            ),
        ]
    }

    /// Every unusual but correct server, the baseline first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let base = Knobs::default;
        let odd = |name, what, knobs| Self { name, what, knobs };
        vec![
            odd("baseline", "runs with the default settings", base()),
            odd(
                "queue-of-five",
                "holds five messages per client and drops the newest",
                Knobs { queue_messages: 5, ..base() },
            ),
            odd(
                "queue-of-four",
                "holds four messages per client, the fewest that are legal",
                Knobs { queue_messages: 4, ..base() },
            ),
            odd(
                "drop-oldest",
                "holds eight messages per client and drops the oldest",
                Knobs { queue_messages: 8, slow_reader: SlowReader::DropOldest, ..base() },
            ),
            odd(
                "disconnect",
                "disconnects a client whose queue is full",
                Knobs { queue_messages: 64, slow_reader: SlowReader::Disconnect, ..base() },
            ),
            odd(
                "slow",
                "takes 50 microseconds per delivery, as an interpreted program does",
                Knobs { slow_microseconds: 50, ..base() },
            ),
            odd("byte-writer", "writes one byte at a time", Knobs { write_bytes_max: 1, ..base() }),
            odd("byte-reader", "reads one byte at a time", Knobs { read_bytes_max: 1, ..base() }),
            odd(
                "drops-under-load",
                "drops one delivery in 50 while more than 4 messages are under way",
                Knobs { drop_one_in: 50, ..base() },
            ),
            odd(
                "closes-at-eof",
                "closes a half-closed connection at once, against a SHOULD clause only",
                Knobs { close_after_eof: CloseAfterEof::Immediately, ..base() },
            ),
            odd(
                "drops-most-under-load",
                "makes one delivery in 10 while more than 4 messages are under way",
                Knobs { keep_one_in: 10, ..base() },
            ),
            odd(
                "batches",
                "gathers messages for 50 milliseconds before it passes them on",
                Knobs { batch_milliseconds: 50, ..base() },
            ),
            odd(
                "slow-start",
                "takes three seconds to start",
                Knobs { start_milliseconds: 3000, ..base() },
            ),
            odd(
                "small-send-buffers",
                "asks for send buffers of 2 KiB",
                Knobs { send_buffer_bytes: 2048, ..base() },
            ),
            odd(
                "large-send-buffers",
                "asks for send buffers of 4 MiB",
                Knobs { send_buffer_bytes: 4 << 20, ..base() },
            ),
            odd(
                "nagle",
                "writes headers and bodies apart, with Nagle's algorithm on",
                Knobs { nagle: true, ..base() },
            ),
            odd(
                "sender-last",
                "delivers to the sender of a message last",
                Knobs { sender_last: true, ..base() },
            ),
            odd(
                "log",
                "logs every connection and message to standard error",
                Knobs { log: true, ..base() },
            ),
        ]
    }
}
