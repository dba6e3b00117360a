//! What a server sends, whatever its protocol, and the seam between a protocol and the verifier.

/// One unit of what a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inbound<'a> {
    /// A message's body.
    Message(&'a [u8]),
    /// A request that must be answered with these bytes.
    Ping(&'static [u8]),
    /// Something without a meaning here, such as the reply to a greeting.
    Ignored,
    /// An error, or bytes that are not of this protocol: the connection is of no more use.
    Error(String),
}

/// Finds the units in a stream that is cut anywhere.
pub(crate) trait Decode: Clone + Default {
    /// The next unit in `input`, which is advanced past it; `None` when no further one is whole.
    fn decode<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<Inbound<'lent>>;

    /// The bytes so far of a unit that is not whole yet.
    fn rest(&self) -> &[u8];
}

impl Decode for zillions_protocol::Decoder {
    #[inline]
    fn decode<'lent, 'input: 'lent>(
        &'lent mut self,
        input: &mut &'input [u8],
    ) -> Option<Inbound<'lent>> {
        Self::decode(self, input).map(Inbound::Message)
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        Self::rest(self)
    }
}
