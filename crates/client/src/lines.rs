//! Input cut into lines that fit a message.

use zillions_protocol::{BODY_BYTES_MAX, TooLong};

/// A line of input, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Its number, counted from 1.
    pub(crate) number: u64,
    /// Its bytes, or how many there were if they are too many for a message.
    pub(crate) body: Result<&'a [u8], TooLong>,
}

/// Cuts a stream that arrives in pieces into lines. Buffers at most 255 bytes, however long a line is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// How many lines have ended.
    number: u64,
    /// The beginning of an unfinished line, as far as it fits a message.
    kept: Vec<u8>,
    /// The length of that beginning.
    bytes: usize,
}

impl Lines {
    /// Calls `each` with every line that ends in `input`, in order.
    pub(crate) fn feed(&mut self, input: &[u8], mut each: impl FnMut(Line<'_>)) {
        let mut pieces = input.split(|&byte| byte == b'\n');
        let tail = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.bytes == 0 {
                self.number += 1;
                each(Line { number: self.number, body: fitting(piece, piece.len()) });
            } else {
                self.keep(piece);
                self.end_line(&mut each);
            }
        }
        self.keep(tail);
    }

    /// At the end of the input: calls `each` with the last line if no newline ended it.
    pub(crate) fn finish(mut self, each: impl FnOnce(Line<'_>)) {
        if self.bytes > 0 {
            self.end_line(each);
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let free = BODY_BYTES_MAX - self.kept.len();
        self.kept.extend_from_slice(&piece[..piece.len().min(free)]);
        self.bytes += piece.len();
    }

    fn end_line(&mut self, each: impl FnOnce(Line<'_>)) {
        self.number += 1;
        each(Line { number: self.number, body: fitting(&self.kept, self.bytes) });
        self.kept.clear();
        self.bytes = 0;
    }
}

/// `line`, unless its length is too much for a message.
fn fitting(line: &[u8], bytes: usize) -> Result<&[u8], TooLong> {
    if bytes > BODY_BYTES_MAX { Err(TooLong { bytes }) } else { Ok(line) }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    type Owned = (u64, Result<Vec<u8>, usize>);

    fn owned(line: Line<'_>) -> Owned {
        (line.number, line.body.map(<[u8]>::to_vec).map_err(|error| error.bytes))
    }

    fn lines_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.feed(piece, |line| found.push(owned(line)));
        }
        lines.finish(|line| found.push(owned(line)));
        found
    }

    fn line(number: u64, body: &[u8]) -> Owned {
        (number, Ok(body.to_vec()))
    }

    #[test]
    fn lines_are_numbered_and_lose_their_newline_only() {
        let lines = lines_of([&b"a\n\n b \r\nlast"[..]]);
        assert_eq!(lines, [line(1, b"a"), line(2, b""), line(3, b" b \r"), line(4, b"last")]);
    }

    #[test]
    fn a_newline_at_the_end_begins_no_line() {
        assert_eq!(lines_of([&b"a\n"[..]]), [line(1, b"a")]);
        assert_eq!(lines_of([&b"\n"[..]]), [line(1, b"")]);
        assert_eq!(lines_of([&b""[..]]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_the_next_ones_are_whole() {
        let mut input = vec![b'x'; 255];
        input.push(b'\n');
        input.extend_from_slice(&[b'y'; 256]);
        input.extend_from_slice(b"\nz\n");
        input.extend_from_slice(&[b'w'; 1000]);
        let expected = [line(1, &[b'x'; 255]), (2, Err(256)), line(3, b"z"), (4, Err(1000))];
        assert_eq!(lines_of([&input[..]]), expected);
        assert_eq!(lines_of(input.chunks(1)), expected);
    }

    proptest! {
        #[test]
        fn how_the_input_is_cut_means_nothing(
            input in vec(prop_oneof![9 => any::<u8>(), 1 => Just(b'\n')], 0..1_500),
            piece in 1..600_usize,
        ) {
            prop_assert_eq!(lines_of(input.chunks(piece)), lines_of([&input[..]]));
        }
    }
}
