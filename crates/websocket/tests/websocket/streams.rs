//! Streams of a client's frames.

/// A frame with these first bits and opcode, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, [0x11, 0x22, 0x33, 0x44], payload)
}

/// A frame with this mask; the length is written as short as possible.
pub(crate) fn masked(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
