//! Why a WebSocket is closed, as its last frame says it.

/// The status codes that this side sends (RFC 6455, section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// All was said.
    Normal = 1000,
    /// The server stops.
    GoingAway = 1001,
    /// What was received is no WebSocket frame.
    ProtocolError = 1002,
    /// A kind of data that is not accepted: text.
    Unsupported = 1003,
    /// Data that contradict their kind: a message that ends inside a chat frame.
    InvalidData = 1007,
    /// It broke a rule of this server, such as how long it may be idle.
    PolicyViolation = 1008,
    /// A message is too long.
    TooLong = 1009,
}

impl CloseCode {
    /// As the frame has it.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// What a close frame of the other side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// Its status code, one that may be sent.
    pub code: u16,
    /// At most 123 bytes.
    pub text: String,
}

/// Whether a frame may have this code. 1004, 1005, 1006 and 1015 must not be sent; what is not
/// assigned below 3000 is reserved.
pub(crate) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
