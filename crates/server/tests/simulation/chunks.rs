//! A codec that does what codecs do, in a few bytes: a greeting that is answered, chunks with a
//! header and changed content, questions that are answered in between, and a goodbye.
//!
//! A chunk is its length from 1 to 200 and that many bytes, each inverted.

use std::collections::VecDeque;
use std::error::Error;

use zillions_server::client::DisconnectReason;
use zillions_server::codec::{Codec, Protocol};

pub(crate) const GREETING: &[u8] = b"hello";
const ANSWER: &[u8] = b"welcome";
/// Asked by a client, and answered with the same.
pub(crate) const QUESTION: u8 = 0;
pub(crate) const GOODBYE: u8 = 255;
const CHUNK_BYTES_MAX: usize = 200;

#[derive(Debug)]
pub(crate) struct Chunks;

impl Protocol for Chunks {
    fn codec(&self) -> Box<dyn Codec> {
        Box::new(ChunkCodec::default())
    }
}

#[derive(Debug, Default)]
struct ChunkCodec {
    greeted: usize,
    /// Of the chunk that is being received, how much is missing.
    missing: u8,
    plaintext: VecDeque<u8>,
    output: Vec<u8>,
    ended: bool,
    said_goodbye: bool,
}

/// These bytes in chunks.
pub(crate) fn chunks(bytes: &[u8]) -> Vec<u8> {
    let chunk = |chunk: &[u8]| {
        std::iter::once(chunk.len() as u8).chain(chunk.iter().map(|byte| !byte)).collect::<Vec<_>>()
    };
    bytes.chunks(CHUNK_BYTES_MAX).flat_map(chunk).collect()
}

impl Codec for ChunkCodec {
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        assert!(self.plaintext.is_empty() && !bytes.is_empty() && bytes.len() <= 16 * 1024);
        for &byte in bytes {
            if let Some(&expected) = GREETING.get(self.greeted) {
                if byte != expected {
                    self.say_goodbye();
                    return Err("that is no greeting".into());
                }
                self.greeted += 1;
                if self.is_open() {
                    self.output.extend(ANSWER);
                }
            } else if self.missing > 0 {
                self.missing -= 1;
                self.plaintext.push_back(!byte);
            } else {
                match byte {
                    // Only the last question is answered, if several wait.
                    QUESTION if self.output.last() == Some(&QUESTION) || self.said_goodbye => {}
                    QUESTION => self.output.push(QUESTION),
                    GOODBYE => self.ended = true,
                    length => self.missing = length,
                }
            }
        }
        Ok(())
    }

    fn decoded(&mut self, buffer: &mut [u8]) -> usize {
        let bytes = buffer.len().min(self.plaintext.len());
        for (to, from) in buffer.iter_mut().zip(self.plaintext.drain(..bytes)) {
            *to = from;
        }
        bytes
    }

    fn is_open(&self) -> bool {
        self.greeted == GREETING.len()
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    fn encode(&mut self, frames: &[u8], out: &mut Vec<u8>) {
        assert!(frames.is_empty() || self.is_open(), "nothing before the greeting");
        out.append(&mut self.output);
        out.extend(chunks(frames));
    }

    fn close(&mut self, _reason: DisconnectReason) {
        self.say_goodbye();
    }
}

impl ChunkCodec {
    fn say_goodbye(&mut self) {
        if !std::mem::replace(&mut self.said_goodbye, true) {
            self.output.push(GOODBYE);
        }
    }
}

/// The client's side.
#[derive(Debug, Default)]
pub(crate) struct ChunkClient {
    answered: usize,
    missing: u8,
    pub(crate) answers: u64,
    pub(crate) goodbye: bool,
}

impl ChunkClient {
    /// The plaintext of what the server sent.
    pub(crate) fn decode(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let mut plaintext = Vec::new();
        for byte in bytes {
            assert!(!self.goodbye, "nothing after the goodbye");
            if self.missing > 0 {
                self.missing -= 1;
                plaintext.push(!byte);
            } else if let Some(&expected) = ANSWER.get(self.answered)
                && byte != GOODBYE
            {
                assert_eq!(byte, expected, "the greeting is answered first");
                self.answered += 1;
            } else {
                match byte {
                    QUESTION => self.answers += 1,
                    GOODBYE => self.goodbye = true,
                    length => self.missing = length,
                }
            }
        }
        plaintext
    }
}
