//! A line of a history file as words.

/// What is wrong, and at which byte of the line.
pub(super) type Wrong = (usize, String);

/// One word, and its first byte in the line.
pub(super) struct Word<'l> {
    pub(super) text: &'l str,
    pub(super) at: usize,
}

impl Word<'_> {
    /// The word as an error shows it: whatever it holds, on one line.
    pub(super) fn shown(&self) -> impl std::fmt::Display {
        self.text.escape_debug()
    }
}

/// The words of a line that are still to be read.
pub(super) struct Words<'l> {
    words: &'l [Word<'l>],
    /// Where the line ends.
    end: usize,
}

impl<'l> Words<'l> {
    pub(super) fn new(words: &'l [Word<'l>], end: usize) -> Self {
        Self { words, end }
    }

    /// The first byte of the next word, or the end of the line.
    pub(super) fn at(&self) -> usize {
        self.words.first().map_or(self.end, |word| word.at)
    }

    /// The next word, which the line must have.
    pub(super) fn next(&mut self, what: &str) -> Result<&'l Word<'l>, Wrong> {
        let missing = || (self.end, format!("{what} is missing at the end of the line"));
        let (word, rest) = self.words.split_first().ok_or_else(missing)?;
        self.words = rest;
        Ok(word)
    }

    /// The line must end here.
    pub(super) fn end(&self) -> Result<(), Wrong> {
        match self.words.first() {
            Some(word) => Err((word.at, format!("unexpected `{}`", word.shown()))),
            None => Ok(()),
        }
    }

    /// The bytes of the next word, which must be in quotes.
    pub(super) fn quoted(&mut self, what: &str) -> Result<Vec<u8>, Wrong> {
        let word = self.next(what)?;
        let inner = word.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let inner = inner.filter(|_| word.text.len() >= 2);
        inner
            .and_then(unescape)
            .ok_or_else(|| (word.at, format!("{what} must be in quotes, such as \"a\\x00\"")))
    }

    /// The number after `prefix`, if the next word begins with it.
    pub(super) fn number_after(&mut self, prefix: &str) -> Result<Option<u64>, Wrong> {
        let Some((word, rest)) = self.words.split_first() else { return Ok(None) };
        let Some(digits) = word.text.strip_prefix(prefix) else { return Ok(None) };
        self.words = rest;
        match digits.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                Err((word.at, format!("`{}` has no whole number after {prefix}", word.shown())))
            }
        }
    }
}

/// Splits a line at spaces outside of quotes, up to its comment.
pub(super) fn words(line: &str) -> Result<Vec<Word<'_>>, Wrong> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let at = line.len() - rest.len();
        let mut characters = rest.chars();
        let end = match characters.next() {
            None => return Ok(words),
            Some('#') if !characters.next().is_some_and(|c| c.is_ascii_digit()) => {
                return Ok(words);
            }
            Some('"') => quoted_end(rest).ok_or((at, "unterminated quote".to_owned()))?,
            Some(_) => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        words.push(Word { text: &rest[..end], at });
        rest = &rest[end..];
    }
}

/// The length of the quoted word that `text` begins with.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The bytes between quotes.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                quoted @ (b'"' | b'\'' | b'\\') => quoted,
                b'x' => {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                    (high * 16 + low) as u8
                }
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(bytes)
}
