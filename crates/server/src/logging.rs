//! Log lines, to standard error, which never wait for a reader of the log.
//!
//! A shard only puts its line into a bounded [`queue`]; a thread of its own writes. If nobody
//! reads, or nothing can be written, lines are lost and counted, and the log says how many as soon
//! as it can be written again. tracing-appender's queue does the same but for the end: there it
//! writes to standard error itself, and so waits for ever.

mod queue;

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{panic, thread};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Deserialize;
use tracing::{Level, Metadata, error, warn};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::MakeWriterExt;

use crate::error::Error;
use queue::Queue;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For humans.
    Text,
    /// One JSON object a line.
    Json,
}

/// The severity of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Errors that end the server.
    Error,
    /// Problems that an operator should look at.
    Warn,
    /// Starts, stops, disconnected slow clients.
    Info,
    /// Every connection and disconnection.
    Debug,
}

/// How long the end may wait until the last lines are written.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// The process's queue, once it is installed.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// Installs the process's log. A process that already has one keeps it.
pub(crate) fn install(level: LogLevel, format: LogFormat) -> Result<(), Error> {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let queue = Arc::new(Queue::default());
    if QUEUE.set(Arc::clone(&queue)).is_err() {
        return Ok(());
    }
    let write = {
        let queue = Arc::clone(&queue);
        move || write_lines(&queue)
    };
    let failed = |source| Error::System { doing: "start a thread", source };
    thread::Builder::new().name("log".into()).spawn(write).map_err(failed)?;
    let lines = fmt().with_max_level(level).with_target(false).with_ansi(false);
    // What libraries say is said by the server in its own words, once.
    let shows_libraries = level == Level::DEBUG;
    let is_shown = move |it: &Metadata<'_>| shows_libraries || it.target().starts_with("zillions");
    let writer = (move || Line(Arc::clone(&queue))).with_filter(is_shown);
    let lines = lines.log_internal_errors(false).with_writer(writer);
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish())
        }
    };
    // The default one writes to standard error, and waits there.
    panic::set_hook(Box::new(|panic| error!("a bug: {panic}")));
    Ok(())
}

/// Writes a line that is not a log line: through the queue, if there is one.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n").into_bytes();
    match QUEUE.get() {
        Some(queue) => queue.push(line),
        // Nothing has started yet. Without standard error nobody can be told.
        None => drop(io::stderr().write_all(&line)),
    }
}

/// Waits until everything is written; not for long.
pub(crate) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_TIME_MAX);
    }
}

/// How many lines could not be written so far.
pub(crate) fn lost_lines() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.lost())
}

/// Where `tracing` writes one line.
struct Line(Arc<Queue>);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread that writes.
fn write_lines(queue: &Queue) {
    let mut told = 0;
    loop {
        let line = queue.take();
        let written = write_line(&line);
        if written.is_err() {
            queue.lose();
        }
        let is_last = queue.written();
        let lost = queue.lost();
        if written.is_ok() && is_last && lost > told {
            warn!(lines = lost - told, "log lines were lost, because nobody took them");
            told = lost;
        }
    }
}

fn write_line(line: &[u8]) -> rustix::io::Result<()> {
    let stderr = io::stderr();
    let mut rest = line;
    while !rest.is_empty() {
        match rustix::io::write(&stderr, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            // Another process that has it, too, may have made it non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
