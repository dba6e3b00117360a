//! END: half-close, end of file, resets.

mod leaving;

use std::time::Duration;

pub(super) use leaving::leave_a_backlog;
use leaving::{descriptors_given_back, threads_and_processes_given_back};

use crate::case::Case;
use crate::client::{ConnectOptions, End};
use crate::fixture::{ClientIndex, Fixture, Flood, IN_FLIGHT_MAX};
use crate::verdict::{Note, Outcome, Stop};

/// How many clients end their stream while messages wait for them.
const BACKLOG_ENDS: usize = 3;
/// By then a server that is not busy has seen the end.
pub(super) const END_SEEN: Duration = Duration::from_millis(50);
/// How long what waits for one is watched as it comes. It need not be closed then.
const BACKLOG_WAIT: Duration = Duration::from_millis(500);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "end/frames-before-end",
        "END-1",
        "what a client sends right before it closes its sending side reaches the others",
        frames_before_end,
    )
    .quick(),
    Case::must(
        "end/frame-before-close",
        "END-1",
        "what a client sends right before it closes its socket reaches the others",
        frame_before_close,
    ),
    Case::must(
        "end/echo-after-end",
        "END-2",
        "a client that has closed its sending side still gets its own messages",
        echo_after_end,
    )
    .should(),
    Case::must(
        "end/close-after-end",
        "END-2",
        "the server closes the connection of a client that has closed its sending side",
        close_after_end,
    )
    .should(),
    Case::must(
        "end/backlog-after-end",
        "FRAME-5",
        "a client that ends its stream while messages wait for it gets whole ones",
        backlog_after_end,
    ),
    Case::must(
        "end/close-after-backlog",
        "END-2",
        "the server closes the connection of such a client once it has read them",
        close_after_backlog,
    )
    .should(),
    Case::must(
        "end/reset-after-connect",
        "END-3",
        "two hundred clients that reset right after connecting end nothing but themselves",
        reset_after_connect,
    )
    .quick(),
    Case::must(
        "end/reset-in-mid-frame",
        "END-3",
        "clients that reset in the middle of a frame end nothing but themselves",
        reset_in_mid_frame,
    ),
    Case::must(
        "end/reset-while-written-to",
        "END-3",
        "clients that reset while the server writes to them end nothing but themselves",
        reset_while_written_to,
    )
    .quick(),
    Case::must(
        "end/descriptors-given-back",
        "END-4",
        "after five hundred clients have left in every way, the server holds no more descriptors than before",
        descriptors_given_back,
    )
    .launching(),
    Case::must(
        "end/threads-and-processes-given-back",
        "END-4",
        "after three hundred clients have left, no thread or process is left of most of them",
        threads_and_processes_given_back,
    )
    .launching(),
];

fn frames_before_end(fixture: &mut Fixture) -> Outcome {
    let listeners = fixture.join(2, "listener")?;
    for turn in 0..50 {
        let sender = fixture.connect("client that ends its stream")?;
        // Long ones do not fit into what a last look for what is left may read.
        let length = if turn % 2 == 0 { 100 } else { 255 };
        send_and_end(fixture, sender, IN_FLIGHT_MAX as u32, length)?;
        came_before_end(fixture, sender, IN_FLIGHT_MAX as u32, &listeners)?;
        fixture.close(sender);
    }
    Ok(Note::new())
}

fn send_and_end(
    fixture: &mut Fixture,
    sender: ClientIndex,
    count: u32,
    length: usize,
) -> Result<(), Stop> {
    for _ in 0..count {
        fixture.send(sender, length);
    }
    fixture.flush()?;
    fixture.finish_sending(sender);
    Ok(())
}

fn came_before_end(
    fixture: &mut Fixture,
    sender: ClientIndex,
    count: u32,
    to: &[ClientIndex],
) -> Result<(), Stop> {
    let expected = format!("{count} whole messages that a client sent before it ended");
    fixture.await_message(sender, count - 1, to, &expected)?;
    for &receiver in to {
        let received = fixture.recorder.tally(receiver, sender).received;
        if received != count {
            return Err(fixture.failure(receiver, expected, format!("{received} of them")));
        }
    }
    Ok(())
}

fn frame_before_close(fixture: &mut Fixture) -> Outcome {
    let listeners = fixture.join(2, "listener")?;
    for _ in 0..50 {
        let sender = fixture.connect("client that closes")?;
        // One message only: the server's echo may meet a closed socket, and
        // the reset that answers it may overtake further ones.
        fixture.send(sender, 100);
        fixture.flush()?;
        fixture.close(sender);
        came_before_end(fixture, sender, 1, &listeners)?;
    }
    Ok(Note::new())
}

fn echo_after_end(fixture: &mut Fixture) -> Outcome {
    let listener = fixture.join(1, "listener")?[0];
    for _ in 0..10 {
        let sender = fixture.connect("client that ends its stream")?;
        fixture.await_served(sender, &[sender, listener])?;
        let last = fixture.recorder.sent(sender) + IN_FLIGHT_MAX as u32 - 1;
        send_and_end(fixture, sender, IN_FLIGHT_MAX as u32, 100)?;
        fixture.await_message(
            sender,
            last,
            &[sender],
            "its own messages, after it ended its stream",
        )?;
        fixture.close(sender);
    }
    Ok(Note::new())
}

fn close_after_end(fixture: &mut Fixture) -> Outcome {
    let sender = fixture.join(1, "client that ends its stream")?[0];
    send_and_end(fixture, sender, 1, 100)?;
    let patience = fixture.context.patience();
    let ended = fixture.pump_until(patience, |fixture| fixture.client(sender).end().is_some())?;
    match fixture.client(sender).end() {
        Some(End::EndOfFile) => Ok(Note::new()),
        end => {
            let came = match end {
                Some(End::Broken(error)) => format!("{error} instead of an end of file"),
                _ => format!("still open after {:.0} s", patience.as_secs_f64()),
            };
            debug_assert!(ended || end.is_none());
            Err(fixture.failure(sender, "the server closes its side, too", came))
        }
    }
}

fn backlog_after_end(fixture: &mut Fixture) -> Outcome {
    let stayer = fixture.join(1, "stayer")?[0];
    let mut came = 0;
    for _ in 0..BACKLOG_ENDS {
        let slow = end_with_a_backlog(fixture, stayer)?;
        let before = fixture.client(slow).bytes_received();
        fixture.set_reading(slow, true)?;
        fixture.pump_until(BACKLOG_WAIT, |fixture| fixture.client(slow).end().is_some())?;
        came += fixture.client(slow).bytes_received() - before;
        fixture.check_violations()?;
        fixture.close(slow);
    }
    Ok(format!("{} KiB came behind the end", came / 1024))
}

fn close_after_backlog(fixture: &mut Fixture) -> Outcome {
    let stayer = fixture.join(1, "stayer")?[0];
    let slow = end_with_a_backlog(fixture, stayer)?;
    fixture.set_reading(slow, true)?;
    let patience = fixture.context.patience();
    if fixture.pump_until(patience, |fixture| fixture.client(slow).end().is_some())? {
        return Ok(Note::new());
    }
    let came = format!("still open after {:.0} s", patience.as_secs_f64());
    Err(fixture.failure(slow, "the server closes its side, too, after what was queued", came))
}

/// A client that does not read ends its stream while messages wait for it.
fn end_with_a_backlog(fixture: &mut Fixture, talker: ClientIndex) -> Result<ClientIndex, Stop> {
    let slow = fixture.connect_with("client that ends its stream", ConnectOptions::SMALL)?;
    leave_a_backlog(fixture, talker, slow)?;
    fixture.finish_sending(slow);
    // The server sees the end before it can write again.
    fixture.pump_until(END_SEEN, |_| false)?;
    fixture.send_until_delivered(
        talker,
        &[talker],
        "a message beside a client that has ended its stream",
    )?;
    Ok(slow)
}

fn reset_after_connect(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    for turn in 0..200 {
        let client = fixture.connect("client that resets at once")?;
        fixture.reset(client);
        if turn % 20 == 0 {
            fixture.deliver(&[(stayers[0], 30), (stayers[1], 30)], &stayers)?;
        }
    }
    newcomer_is_served(fixture, &stayers)
}

/// Those who stayed go on, and somebody new is served.
fn newcomer_is_served(fixture: &mut Fixture, stayers: &[ClientIndex]) -> Outcome {
    fixture.send_until_delivered(stayers[0], stayers, "a message after others were reset")?;
    let newcomer = fixture.connect("newcomer")?;
    fixture.await_served(newcomer, &[newcomer])?;
    fixture.deliver(&[(stayers[0], 30), (newcomer, 30)], stayers)?;
    Ok(Note::new())
}

fn reset_in_mid_frame(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    for turn in 0..60usize {
        let client = fixture.connect("client that resets in mid-frame")?;
        let (_, frame) = fixture.frame_of_next(client, 200);
        fixture.queue_bytes(client, &frame[..1 + turn * 3]);
        fixture.flush()?;
        if turn % 2 == 0 {
            // Every other one only after the server has seen the part.
            fixture.fence(stayers[0], &stayers, "a message beside an incomplete frame")?;
        }
        fixture.reset(client);
        fixture.deliver(&[(stayers[1], 30)], &stayers)?;
    }
    fixture.check_violations()?;
    newcomer_is_served(fixture, &stayers)
}

fn reset_while_written_to(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    for turn in 0..20 {
        let client = fixture.connect_with("client that does not read", ConnectOptions::STALLED)?;
        let flood =
            Flood { senders: vec![stayers[0]], steady: true, bytes: 96 * 1024, lengths: [250; 2] };
        fixture.flood(&flood, Duration::from_millis(100))?;
        if turn % 2 == 0 {
            for _ in 0..50 {
                fixture.send(stayers[0], 250);
            }
            fixture.flush()?;
        }
        fixture.reset(client);
        fixture.send_until_delivered(stayers[0], &stayers, "a message after a client was reset")?;
    }
    newcomer_is_served(fixture, &stayers)
}
