//! All metrics as text, in the format that is asked for.

use std::collections::HashSet;
use std::sync::Arc;

use super::of_rooms::{METRICS as ROOM_METRICS, ROOMS_MAX, RoomMetric};
use crate::counters::{Kind, METRICS, Metric};
use crate::room::Room;
use crate::shared::Shared;
use crate::upstream::metrics::{METRICS as UPLINK_METRICS, UplinkMetric};

/// A format of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format, version 0.0.4, which everything reads.
    Text,
    /// OpenMetrics 1.0.0, for those who ask.
    OpenMetrics,
}

impl Format {
    /// The format that `Accept` headers ask for: the text format unless OpenMetrics is named, and
    /// not as the lesser choice.
    pub(super) fn negotiate<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let (mut text, mut open_metrics) = (0.0, 0.0);
        for range in accept.flat_map(|value| value.split(',')) {
            let Some((name, quality)) = media_range(range) else { continue };
            match name.as_str() {
                "application/openmetrics-text" => open_metrics = f32::max(open_metrics, quality),
                "text/plain" => text = f32::max(text, quality),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// All metrics, with how many log lines were lost.
    pub(super) fn expose<S>(self, shared: &Shared<S>, lost_log_lines: u64) -> String {
        let mut text = String::new();
        for Metric { name, kind, help, samples } in METRICS {
            self.begin(&mut text, name, *kind, help);
            for shard in 0..shared.shards() {
                samples(shared.counters(shard)).visit(&mut |reason, value| {
                    let reason =
                        reason.map(|reason| format!(",reason=\"{reason}\"")).unwrap_or_default();
                    text += &format!("{name}{{shard=\"{shard}\"{reason}}} {value}\n");
                });
            }
        }
        let lost = "zillions_log_lines_lost_total";
        self.begin(&mut text, lost, Kind::Counter, "Log lines that nobody took in time");
        text += &format!("{lost} {lost_log_lines}\n");
        self.expose_rooms(&mut text, shared);
        self.expose_uplinks(&mut text, shared);
        if self == Self::OpenMetrics {
            text += "# EOF\n";
        }
        text
    }

    /// How many rooms there are, and the metrics of so many of them that a scrape stays small. A room
    /// that has metrics keeps them while it is there.
    fn expose_rooms<S>(self, text: &mut String, shared: &Shared<S>) {
        let rooms = named_rooms(shared);
        self.begin(text, "zillions_rooms", Kind::Gauge, "Rooms, with and without clients");
        *text += &format!("zillions_rooms {}\n", rooms.len());
        for RoomMetric { name, kind, help, value } in ROOM_METRICS {
            self.begin(text, name, *kind, help);
            for room in rooms.iter().take(ROOMS_MAX) {
                *text += &format!("{name}{{room=\"{}\"}} {}\n", room.config.name, value(room));
            }
        }
    }

    /// The metrics of the rooms that have an upstream, if any.
    fn expose_uplinks<S>(self, text: &mut String, shared: &Shared<S>) {
        let rooms = named_rooms(shared);
        let edges: Vec<_> = rooms
            .iter()
            .filter_map(|room| Some((&room.config.name, room.upstream.as_ref()?)))
            .collect();
        for UplinkMetric { name, kind, help, value } in UPLINK_METRICS {
            if !edges.is_empty() {
                self.begin(text, name, *kind, help);
            }
            for (room, upstream) in &edges {
                *text += &format!("{name}{{room=\"{room}\"}} {}\n", value(upstream));
            }
        }
    }

    /// The lines before a metric's samples.
    fn begin(self, text: &mut String, name: &str, kind: Kind, help: &str) {
        let family = match self {
            Self::Text => name,
            // A counter's family has another name than its samples.
            Self::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
        };
        *text += &format!("# HELP {family} {help}\n# TYPE {family} {}\n", kind.name());
    }
}

/// One room for each name, in the order in which they were opened: while a reload replaces a room, the old one is still closing.
fn named_rooms<S>(shared: &Shared<S>) -> Vec<Arc<Room>> {
    let mut rooms: Vec<_> = shared.rooms().into_iter().map(|(_, room)| room).collect();
    rooms.sort_by_key(|room| (room.phase(), room.number));
    let mut names = HashSet::new();
    rooms.retain(|room| names.insert(room.config.name.clone()));
    rooms
}

/// A media range's name in lower case, and its quality; `None` for a version that is not served.
fn media_range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let mut quality = 1.0;
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match (key.trim().to_ascii_lowercase().as_str(), name.as_str()) {
            ("q", _) => quality = value.parse().unwrap_or(0.0),
            ("version", "application/openmetrics-text") if value != "1.0.0" => return None,
            _ => {}
        }
    }
    Some((name, quality))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_text_format_unless_open_metrics_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (&[][..], Format::Text),
            (&["*/*"], Format::Text),
            (&["text/plain;version=0.0.4"], Format::Text),
            (&["text/html, application/json"], Format::Text),
            (&["application/openmetrics-text"], Format::OpenMetrics),
            (&["Application/OpenMetrics-Text; Version=\"1.0.0\""], Format::OpenMetrics),
            (&["text/plain;q=0.5", "application/openmetrics-text"], Format::OpenMetrics),
            (&["application/openmetrics-text;q=0.5, text/plain"], Format::Text),
            (&["application/openmetrics-text;q=0"], Format::Text),
            (&["application/openmetrics-text;q=often"], Format::Text),
            (&["application/openmetrics-text;version=2.0.0"], Format::Text),
            (&["application/openmetrics-text;;=;q"], Format::OpenMetrics),
            (&[prometheus], Format::OpenMetrics),
        ] {
            assert_eq!(Format::negotiate(accept.iter().copied()), expected, "{accept:?}");
        }
    }
}
