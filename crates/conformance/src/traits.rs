//! What a case needs, how it is scheduled, and how much it may send.

/// What a case needs and how it is scheduled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traits {
    /// Starts, stops or measures the server, so it cannot be run on a server
    /// that the suite did not start.
    pub launches: bool,
    /// Measures time or memory, so nothing runs beside it but what idles.
    pub alone: bool,
    /// Mostly lets time pass, so it runs beside all others.
    pub idles: bool,
    /// Part of the quick selection.
    pub quick: bool,
    /// Keeps to one address of a server that has several: a new client at a node that lags may
    /// receive what was said before it came, which this case would take for something else.
    pub one_node: bool,
    /// What it may have under way that nobody waits for.
    pub bound: Bound,
}

/// How much a case may send before it waits for the result, so that a slow server is not
/// left with the work of minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bound {
    /// A few messages.
    #[default]
    Few,
    /// So many bytes.
    Bytes(u64),
    /// What the server has shown, again and again, that it works off in about a second.
    Pace,
    /// What the kernel's buffers take. Nobody waits for the result: the server is ended.
    Buffers,
}

impl Bound {
    /// A few messages, in bytes.
    const FEW_BYTES: u64 = 16 << 10;

    /// The most, in bytes, where it is the same for all servers.
    pub(crate) fn bytes(self) -> Option<u64> {
        match self {
            Self::Few => Some(Self::FEW_BYTES),
            Self::Bytes(bytes) => Some(bytes),
            Self::Pace | Self::Buffers => None,
        }
    }
}

impl Traits {
    pub(crate) const NONE: Self = Self {
        launches: false,
        alone: false,
        idles: false,
        quick: false,
        one_node: false,
        bound: Bound::Few,
    };
}
