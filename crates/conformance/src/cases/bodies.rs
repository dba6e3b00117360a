//! FRAME-1 to FRAME-3: what bodies may be. The cases stand in `framing.rs`.

use rand::RngExt;

use super::fanout::equal_at_once;
use crate::fixture::Fixture;
use crate::verdict::{Note, Outcome};

pub(super) fn random_body(fixture: &mut Fixture, length: usize) -> Vec<u8> {
    (0..length).map(|_| fixture.rng.random()).collect()
}

pub(super) fn every_length(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let bodies: Vec<Vec<u8>> = (0..=255).map(|length| random_body(fixture, length)).collect();
    fixture.exchange(clients[0], &bodies, &clients)?;
    Ok(Note::new())
}

/// Lengths at the ends of what one byte can say, signed or not.
const EDGES: [usize; 6] = [0, 1, 127, 128, 254, 255];

pub(super) fn every_pair(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    for first in EDGES {
        for second in EDGES {
            let bodies = [random_body(fixture, first), random_body(fixture, second)];
            fixture.exchange(clients[0], &bodies, &clients)?;
        }
    }
    Ok(Note::new())
}

/// What programs that look into bodies take for a command, a mark, a format or an
/// escape.
const TAKEN_FOR_MORE: [&[u8]; 20] = [
    b"/quit",
    b"/nick somebody",
    b"/",
    b"quit",
    b"QUIT\r\n",
    b"exit",
    b"bye",
    b"PING",
    b"shutdown",
    b"\xef\xbb\xbfmarked",
    b"\xff\xfemarked",
    b"%s%n%d",
    b"\\n\\0",
    b"&amp;<br>",
    b" spaces around ",
    b"\t",
    b"\x03",
    b"\x04",
    // An e and an accent, which some turn into one letter.
    b"e\xcc\x81",
    b"GET / HTTP/1.1\r\n\r\n",
];

/// How other protocols begin: here each is the header of a frame and its body's
/// first bytes.
const BEGINNINGS: [&[u8]; 4] =
    [b"GET / HTTP/1.1\r\n", b"HELO there\r\n", b"\x16\x03\x01", b"PROXY TCP4 "];

pub(super) fn every_byte(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let mut bodies: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    // Rotations by 17 and its neighbours put every value near every place.
    bodies.extend(
        (0..=255u8)
            .step_by(17)
            .map(|turn| (0..255u8).map(|place| place.wrapping_add(turn)).collect::<Vec<u8>>()),
    );
    bodies.extend([0x00, 0x0a, 0x0d, 0x7f, 0x80, 0xff].map(|byte| vec![byte; 255]));
    bodies.extend([&b"\r\n"[..], b"\n\n\n", b"\0\0\0\0", b"end\n", b"\x01\x01\x01"].map(Vec::from));
    bodies.extend(TAKEN_FOR_MORE.map(Vec::from));
    fixture.exchange(clients[0], &bodies, &clients)?;
    for beginning in BEGINNINGS {
        let mut body = beginning[1..].to_vec();
        body.resize(usize::from(beginning[0]), b' ');
        let newcomer = fixture.connect("client whose first bytes look like another protocol")?;
        fixture.exchange(newcomer, &[body], &[newcomer])?;
        fixture.close(newcomer);
        clients.iter().for_each(|&client| drop(fixture.recorder.take_plain(client)));
    }
    Ok(Note::new())
}

/// How often two clients send an empty message at the same moment: whether
/// these meet is chance.
const EMPTIES_AT_ONCE: usize = 40;

pub(super) fn empty_message(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "client")?;
    let rows: [&[&[u8]]; 5] =
        [&[b""], &[b"", b"a"], &[b"a", b"", b"b"], &[b"", b"", b""], &[b"", b"b", b""]];
    for _ in 0..10 {
        for row in rows {
            let bodies: Vec<Vec<u8>> = row.iter().map(|body| body.to_vec()).collect();
            fixture.exchange(clients[1], &bodies, &clients)?;
        }
    }
    for round in 0..EMPTIES_AT_ONCE {
        let pair = [clients[round % clients.len()], clients[(round + 1) % clients.len()]];
        equal_at_once(fixture, &pair, b"", &clients)?;
    }
    Ok(Note::new())
}
