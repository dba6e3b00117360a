//! `zillions bench --connect`: a service that runs already, at one address or at several.

use std::net::SocketAddr;

use clap::Args;
use zillions_bench::{Access, Running, Target, WireFormat};
use zillions_conformance::Target as CheckTarget;
use zillions_harness::Sample;
use zillions_report::record::TargetRecord;

use super::target::Candidate;
use crate::addresses;
use crate::failure::Failure;

/// What runs already.
#[derive(Debug, Args)]
pub(super) struct RunningService {
    /// Measure a running service, which must have no other users meanwhile. May be repeated, once
    /// for each node: clients are spread over them, and all together must see one order.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["targets", "Filters", "all", "brokers"])]
    connect: Vec<String>,
    /// With --connect: a process of the service on this machine, whose CPU time, memory and threads
    /// are measured; may be repeated. Without it these figures are absent.
    #[arg(long = "pid", value_name = "PID", requires = "connect")]
    pids: Vec<u32>,
}

impl RunningService {
    /// Whether a running service is to be measured.
    pub(super) fn is_asked_for(&self) -> bool {
        !self.connect.is_empty()
    }
}

/// The running service, if one is asked for.
pub(super) fn find(arguments: &RunningService) -> Result<Vec<Candidate>, Failure> {
    if !arguments.is_asked_for() {
        return Ok(Vec::new());
    }
    let addresses = addresses::parse_all(&arguments.connect)?;
    let pids = arguments.pids.clone();
    if !pids.is_empty() {
        Sample::of_pids(&pids).map_err(Failure::usage)?;
    }
    addresses::somebody_listens(&addresses)?;
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let name = texts.join(", ");
    let record = TargetRecord { name, addresses: texts, ..TargetRecord::default() };
    let check_target = Some(CheckTarget::connect_to_all(addresses.clone()));
    let access = Some(Access::Running(Running { addresses, pids }));
    let target = Target { record, access, wire: WireFormat::Zillions };
    Ok(vec![Candidate { target, check_target }])
}
