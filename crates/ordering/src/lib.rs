//! What "sequentially consistent with the order in which they were sent" means,
//! decided exactly.
//!
//! A [`History`] records what the clients of one chat server sent and received.
//! [`check`](check()) decides whether it keeps the four rules of the spec's
//! ORDER group (INTEGRITY, FIFO, TOTAL, CAUSAL), in time linear in its length,
//! and proves every violation with a [`Counterexample`] of the fewest claims.
//!
//! ```
//! use zillions_ordering::{History, StreamPosition, check};
//!
//! let mut history = History::new();
//! let (a, b) = (history.connect(), history.connect());
//! let (x, y) = (history.send(a), history.send(b));
//! let at = |offset| StreamPosition { offset, time_ns: 0 };
//! history.receive(a, x, at(0));
//! history.receive(a, y, at(9));
//! history.receive(b, y, at(0));
//! history.receive(b, x, at(9));
//!
//! let verdicts = check(&history);
//! assert!(verdicts.fifo.is_ok());
//! let counterexample = verdicts.total.unwrap_err();
//! assert_eq!(counterexample.claims.len(), 2);
//! println!("{counterexample}");
//! ```
//!
//! The crate is pure: no socket, no clock, no process; files only through
//! [`std::io::Read`] and [`std::io::Write`]. How it works and why it may be
//! linear: `docs/design/0002-ordering-checker.md`.

mod account;
mod assign;
mod chains;
mod check;
mod confirm;
mod counterexample;
mod event;
mod evidence;
mod explain;
mod fifo;
mod file;
mod graph;
mod history;
mod search;
mod shorts;

pub use account::{Account, PairTally, ShortTally, Tally, account};
pub use check::{Unconfirmed, Verdicts, check};
pub use confirm::{Refutation, confirm};
pub use counterexample::{Claim, Class, Counterexample, Order, Rule, Sighting};
pub use event::{ConnectionId, Event, MessageId, StreamPosition};
pub use file::{HISTORY_VERSION, LoadError, load, save};
pub use history::{
    BODY_BYTES_MAX, DETAIL_BYTES_MAX, EVENTS_MAX, History, NAME_BYTES_MAX, RecordError,
};
