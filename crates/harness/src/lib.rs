//! Starts any server executable, waits for its line, watches it, stops it.
//!
//! The promise of this crate is that *nothing is ever left running*: every
//! process it starts lives in a process group of its own, is killed when
//! the tool dies ([`group`]), and is stopped when its handle is dropped, when
//! the tool is interrupted ([`interrupt`]), and when the tool panics.
//!
//! Modules: [`launch`] says what to start ([`broker`]: what is not written for the spec), [`port`] where it listens,
//! [`server`] is the running server, [`sample`] measures its process tree,
//! [`manifest`] reads the gallery's `impl.toml` files (`sources`: what files they name), [`toolchain`] probes
//! and builds its entries (`last_build`: whether they have changed), [`limits`], [`machine`] and [`resources`] tell what this machine
//! allows, is and has left, [`machine_fault`] and [`executable`] which errors are its doing,
//! [`event_count`] counts what a process tree executes.

pub mod accept_queue;
pub mod address;
pub mod broker;
pub mod cpu_demand;
mod environment;
pub mod event_count;
pub mod executable;
pub mod granted;
pub mod group;
mod guard;
pub mod interrupt;
mod last_build;
pub mod launch;
mod left_behind;
pub mod limits;
pub mod loopback;
pub mod machine;
pub mod machine_fault;
pub mod machine_time;
mod made_anew;
pub mod manifest;
mod marker;
mod output;
pub mod port;
pub mod resources;
pub mod sample;
pub mod server;
mod socket_diag;
mod sockets;
mod sources;
pub mod start_error;
pub mod toolchain;
pub mod traffic;

pub use accept_queue::AcceptQueues;
pub use address::AddressError;
pub use broker::Broker;
pub use cpu_demand::CpuDemand;
pub use event_count::{Count, Event, EventCount, Uncounted};
pub use granted::GrantedTime;
pub use group::{Signal, Waited};
pub use launch::{Launch, LaunchError, locate};
pub use left_behind::{LeftBehind, left_behind};
pub use machine_fault::MachineFault;
pub use machine_time::MachineTime;
pub use manifest::{Gallery, Manifest};
pub use output::last_lines;
pub use port::{PortError, PortLease};
pub use sample::{Sample, SampleError};
pub use server::{Server, StartOptions, StopReport};
pub use start_error::StartError;
pub use traffic::{Traffic, TrafficProbe};
