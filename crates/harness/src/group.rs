//! A process tree of ours: started in a group of its own, ended as a whole.
//!
//! Four nets, each catching what falls through the one before:
//! - the *process group*: what a server forks is in it, unless it asks not to be;
//! - the *marker*, an environment variable with an id of its own that every
//!   descendant inherits, even one that leaves the group and the session;
//! - the *death signal*: the kernel kills the leader when the tool dies in a
//!   way that it could not see coming;
//! - the *guard*, a process of its own that kills the rest of the tree then.
//!
//! The leader is reaped last, so neither its id nor its group's can be given
//! to a stranger while signals are still being sent.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procfs::process::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, getpid, getppid, kill_process, kill_process_group,
    pidfd_open, set_parent_process_death_signal, waitid,
};

pub use crate::marker::MARKER;
pub use rustix::process::Signal;

use crate::address::NO_FORK;
use crate::event_count::{Count, Event, EventCount};
use crate::granted::GrantedTime;
use crate::interrupt::{self, Stop};
use crate::{guard, marker};

/// How long the rest of a group may outlive its leader before it counts as
/// left behind: a worker process needs a moment to see that its parent is gone.
const AFTERLIFE_SECONDS_MAX: f64 = 1.0;
/// How often and how long a program that is "busy" is waited for.
const BUSY_RETRIES_MAX: usize = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How long to wait, as a multiple of the time that a group may take, for a machine to
/// grant it that time.
pub(crate) const STARVED_FACTOR: f64 = 12.0;
/// How often to look what a busy machine grants a group.
pub(crate) const GRANTED_INTERVAL: Duration = Duration::from_millis(500);
/// Rounds of killing before giving up on a tree that forks faster.
const KILL_ROUNDS_MAX: usize = 100;

/// A running group, ended when this is dropped.
#[derive(Debug)]
pub struct Group {
    tree: Arc<Tree>,
    count: Option<EventCount>,
}

/// How a group ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// The leader's exit status.
    pub status: ExitStatus,
    /// Whether the leader had to be killed because it did not end in time.
    pub killed: bool,
    /// Processes that were still there when the leader was gone.
    pub left_behind: usize,
    /// From the request to the leader's end, in seconds.
    pub seconds: f64,
}

/// The result of waiting for a group's end.
#[derive(Debug, Clone, Copy)]
pub enum Waited {
    /// Its leader has ended so.
    Ended(ExitStatus),
    /// It had all the time, and is still running.
    Running,
    /// It is still running, but a busy machine has not granted it that time.
    Starved,
}

/// What the interrupt handler needs of a group, too; see [`Stop`].
#[derive(Debug)]
pub(crate) struct Tree {
    leader: Pid,
    marker: String,
    /// In clock ticks since boot; nothing older can be a descendant.
    started_ticks: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    exit: Option<ExitStatus>,
    reaped: bool,
}

impl Group {
    /// Starts `command` as the leader of a new group.
    ///
    /// Takes the [`Child`] apart for the caller: the pipes are his, waiting is ours.
    ///
    /// # Errors
    /// What the system says when the program cannot be executed.
    pub fn spawn(command: Command) -> io::Result<(Self, Child)> {
        Self::spawn_counted(command, None)
    }

    /// The same, and counts `event` in the whole group, if it is given and this machine can count
    /// it.
    ///
    /// # Errors
    /// As [`Group::spawn`].
    pub fn spawn_counted(command: Command, event: Option<Event>) -> io::Result<(Self, Child)> {
        let marker = marker::new();
        let (sender, receiver) = mpsc::channel();
        // The death signal is tied to the thread that forks, not to the
        // process: so this thread lives exactly as long as the leader.
        thread::Builder::new().name("leader".to_owned()).spawn(move || {
            match start_leader(command, marker, event) {
                Ok((tree, child, count)) => {
                    let _ = sender.send(Ok((Arc::clone(&tree), child, count)));
                    tree.watch();
                }
                Err(error) => {
                    let _ = sender.send(Err(error));
                }
            }
        })?;
        let (tree, child, count) = receiver
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that starts processes died")))?;
        interrupt::wait_if_pending();
        Ok((Self { tree, count }, child))
    }

    /// The leader's process id.
    pub fn pid(&self) -> u32 {
        self.tree.leader.as_raw_nonzero().get().unsigned_abs()
    }

    /// What the event of [`Group::spawn_counted`] has counted so far; `None` if nothing is counted.
    pub fn counted(&self) -> Option<Count> {
        self.count.as_ref()?.read().ok()
    }

    /// The leader's exit status, if it has ended; never waits.
    pub fn exited(&self) -> Option<ExitStatus> {
        let exit = self.tree.lock().exit;
        if exit.is_some() {
            interrupt::wait_if_pending();
        }
        exit
    }

    /// Waits for the leader's end, at most `seconds`.
    pub fn wait(&self, seconds: f64) -> Option<ExitStatus> {
        let exit = self.tree.wait(Instant::now() + Duration::from_secs_f64(seconds));
        if exit.is_some() {
            interrupt::wait_if_pending();
        }
        exit
    }

    /// Counts the time that is granted to the group from now on.
    pub fn granted_time(&self) -> GrantedTime {
        let tree = Arc::clone(&self.tree);
        GrantedTime::of(move || tree.members())
    }

    /// The same, from its start on, which was just now.
    pub(crate) fn granted_time_since_start(&self) -> GrantedTime {
        let tree = Arc::clone(&self.tree);
        GrantedTime::of_new(move || tree.members())
    }

    /// Waits for the leader's end, until the group was granted `seconds` of time.
    pub fn wait_granted(&self, seconds: f64) -> Waited {
        let began = Instant::now();
        let mut time = self.granted_time();
        let mut granted = 0.0;
        loop {
            let left = Duration::from_secs_f64((seconds - granted).max(0.0));
            if let Some(status) = self.wait(left.min(GRANTED_INTERVAL).as_secs_f64()) {
                return Waited::Ended(status);
            }
            granted = time.look().as_secs_f64();
            if granted >= seconds {
                return Waited::Running;
            }
            if began.elapsed().as_secs_f64() > seconds * STARVED_FACTOR {
                return Waited::Starved;
            }
        }
    }

    /// Sends `signal` to the leader.
    pub fn signal_leader(&self, signal: Signal) {
        let state = self.tree.lock();
        if !state.reaped {
            // It may have ended meanwhile: then there is nobody to tell.
            let _ = kill_process(self.tree.leader, signal);
        }
    }

    /// Every live process of the tree, the leader first.
    pub fn members(&self) -> Vec<Process> {
        self.tree.members()
    }

    /// Asks the group to end (SIGTERM), kills what has not after
    /// `grace_seconds`, and reaps the leader.
    pub fn end(self, grace_seconds: f64) -> Ending {
        self.tree.end(grace_seconds)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.tree.lock().reaped {
            self.tree.end(0.0);
        }
    }
}

impl Stop for Tree {
    fn stop(&self, grace_seconds: f64) {
        self.end(grace_seconds);
    }
}

impl Tree {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the leader's end without reaping it, and publishes it.
    fn watch(&self) {
        let exit = loop {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            match waitid(WaitId::Pid(self.leader), options) {
                Ok(Some(status)) => {
                    let raw = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => code << 8,
                        (None, Some(signal)) => signal,
                        (None, None) => 0,
                    };
                    break ExitStatus::from_raw(raw);
                }
                Ok(None) | Err(Errno::INTR) => {}
                // Reaped under our feet: by then somebody has its status.
                Err(_) => return,
            }
        };
        self.lock().exit.get_or_insert(exit);
        self.changed.notify_all();
    }

    fn wait(&self, deadline: Instant) -> Option<ExitStatus> {
        let mut state = self.lock();
        loop {
            if state.exit.is_some() {
                return state.exit;
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Live processes that descend from the leader, by group, parent or marker.
    fn members(&self) -> Vec<Process> {
        let Ok(processes) = procfs::process::all_processes() else { return Vec::new() };
        let leader = self.leader.as_raw_nonzero().get();
        let mut members: Vec<Process> = Vec::new();
        for process in processes.flatten() {
            let Ok(stat) = process.stat() else { continue };
            let gone = matches!(stat.state, 'Z' | 'X');
            if gone || stat.starttime < self.started_ticks {
                continue;
            }
            if process.pid == leader || stat.pgrp == leader || self.marked(&process) {
                members.push(process);
            }
        }
        members.sort_by_key(|process| (process.pid != leader, process.pid));
        members
    }

    fn marked(&self, process: &Process) -> bool {
        marker::of(process).is_some_and(|marker| marker == self.marker)
    }

    /// See [`Group::end`]; also called by the interrupt handler, so it may run twice.
    fn end(&self, grace_seconds: f64) -> Ending {
        let asked = Instant::now();
        if !self.lock().reaped {
            let _ = kill_process_group(self.leader, Signal::TERM);
            // A stopped process sees the signal only once it goes on.
            let _ = kill_process_group(self.leader, Signal::CONT);
        }
        let ended = self.wait(asked + Duration::from_secs_f64(grace_seconds));
        let killed = ended.is_none();
        let seconds = asked.elapsed().as_secs_f64();
        let left_behind = if killed { 0 } else { self.left_behind() };
        self.kill_all();
        Ending { status: self.reap(), killed, left_behind, seconds }
    }

    /// How many outlive the leader by more than a moment.
    fn left_behind(&self) -> usize {
        let deadline = Instant::now() + Duration::from_secs_f64(AFTERLIFE_SECONDS_MAX);
        loop {
            let members = self.members();
            let Some(first) = members.first() else { return 0 };
            match deadline.checked_duration_since(Instant::now()) {
                Some(left) => wait_for_process(first.pid, left),
                None => return members.len(),
            }
        }
    }

    fn kill_all(&self) {
        for _ in 0..KILL_ROUNDS_MAX {
            if !self.lock().reaped {
                let _ = kill_process_group(self.leader, Signal::KILL);
            }
            let members = self.members();
            if members.is_empty() {
                return;
            }
            for member in &members {
                if let Some(pid) = Pid::from_raw(member.pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            wait_for_process(members[0].pid, Duration::from_millis(200));
        }
    }

    fn reap(&self) -> ExitStatus {
        // Unkillable (in an uninterruptible system call): leave it to init.
        let published = self.wait(Instant::now() + Duration::from_secs(2));
        let mut state = self.lock();
        if !state.reaped {
            // Before its id can be given to a stranger.
            guard::remove(self.leader);
        }
        if !state.reaped && published.is_some() {
            let _ = waitid(WaitId::Pid(self.leader), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
        state.reaped = true;
        published.unwrap_or_else(|| ExitStatus::from_raw(Signal::KILL.as_raw()))
    }
}

/// A leader that was started, and what counts an event in its group.
type Started = (Arc<Tree>, Child, Option<EventCount>);

fn start_leader(mut command: Command, marker: String, event: Option<Event>) -> io::Result<Started> {
    command.env(MARKER, &marker).process_group(0);
    let parent = getpid();
    // SAFETY: the closure runs between fork and exec; it makes two system calls
    // and touches neither locks nor the heap.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The tool may have died before that: then no signal will come.
            if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
        });
    }
    for _ in 0..BUSY_RETRIES_MAX {
        match start_registered(&mut command, &marker, event) {
            // A program that was written a moment ago may still be open for writing
            // in another thread's child, between its fork and its exec.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
    start_registered(&mut command, &marker, event)
}

/// Starts the leader and tells the interrupt handler of it, which forbids forking
/// before it looks at what runs: so it sees every child, and none half started.
fn start_registered(
    command: &mut Command,
    marker: &str,
    event: Option<Event>,
) -> io::Result<Started> {
    let _no_fork = NO_FORK.lock().unwrap_or_else(PoisonError::into_inner);
    guard::start();
    // Not before the guard is started, which outlives the group. Why nothing can be counted here,
    // `event_count::check` tells.
    let count = event.and_then(|event| EventCount::of_what_this_thread_starts(event).ok());
    let child = command.spawn()?;
    let leader = Pid::from_child(&child);
    guard::add(leader);
    let started_ticks = Process::new(leader.as_raw_nonzero().get())
        .and_then(|process| process.stat())
        .map_or(0, |stat| stat.starttime);
    let (marker, state, changed) = (marker.to_owned(), Mutex::default(), Condvar::new());
    let tree = Arc::new(Tree { leader, marker, started_ticks, state, changed });
    interrupt::register(&tree);
    Ok((tree, child, count))
}

/// Waits until process `pid` is gone, at most `time`.
fn wait_for_process(pid: i32, time: Duration) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout));
}
