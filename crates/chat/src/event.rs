//! What happens, from the threads to the loop that shows it.

use std::io;

use crate::chat::Connection;

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key, a paste, or a change of the window.
    Terminal(crossterm::event::Event),
    /// The keyboard cannot be read any more.
    NoKeyboard(io::Error),
    /// Something of the connection.
    News(News),
}

/// What the connection's thread tells.
#[derive(Debug)]
pub(crate) enum News {
    /// The connection has changed.
    Connection(Connection),
    /// So many messages were lost with the connection, before they were sent.
    NotSent(usize),
    /// Messages have come.
    Messages(Vec<Box<[u8]>>),
    /// The end was asked for, and the system has taken all that was to be sent.
    AllSent,
    /// The thread has ended, as was asked.
    Ended {
        /// Messages that were lost.
        not_sent: usize,
    },
}
