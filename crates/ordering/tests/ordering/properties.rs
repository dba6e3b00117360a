//! What must be true of every history of a kind, however it comes about.

use proptest::prelude::*;
use zillions_ordering::{
    Class, ConnectionId, History, MessageId, StreamPosition, check, confirm, load, save,
};

/// A server with one sequencing point: who sends, in order of sequencing, and
/// for each connection which of the messages it gets.
#[derive(Clone, Debug)]
struct Run {
    connections: u32,
    senders: Vec<u32>,
    /// One bit per connection and message: it is dropped.
    dropped: Vec<u64>,
    /// How far each receiver lags behind the sequencer at each step.
    lags: Vec<u8>,
}

fn run() -> impl Strategy<Value = Run> {
    (2u32..6, 1usize..60).prop_flat_map(|(connections, messages)| {
        let senders = prop::collection::vec(0..connections, messages);
        let dropped = prop::collection::vec(any::<u64>(), messages);
        let lags = prop::collection::vec(0u8..5, messages * connections as usize);
        (senders, dropped, lags).prop_map(move |(senders, dropped, lags)| Run {
            connections,
            senders,
            dropped,
            lags,
        })
    })
}

impl Run {
    /// The ids of all messages, in order of sequencing.
    fn order(&self) -> Vec<MessageId> {
        let mut sent = vec![0; self.connections as usize];
        let ids = self.senders.iter().map(|&sender| {
            let sequence = sent[sender as usize];
            sent[sender as usize] += 1;
            MessageId { sender: ConnectionId::from_index(sender), sequence }
        });
        ids.collect()
    }

    /// What one receiver gets, in order.
    fn stream(&self, receiver: u32) -> Vec<MessageId> {
        let kept = self.order().into_iter().zip(&self.dropped);
        kept.filter(|(_, dropped)| *dropped >> receiver & 1 == 0).map(|(id, _)| id).collect()
    }

    /// A history of these streams, in which receivers lag behind.
    fn record(&self, streams: &[Vec<MessageId>]) -> History {
        let mut history = History::new();
        for _ in 0..self.connections {
            history.connect();
        }
        let mut next = vec![0; streams.len()];
        let mut lags = self.lags.iter();
        for &sender in &self.senders {
            history.send(ConnectionId::from_index(sender));
            for (receiver, stream) in streams.iter().enumerate() {
                let lag = *lags.next().expect("there is one per message and receiver");
                for _ in 0..lag {
                    deliver(&mut history, receiver, stream, &mut next[receiver]);
                }
            }
        }
        for (receiver, stream) in streams.iter().enumerate() {
            while next[receiver] < stream.len() {
                deliver(&mut history, receiver, stream, &mut next[receiver]);
            }
        }
        history
    }

    fn streams(&self) -> Vec<Vec<MessageId>> {
        (0..self.connections).map(|receiver| self.stream(receiver)).collect()
    }
}

/// Delivers the next message of a stream, if it was sent already.
fn deliver(history: &mut History, receiver: usize, stream: &[MessageId], next: &mut usize) {
    let ready = stream.get(*next).filter(|id| id.sequence < history.sent(id.sender));
    if let Some(&id) = ready {
        let at = StreamPosition { offset: 9 * *next as u64, time_ns: history.event_count() };
        history.receive(ConnectionId::from_index(receiver as u32), id, at);
        *next += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_single_sequencer_with_any_drops_keeps_all_rules(run in run()) {
        let verdicts = check(&run.record(&run.streams()));
        prop_assert!(verdicts.all_kept(), "{:?}", verdicts.broken().next().map(ToString::to_string));
    }

    #[test]
    fn two_neighbours_swapped_for_one_receiver_are_found_when_another_saw_both(
        run in run(), receiver in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
    ) {
        let mut streams = run.streams();
        let receiver = receiver.index(streams.len());
        prop_assume!(streams[receiver].len() >= 2);
        let at = at.index(streams[receiver].len() - 1);
        streams[receiver].swap(at, at + 1);
        let (first, second) = (streams[receiver][at], streams[receiver][at + 1]);
        let saw_both = |(other, stream): (usize, &Vec<MessageId>)| {
            other != receiver && stream.contains(&first) && stream.contains(&second)
        };
        let is_visible = first.sender == second.sender || streams.iter().enumerate().any(saw_both);
        prop_assume!(is_visible);

        let history = run.record(&streams);
        let verdicts = check(&history);
        prop_assert!(verdicts.integrity.is_ok());
        prop_assert_eq!(verdicts.fifo.is_err(), first.sender == second.sender);
        let total = verdicts.total.expect_err("the swap contradicts another chain");
        prop_assert_eq!(confirm(&history, &total), Ok(()));
        let causal = verdicts.causal.expect_err("CAUSAL includes TOTAL");
        prop_assert_eq!(confirm(&history, &causal), Ok(()));
    }

    #[test]
    fn a_message_repeated_for_one_receiver_breaks_integrity_and_nothing_else(
        run in run(), receiver in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
    ) {
        let mut streams = run.streams();
        let receiver = receiver.index(streams.len());
        prop_assume!(!streams[receiver].is_empty());
        let again = streams[receiver][at.index(streams[receiver].len())];
        streams[receiver].push(again);
        let history = run.record(&streams);
        let verdicts = check(&history);
        prop_assert_eq!(verdicts.broken().count(), 1);
        let found = verdicts.integrity.expect_err("it came twice");
        prop_assert_eq!(found.class, Class::Duplicate);
        prop_assert_eq!(confirm(&history, &found), Ok(()));
    }

    #[test]
    fn an_echo_before_sequencing_breaks_total_or_causal(senders in prop::collection::vec(0u32..2, 2..20)) {
        // Each sender gets its own messages at once, the other's at the end.
        prop_assume!(senders.contains(&0) && senders.contains(&1));
        let mut history = History::new();
        let connections = [history.connect(), history.connect()];
        let at = StreamPosition::default();
        let mut sent = Vec::new();
        for &sender in &senders {
            let message = history.send(connections[sender as usize]);
            history.receive(connections[sender as usize], message, at);
            sent.push(message);
        }
        for message in sent {
            history.receive(connections[1 - message.sender.index() as usize], message, at);
        }
        let verdicts = check(&history);
        prop_assert!(verdicts.integrity.is_ok() && verdicts.fifo.is_ok());
        prop_assert!(verdicts.total.is_err() && verdicts.causal.is_err());
    }

    #[test]
    fn a_history_comes_back_from_its_file_as_it_was(run in run()) {
        let history = run.record(&run.streams());
        let mut file = Vec::new();
        save(&history, "a comment\nof two lines", &mut file).expect("memory takes it");
        prop_assert!(load(&file[..]).expect("it is well formed") == history);
    }
}
