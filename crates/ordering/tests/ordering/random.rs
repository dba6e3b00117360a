//! Small random histories, from a seed.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use zillions_ordering::{ConnectionId, History, MessageId, StreamPosition};

/// Which kinds of histories are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Out of 100: a message is short.
    pub(crate) short_percent: u32,
    /// Bodies of short messages to choose from.
    pub(crate) bodies: &'static [&'static [u8]],
    /// Whether each body belongs to one connection only.
    pub(crate) own_bodies: bool,
    /// Out of 100: a delivery is dropped.
    pub(crate) drop_percent: u32,
    /// Out of 100: a delivery is anything at all, sent or not.
    pub(crate) wild_percent: u32,
    /// Out of 100: two neighbours in a receiver's queue change places.
    pub(crate) swap_percent: u32,
    /// The most messages in all.
    pub(crate) messages_max: u32,
}

pub(crate) const IDS_ONLY: Shape = Shape {
    short_percent: 0,
    bodies: &[],
    own_bodies: false,
    drop_percent: 20,
    wild_percent: 3,
    swap_percent: 12,
    messages_max: 6,
};

/// A queue of what is under way to one receiver.
type Queue = Vec<(MessageId, Option<&'static [u8]>)>;

pub(crate) fn history(rng: &mut ChaCha8Rng, shape: Shape) -> History {
    let mut history = History::new();
    let connections = rng.random_range(2..=4);
    for _ in 0..connections {
        history.connect();
    }
    let mut queues: Vec<Queue> = vec![Vec::new(); connections];
    let mut sent: Queue = Vec::new();
    let mut offset = 0;
    let messages = rng.random_range(1..=shape.messages_max);
    let steps = rng.random_range(3..=4 + 4 * messages);
    for _ in 0..steps {
        offset += 1;
        let at = StreamPosition { offset, time_ns: offset * 1000 };
        let receiver = rng.random_range(0..connections);
        if sent.len() < messages as usize && rng.random_ratio(1, 3) {
            let message = send(rng, shape, &mut history, receiver);
            sent.push(message);
            for queue in &mut queues {
                let is_dropped = rng.random_range(0..100) < shape.drop_percent;
                if !is_dropped {
                    queue.push(message);
                }
                if queue.len() > 1 && rng.random_range(0..100) < shape.swap_percent {
                    let last = queue.len() - 1;
                    queue.swap(last, last - 1);
                }
            }
        } else if rng.random_range(0..100) < shape.wild_percent {
            receive_anything(rng, shape, &mut history, receiver, &sent, at);
        } else if !queues[receiver].is_empty() {
            let message = queues[receiver].remove(0);
            receive(&mut history, receiver, message, at);
        }
    }
    history
}

fn send(
    rng: &mut ChaCha8Rng,
    shape: Shape,
    history: &mut History,
    sender: usize,
) -> (MessageId, Option<&'static [u8]>) {
    let connection = ConnectionId::from_index(sender as u32);
    if rng.random_range(0..100) < shape.short_percent {
        let body = if shape.own_bodies {
            shape.bodies[sender]
        } else {
            shape.bodies.choose(rng).expect("a shape with short messages has bodies")
        };
        (history.send_anonymous(connection, body), Some(body))
    } else {
        (history.send(connection), None)
    }
}

fn receive(
    history: &mut History,
    receiver: usize,
    message: (MessageId, Option<&'static [u8]>),
    at: StreamPosition,
) {
    let receiver = ConnectionId::from_index(receiver as u32);
    match message {
        (_, Some(body)) => history.receive_anonymous(receiver, body, at),
        (id, None) => history.receive(receiver, id, at),
    }
}

/// A delivery that no server of any sense would make.
fn receive_anything(
    rng: &mut ChaCha8Rng,
    shape: Shape,
    history: &mut History,
    receiver: usize,
    sent: &Queue,
    at: StreamPosition,
) {
    let connection = ConnectionId::from_index(receiver as u32);
    match rng.random_range(0..8) {
        0 => history.receive_unknown(connection, at, "noise"),
        1 => {
            let sender = ConnectionId::from_index(rng.random_range(0..5));
            let sequence = rng.random_range(0..4);
            history.receive(connection, MessageId { sender, sequence }, at);
        }
        2 if !shape.bodies.is_empty() => {
            let body = shape.bodies.choose(rng).expect("it is not empty");
            history.receive_anonymous(connection, body, at);
        }
        _ => {
            if let Some(&message) = sent.choose(rng) {
                receive(history, receiver, message, at);
            }
        }
    }
}
