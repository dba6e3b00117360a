//! Messages that go up to the top, get their order, and go down to everyone, event by event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::costs::Figures;
use crate::node::{Message, Node, around, exponential, send_ns, store_ns};
use crate::observer::Observer;
use crate::{Order, Topology};

/// What the clients say.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// By all clients together, each at a time of its own.
    pub messages_per_second: f64,
    /// For how long, in nanoseconds.
    pub duration_ns: u64,
}

/// One server, or the stream, that is away for a time.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// The level at which it is, 0 for the top. It is the first one there.
    pub level: usize,
    /// When it is lost, in nanoseconds from the start.
    pub at_ns: u64,
    /// How long it takes until it, or another one in its place, serves again.
    pub for_ns: u64,
}

/// What happened. Clients are those of the observed servers: all servers of the last level, or some
/// that stand for them.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Clients observed.
    pub clients: u64,
    /// Messages that clients wanted to say: `ordered`, `lost` or `unsaid`.
    pub said: u64,
    /// Messages that got their place in the order.
    pub ordered: u64,
    /// Messages that were at the server that was lost, on their way up.
    pub lost: u64,
    /// Messages of clients that were disconnected.
    pub unsaid: u64,
    /// Messages that clients received, each client counted.
    pub delivered: u64,
    /// Messages that clients did not receive. `ordered` times `clients` is `delivered` and `missed`.
    pub missed: u64,
    /// From wanting to say a message to receiving it, in nanoseconds, one for each delivery.
    pub latency: Histogram<u64>,
    /// The share of its time that the busiest one worked.
    pub busiest: f64,
}

/// Simulates `load` until nothing is under way. The same arguments give the same outcome.
///
/// # Panics
///
/// If `loss` is at a level that `topology` does not have.
#[must_use]
pub fn simulate(
    topology: &Topology,
    figures: &Figures,
    load: Load,
    loss: Option<Loss>,
    seed: u64,
) -> Outcome {
    assert!(loss.is_none_or(|it| it.level <= topology.last()), "a level of the topology");
    let mut simulation = Simulation::new(topology, figures, load, loss, seed);
    while let Some(Reverse(due)) = simulation.events.pop() {
        simulation.handle(due.at, due.event);
    }
    let longest = simulation.nodes.values().map(|node| node.busy_ns).max().unwrap_or(0);
    let ended = simulation.now.max(load.duration_ns).max(1);
    Outcome { busiest: longest as f64 / ended as f64, ..simulation.outcome() }
}

/// A node: its level, and which one it is there.
type Place = (usize, u64);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Said(Message),
    Up(Place, Vec<Message>),
    Down(Place, Vec<Message>),
    Pass(Place),
    Stored(Place),
    Lost(Place),
}

/// Of events that are due at the same time, the one that was found first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    number: u64,
    event: Event,
}

struct Simulation<'a> {
    topology: &'a Topology,
    figures: &'a Figures,
    loss: Option<Loss>,
    rng: ChaCha8Rng,
    events: BinaryHeap<Reverse<Due>>,
    events_made: u64,
    now: u64,
    nodes: BTreeMap<Place, Node>,
    /// The observed children of each node that has any.
    children: BTreeMap<Place, Vec<u64>>,
    observer: Observer,
    /// When each message was said, and at which server.
    said: Vec<(u64, u64)>,
    ordered: u64,
    lost: u64,
    unsaid: u64,
    delivered: u64,
    missed: u64,
}

impl<'a> Simulation<'a> {
    fn new(
        topology: &'a Topology,
        figures: &'a Figures,
        load: Load,
        loss: Option<Loss>,
        seed: u64,
    ) -> Self {
        let observer = Observer::new(topology);
        let mut children: BTreeMap<Place, Vec<u64>> = BTreeMap::new();
        for level in 1..=topology.last() {
            for &server in &observer.servers {
                let child = topology.ancestor(server, level);
                let siblings =
                    children.entry((level - 1, topology.above(level, child))).or_default();
                if siblings.last() != Some(&child) {
                    siblings.push(child);
                }
            }
        }
        let mut simulation = Self {
            topology,
            figures,
            loss,
            rng: ChaCha8Rng::seed_from_u64(seed),
            events: BinaryHeap::new(),
            events_made: 0,
            now: 0,
            nodes: BTreeMap::new(),
            children,
            observer,
            said: Vec::new(),
            ordered: 0,
            lost: 0,
            unsaid: 0,
            delivered: 0,
            missed: 0,
        };
        if let Some(loss) = loss {
            simulation.schedule(loss.at_ns, Event::Lost((loss.level, 0)));
        }
        simulation.say(load);
        simulation
    }

    /// Who speaks is a client of an observed server: of others nothing is known.
    fn say(&mut self, load: Load) {
        let mean_ns = 1e9 / load.messages_per_second;
        let mut at = exponential(&mut self.rng, mean_ns);
        while (at as u64) < load.duration_ns {
            let server = self.rng.random_range(0..self.observer.servers.len());
            self.said.push((at as u64, self.observer.servers[server]));
            self.schedule(at as u64, Event::Said(self.said.len() - 1));
            at += exponential(&mut self.rng, mean_ns);
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.events_made += 1;
        self.events.push(Reverse(Due { at, number: self.events_made, event }));
    }

    fn handle(&mut self, now: u64, event: Event) {
        self.now = now;
        match event {
            Event::Said(message) => self.said(message),
            Event::Up(place, messages) => self.up(place, messages),
            Event::Down(place, messages) => self.down(place, messages),
            Event::Pass(place) => self.pass(place),
            Event::Stored(place) => {
                self.node(place).unstored = false;
                if !self.nodes[&place].up.is_empty() {
                    self.wake(place);
                }
            }
            Event::Lost(place) => self.forget(place),
        }
    }

    fn node(&mut self, place: Place) -> &mut Node {
        self.nodes.entry(place).or_default()
    }

    /// When the node at `place` is back, if it is away.
    fn back_at(&self, place: Place) -> Option<u64> {
        let loss = self.loss.filter(|it| place == (it.level, 0))?;
        let end = loss.at_ns + loss.for_ns;
        (loss.at_ns..end).contains(&self.now).then_some(end)
    }

    fn is_stream(&self, place: Place) -> bool {
        place.0 == 0 && self.topology.order == Order::Stream
    }

    fn said(&mut self, message: Message) {
        let place = (self.topology.last(), self.said[message].1);
        if self.back_at(place).is_some() {
            self.unsaid += 1;
        } else {
            self.up(place, vec![message]);
        }
    }

    /// What comes up to a node that is away waits at the sender.
    fn up(&mut self, place: Place, messages: Vec<Message>) {
        if let Some(back) = self.back_at(place) {
            self.schedule(back, Event::Up(place, messages));
            return;
        }
        let node = self.node(place);
        node.up.extend(messages);
        node.batches += 1;
        self.wake(place);
    }

    /// What comes down to a server that is away is missed by all below it.
    fn down(&mut self, place: Place, messages: Vec<Message>) {
        if self.back_at(place).is_some() {
            self.miss(place, messages.len());
        } else {
            self.node(place).down.extend(messages);
            self.wake(place);
        }
    }

    fn miss(&mut self, place: Place, messages: usize) {
        let clients = self.observer.clients_below(self.topology, place.0, place.1);
        self.missed += clients * messages as u64;
    }

    /// Has a pass at `place`, as soon as the current one has ended.
    fn wake(&mut self, place: Place) {
        if self.node(place).scheduled {
            return;
        }
        let takes = if self.is_stream(place) { 0.0 } else { self.figures.passage_ns };
        let awake = self.now + around(&mut self.rng, takes);
        let node = self.node(place);
        node.scheduled = true;
        let at = awake.max(node.free_at);
        self.schedule(at, Event::Pass(place));
    }

    fn pass(&mut self, place: Place) {
        if let Some(back) = self.back_at(place) {
            if self.is_stream(place) {
                self.schedule(back, Event::Pass(place));
            }
            return;
        }
        self.node(place).scheduled = false;
        let down = if place.0 == 0 { self.order() } else { self.pass_up(place) };
        if !down.is_empty() {
            self.pass_down(place, &down);
        }
    }

    /// What waits at a server that is lost is lost with it. Others have what the stream has.
    fn forget(&mut self, place: Place) {
        if self.is_stream(place) {
            return;
        }
        let mut node = std::mem::take(self.node(place));
        let (up, down) = (std::mem::take(&mut node.up), std::mem::take(&mut node.down));
        *self.node(place) = Node { scheduled: false, ..node };
        self.lost += up.len() as u64;
        self.miss(place, down.len());
    }

    /// At the top: what waits is now in order.
    fn order(&mut self) -> Vec<Message> {
        let up = std::mem::take(&mut self.node((0, 0)).up);
        self.ordered += up.len() as u64;
        up
    }

    /// Sends up what waits, and returns what waits to be sent down.
    fn pass_up(&mut self, place: Place) -> Vec<Message> {
        let above = (place.0 - 1, self.topology.above(place.0, place.1));
        let to_stream = self.is_stream(above);
        let node = self.node(place);
        if !node.up.is_empty() && !node.unstored {
            let messages = std::mem::take(&mut node.up);
            node.batches = 0;
            node.unstored = to_stream;
            let at = self.now + self.hop(place.0);
            let node = self.node(place);
            node.up_until = node.up_until.max(at);
            let at = node.up_until;
            self.schedule(at, Event::Up(above, messages));
        }
        std::mem::take(&mut self.node(place).down)
    }

    /// From a server of `level` to the one above, or back.
    fn hop(&mut self, level: usize) -> u64 {
        let to_stream = level == 1 && self.topology.order == Order::Stream;
        let uplink = if to_stream { 0.0 } else { self.figures.uplink_ns };
        around(&mut self.rng, self.figures.link_ns) + around(&mut self.rng, uplink)
    }

    fn pass_down(&mut self, place: Place, messages: &[Message]) {
        let receivers = self.topology.below(place.0, place.1);
        let (takes, stored) = if self.is_stream(place) {
            let batches = std::mem::take(&mut self.node(place).batches);
            let commit = around(&mut self.rng, self.figures.commit_ns);
            (store_ns(self.figures, receivers, batches), commit)
        } else {
            (send_ns(self.figures, receivers, messages.len() as u64), 0)
        };
        let now = self.now;
        let node = self.node(place);
        node.free_at = now + takes;
        node.busy_ns += takes;
        if place.0 == self.topology.last() {
            for &message in messages {
                let said = self.said[message].0;
                self.delivered += self.observer.deliver(place.1, said, now, takes);
            }
            return;
        }
        let first = self.topology.first_below(place.0, place.1);
        let speakers: BTreeSet<u64> = messages
            .iter()
            .map(|&it| self.topology.ancestor(self.said[it].1, place.0 + 1))
            .collect();
        for child in self.children.get(&place).cloned().unwrap_or_default() {
            let turn = takes * (child - first + 1) / receivers;
            let at = now + turn + stored + self.hop(place.0 + 1);
            let child = (place.0 + 1, child);
            let below = self.node(child);
            below.down_until = below.down_until.max(at);
            let at = below.down_until;
            self.schedule(at, Event::Down(child, messages.to_vec()));
            if self.is_stream(place) && speakers.contains(&child.1) {
                self.schedule(at, Event::Stored(child));
            }
        }
    }

    fn outcome(self) -> Outcome {
        Outcome {
            clients: self.observer.clients(),
            said: self.said.len() as u64,
            ordered: self.ordered,
            lost: self.lost,
            unsaid: self.unsaid,
            delivered: self.delivered,
            missed: self.missed,
            latency: self.observer.latency,
            busiest: 0.0,
        }
    }
}
