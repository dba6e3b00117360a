//! What a server writes to standard output.

use zillions_harness::Server;

use crate::fixture::Fixture;
use crate::verdict::{Note, Outcome, Stop};

/// Fails if a server has written more than its line so far.
pub(crate) fn said_nothing_more(server: &Server) -> Outcome {
    let extra = server.stdout_after_ready();
    if extra.is_empty() {
        return Ok(Note::new());
    }
    let shown: String = String::from_utf8_lossy(&extra).chars().take(200).collect();
    Err(Stop::fail(
        "nothing on standard output after the line",
        format!("{} bytes: {shown:?}", server.stdout_after_ready_bytes()),
    ))
}

/// Fails if the server has written more than its line so far; of a server that
/// the suite did not start, nothing is known.
pub(crate) fn nothing_but_the_line(fixture: &Fixture) -> Outcome {
    let server = fixture.server();
    server.map_or(Ok(Note::new()), |server| {
        said_nothing_more(server).map_err(|stop| stop.breaking("START-4"))
    })
}
