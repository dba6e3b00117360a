//! The mask of a client's frames.

/// Removes the mask from bytes of a payload; `position` is where in the payload they begin.
pub(crate) fn unmask(mask: [u8; 4], position: u64, bytes: &mut [u8]) {
    let mut mask = mask;
    mask.rotate_left((position % 4) as usize);
    // Four at once, which compiles to wide instructions.
    let mut fours = bytes.chunks_exact_mut(4);
    for four in &mut fours {
        four.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    let rest = fours.into_remainder();
    rest.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}
