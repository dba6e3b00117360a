//! Servers on another machine: a helper there starts, samples and stops them, and is talked to
//! through the user's own `ssh`; the load comes from here.

mod agent;
mod elsewhere;
mod error;
mod link;
mod message;
mod server;
mod ssh;

pub use agent::serve;
pub use error::RemoteError;
pub use link::Link;
pub use message::Program;
pub use server::{Remote, RemoteServer};
pub use ssh::{Ssh, address_of};

pub(crate) use elsewhere::Elsewhere;
pub(crate) use message::Reading as RemoteReading;
pub(crate) use server::NotStarted;
