//! The reference server: one shared log, an offset per client, sharded over threads.
//!
//! The code is in `crates/log` (the ring) and `crates/server` (the loop, the engines,
//! the operators' options). This entry point lets the gallery check and measure it like
//! every other entry. `impls/shared-log-epoll` shows the same idea in one file of under
//! 200 lines.

use std::process::ExitCode;

fn main() -> ExitCode {
    zillions_server::execute()
}
