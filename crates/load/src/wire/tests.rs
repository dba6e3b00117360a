use proptest::prelude::*;

use super::reassembly::{UNIT_BYTES_MAX, decimals};
use super::*;

const BROKERS: [WireFormat; 2] = [WireFormat::Nats, WireFormat::Redis];

/// What was said, with nothing lent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Message(Vec<u8>),
    Ping(&'static [u8]),
    Ignored,
    Error(String),
}

fn decode_all(decoder: &mut impl Decode, mut piece: &[u8], said: &mut Vec<Said>) {
    while let Some(inbound) = decoder.decode(&mut piece) {
        said.push(match inbound {
            Inbound::Message(body) => Said::Message(body.to_vec()),
            Inbound::Ping(answer) => Said::Ping(answer),
            Inbound::Ignored => Said::Ignored,
            Inbound::Error(reason) => Said::Error(reason),
        });
    }
    assert!(piece.is_empty(), "what is not whole is taken too");
}

/// Everything in `pieces`, inbound by one fresh decoder.
fn said<'a>(format: WireFormat, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Said> {
    let mut decoders = Decoders::new(format, 1);
    let mut said = Vec::new();
    for piece in pieces {
        with_decoder!(&mut decoders, 0, |decoder| decode_all(decoder, piece, &mut said));
    }
    said
}

/// A message with `body` as the server sends it.
fn delivery(format: WireFormat, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = match format {
        WireFormat::Zillions => vec![length as u8],
        WireFormat::Nats => format!("MSG z 1 {length}\r\n").into_bytes(),
        WireFormat::Redis => {
            format!(">3\r\n$7\r\nmessage\r\n$1\r\nz\r\n${length}\r\n").into_bytes()
        }
    };
    bytes.extend_from_slice(body);
    if format != WireFormat::Zillions {
        bytes.extend_from_slice(b"\r\n");
    }
    assert_eq!(bytes.len(), format.received_bytes(length));
    bytes
}

/// What a stream has besides messages, as the servers of these protocols send it.
fn besides(format: WireFormat) -> Vec<(&'static [u8], Said)> {
    match format {
        WireFormat::Zillions => Vec::new(),
        WireFormat::Nats => vec![
            (b"INFO {\"server_id\":\"NA\",\"max_payload\":1048576}\r\n", Said::Ignored),
            (b"PING\r\n", Said::Ping(b"PONG\r\n")),
            (b"+OK\r\n", Said::Ignored),
        ],
        WireFormat::Redis => vec![
            (
                b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n\
                  $5\r\nproto\r\n:3\r\n$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
                  $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n",
                Said::Ignored,
            ),
            (b">3\r\n$9\r\nsubscribe\r\n$1\r\nz\r\n:1\r\n", Said::Ignored),
            (b"+OK\r\n", Said::Ignored),
            (b":64\r\n", Said::Ignored),
            (b"$-1\r\n", Said::Ignored),
            (b"_\r\n", Said::Ignored),
            (b"$0\r\n\r\n", Said::Ignored),
        ],
    }
}

/// A stream with everything in it, and what is said in it.
fn stream(format: WireFormat, bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<Said>) {
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    let mut besides = besides(format).into_iter();
    for body in bodies {
        if let Some((words, said)) = besides.next() {
            bytes.extend_from_slice(words);
            expected.push(said);
        }
        bytes.extend(delivery(format, body));
        expected.push(Said::Message(body.clone()));
    }
    for (words, said) in besides {
        bytes.extend_from_slice(words);
        expected.push(said);
    }
    (bytes, expected)
}

/// Bodies that look like the protocols' own lines, and of every number of digits.
fn awkward_bodies() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"\r\n".to_vec(),
        b"MSG z 1 5\r\n".to_vec(),
        b">3\r\n$7\r\nmessage\r\n".to_vec(),
        vec![0; 9],
        vec![b'\n'; 10],
        vec![255; 99],
        vec![7; 100],
        (0..=254).collect(),
    ]
}

#[test]
fn a_stream_that_is_cut_in_two_anywhere_says_the_same() {
    for format in [WireFormat::Zillions, WireFormat::Nats, WireFormat::Redis] {
        let (bytes, expected) = stream(format, &awkward_bodies());
        assert_eq!(said(format, [&bytes[..]]), expected, "{format:?}, in one piece");
        for cut in 0..=bytes.len() {
            let (front, back) = bytes.split_at(cut);
            assert_eq!(said(format, [front, back]), expected, "{format:?}, cut at {cut}");
        }
        assert_eq!(said(format, bytes.chunks(1)), expected, "{format:?}, byte by byte");
    }
}

proptest! {
    #[test]
    fn a_stream_that_is_cut_into_any_pieces_says_the_same(
        format in prop::sample::select(vec![
            WireFormat::Zillions, WireFormat::Nats, WireFormat::Redis,
        ]),
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=255), 0..12),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (bytes, expected) = stream(format, &bodies);
        let mut cuts: Vec<_> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(said(format, pieces), expected);
    }

    #[test]
    fn what_is_sent_is_as_long_as_announced_and_carries_the_stamp(
        sequence: u32, intended_ns: u64, length in body::BODY_BYTES_MIN as u8..,
    ) {
        let stamp = Stamp { intended_ns, sequence, sender: 3 };
        for format in [WireFormat::Zillions, WireFormat::Nats, WireFormat::Redis] {
            let mut bytes = Vec::new();
            format.append_message(stamp, length, 9, &mut bytes);
            prop_assert_eq!(bytes.len(), format.sent_bytes(length));
            let end = if format == WireFormat::Zillions { 0 } else { 2 };
            let body = &bytes[bytes.len() - end - usize::from(length)..bytes.len() - end];
            prop_assert_eq!(body::verify(body, 9), Some(stamp));
        }
    }

    #[test]
    fn no_stream_makes_a_decoder_panic_or_hold_more_than_its_bound(
        format in prop::sample::select(BROKERS.to_vec()),
        noise in prop::collection::vec(
            prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                Just(b"\r\n".to_vec()), Just(b"$5\r\n".to_vec()), Just(b"*3\r\n".to_vec()),
                Just(b"%99\r\n".to_vec()), Just(b"MSG z 1 ".to_vec()), Just(b">3\r\n".to_vec()),
                Just(b"$99999999999999999999\r\n".to_vec()), Just(b"$-1\r\n".to_vec()),
            ],
            0..60,
        ),
        piece_bytes in 1_usize..40,
    ) {
        let noise = noise.concat();
        said(format, noise.chunks(piece_bytes));
    }
}

#[test]
fn lengths_are_written_with_all_their_digits() {
    for length in [18, 99, 100, 109, 200, 255] {
        let mut bytes = Vec::new();
        append_decimal(length, &mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), length.to_string());
        assert_eq!(decimals(usize::from(length)), length.to_string().len());
    }
    assert_eq!(decimals(0), 1);
}

#[test]
fn errors_of_the_servers_are_quoted() {
    let nats = said(WireFormat::Nats, [&b"-ERR 'Slow Consumer'\r\n"[..]]);
    assert_eq!(nats, [Said::Error("the server said: -ERR 'Slow Consumer'".to_owned())]);
    let redis = said(WireFormat::Redis, [&b"-NOPROTO unsupported \x1b[0m version\r\n"[..]]);
    assert_eq!(
        redis,
        [Said::Error("the server said: NOPROTO unsupported  [0m version".to_owned())]
    );
}

#[test]
fn a_server_of_another_protocol_is_noticed() {
    for (format, bytes) in [
        (WireFormat::Nats, &b"HTTP/1.1 400 Bad Request\r\n"[..]),
        (WireFormat::Nats, b"MSG z 1 5\r\nhelloXX"),
        (WireFormat::Redis, b"HTTP/1.1 400 Bad Request\r\n"),
        (WireFormat::Redis, b">3\r\n$7\r\nmessage\r\n$1\r\nz\r\n$5\r\nhelloXX"),
        (WireFormat::Redis, b"$x\r\n"),
    ] {
        let said = said(format, [bytes]);
        assert!(matches!(said[0], Said::Error(_)), "{format:?}: {said:?}");
    }
}

#[test]
fn an_endless_unit_is_an_error() {
    let endless = vec![b'I'; UNIT_BYTES_MAX * 4];
    for format in BROKERS {
        for piece_bytes in [1_000, UNIT_BYTES_MAX * 2] {
            let said = said(format, endless.chunks(piece_bytes));
            assert!(
                matches!(&said[0], Said::Error(reason) if reason.contains("more than 16384")),
                "{format:?}: {said:?}"
            );
        }
    }
}
