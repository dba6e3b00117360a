//! LIFE: running for good.

mod descriptors;
mod idle;
mod running;
mod stopping;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] =
    &[running::CASES, stopping::CASES, idle::CASES, descriptors::CASES];
