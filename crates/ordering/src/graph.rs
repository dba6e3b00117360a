//! Which messages must come before which, and whether that is a contradiction.

use crate::chains::{Chains, NONE, Receipts};

/// The first `prefix` events of a history, as a graph on its messages.
///
/// Its edges are the neighbours in each sender's and each receiver's chain and,
/// for CAUSAL, the last message that a connection received before it sent one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Graph<'c> {
    pub(crate) chains: &'c Chains,
    /// The receivers' chains, all of them vertices.
    pub(crate) receipts: &'c Receipts,
    pub(crate) prefix: u32,
    pub(crate) causal: bool,
}

impl Graph<'_> {
    /// Whether one order of all messages fits every chain: Kahn's algorithm.
    pub(crate) fn is_acyclic(&self) -> bool {
        let vertices = self.chains.vertices() as usize;
        let mut latest = vec![NONE; vertices];
        let mut unplaced_before = vec![0u32; vertices];
        // Successors of `v` are `successors[start[v]..start[v + 1]]`; counted one
        // place to the right first, so that filling in moves them into place.
        let mut start = vec![0u32; vertices + 2];
        self.for_each_edge(&mut latest, |before, after| {
            start[before as usize + 2] += 1;
            unplaced_before[after as usize] += 1;
        });
        for vertex in 2..start.len() {
            start[vertex] += start[vertex - 1];
        }
        let mut successors = vec![0u32; start[vertices + 1] as usize];
        latest.fill(NONE);
        self.for_each_edge(&mut latest, |before, after| {
            let slot = &mut start[before as usize + 1];
            successors[*slot as usize] = after;
            *slot += 1;
        });

        // A sender's chain needs no stored edges: its vertices are neighbours.
        let sender = &self.chains.sender;
        for vertex in 1..vertices {
            unplaced_before[vertex] += u32::from(sender[vertex - 1] == sender[vertex]);
        }
        let mut ready = latest;
        ready.clear();
        ready.extend((0..vertices as u32).filter(|&v| unplaced_before[v as usize] == 0));
        let mut placed = 0;
        while let Some(vertex) = ready.pop() {
            placed += 1;
            let vertex = vertex as usize;
            let mut place = |after: usize| {
                unplaced_before[after] -= 1;
                if unplaced_before[after] == 0 {
                    ready.push(after as u32);
                }
            };
            if vertex + 1 < vertices && sender[vertex + 1] == sender[vertex] {
                place(vertex + 1);
            }
            for &after in &successors[start[vertex] as usize..start[vertex + 1] as usize] {
                place(after as usize);
            }
        }
        placed == vertices
    }

    /// Calls `edge` with the edges between different senders' messages, most
    /// repetitions left out (`latest` must be all [`NONE`]).
    fn for_each_edge(&self, latest: &mut [u32], mut edge: impl FnMut(u32, u32)) {
        let sender = &self.chains.sender;
        let mut once = |before: u32, after: u32| {
            let in_sending_order =
                before < after && sender[before as usize] == sender[after as usize];
            if latest[before as usize] != after && !in_sending_order {
                latest[before as usize] = after;
                edge(before, after);
            }
        };
        for connection in 0..self.chains.connections() {
            let range = self.receipts.range_before(connection, self.prefix);
            for pair in self.receipts.vertex[range.clone()].windows(2) {
                once(pair[0], pair[1]);
            }
            if self.causal {
                self.for_each_causal_edge(connection, range, &mut once);
            }
        }
    }

    fn for_each_causal_edge(
        &self,
        connection: usize,
        range: std::ops::Range<usize>,
        edge: &mut impl FnMut(u32, u32),
    ) {
        let mut place = range.start;
        let mut told = range.start;
        for vertex in self.chains.sent_before(connection, self.prefix) {
            let sent = self.chains.send_event[vertex as usize];
            while place < range.end && self.receipts.event[place] < sent {
                place += 1;
            }
            // Without a new receipt the edge of the message before suffices.
            if place > told {
                told = place;
                edge(self.receipts.vertex[place - 1], vertex);
            }
        }
    }
}
