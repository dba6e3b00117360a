//! One case on one server: what it may use, and how long it may wait.

use std::fs::File;
use std::io::BufWriter;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zillions_harness::{Launch, PortError, PortLease, Server, StartError, StartOptions};
use zillions_ordering::{History, save};

use crate::case::Case;
use crate::cases;
use crate::fixture::{Fixture, Volume};
use crate::leisure::Stretch;
use crate::options::{
    CASE_SECONDS_MAX, Options, SUITE_SECONDS_MAX, SUITE_SECONDS_MAX_FLAWLESS,
    SUITE_SECONDS_MAX_WAITING,
};
use crate::target::{Access, Target};
use crate::verdict::{Outcome, Stop};

/// Sum of vain waits, counted in patiences, after which patience is worn: the
/// run has failed by then, and the rest should not take all afternoon.
const TIMEOUTS_HIT_MAX: u32 = 3;
/// What is left of patience then, as its part.
const PATIENCE_WORN: f64 = 0.3;
/// Starts that may fail before the rest of the suite is skipped, as long as
/// none has succeeded.
const FAILED_STARTS_MAX: u32 = 2;

/// Ports that are tried when somebody else takes them first.
const LEASE_ATTEMPTS_MAX: u32 = 3;

/// How long a server that somebody else runs has to say nothing before a case.
const SILENCE: Duration = Duration::from_millis(100);

/// What all cases of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) target: Target,
    pub(crate) options: Options,
    began: Instant,
    timeouts_hit_ms: AtomicU64,
    starts: AtomicU32,
    starts_failed: AtomicU32,
    pub(crate) a_case_failed: AtomicBool,
    /// How the first room's server took its time.
    waits_mostly: OnceLock<bool>,
    /// Servers that were started before their cases.
    ahead: Mutex<Vec<(Server, PortLease)>>,
}

impl Shared {
    pub(crate) fn new(target: Target, options: Options) -> Self {
        Self {
            target,
            options,
            began: Instant::now(),
            timeouts_hit_ms: AtomicU64::new(0),
            starts: AtomicU32::new(0),
            starts_failed: AtomicU32::new(0),
            a_case_failed: AtomicBool::new(false),
            waits_mostly: OnceLock::new(),
            ahead: Mutex::new(Vec::new()),
        }
    }

    /// Whether the server of the first case took its time and did nothing.
    pub(crate) fn waits_mostly(&self) -> bool {
        self.waits_mostly.get().copied().unwrap_or(false)
    }

    /// Starts `count` servers for cases to come, all at once. Those that do not
    /// start are left to their cases, which will say so.
    pub(crate) fn start_ahead(self: &Arc<Self>, count: usize) {
        let Access::Launch(launch) = &self.target.access else { return };
        let context = CaseContext::new(Arc::clone(self), &cases::all()[0]);
        let started: Vec<(Server, PortLease)> = thread::scope(|scope| {
            let starts: Vec<_> =
                (0..count).map(|_| scope.spawn(|| context.start(launch))).collect();
            starts.into_iter().filter_map(|start| start.join().ok()?.ok()).collect()
        });
        self.ahead().extend(started);
    }

    /// Ends the servers that no case took.
    pub(crate) fn end_those_ahead(&self) {
        self.ahead().clear();
    }

    fn ahead(&self) -> MutexGuard<'_, Vec<(Server, PortLease)>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why no further case should begin, if that is so.
    pub(crate) fn over(&self) -> Option<Stop> {
        let failed = self.starts_failed.load(Ordering::Relaxed);
        if self.starts.load(Ordering::Relaxed) == 0 && failed >= FAILED_STARTS_MAX {
            return Some(Stop::Skip("the server does not start".to_owned()));
        }
        if self.options.fail_fast && self.a_case_failed.load(Ordering::Relaxed) {
            return Some(Stop::Skip("another case has failed".to_owned()));
        }
        let seconds_max = if self.a_case_failed.load(Ordering::Relaxed) {
            SUITE_SECONDS_MAX
        } else {
            SUITE_SECONDS_MAX_FLAWLESS
        };
        (self.began.elapsed() > Duration::from_secs(seconds_max)).then(|| {
            Stop::Inconclusive(format!(
                "not run: the {seconds_max} s for one target were used up by other cases; \
                 choose it alone with --case"
            ))
        })
    }
}

/// One case on one server.
#[derive(Debug, Clone)]
pub struct CaseContext {
    shared: Arc<Shared>,
    case: &'static Case,
}

impl CaseContext {
    pub(crate) fn new(shared: Arc<Shared>, case: &'static Case) -> Self {
        Self { shared, case }
    }

    /// The case.
    pub fn case(&self) -> &'static Case {
        self.case
    }

    /// The seed of this case: follows from the run's and the case's id, so
    /// that a case run alone does what it did among others.
    pub fn seed(&self) -> u64 {
        // FNV-1a: the same with every compiler, unlike the standard hasher.
        let seed = self.shared.options.seed.to_le_bytes();
        seed.iter().chain(self.case.id.as_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// How long to wait for what has to come.
    pub fn patience(&self) -> Duration {
        let patience = self.shared.options.patience;
        let waited = Duration::from_millis(self.shared.timeouts_hit_ms.load(Ordering::Relaxed));
        if waited < patience * TIMEOUTS_HIT_MAX {
            patience
        } else {
            patience.mul_f64(PATIENCE_WORN)
        }
    }

    pub(crate) fn timeout_hit(&self, time: Duration) {
        self.shared.timeouts_hit_ms.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether a case that has taken `time` so far may go on waiting.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check_time(&self, time: Duration) -> Result<(), Stop> {
        let shared = &self.shared;
        let case_max = CASE_SECONDS_MAX * u64::from(shared.options.rounds.max(1));
        let failed = shared.a_case_failed.load(Ordering::Relaxed);
        let reason = if time > Duration::from_secs(case_max) {
            format!("broken off after {case_max} s: the server answers, but too slowly")
        } else if failed && shared.began.elapsed() > Duration::from_secs(SUITE_SECONDS_MAX_WAITING)
        {
            format!(
                "broken off: the {SUITE_SECONDS_MAX_WAITING} s for one target were used up; \
                 choose it alone with --case"
            )
        } else {
            return Ok(());
        };
        Err(Stop::Inconclusive(reason))
    }

    /// Whether only the quick selection was asked for.
    pub fn quick(&self) -> bool {
        self.shared.options.quick
    }

    /// The volume that was asked for, where `deliveries` and `seconds` are
    /// what a default run does. A slow server ends by time, a fast one by number.
    pub fn volume(&self, deliveries: u64, seconds: f64) -> Volume {
        let factor = f64::from(self.shared.options.rounds.max(1));
        let factor = if self.quick() { factor / 4.0 } else { factor };
        Volume {
            deliveries: (deliveries as f64 * factor) as u64,
            time: Duration::from_secs_f64(seconds * factor),
        }
    }

    /// How the server is started.
    ///
    /// # Errors
    /// A harness error for a server that somebody else runs.
    pub fn launch(&self) -> Result<&Launch, Stop> {
        match &self.shared.target.access {
            Access::Launch(launch) => Ok(launch),
            Access::Connect(_) => {
                Err(Stop::Error("this case needs a server that the suite starts".to_owned()))
            }
        }
    }

    /// A free port on the IPv4 loopback address.
    ///
    /// # Errors
    /// A harness error when there is none.
    pub fn lease(&self) -> Result<PortLease, Stop> {
        PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .map_err(|error: PortError| Stop::Error(error.to_string()))
    }

    /// A free port on `ip`; `None` where this machine has no such address.
    ///
    /// # Errors
    /// A harness error when there is none.
    pub fn lease_on(&self, ip: IpAddr) -> Result<Option<PortLease>, Stop> {
        match PortLease::take(ip) {
            Ok(lease) => Ok(Some(lease)),
            Err(PortError::Unusable { .. }) => Ok(None),
            Err(error) => Err(Stop::Error(error.to_string())),
        }
    }

    /// Starts `launch` on a free port of the IPv4 loopback address. The port
    /// is the server's as long as the lease is held.
    ///
    /// # Errors
    /// A failure when the server does not get ready, a harness error when no
    /// port can be had.
    pub fn start(&self, launch: &Launch) -> Result<(Server, PortLease), Stop> {
        let mut attempt = 1;
        loop {
            let lease = self.lease()?;
            match self.start_on(launch, &lease, false) {
                // Somebody else's client was faster: the next port, then.
                Err(Stop::Error(_)) if attempt < LEASE_ATTEMPTS_MAX => attempt += 1,
                other => return other.map(|server| (server, lease)),
            }
        }
    }

    /// Starts `launch` on the leased address, where `probe_connection` is set
    /// with a connection made the moment its line appears.
    ///
    /// # Errors
    /// A failure when the server does not get ready or refuses that
    /// connection, a harness error when the address is not free.
    pub fn start_on(
        &self,
        launch: &Launch,
        lease: &PortLease,
        probe_connection: bool,
    ) -> Result<Server, Stop> {
        let options = StartOptions {
            ready_seconds_max: self.shared.options.patience.as_secs_f64(),
            probe_connection,
            ..StartOptions::default()
        };
        let address = lease.address();
        match Server::start(launch, &address.to_string(), &options) {
            Ok(server) => {
                self.shared.starts.fetch_add(1, Ordering::Relaxed);
                Ok(server)
            }
            Err(error @ (StartError::Address(_) | StartError::Log { .. })) => {
                Err(Stop::Error(error.to_string()))
            }
            Err(error) => {
                self.shared.starts_failed.fetch_add(1, Ordering::Relaxed);
                Err(Stop::fail(
                    format!("'listening on {address}' on standard output, and then connections"),
                    error.to_string(),
                )
                .breaking("START-2"))
            }
        }
    }

    /// Plays `act` in a room with a fresh server, or with the running one.
    ///
    /// # Errors
    /// Whatever ended the case early.
    pub fn with_fixture(&self, act: impl FnOnce(&mut Fixture) -> Outcome) -> Outcome {
        match &self.shared.target.access {
            Access::Launch(launch) => {
                let ahead = self.shared.ahead().pop();
                let (server, lease) = match ahead {
                    Some(started) => started,
                    None => self.start(launch)?,
                };
                self.with_server(server, lease.address(), act)
            }
            Access::Connect(address) => {
                self.await_silence(*address)?;
                let mut fixture = Fixture::open(self.clone(), None, *address)?;
                let outcome = self.act(&mut fixture, act);
                fixture.conclude(outcome)
            }
        }
    }

    /// Listens to a server that others may use until it says nothing: what an
    /// earlier case has left behind is over then, and strangers are found out.
    fn await_silence(&self, address: SocketAddr) -> Result<(), Stop> {
        let mut fixture = Fixture::open(self.clone(), None, address)?;
        fixture.recorder.ignore_plain();
        let ear = match fixture.connect("listener") {
            Ok(ear) => ear,
            Err(_) if self.shared.starts.load(Ordering::Relaxed) == 0 => {
                self.shared.starts_failed.fetch_add(1, Ordering::Relaxed);
                return Err(Stop::Error(format!(
                    "no server can be reached at {address}: start it first"
                )));
            }
            Err(stop) => return Err(stop.breaking("LIFE-1")),
        };
        self.shared.starts.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        loop {
            let heard = fixture.client(ear).bytes_received();
            fixture.pump_until(SILENCE, |_| false)?;
            if fixture.client(ear).bytes_received() == heard {
                return Ok(());
            }
            if began.elapsed() > self.patience() {
                return Err(Stop::Error(format!(
                    "somebody else talks on the server at {address}: the suite needs it for itself"
                )));
            }
        }
    }

    /// Plays `act` in a room with a server that this case has started.
    ///
    /// # Errors
    /// Whatever ended the case early.
    pub fn with_server(
        &self,
        server: Server,
        address: SocketAddr,
        act: impl FnOnce(&mut Fixture) -> Outcome,
    ) -> Outcome {
        let mut fixture = Fixture::open(self.clone(), Some(server), address)?;
        let stretch = Stretch::begin();
        let outcome = self.act(&mut fixture, act);
        if let Ok(server) = fixture.server() {
            let start = Duration::from_secs_f64(server.start_seconds());
            self.shared
                .waits_mostly
                .get_or_init(|| stretch.was_mostly_waiting(start, server.pid()));
        }
        fixture.conclude(outcome)
    }

    /// Plays `act`, and writes the history down if one was kept and is wanted,
    /// however it ended.
    fn act(&self, fixture: &mut Fixture, act: impl FnOnce(&mut Fixture) -> Outcome) -> Outcome {
        let outcome = act(fixture);
        if let (Some(folder), Some(history)) =
            (&self.shared.options.history_folder, fixture.recorder.history())
        {
            self.save_history(history, folder)?;
        }
        outcome
    }

    fn save_history(&self, history: &History, folder: &Path) -> Result<(), Stop> {
        let names = [self.shared.target.name.as_str(), self.case.id];
        let name = names.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let path = folder.join(format!("{}.history", name.trim_matches('-')));
        let saved = File::create(&path).and_then(|file| save(history, BufWriter::new(file)));
        saved.map_err(|error| {
            Stop::Error(format!("cannot write the history '{}': {error}", path.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn shared(options: Options) -> Shared {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 1);
        Shared::new(Target::connect(address), options)
    }

    fn context(options: Options) -> CaseContext {
        CaseContext::new(Arc::new(shared(options)), &cases::all()[0])
    }

    /// What all cases share, begun so many seconds ago.
    fn begun(seconds: u64, a_case_failed: bool) -> Shared {
        let began = Instant::now().checked_sub(Duration::from_secs(seconds)).expect("a time");
        let shared = Shared { began, ..shared(Options::default()) };
        shared.a_case_failed.store(a_case_failed, Ordering::Relaxed);
        shared
    }

    #[test]
    fn each_case_and_each_seed_has_a_chance_of_its_own() {
        let of_one: HashSet<u64> =
            (0..256).map(|seed| context(Options { seed, ..Options::default() }).seed()).collect();
        assert_eq!(of_one.len(), 256);
        let shared = Arc::new(shared(Options::default()));
        let of_all: HashSet<u64> = cases::all()
            .iter()
            .map(|case| CaseContext::new(Arc::clone(&shared), case).seed())
            .collect();
        assert_eq!(of_all.len(), cases::all().len());
    }

    #[test]
    fn patience_is_worn_after_three_vain_waits() {
        let context = context(Options::default());
        context.timeout_hit(Duration::from_millis(29_999));
        assert_eq!(context.patience(), Duration::from_secs(10));
        context.timeout_hit(Duration::from_millis(1));
        assert_eq!(context.patience(), Duration::from_secs(3));
    }

    #[test]
    fn a_volume_grows_with_rounds_and_is_a_quarter_in_the_quick_selection() {
        let volume = |quick, rounds| {
            let volume = context(Options { quick, rounds, ..Options::default() }).volume(4000, 2.0);
            (volume.deliveries, volume.time.as_millis())
        };
        assert_eq!(volume(false, 1), (4000, 2000));
        assert_eq!(volume(true, 1), (1000, 500));
        assert_eq!(volume(false, 3), (12_000, 6000));
        assert_eq!(volume(false, 0), (4000, 2000), "no round at all is one");
    }

    #[test]
    fn nothing_is_begun_once_the_time_for_a_target_is_over() {
        let (failed, flawless) = (SUITE_SECONDS_MAX, SUITE_SECONDS_MAX_FLAWLESS);
        assert!(begun(failed - 5, true).over().is_none());
        assert!(matches!(begun(failed + 1, true).over(), Some(Stop::Inconclusive(_))));
        assert!(begun(failed + 1, false).over().is_none());
        assert!(matches!(begun(flawless + 1, false).over(), Some(Stop::Inconclusive(_))));
    }

    #[test]
    fn nothing_is_begun_when_no_server_starts_or_one_failure_is_enough() {
        let shared = shared(Options { fail_fast: true, ..Options::default() });
        assert!(shared.over().is_none());
        shared.a_case_failed.store(true, Ordering::Relaxed);
        assert!(matches!(shared.over(), Some(Stop::Skip(_))));
        let shared = begun(0, true);
        shared.starts_failed.store(FAILED_STARTS_MAX, Ordering::Relaxed);
        assert!(matches!(shared.over(), Some(Stop::Skip(_))));
        shared.starts.store(1, Ordering::Relaxed);
        assert!(shared.over().is_none());
    }

    #[test]
    fn a_case_that_waits_for_minutes_is_broken_off() {
        let all_time = Duration::from_secs(CASE_SECONDS_MAX);
        let longer = all_time + Duration::from_millis(1);
        let usual = context(Options::default());
        assert!(usual.check_time(all_time).is_ok());
        assert!(matches!(usual.check_time(longer), Err(Stop::Inconclusive(_))));
        let longer_rounds = context(Options { rounds: 2, ..Options::default() });
        assert!(longer_rounds.check_time(longer).is_ok());
        assert!(longer_rounds.check_time(longer * 2).is_err());
        let waiting = |seconds, failed| {
            let shared = Arc::new(begun(seconds, failed));
            CaseContext::new(shared, &cases::all()[0]).check_time(Duration::from_secs(1))
        };
        assert!(waiting(SUITE_SECONDS_MAX_WAITING + 1, false).is_ok());
        assert!(waiting(SUITE_SECONDS_MAX_WAITING - 5, true).is_ok());
        assert!(waiting(SUITE_SECONDS_MAX_WAITING + 1, true).is_err());
    }
}
