//! Which messages must come before which, and whether that is a contradiction.

use std::ops::Range;

use crate::chains::{Chains, Receipts};
use crate::history::NONE;

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
        let sender = &self.chains.sender;
        let vertices = sender.len();
        let Edges { newest, edges, mut unplaced_before } = self.edges();
        // A sender's chain needs no stored edges: its vertices are neighbours.
        for vertex in 1..vertices {
            unplaced_before[vertex] += u32::from(sender[vertex - 1] == sender[vertex]);
        }
        let is_ready = |&vertex: &u32| unplaced_before[vertex as usize] == 0;
        let mut ready: Vec<u32> = (0..vertices as u32).filter(is_ready).collect();
        let mut placed = 0;
        while let Some(vertex) = ready.pop() {
            placed += 1;
            let mut place = |after: u32| {
                let unplaced = &mut unplaced_before[after as usize];
                *unplaced -= 1;
                if *unplaced == 0 {
                    ready.push(after);
                }
            };
            let next = vertex as usize + 1;
            if next < vertices && sender[next] == sender[vertex as usize] {
                place(vertex + 1);
            }
            let mut edge = newest[vertex as usize];
            while edge != NONE {
                let (after, older) = edges[edge as usize];
                place(after);
                edge = older;
            }
        }
        placed == vertices
    }

    /// The edges between different senders' messages, most repetitions left out.
    fn edges(&self) -> Edges {
        let mut edges = Edges::new(self.chains.vertices() as usize);
        for connection in 0..self.chains.connections() {
            let range = self.receipts.range_before(connection, self.prefix);
            for pair in self.receipts.vertex[range.clone()].windows(2) {
                edges.add(pair[0], pair[1], &self.chains.sender);
            }
            if self.causal {
                self.add_causal_edges(connection, range, &mut edges);
            }
        }
        edges
    }

    fn add_causal_edges(&self, connection: usize, range: Range<usize>, edges: &mut Edges) {
        let mut place = range.start;
        let mut seen = range.start;
        for vertex in self.chains.sent_before(connection, self.prefix) {
            let sent = self.chains.send_event[vertex as usize];
            while place < range.end && self.receipts.event[place] < sent {
                place += 1;
            }
            // Without a new receipt the edge of the message before suffices.
            if place > seen {
                seen = place;
                edges.add(self.receipts.vertex[place - 1], vertex, &self.chains.sender);
            }
        }
    }
}

/// The successors of a message that a new one is compared with. With drops,
/// receivers that agree still skip different messages; this few tell nearly all
/// repetitions.
const COMPARED_MAX: usize = 4;

struct Edges {
    /// Per vertex, the newest of the edges that leave it.
    newest: Vec<u32>,
    /// Where each edge leads, and the next older edge of the same vertex.
    edges: Vec<(u32, u32)>,
    /// Per vertex, how many edges lead to it.
    unplaced_before: Vec<u32>,
}

impl Edges {
    fn new(vertices: usize) -> Self {
        Self { newest: vec![NONE; vertices], edges: Vec::new(), unplaced_before: vec![0; vertices] }
    }

    #[inline]
    fn add(&mut self, before: u32, after: u32, sender: &[u32]) {
        let newest = self.newest[before as usize];
        let mut edge = newest;
        for _ in 0..COMPARED_MAX {
            if edge == NONE {
                break;
            }
            let (known, older) = self.edges[edge as usize];
            if known == after {
                return;
            }
            edge = older;
        }
        let in_sending_order = before < after && sender[before as usize] == sender[after as usize];
        if !in_sending_order {
            self.newest[before as usize] = self.edges.len() as u32;
            self.edges.push((after, newest));
            self.unplaced_before[after as usize] += 1;
        }
    }
}
