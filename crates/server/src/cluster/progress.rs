//! How far a node has read the stream, and what it makes of each message there.

use std::collections::HashMap;

use super::batches::{BatchId, are_frames};

/// What a node knows of the stream's order so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The sequence of the next message; 0 before the node knows the stream.
    next: u64,
    /// The id of the message before, if the node has read it.
    last_id: Option<String>,
    /// The highest batch of each node that was read. It grows by an entry with each start of a node.
    highest: HashMap<String, u64>,
}

/// What is to be done with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is appended.
    Append(BatchId),
    /// It is a batch that is not later than one of the same node that was read. The stream refuses
    /// such; here nothing would be lost by it but the order.
    Repeated,
    /// It is not what a node publishes.
    Foreign,
}

impl Progress {
    /// The sequence of the next message; 0 before the node knows the stream.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The id of the last message that was read.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Reading begins there, or goes on in another stream.
    pub(super) fn jump(&mut self, next: u64) {
        (self.next, self.last_id) = (next, None);
    }

    /// A message was read. Returns how many before it the stream no longer had, and what to do
    /// with it.
    pub(super) fn read(
        &mut self,
        sequence: u64,
        subject: &str,
        id: Option<&str>,
        payload: &[u8],
    ) -> (u64, Verdict) {
        if sequence < self.next {
            return (0, Verdict::Repeated);
        }
        let missed = sequence - self.next;
        self.next = sequence + 1;
        self.last_id = id.map(ToOwned::to_owned);
        let batch = id.and_then(|id| BatchId::parse(subject, id));
        let Some(batch) = batch.filter(|_| are_frames(payload)) else {
            return (missed, Verdict::Foreign);
        };
        let highest = self.highest.entry(batch.node.clone()).or_default();
        if batch.number <= *highest {
            return (missed, Verdict::Repeated);
        }
        *highest = batch.number;
        (missed, Verdict::Append(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = b"\x01a";

    fn read(progress: &mut Progress, sequence: u64, node: &str, number: u64) -> (u64, bool) {
        let (subject, id) = (format!("zillions.main.{node}"), format!("{node}-{number}"));
        let (missed, verdict) = progress.read(sequence, &subject, Some(&id), FRAME);
        (missed, matches!(verdict, Verdict::Append(_)))
    }

    #[test]
    fn every_batch_is_appended_once_and_in_the_order_of_its_node() {
        let mut progress = Progress::default();
        progress.jump(5);
        assert_eq!(read(&mut progress, 5, "a", 3), (0, true));
        assert_eq!(read(&mut progress, 6, "b", 1), (0, true));
        assert_eq!(read(&mut progress, 6, "b", 1), (0, false), "the same place again");
        assert_eq!(read(&mut progress, 7, "a", 3), (0, false), "the same batch again");
        assert_eq!(read(&mut progress, 8, "a", 2), (0, false), "overtaken");
        assert_eq!(read(&mut progress, 12, "a", 7), (3, true), "three are gone");
        assert_eq!((progress.next(), progress.last_id()), (13, Some("a-7")));
        // Another stream begins anew, its batches do not.
        progress.jump(1);
        assert_eq!(read(&mut progress, 1, "a", 7), (0, false));
        assert_eq!(read(&mut progress, 2, "a", 8), (0, true));
    }

    #[test]
    fn what_no_node_has_published_is_not_appended() {
        let mut progress = Progress::default();
        progress.jump(1);
        for (id, payload) in [(None, FRAME), (Some("a-1"), b"\x02a"), (Some("b-1"), FRAME)] {
            let next = progress.next();
            let (_, verdict) = progress.read(next, "zillions.main.a", id, payload);
            assert_eq!(verdict, Verdict::Foreign, "{id:?}");
        }
        let next = progress.next();
        assert_eq!(read(&mut progress, next, "a", 1), (0, true));
    }
}
