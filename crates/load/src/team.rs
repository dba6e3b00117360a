//! What the threads of one trial tell each other: who is served, when the load begins, whether one
//! has failed, and when everything has arrived. With one thread it is that thread's own notes.
//!
//! A thread that waits for another goes on with its sockets meanwhile: a barrier would make what
//! arrives there seem late.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::LoadError;

/// A thread that waits for another looks this often.
const LOOK_INTERVAL_NS: u64 = 1_000_000;

/// A thread under load looks this often whether another has failed.
const FAILURE_LOOK_INTERVAL_NS: u64 = 50_000_000;

/// How a drain ended.
const QUIET: u8 = 1;
const BUSY: u8 = 2;

/// Shared by the threads of one trial.
#[derive(Debug)]
pub(crate) struct Team {
    /// Connections of all threads.
    pub(crate) connected: Arc<AtomicUsize>,
    /// When the load begins; 0 before that is known.
    start_ns: AtomicU64,
    has_failed: AtomicBool,
    /// The first one.
    error: Mutex<Option<LoadError>>,
    /// 0 while messages may arrive.
    drained: AtomicU8,
    members: Vec<Member>,
}

/// What one thread tells.
#[derive(Debug, Default)]
struct Member {
    /// How many of its clients have received a probe.
    served: AtomicUsize,
    is_draining: AtomicBool,
    has_everything: AtomicBool,
    last_arrival_ns: AtomicU64,
    /// When it last found nothing to read.
    looked_ns: AtomicU64,
}

/// What a thread that drains has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) last_arrival_ns: u64,
    /// Whether its clients have everything that was sent.
    pub(crate) has_everything: bool,
    /// Whether there is something to read.
    pub(crate) has_readable: bool,
}

/// Why a thread stops before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(LoadError),
    /// Another thread has failed.
    Told,
}

impl<E: Into<LoadError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Team {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            connected: Arc::default(),
            start_ns: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            error: Mutex::new(None),
            drained: AtomicU8::new(0),
            members: (0..threads).map(|_| Member::default()).collect(),
        }
    }

    fn is_alone(&self) -> bool {
        self.members.len() == 1
    }

    /// Until when a thread may wait, at most, that needs something of another one.
    pub(crate) fn look_ns(&self, now_ns: u64) -> u64 {
        if self.is_alone() { u64::MAX } else { now_ns + LOOK_INTERVAL_NS }
    }

    /// Until when a thread may wait, at most, that needs nothing of another one. It is the same for
    /// a while, because each change of an alarm is a system call.
    pub(crate) fn failure_look_ns(&self, now_ns: u64) -> u64 {
        let interval = now_ns / FAILURE_LOOK_INTERVAL_NS;
        if self.is_alone() { u64::MAX } else { (interval + 1) * FAILURE_LOOK_INTERVAL_NS }
    }

    /// How long before the first message all threads must know when it is due.
    pub(crate) fn lead_ns(&self) -> u64 {
        LOOK_INTERVAL_NS * if self.is_alone() { 1 } else { 10 }
    }

    /// Keeps the first error, and tells the others.
    pub(crate) fn fail(&self, stop: Stop) {
        if let Stop::Failed(error) = stop {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        self.has_failed.store(true, SeqCst);
    }

    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.has_failed.load(SeqCst) { Err(Stop::Told) } else { Ok(()) }
    }

    pub(crate) fn into_error(self) -> Option<LoadError> {
        self.error.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how many clients of a thread are served.
    pub(crate) fn serve(&self, index: usize, served: usize) {
        self.members[index].served.store(served, SeqCst);
    }

    /// How many clients of all threads are served.
    pub(crate) fn served(&self) -> usize {
        self.members.iter().map(|it| it.served.load(SeqCst)).sum()
    }

    pub(crate) fn begin(&self, start_ns: u64) {
        self.start_ns.store(start_ns, SeqCst);
    }

    /// When the load begins, if that is known.
    pub(crate) fn start_ns(&self) -> Option<u64> {
        Some(self.start_ns.load(SeqCst)).filter(|&it| it > 0)
    }

    /// Whether no thread sends any more.
    pub(crate) fn are_all_draining(&self) -> bool {
        self.members.iter().all(|it| it.is_draining.load(SeqCst))
    }

    pub(crate) fn drain(&self, index: usize) {
        self.members[index].is_draining.store(true, SeqCst);
    }

    /// Whether the drain is over, and if it is, whether the server had fallen silent.
    pub(crate) fn drained(&self) -> Option<bool> {
        match self.drained.load(SeqCst) {
            0 => None,
            how => Some(how == QUIET),
        }
    }

    /// Notes what a thread has found at `now_ns`. All have drained when none has anything to read
    /// and nothing has arrived for `quiet` (a third of it if everything has arrived); until when to
    /// wait otherwise.
    pub(crate) fn note(&self, index: usize, now_ns: u64, quiet: Duration, found: Found) -> u64 {
        let member = &self.members[index];
        let knows_all = self.are_all_draining();
        member.has_everything.store(found.has_everything && knows_all, SeqCst);
        member.last_arrival_ns.store(found.last_arrival_ns, SeqCst);
        if !found.has_readable && knows_all {
            member.looked_ns.store(now_ns, SeqCst);
        }
        let has_everything = self.members.iter().all(|it| it.has_everything.load(SeqCst));
        let quiet = if has_everything { quiet / 3 } else { quiet };
        let looked_ns = self.members.iter().map(|it| it.looked_ns.load(SeqCst)).min();
        // Read after what the others have looked at, so that no arrival before that is overlooked.
        let last_ns = self.members.iter().map(|it| it.last_arrival_ns.load(SeqCst)).max();
        let quiet_ns = u64::try_from(quiet.as_nanos()).unwrap_or(u64::MAX / 4);
        let quiet_at_ns = last_ns.unwrap_or_default() + quiet_ns;
        if looked_ns.unwrap_or_default() >= quiet_at_ns {
            self.end_drain(true);
        }
        // Past it, the others have still to look.
        let is_past = quiet_at_ns <= now_ns && !self.is_alone();
        self.look_ns(now_ns).min(if is_past { u64::MAX } else { quiet_at_ns })
    }

    /// Ends the drain for all, unless another thread has.
    pub(crate) fn end_drain(&self, is_quiet: bool) {
        let how = if is_quiet { QUIET } else { BUSY };
        // The first one decides.
        let _ = self.drained.compare_exchange(0, how, SeqCst, SeqCst);
    }
}

/// A thread that panics must not leave the others waiting.
pub(crate) struct TellsOfPanics<'team>(pub(crate) &'team Team);

impl Drop for TellsOfPanics<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(Stop::Told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET_TIME: Duration = Duration::from_nanos(300);

    fn found(last_arrival_ns: u64, has_everything: bool) -> Found {
        Found { last_arrival_ns, has_everything, has_readable: false }
    }

    #[test]
    fn a_drain_ends_when_every_thread_has_looked_after_the_quiet_time() {
        let team = Team::new(2);
        team.drain(0);
        team.note(0, 5_000, QUIET_TIME, found(1_000, false));
        assert_eq!(team.drained(), None, "the other one may still send");
        team.drain(1);
        team.note(0, 5_000, QUIET_TIME, found(1_000, false));
        team.note(1, 5_100, QUIET_TIME, found(4_900, false));
        assert_eq!(team.drained(), None, "something has just arrived there");
        team.note(1, 5_150, QUIET_TIME, found(4_900, false));
        team.note(0, 5_300, QUIET_TIME, found(1_000, false));
        assert_eq!(team.drained(), None, "the other one has not looked since");
        team.note(1, 5_180, QUIET_TIME, found(4_900, false));
        team.note(1, 5_190, QUIET_TIME, Found { has_readable: true, ..found(4_900, false) });
        assert_eq!(team.drained(), None);
        team.note(1, 5_400, QUIET_TIME, found(4_900, false));
        assert_eq!(team.drained(), Some(true));
        team.end_drain(false);
        assert_eq!(team.drained(), Some(true), "the first one decides");
    }

    #[test]
    fn a_drain_is_shorter_if_everybody_has_everything() {
        let team = Team::new(2);
        (0..2).for_each(|it| team.drain(it));
        team.note(0, 1_150, QUIET_TIME, found(1_000, true));
        team.note(1, 1_150, QUIET_TIME, found(1_000, false));
        assert_eq!(team.drained(), None);
        team.note(1, 1_150, QUIET_TIME, found(1_000, true));
        assert_eq!(team.drained(), Some(true));
    }

    #[test]
    fn one_thread_waits_for_nobody_and_the_first_error_is_kept() {
        let team = Team::new(1);
        assert_eq!((team.look_ns(5), team.failure_look_ns(5)), (u64::MAX, u64::MAX));
        assert!(team.check().is_ok());
        let error = |served| LoadError::NotServed { served, clients: 3, seconds: 1.0 };
        team.fail(error(1).into());
        team.fail(Stop::Told);
        team.fail(error(2).into());
        assert!(matches!(team.check(), Err(Stop::Told)));
        assert!(matches!(team.into_error(), Some(LoadError::NotServed { served: 1, .. })));
    }
}
