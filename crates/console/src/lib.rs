//! How the tools write: whole, escaped, and without a panic.
//!
//! Standard output and standard error may be anything: a terminal, a file, a pipe that nobody
//! reads any more, and one that another process has made non-blocking (a shell's job, a program
//! written in Node). All commands write through [`out`], [`note`] and [`Patient`], so that a slow
//! reader gets all of it, and one that has gone ends no command in another way than its verdict.

mod color;

use std::io::{self, Write};
use std::os::fd::AsFd;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use zillions_escape::visible_but_colours;

pub use color::{Color, ColorOption};

/// A file that may be non-blocking, written to as if it were not.
#[derive(Debug)]
pub struct Patient<F>(pub F);

impl<F: AsFd> Write for Patient<F> {
    /// Writes what the file takes, once it takes something.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                Err(Errno::AGAIN) => {
                    // Whatever it wakes up with, the next write tells.
                    let _ = poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None);
                }
                Err(Errno::INTR) => {}
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes `text` to standard output: colours only where they are wanted, and nothing else that a
/// terminal obeys.
///
/// # Errors
/// What the system says; [`io::ErrorKind::BrokenPipe`] if the reader has gone.
pub fn out(text: &str) -> io::Result<()> {
    let text = visible_but_colours(text);
    let colours = AutoStream::choice(&io::stdout());
    out_as_it_is(&coloured(&text, colours))
}

/// Writes `text` to standard output unchanged.
///
/// # Errors
/// As [`out`].
pub fn out_as_it_is(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.flush()?;
    Patient(stdout).write_all(text.as_bytes())
}

/// Writes a line to standard error, as [`out`] does. If that cannot be written, there is nobody
/// to tell: the exit code must do.
pub fn note(line: &str) {
    let text = format!("{}\n", visible_but_colours(line));
    let colours = AutoStream::choice(&io::stderr());
    let _ = Patient(io::stderr().lock()).write_all(coloured(&text, colours).as_bytes());
}

fn coloured(text: &str, colours: ColorChoice) -> String {
    match colours {
        ColorChoice::Never => strip_str(text).to_string(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::thread;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn a_slow_reader_of_a_non_blocking_pipe_gets_all_of_it() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("its size");
        let text: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        let expected = text.clone();
        let writing = thread::spawn(move || Patient(writer).write_all(&text));
        let mut reader = File::from(reader);
        let (mut received, mut buffer) = (Vec::new(), [0; 777]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => received.extend_from_slice(&buffer[..length]),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    let _ = poll(&mut [PollFd::new(&reader, PollFlags::IN)], None);
                }
            }
        }
        writing.join().expect("no panic").expect("all written");
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    }

    #[test]
    fn a_reader_that_has_gone_is_told_as_such() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        drop(reader);
        let error = Patient(writer).write_all(b"x").expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
