//! What a client must not send.

use crate::close::CloseCode;

/// Why a WebSocket must be failed. Each is one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// RSV1 to RSV3 are for extensions, and none was agreed.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// 3 to 7 and 11 to 15 mean nothing.
    #[error("opcode {0} means nothing")]
    Opcode(u8),
    /// A client must mask every frame.
    #[error("a frame is not masked")]
    Unmasked,
    /// Control frames must not be fragmented.
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// Control frames have at most 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// The shortest way to write a length must be used.
    #[error("a length is written longer than necessary")]
    LengthNotMinimal,
    /// The highest of the 64 bits of a length must be 0.
    #[error("a length has its highest bit set")]
    LengthTooLarge,
    /// There is no message to continue.
    #[error("a frame continues no message")]
    NothingToContinue,
    /// The message before it has not ended.
    #[error("a message begins inside another")]
    MessageInMessage,
    /// A close frame is empty, or begins with a code of two bytes.
    #[error("a close frame has one byte")]
    CloseTooShort,
    /// A code that must not be sent.
    #[error("a close frame has the invalid code {0}")]
    CloseCode(u16),
    /// The reason must be text.
    #[error("the reason of a close frame is not UTF-8")]
    CloseText,
    /// Chat frames are bytes.
    #[error("text messages are not accepted: send binary ones")]
    Text,
    /// Longer than the limit.
    #[error("a message is longer than {max} bytes")]
    TooLong {
        /// The limit.
        max: u64,
    },
    /// The end of a message is in the middle of a chat frame.
    #[error("a message ends inside a chat frame")]
    IncompleteFrame,
}

impl Violation {
    /// The code to close with.
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Text => CloseCode::Unsupported,
            Self::TooLong { .. } => CloseCode::TooLong,
            Self::CloseText | Self::IncompleteFrame => CloseCode::InvalidData,
            _ => CloseCode::ProtocolError,
        }
    }
}
