//! From a contradiction to its smallest proof: the shortest beginning of the
//! history that has one, and in it the cycle with the fewest claims.

use crate::chains::Receipts;
use crate::counterexample::Order;
use crate::graph::Graph;

/// The least `prefix` in `1..=limit` for which `is_broken(prefix)`, where
/// `is_broken(limit)` holds and a broken prefix stays broken when it grows.
pub(crate) fn shortest_broken_prefix(limit: u32, mut is_broken: impl FnMut(u32) -> bool) -> u32 {
    let (mut whole, mut broken) = (0, limit);
    while whole + 1 < broken {
        let middle = whole + (broken - whole) / 2;
        if is_broken(middle) {
            broken = middle;
        } else {
            whole = middle;
        }
    }
    broken
}

/// "This connection puts `from` before `to`", in indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) connection: u32,
    pub(crate) order: Order,
    pub(crate) from: u32,
    pub(crate) from_event: u32,
    pub(crate) to: u32,
    pub(crate) to_event: u32,
}

/// The cycle with the fewest hops through any of `starts`, with the hop back to
/// its start last. A hop may skip any part of its chain.
///
/// In the shortest prefix with a contradiction, every cycle leads through a
/// message that the last event added to a chain: those are the starts.
pub(crate) fn shortest_cycle(graph: &Graph<'_>, starts: &[u32]) -> Option<Vec<Hop>> {
    /// A chain never contradicts itself, so no cycle has fewer hops.
    const HOPS_MIN: usize = 2;
    let mut shortest: Option<Vec<Hop>> = None;
    for &start in starts {
        let found = Search::new(graph, start).run();
        let better = |hops: &Vec<Hop>| shortest.as_ref().is_none_or(|s| hops.len() < s.len());
        if let Some(hops) = found.filter(better) {
            let done = hops.len() == HOPS_MIN;
            shortest = Some(hops);
            if done {
                break;
            }
        }
    }
    shortest
}

struct Search<'g> {
    graph: &'g Graph<'g>,
    start: u32,
    /// The places of each vertex in the receivers' chains.
    places_start: Vec<u32>,
    places: Vec<u32>,
    /// How each vertex was reached first.
    reached: Vec<Option<Hop>>,
    /// Per receiver: its chain is reached from this place on.
    received_reached: Vec<usize>,
    /// Per sender: its chain is reached from this vertex on.
    sent_reached: Vec<u32>,
    queue: Vec<u32>,
    /// The hop back to the start.
    back: Option<Hop>,
}

impl<'g> Search<'g> {
    fn new(graph: &'g Graph<'g>, start: u32) -> Self {
        let chains = graph.chains;
        let connections = chains.connections();
        let received_reached: Vec<usize> =
            (0..connections).map(|c| graph.receipts.range_before(c, graph.prefix).end).collect();
        let sent_reached =
            (0..connections).map(|c| chains.sent_before(c, graph.prefix).end).collect();
        let (places_start, places) =
            places_by_vertex(graph.receipts, chains.vertices() as usize, &received_reached);
        Self {
            graph,
            start,
            places_start,
            places,
            reached: vec![None; chains.vertices() as usize],
            received_reached,
            sent_reached,
            queue: Vec::new(),
            back: None,
        }
    }

    /// Breadth first from the start until a hop leads back to it.
    fn run(mut self) -> Option<Vec<Hop>> {
        let mut next = 0;
        self.queue.push(self.start);
        while self.back.is_none() {
            let vertex = *self.queue.get(next)?;
            next += 1;
            self.expand(vertex);
        }
        let mut hops = Vec::new();
        let mut hop = self.back;
        while let Some(found) = hop {
            hops.push(found);
            hop = self.reached[found.from as usize];
        }
        hops.reverse();
        Some(hops)
    }

    fn expand(&mut self, vertex: u32) {
        let Graph { chains, receipts, causal, .. } = *self.graph;
        let sender = chains.sender[vertex as usize];
        let event = chains.send_event[vertex as usize];
        self.reach_sent(sender, Order::Sent, (vertex, event), vertex + 1);
        let places = self.places_start[vertex as usize]..self.places_start[vertex as usize + 1];
        for index in places {
            let place = self.places[index as usize] as usize;
            let receiver = receipts.receiver_at(place);
            let event = receipts.event[place];
            for later in place + 1..self.received_reached[receiver] {
                self.reach(Hop {
                    connection: receiver as u32,
                    order: Order::Received,
                    from: vertex,
                    from_event: event,
                    to: receipts.vertex[later],
                    to_event: receipts.event[later],
                });
            }
            self.received_reached[receiver] = self.received_reached[receiver].min(place + 1);
            if causal {
                let first = chains.sent_before(receiver, event).end;
                self.reach_sent(receiver as u32, Order::ReceivedThenSent, (vertex, event), first);
            }
        }
    }

    /// Reaches the messages that a connection sent, from `first` on.
    fn reach_sent(
        &mut self,
        connection: u32,
        order: Order,
        (from, from_event): (u32, u32),
        first: u32,
    ) {
        let end = self.sent_reached[connection as usize];
        for to in first..end {
            let to_event = self.graph.chains.send_event[to as usize];
            self.reach(Hop { connection, order, from, from_event, to, to_event });
        }
        self.sent_reached[connection as usize] = end.min(first);
    }

    fn reach(&mut self, hop: Hop) {
        if hop.to == self.start {
            self.back = self.back.or(Some(hop));
        } else if self.reached[hop.to as usize].is_none() {
            self.reached[hop.to as usize] = Some(hop);
            self.queue.push(hop.to);
        }
    }
}

/// For each vertex its places in the receivers' chains, as far as these count.
fn places_by_vertex(receipts: &Receipts, vertices: usize, ends: &[usize]) -> (Vec<u32>, Vec<u32>) {
    let mut start = vec![0u32; vertices + 2];
    let each_place =
        || ends.iter().enumerate().flat_map(|(receiver, &end)| receipts.range(receiver).start..end);
    for place in each_place() {
        start[receipts.vertex[place] as usize + 2] += 1;
    }
    for vertex in 2..start.len() {
        start[vertex] += start[vertex - 1];
    }
    let mut places = vec![0u32; start[vertices + 1] as usize];
    for place in each_place() {
        let slot = &mut start[receipts.vertex[place] as usize + 1];
        places[*slot as usize] = place as u32;
        *slot += 1;
    }
    (start, places)
}
