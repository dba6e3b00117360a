//! The correct server under unusual settings.

use libtest_mimic::Trial;
use zillions_faulty::{CloseAfterEof, Oddity, SlowReader};
use zillions_testing::Part;

use crate::support::{Probe, Seen};
use crate::{asserting, end, fanout, frame, order};

/// The one whose test is in the short part: the smallest queue that is usual.
const SHORT_ODDITY: &str = "queue-of-five";

pub(crate) fn tests() -> impl Iterator<Item = (Part, Trial)> {
    let correct = Oddity::all().into_iter().map(|oddity| {
        let part = if oddity.name == SHORT_ODDITY { Part::Short } else { Part::Long };
        let name = format!("a server with {} is correct", oddity.name);
        (part, asserting(name, move || is_correct(&oddity)))
    });
    // A flood may legally cost a client its connection there.
    let keeps_clients = |oddity: &Oddity| oddity.knobs.slow_reader != SlowReader::Disconnect;
    let ordered = Oddity::all().into_iter().filter(keeps_clients).map(|oddity| {
        let name = format!("a server with {} has one order", oddity.name);
        (Part::Long, asserting(name, move || has_one_order(&oddity)))
    });
    let knobs: [(&str, fn()); 2] = [
        (
            "the default queue drops nothing of a burst that is read",
            the_default_queue_drops_nothing_of_a_burst_that_is_read,
        ),
        ("the knobs that drop do drop", the_knobs_that_drop_do_drop),
    ];
    let knobs = knobs.into_iter().map(|(name, test)| (Part::Short, asserting(name, test)));
    correct.chain(ordered).chain(knobs)
}

fn with_knobs(oddity: &Oddity) -> Probe {
    let arguments = oddity.knobs.arguments();
    Probe::with_knobs(arguments.into_iter().map(|argument| argument.into_string().unwrap()))
}

fn is_correct(oddity: &Oddity) {
    type Named = (&'static str, fn(&Probe) -> Seen);
    let probes: &[Named] = &[
        ("bodies", frame::bodies_arrive_unchanged_and_once),
        ("pieces", frame::frames_may_arrive_in_pieces),
        ("together", frame::frames_may_arrive_together),
        ("partial", frame::a_partial_frame_at_the_end_is_discarded),
        ("reset", end::a_reset_in_mid_frame_ends_one_client),
        ("leaving", fanout::leaving_disturbs_nobody),
    ];
    // It breaks END-2 by design, which this probe looks at.
    let closes_early = oddity.knobs.close_after_eof == CloseAfterEof::Immediately;
    for (name, probe) in probes.iter().filter(|(name, _)| !(closes_early && *name == "partial")) {
        assert_eq!(probe(&with_knobs(oddity)), Ok(()), "{name}");
    }
}

fn has_one_order(oddity: &Oddity) {
    assert_eq!(order::all_agree_on_one_order(&with_knobs(oddity)), Ok(()));
}

/// Sends many frames at once and counts what comes back.
fn echoes_of_a_burst(arguments: &[&str], count: usize) -> Result<usize, String> {
    let probe = Probe::with_knobs(arguments.iter().map(|argument| (*argument).to_owned()));
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.write(&b"\x01x".repeat(count))?;
    client.send_until_received(b"end", probe.patience)
}

fn the_default_queue_drops_nothing_of_a_burst_that_is_read() {
    assert_eq!(echoes_of_a_burst(&[], 1000), Ok(1000));
}

fn the_knobs_that_drop_do_drop() {
    for knobs in [
        ["--queue-messages=5", "--slow-reader=drop-newest"],
        ["--queue-messages=5", "--slow-reader=drop-oldest"],
        ["--drop-one-in=10", "--slow-reader=drop-newest"],
    ] {
        let heard = echoes_of_a_burst(&knobs, 1000).unwrap();
        assert!((1..1000).contains(&heard), "{knobs:?}: {heard}");
    }
}
