//! A running server: started, ready by its line, stopped without remains.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use procfs::process::LimitValue;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::address;
use crate::broker::{Broker, Greeting, RETRY_SECONDS};
use crate::environment;
use crate::event_count::Event;
use crate::executable;
use crate::granted::GrantedTime;
use crate::group::{GRANTED_INTERVAL, Group, STARVED_FACTOR, Signal, Waited};
use crate::interrupt;
use crate::launch::Launch;
use crate::machine_fault::MachineFault;
use crate::output::{FirstLine, Output};
use crate::sample::{Clocks, Sample, SampleError};
use crate::sockets;
use crate::start_error::{LogTail, Printed, StartError};

/// How many lines of its log are shown when a server fails.
const LOG_LINES_SHOWN: usize = 8;
/// How often a waiting start looks whether the server is still alive.
const ALIVE_CHECK: Duration = Duration::from_millis(20);
/// How long a trial connection after the line may take.
const CONNECT_SECONDS_MAX: u64 = 5;
/// How long the end of a process may take to be told after it can be seen.
const END_TOLD_SECONDS: f64 = 0.5;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// How long the server may take to print its line, in seconds that it was granted (see
    /// [`GrantedTime`]).
    pub ready_seconds_max: f64,
    /// Whether to connect once after the line, to find a server that prints it
    /// without accepting.
    pub probe_connection: bool,
    /// Where a copy of standard error goes, besides the tail kept in memory.
    pub log_file: Option<PathBuf>,
    /// What to count in its process tree, where this machine can; samples have it.
    pub event: Option<Event>,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { ready_seconds_max: 15.0, probe_connection: true, log_file: None, event: None }
    }
}

/// How a server was stopped.
#[derive(Debug, Clone, Copy)]
pub struct StopReport {
    /// Its exit status.
    pub status: ExitStatus,
    /// From SIGTERM to its end, in seconds.
    pub seconds: f64,
    /// Whether it had to be killed because it ignored SIGTERM for the grace period.
    pub killed: bool,
    /// Processes of its tree that were still there when it had ended.
    pub left_behind: usize,
}

/// A server that has printed its line; stopped when dropped.
#[derive(Debug)]
pub struct Server {
    program: String,
    address: SocketAddr,
    scheme: &'static str,
    line: String,
    start_seconds: f64,
    group: Group,
    output: Arc<Output>,
    /// The processes of the latest sample.
    sampled: Mutex<Vec<i32>>,
}

impl Server {
    /// Starts `launch` on `address` and waits for its line.
    ///
    /// # Errors
    /// One variant of [`StartError`] for each way in which that can fail; by
    /// then nothing of the server is running any more.
    pub fn start(
        launch: &Launch,
        address: &str,
        options: &StartOptions,
    ) -> Result<Self, StartError> {
        let socket_address = address::parse(address)?;
        address::check_free(socket_address)?;
        let started = Instant::now();
        let (group, output) = spawn(launch, socket_address, address, options)?;
        let mut server = Self {
            program: launch.program.display().to_string(),
            address: socket_address,
            scheme: launch.scheme(),
            line: String::new(),
            start_seconds: 0.0,
            group,
            output,
            sampled: Mutex::default(),
        };
        match &launch.broker {
            Some(broker) => server.wait_greeting(broker, options)?,
            None => server.line = server.wait_ready(options)?,
        }
        server.start_seconds = started.elapsed().as_secs_f64();
        if options.probe_connection && launch.broker.is_none() {
            let time = Duration::from_secs(CONNECT_SECONDS_MAX);
            if let Err(source) = TcpStream::connect_timeout(&socket_address, time) {
                if let Some(fault) = MachineFault::of(&source) {
                    return Err(StartError::Unreachable { address: socket_address, fault });
                }
                let log = server.last_words();
                let Self { program, address, .. } = server;
                return Err(StartError::Refuses { program, address, source, log });
            }
        }
        Ok(server)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The line that it printed, without the newline; empty for a broker, which prints none.
    pub fn ready_line(&self) -> &str {
        &self.line
    }

    /// From the start of the process to its line, in seconds.
    pub fn start_seconds(&self) -> f64 {
        self.start_seconds
    }

    /// The process id of the executable.
    pub fn pid(&self) -> u32 {
        self.group.pid()
    }

    /// Its exit status, if it has ended; never waits.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.group.exited()
    }

    /// Waits for its end, at most `seconds`, and then a second at most until all
    /// that it wrote was read.
    pub fn wait(&self, seconds: f64) -> Option<ExitStatus> {
        let status = self.group.wait(seconds);
        if status.is_some() {
            self.output.wait_closed(Duration::from_secs(1));
        }
        status
    }

    /// Waits for its end, until its process tree was granted `seconds` of time (see
    /// [`GrantedTime`]), and then a second at most until all that it wrote was read.
    pub fn wait_granted(&self, seconds: f64) -> Waited {
        let waited = self.group.wait_granted(seconds);
        if let Waited::Ended(_) = waited {
            self.output.wait_closed(Duration::from_secs(1));
        }
        waited
    }

    /// Counts the time that is granted to its process tree from now on.
    pub fn granted_time(&self) -> GrantedTime {
        self.group.granted_time()
    }

    /// Sends a signal to the executable itself.
    pub fn signal(&self, signal: Signal) {
        self.group.signal_leader(signal);
    }

    /// The last `lines` lines of its standard error.
    pub fn log_tail(&self, lines: usize) -> Vec<String> {
        self.output.log_tail(lines)
    }

    /// What it wrote to standard output after its line (at most 64 KiB of it).
    pub fn stdout_after_ready(&self) -> Vec<u8> {
        self.output.after_line().0
    }

    /// How much it wrote to standard output after its line, in bytes.
    pub fn stdout_after_ready_bytes(&self) -> u64 {
        self.output.after_line().1
    }

    /// Measures its whole process tree now.
    ///
    /// # Errors
    /// When the server has ended, or `/proc` does not tell.
    pub fn sample(&self) -> Result<Sample, SampleError> {
        // Their clocks are read at once; those of a large tree, and new processes, are found later.
        let mut sampled = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clocks = Clocks::default();
        clocks.read(sampled.iter().copied());
        let members = self.group.members();
        *sampled = members.iter().map(|process| process.pid).collect();
        match Sample::after_clocks(&members, clocks) {
            // One that has just died is seen there before its end is told here.
            Err(SampleError::Ended) if self.group.wait(END_TOLD_SECONDS).is_none() => {
                Err(SampleError::unreadable(self.pid()))
            }
            sample => sample.map(|it| Sample { counted: self.group.counted(), ..it }),
        }
    }

    /// The processes of its tree that are alive.
    pub fn pids(&self) -> Vec<u32> {
        self.group.members().iter().map(|process| process.pid.unsigned_abs()).collect()
    }

    /// How many descriptors each of its processes may have, the one that may have the fewest;
    /// `None` where the system does not tell.
    pub fn descriptor_limit(&self) -> Option<u64> {
        let limits = self.group.members().into_iter().filter_map(|process| process.limits().ok());
        let soft = limits.map(|limits| match limits.max_open_files.soft_limit {
            LimitValue::Value(limit) => limit,
            LimitValue::Unlimited => u64::MAX,
        });
        soft.min()
    }

    /// Where its process tree listens for TCP connections now; nothing where the
    /// system does not tell.
    pub fn listening_on(&self) -> Vec<SocketAddr> {
        sockets::listening(&self.group.members())
    }

    /// Sends SIGTERM, waits up to `grace_seconds`, kills what is left.
    pub fn stop(self, grace_seconds: f64) -> StopReport {
        let ending = self.group.end(grace_seconds);
        self.output.wait_closed(Duration::from_secs(1));
        StopReport {
            status: ending.status,
            seconds: ending.seconds,
            killed: ending.killed,
            left_behind: ending.left_behind,
        }
    }

    /// Waits for the line, until the server was granted the time for it.
    fn wait_ready(&self, options: &StartOptions) -> Result<String, StartError> {
        let seconds_max = options.ready_seconds_max;
        let began = Instant::now();
        let mut time = self.group.granted_time_since_start();
        let (mut granted, mut looked) = (Duration::ZERO, began);
        loop {
            match self.output.wait_first_line(ALIVE_CHECK) {
                FirstLine::Complete(line) => return self.judge_line(&line),
                FirstLine::Closed(_) => {
                    // Usually the end of the process: give it a moment to be one.
                    let left = (seconds_max - granted.as_secs_f64()).max(0.0);
                    if let Waited::Ended(_) = self.group.wait_granted(left) {
                        return Err(self.exited_early());
                    }
                    return Err(self.silent(seconds_max));
                }
                FirstLine::Pending(_) if self.group.exited().is_some() => {
                    return Err(self.exited_early());
                }
                FirstLine::Pending(_) => {}
            }
            if looked.elapsed() > GRANTED_INTERVAL {
                granted = time.look();
                looked = Instant::now();
            }
            if granted.as_secs_f64() >= seconds_max {
                return Err(self.silent(seconds_max));
            }
            if began.elapsed().as_secs_f64() > seconds_max * STARVED_FACTOR {
                return Err(self.starved(granted));
            }
        }
    }

    /// Waits until a broker says what its protocol begins with.
    fn wait_greeting(&self, broker: &Broker, options: &StartOptions) -> Result<(), StartError> {
        let seconds = options.ready_seconds_max;
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        let (program, address) = (self.program.clone(), self.address);
        let mut said = Vec::new();
        while Instant::now() < deadline {
            match broker.try_greeting(address, deadline) {
                Greeting::Ready => return Ok(()),
                Greeting::NotYet => {}
                Greeting::Wrong(words) => {
                    said = words;
                    break;
                }
            }
            if let Some(status) = self.group.wait(RETRY_SECONDS) {
                self.output.wait_closed(Duration::from_millis(500));
                let log = self.last_words();
                return Err(StartError::ExitedUngreeted { program, status, address, log });
            }
        }
        let said = String::from_utf8_lossy(&said).into();
        let (greets, log) = (broker.ready_reply, self.last_words());
        Err(StartError::Ungreeted { program, address, greets, said, seconds, log })
    }

    fn judge_line(&self, line: &[u8]) -> Result<String, StartError> {
        let text = String::from_utf8_lossy(line).into_owned();
        if names_address(&text, self.scheme, self.address) {
            return Ok(text);
        }
        Err(StartError::WrongLine {
            program: self.program.clone(),
            line: text.chars().take(200).collect(),
            address: self.address,
            log: self.last_words(),
        })
    }

    fn exited_early(&self) -> StartError {
        self.output.wait_closed(Duration::from_millis(500));
        let status = self.group.wait(0.0).unwrap_or_default();
        let log = self.output.log_tail(LOG_LINES_SHOWN);
        let program = PathBuf::from(&self.program);
        if let Some(reason) = executable::never_ran(&program, status.code(), &log) {
            return StartError::Spawn { program, reason };
        }
        // It may have printed the line with its last breath: then the line
        // was fine and the end is what matters.
        StartError::Exited {
            program: self.program.clone(),
            status,
            address: self.address,
            log: LogTail(log),
        }
    }

    fn silent(&self, seconds: f64) -> StartError {
        let printed = match self.output.first_line() {
            FirstLine::Pending(line) | FirstLine::Closed(line) | FirstLine::Complete(line) => {
                String::from_utf8_lossy(&line).chars().take(200).collect()
            }
        };
        StartError::Silent {
            program: self.program.clone(),
            address: self.address,
            seconds,
            printed: Printed(printed),
            log: self.last_words(),
        }
    }

    fn starved(&self, granted: Duration) -> StartError {
        StartError::Starved {
            program: self.program.clone(),
            address: self.address,
            granted_seconds: granted.as_secs_f64(),
        }
    }

    /// The log of a server that is about to be given up.
    fn last_words(&self) -> LogTail {
        if self.group.exited().is_some() {
            self.output.wait_closed(Duration::from_millis(500));
        }
        LogTail(self.output.log_tail(LOG_LINES_SHOWN))
    }
}

/// Whether `line` is `listening on ADDRESS` for this address, after its scheme.
///
/// The harness accepts any spelling of the address, also in square brackets;
/// how it should be spelled is the conformance suite's business.
fn names_address(line: &str, scheme: &str, address: SocketAddr) -> bool {
    let named = line.strip_prefix("listening on ").and_then(|rest| rest.strip_prefix(scheme));
    let Some(named) = named else { return false };
    let unbracketed = named.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    [Some(named), unbracketed]
        .into_iter()
        .flatten()
        .any(|text| text.parse::<SocketAddr>().is_ok_and(|named| named == address))
}

fn spawn(
    launch: &Launch,
    socket_address: SocketAddr,
    address: &str,
    options: &StartOptions,
) -> Result<(Group, Arc<Output>), StartError> {
    let log = match &options.log_file {
        Some(path) => Some(
            File::create(path).map_err(|source| StartError::Log { path: path.clone(), source })?,
        ),
        None => None,
    };
    let spawn_error = |source| StartError::Spawn {
        program: launch.program.clone(),
        reason: executable::refusal(launch, &source),
    };
    let (group, mut child) =
        Group::spawn_counted(command(launch, socket_address, address), options.event)
            .map_err(spawn_error)?;
    let output = Arc::new(Output::default());
    if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
        output.drain_stdout(stdout).map_err(spawn_error)?;
        output.drain_stderr(stderr, log).map_err(spawn_error)?;
    }
    interrupt::wait_if_pending();
    Ok((group, output))
}

fn command(launch: &Launch, socket_address: SocketAddr, address: &str) -> Command {
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments);
    match &launch.broker {
        Some(broker) => command.args(broker.arguments(socket_address)),
        None => command
            .arg(format!("{}{address}", launch.scheme()))
            .args(launch.more_addresses.iter().map(SocketAddr::to_string)),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(directory) = &launch.directory {
        command.current_dir(directory);
    }
    if launch.clean_environment {
        environment::clean(&mut command);
    }
    if let Some(limit) = launch.descriptor_limit {
        use std::os::unix::process::CommandExt;
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        // SAFETY: runs between fork and exec; one system call, no locks, no heap.
        unsafe {
            command.pre_exec(move || Ok(setrlimit(Resource::Nofile, limit)?));
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_recognised_by_the_address_it_names() {
        let address: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let v6: SocketAddr = "[::1]:8080".parse().expect("an address");
        assert!(names_address("listening on 127.0.0.1:8080", "", address));
        assert!(names_address("listening on [127.0.0.1:8080]", "", address));
        assert!(names_address("listening on [::1]:8080", "", v6));
        assert!(names_address("listening on [0:0:0:0:0:0:0:1]:8080", "", v6));
        assert!(names_address("listening on tls://127.0.0.1:8080", "tls://", address));
        assert!(!names_address("listening on 127.0.0.1:8080", "tls://", address));
        for wrong in [
            "Listening on 127.0.0.1:8080",
            "listening on 127.0.0.1:8081",
            "listening on port 8080",
            "listening on tls://127.0.0.1:8080",
            "listening on 127.0.0.1:8080 now",
            "listening on",
            "",
        ] {
            assert!(!names_address(wrong, "", address), "{wrong:?}");
        }
    }
}
