//! What the correct server does at the points where there is much to do.
//!
//! Apart from the trait whose default methods call it, so that a fault that
//! does the same with a difference can call it too.

use std::io;
use std::time::Duration;

use crate::client::{BODY_BYTES_MAX, Client, Message, State};
use crate::deviation::Deviation;
use crate::knobs::SlowReader;
use crate::server_state::{Context, ServerState};

/// Takes whole frames off the front of `inbound` and returns their bodies.
pub(crate) fn decode(inbound: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut rest = inbound.as_slice();
    while let Some((&length, after)) = rest.split_first()
        && let Some((body, after)) = after.split_at_checked(usize::from(length))
    {
        bodies.push(body.to_vec());
        rest = after;
    }
    let decoded = inbound.len() - rest.len();
    inbound.drain(..decoded);
    // A long read must not stay allocated for as long as the client lives.
    inbound.shrink_to(BODY_BYTES_MAX + 1);
    bodies
}

/// Delivers one message to every connected client.
pub(crate) fn deliver<D>(deviation: &mut D, state: &mut ServerState, message: &Message)
where
    D: Deviation + ?Sized,
{
    state.touched = true;
    let ServerState { clients, context, .. } = state;
    context.log(|| format!("message {} of client {}", message.sequence, message.sender));
    if !context.knobs.sender_last {
        for client in clients.values_mut() {
            deviation.enqueue(client, message, context);
        }
        return;
    }
    for own in [false, true] {
        for client in clients.values_mut().filter(|c| (c.id == message.sender) == own) {
            deviation.enqueue(client, message, context);
        }
    }
}

/// Queues a message for one client, if there is room for it and the client has
/// not closed its sending side.
pub(crate) fn enqueue<D>(
    deviation: &mut D,
    client: &mut Client,
    message: &Message,
    context: &Context,
) where
    D: Deviation + ?Sized,
{
    if client.state != State::Open {
        return;
    }
    if client.outbound.queue.len() < context.knobs.queue_messages {
        client.outbound.queue.push_back(message.clone());
    } else {
        deviation.overflow(client, message, context);
    }
}

/// Does what the policy says about a message for a client whose queue is full.
pub(crate) fn overflow<D>(
    deviation: &mut D,
    client: &mut Client,
    message: &Message,
    context: &Context,
) where
    D: Deviation + ?Sized,
{
    match context.knobs.slow_reader {
        SlowReader::DropNewest => {}
        SlowReader::DropOldest => {
            client.outbound.drop_oldest();
            client.outbound.queue.push_back(message.clone());
        }
        SlowReader::Disconnect => {
            // Only a client that really does not read is cut off, not one that
            // got a burst since the last write.
            let failed = !client.outbound.blocked && deviation.flush(client, context).is_err();
            if failed || client.outbound.queue.len() >= context.knobs.queue_messages {
                client.remove();
            } else {
                client.outbound.queue.push_back(message.clone());
            }
        }
    }
}

/// Writes as much of a client's queue as its socket takes.
pub(crate) fn flush(client: &mut Client, context: &Context) -> io::Result<()> {
    while !client.outbound.queue.is_empty() {
        let bytes_max = match (context.knobs.nagle, client.outbound.written) {
            (true, 0) => 1,
            (true, _) => client.outbound.rest_bytes(),
            (false, _) => context.write_bytes_max(),
        };
        let Some(written) = client.write_or_block(bytes_max)? else { return Ok(()) };
        let finished = client.outbound.advance(written.taken);
        pause_for(finished, context);
    }
    client.outbound.blocked = false;
    Ok(())
}

/// The pause that a slow server makes after finishing `messages`.
fn pause_for(messages: usize, context: &Context) {
    let each = Duration::from_micros(context.knobs.slow_microseconds);
    if !each.is_zero() {
        context.pause(each.saturating_mul(messages as u32));
    }
}
