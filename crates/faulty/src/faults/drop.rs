//! Faults of dropping: DROP.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use crate::chance::OneIn;
use crate::client::{Client, ClientId, End, Message};
use crate::deviation::{Deviation, correct};
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "drop-cuts-mid-frame",
        "DROP-2",
        "drops the first message of a full queue even if it is partially written",
        || Box::new(CutsMidFrame),
    )
    .by_timeout(),
    Fault::rarely("loss-at-low-load", "DROP-3", "loses one delivery of 500", || {
        Box::new(LossAtLowLoad { chance: OneIn::new(500) })
    }),
    Fault::always(
        "loss-in-burst-of-four",
        "DROP-3",
        "queues three messages per client, one too few",
        || Box::new(LossInBurst),
    )
    .by_timeout(),
    Fault::always(
        "echo-lost-when-two-send",
        "DROP-3",
        "loses the echo of the second of two senders whose messages arrive together",
        || Box::new(EchoLost { loses: None }),
    )
    .by_timeout(),
    Fault::always(
        "lost-after-silence",
        "DROP-3",
        "drops the first message after two seconds of silence",
        || Box::new(LostAfterSilence { heard: None }),
    )
    .by_timeout(),
    Fault::rarely(
        "lost-wake-up",
        "DROP-3",
        "forgets to write to a client once in 400 times, until there is another message for it",
        || Box::new(LostWakeUp { chance: OneIn::new(400) }),
    )
    .by_timeout(),
    Fault::always(
        "first-after-recovery-lost",
        "DROP-3",
        "drops the first message for a client whose queue was full and is empty again",
        || Box::new(FirstAfterRecovery::default()),
    )
    .by_timeout(),
    Fault::always(
        "message-65536-lost",
        "DROP-3",
        "numbers the messages of a sender with 16 bits and drops number 0, the 65,536th",
        || Box::new(NumberZeroLost::default()),
    )
    .by_timeout(),
    Fault::always(
        "rest-behind-the-wrap-waits",
        "DROP-3",
        "holds what lies beyond the end of a client's 2 MiB ring until the next message",
        || Box::new(RestBehindWrap::default()),
    )
    .by_timeout(),
    Fault::always(
        "disconnects-who-reads",
        "DROP-4",
        "disconnects a client for which 64 messages wait, even if it reads all the time",
        || Box::new(DisconnectsWhoReads),
    ),
    Fault::always(
        "no-delivery-after-overflow",
        "DROP-4",
        "delivers nothing new to a client whose queue was full once",
        || Box::new(NoDeliveryAfterOverflow::default()),
    )
    .by_timeout(),
    Fault::always(
        "eight-can-wait",
        "DROP-4",
        "never writes again to the ninth client whose socket is full at the same time",
        || Box::new(EightCanWait::default()),
    )
    .by_timeout(),
];

struct CutsMidFrame;

impl Deviation for CutsMidFrame {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.outbound.written > 0 {
            client.outbound.queue.pop_front();
            client.outbound.written = 0;
        }
        correct::overflow(self, client, message, context);
    }
}

struct LossAtLowLoad {
    chance: OneIn,
}

impl Deviation for LossAtLowLoad {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if !self.chance.happens() {
            correct::enqueue(self, client, message, context);
        }
    }
}

/// How many messages it holds per client.
const TOO_SHORT: usize = 3;

struct LossInBurst;

impl Deviation for LossInBurst {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.outbound.queue.len() < TOO_SHORT {
            correct::enqueue(self, client, message, context);
        }
    }
}

struct EchoLost {
    /// Sender and number of the message whose echo is lost.
    loses: Option<(ClientId, u64)>,
}

impl Deviation for EchoLost {
    fn distribute(&mut self, state: &mut ServerState, batch: &[Message]) {
        let first = batch.first().map(|message| message.sender);
        let second = batch.iter().find(|message| Some(message.sender) != first);
        self.loses = second.map(|message| (message.sender, message.sequence));
        for message in batch {
            self.deliver(state, message);
        }
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        let own = message.sender == client.id;
        if !own || self.loses != Some((message.sender, message.sequence)) {
            correct::enqueue(self, client, message, context);
        }
    }
}

/// The silence after which a message is lost.
const SILENCE: Duration = Duration::from_secs(2);

struct LostAfterSilence {
    heard: Option<Instant>,
}

impl Deviation for LostAfterSilence {
    fn received(&mut self, _client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        let before = self.heard.replace(Instant::now());
        let asleep = before.is_some_and(|heard| heard.elapsed() >= SILENCE);
        (!asleep).then_some(body)
    }
}

struct LostWakeUp {
    chance: OneIn,
}

impl Deviation for LostWakeUp {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        if self.chance.happens() {
            client.outbound.blocked = false;
            return Ok(());
        }
        correct::flush(client, context)
    }
}

/// How many messages may wait, even for a moment.
const WAITING_MAX: usize = 64;

struct DisconnectsWhoReads;

impl Deviation for DisconnectsWhoReads {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if client.outbound.queue.len() < WAITING_MAX {
            correct::enqueue(self, client, message, context);
        } else {
            client.remove();
        }
    }
}

#[derive(Default)]
struct NoDeliveryAfterOverflow {
    given_up: HashSet<ClientId>,
}

impl Deviation for NoDeliveryAfterOverflow {
    fn overflow(&mut self, client: &mut Client, _message: &Message, _context: &Context) {
        self.given_up.insert(client.id);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if !self.given_up.contains(&client.id) {
            correct::enqueue(self, client, message, context);
        }
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.given_up.remove(&client.id);
    }
}

#[derive(Default)]
struct FirstAfterRecovery {
    overflowed: HashSet<ClientId>,
}

impl Deviation for FirstAfterRecovery {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        self.overflowed.insert(client.id);
        correct::overflow(self, client, message, context);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        let has_recovered = client.outbound.queue.is_empty() && self.overflowed.remove(&client.id);
        if !has_recovered {
            correct::enqueue(self, client, message, context);
        }
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.overflowed.remove(&client.id);
    }
}

#[derive(Default)]
struct NumberZeroLost {
    /// The number of each client's last message; the first one's is 1.
    numbers: HashMap<ClientId, u16>,
}

impl Deviation for NumberZeroLost {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        let number = self.numbers.entry(client.id).or_default();
        *number = number.wrapping_add(1);
        (*number != 0).then_some(body)
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.numbers.remove(&client.id);
    }
}

/// The ring that the bytes for one client go through.
const RING_BYTES: usize = 2 << 20;

/// The write position of a ring.
struct Ring {
    bytes_to_end: usize,
    /// It has reached the end, and continues with the next message.
    waits: bool,
}

#[derive(Default)]
struct RestBehindWrap {
    rings: HashMap<ClientId, Ring>,
}

impl Deviation for RestBehindWrap {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        correct::enqueue(self, client, message, context);
        if let Some(ring) = self.rings.get_mut(&client.id) {
            ring.waits = false;
        }
    }

    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        let new = || Ring { bytes_to_end: RING_BYTES, waits: false };
        let ring = self.rings.entry(client.id).or_insert_with(new);
        while !client.outbound.queue.is_empty() && !ring.waits {
            let bytes_max = context.write_bytes_max().min(ring.bytes_to_end);
            let Some(written) = client.write_or_block(bytes_max)? else { return Ok(()) };
            client.outbound.advance(written.taken);
            ring.bytes_to_end -= written.taken;
            if ring.bytes_to_end == 0 {
                *ring = Ring { bytes_to_end: RING_BYTES, waits: true };
            }
        }
        client.outbound.blocked = false;
        Ok(())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.rings.remove(&client.id);
    }
}

/// How many clients can wait for socket space at the same time.
const CAN_WAIT: usize = 8;

#[derive(Default)]
struct EightCanWait {
    waiting: HashSet<ClientId>,
    forgotten: HashSet<ClientId>,
}

impl Deviation for EightCanWait {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        if self.forgotten.contains(&client.id) {
            return Ok(());
        }
        correct::flush(client, context)?;
        if !client.outbound.blocked {
            self.waiting.remove(&client.id);
        } else if self.waiting.len() < CAN_WAIT || self.waiting.contains(&client.id) {
            self.waiting.insert(client.id);
        } else {
            self.forgotten.insert(client.id);
            client.outbound.blocked = false;
        }
        Ok(())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.waiting.remove(&client.id);
        self.forgotten.remove(&client.id);
    }
}
