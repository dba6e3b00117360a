//! START: the command line and the first line.

mod connections;
mod ready_line;
mod refusals;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[ready_line::CASES, connections::CASES, refusals::CASES];
