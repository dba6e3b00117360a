//! Messages that say who they are: sender, number, and a filling that follows
//! from both.
//!
//! The receiver makes the body anew from what it claims to be and compares, so
//! a single wrong byte anywhere is seen, and a shortened or lengthened body
//! too, because the length follows from the claim as well.

/// Salt (4 bytes), sender (2), sequence (4), length (1).
pub(crate) const TAG_BYTES: usize = 11;

/// Who sent a message, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag {
    /// Index of the sending client in its fixture.
    pub(crate) sender: u16,
    /// 0 for the sender's first tagged message, then 1, …
    pub(crate) sequence: u32,
}

/// What the body of a received frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A tagged message of this fixture, with every byte as it was sent.
    Tagged(Tag),
    /// It begins like one and differs from what was sent at this offset.
    Damaged(Tag, usize),
    /// Something else.
    Plain,
}

/// Makes and reads the tagged messages of one fixture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tagger {
    salt: u32,
}

impl Tagger {
    /// Fixtures with different salts take each other's messages for plain ones.
    pub(crate) fn new(salt: u32) -> Self {
        Self { salt }
    }

    /// Appends the body of `tag` to `out`, `length` bytes long but at least
    /// [`TAG_BYTES`] and at most 255.
    pub(crate) fn write(self, tag: Tag, length: usize, out: &mut Vec<u8>) {
        let length = length.clamp(TAG_BYTES, 255);
        let start = out.len();
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&tag.sender.to_le_bytes());
        out.extend_from_slice(&tag.sequence.to_le_bytes());
        out.push(length as u8);
        let mut filling = self.filling(tag);
        while out.len() - start < length {
            let left = length - (out.len() - start);
            let word = next_word(&mut filling).to_le_bytes();
            out.extend_from_slice(&word[..left.min(word.len())]);
        }
    }

    /// What `body` is.
    pub(crate) fn read(self, body: &[u8]) -> Reading {
        if body.len() < TAG_BYTES || body[..4] != self.salt.to_le_bytes() {
            return Reading::Plain;
        }
        let sender = u16::from_le_bytes([body[4], body[5]]);
        let sequence = u32::from_le_bytes([body[6], body[7], body[8], body[9]]);
        let tag = Tag { sender, sequence };
        let claimed = usize::from(body[10]);
        if claimed != body.len() {
            return Reading::Damaged(tag, claimed.min(body.len()));
        }
        match self.first_difference(tag, body) {
            Some(offset) => Reading::Damaged(tag, offset),
            None => Reading::Tagged(tag),
        }
    }

    fn first_difference(self, tag: Tag, body: &[u8]) -> Option<usize> {
        let mut filling = self.filling(tag);
        for (index, chunk) in body[TAG_BYTES..].chunks(8).enumerate() {
            let word = next_word(&mut filling).to_le_bytes();
            if chunk != &word[..chunk.len()] {
                let within = chunk.iter().zip(word).position(|(a, b)| *a != b).unwrap_or(0);
                return Some(TAG_BYTES + index * 8 + within);
            }
        }
        None
    }

    fn filling(self, tag: Tag) -> u64 {
        u64::from(self.salt) << 32 ^ u64::from(tag.sender) << 40 ^ u64::from(tag.sequence)
    }
}

/// SplitMix64: quick, and every state gives different words.
fn next_word(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const TAG: Tag = Tag { sender: 3, sequence: 70_000 };

    fn body(length: usize) -> Vec<u8> {
        let mut body = Vec::new();
        Tagger::new(7).write(TAG, length, &mut body);
        body
    }

    #[test]
    fn a_message_of_every_length_reads_as_itself() {
        for length in TAG_BYTES..=255 {
            let body = body(length);
            assert_eq!(body.len(), length);
            assert_eq!(Tagger::new(7).read(&body), Reading::Tagged(TAG));
        }
    }

    #[test]
    fn a_message_is_appended_to_what_is_there() {
        let mut two = b"before".to_vec();
        Tagger::new(7).write(TAG, 100, &mut two);
        assert_eq!(two, [&b"before"[..], &body(100)].concat());
    }

    #[test]
    fn no_two_messages_of_one_fixture_or_of_two_have_the_same_filling() {
        for salt in [0, 7, u32::MAX] {
            let tag = |sender, sequence| Tag { sender, sequence };
            let tags = (0..64).flat_map(|sender| (0..64).map(move |number| tag(sender, number)));
            let fillings: HashSet<u64> = tags.map(|tag| Tagger::new(salt).filling(tag)).collect();
            assert_eq!(fillings.len(), 64 * 64, "of the fixture with salt {salt}");
        }
        assert_ne!(Tagger::new(7).filling(TAG), Tagger::new(8).filling(TAG));
    }

    #[test]
    fn words_are_those_that_splitmix64_is_known_for() {
        // The first outputs of the generator's reference code for two seeds.
        let mut zero = 0;
        assert_eq!(next_word(&mut zero), 0xe220_a839_7b1d_cdaf);
        assert_eq!(next_word(&mut zero), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(next_word(&mut 1_234_567), 6_457_827_717_110_365_317);
    }

    #[test]
    fn every_single_wrong_byte_after_the_salt_is_seen() {
        for offset in 4..255 {
            let mut body = body(255);
            body[offset] ^= 0x20;
            assert!(
                matches!(Tagger::new(7).read(&body), Reading::Damaged(..)),
                "a change at {offset} went unseen"
            );
            if offset >= TAG_BYTES {
                assert_eq!(Tagger::new(7).read(&body), Reading::Damaged(TAG, offset));
            }
        }
    }

    #[test]
    fn a_shortened_message_is_damaged() {
        let body = body(255);
        assert_eq!(Tagger::new(7).read(&body[..254]), Reading::Damaged(TAG, 254));
    }

    #[test]
    fn messages_of_other_fixtures_are_plain() {
        assert_eq!(Tagger::new(8).read(&body(40)), Reading::Plain);
        assert_eq!(Tagger::new(7).read(b""), Reading::Plain);
    }
}
