//! Starts a server that should not get ready: runs the program until it
//! ends by itself, and keeps what it wrote.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use zillions_escape::visible_lines;
use zillions_harness::group::Group;
use zillions_harness::{Launch, Waited, executable};

use crate::verdict::Stop;

/// What is kept of each output, in bytes.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// How an attempt to start the program went.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Its exit status; `None` if it was still running and had to be stopped.
    pub(crate) status: Option<ExitStatus>,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

/// Runs `launch` with `arguments` in place of the address, until it was granted `seconds`.
///
/// # Errors
/// A harness error when it cannot be executed at all; inconclusive when the machine is so busy
/// that it hardly runs.
pub(crate) fn attempt(launch: &Launch, arguments: &[&str], seconds: f64) -> Result<Attempt, Stop> {
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.arguments)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(directory) = &launch.directory {
        command.current_dir(directory);
    }
    let (group, mut child) = Group::spawn(command).map_err(|error| {
        let reason = executable::refusal(launch, &error);
        Stop::Error(format!("cannot execute '{}': {reason}", launch.program.display()))
    })?;
    let stdout = child.stdout.take().map(read_in_background);
    let stderr = child.stderr.take().map(read_in_background);
    let waited = group.wait_granted(seconds);
    // Ends what is left, so that the pipes close.
    drop(group);
    let status = match waited {
        Waited::Ended(status) => Some(status),
        Waited::Running => None,
        Waited::Starved => return Err(Stop::starved("it was still running")),
    };
    Ok(Attempt { status, stdout: text(stdout)?, stderr: text(stderr)? })
}

type Reading = JoinHandle<io::Result<Vec<u8>>>;

fn read_in_background(pipe: impl Read + Send + 'static) -> Reading {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut pipe = pipe.take(OUTPUT_BYTES_MAX);
        pipe.read_to_end(&mut kept)?;
        // The rest is read too, so that the program never blocks on it.
        io::copy(&mut pipe.into_inner(), &mut io::sink())?;
        Ok(kept)
    })
}

fn text(reading: Option<Reading>) -> Result<String, Stop> {
    let Some(reading) = reading else { return Ok(String::new()) };
    match reading.join() {
        Ok(Ok(bytes)) => Ok(visible_lines(&bytes)),
        Ok(Err(error)) => Err(Stop::Error(format!("cannot read the program's output: {error}"))),
        Err(_) => Err(Stop::Error("the thread that reads the program's output died".to_owned())),
    }
}
