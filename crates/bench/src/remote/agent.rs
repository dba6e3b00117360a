//! The helper on the machine of the servers: it does what its standard input asks for.
//!
//! Nothing of it outlives the conversation. When its input ends, or when nothing has been asked for
//! a while (a network that is cut closes nothing), it stops its server and ends.

use std::io::{self, BufRead, Write};
use std::net::IpAddr;
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use zillions_harness::resources::cpu_throttled;
use zillions_harness::{Launch, PortLease, Server, StartError, interrupt};
use zillions_report::record::ToolRecord;

use super::message::{Answer, Greeting, Program, Reading, Request, Version, read_line};
use crate::cpu_times::CpuTimes;
use crate::machine;
use crate::pin::Pinning;
use crate::program;
use crate::trial::start_options;

/// So long without a request, and there is nobody any more.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Requests that wait for their turn; the other side sends one and waits for its answer.
const WAITING_MAX: usize = 16;

/// Answers the requests of `input` until it ends, and with it this process.
///
/// # Errors
/// If `output` cannot be written to.
pub fn serve(
    tool: ToolRecord,
    input: impl BufRead + Send + 'static,
    mut output: impl Write,
) -> io::Result<()> {
    let pinning = Pinning::choose(false, 1);
    let version = Version { zillions_bench_agent: env!("CARGO_PKG_VERSION").to_owned() };
    say(&mut output, &Greeting { version, tool, machine: machine::record(&pinning) })?;
    let (lines, requests) = mpsc::sync_channel(WAITING_MAX);
    thread::Builder::new().name("requests".to_owned()).spawn(move || read(input, &lines))?;
    let mut agent = Agent { began: Instant::now(), pinning, server: None };
    while let Ok(line) = requests.recv_timeout(SILENCE_MAX) {
        let answer = match serde_json::from_str(&line) {
            Ok(request) => agent.answer(&request),
            Err(error) => refused(format!("invalid request: {error}"), true),
        };
        say(&mut output, &answer)?;
    }
    interrupt::end(0)
}

/// A server that is being started would not notice the end of the input: so this thread ends all.
fn read(mut input: impl BufRead, lines: &SyncSender<String>) {
    while let Ok(Some(line)) = read_line(&mut input) {
        if lines.send(line).is_err() {
            return;
        }
    }
    interrupt::end(0)
}

fn say(output: &mut impl Write, what: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

fn refused(reason: String, is_the_machines: bool) -> Answer {
    Answer::Refused { reason, is_the_machines }
}

struct Agent {
    began: Instant,
    pinning: Pinning,
    /// The server that runs, with its port.
    server: Option<(Server, PortLease)>,
}

impl Agent {
    fn answer(&mut self, request: &Request) -> Answer {
        match request {
            Request::Look { program } => look(program),
            Request::Start { program, ip } => self.start(program, *ip),
            Request::Sample => Answer::Reading(Reading {
                at_seconds: self.began.elapsed().as_secs_f64(),
                server: self.server.as_ref().and_then(|(server, _)| server.sample().ok()),
                busy_seconds: CpuTimes::read(&self.pinning.all)
                    .map(|it| it.busy_seconds + it.stolen_seconds),
                throttled_seconds: cpu_throttled().map(|it| it.seconds),
                cpus: self.pinning.all.len(),
            }),
            Request::Ended { wait_seconds } => Answer::State {
                ended: self
                    .server
                    .as_ref()
                    .and_then(|(server, _)| server.wait(*wait_seconds))
                    .map(|status| status.to_string()),
            },
            Request::Log { lines } => Answer::Log {
                lines: self.server.as_ref().map_or_else(Vec::new, |it| it.0.log_tail(*lines)),
            },
            Request::Stop { grace_seconds } => {
                if let Some((server, _lease)) = self.server.take() {
                    server.stop(*grace_seconds);
                }
                Answer::Done
            }
            Request::Alive => Answer::Done,
        }
    }

    fn start(&mut self, program: &str, ip: IpAddr) -> Answer {
        if self.server.is_some() {
            return refused("the server before has not been stopped".to_owned(), true);
        }
        let launch = match Launch::executable(program) {
            Ok(launch) => launch,
            Err(error) => return refused(error.to_string(), true),
        };
        let lease = match PortLease::take(ip) {
            Ok(lease) => lease,
            Err(error) => return refused(error.to_string(), true),
        };
        match Server::start(&launch, &lease.address().to_string(), &start_options()) {
            Ok(server) => {
                let (address, start_seconds) = (server.address(), server.start_seconds());
                self.server = Some((server, lease));
                Answer::Started { address, start_seconds }
            }
            Err(error) => {
                let starved = matches!(error, StartError::Starved { .. });
                refused(error.to_string(), starved || error.is_the_machines())
            }
        }
    }
}

fn look(path: &str) -> Answer {
    let launch = match Launch::executable(path) {
        Ok(launch) => launch,
        Err(error) => return refused(error.to_string(), false),
    };
    match program::hash(&launch, &[]) {
        Ok(hash) => Answer::Program(Program {
            path: launch.program.display().to_string(),
            binary_bytes: program::binary_bytes(&launch),
            hash,
        }),
        Err(error) => refused(error.to_string(), true),
    }
}
