//! Batches: what a node publishes at once, and how it is known again.

use zillions_protocol::whole_frames;

/// One batch of one node: its place among the node's own, from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchId {
    pub(super) node: String,
    pub(super) number: u64,
}

impl BatchId {
    /// Of a message of the stream: its subject ends in the node that its id begins with. `None`:
    /// somebody else has published it.
    pub(super) fn parse(subject: &str, id: &str) -> Option<Self> {
        let (node, number) = id.split_once('-')?;
        let is_of_node = subject.rsplit('.').next() == Some(node) && !node.is_empty();
        let number = number.parse().ok().filter(|&number| number > 0)?;
        is_of_node.then(|| Self { node: node.to_owned(), number })
    }

    /// The id by which NATS recognizes a batch that is sent again.
    pub(super) fn message_id(&self) -> String {
        format!("{}-{}", self.node, self.number)
    }
}

/// How many bytes at the beginning are whole frames, of at most so many.
pub(super) fn whole_prefix(frames: &[u8], bytes_max: usize) -> usize {
    whole_frames(&frames[..frames.len().min(bytes_max)]).bytes
}

/// Whether these are whole frames, and nothing else.
pub(super) fn are_frames(payload: &[u8]) -> bool {
    !payload.is_empty() && whole_frames(payload).bytes == payload.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_known_by_its_subject_and_its_id() {
        let id = BatchId { node: "0a1b".into(), number: 7 };
        assert_eq!(BatchId::parse("zillions.main.0a1b", &id.message_id()), Some(id));
        for (subject, id) in [
            ("zillions.main.0a1c", "0a1b-7"),
            ("zillions.main.0a1b", "0a1b"),
            ("zillions.main.0a1b", "0a1b-0"),
            ("zillions.main.0a1b", "0a1b--1"),
            ("zillions.main.", "-1"),
        ] {
            assert_eq!(BatchId::parse(subject, id), None, "{subject} {id}");
        }
    }

    #[test]
    fn frames_are_cut_between_frames_only() {
        let frames = b"\x01a\x02bc\x00";
        for (bytes_max, expected) in [(0, 0), (1, 0), (2, 2), (4, 2), (5, 5), (6, 6), (9, 6)] {
            assert_eq!(whole_prefix(frames, bytes_max), expected, "{bytes_max}");
        }
        assert!(are_frames(frames) && !are_frames(b"") && !are_frames(&frames[1..]));
    }
}
