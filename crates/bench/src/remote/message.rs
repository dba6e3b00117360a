//! What the two sides say to each other: one JSON value per line, a greeting by the helper first,
//! then an answer to each request.

use std::io::{self, BufRead, Read};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use zillions_harness::Sample;
use zillions_report::record::{MachineRecord, ToolRecord};

/// A longer line ends the conversation, in bytes.
pub(super) const LINE_BYTES_MAX: u64 = 64 << 10;

/// What of a greeting every version of the helper can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    /// Version of zillions: the two sides must be of the same one.
    pub(super) zillions_bench_agent: String,
}

/// The helper's first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Greeting {
    #[serde(flatten)]
    pub(super) version: Version,
    pub(super) tool: ToolRecord,
    /// The facts of its machine.
    pub(super) machine: MachineRecord,
}

/// What the helper is asked for. It runs one server at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "request")]
pub(super) enum Request {
    /// Whether there is such a program.
    Look { program: String },
    /// Start it on a free port of an address.
    Start { program: String, ip: IpAddr },
    /// What the server and the machine have used.
    Sample,
    /// Whether the server has ended, waiting for that so long.
    Ended { wait_seconds: f64 },
    /// The last lines of its log.
    Log { lines: usize },
    /// End it.
    Stop { grace_seconds: f64 },
    /// Nothing: the other side is still there.
    Alive,
}

/// What the helper answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub(super) enum Answer {
    Program(Program),
    Started {
        address: SocketAddr,
        start_seconds: f64,
    },
    Reading(Reading),
    /// How the server ended, if it has.
    State {
        ended: Option<String>,
    },
    Log {
        lines: Vec<String>,
    },
    Done,
    /// It cannot be done.
    Refused {
        reason: String,
        /// Whether the server is not to blame.
        is_the_machines: bool,
    },
}

/// An executable on the other machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its absolute path there.
    pub path: String,
    /// Size in bytes; absent for scripts.
    pub binary_bytes: Option<u64>,
    /// BLAKE3 in hexadecimal; see [`crate::program::hash`].
    pub hash: String,
}

/// What a server and its machine had used at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// By the helper's own clock, in seconds.
    pub(crate) at_seconds: f64,
    /// The server's process tree; absent if it has ended.
    pub(crate) server: Option<Sample>,
    /// What all programs there have used of the processors, in seconds.
    pub(crate) busy_seconds: Option<f64>,
    /// How long a quota has held the helper's group back, in seconds.
    pub(crate) throttled_seconds: Option<f64>,
    /// Processors that these figures are of.
    pub(crate) cpus: usize,
}

/// The next line without its end, `None` after the last one.
///
/// # Errors
/// What the system says, or that the line is longer than [`LINE_BYTES_MAX`].
pub(super) fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    input.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let Some(text) = line.strip_suffix('\n') else {
        let what = if line.len() as u64 == LINE_BYTES_MAX {
            "a line that is too long"
        } else {
            "half a line"
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    };
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn whole_lines_are_read_and_no_others() {
        let mut input = BufReader::new(&b"one\n\nhalf"[..]);
        assert_eq!(read_line(&mut input).unwrap().as_deref(), Some("one"));
        assert_eq!(read_line(&mut input).unwrap().as_deref(), Some(""));
        assert_eq!(read_line(&mut input).unwrap_err().to_string(), "half a line");
        assert_eq!(read_line(&mut input).unwrap(), None);
        let long = vec![b'x'; LINE_BYTES_MAX as usize + 1];
        let error = read_line(&mut BufReader::new(&long[..])).unwrap_err().to_string();
        assert_eq!(error, "a line that is too long");
    }

    #[test]
    fn requests_and_answers_are_one_line_each() {
        let start = Request::Start { program: "a\nb".to_owned(), ip: [127, 0, 0, 1].into() };
        let line = serde_json::to_string(&start).unwrap();
        assert_eq!(line, r#"{"request":"start","program":"a\nb","ip":"127.0.0.1"}"#);
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), start);
        let answer = Answer::State { ended: None };
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"answer":"state","ended":null}"#);
    }
}
