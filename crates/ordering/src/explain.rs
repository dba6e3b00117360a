//! Counterexamples in words.

use std::fmt;

use crate::counterexample::{Claim, Class, Counterexample, Order, Sighting};
use crate::event::{ConnectionId, StreamPosition};

/// Short messages shown of a long list.
const BODIES_SHOWN_MAX: usize = 8;

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.class {
            Class::Duplicate => "a message arrived twice",
            Class::NeverSent => "a message arrived that had not been sent",
            Class::UnknownFrame => "a frame arrived that is not a message",
            Class::TooManyShort => "more short messages arrived than had been sent",
            Class::Fifo => "messages of one sender arrived out of order",
            Class::TwoReceiverInversion => "two receivers disagree about the order of two messages",
            Class::Cycle => "the receivers' orders form a cycle",
            Class::CausalOnly => "an answer was ordered before what it answers",
        };
        writeln!(f, "{} ({}) is broken: {what}", self.rule.name(), self.rule.clause())?;
        for claim in &self.claims {
            writeln!(f, "  {}", InWords { claim, of: self })?;
        }
        match self.class {
            Class::Duplicate => {
                write!(f, "but each message must arrive at most once at each receiver")
            }
            Class::NeverSent | Class::UnknownFrame | Class::TooManyShort => {
                write!(f, "but every message received must have been sent before")
            }
            Class::Fifo => write!(f, "but each receiver must get them in the order of sending"),
            Class::TwoReceiverInversion | Class::Cycle => write!(f, "so no single order fits all"),
            Class::CausalOnly => {
                write!(f, "so no single order fits all and puts answers after what they answer")
            }
        }
    }
}

struct InWords<'c> {
    claim: &'c Claim,
    of: &'c Counterexample,
}

impl InWords<'_> {
    fn name(&self, connection: ConnectionId) -> String {
        match self.of.names.get(&connection) {
            Some(name) => name.clone(),
            None => connection.to_string(),
        }
    }

    fn message(&self, sighting: &Sighting) -> String {
        let message = sighting.message;
        let mut text = match self.of.names.get(&message.sender) {
            Some(name) => format!("{name}{}", message.sequence),
            None => message.to_string(),
        };
        if let Some(body) = &sighting.short {
            text.push(' ');
            text.push_str(&quoted(body));
        }
        text
    }
}

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.claim {
            Claim::Before { connection, order, first, second } => {
                let (did, then) = match order {
                    Order::Sent => ("sent", "before"),
                    Order::Received => ("received", "before"),
                    Order::ReceivedThenSent => ("received", "before it sent"),
                };
                let (first_message, second_message) = (self.message(first), self.message(second));
                write!(
                    f,
                    "{} {did} {first_message} {then} {second_message}",
                    self.name(*connection)
                )?;
                places(f, [Some(first), Some(second)])
            }
            Claim::ReceivedTwice { connection, first, second } => {
                write!(f, "{} received {} twice", self.name(*connection), self.message(first))?;
                places(f, [Some(first), Some(second)])
            }
            Claim::ReceivedUnsent { connection, received, sent_event } => {
                write!(f, "{} received {}", self.name(*connection), self.message(received))?;
                places(f, [Some(received), None])?;
                match sent_event {
                    Some(event) if *event > received.event => {
                        write!(f, ", which was sent only later (event {event})")
                    }
                    Some(event) => {
                        write!(
                            f,
                            ", which was sent (event {event}) as a short message, without an id"
                        )
                    }
                    None => write!(f, ", which nobody sent"),
                }
            }
            Claim::ReceivedUnknown { connection, detail, position, .. } => {
                write!(f, "{} received a frame that nobody sent", self.name(*connection))?;
                place(f, *position)?;
                write!(f, ": {}", detail.escape_debug())
            }
            Claim::ReceivedMoreShort { connection, body, received, sent, position, .. } => {
                let (name, body) = (self.name(*connection), quoted(body));
                write!(f, "{name} received {body} {received} times")?;
                place(f, *position)?;
                write!(f, ", but it had been sent {sent} times")
            }
            Claim::ShortOutOfOrder { .. } => self.short_out_of_order(f),
            Claim::ShortUnmatched { connection, body, received, matched, position, .. } => {
                let (name, body) = (self.name(*connection), quoted(body));
                write!(f, "{name} received {body} {received} times")?;
                place(f, *position)?;
                write!(
                    f,
                    ", but by the other messages it received from the senders of {body}, at most \
                     {matched} of those that were sent can have arrived when these did"
                )
            }
        }
    }
}

impl InWords<'_> {
    fn short_out_of_order(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Claim::ShortOutOfOrder {
            connection,
            sender,
            after,
            received,
            before,
            sent,
            position,
            ..
        } = self.claim
        else {
            return Ok(());
        };
        let (name, sender) = (self.name(*connection), self.name(*sender));
        let since = match after {
            Some(after) => format!("after {}", self.message(after)),
            None => "at first".to_owned(),
        };
        let until = match before {
            Some(before) => format!(" and then {}", self.message(before)),
            None => String::new(),
        };
        write!(f, "{since}, {name} received {} of {sender}{until}", list(received))?;
        place(f, *position)?;
        write!(f, ", but in between {sender} sent {}", list(sent))
    }
}

fn places(f: &mut fmt::Formatter<'_>, sightings: [Option<&Sighting>; 2]) -> fmt::Result {
    let mut known = sightings.into_iter().flatten().filter_map(|sighting| sighting.position);
    match (known.next(), known.next()) {
        (Some(first), Some(second)) => write!(
            f,
            " (bytes {} and {}, at {} and {})",
            first.offset,
            second.offset,
            Seconds(first.time_ns),
            Seconds(second.time_ns)
        ),
        (Some(only), None) => place(f, only),
        _ => Ok(()),
    }
}

fn place(f: &mut fmt::Formatter<'_>, position: StreamPosition) -> fmt::Result {
    write!(f, " (byte {}, at {})", position.offset, Seconds(position.time_ns))
}

/// Nanoseconds, shown as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        write!(f, "{seconds}.{:06} s", rest / 1000)
    }
}

fn list(bodies: &[Vec<u8>]) -> String {
    if bodies.is_empty() {
        return "nothing short".to_owned();
    }
    let shown: Vec<String> =
        bodies.iter().take(BODIES_SHOWN_MAX).map(|body| quoted(body)).collect();
    let more = match bodies.len().saturating_sub(BODIES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(" "))
}

/// A body in quotes; what is not printable ASCII is escaped.
pub(crate) fn quoted(body: &[u8]) -> String {
    format!("\"{}\"", body.escape_ascii())
}
