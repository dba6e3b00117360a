//! Everything that RFC 6455 says a server must refuse, and the code to close with.

use zillions_websocket::{CloseCode, Decoder, Event, Violation};

use crate::both_decoders::{End, MESSAGE_BYTES_MAX, ours};
use crate::streams::frame;

fn violation(stream: &[u8]) -> Violation {
    let (_, end) = ours(stream, &[1]);
    let End::Failed(violation) = end else { panic!("accepted: {stream:x?}: {end:?}") };
    assert_eq!(ours(stream, &[]).1, end, "in one piece");
    violation
}

#[test]
fn frames_that_are_no_frames_are_refused_at_the_first_byte_that_shows_it() {
    let cases: &[(&[u8], Violation)] = &[
        (&[0x82, 0x05], Violation::Unmasked),
        (&[0xc2, 0x85], Violation::ReservedBit),
        (&[0xa2, 0x85], Violation::ReservedBit),
        (&[0x92, 0x85], Violation::ReservedBit),
        (&[0x83, 0x80], Violation::Opcode(3)),
        (&[0x87, 0x80], Violation::Opcode(7)),
        (&[0x8b, 0x80], Violation::Opcode(11)),
        (&[0x8f, 0x80], Violation::Opcode(15)),
        (&[0x09, 0x80], Violation::ControlFragmented),
        (&[0x08, 0x80], Violation::ControlFragmented),
        (&[0x89, 0xfe], Violation::ControlTooLong),
        (&[0x8a, 0xff], Violation::ControlTooLong),
        (&[0x88, 0xfe], Violation::ControlTooLong),
        (&[0x80, 0x80], Violation::NothingToContinue),
        (&[0x00, 0x80], Violation::NothingToContinue),
        (&[0x82, 0xfe, 0, 125], Violation::LengthNotMinimal),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::LengthNotMinimal),
        (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0], Violation::LengthTooLarge),
        (&[0x81, 0x80], Violation::Text),
    ];
    for &(stream, expected) in cases {
        assert_eq!(violation(stream), expected, "{stream:x?}");
        // Nothing of it is buffered until then, and nothing less is refused.
        assert_eq!(ours(&stream[..stream.len() - 1], &[]).1, End::Open, "{stream:x?}");
    }
}

#[test]
fn messages_must_not_begin_inside_others() {
    let stream = [frame(0x02, b"\x01a"), frame(0x82, b"\x01b")].concat();
    assert_eq!(violation(&stream), Violation::MessageInMessage);
    let stream = [frame(0x02, b"\x01a"), frame(0x81, b"b")].concat();
    assert_eq!(violation(&stream), Violation::MessageInMessage);
}

#[test]
fn invalid_close_frames_are_refused() {
    assert_eq!(violation(&frame(0x88, &[3])), Violation::CloseTooShort);
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let stream = frame(0x88, &code.to_be_bytes());
        assert_eq!(violation(&stream), Violation::CloseCode(code));
    }
    for code in [1000_u16, 1003, 1007, 1014, 3000, 4999] {
        assert_eq!(ours(&frame(0x88, &code.to_be_bytes()), &[1]).1, End::Closed, "{code}");
    }
    let text = [&1000_u16.to_be_bytes()[..], b"\xff"].concat();
    assert_eq!(violation(&frame(0x88, &text)), Violation::CloseText);
    assert_eq!(Violation::CloseText.close_code(), CloseCode::InvalidData);
}

#[test]
fn messages_that_are_too_long_are_refused_before_they_arrive() {
    let max = MESSAGE_BYTES_MAX;
    let header = |bytes: u64| [&[0x82, 0xfe][..], &(bytes as u16).to_be_bytes()].concat();
    assert_eq!(violation(&header(max + 1)), Violation::TooLong { max });
    assert_eq!(ours(&header(max), &[1]).1, End::Open);
    assert_eq!(violation(&[0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0]), Violation::TooLong { max });
    // In fragments, too; an end that overflows 64 bits included.
    let first = frame(0x02, &vec![0; max as usize]);
    let one_more = [first.clone(), vec![0x80, 0x81]].concat();
    assert_eq!(violation(&one_more), Violation::TooLong { max });
    let empty_end = [first.clone(), frame(0x80, b"")].concat();
    assert_eq!(ours(&empty_end, &[1]).1, End::Open);
    let overflow = [first, vec![0x80, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255]].concat();
    assert_eq!(violation(&overflow), Violation::TooLong { max });
    assert_eq!(Violation::TooLong { max }.close_code(), CloseCode::TooLong);
}

#[test]
fn a_message_is_handed_on_before_it_has_ended() {
    let mut decoder = Decoder::new(u64::MAX);
    let mut stream = frame(0x82, b"\x05hello");
    let mut piece = &mut stream[..8];
    assert_eq!(decoder.decode(&mut piece), Ok(Some(Event::Payload(b"\x05h"))));
    assert_eq!(decoder.decode(&mut piece), Ok(None));
}
