//! Memory of the server while the same load goes on.
//!
//! Memory is measured on the whole process tree, and judged by its *growth*
//! while the same load goes on: a server with bounded queues stops growing
//! once they are full; one that keeps what it cannot send grows with each
//! further part. Runtimes with a garbage collector grow for a while, too, by
//! garbage that they have not collected yet. So the load goes on until a part
//! adds next to nothing, and only a server that never stops growing fails.

use std::time::{Duration, Instant};

use crate::cases::common::growth::{Finding, Growth};
use crate::fixture::Fixture;
use crate::verdict::{Outcome, Stop};

/// Time for a part. Slow servers end it by time.
pub(crate) const PART_TIME: Duration = Duration::from_millis(700);

pub(crate) fn resident(fixture: &Fixture) -> Result<u64, Stop> {
    let sample = fixture.sample()?;
    Ok(sample.resident_bytes)
}

/// Repeats `part`, which returns how many bytes it made the server handle,
/// until memory stops growing.
pub(crate) fn until_steady(
    fixture: &mut Fixture,
    mut part: impl FnMut(&mut Fixture) -> Result<u64, Stop>,
) -> Outcome {
    let started = Instant::now();
    let mut growth = Growth::begin(resident(fixture)?);
    loop {
        let bytes = part(fixture)?;
        let still_growing = |growth: &Growth| {
            format!("{}, and still growing (part by part: {})", growth.summary(), growth.course())
        };
        match growth.part(bytes, resident(fixture)?, started.elapsed()) {
            Finding::GoOn => {}
            Finding::Steady => return Ok(growth.summary()),
            Finding::Unbounded => {
                let expected = "memory that stops growing while the same load goes on";
                return Err(Stop::fail(expected, still_growing(&growth)));
            }
            Finding::Unknown => {
                return Err(Stop::Inconclusive(format!(
                    "{}: a garbage collector may let so large a heap double, which takes longer than a case may",
                    still_growing(&growth)
                )));
            }
        }
    }
}
