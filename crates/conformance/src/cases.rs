//! All cases, one file per group of clauses, in the order in which they run.

use std::sync::LazyLock;
use std::time::Duration;

use crate::case::Case;

mod bodies;
mod drops;
mod end;
mod fanout;
mod framing;
mod life;
mod memory;
mod order;
mod scale;
mod slow;
mod start;

/// How long clients are silent, pause inside a frame, do not read, or are not there:
/// longer than the time-outs of five, ten and fifteen seconds that libraries suggest. It
/// costs no time: the other cases take as long beside it.
const LONG_PAUSE: Duration = Duration::from_secs(16);

/// All cases of the suite.
pub fn all() -> &'static [Case] {
    static ALL: LazyLock<Vec<Case>> = LazyLock::new(|| {
        [
            start::CASES,
            framing::CASES,
            fanout::CASES,
            order::CASES,
            drops::CASES,
            slow::CASES,
            end::CASES,
            scale::CASES,
            life::CASES,
            memory::CASES,
        ]
        .concat()
    });
    &ALL
}
