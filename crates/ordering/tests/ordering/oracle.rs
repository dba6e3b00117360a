//! The rules as the spec words them, decided by trying everything. Shares
//! nothing with the checker; of use for histories of a few messages.

use std::collections::BTreeSet;

use zillions_ordering::{ConnectionId, Event, History, MessageId, Rule};

/// A message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) id: MessageId,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) event: usize,
}

/// A receipt.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) what: What,
    pub(crate) event: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Id(MessageId),
    Short(Vec<u8>),
}

/// A small history, sorted by connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// All messages; each sender's in order of sending.
    pub(crate) sent: Vec<Sent>,
    /// Per connection what it received, without what breaks integrity.
    pub(crate) received: Vec<Vec<Receipt>>,
    /// Whether anything broke integrity.
    pub(crate) integrity_broken: bool,
}

impl Model {
    /// The model of the first `length` events.
    pub(crate) fn of(history: &History, length: usize) -> Self {
        let mut model = Self::default();
        for (event, found) in history.events().take(length).enumerate() {
            match found {
                Event::Connect { .. } => model.received.push(Vec::new()),
                Event::Send { message, short, .. } => {
                    let body = short.map(<[u8]>::to_vec);
                    model.sent.push(Sent { id: message, body, event });
                }
                Event::Receive { connection, message, .. } => {
                    let is_sent = |sent: &Sent| sent.id == message && sent.body.is_none();
                    let what = What::Id(message);
                    let chain = &mut model.received[connection.index() as usize];
                    let again = chain.iter().any(|receipt| receipt.what == what);
                    if model.sent.iter().any(is_sent) && !again {
                        chain.push(Receipt { what, event });
                    } else {
                        model.integrity_broken = true;
                    }
                }
                Event::ReceiveAnonymous { connection, body, .. } => {
                    let what = What::Short(body.to_vec());
                    let sent =
                        model.sent.iter().filter(|s| s.body.as_deref() == Some(body)).count();
                    let chain = &mut model.received[connection.index() as usize];
                    if chain.iter().filter(|receipt| receipt.what == what).count() < sent {
                        chain.push(Receipt { what, event });
                    } else {
                        model.integrity_broken = true;
                    }
                }
                Event::ReceiveUnknown { .. } => model.integrity_broken = true,
                Event::MaybeFrom { .. } => {}
            }
        }
        model
    }

    fn can_be(&self, sent: usize, receipt: &Receipt) -> bool {
        let sent = &self.sent[sent];
        sent.event < receipt.event
            && match &receipt.what {
                What::Id(id) => sent.id == *id && sent.body.is_none(),
                What::Short(body) => sent.body.as_ref() == Some(body),
            }
    }

    /// Every way to say which sent message each receipt of a chain is, with each
    /// sender's messages in its order. Receipts without a possible message in
    /// `allowed` make it empty.
    fn assignments(
        &self,
        chain: &[Receipt],
        allowed: &dyn Fn(usize, &Receipt) -> bool,
    ) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        self.assign_rest(chain, allowed, &mut Vec::new(), &mut found);
        found
    }

    fn assign_rest(
        &self,
        chain: &[Receipt],
        allowed: &dyn Fn(usize, &Receipt) -> bool,
        chosen: &mut Vec<usize>,
        found: &mut Vec<Vec<usize>>,
    ) {
        let Some(receipt) = chain.get(chosen.len()) else {
            found.push(chosen.clone());
            return;
        };
        for sent in 0..self.sent.len() {
            let id = self.sent[sent].id;
            let in_order = chosen.iter().all(|&before| {
                let before = self.sent[before].id;
                before.sender != id.sender || before.sequence < id.sequence
            });
            if in_order && self.can_be(sent, receipt) && allowed(sent, receipt) {
                chosen.push(sent);
                self.assign_rest(chain, allowed, chosen, found);
                chosen.pop();
            }
        }
    }

    /// FIFO by its definition: some assignment keeps every sender's order.
    pub(crate) fn fifo_exact(&self) -> bool {
        self.received.iter().all(|chain| !self.assignments(chain, &|_, _| true).is_empty())
    }

    /// FIFO as `docs/design/0002-ordering-checker.md` defines it where short
    /// messages make the letter intractable.
    pub(crate) fn fifo_defined(&self) -> bool {
        self.received.iter().all(|chain| {
            let senders = self.sent.iter().map(|sent| sent.id.sender).collect::<BTreeSet<_>>();
            let of_one = senders.iter().all(|&sender| {
                !self.assignments(&self.surely_of(chain, sender), &|_, _| true).is_empty()
            });
            of_one && self.bodies(chain).iter().all(|body| self.body_fits(chain, body))
        })
    }

    fn bodies(&self, chain: &[Receipt]) -> BTreeSet<Vec<u8>> {
        let body = |receipt: &Receipt| match &receipt.what {
            What::Short(body) => Some(body.clone()),
            What::Id(_) => None,
        };
        chain.iter().filter_map(body).collect()
    }

    /// The receipts that can only be of this sender.
    fn surely_of(&self, chain: &[Receipt], sender: ConnectionId) -> Vec<Receipt> {
        let surely = |receipt: &&Receipt| {
            let mut possible = (0..self.sent.len()).filter(|&sent| self.can_be(sent, receipt));
            possible.all(|sent| self.sent[sent].id.sender == sender)
        };
        chain.iter().filter(surely).cloned().collect()
    }

    /// Whether all receipts of one body can be different messages, each between
    /// the fences of its own sender.
    fn body_fits(&self, chain: &[Receipt], body: &[u8]) -> bool {
        let is_body = |receipt: &&Receipt| receipt.what == What::Short(body.to_vec());
        let receipts: Vec<&Receipt> = chain.iter().filter(is_body).collect();
        let fits = |sent: usize, receipt: &Receipt| {
            self.can_be(sent, receipt)
                && chain.iter().all(|fence| match &fence.what {
                    What::Id(id) if id.sender == self.sent[sent].id.sender => {
                        (fence.event < receipt.event) == (id.sequence < self.sent[sent].id.sequence)
                    }
                    _ => true,
                })
        };
        fn place(
            receipts: &[&Receipt],
            taken: &mut Vec<usize>,
            sent: usize,
            fits: &dyn Fn(usize, &Receipt) -> bool,
        ) -> bool {
            let Some(receipt) = receipts.get(taken.len()) else { return true };
            (0..sent).any(|candidate| {
                if taken.contains(&candidate) || !fits(candidate, receipt) {
                    return false;
                }
                taken.push(candidate);
                let placed = place(receipts, taken, sent, fits);
                taken.pop();
                placed
            })
        }
        place(&receipts, &mut Vec::new(), self.sent.len(), &fits)
    }

    /// Each connection's receipts as sent messages, without short ones that
    /// could be more than one message.
    pub(crate) fn identified(&self) -> Vec<Vec<(usize, usize)>> {
        let chains = self.received.iter().map(|chain| {
            let mut identified = Vec::new();
            for receipt in chain {
                let possible = match &receipt.what {
                    What::Id(_) => {
                        (0..self.sent.len()).filter(|&s| self.can_be(s, receipt)).collect()
                    }
                    What::Short(_) => self.possible(chain, receipt),
                };
                if let [only] = possible[..] {
                    identified.push((only, receipt.event));
                }
            }
            identified
        });
        chains.collect()
    }

    /// The messages that a short receipt can be, if its sender is sure.
    fn possible(&self, chain: &[Receipt], receipt: &Receipt) -> Vec<usize> {
        let senders: BTreeSet<_> = (0..self.sent.len())
            .filter(|&sent| self.can_be(sent, receipt))
            .map(|sent| self.sent[sent].id.sender)
            .collect();
        let [sender] = senders.into_iter().collect::<Vec<_>>()[..] else { return Vec::new() };
        let surely = self.surely_of(chain, sender);
        let at = surely.iter().position(|item| item.event == receipt.event);
        let at = at.expect("the receipt is surely of its only sender");
        let all = self.assignments(&surely, &|_, _| true);
        let possible: BTreeSet<usize> = all.iter().map(|assignment| assignment[at]).collect();
        possible.into_iter().collect()
    }

    /// Whether some interleaving of what was sent passes `fits`.
    fn any_total_order(&self, fits: &dyn Fn(&[usize]) -> bool) -> bool {
        fn extend(
            model: &Model,
            order: &mut Vec<usize>,
            next_sequence: &mut [u32; 8],
            fits: &dyn Fn(&[usize]) -> bool,
        ) -> bool {
            if order.len() == model.sent.len() {
                return fits(order);
            }
            for (next, sent) in model.sent.iter().enumerate() {
                let sender = sent.id.sender.index() as usize;
                if sent.id.sequence == next_sequence[sender] {
                    order.push(next);
                    next_sequence[sender] += 1;
                    if extend(model, order, next_sequence, fits) {
                        return true;
                    }
                    next_sequence[sender] -= 1;
                    order.pop();
                }
            }
            false
        }
        extend(self, &mut Vec::new(), &mut [0; 8], fits)
    }

    /// TOTAL, or CAUSAL, by its definition: one order exists in which every chain
    /// can be found.
    pub(crate) fn total_exact(&self, causal: bool) -> bool {
        // Per receipt its event and, bit by bit, the messages that it can be.
        let possible = |receipt: &Receipt| {
            let can_be = |mask, sent| mask | u32::from(self.can_be(sent, receipt)) << sent;
            (receipt.event, (0..self.sent.len()).fold(0u32, can_be))
        };
        let chains: Vec<Vec<(usize, u32)>> =
            self.received.iter().map(|chain| chain.iter().map(possible).collect()).collect();
        self.any_total_order(&|order| {
            chains.iter().enumerate().all(|(connection, chain)| {
                let mut next = 0;
                let mut places = Vec::new();
                for &(event, mask) in chain {
                    // The first place that fits is best for all that follow.
                    while next < order.len() && mask >> order[next] & 1 == 0 {
                        next += 1;
                    }
                    if next == order.len() {
                        return false;
                    }
                    places.push((event, next));
                    next += 1;
                }
                !causal || self.answers_follow(connection, &places, order)
            })
        })
    }

    /// TOTAL, or CAUSAL, with the identified short messages only.
    pub(crate) fn total_defined(&self, causal: bool) -> bool {
        if !self.fifo_defined() {
            return false;
        }
        let chains = self.identified();
        self.any_total_order(&|order| {
            let place = |sent| order.iter().position(|&s| s == sent).expect("all are in the order");
            chains.iter().enumerate().all(|(connection, chain)| {
                let places: Vec<(usize, usize)> =
                    chain.iter().map(|&(sent, event)| (event, place(sent))).collect();
                places.windows(2).all(|pair| pair[0].1 < pair[1].1)
                    && (!causal || self.answers_follow(connection, &places, order))
            })
        })
    }

    /// Whether what a connection sent stands behind all that it had received.
    fn answers_follow(
        &self,
        connection: usize,
        places: &[(usize, usize)],
        order: &[usize],
    ) -> bool {
        order.iter().enumerate().all(|(at, &sent)| {
            let sent = &self.sent[sent];
            sent.id.sender.index() as usize != connection
                || places.iter().all(|&(event, place)| event > sent.event || place < at)
        })
    }

    /// Whether the model keeps a rule, as defined.
    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        match rule {
            Rule::Integrity => !self.integrity_broken,
            Rule::Fifo => self.fifo_defined(),
            Rule::Total => self.total_defined(false),
            Rule::Causal => self.total_defined(true),
        }
    }

    /// The fewest claims "this connection puts x before y" that contradict each
    /// other, by trying all of them.
    pub(crate) fn fewest_claims(&self, causal: bool) -> Option<usize> {
        let count = self.sent.len();
        let mut distance = vec![vec![usize::MAX; count]; count];
        for (before, row) in distance.iter_mut().enumerate() {
            for (after, distance) in row.iter_mut().enumerate() {
                let (x, y) = (self.sent[before].id, self.sent[after].id);
                if x.sender == y.sender && x.sequence < y.sequence {
                    *distance = 1;
                }
            }
        }
        for (connection, chain) in self.identified().iter().enumerate() {
            for (at, &(before, event)) in chain.iter().enumerate() {
                chain[at + 1..].iter().for_each(|&(after, _)| distance[before][after] = 1);
                for (after, sent) in self.sent.iter().enumerate() {
                    let is_answer =
                        sent.id.sender.index() as usize == connection && sent.event > event;
                    if causal && is_answer && before != after {
                        distance[before][after] = 1;
                    }
                }
            }
        }
        for middle in 0..count {
            for from in 0..count {
                for to in 0..count {
                    let through = distance[from][middle].saturating_add(distance[middle][to]);
                    distance[from][to] = distance[from][to].min(through);
                }
            }
        }
        (0..count).map(|at| distance[at][at]).min().filter(|&claims| claims < usize::MAX)
    }
}
