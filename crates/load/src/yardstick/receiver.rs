//! The receiver: the generator's sockets and system calls, and nothing else.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Cycle;
use crate::account::histogram;
use crate::clock::{Clock, ThreadMeter};
use crate::connections::Connections;
use crate::error::{LoadError, Phase};
use crate::order_sample::OrderSample;
use crate::outcome::{Anomalies, Extras, GeneratorUse, Latencies, Outcome, Pairs, Traffic};
use crate::plan::Plan;
use crate::share::Share;

/// Receives from a [`Feed`](super::Feed) of the same plan and counts.
///
/// `observe` is called as in [`run`](crate::run). What the outcome does not know is empty or zero:
/// no message is decoded and none has a time. Every delivery that was counted is in
/// [`Pairs::delivered`].
///
/// # Errors
///
/// [`LoadError`] if the clients could not connect, or not all of them received
/// something in the plan's `ready_max`.
pub fn receive_only(
    address: SocketAddr,
    plan: &Plan,
    mut observe: impl FnMut(Phase),
) -> Result<Outcome, LoadError> {
    plan.check()?;
    let clients = plan.clients;
    let all = (Share::WHOLE, &Arc::default());
    let connections = Connections::open(&[address], clients, all, false, plan.ready_max)
        .map_err(|(connected, error)| LoadError::connect(address, connected, clients, error))?;
    let served = vec![false; clients];
    let mut receiver = Receiver { clock: Clock::start(), connections, served, bytes: 0 };
    receiver.announce();
    let mut meter = ThreadMeter::new();
    let seconds = plan.ready_max.as_secs_f64();
    let ready_ns = plan.ready_max.as_nanos() as u64;
    receiver.receive_until(ready_ns, |it| !it.served.contains(&false))?;
    let served = receiver.served.iter().filter(|&&is_served| is_served).count();
    if served < clients {
        return Err(LoadError::NotServed { served, clients, seconds });
    }
    observe(Phase::WarmUp);
    let start_ns = receiver.clock.now_ns() + plan.warm_up.as_nanos() as u64;
    receiver.receive_until(start_ns, |_| false)?;
    let (before, began_ns) = (receiver.reading(&mut meter), receiver.clock.now_ns());
    let bytes_before = receiver.bytes;
    observe(Phase::Measure);
    receiver.receive_until(start_ns + plan.measure.as_nanos() as u64, |_| false)?;
    let window_seconds = (receiver.clock.now_ns() - began_ns) as f64 / 1e9;
    let used = GeneratorUse::between(before, receiver.reading(&mut meter));
    let bytes_arrived = receiver.bytes - bytes_before;
    observe(Phase::Drain);
    let cycle = Cycle::of(&plan.body_bytes, plan.filler.per_message, plan.filler.bytes);
    let deliveries = cycle.frames_in(bytes_arrived);
    let traffic = Traffic {
        deliveries_arrived: deliveries,
        bytes_arrived,
        window_seconds,
        ..Traffic::default()
    };
    let used = GeneratorUse { deliveries_arrived: deliveries, ..used };
    Ok(outcome(traffic, used, receiver.connections))
}

fn outcome(traffic: Traffic, generator: GeneratorUse, connections: Connections) -> Outcome {
    Outcome {
        pairs: Pairs { delivered: traffic.deliveries_arrived, ..Pairs::default() },
        anomalies: Anomalies::default(),
        traffic,
        latencies: Latencies {
            delivery: histogram(),
            service: histogram(),
            last_receiver: histogram(),
            schedule_lag: histogram(),
        },
        generator: vec![generator],
        extras: Extras::default(),
        sample: OrderSample::default(),
        are_all_lost: connections.connected() == 0,
        lost: connections.lost,
    }
}

struct Receiver {
    clock: Clock,
    connections: Connections,
    /// Per client, whether it has received anything.
    served: Vec<bool>,
    bytes: u64,
}

impl Receiver {
    /// Sends the byte by which a sender tells clients from others.
    fn announce(&mut self) {
        for client in 0..self.served.len() {
            // A connection that is lost already is not served, and then told.
            self.connections.send(&self.clock, client, |stream| stream.write(&[0]));
        }
    }

    /// Receives until then, or until it is enough.
    fn receive_until(
        &mut self,
        until_ns: u64,
        is_enough: impl Fn(&Self) -> bool,
    ) -> Result<(), LoadError> {
        while self.clock.now_ns() < until_ns && !is_enough(self) {
            // As the generator: all that is readable, then the next events.
            let Self { clock, connections, served, bytes } = self;
            for _ in 0..connections.readable() {
                connections.receive(clock, |client, received, _| {
                    served[client] = true;
                    *bytes += received.len() as u64;
                    Ok(())
                });
            }
            let wait_ns = if connections.has_readable() { 0 } else { until_ns };
            connections.wait(clock, wait_ns)?;
            if connections.connected() == 0 {
                break;
            }
        }
        Ok(())
    }

    fn reading(&self, meter: &mut ThreadMeter) -> (crate::clock::ThreadUse, u64) {
        (meter.read(), self.connections.reads)
    }
}
