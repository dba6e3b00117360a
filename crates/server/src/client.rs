//! One client: what it has sent in part, and where in the log it is.

use std::net::IpAddr;
use std::time::Duration;

use zillions_log::Mark;

slotmap::new_key_type! {
    /// A client's name within its shard; never used again for another.
    pub(crate) struct Key;
}

/// A connection and all that the server keeps for it: less than a kilobyte.
#[derive(Debug)]
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) peer: IpAddr,
    pub(crate) place: Place,
    /// The front of a frame whose end has not come yet: at most 255 bytes.
    pub(crate) partial: Vec<u8>,
    /// It stands in the queue of those to be read.
    pub(crate) queued: bool,
    /// The other side has sent all it will.
    pub(crate) ended: bool,
    pub(crate) leaving: Option<Leaving>,
    /// Where it came in.
    pub(crate) joined: Mark,
    /// Messages it was not sent because it was too slow.
    pub(crate) dropped: u64,
    /// When it last sent something.
    pub(crate) heard_at: Duration,
}

/// Where in the log a client is.
#[derive(Debug)]
pub(crate) enum Place {
    /// It has all that its shard has sent; it shares the shard's position.
    /// `slot` is its place in the shard's list of these.
    Current { slot: usize },
    /// It is behind, or was when last tried; it has a position of its own.
    Lagging { slot: usize, lag: Lag },
}

/// The position of a client that is behind.
#[derive(Debug)]
pub(crate) struct Lag {
    /// The rest of a frame that was sent in part: at most 255 bytes. It is
    /// kept here so that nothing in the log has to stay for this client.
    pub(crate) stash: Vec<u8>,
    /// The frame that comes after the stash.
    pub(crate) next: Mark,
    /// Worth trying: its socket has become writable, or was never tried.
    pub(crate) writable: bool,
    /// A position it passed, and when; see `--eviction-seconds`.
    pub(crate) checkpoint: (u64, Duration),
}

/// A client that will be sent no more than what was meant for it when it said its last word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    /// It is sent what is before this; `None` until its last message has its place.
    pub(crate) until: Option<Mark>,
    /// When it is given up.
    pub(crate) deadline: Duration,
    /// Everything is sent and it was told so; what is missing is that it arrives.
    pub(crate) finished: bool,
}

impl<S> Client<S> {
    pub(crate) fn lag(&self) -> Option<&Lag> {
        match &self.place {
            Place::Lagging { lag, .. } => Some(lag),
            Place::Current { .. } => None,
        }
    }

    pub(crate) fn lag_mut(&mut self) -> Option<&mut Lag> {
        match &mut self.place {
            Place::Lagging { lag, .. } => Some(lag),
            Place::Current { .. } => None,
        }
    }

    /// Up to where it may be sent, given where the log ends.
    pub(crate) fn bound(&self, head: Mark) -> Mark {
        self.leaving.and_then(|leaving| leaving.until).map_or(head, |until| until.min(head))
    }
}

/// Why a connection ended, as logs and metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It closed its sending side and was sent what was queued for it.
    Left,
    /// A reset, or another error of its connection.
    Broken,
    /// It was too far behind (`--slow-reader disconnect`).
    Slow,
    /// It held up the publishers for too long (`--slow-reader backpressure`).
    Evicted,
    /// It sent nothing for too long (`--idle-seconds`).
    Idle,
    /// It closed its sending side and did not take what was queued in time.
    Unread,
    /// The server stops.
    Shutdown,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Left,
        Self::Broken,
        Self::Slow,
        Self::Evicted,
        Self::Idle,
        Self::Unread,
        Self::Shutdown,
    ];

    /// One word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Broken => "broken",
            Self::Slow => "slow",
            Self::Evicted => "evicted",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Shutdown => "shutdown",
        }
    }
}
