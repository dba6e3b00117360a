//! How the servers of a run are started: on which addresses, and which of them ahead
//! of their cases.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use zillions_harness::{Launch, PortError, PortLease, Server, StartError, StartOptions};

use crate::limits::RunLimits;
use crate::target::Access;
use crate::verdict::Stop;

/// Ports that are tried when another program takes them first.
const LEASE_ATTEMPTS_MAX: u32 = 3;

/// Starts the servers of one run.
#[derive(Debug)]
pub struct Servers {
    access: Access,
    /// How long one may take to get ready, in seconds.
    ready_seconds_max: f64,
    limits: Arc<RunLimits>,
    /// Servers that were started ahead of their cases.
    ahead: Mutex<Vec<(Server, PortLease)>>,
}

impl Servers {
    pub(crate) fn new(access: Access, ready_seconds_max: f64, limits: Arc<RunLimits>) -> Self {
        Self { access, ready_seconds_max, limits, ahead: Mutex::new(Vec::new()) }
    }

    /// How the server is started.
    ///
    /// # Errors
    /// A harness error for a server that the suite did not start.
    pub fn launch(&self) -> Result<&Launch, Stop> {
        match &self.access {
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
    /// port is free.
    pub fn start(&self, launch: &Launch) -> Result<(Server, PortLease), Stop> {
        let mut attempt = 1;
        loop {
            let lease = self.lease()?;
            match self.start_on(launch, &lease, false) {
                // Another program took the port first: try the next one.
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
            ready_seconds_max: self.ready_seconds_max,
            probe_connection,
            ..StartOptions::default()
        };
        let address = lease.address();
        match Server::start(launch, &address.to_string(), &options) {
            Ok(server) => {
                self.limits.server_started();
                Ok(server)
            }
            Err(error) if error.is_the_machines() => {
                if !matches!(error, StartError::Address(_)) {
                    self.limits.server_failed();
                }
                Err(Stop::Error(error.to_string()))
            }
            Err(error @ StartError::Starved { .. }) => Err(Stop::Inconclusive(error.to_string())),
            Err(error) => {
                self.limits.server_failed();
                Err(Stop::fail(
                    format!("'listening on {address}' on standard output, and then connections"),
                    error.to_string(),
                )
                .breaking("START-2"))
            }
        }
    }

    /// A server with the launch of the run: one that was started ahead, if there is one.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn take(&self) -> Result<(Server, PortLease), Stop> {
        let ahead = self.ahead().pop();
        ahead.map_or_else(|| self.start(self.launch()?), Ok)
    }

    /// Starts `count` servers for cases to come, all at once. Those that do not
    /// start are left to their cases, which will say so.
    pub(crate) fn start_ahead(&self, count: usize) {
        let Ok(launch) = self.launch() else { return };
        let started: Vec<(Server, PortLease)> = thread::scope(|scope| {
            let starts: Vec<_> = (0..count).map(|_| scope.spawn(|| self.start(launch))).collect();
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
}
