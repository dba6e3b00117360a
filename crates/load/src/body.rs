//! What a measured message carries, and how its receiver knows that every byte of it is right.
//!
//! | bytes | what | |
//! | --- | --- | --- |
//! | 0–7 | `intended_ns` | when it was meant to be sent, on the generator's clock |
//! | 8–11 | `sequence` | 0, 1, 2, … per sender |
//! | 12–13 | `sender` | index of the client that sent it; [`PROBE_SENDER`] in probes |
//! | 14–17 | check | of all of the above, the length of the body and the trial's tag |
//! | 18– | padding | a stretch of a fixed table that depends on `sequence` |
//!
//! Numbers are little-endian. The padding is compared with the table, so a flipped, missing or
//! foreign byte anywhere in the body is noticed.

/// The shortest body that can carry the fields, in bytes.
pub const BODY_BYTES_MIN: usize = 18;

/// The `sender` of a probe: a message sent before the measured ones, to see who is being served.
pub const PROBE_SENDER: u16 = u16::MAX;

/// How many padding stretches there are; `sequence` picks one.
const STRETCHES: usize = 256;
const TABLE_BYTES: usize = STRETCHES + zillions_protocol::BODY_BYTES_MAX;
static TABLE: [u8; TABLE_BYTES] = padding_table();

/// The fields of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When the message was meant to be sent, in nanoseconds on the generator's clock.
    pub intended_ns: u64,
    /// Its number among its sender's messages, from 0.
    pub sequence: u32,
    /// The index of the client that sent it.
    pub sender: u16,
}

/// Appends the frame of a body of `length` bytes that carries `stamp`.
///
/// # Panics
///
/// If `length` is below [`BODY_BYTES_MIN`]; a plan that was checked asks for no such body.
#[inline]
pub fn append_frame(stamp: Stamp, length: u8, tag: u32, out: &mut Vec<u8>) {
    out.push(length);
    append(stamp, length, tag, out);
}

/// Appends a body of `length` bytes that carries `stamp`, and nothing else.
///
/// # Panics
///
/// As [`append_frame`].
#[inline]
pub fn append(stamp: Stamp, length: u8, tag: u32, out: &mut Vec<u8>) {
    assert!(usize::from(length) >= BODY_BYTES_MIN, "a body of {length} bytes cannot carry a stamp");
    out.extend_from_slice(&stamp.intended_ns.to_le_bytes());
    out.extend_from_slice(&stamp.sequence.to_le_bytes());
    out.extend_from_slice(&stamp.sender.to_le_bytes());
    out.extend_from_slice(&check(stamp, length, tag).to_le_bytes());
    out.extend_from_slice(padding(stamp.sequence, usize::from(length) - BODY_BYTES_MIN));
}

/// The stamp of `body`, if every byte of it is as [`append`] with the same `tag` wrote it.
#[inline]
#[must_use]
pub fn verify(body: &[u8], tag: u32) -> Option<Stamp> {
    let (fields, rest) = body.split_first_chunk::<BODY_BYTES_MIN>()?;
    let (intended, fields) = fields.split_first_chunk::<8>()?;
    let (sequence, fields) = fields.split_first_chunk::<4>()?;
    let (sender, fields) = fields.split_first_chunk::<2>()?;
    let (claimed, _) = fields.split_first_chunk::<4>()?;
    let stamp = Stamp {
        intended_ns: u64::from_le_bytes(*intended),
        sequence: u32::from_le_bytes(*sequence),
        sender: u16::from_le_bytes(*sender),
    };
    let length = u8::try_from(body.len()).ok()?;
    let intact = u32::from_le_bytes(*claimed) == check(stamp, length, tag)
        && rest == padding(stamp.sequence, rest.len());
    intact.then_some(stamp)
}

#[inline]
fn padding(sequence: u32, bytes: usize) -> &'static [u8] {
    let begin = sequence as usize % STRETCHES;
    &TABLE[begin..begin + bytes]
}

/// Two multiplications mix every bit of the fields into 32 bits: cheap, and no accident of a
/// server (cut, shifted, merged bytes) keeps it right.
#[inline]
fn check(stamp: Stamp, length: u8, tag: u32) -> u32 {
    const ODD_A: u64 = 0x9e37_79b9_7f4a_7c15;
    const ODD_B: u64 = 0xd6e8_feb8_6659_fd93;
    let rest = u64::from(stamp.sequence) | u64::from(stamp.sender) << 32 | u64::from(length) << 48;
    let mixed = (stamp.intended_ns ^ u64::from(tag) << 32).wrapping_mul(ODD_A) ^ rest;
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(ODD_B);
    (mixed >> 32) as u32
}

const fn padding_table() -> [u8; TABLE_BYTES] {
    let mut table = [0; TABLE_BYTES];
    let mut state: u32 = 0x2545_f491;
    let mut at = 0;
    while at < TABLE_BYTES {
        // xorshift32: any table without short repetitions would do.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        table[at] = (state >> 24) as u8;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(stamp: Stamp, length: u8, tag: u32) -> Vec<u8> {
        let mut frame = Vec::new();
        append_frame(stamp, length, tag, &mut frame);
        assert_eq!(frame.len(), 1 + usize::from(length));
        assert_eq!(frame[0], length);
        frame.split_off(1)
    }

    proptest! {
        #[test]
        fn a_body_gives_its_stamp_back(
            intended_ns: u64, sequence: u32, sender: u16, tag: u32,
            length in BODY_BYTES_MIN as u8..,
        ) {
            let stamp = Stamp { intended_ns, sequence, sender };
            prop_assert_eq!(verify(&body(stamp, length, tag), tag), Some(stamp));
        }

        #[test]
        fn any_changed_byte_is_noticed(
            intended_ns: u64, sequence: u32, sender: u16,
            length in BODY_BYTES_MIN as u8.., at: prop::sample::Index, change in 1_u8..,
        ) {
            let mut body = body(Stamp { intended_ns, sequence, sender }, length, 7);
            let at = at.index(body.len());
            body[at] ^= change;
            prop_assert_eq!(verify(&body, 7), None);
        }

        #[test]
        fn a_cut_body_is_noticed(sequence: u32, length in BODY_BYTES_MIN as u8.., keep: prop::sample::Index) {
            let body = body(Stamp { intended_ns: 1, sequence, sender: 0 }, length, 7);
            prop_assert_eq!(verify(&body[..keep.index(body.len())], 7), None);
        }
    }

    #[test]
    fn a_body_of_another_trial_is_noticed() {
        let body = body(Stamp { intended_ns: 5, sequence: 6, sender: 7 }, 64, 1);
        assert_eq!(verify(&body, 2), None);
    }
}
