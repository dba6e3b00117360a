//! The server of one trial: started for it, or running already.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use zillions_harness::{Sample, Server};

use crate::access::Running;
use crate::remote::{RemoteReading, RemoteServer};

/// The server of one trial.
pub(crate) enum Subject<'a> {
    /// Started for the trial.
    Started(Server),
    /// Started for the trial on another machine.
    Remote(RemoteServer),
    /// Running already.
    Running(&'a Running),
}

impl Subject<'_> {
    /// Where clients connect, in turn.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Started(server) => vec![server.address()],
            Self::Remote(server) => vec![server.address()],
            Self::Running(running) => running.addresses.clone(),
        }
    }

    /// What another machine says of it, if it runs on one.
    pub(crate) fn remote_reading(&self) -> Option<RemoteReading> {
        match self {
            Self::Remote(server) => server.reading(),
            _ => None,
        }
    }

    /// What it uses now, on this machine; `None` where nothing tells.
    pub(crate) fn sample(&self) -> Option<Sample> {
        match self {
            Self::Started(server) => server.sample().ok(),
            Self::Remote(_) => None,
            Self::Running(running) if running.pids.is_empty() => None,
            Self::Running(running) => Sample::of_pids(&running.pids).ok(),
        }
    }

    /// The processes that are no others' while it is measured: its own, and this one.
    pub(crate) fn processes(&self) -> BTreeSet<i32> {
        let own: Vec<u32> = match self {
            Self::Started(server) => server.pids(),
            // They are on another machine.
            Self::Remote(_) => Vec::new(),
            Self::Running(running) => running.pids.clone(),
        };
        own.into_iter().chain([std::process::id()]).map(|pid| pid as i32).collect()
    }

    /// Whether there must be samples of it.
    pub(crate) fn is_sampled(&self) -> bool {
        match self {
            Self::Started(_) | Self::Remote(_) => true,
            Self::Running(running) => !running.pids.is_empty(),
        }
    }

    /// How it ended, if it has, waiting for that for at most `seconds`. Of one that was running
    /// already only its connections tell.
    pub(crate) fn ended(&self, seconds: f64) -> Option<String> {
        match self {
            Self::Started(server) => {
                let status = if seconds > 0.0 { server.wait(seconds) } else { server.exited() };
                status.map(|status| status.to_string())
            }
            Self::Remote(server) => server.ended(seconds),
            Self::Running(_) => None,
        }
    }

    /// From the start of its process to its line, in seconds, if it was started.
    pub(crate) fn start_seconds(&self) -> Option<f64> {
        match self {
            Self::Started(server) => Some(server.start_seconds()),
            Self::Remote(server) => Some(server.start_seconds()),
            Self::Running(_) => None,
        }
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self, lines: usize) -> Vec<String> {
        match self {
            Self::Started(server) => server.log_tail(lines),
            Self::Remote(server) => server.log_tail(lines),
            Self::Running(_) => Vec::new(),
        }
    }

    /// Stops what was started, with a grace of so many seconds; dropping stops one that runs on
    /// another machine.
    pub(crate) fn stop(self, seconds: f64) {
        if let Self::Started(server) = self {
            server.stop(seconds);
        }
    }
}
