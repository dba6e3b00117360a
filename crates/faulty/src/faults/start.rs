//! START: the command line, the line on standard output, the listener.

pub(super) mod accepting;
pub(super) mod address;
pub(super) mod line;
