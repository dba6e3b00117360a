//! Which servers there are, and who is below whom.

/// What puts the messages in order, at the top of a [`Topology`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A server: the root of a tree.
    Root,
    /// A stream of NATS JetStream; the servers directly below are the nodes of a cluster.
    Stream,
}

/// A node of a cluster fails now and then; two others still serve then.
const CLUSTER_NODES_MIN: u64 = 3;

/// Servers in levels, the top first. Clients are at the last level only, evenly spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// What is at the top.
    pub order: Order,
    /// How many there are at each level; one at the top.
    pub levels: Vec<u64>,
    /// At all servers of the last level together.
    pub clients: u64,
}

impl Topology {
    /// The fewest servers with at most `clients_per_server` clients each, at least 1, and at most
    /// `fan_out` servers below each, at least 2.
    ///
    /// # Panics
    ///
    /// If one of these bounds is smaller than that.
    #[must_use]
    pub fn plan(order: Order, clients: u64, clients_per_server: u64, fan_out: u64) -> Self {
        assert!(clients_per_server >= 1 && fan_out >= 2, "bounds that end");
        let nodes_min = if order == Order::Stream { CLUSTER_NODES_MIN } else { 1 };
        let mut nodes = clients.div_ceil(clients_per_server).max(nodes_min);
        let mut levels = vec![nodes];
        while nodes > fan_out.max(nodes_min) {
            nodes = nodes.div_ceil(fan_out).max(nodes_min);
            levels.push(nodes);
        }
        if order == Order::Stream || nodes > 1 {
            levels.push(1);
        }
        levels.reverse();
        Self { order, levels, clients }
    }

    /// The number of servers. A stream is none.
    #[must_use]
    pub fn servers(&self) -> u64 {
        self.levels.iter().sum::<u64>() - u64::from(self.order == Order::Stream)
    }

    /// The index of the last level, 0 for a server alone.
    #[must_use]
    pub fn last(&self) -> usize {
        self.levels.len() - 1
    }

    /// How many there are below `node` of `level`: servers, or at the last level clients.
    #[must_use]
    pub fn below(&self, level: usize, node: u64) -> u64 {
        let first = |node: u64| self.first_below(level, node);
        first(node + 1) - first(node)
    }

    /// The first that is below `node` of `level`, in the order of the next level.
    #[must_use]
    pub fn first_below(&self, level: usize, node: u64) -> u64 {
        let below = self.levels.get(level + 1).copied().unwrap_or(self.clients);
        // A number of clients times one of servers may be large.
        (u128::from(node) * u128::from(below)).div_ceil(u128::from(self.levels[level])) as u64
    }

    /// The server of the level above that `node` of `level` is below; `level` is not the top.
    #[must_use]
    pub fn above(&self, level: usize, node: u64) -> u64 {
        let (above, same) = (self.levels[level - 1], self.levels[level]);
        (u128::from(node) * u128::from(above) / u128::from(same)) as u64
    }

    /// The ancestor of `node` of the last level at `level`.
    #[must_use]
    pub fn ancestor(&self, node: u64, level: usize) -> u64 {
        (level + 1..=self.last()).rev().fold(node, |node, level| self.above(level, node))
    }
}
