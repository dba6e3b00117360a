//! END-1 and END-2: what a client sent before its end, and what it is still sent.

use crate::case::Case;
use crate::cases::common::slow_readers::end_with_a_backlog;
use crate::client::End;
use crate::fixture::{ClientIndex, Fixture, IN_FLIGHT_MAX};
use crate::verdict::{Note, Outcome, Stop};

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
        "end/close-after-backlog",
        "END-2",
        "the server closes the connection of a client that has closed its sending side, after what was queued for it",
        close_after_backlog,
    )
    .at_its_pace()
    .should(),
];

fn frames_before_end(fixture: &mut Fixture) -> Outcome {
    let listeners = fixture.join(2, "listener")?;
    for turn in 0..50 {
        let sender = fixture.connect("client that ends its stream")?;
        // Long ones do not fit into what a server may read in a last attempt.
        let length = if turn % 2 == 0 { 100 } else { 255 };
        send_and_end(fixture, sender, IN_FLIGHT_MAX as u32, length)?;
        arrived_before_end(fixture, sender, IN_FLIGHT_MAX as u32, &listeners)?;
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

fn arrived_before_end(
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
        arrived_before_end(fixture, sender, 1, &listeners)?;
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
    let patience = fixture.limits.patience();
    let ended =
        fixture.pump_until_silent(patience, |fixture| fixture.client(sender).end().is_some())?;
    match fixture.client(sender).end() {
        Some(End::EndOfFile) => Ok(Note::new()),
        end => {
            let actual = match end {
                Some(End::Broken(error)) => format!("{error} instead of an end of file"),
                _ => format!("still open after {:.0} s", patience.as_secs_f64()),
            };
            debug_assert!(ended || end.is_none());
            Err(fixture.failure(sender, "the server closes its side too", actual))
        }
    }
}

fn close_after_backlog(fixture: &mut Fixture) -> Outcome {
    let stayer = fixture.join(1, "stayer")?[0];
    let slow = end_with_a_backlog(fixture, stayer)?;
    fixture.set_reading(slow, true)?;
    let patience = fixture.limits.patience();
    if fixture.pump_until_silent(patience, |fixture| fixture.client(slow).end().is_some())? {
        return Ok(Note::new());
    }
    let actual = format!("still open after {:.0} s", patience.as_secs_f64());
    Err(fixture.failure(slow, "the server closes its side too, after what was queued", actual))
}
