//! What a fault is. The table of all of them is in `faults`.

use std::fmt;

use serde::Serialize;

use crate::deviation::Deviation;

/// How a fault shows, which decides how long it takes to find.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    /// The server does something wrong, which is seen as soon as it happens.
    Immediate,
    /// The server fails to do something: only a time-out tells.
    Timeout,
    /// The server is slow: finding out takes as long as the delay lasts.
    Delay,
}

/// One known fault: the server that has it differs from the correct one in
/// this and in nothing else.
#[derive(Clone, Copy, Serialize)]
pub struct Fault {
    /// Its name: lower-case words with hyphens.
    pub name: &'static str,
    /// The clause of the spec that it breaks.
    pub breaks: &'static str,
    /// What the server does: one sentence without a full stop.
    pub what: &'static str,
    /// Whether it shows only once in hundreds or thousands of messages.
    pub rare: bool,
    /// How it shows.
    pub shows: Shows,
    #[serde(skip)]
    pub(crate) make: fn() -> Box<dyn Deviation>,
}

impl Fault {
    /// A fault that shows whenever its situation comes up.
    pub(crate) const fn always(
        name: &'static str,
        breaks: &'static str,
        what: &'static str,
        make: fn() -> Box<dyn Deviation>,
    ) -> Self {
        Self { name, breaks, what, rare: false, shows: Shows::Immediate, make }
    }

    /// A fault that needs volume to show.
    pub(crate) const fn rarely(
        name: &'static str,
        breaks: &'static str,
        what: &'static str,
        make: fn() -> Box<dyn Deviation>,
    ) -> Self {
        Self { name, breaks, what, rare: true, shows: Shows::Immediate, make }
    }

    /// The same, but it shows by a time-out.
    pub(crate) const fn by_timeout(mut self) -> Self {
        self.shows = Shows::Timeout;
        self
    }

    /// The same, but it shows by a delay.
    pub(crate) const fn by_delay(mut self) -> Self {
        self.shows = Shows::Delay;
        self
    }
}

impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Fault {}

impl fmt::Debug for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fault({})", self.name)
    }
}

/// The name, as the command line takes it.
impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name)
    }
}

/// There is no fault of that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fault is called `{0}`; --list-faults lists them")]
pub struct UnknownFault(pub String);
