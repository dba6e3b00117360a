//! MEM: bounded memory.

use crate::backlog::{FLOOD, RESIDENT_BYTES_MAX, in_windows};
use crate::support::{Probe, Seen, ensure};

pub(crate) fn echoes_that_nobody_reads_cost_little_memory(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut sender = server.connect_small()?;
    let mut other = server.connect()?;
    in_windows(FLOOD, |bytes, bodies| {
        sender.write(bytes)?;
        bodies.iter().try_for_each(|body| other.expect(body))
    })?;
    let resident = server.resident_bytes();
    ensure(resident < RESIDENT_BYTES_MAX, format!("{resident} bytes of memory"))
}
