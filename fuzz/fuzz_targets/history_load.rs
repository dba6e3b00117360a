//! No data makes the loader panic; what it accepts comes back as it was, and
//! every counterexample to it is confirmed.
//!
//! `cargo +nightly fuzz run history_load -- -max_total_time=60`

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use zillions_ordering::{
    ConnectionId, Event, History, MessageId, StreamPosition, account, check, load, save,
};

#[derive(Arbitrary, Debug)]
enum Input<'d> {
    /// A whole file.
    File(&'d [u8]),
    /// The lines of a file: random data never gets past the first one.
    Lines(&'d [u8]),
    /// Events: random lines are rarely any.
    Events(Vec<Step>),
}

/// An event in few bytes; one that cannot follow is left out.
#[derive(Arbitrary, Debug)]
enum Step {
    Connect,
    Send { sender: u8, short: Option<u8>, maybe: bool },
    MaybeFrom { sender: u8, sequence: u8 },
    Receive { connection: u8, sender: u8, sequence: u8 },
    ReceiveShort { connection: u8, body: u8 },
    ReceiveUnknown { connection: u8 },
}

fuzz_target!(|input: Input<'_>| {
    let loaded = match input {
        Input::File(bytes) => load(bytes),
        Input::Lines(lines) => load(&[b"zillions-history 1\n", lines, b"\nend\n"].concat()[..]),
        Input::Events(steps) => return examine(&recorded(&steps)),
    };
    match loaded {
        Ok(history) => examine(&history),
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
});

fn examine(history: &History) {
    let mut file = Vec::new();
    save(history, "", &mut file).expect("memory takes it");
    assert!(load(&file[..]).expect("it was just saved") == *history);
    check(history).confirmed(history).expect("a counterexample is true");
    account(history);
}

fn recorded(steps: &[Step]) -> History {
    let mut history = History::new();
    let connection = |index: u8| ConnectionId::from_index(index.into());
    let id =
        |sender, sequence: u8| MessageId { sender: connection(sender), sequence: sequence.into() };
    for (offset, step) in (0..).zip(steps) {
        let position = StreamPosition { offset, time_ns: offset };
        let event = match step {
            Step::Connect => {
                history.connect();
                continue;
            }
            Step::Send { sender, short, maybe } => Event::Send {
                message: MessageId {
                    sender: connection(*sender),
                    sequence: history.sent(connection(*sender)),
                },
                short: short.as_ref().map(std::slice::from_ref),
                maybe: *maybe,
            },
            Step::MaybeFrom { sender, sequence } => {
                Event::MaybeFrom { message: id(*sender, *sequence) }
            }
            Step::Receive { connection: receiver, sender, sequence } => Event::Receive {
                connection: connection(*receiver),
                message: id(*sender, *sequence),
                position,
            },
            Step::ReceiveShort { connection: receiver, body } => Event::ReceiveAnonymous {
                connection: connection(*receiver),
                body: std::slice::from_ref(body),
                position,
            },
            Step::ReceiveUnknown { connection: receiver } => Event::ReceiveUnknown {
                connection: connection(*receiver),
                position,
                detail: "noise",
            },
        };
        // Connections and messages that do not exist are refused.
        let _ = history.record(event);
    }
    history
}
