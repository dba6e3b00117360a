//! Bodies that identify their message and can be verified byte by byte.
//!
//! A body of at least [`ID_BYTES`] begins with who sent it and which message it
//! is; the rest follows from the seed. A shorter one cannot carry an id; all of
//! it follows from the seed, and the ordering checker accounts for it by its
//! content.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use zillions_protocol::BODY_BYTES_MAX;

/// Kind, sender and sequence.
pub(crate) const ID_BYTES: usize = 7;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sent until its echo arrives: then the server serves this client.
    Hello,
    /// Part of the test.
    Test,
    /// Sent last: what has not arrived before it is dropped.
    Fence,
}

/// What the first bytes of a body say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) kind: Kind,
    /// Number of the client.
    pub(crate) sender: u16,
    /// Number of the message among those of its kind and sender.
    pub(crate) sequence: u32,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Hello => b'h',
            Self::Test => b't',
            Self::Fence => b'f',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Hello, Self::Test, Self::Fence].into_iter().find(|kind| kind.byte() == byte)
    }
}

impl Id {
    /// Reads the id of a body, if it has one.
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let (id, _) = body.split_first_chunk::<ID_BYTES>()?;
        let [kind, s0, s1, n0, n1, n2, n3] = *id;
        Some(Self {
            kind: Kind::of(kind)?,
            sender: u16::from_be_bytes([s0, s1]),
            sequence: u32::from_be_bytes([n0, n1, n2, n3]),
        })
    }
}

/// Makes the bodies of one repetition, which follow from the seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bodies {
    pub(crate) seed: u64,
}

impl Bodies {
    /// The body of message `id`; of any length if it is part of the test.
    pub(crate) fn make(self, id: Id) -> Vec<u8> {
        let mut body = match id.kind {
            Kind::Test => self.random_bytes(id),
            // Nothing but the id.
            Kind::Hello | Kind::Fence => vec![0; ID_BYTES],
        };
        if let Some((start, _)) = body.split_first_chunk_mut::<ID_BYTES>() {
            let [s0, s1] = id.sender.to_be_bytes();
            let [n0, n1, n2, n3] = id.sequence.to_be_bytes();
            *start = [id.kind.byte(), s0, s1, n0, n1, n2, n3];
        }
        body
    }

    fn random_bytes(self, id: Id) -> Vec<u8> {
        let stream = (u64::from(id.sender) << 40) | (u64::from(id.kind.byte()) << 32);
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream | u64::from(id.sequence));
        let mut bytes = vec![0; random.random_range(0..=BODY_BYTES_MAX)];
        random.fill(bytes.as_mut_slice());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_every_length_and_carry_their_id_where_it_fits() {
        let bodies = Bodies { seed: 7 };
        let mut lengths = std::collections::HashSet::new();
        for sequence in 0..5000 {
            let id = Id { kind: Kind::Test, sender: 513, sequence };
            let body = bodies.make(id);
            assert_eq!(body, bodies.make(id));
            assert_eq!(Id::of(&body), (body.len() >= ID_BYTES).then_some(id));
            lengths.insert(body.len());
        }
        assert_eq!(lengths.len(), BODY_BYTES_MAX + 1);
    }
}
