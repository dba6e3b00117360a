//! The tables of `docs/design/0025-scale.md`, as Markdown.

use std::fmt::Write as _;

use crate::calibration::{self, MEASURED};
use crate::costs::Costs;
use crate::plan::{self, MACHINE};
use crate::{Load, Loss, Order, Outcome, Topology, simulate};

/// In all tables of plans: by all clients of the room.
const MESSAGES_PER_SECOND: f64 = 10.0;

const LOAD: Load = Load { messages_per_second: MESSAGES_PER_SECOND, duration_ns: 60_000_000_000 };

const SEED: u64 = 1;

/// Until a server that is lost serves again, or a stream has another leader.
const SECONDS_AWAY: u64 = 5;

/// All tables, each with a heading.
#[must_use]
pub fn all() -> String {
    let costs = Costs::measured();
    let parts = [
        ("Unit costs", unit_costs(&costs)),
        ("The model beside the measured tree", calibration(&costs)),
        ("Plans", plans(&costs)),
        ("A lost node", losses(&costs)),
        ("Where one stream ends", streams(&costs)),
    ];
    parts
        .iter()
        .fold(String::new(), |all, (heading, table)| all + &format!("\n### {heading}\n\n{table}"))
}

fn unit_costs(costs: &Costs) -> String {
    let mut table = head(&["what", "figure", "from", "date"]);
    for figure in costs.all() {
        let value = format!("{} {}", figure.value, figure.unit);
        row(&mut table, &[figure.what.into(), value, figure.source.into(), figure.date.into()]);
    }
    table
}

fn calibration(costs: &Costs) -> String {
    let mut table =
        head(&["clients", "latency measured", "model", "error", "CPU measured", "model", "error"]);
    for measured in &MEASURED {
        let (latency, cpu) =
            (calibration::latency_ns(costs, measured), calibration::cpu_ns(costs, measured));
        let error = |model: f64, real: f64, fitted: bool| {
            let error = (model / real - 1.0) * 100.0;
            format!("{error:+.0} %{}", if fitted { ", fitted" } else { "" })
        };
        row(
            &mut table,
            &[
                measured.place.into(),
                micros(measured.latency_ns),
                micros(latency),
                error(latency, measured.latency_ns, measured.fitted[0]),
                micros(measured.cpu_ns),
                micros(cpu),
                error(cpu, measured.cpu_ns, measured.fitted[1]),
            ],
        );
    }
    table
}

fn plans(costs: &Costs) -> String {
    let mut table = head(&[
        "clients",
        "form",
        "servers",
        "at each level",
        "cores",
        "memory",
        "network",
        "p50",
        "p99",
        "p99.9",
    ]);
    for clients in (4..=8).map(|power| 10_u64.pow(power)) {
        for order in [Order::Root, Order::Stream] {
            let topology = plan::plan(costs, order, clients, MESSAGES_PER_SECOND);
            let bill = plan::bill(costs, &topology, MESSAGES_PER_SECOND);
            let outcome = simulate(&topology, &costs.on(MACHINE), LOAD, None, SEED);
            let mut cells = vec![
                format!("10^{}", clients.ilog10()),
                form(order).into(),
                topology.servers().to_string(),
                levels(&topology),
                format!("{:.1}", bill.cores),
                format!("{:.2} GB", bill.memory_bytes / 1e9),
                format!("{:.2} Gbit/s", bill.bits_per_second / 1e9),
            ];
            cells.extend([0.5, 0.99, 0.999].map(|share| at(&outcome, share)));
            row(&mut table, &cells);
        }
    }
    table
}

/// One node of each level is lost for some seconds.
fn losses(costs: &Costs) -> String {
    let mut table = head(&[
        "lost",
        "of messages, not said",
        "lost",
        "deliveries missed",
        "p50",
        "p99",
        "longest",
    ]);
    for order in [Order::Root, Order::Stream] {
        let topology = plan::plan(costs, order, 10_000_000, MESSAGES_PER_SECOND);
        for level in 0..=topology.last() {
            let loss = Loss { level, at_ns: 20_000_000_000, for_ns: SECONDS_AWAY * 1_000_000_000 };
            let outcome = simulate(&topology, &costs.on(MACHINE), LOAD, Some(loss), SEED);
            let deliveries = (outcome.ordered * outcome.clients) as f64;
            row(
                &mut table,
                &[
                    lost(order, level, topology.last()).into(),
                    format!("{} of {}", outcome.unsaid, outcome.said),
                    outcome.lost.to_string(),
                    format!("{:.2} %", outcome.missed as f64 / deliveries * 100.0),
                    at(&outcome, 0.5),
                    at(&outcome, 0.99),
                    at(&outcome, 1.0),
                ],
            );
        }
    }
    table
}

fn lost(order: Order, level: usize, last: usize) -> &'static str {
    match (order, level) {
        (Order::Root, 0) => "tree: the root",
        (Order::Stream, 0) => "cluster: the stream's leader",
        (Order::Root, level) if level == last => "tree: an edge with clients",
        (Order::Root, _) => "tree: an edge with edges",
        (Order::Stream, level) if level == last => "cluster: an edge with clients",
        (Order::Stream, _) => "cluster: a node with edges",
    }
}

fn streams(costs: &Costs) -> String {
    let mut table = head(&[
        "nodes at a stream",
        "batches/s",
        "rooms for 1,000 batches/s",
        "for 10,000",
        "for 100,000",
    ]);
    for nodes in [3, 10, plan::FAN_OUT] {
        let mut cells =
            vec![nodes.to_string(), format!("{:.0}", plan::batches_per_second(costs, nodes))];
        cells.extend([1e3, 1e4, 1e5].map(|rate| plan::rooms(costs, nodes, rate).to_string()));
        row(&mut table, &cells);
    }
    table
}

fn form(order: Order) -> &'static str {
    match order {
        Order::Root => "tree",
        Order::Stream => "cluster",
    }
}

/// From the top, which is a server or the stream.
fn levels(topology: &Topology) -> String {
    let skipped = usize::from(topology.order == Order::Stream);
    let numbers: Vec<_> = topology.levels[skipped..].iter().map(u64::to_string).collect();
    numbers.join(" → ")
}

fn at(outcome: &Outcome, share: f64) -> String {
    let ns = outcome.latency.value_at_quantile(share) as f64;
    if ns < 1e6 { micros(ns) } else { format!("{:.1} ms", ns / 1e6) }
}

fn micros(ns: f64) -> String {
    format!("{:.1} µs", ns / 1e3)
}

fn head(cells: &[&str]) -> String {
    format!("| {} |\n|{}\n", cells.join(" | "), " --- |".repeat(cells.len()))
}

fn row(table: &mut String, cells: &[String]) {
    writeln!(table, "| {} |", cells.join(" | ")).expect("a string takes everything");
}
