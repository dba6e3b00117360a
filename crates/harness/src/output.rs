//! A server's standard streams: drained for as long as it lives, kept in part.
//!
//! Standard output is read for the first line; what comes later is counted and
//! kept up to a bound, because the spec forbids it. Standard error is the log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zillions_escape::visible;

/// Longest first line that is looked at.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// How much of what follows the first line is kept.
const STDOUT_KEPT_BYTES_MAX: usize = 64 * 1024;
/// How much of the end of the log is kept in memory.
const LOG_TAIL_BYTES_MAX: usize = 64 * 1024;
/// How much of the log is written to a file.
const LOG_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Both streams of one server.
#[derive(Debug, Default)]
pub(crate) struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    line: Vec<u8>,
    line_complete: bool,
    stdout_closed: bool,
    stderr_closed: bool,
    after_line: Vec<u8>,
    after_line_bytes: u64,
    log_tail: VecDeque<u8>,
}

/// What is known of the first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FirstLine {
    /// Ended by a newline (not included), or cut at the longest length looked at.
    Complete(Vec<u8>),
    /// Standard output was closed before a newline.
    Closed(Vec<u8>),
    /// Nothing complete yet.
    Pending(Vec<u8>),
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drains `stdout` on a thread until it is closed.
    pub(crate) fn drain_stdout(
        self: &Arc<Self>,
        mut stdout: impl Read + Send + 'static,
    ) -> io::Result<()> {
        let output = Arc::clone(self);
        thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(bytes) = read_some(&mut stdout, &mut buffer) {
                output.lock().add_stdout(bytes);
                output.changed.notify_all();
            }
            output.lock().stdout_closed = true;
            output.changed.notify_all();
        })?;
        Ok(())
    }

    /// Drains `stderr` on a thread until it is closed, copying it to `file`.
    pub(crate) fn drain_stderr(
        self: &Arc<Self>,
        mut stderr: impl Read + Send + 'static,
        mut file: Option<File>,
    ) -> io::Result<()> {
        let output = Arc::clone(self);
        thread::Builder::new().name("stderr".to_owned()).spawn(move || {
            let mut buffer = [0; 4096];
            let mut written: u64 = 0;
            while let Some(bytes) = read_some(&mut stderr, &mut buffer) {
                written += bytes.len() as u64;
                if let Some(log) = &mut file
                    && (written > LOG_FILE_BYTES_MAX || log.write_all(bytes).is_err())
                {
                    // Full: the tail in memory goes on.
                    file = None;
                }
                output.lock().add_log(bytes);
            }
            output.lock().stderr_closed = true;
            output.changed.notify_all();
        })?;
        Ok(())
    }

    /// The first line as far as it is known now.
    pub(crate) fn first_line(&self) -> FirstLine {
        self.lock().first_line()
    }

    /// Waits, at most `time`, for the first line to be complete or impossible.
    pub(crate) fn wait_first_line(&self, time: Duration) -> FirstLine {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        loop {
            let line = state.first_line();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !matches!(line, FirstLine::Pending(_)) {
                return line;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits, at most `time`, until both streams are closed, so that the last
    /// words of a dead server are in.
    pub(crate) fn wait_closed(&self, time: Duration) {
        let state = self.lock();
        let open = |state: &mut State| !(state.stdout_closed && state.stderr_closed);
        drop(self.changed.wait_timeout_while(state, time, open));
    }

    /// What came after the first line, as far as kept, and how much it was.
    pub(crate) fn after_line(&self) -> (Vec<u8>, u64) {
        let state = self.lock();
        (state.after_line.clone(), state.after_line_bytes)
    }

    /// The last `lines` lines of the log, made safe to show.
    pub(crate) fn log_tail(&self, lines: usize) -> Vec<String> {
        let state = self.lock();
        let (front, back) = state.log_tail.as_slices();
        last_lines(&[front, back].concat(), lines)
    }
}

impl State {
    fn first_line(&self) -> FirstLine {
        let line = self.line.clone();
        if self.line_complete {
            FirstLine::Complete(line)
        } else if self.stdout_closed {
            FirstLine::Closed(line)
        } else {
            FirstLine::Pending(line)
        }
    }

    fn add_stdout(&mut self, mut bytes: &[u8]) {
        if !self.line_complete {
            let room = LINE_BYTES_MAX - self.line.len();
            let newline = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let taken = newline.unwrap_or(bytes.len().min(room));
            self.line.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken + usize::from(newline.is_some())..];
            self.line_complete = newline.is_some() || self.line.len() == LINE_BYTES_MAX;
        }
        self.after_line_bytes += bytes.len() as u64;
        let room = STDOUT_KEPT_BYTES_MAX - self.after_line.len();
        self.after_line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn add_log(&mut self, bytes: &[u8]) {
        self.log_tail.extend(bytes);
        let excess = self.log_tail.len().saturating_sub(LOG_TAIL_BYTES_MAX);
        self.log_tail.drain(..excess);
    }
}

/// The last `count` lines of what another program wrote, made safe to show.
pub fn last_lines(written: &[u8], count: usize) -> Vec<String> {
    let written = written.strip_suffix(b"\n").unwrap_or(written);
    if written.is_empty() {
        return Vec::new();
    }
    let lines: Vec<&[u8]> = written.split(|&byte| byte == b'\n').collect();
    let last = &lines[lines.len().saturating_sub(count)..];
    last.iter().map(|line| visible(line.strip_suffix(b"\r").unwrap_or(line))).collect()
}

fn read_some<'a>(stream: &mut impl Read, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return None,
            Ok(length) => return Some(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_cut_from_what_follows_it() {
        let mut state = State::default();
        for chunk in [&b"listen"[..], b"ing on x\nmore", b" noise"] {
            state.add_stdout(chunk);
        }
        assert_eq!(state.first_line(), FirstLine::Complete(b"listening on x".to_vec()));
        assert_eq!(state.after_line, b"more noise");
    }

    #[test]
    fn a_flood_is_counted_and_kept_only_in_part() {
        let mut state = State::default();
        for _ in 0..100 {
            state.add_stdout(&[b'x'; 4096]);
            state.add_log(&[b'y'; 4096]);
        }
        assert_eq!(state.line.len(), LINE_BYTES_MAX);
        assert_eq!(state.after_line_bytes, 99 * 4096);
        assert_eq!(state.after_line.len(), STDOUT_KEPT_BYTES_MAX);
        assert_eq!(state.log_tail.len(), LOG_TAIL_BYTES_MAX);
    }
}
