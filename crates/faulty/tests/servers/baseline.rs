//! The correct server under odd settings.

use zillions_faulty::{CloseAfterEof, Oddity, SlowReader};

use crate::support::{Place, Probe, Seen};
use crate::{endings, joins, messages, volume};

fn with_knobs(oddity: &Oddity) -> Probe {
    let arguments = oddity.knobs.arguments();
    Probe::with_knobs(arguments.into_iter().map(|argument| argument.into_string().unwrap()))
}

/// Looks at all odd servers, several side by side: some of them mostly wait.
fn for_each_oddity(look: impl Fn(&Oddity) + Sync) {
    std::thread::scope(|scope| {
        for oddity in Oddity::all() {
            let look = &look;
            scope.spawn(move || {
                let _place = Place::take();
                look(&oddity);
            });
        }
    });
}

#[test]
fn every_odd_server_is_correct() {
    type Named = (&'static str, fn(&Probe) -> Seen);
    let probes: &[Named] = &[
        ("bodies", messages::bodies_arrive_unchanged_and_once),
        ("pieces", messages::frames_may_arrive_in_pieces),
        ("together", messages::frames_may_arrive_together),
        ("partial", endings::a_partial_frame_at_the_end_is_discarded),
        ("reset", endings::a_reset_in_mid_frame_ends_one_client),
        ("leaving", joins::leaving_disturbs_nobody),
    ];
    for_each_oddity(|oddity| {
        // It says of itself that it breaks END-2, which this probe looks at.
        let closes_early = oddity.knobs.close_after_eof == CloseAfterEof::Immediately;
        for (name, probe) in probes {
            if closes_early && *name == "partial" {
                continue;
            }
            let seen = probe(&with_knobs(oddity));
            assert_eq!(seen, Ok(()), "{}: {name}", oddity.name);
        }
    });
}

#[test]
fn every_odd_server_that_keeps_its_clients_has_one_order() {
    for_each_oddity(|oddity| {
        // A flood may legally cost a client its connection there.
        if oddity.knobs.slow_reader != SlowReader::Disconnect {
            let seen = volume::all_agree_on_one_order(&with_knobs(oddity));
            assert_eq!(seen, Ok(()), "{}", oddity.name);
        }
    });
}

/// Sends many frames at once and counts what comes back.
fn echoes_of_a_burst(arguments: &[&str], count: usize) -> Result<usize, String> {
    let probe = Probe::with_knobs(arguments.iter().map(|argument| (*argument).to_owned()));
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.send(&b"\x01x".repeat(count))?;
    client.say_until_heard(b"end", probe.patience)
}

#[test]
fn the_default_queue_drops_nothing_of_a_burst_that_one_reads() {
    assert_eq!(echoes_of_a_burst(&[], 1000), Ok(1000));
}

#[test]
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
