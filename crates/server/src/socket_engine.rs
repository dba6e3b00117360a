//! What an engine on sockets needs besides [`Engine`]: a name, a probe and a constructor.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::engine::{Engine, Wake};
use crate::listen::Listeners;

/// An engine that `--engine` can name; listed in `engines.rs`.
pub trait SocketEngine: Engine<Stream = OwnedFd> + Sized + Send + 'static {
    /// As the command line names it.
    const NAME: &str;
    /// One line of help.
    const SUMMARY: &str;

    /// Whether it works on this system. That there can be as many as wanted shows only when they
    /// are made.
    ///
    /// # Errors
    /// Why not.
    fn probe() -> io::Result<()>;

    /// What an error of [`probe`](Self::probe) means, in parentheses after a space, if more is
    /// known than it says itself.
    fn advice(error: &io::Error) -> &'static str {
        let _ = error;
        ""
    }

    /// An engine, and the way to wake the shard it will belong to.
    ///
    /// # Errors
    /// When the system has no descriptor or memory left.
    fn new(listeners: Arc<Listeners>) -> io::Result<(Self, Wake)>;
}
