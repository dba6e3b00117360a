//! ORDER: what order means. All of it is decided by `zillions-ordering`, from the
//! whole history of the run.

mod causal;
mod fifo;
mod integrity;
mod runs;
mod total;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[integrity::CASES, fifo::CASES, total::CASES, causal::CASES];
