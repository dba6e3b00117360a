//! FRAME-8: a header that is sent alone is acknowledged at once.
//!
//! A client that writes header and body with two calls and leaves Nagle's algorithm on sends
//! the body only when the header is acknowledged. A kernel delays that by 40 ms, to send it
//! together with an answer, and no answer comes before the body is there.

use std::time::{Duration, Instant};

use crate::case::Case;
use crate::cases::common::messages::random_body;
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture, frame, show_body};
use crate::verdict::{Outcome, Stop};

/// What comes first, in one segment each. Linux acknowledges the first 16 segments of a
/// connection at once, and delays only where answers have followed what was received.
const FIRST_MESSAGES: usize = 20;
/// A round is some frames in one segment, which bring such a connection about, and one in two.
const WHOLE_PER_ROUND: usize = 3;
/// So many rounds decide, further ones if they do not, and fewer on a slow server.
const ROUNDS: usize = 15;
const ROUNDS_MIN: usize = 3;
/// Time for all of it.
const TIME_MAX: Duration = Duration::from_millis(1500);
/// Length of bodies, in bytes: short for a segment, as most messages are.
const BODY_BYTES: usize = 24;
/// FRAME-8's bound.
const ECHO_MAX: Duration = Duration::from_millis(10);
/// What a delayed acknowledgement adds at least: 40 ms on Linux, up to 200 ms elsewhere. A busy
/// machine makes a server that is not held up look slow, but not frames in two segments alone.
const DELAY_MIN: Duration = Duration::from_millis(25);

pub(super) const CASES: &[Case] = &[Case::must(
    "frame/two-segments",
    "FRAME-8",
    "a body that is sent only when its header is acknowledged is not held up",
    two_segments,
)
.should()
.alone()
.quick()];

fn two_segments(fixture: &mut Fixture) -> Outcome {
    let options = ConnectOptions { nagle: true, ..ConnectOptions::default() };
    let client = fixture.connect_with("client with Nagle's algorithm on", options)?;
    fixture.await_served(client, &[client])?;
    fixture.recorder.expect_plain();
    let begun = Instant::now();
    let (mut whole, mut split) = (Vec::new(), Vec::new());
    for _ in 0..FIRST_MESSAGES {
        whole.push(echo(fixture, client, false)?);
        if begun.elapsed() > TIME_MAX / 2 {
            break;
        }
    }
    loop {
        for _ in 0..WHOLE_PER_ROUND {
            whole.push(echo(fixture, client, false)?);
        }
        split.push(echo(fixture, client, true)?);
        let echoes = Echoes { whole: median(&mut whole), split: median(&mut split) };
        let over = begun.elapsed() > TIME_MAX && split.len() >= ROUNDS_MIN;
        match echoes.finding() {
            Finding::Prompt if over || split.len() >= ROUNDS => return Ok(echoes.figures()),
            Finding::HeldUp if over || split.len() >= ROUNDS => {
                let expected = "a header that is sent alone is acknowledged at once, so that its \
                                body can follow";
                return Err(fixture.failure(client, expected, echoes.figures()));
            }
            Finding::Unclear if over => return Err(Stop::Inconclusive(echoes.figures())),
            _ => {}
        }
    }
}

/// Sends a message, in one segment or with its header alone, and measures how long its echo
/// takes.
fn echo(fixture: &mut Fixture, client: ClientIndex, header_alone: bool) -> Result<Duration, Stop> {
    let body = random_body(fixture, BODY_BYTES);
    let frame = frame(&body);
    let (header, rest) = frame.split_at(usize::from(header_alone));
    let begun = Instant::now();
    for part in [header, rest] {
        fixture.queue_bytes(client, part);
        fixture.flush()?;
    }
    fixture.await_each(&[client], "the echo of a message", |fixture, client| {
        !fixture.recorder.plain(client).is_empty()
    })?;
    let took = begun.elapsed();
    // A fence would answer in the place of the next header.
    let received = fixture.recorder.take_plain(client);
    if received != [&body[..]] {
        let shown: Vec<String> = received.iter().map(|body| show_body(body)).collect();
        return Err(fixture.failure(client, show_body(&body), shown.join(", ")));
    }
    Ok(took)
}

fn median(times: &mut [Duration]) -> Duration {
    let middle = times.len() / 2;
    *times.select_nth_unstable(middle).1
}

/// Median times from a message to its echo.
struct Echoes {
    /// Of frames in one segment.
    whole: Duration,
    /// Of frames whose header comes alone.
    split: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Prompt,
    HeldUp,
    /// Something adds to it, and a delayed acknowledgement would add more.
    Unclear,
}

impl Echoes {
    fn finding(&self) -> Finding {
        // The server has two turns where it has one for a whole frame, however slow it is.
        let added = self.split.saturating_sub(2 * self.whole);
        if added < ECHO_MAX {
            Finding::Prompt
        } else if added < DELAY_MIN {
            Finding::Unclear
        } else {
            Finding::HeldUp
        }
    }

    fn figures(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        format!(
            "the median echo takes {:.2} ms if the header comes alone, {:.2} ms in one segment",
            ms(self.split),
            ms(self.whole)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(whole_ms: f64, split_ms: f64) -> Finding {
        let time = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        Echoes { whole: time(whole_ms), split: time(split_ms) }.finding()
    }

    #[test]
    fn what_is_40_ms_late_only_in_two_segments_is_held_up() {
        assert_eq!(finding(0.1, 40.1), Finding::HeldUp);
        assert_eq!(finding(2.0, 44.0), Finding::HeldUp);
        assert_eq!(finding(30.0, 130.0), Finding::HeldUp);
    }

    #[test]
    fn a_slow_server_is_not_held_up_where_two_segments_take_it_two_turns() {
        assert_eq!(finding(0.1, 9.9), Finding::Prompt);
        assert_eq!(finding(8.0, 16.0), Finding::Prompt);
        assert_eq!(finding(50.0, 100.0), Finding::Prompt);
        assert_eq!(finding(300.0, 300.0), Finding::Prompt);
    }

    #[test]
    fn what_no_delayed_acknowledgement_explains_is_left_open() {
        assert_eq!(finding(0.1, 20.0), Finding::Unclear);
        assert_eq!(finding(5.0, 30.0), Finding::Unclear);
    }

    #[test]
    fn the_median_is_that_of_the_middle() {
        let mut times = [5, 1, 300, 2, 4].map(Duration::from_millis);
        assert_eq!(median(&mut times), Duration::from_millis(4));
    }
}
