//! What one case may use: the limits of the run, the servers that it may start, and
//! fixtures around them.

use std::fs::File;
use std::io::BufWriter;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use zillions_harness::Server;
use zillions_ordering::{History, save};

use crate::fixture::{ClientIndex, FENCE_BYTES, Fixture};
use crate::limits::RunLimits;
use crate::options::Options;
use crate::servers::Servers;
use crate::target::{Access, Target};
use crate::traits::Traits;
use crate::verdict::{Level, Outcome, Stop};
use crate::waiting::WaitMeter;

/// How long a server that the suite did not start must be silent before a case.
const SILENCE: Duration = Duration::from_millis(100);
/// How long its nodes may take to deliver what was said before a case.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(3);

/// What all cases of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) target: Target,
    pub(crate) options: Options,
    pub(crate) limits: Arc<RunLimits>,
    pub(crate) servers: Arc<Servers>,
    /// Whether the first case mostly waited for its server.
    waits_mostly: OnceLock<bool>,
    /// Set once what was said at one node did not reach the others: that is not waited for again.
    is_apart: AtomicBool,
}

impl Shared {
    pub(crate) fn new(target: Target, options: Options) -> Self {
        let limits = Arc::new(RunLimits::new(options.clone()));
        let ready_seconds_max = options.patience.as_secs_f64();
        let servers = Servers::new(target.access.clone(), ready_seconds_max, Arc::clone(&limits));
        Self {
            target,
            options,
            limits,
            servers: Arc::new(servers),
            waits_mostly: OnceLock::new(),
            is_apart: AtomicBool::new(false),
        }
    }

    /// Whether the first case mostly waited, for a server that did nothing meanwhile.
    pub(crate) fn waits_mostly(&self) -> bool {
        self.waits_mostly.get().copied().unwrap_or(false)
    }
}

/// What one case may use.
#[derive(Debug, Clone)]
pub struct CaseContext {
    /// How long it may wait, and how much load it makes.
    pub limits: Arc<RunLimits>,
    /// Starts servers.
    pub servers: Arc<Servers>,
    shared: Arc<Shared>,
    case_id: &'static str,
    level: Level,
    traits: Traits,
}

impl CaseContext {
    pub(crate) fn new(
        shared: Arc<Shared>,
        case_id: &'static str,
        level: Level,
        traits: Traits,
    ) -> Self {
        let (limits, servers) = (Arc::clone(&shared.limits), Arc::clone(&shared.servers));
        Self { limits, servers, shared, case_id, level, traits }
    }

    /// The seed of this case: follows from the run's and the case's id, so
    /// that a case run alone does what it did among others.
    pub(crate) fn seed(&self) -> u64 {
        // FNV-1a: the same with every compiler, unlike the standard hasher.
        let seed = self.shared.options.seed.to_le_bytes();
        seed.iter().chain(self.case_id.as_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    fn open(&self, server: Option<Server>, addresses: &[SocketAddr]) -> Result<Fixture, Stop> {
        Fixture::open(
            Arc::clone(&self.limits),
            self.seed(),
            (self.level, self.traits.bound),
            server,
            addresses,
        )
    }

    /// Runs `act` in a fixture with a fresh server, or with the one that runs already.
    ///
    /// # Errors
    /// What ended the case early.
    pub fn with_fixture(&self, act: impl FnOnce(&mut Fixture) -> Outcome) -> Outcome {
        match &self.shared.target.access {
            Access::Launch(_) => {
                let (server, lease) = self.servers.take()?;
                self.with_server(server, lease.address(), act)
            }
            Access::Connect(addresses) => {
                self.await_silence(addresses)?;
                let mut fixture = self.open(None, self.of_these(addresses))?;
                let outcome = self.act(&mut fixture, act);
                fixture.conclude(outcome)
            }
        }
    }

    /// The addresses that this case uses: all, or one that follows from its seed.
    fn of_these<'a>(&self, addresses: &'a [SocketAddr]) -> &'a [SocketAddr] {
        if !self.traits.one_node {
            return addresses;
        }
        let one = (self.seed() % addresses.len() as u64) as usize;
        &addresses[one..=one]
    }

    /// Listens to a server that others may use until it is silent: what an
    /// earlier case has left behind is over then, and other users are found out. Where the kernel
    /// tells, what waits in the server's sockets counts, too.
    ///
    /// Of several nodes one may lag behind another without a byte that could be seen. So each
    /// listener sends a message, and each has time to receive all of them before the case begins: then
    /// whatever was ordered before has been delivered at its node.
    fn await_silence(&self, addresses: &[SocketAddr]) -> Result<(), Stop> {
        let mut fixture = self.open(None, addresses)?;
        fixture.recorder.ignore_plain();
        let mut listeners = Vec::with_capacity(addresses.len());
        for _ in addresses {
            let address = fixture.next_address();
            match fixture.connect("listener") {
                Ok(listener) => listeners.push(listener),
                // The machine's fault, not the server's.
                Err(stop @ Stop::Error(_)) => return Err(stop),
                Err(_) if self.limits.none_started() => {
                    self.limits.server_failed();
                    return Err(Stop::Error(format!(
                        "no server can be reached at {address}: start it first"
                    )));
                }
                Err(stop) => return Err(stop.breaking("LIFE-1")),
            }
        }
        self.limits.server_started();
        let (began, patience) = (Instant::now(), self.limits.patience());
        if fixture.pump_until_silent(SILENCE, |_| began.elapsed() > patience)? {
            return Err(Stop::Error(format!(
                "the server at {} has other users: the suite needs it for itself",
                self.shared.target.name
            )));
        }
        if listeners.len() > 1 && !self.shared.is_apart.load(Ordering::Relaxed) {
            let sent: Vec<(ClientIndex, u32)> =
                listeners.iter().map(|&from| (from, fixture.send(from, FENCE_BYTES))).collect();
            fixture.flush()?;
            // Where they do not arrive the case will tell what is wrong.
            let caught_up = fixture.pump_until(CAUGHT_UP_MAX, |fixture| {
                let mut pairs = listeners.iter().flat_map(|to| sent.iter().map(move |it| (to, it)));
                pairs.all(|(&to, &(from, sequence))| {
                    fixture.recorder.tally(to, from).latest >= Some(sequence)
                })
            })?;
            self.shared.is_apart.store(!caught_up, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Runs `act` in a fixture with a server that this case has started.
    ///
    /// # Errors
    /// What ended the case early.
    pub fn with_server(
        &self,
        server: Server,
        address: SocketAddr,
        act: impl FnOnce(&mut Fixture) -> Outcome,
    ) -> Outcome {
        let mut fixture = self.open(Some(server), &[address])?;
        let meter = WaitMeter::start();
        let outcome = self.act(&mut fixture, act);
        if let Ok(server) = fixture.server() {
            let start = Duration::from_secs_f64(server.start_seconds());
            self.shared.waits_mostly.get_or_init(|| meter.mostly_waited(start, server.pid()));
        }
        fixture.conclude(outcome)
    }

    /// Runs `act`, and writes the history to a file if one was kept and is wanted,
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
        let names = [self.shared.target.name.as_str(), self.case_id];
        let name = names.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let path = folder.join(format!("{}.history", name.trim_matches('-')));
        let comment = format!("{}, seed {}", self.case_id, self.shared.options.seed);
        let saved =
            File::create(&path).and_then(|file| save(history, &comment, BufWriter::new(file)));
        saved.map_err(|error| {
            Stop::Error(format!("cannot write the history '{}': {error}", path.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use super::*;

    fn seed(seed: u64, case_id: &'static str) -> u64 {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 1);
        let options = Options { seed, ..Options::default() };
        let shared = Arc::new(Shared::new(Target::connect(address), options));
        CaseContext::new(shared, case_id, Level::Must, Traits::NONE).seed()
    }

    const CASES: [&str; 4] = ["start/ipv6", "start/says-why", "life/ipv6", "life/idle-cpu"];

    #[test]
    fn each_case_and_each_seed_of_a_run_has_a_seed_of_its_own() {
        let runs = 0..256;
        let seeds: HashSet<u64> =
            runs.flat_map(|run| CASES.map(|case_id| seed(run, case_id))).collect();
        assert_eq!(seeds.len(), 256 * CASES.len());
    }
}
