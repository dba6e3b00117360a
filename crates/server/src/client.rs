//! One client: its connection, the frame it has sent in part, its progress in the log, and why
//! it was disconnected.

use std::sync::Arc;
use std::time::Duration;

use slotmap::{Key as _, SlotMap};
use zillions_log::Offset;

use crate::codec::{Codec, Coded, Protocol};
pub use crate::disconnect_reason::DisconnectReason;
use crate::keys::RoomKey;
use crate::listener_rules::{Limits, ListenerRules, Role};
use crate::origin::Origin;

slotmap::new_key_type! {
    /// A client's key within its shard; never reused for another.
    pub(crate) struct Key;
}

/// The clients of a shard.
pub(crate) type Clients<S> = SlotMap<Key, Client<S>>;

/// A connection and everything that the server keeps for it: less than a kilobyte, and its codec.
#[derive(Debug)]
pub(crate) struct Client<S> {
    pub(crate) room: RoomKey,
    pub(crate) stream: S,
    pub(crate) origin: Origin,
    pub(crate) progress: Progress,
    pub(crate) read: ReadState,
    /// What it speaks, if not the plain protocol.
    pub(crate) coded: Option<Box<Coded>>,
    /// What it is held to, if it may not do everything.
    pub(crate) limits: Option<Box<Limits>>,
    /// Set once the client has closed its sending side, or the server stops.
    pub(crate) draining: Option<Draining>,
    /// The head when it was accepted.
    pub(crate) joined: Offset,
    /// When its shard took it over.
    pub(crate) connected_at: Duration,
    /// Messages it was not sent because it was too slow.
    pub(crate) dropped: u64,
    /// The byte offset up to which it had taken the log when it last seemed idle.
    pub(crate) taken_bytes: u64,
}

/// An admitted connection on its way to its shard.
#[derive(Debug)]
pub(crate) struct Handoff<S> {
    pub(crate) room: RoomKey,
    pub(crate) stream: S,
    pub(crate) origin: Origin,
    /// Those of its listening socket when it was accepted.
    pub(crate) rules: ListenerRules,
    /// What it speaks, if not the plain protocol.
    pub(crate) protocol: Option<Arc<dyn Protocol>>,
    /// The log's head when it was accepted: it is sent what follows.
    pub(crate) joined: Offset,
}

/// Up to which offset of the log a client has been sent.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It has been sent everything that its shard has sent and shares the shard's offset.
    /// `index` is its index in the list of these.
    Current { index: usize },
    /// It is behind, or was when last tried, and has an offset of its own.
    /// `index` is its index in the list of these.
    Lagging { index: usize, lag: Lag },
}

/// The state of a client that is behind.
#[derive(Debug)]
pub(crate) struct Lag {
    /// The unsent tail of a frame: at most 255 bytes. It is copied so that nothing in the log
    /// must be kept for this client. With a codec: what that has encoded.
    pub(crate) partial_out: Vec<u8>,
    /// The frame after it.
    pub(crate) next: Offset,
    /// A send may succeed: its socket has become writable, or was never tried.
    pub(crate) writable: bool,
    /// It is in the list of clients to try.
    pub(crate) queued: bool,
    /// A byte offset that it has passed, and when; see `--eviction-timeout-seconds`.
    pub(crate) checkpoint: (u64, Duration),
}

/// What has been received from a client and how.
#[derive(Debug)]
pub(crate) struct ReadState {
    /// The received head of an incomplete frame: at most 255 bytes. Of a client that is held to
    /// limits also whole frames whose turn comes later, a few kilobytes.
    pub(crate) partial_in: Vec<u8>,
    /// It is in the shard's queue of clients to read.
    pub(crate) queued: bool,
    /// Its end of the stream has arrived, though perhaps not been read.
    pub(crate) ended: bool,
    /// Which of the batches of its room and shard has its last message; 0 if it has sent none.
    pub(crate) batch: u64,
    /// When it was last active, by the shard's idle clock.
    pub(crate) active_at: Duration,
}

/// A client that is sent what was due to it when its sending side ended, or when the server began to
/// send it away, and is then closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draining {
    /// The offset up to which it is sent; `None` until its last message has been appended.
    pub(crate) until: Option<Offset>,
    /// When it is closed at the latest.
    pub(crate) deadline: Duration,
    /// Everything has been sent and the sending side closed; only its arrival is awaited.
    pub(crate) finished: bool,
    /// Why the server sends it away, if it is not the client that has ended.
    pub(crate) sent_away: Option<DisconnectReason>,
}

impl<S> Client<S> {
    /// A client that has been sent nothing yet; `index` is where it is in the lagging list, and
    /// `active_at` the time of the shard's idle clock.
    pub(crate) fn new(
        handoff: Handoff<S>,
        index: usize,
        now: Duration,
        active_at: Duration,
    ) -> Self {
        let Handoff { room, stream, origin, rules, protocol, joined } = handoff;
        let limits = rules.limits(now);
        let coded = protocol.map(|protocol| Box::new(Coded::new(&*protocol)));
        let checkpoint = (joined.bytes, now);
        let lag =
            Lag { partial_out: Vec::new(), next: joined, writable: true, queued: true, checkpoint };
        let read =
            ReadState { partial_in: Vec::new(), queued: false, ended: false, batch: 0, active_at };
        let progress = Progress::Lagging { index, lag };
        let taken_bytes = joined.bytes;
        let (draining, dropped) = (None, 0);
        Self {
            room,
            stream,
            origin,
            progress,
            read,
            coded,
            limits,
            draining,
            joined,
            connected_at: now,
            dropped,
            taken_bytes,
        }
    }

    pub(crate) fn lag(&self) -> Option<&Lag> {
        match &self.progress {
            Progress::Lagging { lag, .. } => Some(lag),
            Progress::Current { .. } => None,
        }
    }

    pub(crate) fn lag_mut(&mut self) -> Option<&mut Lag> {
        match &mut self.progress {
            Progress::Lagging { lag, .. } => Some(lag),
            Progress::Current { .. } => None,
        }
    }

    /// Its codec, if it has one.
    pub(crate) fn codec(&self) -> Option<&dyn Codec> {
        self.coded.as_ref().map(|coded| &*coded.codec)
    }

    /// Whether it may be sent messages: not before its codec's handshake is complete.
    pub(crate) fn is_open(&self) -> bool {
        self.codec().is_none_or(Codec::is_open)
    }

    /// Whether its codec expects no more from it.
    pub(crate) fn has_ended(&self) -> bool {
        self.codec().is_some_and(Codec::has_ended)
    }

    /// Whether its codec has something to send.
    pub(crate) fn has_output(&self) -> bool {
        self.codec().is_some_and(Codec::has_output)
    }

    /// Whether it may send messages.
    pub(crate) fn publishes(&self) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.role != Role::ListenOnly)
    }

    /// Whether it is sent messages.
    pub(crate) fn listens(&self) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.role != Role::PublishOnly)
    }

    /// Whether it has sent too much, and is not read for a while.
    pub(crate) fn is_throttled(&self) -> bool {
        self.limits.as_ref().is_some_and(|limits| limits.resumes_at.is_some())
    }

    /// Whether the slow-reader policy holds for it: until it can be sent anything, it holds up
    /// nobody and misses nothing.
    pub(crate) fn has_joined(&self) -> bool {
        self.listens() && self.coded.as_ref().is_none_or(|coded| coded.has_joined)
    }

    /// The offset up to which it may be sent, given the log's head.
    pub(crate) fn bound(&self, head: Offset) -> Offset {
        self.draining.and_then(|draining| draining.until).map_or(head, |until| until.min(head))
    }

    /// What is reported of it.
    pub(crate) fn report(&self, key: Key) -> ClientReport {
        let Self { room, joined, dropped, .. } = *self;
        ClientReport { key: key.data().as_ffi(), room, joined, dropped }
    }
}

/// What a client was sent: everything from `joined` on, but for what was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientReport {
    /// Its key, as given to [`Engine::register`](crate::engine::Engine::register).
    pub key: u64,
    /// Its room.
    pub room: RoomKey,
    /// The log's head when it was accepted.
    pub joined: Offset,
    /// How many messages it was not sent because it was too slow.
    pub dropped: u64,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The client's last report.
    pub report: ClientReport,
    /// Why it was closed.
    pub reason: DisconnectReason,
}
