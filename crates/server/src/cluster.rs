//! A room whose order is made by a stream of NATS JetStream.
//!
//! Such a server is a *node* of a cluster. What its clients say is published in batches, and only
//! what the stream gives back is appended to the log, so the stream's order is that of all nodes.
//! To shards it is an [upstream](crate::upstream) as that of an edge is. `docs/design/0021-cluster.md`
//! says why.

#[cfg(feature = "cluster")]
mod batches;
pub mod config;
#[cfg(feature = "cluster")]
mod node;
#[cfg(feature = "cluster")]
mod outgoing;
#[cfg(feature = "cluster")]
mod progress;
#[cfg(feature = "cluster")]
mod session;
#[cfg(feature = "cluster")]
mod stream;

#[cfg(feature = "cluster")]
pub(crate) use node::start;
