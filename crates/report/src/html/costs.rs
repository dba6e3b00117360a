//! What a program costs beyond speed, as cells and as facts.

use crate::format::{bytes, digits, percent, time};
use crate::record::CostsRecord;
use crate::statistics::median;

use super::cells::Cell;

/// One cell for each column.
#[derive(Clone, Debug)]
pub(super) struct CostCells {
    pub(super) lines: Cell,
    pub(super) dependencies: Cell,
    pub(super) binary: Cell,
    pub(super) build: Cell,
    pub(super) start_up: Cell,
    pub(super) idle_cpu: Cell,
    pub(super) connection: Cell,
}

impl CostCells {
    pub(super) fn of(costs: &CostsRecord) -> Self {
        let number = |value: Option<u32>| Cell::of(value.map(f64::from), |it| format!("{it:.0}"));
        let start_up =
            (!costs.start_up_seconds.is_empty()).then(|| median(&costs.start_up_seconds));
        let idle = costs.idle.as_ref();
        Self {
            lines: number(costs.lines.map(|lines| lines.code)),
            dependencies: number(costs.dependencies),
            binary: Cell::of(costs.binary_bytes.map(|bytes| bytes as f64), size),
            build: Cell::of(costs.build_seconds, seconds),
            start_up: Cell::of(start_up, seconds),
            idle_cpu: Cell::of(idle.map(|it| it.cpu_fraction()), percent),
            connection: Cell::of(idle.map(|it| it.memory_per_connection_bytes()), size),
        }
    }

    /// With names for people, the known ones only.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        [
            ("Lines of code", &self.lines),
            ("Packages it depends on", &self.dependencies),
            ("Size of the program", &self.binary),
            ("First build", &self.build),
            ("Start-up, until it listens", &self.start_up),
            ("CPU use while idle", &self.idle_cpu),
            ("Memory per connection", &self.connection),
        ]
        .into_iter()
        .filter(|(_, cell)| !cell.key.is_empty())
        .map(|(name, cell)| (name, cell.text.clone()))
        .collect()
    }
}

/// A size in the unit that suits it.
fn size(value: f64) -> String {
    match value {
        value if value.abs() < 1024.0 => format!("{value:.0} B"),
        value if value.abs() < f64::from(1 << 20) => format!("{} KiB", digits(value / 1024.0)),
        value => bytes(value.max(0.0) as u64),
    }
}

fn seconds(value: f64) -> String {
    time(value * 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{IdleRecord, LinesRecord};

    #[test]
    fn what_is_known_is_a_fact_and_what_is_not_is_a_dash() {
        let costs = CostsRecord {
            lines: Some(LinesRecord { code: 97, comments: 20, blanks: 11 }),
            start_up_seconds: vec![0.004, 0.002, 0.003],
            idle: Some(IdleRecord {
                few_connections: 10,
                few_resident_bytes: 1_000_000,
                many_connections: 110,
                many_resident_bytes: 1_409_600,
                many_threads: 2,
                window_seconds: 2.0,
                cpu_seconds: 0.001,
            }),
            ..CostsRecord::default()
        };
        let cells = CostCells::of(&costs);
        assert_eq!(
            cells.facts(),
            [
                ("Lines of code", "97".to_owned()),
                ("Start-up, until it listens", "3.00 ms".to_owned()),
                ("CPU use while idle", "0.05 %".to_owned()),
                ("Memory per connection", "4.00 KiB".to_owned()),
            ]
        );
        assert_eq!(cells.binary, Cell::none());
    }
}
