//! Runs the table of test vectors in `docs/spec.md`.

use std::collections::HashSet;

use crate::in_pieces::{Decoded, decode_in_pieces};
use zillions_protocol::encode;

/// Streams up to this length are cut in every possible way, longer ones in up to three pieces.
const EVERY_CUT_BYTES_MAX: usize = 12;

#[derive(Debug)]
struct Vector {
    name: String,
    stream: Vec<u8>,
    expected: Decoded,
}

#[test]
fn every_vector_decodes_the_same_however_it_is_cut() {
    for vector in vectors() {
        let length = vector.stream.len();
        let check = |cuts: &[usize]| {
            let decoded = decode_in_pieces(&vector.stream, cuts);
            assert_eq!(decoded, vector.expected, "{} cut at {cuts:?}", vector.name);
        };
        check(&[]);
        check(&(1..length).collect::<Vec<_>>());
        for first in 0..=length {
            for second in first..=length {
                check(&[first, second]);
            }
        }
        if (1..=EVERY_CUT_BYTES_MAX).contains(&length) {
            for mask in 0..1_u32 << (length - 1) {
                check(&(1..length).filter(|cut| mask >> (cut - 1) & 1 == 1).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn every_vector_is_what_the_encoder_makes_of_its_messages() {
    for vector in vectors() {
        let mut stream = Vec::new();
        for body in &vector.expected.messages {
            encode(body, &mut stream).expect("a vector's messages fit");
        }
        stream.extend_from_slice(&vector.expected.rest);
        assert_eq!(stream, vector.stream, "{}", vector.name);
    }
}

#[test]
fn the_table_is_read_whole() {
    let vectors = vectors();
    let names: HashSet<_> = vectors.iter().map(|vector| vector.name.as_str()).collect();
    assert_eq!(names.len(), vectors.len(), "a name is used twice");
    for name in ["nothing", "two-empty-messages", "length-255", "mixed", "empty-then-partial"] {
        assert!(names.contains(name), "{name} is missing");
    }
}

/// All rows of the table; a row that cannot be read fails the test.
fn vectors() -> Vec<Vector> {
    let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec.md");
    let spec = std::fs::read_to_string(spec).expect("docs/spec.md can be read");
    let (_, section) =
        spec.split_once("## Test vectors for the framing").expect("the spec has test vectors");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let vectors: Vec<_> = rows.map(vector).collect();
    assert!(!vectors.is_empty(), "the table of test vectors is empty");
    vectors
}

fn vector(row: &str) -> Vector {
    let inner = row.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
    let cells: Vec<_> = inner.unwrap_or_default().split('|').map(str::trim).collect();
    let [name, stream, messages, rest] = cells[..] else { panic!("not four cells: {row}") };
    let messages = match messages {
        "" => Vec::new(),
        _ => messages.split(',').map(bytes).collect(),
    };
    let rest = if rest.is_empty() { Vec::new() } else { bytes(rest) };
    Vector { name: name.to_owned(), stream: bytes(stream), expected: Decoded { messages, rest } }
}

/// Reads the likes of `` `7f` + `61`×127 ``.
fn bytes(cell: &str) -> Vec<u8> {
    cell.split('+').flat_map(|term| repeated(term.trim())).collect()
}

fn repeated(term: &str) -> Vec<u8> {
    let (quoted, times) = match term.split_once('×') {
        Some((quoted, times)) => (quoted, times.parse().expect("a number after ×")),
        None => (term, 1),
    };
    let hex = quoted
        .strip_prefix('`')
        .and_then(|quoted| quoted.strip_suffix('`'))
        .unwrap_or_else(|| panic!("not between backquotes: {term}"));
    assert!(hex.len().is_multiple_of(2) && hex.is_ascii(), "half a byte: {term}");
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>().repeat(times)
}
