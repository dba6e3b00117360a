//! How a target is reached: started for each trial, here or on another machine, or running already.

use std::net::SocketAddr;

use zillions_harness::Launch;

use crate::remote::{Remote, RemoteError};

/// How a target is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// A fresh one is started for each trial.
    Launch(Launch),
    /// A fresh one is started for each trial on another machine.
    Remote(Remote),
    /// It runs already.
    Running(Running),
}

/// A service that the tool did not start, and does not stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Where clients connect, in turn; at least one address.
    pub addresses: Vec<SocketAddr>,
    /// Its processes, whose resources are measured; nothing is measured of them if there are none.
    pub pids: Vec<u32>,
}

impl Access {
    /// How it is started, if it is started on this machine.
    #[must_use]
    pub fn launch(&self) -> Option<&Launch> {
        match self {
            Self::Launch(launch) => Some(launch),
            Self::Remote(_) | Self::Running(_) => None,
        }
    }

    /// Why its machine cannot be asked any more, if it is another one and was lost.
    pub(crate) fn lost(&self) -> Option<RemoteError> {
        match self {
            Self::Remote(remote) => remote.link.lost(),
            Self::Launch(_) | Self::Running(_) => None,
        }
    }
}
