//! Ends of streams, and the time that a server needs to see them.

use std::time::Duration;

use crate::fixture::{ClientIndex, Fixture};
use crate::verdict::Stop;

/// By then a server that is not busy has seen the end.
pub(crate) const END_SEEN: Duration = Duration::from_millis(50);
/// How long to wait for a server to close a connection whose other side is
/// closed. It need not (END-2 is a SHOULD); when it does, it has seen the end.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_millis(300);

/// Closes a client's sending side and waits a little for the server to answer
/// with its own end, so that it has surely seen ours.
pub(crate) fn end_of_stream(fixture: &mut Fixture, client: ClientIndex) -> Result<(), Stop> {
    fixture.finish_sending(client);
    fixture.pump_until(CLOSE_WAIT, |fixture| fixture.client(client).end().is_some())?;
    fixture.close(client);
    Ok(())
}
