//! A program on another machine, and a server that was started from it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::error::RemoteError;
use super::link::Link;
use super::message::{Answer, Reading, Request};
use crate::patience::STOP_SECONDS_MAX;

/// A program on another machine, which is started for each trial.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The way there.
    pub link: Arc<Link>,
    /// Its path there.
    pub program: String,
    /// Where its servers listen; reached from here.
    pub ip: IpAddr,
}

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.link, &other.link)
            && (&self.program, self.ip) == (&other.program, other.ip)
    }
}

impl Eq for Remote {}

/// Why a server there was not started.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) reason: String,
    /// Whether the server is not to blame.
    pub(crate) is_the_machines: bool,
}

impl From<RemoteError> for NotStarted {
    fn from(error: RemoteError) -> Self {
        Self { reason: error.reason, is_the_machines: true }
    }
}

impl Remote {
    /// Starts it on a free port there.
    ///
    /// # Errors
    /// [`RemoteError`] if it does not get ready, or the connection is lost.
    pub fn start(&self) -> Result<RemoteServer, RemoteError> {
        self.try_start().map_err(|it| RemoteError { reason: it.reason })
    }

    pub(crate) fn try_start(&self) -> Result<RemoteServer, NotStarted> {
        let request = Request::Start { program: self.program.clone(), ip: self.ip };
        match self.link.ask(&request)? {
            Answer::Started { address, start_seconds } => {
                Ok(RemoteServer { link: Arc::clone(&self.link), address, start_seconds })
            }
            Answer::Refused { reason, is_the_machines } => {
                let reason = format!("on '{}': {reason}", self.link.host());
                Err(NotStarted { reason, is_the_machines })
            }
            other => Err(self.link.unexpected(&other).into()),
        }
    }
}

/// A server that runs there; stopped when dropped.
#[derive(Debug)]
pub struct RemoteServer {
    link: Arc<Link>,
    address: SocketAddr,
    start_seconds: f64,
}

impl RemoteServer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn start_seconds(&self) -> f64 {
        self.start_seconds
    }

    pub(crate) fn reading(&self) -> Option<Reading> {
        match self.link.ask(&Request::Sample) {
            Ok(Answer::Reading(reading)) => Some(reading),
            _ => None,
        }
    }

    pub(crate) fn ended(&self, wait_seconds: f64) -> Option<String> {
        match self.link.ask(&Request::Ended { wait_seconds }) {
            Ok(Answer::State { ended }) => ended,
            _ => None,
        }
    }

    pub(crate) fn log_tail(&self, lines: usize) -> Vec<String> {
        match self.link.ask(&Request::Log { lines }) {
            Ok(Answer::Log { lines }) => lines,
            _ => Vec::new(),
        }
    }
}

impl Drop for RemoteServer {
    fn drop(&mut self) {
        // If the connection is lost, the helper stops it by itself.
        let _ = self.link.ask(&Request::Stop { grace_seconds: STOP_SECONDS_MAX });
    }
}
