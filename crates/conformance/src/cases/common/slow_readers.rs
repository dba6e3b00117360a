//! Clients with messages that wait for them, and clients that read again.

use std::time::Duration;

use crate::cases::common::ends::END_SEEN;
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture, Flood, FloodPace};
use crate::verdict::{Outcome, Stop};

/// What is sent past it, in bytes: more than the system keeps for it. And the
/// time for it, by which slow servers end it.
pub(crate) const BACKLOG_BYTES: u64 = 4 << 20;
pub(crate) const BACKLOG_TIME: Duration = Duration::from_millis(500);
/// Time for what must fill all buffers of a client that resumes reading later.
pub(crate) const LONG_FLOOD_TIME: Duration = Duration::from_secs(5);

/// `slow` stops reading until messages are queued for it.
pub(crate) fn leave_a_backlog(
    fixture: &mut Fixture,
    talker: ClientIndex,
    slow: ClientIndex,
) -> Result<(), Stop> {
    fixture.await_served(talker, &[talker, slow])?;
    fixture.set_reading(slow, false)?;
    // The second time the system's buffers have grown as far as they do.
    for bytes in [BACKLOG_BYTES, BACKLOG_BYTES / 4] {
        let flood =
            Flood { senders: vec![talker], pace: FloodPace::Echoes, bytes, lengths: [250; 2] };
        fixture.flood(&flood, BACKLOG_TIME)?;
        fixture.send_until_delivered(
            talker,
            &[talker],
            "a message beside a client that does not read",
        )?;
    }
    Ok(())
}

/// A client that does not read ends its stream while messages wait for it.
pub(crate) fn end_with_a_backlog(
    fixture: &mut Fixture,
    talker: ClientIndex,
) -> Result<ClientIndex, Stop> {
    let slow = fixture.connect_with("client that ends its stream", ConnectOptions::SMALL)?;
    leave_a_backlog(fixture, talker, slow)?;
    fixture.finish_sending(slow);
    // The server sees the end before it can write again.
    fixture.pump_for(END_SEEN)?;
    fixture.send_until_delivered(
        talker,
        &[talker],
        "a message beside a client that has ended its stream",
    )?;
    Ok(slow)
}

/// `stalled` reads again, unless it was disconnected, which is legal (DROP-5).
pub(crate) fn read_on(fixture: &mut Fixture, talker: ClientIndex, stalled: ClientIndex) -> Outcome {
    fixture.set_reading(stalled, true)?;
    let disconnected = fixture.drain(talker, stalled);
    fixture.check_violations()?;
    if disconnected? {
        return Ok("it was disconnected".to_owned());
    }
    Ok(format!("{} messages dropped", fixture.recorder.tally(stalled, talker).missing()))
}
