//! FRAME: messages on the wire.

mod acknowledgement;
mod content;
mod incomplete;
mod segmentation;
mod wholeness;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[
    content::CASES,
    segmentation::CASES,
    wholeness::CASES,
    incomplete::CASES,
    acknowledgement::CASES,
];
