//! END: half-close, end of file, resets.

mod given_back;
mod half_close;
mod resets;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[half_close::CASES, resets::CASES, given_back::CASES];
