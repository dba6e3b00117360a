//! Untimed messages too short to carry anything: they are counted, and their bytes are checked.

use crate::body::BODY_BYTES_MIN;

/// What fills the body of a filler message.
const FILL: u8 = 0xa5;

/// Filler messages that go before every timed message of a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filler {
    /// How many.
    pub per_message: u32,
    /// The length of their bodies, shorter than that of any timed message.
    pub bytes: u8,
}

impl Filler {
    /// The frames that go before one timed message.
    pub(crate) fn frames(self) -> Vec<u8> {
        let mut frame = vec![FILL; usize::from(self.bytes) + 1];
        frame[0] = self.bytes;
        frame.repeat(self.per_message as usize)
    }

    /// Whether `body` is one of these.
    #[inline]
    pub(crate) fn is(self, body: &[u8]) -> bool {
        self.per_message > 0
            && body.len() == usize::from(self.bytes)
            && body.iter().all(|&byte| byte == FILL)
    }

    /// Whether they differ from timed messages in length.
    pub(crate) fn is_distinguishable(self) -> bool {
        self.per_message == 0 || usize::from(self.bytes) < BODY_BYTES_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filler_frames_are_framed_and_recognised() {
        let filler = Filler { per_message: 2, bytes: 1 };
        assert_eq!(filler.frames(), [1, FILL, 1, FILL]);
        assert!(filler.is(&[FILL]));
        assert!(!filler.is(&[]) && !filler.is(&[FILL + 1]) && !filler.is(&[FILL, FILL]));
        let empty = Filler { per_message: 3, bytes: 0 };
        assert_eq!(empty.frames(), [0, 0, 0]);
        assert!(empty.is(&[]));
    }

    #[test]
    fn without_filler_messages_nothing_is_one() {
        assert!(!Filler::default().is(&[]));
        assert!(Filler { per_message: 0, bytes: 200 }.is_distinguishable());
        assert!(!Filler { per_message: 1, bytes: 18 }.is_distinguishable());
    }
}
