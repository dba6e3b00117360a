//! Metrics in Prometheus' text format, `/healthz` and `/readyz`, on a thread of their own.
//!
//! Shards only ever add to numbers of their own; this thread reads them when it is asked.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tiny_http::{Header, Method, Request, Response, Server};
use tracing::warn;

use crate::client::Reason;
use crate::counters::{Counter, Counters};
use crate::error::Error;
use crate::house::{House, Phase};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A bound socket that serves nothing yet: a busy address has to show before the server starts.
pub(crate) struct Endpoint {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    pub(crate) fn bind(text: &str) -> Result<Self, Error> {
        let address = crate::listen::parse(text)?;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Serves until the process ends.
    pub(crate) fn serve(self, house: Arc<House<OwnedFd>>) -> Result<(), Error> {
        let failed = |source| Error::System { doing: "serve metrics", source };
        let server = Server::from_listener(self.listener, None)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(HouseMetrics(Arc::clone(&house))));
        let serve = move || {
            for request in server.incoming_requests() {
                answer(request, &registry, &house);
            }
        };
        let thread = thread::Builder::new().name("metrics".into());
        thread.spawn(serve).map(drop).map_err(failed)
    }
}

fn answer(request: Request, registry: &Registry, house: &House<OwnedFd>) {
    let text = |status, text: &str| Response::from_string(text).with_status_code(status);
    let path = request.url().split('?').next().unwrap_or_default();
    let response = match (request.method(), path) {
        (Method::Get | Method::Head, "/metrics") => {
            let mut metrics = String::new();
            // Writing to a string does not fail, and neither does the collector itself.
            let _ = text::encode(&mut metrics, registry);
            let header = Header::from_bytes("Content-Type", CONTENT_TYPE);
            text(200, &metrics).with_header(header.expect("a valid header"))
        }
        (Method::Get | Method::Head, "/healthz") => text(200, "ok\n"),
        (Method::Get | Method::Head, "/readyz") => match house.phase() {
            Phase::Serving => text(200, "ready\n"),
            Phase::Closing | Phase::Flushing => text(503, "stopping\n"),
        },
        (_, "/metrics" | "/healthz" | "/readyz") => text(405, "only GET\n"),
        _ => text(404, "there are /metrics, /healthz and /readyz\n"),
    };
    if let Err(error) = request.respond(response) {
        warn!(%error, "a metrics request was not answered");
    }
}

/// One metric that every shard has.
struct PerShard {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    value: fn(&Counters) -> &Counter,
}

impl PerShard {
    const fn counter(
        name: &'static str,
        help: &'static str,
        value: fn(&Counters) -> &Counter,
    ) -> Self {
        Self { name, help, kind: MetricType::Counter, value }
    }

    const fn gauge(
        name: &'static str,
        help: &'static str,
        value: fn(&Counters) -> &Counter,
    ) -> Self {
        Self { name, help, kind: MetricType::Gauge, value }
    }
}

const PER_SHARD: [PerShard; 12] = [
    PerShard::gauge("zillions_clients", "Clients now", |shard| &shard.clients),
    PerShard::gauge("zillions_lagging_clients", "Clients now that are behind", |shard| {
        &shard.lagging
    }),
    PerShard::gauge("zillions_lag_bytes_max", "How far the slowest client is behind", |shard| {
        &shard.lag_bytes_max
    }),
    PerShard::counter("zillions_joined", "Clients that came", |shard| &shard.joined),
    PerShard::counter("zillions_received_messages", "Messages received", |shard| {
        &shard.messages_in
    }),
    PerShard::counter("zillions_received_bytes", "Bytes of whole frames received", |shard| {
        &shard.bytes_in
    }),
    PerShard::counter(
        "zillions_sent_messages",
        "Deliveries: messages handed to clients' sockets",
        |shard| &shard.messages_out,
    ),
    PerShard::counter("zillions_sent_bytes", "Bytes handed to clients' sockets", |shard| {
        &shard.bytes_out
    }),
    PerShard::counter(
        "zillions_sends",
        "Sends that took bytes; sent bytes by sends is the size of a send",
        |shard| &shard.sends,
    ),
    PerShard::counter(
        "zillions_dropped_messages",
        "Messages that a client was not sent because it was too slow",
        |shard| &shard.dropped,
    ),
    PerShard::counter("zillions_wakeups", "Rounds of the shard's loop", |shard| &shard.passes),
    PerShard::counter(
        "zillions_rests",
        "Rounds after which a busy shard rested, so that more messages share a send",
        |shard| &shard.rests,
    ),
];

struct HouseMetrics(Arc<House<OwnedFd>>);

impl fmt::Debug for HouseMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HouseMetrics")
    }
}

impl Collector for HouseMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let house = &self.0;
        let shards = || (0..house.shards()).map(|shard| (shard, house.counters(shard)));
        for metric in &PER_SHARD {
            let mut family =
                encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
            for (shard, counters) in shards() {
                let labels = [("shard", shard.to_string())];
                let mut sample = family.encode_family(&labels)?;
                let value = (metric.value)(counters).get();
                match metric.kind {
                    MetricType::Counter => {
                        sample.encode_counter::<NoLabelSet, _, u64>(&value, None)?
                    }
                    _ => sample.encode_gauge(&value)?,
                }
            }
        }
        let mut gone = encoder.encode_descriptor(
            "zillions_gone",
            "Clients that are gone, by reason",
            None,
            MetricType::Counter,
        )?;
        for (shard, counters) in shards() {
            for reason in Reason::ALL {
                let labels = [("shard", shard.to_string()), ("reason", reason.name().into())];
                let value = counters.gone_for(reason).get();
                gone.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
        }
        let mut refused = encoder.encode_descriptor(
            "zillions_refused",
            "Connections turned away, or not accepted, by reason",
            None,
            MetricType::Counter,
        )?;
        for (reason, counter) in [
            ("max-clients", &house.refused_full),
            ("max-clients-per-ip", &house.refused_ip),
            ("accept-error", &house.accept_errors),
        ] {
            let labels = [("reason", reason)];
            refused
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&counter.get(), None)?;
        }
        Ok(())
    }
}
