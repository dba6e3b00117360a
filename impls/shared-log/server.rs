//! The reference server: one shared log, an offset per client, sharded over threads.
//!
//! All of it is in `crates/log` (the ring) and `crates/server` (the loop, the
//! engines, the operators' options); this is their front door, so that the
//! gallery can check and measure it like every other entry. The same idea in
//! one file of under 200 lines, to be read alone: `impls/shared-log-epoll`.

use std::process::ExitCode;

fn main() -> ExitCode {
    zillions_server::execute()
}
