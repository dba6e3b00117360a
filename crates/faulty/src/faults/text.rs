//! Faults of taking bytes for text: FRAME-2.

use std::collections::HashSet;
use std::io::Write;

use crate::client::{Client, ClientId, End};
use crate::correct;
use crate::deviation::Deviation;
use crate::fault::Fault;
use crate::room::Room;

pub(super) const FAULTS: &[Fault] = &[
    Fault::always(
        "normalises-text",
        "FRAME-2",
        "an e and a combining acute accent (65 cc 81) in a body become the composed letter (c3 a9)",
        || Box::new(NormalisesText),
    ),
    Fault::always(
        "answers-http",
        "FRAME-2",
        "a client whose stream begins with `GET ` is answered that this is a bad request, and disconnected",
        || Box::new(AnswersHttp::default()),
    ),
];

const DECOMPOSED: &[u8] = "e\u{301}".as_bytes();
const COMPOSED: &[u8] = "\u{e9}".as_bytes();

struct NormalisesText;

impl Deviation for NormalisesText {
    fn received(&mut self, _client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        let mut normal = Vec::with_capacity(body.len());
        let mut rest = &body[..];
        while let Some((&byte, after)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(DECOMPOSED) {
                normal.extend_from_slice(COMPOSED);
                rest = after;
            } else {
                normal.push(byte);
                rest = after;
            }
        }
        Some(normal)
    }
}

#[derive(Default)]
struct AnswersHttp {
    /// Who has sent a whole frame.
    begun: HashSet<ClientId>,
}

impl Deviation for AnswersHttp {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        if !self.begun.contains(&client.id) && client.inbound.starts_with(b"GET ") {
            // If its socket takes nothing, it goes without an answer.
            let _ = (&client.stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            client.remove();
            return Vec::new();
        }
        let bodies = correct::decode(&mut client.inbound);
        if !bodies.is_empty() {
            self.begun.insert(client.id);
        }
        bodies
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.begun.remove(&client.id);
    }
}
