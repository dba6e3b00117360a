//! The facts of this machine, as they are recorded.

use zillions_harness::event_count::{self, Event};
use zillions_harness::machine::Machine;
use zillions_harness::resources;
use zillions_report::record::MachineRecord;

use crate::pin::Pinning;

/// What this machine is now, and who has which processors.
pub(crate) fn record(pinning: &Pinning) -> MachineRecord {
    let machine = Machine::read();
    MachineRecord {
        kernel: machine.kernel,
        cpu_model: machine.cpu_model,
        architecture: machine.architecture,
        cpus: pinning.all.len() as u32,
        cpu_quota: resources::cpu_quota(),
        memory_bytes: machine.memory_bytes,
        cpu_governor: machine.cpu_governor,
        load_average: machine.load_average,
        descriptor_limit: machine.descriptor_limit,
        server_cpus: pinning.pinned_servers(),
        generator_cpu: pinning.generator.first().copied(),
        generator_cpus: pinning.generator.clone(),
        instructions_uncounted: event_count::check(Event::UserInstructions)
            .err()
            .map(|why| why.to_string()),
    }
}
