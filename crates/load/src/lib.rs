//! Open-loop load against a chat server, with every delivery verified and timed.
//!
//! One thread drives thousands of connections; several share them out, and what they find is one
//! account in the end. Senders write on a schedule that does not depend on the server
//! ([`Load::FixedRate`], [`Load::Burst`]), as fast as the sockets take it ([`Load::Saturate`]), or
//! in rounds that wait for every client ([`Load::EveryoneAtOnce`], a closed loop). Each body carries
//! its sender, its sequence number and the nanosecond at which it was meant to be sent, so latency
//! counts from the *intended* time: a server that freezes is charged for every message it kept
//! waiting, not only for the one that was in flight.
//!
//! One send is one expected delivery per connected client. Every one of those pairs ends in one
//! class of [`Pairs`]: delivered, reordered, dropped, cut off, pending or unsent. So drops are recorded
//! as failures and are never merely absent samples.
//!
//! Servers may also speak the protocol of NATS or of Redis ([`WireFormat`]); the bodies, the ledger
//! and everything else stay the same.
//!
//! The core is pure ([`Verifier`], [`Schedule`], [`body`], the wire formats): it touches no socket and no clock, and
//! [`run`] is the thin part that does.

#![forbid(unsafe_code)]

mod account;
pub mod body;
mod churn;
mod clock;
mod closed_loop;
mod common_stream;
mod connections;
mod error;
mod filler;
mod flight;
mod generator;
mod ledger;
mod order_sample;
mod outcome;
mod outgoing;
mod part;
mod plan;
mod schedule;
mod share;
mod shared_flight;
mod team;
mod verifier;
mod wire;
pub mod yardstick;

pub use account::{Account, Ending, LATENCY_NS_MAX, histogram};
pub use churn::{CHURN_CONNECTIONS_MAX, ChurnCounts};
pub use closed_loop::{ROUND_NS_MAX, RoundCounts};
pub use error::{LoadError, Phase};
pub use filler::Filler;
pub use generator::{run, run_spread, run_threads};
pub use ledger::{Entry, GAPS_REMEMBERED_MAX, Ledger};
pub use order_sample::{OrderSample, SAMPLED_CLIENTS_MAX, SAMPLED_EVENTS_MAX, SampledEvent};
pub use outcome::{
    Anomalies, Extras, GeneratorUse, Latencies, LostConnection, Outcome, Pairs, Traffic,
};
pub use plan::{
    CHURN_PER_SECOND_MAX, CLIENTS_MAX, FILLER_PER_MESSAGE_MAX, Load, MESSAGES_PER_SECOND_MAX, Plan,
    PlanError, THREADS_MAX,
};
pub use schedule::{Schedule, Window};
pub use verifier::{Control, Verifier};
pub use wire::WireFormat;
