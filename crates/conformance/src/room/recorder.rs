//! Keeps book of what was sent and what arrived.
//!
//! Always: a tally per receiver and sender, and every frame that nobody sent,
//! that differs from what was sent, or that comes twice. Where a case asks for
//! it: the whole history, for the ordering checker.

use std::time::{Duration, Instant};

use zillions_ordering::{ConnectionId, History, MessageId, StreamPosition};

use crate::tagged::{Reading, Tag, Tagger};

/// How many violations are kept; one is enough to fail a case.
const VIOLATIONS_MAX: usize = 8;
/// Plain frames that a client may hold for its case, in frames.
const PLAIN_FRAMES_MAX: usize = 65_536;

/// What one receiver has had from one sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tagged messages received.
    pub received: u32,
    /// The lowest number among them.
    pub first: Option<u32>,
    /// The highest number among them.
    pub latest: Option<u32>,
    /// Which of the 64 numbers up to the latest came; the latest is bit 0.
    recent: u64,
}

impl Tally {
    fn add(&mut self, sequence: u32) {
        self.received += 1;
        self.first = Some(self.first.map_or(sequence, |first| first.min(sequence)));
        let latest = self.latest.unwrap_or(sequence);
        if sequence >= latest {
            self.recent = self.recent.checked_shl(sequence - latest).unwrap_or(0) | 1;
            self.latest = Some(sequence);
        } else {
            self.recent |= 1u64.checked_shl(latest - sequence).unwrap_or(0);
        }
    }

    /// Whether message `sequence` came, which must not be older than the 64
    /// last ones.
    pub fn has(self, sequence: u32) -> bool {
        self.latest.and_then(|latest| latest.checked_sub(sequence)).is_some_and(|age| {
            debug_assert!(age < u64::BITS, "asked too late whether a message came");
            self.recent.checked_shr(age).unwrap_or(0) & 1 == 1
        })
    }

    /// How many of the messages between the first and the latest did not come.
    pub fn missing(self) -> u32 {
        match (self.first, self.latest) {
            (Some(first), Some(latest)) => (latest + 1 - first).saturating_sub(self.received),
            _ => 0,
        }
    }
}

/// A frame that must not have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Index of the client that received it.
    pub receiver: usize,
    /// What is wrong with it.
    pub what: String,
}

/// What becomes of frames without a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain {
    Violation,
    Kept,
    Ignored,
}

#[derive(Debug)]
struct Member {
    connection: Option<ConnectionId>,
    sent: u32,
    tallies: Vec<Tally>,
    /// Whom the last tagged message it received came from.
    last_from: Option<usize>,
    /// Number of the first message of its present burst.
    burst: u32,
    /// Up to which of its own messages it has seen the echo, or given it up.
    echoed: u32,
    plain: Vec<Vec<u8>>,
}

/// The book of one room.
#[derive(Debug)]
pub struct Recorder {
    tagger: Tagger,
    members: Vec<Member>,
    history: Option<History>,
    plain: Plain,
    deliveries: u64,
    last_event: Instant,
    longest_pause: Duration,
    mixed: u64,
    violations: Vec<Violation>,
}

impl Recorder {
    /// An empty book for a room with this salt.
    pub fn new(salt: u32) -> Self {
        Self {
            tagger: Tagger::new(salt),
            members: Vec::new(),
            history: None,
            plain: Plain::Violation,
            deliveries: 0,
            last_event: Instant::now(),
            longest_pause: Duration::ZERO,
            mixed: 0,
            violations: Vec::new(),
        }
    }

    /// From now on the whole history is kept. To be called before the first client joins.
    pub fn keep_history(&mut self) {
        debug_assert!(self.members.is_empty(), "a history has to begin at the beginning");
        self.history = Some(History::new());
    }

    /// The history, if it is kept.
    pub fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Adds a client; its index is the number of clients before it.
    pub fn join(&mut self) {
        let connection = self.history.as_mut().map(History::connect);
        self.members.push(Member {
            connection,
            sent: 0,
            tallies: Vec::new(),
            last_from: None,
            burst: 0,
            echoed: 0,
            plain: Vec::new(),
        });
    }

    /// Appends the body of the next tagged message of `sender` to `out` and
    /// returns its number.
    pub fn send(&mut self, sender: usize, length: usize, out: &mut Vec<u8>) -> u32 {
        let member = &mut self.members[sender];
        let tag = Tag { sender: sender as u16, sequence: member.sent };
        member.sent += 1;
        self.last_event = Instant::now();
        self.tagger.write(tag, length, out);
        if let (Some(history), Some(connection)) = (&mut self.history, member.connection) {
            let message = history.send(connection);
            debug_assert_eq!(message.sequence, tag.sequence);
        }
        tag.sequence
    }

    /// How many tagged messages `sender` has sent.
    pub fn sent(&self, sender: usize) -> u32 {
        self.members[sender].sent
    }

    /// What `receiver` has had from `sender`.
    pub fn tally(&self, receiver: usize, sender: usize) -> Tally {
        self.members[receiver].tallies.get(sender).copied().unwrap_or_default()
    }

    /// Tagged messages received, by all clients together.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// What `sender` says from here on belongs to one burst.
    pub fn begin_burst(&mut self, sender: usize) {
        self.members[sender].burst = self.members[sender].sent;
    }

    /// How many messages of `sender` are on their way to its own echo.
    pub fn unechoed(&self, sender: usize) -> u32 {
        self.members[sender].sent - self.members[sender].echoed
    }

    /// How long ago anything was sent or received.
    pub fn quiet_for(&self) -> Duration {
        self.last_event.elapsed()
    }

    /// The longest that nothing was sent or received before something came.
    pub fn longest_pause(&self) -> Duration {
        self.longest_pause
    }

    /// Stops waiting for the echoes of what `sender` has sent so far, until
    /// one of them comes after all: then the others may be on their way, too.
    pub fn forgive(&mut self, sender: usize) {
        let member = &mut self.members[sender];
        member.echoed = member.sent;
    }

    /// How often a receiver got a message of another client between two
    /// messages of one burst: that senders were truly at work at the same time.
    pub fn mixed(&self) -> u64 {
        self.mixed
    }

    /// What must not have come.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// From now on frames without a tag are kept for the case to compare;
    /// before, they are violations.
    pub fn expect_plain(&mut self) {
        self.plain = Plain::Kept;
    }

    /// From now on frames without a tag are let pass, for floods of them.
    pub fn ignore_plain(&mut self) {
        self.plain = Plain::Ignored;
    }

    /// The plain frames received by `receiver` since the last call.
    pub fn take_plain(&mut self, receiver: usize) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.members[receiver].plain)
    }

    /// The plain frames received by `receiver` that were not taken yet.
    pub fn plain(&self, receiver: usize) -> &[Vec<u8>] {
        &self.members[receiver].plain
    }

    /// Takes in a frame that `receiver` got. `offset` is where its header
    /// stands in the stream, `time_ns` when it was read.
    pub fn receive(&mut self, receiver: usize, body: &[u8], offset: u64, time_ns: u64) {
        let position = StreamPosition { offset, time_ns };
        match self.tagger.read(body) {
            Reading::Tagged(tag) if self.was_sent(tag) => self.tagged(receiver, tag, position),
            Reading::Tagged(tag) => {
                let what = format!("{} came, which was never sent", describe(tag));
                self.unknown(receiver, position, what);
            }
            Reading::Damaged(tag, byte) => {
                let what = format!(
                    "{} came changed: {} bytes, the first difference at byte {byte}",
                    describe(tag),
                    body.len()
                );
                self.unknown(receiver, position, what);
            }
            Reading::Plain if self.plain == Plain::Ignored => {}
            Reading::Plain if self.plain == Plain::Kept => {
                let plain = &mut self.members[receiver].plain;
                if plain.len() < PLAIN_FRAMES_MAX {
                    plain.push(body.to_vec());
                }
            }
            Reading::Plain => {
                let what = format!("a frame came that nobody sent: {}", show_body(body));
                self.unknown(receiver, position, what);
            }
        }
    }

    fn was_sent(&self, tag: Tag) -> bool {
        self.members.get(usize::from(tag.sender)).is_some_and(|member| tag.sequence < member.sent)
    }

    fn tagged(&mut self, receiver: usize, tag: Tag, position: StreamPosition) {
        let sender = usize::from(tag.sender);
        self.deliveries += 1;
        self.longest_pause = self.longest_pause.max(self.last_event.elapsed());
        self.last_event = Instant::now();
        if let (Some(history), Some(to), Some(from)) =
            (&mut self.history, self.members[receiver].connection, self.members[sender].connection)
        {
            let message = MessageId { sender: from, sequence: tag.sequence };
            history.receive(to, message, position);
        }
        let burst = self.members[sender].burst;
        let in_burst = self.tally(receiver, sender).latest >= Some(burst);
        let from_before = self.members[receiver].last_from.replace(sender);
        if in_burst && from_before.is_some_and(|before| before != sender) {
            self.mixed += 1;
        }
        if receiver == sender {
            self.members[sender].echoed = tag.sequence + 1;
        }
        let tallies = &mut self.members[receiver].tallies;
        if tallies.len() <= sender {
            tallies.resize(sender + 1, Tally::default());
        }
        let latest = tallies[sender].latest;
        tallies[sender].add(tag.sequence);
        // With a history, the checker says it better.
        if latest >= Some(tag.sequence) && self.history.is_none() {
            let what = format!(
                "{} came after number {} of the same client: twice, or out of order",
                describe(tag),
                latest.unwrap_or_default()
            );
            self.violation(receiver, what);
        }
    }

    fn unknown(&mut self, receiver: usize, position: StreamPosition, what: String) {
        if let (Some(history), Some(to)) = (&mut self.history, self.members[receiver].connection) {
            history.receive_unknown(to, position, what.clone());
        }
        self.violation(receiver, what);
    }

    fn violation(&mut self, receiver: usize, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { receiver, what });
        }
    }
}

fn describe(tag: Tag) -> String {
    format!("message {} of client #{}", tag.sequence, tag.sender)
}

/// A body for people: its length and its beginning.
pub fn show_body(body: &[u8]) -> String {
    const SHOWN_BYTES: usize = 24;
    if body.is_empty() {
        return "the empty message".to_owned();
    }
    let hex: Vec<String> =
        body.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let more = if body.len() > SHOWN_BYTES { " …" } else { "" };
    format!("{} bytes [{}{more}]", body.len(), hex.join(" "))
}

#[cfg(test)]
mod tests;
