//! Connections from the request to the last frame.

use std::sync::Arc;

use zillions_websocket::{
    CloseCode, Connection, Flow, Origins, Policy, Violation, close_frame, message_header,
    pong_frame,
};

use crate::handshake::REQUEST;
use crate::streams::frame;

fn policy() -> Policy {
    Policy { origins: Origins::Own, token: None, page: true, message_bytes_max: 1024 }
}

/// What was received in one go comes to.
#[derive(Debug, Default)]
struct Heard {
    frames: Vec<u8>,
    answer: Vec<u8>,
}

fn hear(connection: &mut Connection, bytes: &[u8]) -> (Heard, Flow, Option<Violation>) {
    let mut heard = Heard::default();
    let (flow, violation) = connection.receive(&mut bytes.to_vec(), &mut heard.frames);
    connection.take_output(&mut heard.answer);
    assert!(!connection.has_output(), "all was taken");
    (heard, flow, violation)
}

fn open() -> Connection {
    let mut connection = Connection::new(Arc::new(policy()));
    let (heard, flow, _) = hear(&mut connection, REQUEST.as_bytes());
    assert!(heard.answer.starts_with(b"HTTP/1.1 101 "), "{heard:?}");
    assert_eq!(flow, Flow::Open);
    connection
}

fn last_frame(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    connection.finish(CloseCode::GoingAway);
    connection.take_output(&mut out);
    connection.finish(CloseCode::Normal);
    assert!(!connection.has_output(), "one close frame at most");
    out
}

fn closing(code: CloseCode) -> Vec<u8> {
    let mut frame = Vec::new();
    close_frame(code, &mut frame);
    frame
}

#[test]
fn a_request_in_pieces_and_what_follows_it_at_once_are_one_stream() {
    let stream = [REQUEST.as_bytes(), &frame(0x82, b"\x02hi\x00")].concat();
    for cut in 0..=stream.len() {
        let mut connection = Connection::new(Arc::new(policy()));
        let (first, flow, _) = hear(&mut connection, &stream[..cut]);
        assert_eq!(flow == Flow::Opening, cut < REQUEST.len());
        assert_eq!(connection.is_open(), cut >= REQUEST.len());
        let (second, flow, _) = hear(&mut connection, &stream[cut..]);
        assert_eq!(flow, Flow::Open);
        assert_eq!([first.frames, second.frames].concat(), b"\x02hi\x00");
    }
}

#[test]
fn a_message_that_ends_inside_a_chat_frame_closes_with_1007() {
    let mut connection = open();
    let (heard, flow, _) = hear(&mut connection, &frame(0x82, b"\x01a\x02b"));
    assert_eq!(flow, Flow::Ended);
    assert_eq!(heard.frames, b"\x01a\x02b", "the whole frame before it is a message");
    assert_eq!(last_frame(&mut connection), closing(CloseCode::InvalidData));
}

#[test]
fn fragments_may_cut_chat_frames_anywhere() {
    let mut connection = open();
    let frames = [frame(0x02, b"\x02"), frame(0x89, b"?"), frame(0x80, b"hi")].concat();
    let (heard, flow, _) = hear(&mut connection, &frames);
    assert_eq!((heard.frames, flow), (b"\x02hi".to_vec(), Flow::Open));
    let mut pong = Vec::new();
    pong_frame(b"?", &mut pong);
    assert_eq!(heard.answer, pong);
}

#[test]
fn a_flood_of_pings_is_answered_for_the_latest_only() {
    let mut connection = open();
    let pings: Vec<u8> = (0..200_u8).flat_map(|number| frame(0x89, &[number; 125])).collect();
    let (heard, flow, _) = hear(&mut connection, &pings);
    let mut pong = Vec::new();
    pong_frame(&[199; 125], &mut pong);
    assert_eq!((heard.answer, flow), (pong, Flow::Open));
}

#[test]
fn a_close_frame_is_answered_with_its_code() {
    let cases: [(&[u8], &[u8]); 2] = [(b"", &[0x88, 0]), (&[3, 233, b'b'], &[0x88, 2, 3, 233])];
    for (payload, answer) in cases {
        let mut connection = open();
        let after = [frame(0x88, payload), frame(0x82, b"\x01x")].concat();
        let (heard, flow, violation) = hear(&mut connection, &after);
        assert_eq!((flow, violation), (Flow::Ended, None));
        assert!(heard.frames.is_empty(), "nothing counts after a close frame");
        assert_eq!(last_frame(&mut connection), answer);
    }
}

#[test]
fn the_server_closes_with_its_reason_unless_the_client_is_to_blame() {
    assert_eq!(last_frame(&mut open()), closing(CloseCode::GoingAway));
    let mut connection = open();
    let (_, flow, violation) = hear(&mut connection, &frame(0x81, b"text"));
    assert_eq!((flow, violation), (Flow::Ended, Some(Violation::Text)));
    assert_eq!(last_frame(&mut connection), closing(CloseCode::Unsupported));
    let mut unopened = Connection::new(Arc::new(policy()));
    assert!(last_frame(&mut unopened).is_empty(), "it speaks HTTP");
}

#[test]
fn headers_of_messages_have_the_shortest_length() {
    let header = |length| message_header(length).as_bytes().to_vec();
    assert_eq!(header(0), [0x82, 0]);
    assert_eq!(header(125), [0x82, 125]);
    assert_eq!(header(126), [0x82, 126, 0, 126]);
    assert_eq!(header(65535), [0x82, 126, 255, 255]);
    assert_eq!(header(65536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
}
