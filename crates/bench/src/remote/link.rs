//! The connection to a helper: a running `ssh`, one request at a time.

use std::io::{BufReader, Read, Write};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use zillions_harness::group::Group;
use zillions_report::record::{MachineRecord, ToolRecord};

use super::error::RemoteError;
use super::message::{Answer, Greeting, Program, Request, Version, read_line};
use super::ssh::{Ssh, not_run};

/// How long the helper may take to greet, once `ssh` is running.
const GREETING_MAX: Duration = Duration::from_secs(60);
/// How long it may take to answer: more than a server may take to start on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(240);
/// How often it is told that somebody is still here.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Lines that a login may print before the helper greets.
const LINES_BEFORE_MAX: usize = 200;
/// How long `ssh` may take to end after the helper was told to.
const END_SECONDS_MAX: f64 = 5.0;
/// How much of what `ssh` said is kept, in bytes.
const SAID_BYTES_MAX: usize = 4096;

/// A helper that has greeted; it ends, and its servers with it, when this is dropped.
#[derive(Debug)]
pub struct Link {
    ssh: Ssh,
    greeting: Greeting,
    conversation: Mutex<Conversation>,
}

/// One request at a time.
#[derive(Debug)]
struct Conversation {
    /// `None` once the connection is lost or closed.
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    said: Arc<Mutex<String>>,
    group: Group,
    lost: Option<RemoteError>,
}

impl Link {
    /// Connects to the helper of `ssh` and hears what it is.
    ///
    /// # Errors
    /// [`RemoteError`] if there is no `ssh`, no way in, no helper, or one of another version.
    pub fn open(ssh: Ssh) -> Result<Arc<Self>, RemoteError> {
        let mut conversation = Conversation::begin(&ssh)?;
        let greeting = conversation.greeting(&ssh)?;
        let link = Arc::new(Self { ssh, greeting, conversation: Mutex::new(conversation) });
        let weak = Arc::downgrade(&link);
        let spawned = thread::Builder::new().name("alive".to_owned()).spawn(move || stay(&weak));
        spawned.map_err(|error| RemoteError { reason: format!("no thread: {error}") })?;
        Ok(link)
    }

    /// The machine, as `ssh` knows it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.ssh.host
    }

    /// The tool that runs there.
    #[must_use]
    pub fn tool(&self) -> &ToolRecord {
        &self.greeting.tool
    }

    /// The facts of the machine there.
    #[must_use]
    pub fn machine(&self) -> &MachineRecord {
        &self.greeting.machine
    }

    /// Looks at an executable there.
    ///
    /// # Errors
    /// [`RemoteError`] if it cannot be executed, or the connection is lost.
    pub fn look(&self, program: &str) -> Result<Program, RemoteError> {
        match self.ask(&Request::Look { program: program.to_owned() })? {
            Answer::Program(found) => Ok(found),
            Answer::Refused { reason, .. } => {
                Err(RemoteError { reason: format!("on '{}': {reason}", self.host()) })
            }
            other => Err(self.unexpected(&other)),
        }
    }

    /// Why the connection is lost, if it is; it is asked.
    #[must_use]
    pub fn lost(&self) -> Option<RemoteError> {
        // What the answer is does not matter here, but whether there is one.
        self.ask(&Request::Alive).err()
    }

    /// Asks and waits for the answer. Once the connection is lost it stays so.
    pub(super) fn ask(&self, request: &Request) -> Result<Answer, RemoteError> {
        let mut conversation = self.lock();
        if let Some(lost) = &conversation.lost {
            return Err(lost.clone());
        }
        conversation.ask(request).map_err(|what| {
            let said = conversation.close();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            let lost = RemoteError {
                reason: format!("the connection to '{}' was lost ({what}){said}", self.host()),
            };
            conversation.lost = Some(lost.clone());
            lost
        })
    }

    pub(super) fn unexpected(&self, answer: &Answer) -> RemoteError {
        RemoteError { reason: format!("the helper on '{}' answered {answer:?}", self.host()) }
    }

    fn lock(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conversation {
    fn begin(ssh: &Ssh) -> Result<Self, RemoteError> {
        let (group, mut child) = Group::spawn(ssh.command()).map_err(|error| not_run(&error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(RemoteError { reason: "ssh was started without pipes".to_owned() });
        };
        let said = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&said);
        let no_thread = |error| RemoteError { reason: format!("no thread: {error}") };
        let thread = thread::Builder::new().name("ssh-errors".to_owned());
        thread.spawn(move || keep_last(errors, &kept)).map_err(no_thread)?;
        let (lines, answers) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("answers".to_owned());
        thread.spawn(move || read(output, &lines)).map_err(no_thread)?;
        Ok(Self { input: Some(input), answers, said, group, lost: None })
    }

    /// The helper's first line; what the login printed before is passed over.
    fn greeting(&mut self, ssh: &Ssh) -> Result<Greeting, RemoteError> {
        for _ in 0..LINES_BEFORE_MAX {
            let Ok(line) = self.answers.recv_timeout(GREETING_MAX) else { break };
            let Ok(Version { zillions_bench_agent: theirs }) = serde_json::from_str(&line) else {
                continue;
            };
            let ours = env!("CARGO_PKG_VERSION");
            if theirs != ours {
                let reason = format!(
                    "zillions on '{}' is version {theirs}, and here it is {ours}: install the same \
                     version on both machines",
                    ssh.host
                );
                return Err(RemoteError { reason });
            }
            return serde_json::from_str(&line).map_err(|error| RemoteError {
                reason: format!("the helper on '{}' greets with {error}", ssh.host),
            });
        }
        let said = self.close();
        Err(RemoteError {
            reason: match self.group.exited() {
                Some(status) => ssh.failure(status, &said),
                None => format!("the helper on '{}' does not greet: {said}", ssh.host),
            },
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, String> {
        let mut line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let input = self.input.as_mut().ok_or("it was closed")?;
        input.write_all(&line).map_err(|error| error.to_string())?;
        let answer = self.answers.recv_timeout(ANSWER_MAX).map_err(|error| match error {
            RecvTimeoutError::Timeout => "no answer".to_owned(),
            RecvTimeoutError::Disconnected => "it was closed there".to_owned(),
        })?;
        serde_json::from_str(&answer).map_err(|error| format!("an invalid answer: {error}"))
    }

    /// Closes the connection, which ends the helper, and returns what `ssh` said last.
    fn close(&mut self) -> String {
        self.input = None;
        self.group.wait(END_SECONDS_MAX);
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Conversation {
    /// The helper has a moment to stop what it runs; then dropping the group ends `ssh`.
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells the helper from time to time that somebody is still here.
fn stay(link: &Weak<Link>) {
    loop {
        thread::park_timeout(ALIVE_INTERVAL);
        let Some(link) = link.upgrade() else { return };
        if link.ask(&Request::Alive).is_err() {
            return;
        }
    }
}

fn read(output: ChildStdout, lines: &mpsc::SyncSender<String>) {
    let mut output = BufReader::new(output);
    while let Ok(Some(line)) = read_line(&mut output) {
        if lines.send(line).is_err() {
            return;
        }
    }
}

/// Reads all that `ssh` says, and keeps the last line of it.
fn keep_last(mut errors: ChildStderr, kept: &Mutex<String>) {
    let (mut buffer, mut tail) = ([0; 1024], Vec::new());
    while let Ok(count) = errors.read(&mut buffer) {
        if count == 0 {
            return;
        }
        tail.extend_from_slice(&buffer[..count]);
        tail.drain(..tail.len().saturating_sub(SAID_BYTES_MAX));
        let text = String::from_utf8_lossy(&tail);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        last.clone_into(&mut kept.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
