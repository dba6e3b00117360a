//! Messages too short to carry an id: which sent message each receipt can be.

use crate::history::NONE;

/// Who had sent a body when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody yet.
    Nobody,
    /// One connection only.
    Only(u32),
    /// Two connections or more.
    Several,
}

/// One receipt of a short message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShortReceipt {
    pub(crate) body: u32,
    pub(crate) origin: Origin,
}

/// All short messages of a history.
#[derive(Debug)]
pub(crate) struct ShortTable {
    /// One bit per vertex; empty when nothing short was sent.
    bits: Vec<u64>,
    vertices: u32,
    /// While the history is read: who sent each body so far.
    origin: Vec<Origin>,
    receipts: Vec<ShortReceipt>,
    /// Per body: the vertices that sent it, in order of sending.
    by_event: Vec<Vec<u32>>,
    /// The same, ascending, so that each sender's stand together.
    by_vertex: Vec<Vec<u32>>,
}

impl ShortTable {
    pub(crate) fn new(vertices: u32, bodies: usize) -> Self {
        Self {
            bits: Vec::new(),
            vertices,
            origin: vec![Origin::Nobody; bodies],
            receipts: Vec::new(),
            by_event: vec![Vec::new(); bodies],
            by_vertex: Vec::new(),
        }
    }

    /// Whether anything can be said about short messages at all.
    pub(crate) fn any_received(&self) -> bool {
        !self.receipts.is_empty()
    }

    #[inline]
    pub(crate) fn is_short(&self, vertex: u32) -> bool {
        self.bits.get(vertex as usize / 64).is_some_and(|word| word >> (vertex % 64) & 1 == 1)
    }

    pub(crate) fn send(&mut self, body: u32, vertex: u32, sender: u32) {
        if self.bits.is_empty() {
            self.bits = vec![0; self.vertices as usize / 64 + 1];
        }
        self.bits[vertex as usize / 64] |= 1 << (vertex % 64);
        let origin = &mut self.origin[body as usize];
        *origin = match *origin {
            Origin::Nobody => Origin::Only(sender),
            Origin::Only(before) if before == sender => *origin,
            _ => Origin::Several,
        };
        self.by_event[body as usize].push(vertex);
    }

    /// Adds a receipt and returns its number.
    pub(crate) fn receive(&mut self, body: u32) -> u32 {
        self.receipts.push(ShortReceipt { body, origin: self.origin[body as usize] });
        self.receipts.len() as u32 - 1
    }

    pub(crate) fn finish(&mut self) {
        self.by_vertex.clone_from(&self.by_event);
        self.by_vertex.iter_mut().for_each(|sends| sends.sort_unstable());
    }

    pub(crate) fn receipt(&self, number: u32) -> ShortReceipt {
        self.receipts[number as usize]
    }

    /// How often a body had been sent before an event, all senders together.
    pub(crate) fn sent_before(&self, body: u32, event: u32, send_event: &[u32]) -> u32 {
        let sends = &self.by_event[body as usize];
        sends.partition_point(|&vertex| send_event[vertex as usize] < event) as u32
    }

    /// The body of a vertex, if it is a short message.
    pub(crate) fn body_of(&self, vertex: u32) -> Option<u32> {
        let holds = |sends: &Vec<u32>| sends.binary_search(&vertex).is_ok();
        self.is_short(vertex)
            .then(|| self.by_vertex.iter().position(holds))
            .flatten()
            .map(|body| body as u32)
    }

    /// The vertices that sent a body, ascending.
    pub(crate) fn sends_of(&self, body: u32) -> &[u32] {
        &self.by_vertex[body as usize]
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { per_body: vec![(NONE, 0); self.by_event.len()] }
    }
}

/// How often the receiver at hand received each body.
#[derive(Debug)]
pub(crate) struct Counts {
    per_body: Vec<(u32, u32)>,
}

impl Counts {
    pub(crate) fn add(&mut self, receiver: u32, body: u32) -> u32 {
        let (seen_by, count) = &mut self.per_body[body as usize];
        if *seen_by != receiver {
            (*seen_by, *count) = (receiver, 0);
        }
        *count += 1;
        *count
    }

    pub(crate) fn take_back(&mut self, body: u32) {
        self.per_body[body as usize].1 -= 1;
    }
}
