//! The correct server under unusual settings.

use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use zillions_faulty::{CloseAfterEof, Knobs, Oddity, SlowReader};
use zillions_testing::Part;

use crate::support::{Probe, Seen, Server};
use crate::{asserting, end, fanout, frame, order, slow};

/// The one whose test is in the short part: the smallest queue that is usual.
const SHORT_ODDITY: &str = "queue-of-five";

/// The one that is no event loop.
const GLOBAL_LOCK: &str = "global-lock";

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
    let slow = Oddity::slow().into_iter().map(|oddity| {
        let part = if oddity.name == GLOBAL_LOCK { Part::Short } else { Part::Long };
        let name = format!("{} is slow and correct", oddity.name);
        (part, asserting(name, move || is_correct(&oddity)))
    });
    let slow_kinds: [(&str, fn()); 3] = [
        ("every kind of slowness has a server", every_kind_of_slowness_has_a_server),
        ("a line is logged for each delivery", a_line_is_logged_for_each_delivery),
        (
            "under a global lock slow readers delay the others and nobody for good",
            under_a_global_lock_slow_readers_delay_nobody_for_good,
        ),
    ];
    let slow_kinds = slow_kinds.into_iter();
    let slow_kinds = slow_kinds.map(|(name, test)| (Part::Short, asserting(name, test)));
    let knobs = knobs.into_iter().map(|(name, test)| (Part::Short, asserting(name, test)));
    correct.chain(ordered).chain(slow).chain(slow_kinds).chain(knobs)
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

fn every_kind_of_slowness_has_a_server() {
    type Kind = (&'static str, fn(&Knobs) -> bool);
    let kinds: [Kind; 10] = [
        ("per delivery", |knobs| knobs.slow_microseconds > 0 && !knobs.busy),
        ("per message", |knobs| knobs.message_microseconds > 0),
        ("per connection", |knobs| knobs.connection_milliseconds > 0),
        ("per byte", |knobs| knobs.byte_nanoseconds > 0),
        ("no other client within a large chunk", |knobs| knobs.read_bytes_max >= 65_536),
        ("a collector that stops for 300 ms", |knobs| knobs.collector_milliseconds == 300),
        ("a log of each message", |knobs| knobs.log),
        ("a log of each delivery", |knobs| knobs.log_deliveries),
        ("one lock held while writing", |knobs| knobs.global_lock),
        ("a busy processor", |knobs| knobs.busy),
    ];
    for (kind, is_of) in kinds {
        assert!(Oddity::slow().iter().any(|oddity| is_of(&oddity.knobs)), "{kind}");
    }
}

fn a_line_is_logged_for_each_delivery() {
    const MESSAGES: usize = 20;
    for style in ["--global-lock", "--nagle"] {
        let log = std::env::temp_dir().join(format!("deliveries-{}-{style}", std::process::id()));
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "exec \"$0\" \"$@\" 2>\"$LOG\"",
            env!("CARGO_BIN_EXE_zillions-faulty"),
        ]);
        command.args(["--log-deliveries", style, "127.0.0.1:0"]).env("LOG", &log);
        let probe = Probe::with_knobs([]);
        command.stdout(Stdio::piped());
        let server = Server::spawn(command, probe.patience).unwrap();
        let mut client = server.connect().unwrap();
        for _ in 0..MESSAGES {
            client.round_trip(b"logged").unwrap();
        }
        // The last line may follow its delivery.
        client.round_trip(b"the end").unwrap();
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("delivered to client ")).count();
        assert!((MESSAGES..=MESSAGES + 1).contains(&lines), "{style}: {lines}");
    }
}

fn under_a_global_lock_slow_readers_delay_nobody_for_good() {
    let probe = || Probe::with_knobs(["--global-lock".to_owned()]);
    assert_eq!(slow::many_stalled_readers_delay_nobody(&probe()), Ok(()));
    assert_eq!(order::all_agree_on_one_order(&probe()), Ok(()));
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
