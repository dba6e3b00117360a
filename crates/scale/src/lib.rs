//! What trees and clusters of chat servers would cost, and how late they would be, for more clients
//! than anybody here can measure.
//!
//! [`Topology`] says which servers there are, [`Costs`] what their work costs, and [`simulate`] sends
//! messages through them, event by event: the same seed gives the same result. [`tables`] writes the
//! tables of `docs/design/0025-scale.md`, which also says how far the model is from what was measured.
//!
//! No clock, no socket, no file: times are simulated, in nanoseconds from the start.

pub mod calibration;
pub mod costs;
mod node;
mod observer;
pub mod plan;
pub mod simulation;
pub mod tables;
pub mod topology;

pub use costs::Costs;
pub use simulation::{Load, Loss, Outcome, simulate};
pub use topology::{Order, Topology};
