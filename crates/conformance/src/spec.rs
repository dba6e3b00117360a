//! The clauses of `docs/spec.md`, read from the document itself.
//!
//! The text is taken in at compile time, so that what a failing case quotes
//! can never drift from the document.

use std::sync::LazyLock;

/// The document.
const DOCUMENT: &str = include_str!("../../../docs/spec.md");

/// How binding a clause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obligation {
    /// Decides pass or fail.
    Must,
    /// Reported as nonstrict where not met.
    Should,
    /// Says what a checker must accept.
    May,
}

/// One numbered sentence of the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Its id, for example `FRAME-3`; never changes.
    pub id: &'static str,
    /// How binding it is.
    pub obligation: Obligation,
    /// The sentence, in the document's markdown.
    pub text: &'static str,
}

/// One row of the document's table of framing vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector {
    /// What the row shows.
    pub name: &'static str,
    /// The bytes that a client sends.
    pub stream: Vec<u8>,
    /// The messages in them.
    pub messages: Vec<Vec<u8>>,
}

/// All clauses, in the document's order.
pub fn clauses() -> &'static [Clause] {
    static CLAUSES: LazyLock<Vec<Clause>> =
        LazyLock::new(|| DOCUMENT.lines().filter_map(parse_clause).collect());
    &CLAUSES
}

/// The clause with this id.
pub fn clause(id: &str) -> Option<&'static Clause> {
    clauses().iter().find(|clause| clause.id == id)
}

/// The rows of the document's table of framing vectors.
pub fn vectors() -> Vec<Vector> {
    DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with("| name | stream |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let [name, stream, messages, _rest] = cells(line)[..] else { return None };
            Some(Vector {
                name,
                stream: parse_bytes(stream),
                messages: messages
                    .split(',')
                    .filter(|message| !message.trim().is_empty())
                    .map(parse_bytes)
                    .collect(),
            })
        })
        .collect()
}

fn cells(row: &'static str) -> Vec<&'static str> {
    let inner = row.trim().trim_start_matches('|');
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    inner.split('|').map(str::trim).collect()
}

fn parse_clause(line: &'static str) -> Option<Clause> {
    let [id, level, text] = cells(line)[..] else { return None };
    let obligation = match level {
        "MUST" => Obligation::Must,
        "SHOULD" => Obligation::Should,
        "MAY" => Obligation::May,
        _ => return None,
    };
    Some(Clause { id, obligation, text })
}

/// The bytes of one cell: hexadecimal digits in backquotes, joined by `+`,
/// each perhaps repeated `×N`.
fn parse_bytes(cell: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in cell.split('+') {
        let (digits, times) = part.split_once('×').unwrap_or((part, "1"));
        let digits = digits.trim().trim_matches('`');
        let times: usize = times.trim().parse().unwrap_or(1);
        let unit: Vec<u8> = digits
            .as_bytes()
            .chunks_exact(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        bytes.extend(unit.repeat(times));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clause_of_the_document_is_found() {
        let rows = DOCUMENT
            .lines()
            .filter(|line| [" MUST |", " SHOULD |", " MAY |"].iter().any(|l| line.contains(l)))
            .count();
        assert_eq!(clauses().len(), rows);
        assert!(rows >= 40, "only {rows} clauses found: has the table's form changed?");
    }

    #[test]
    fn a_clause_has_its_level_and_its_text() {
        let clause = clause("FRAME-3").expect("FRAME-3 is in the document");
        assert_eq!(clause.obligation, Obligation::Must);
        assert!(clause.text.starts_with("An empty message"), "{}", clause.text);
    }

    #[test]
    fn vectors_are_read_with_their_messages() {
        let vectors = vectors();
        let vector = |name: &str| vectors.iter().find(|v| v.name == name).expect("a known vector");
        assert_eq!(vector("two-empty-messages").messages, vec![Vec::<u8>::new(); 2]);
        assert_eq!(vector("length-255").stream.len(), 256);
        assert_eq!(vector("mixed").messages.len(), 4);
        assert!(vector("header-only").messages.is_empty());
    }
}
