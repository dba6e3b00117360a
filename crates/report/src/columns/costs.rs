//! What a target costs beyond speed: one column each.

use super::head::Head;
use super::value::Value;
use crate::format::{percent, size, time, whole};
use crate::record::TargetRecord;
use crate::statistics::median;

/// What a target costs beyond speed.
#[derive(Clone, Copy, Debug)]
pub struct CostColumn {
    /// Its names, its unit and its meaning.
    pub head: Head,
    /// How a value is written, with its unit.
    pub format: fn(f64) -> String,
    /// Its value.
    pub of: fn(&TargetRecord) -> Value,
}

/// Every cost, in the order of the tables.
pub static COSTS: [CostColumn; 8] = [
    CostColumn {
        head: Head {
            key: "lines_of_code",
            title: "Lines of code",
            unit: "lines",
            meaning: "Lines of its sources, without comments and blank lines.",
        },
        format: whole,
        of: |target| Value::number(target.costs.lines.map(|lines| f64::from(lines.code))),
    },
    CostColumn {
        head: Head {
            key: "dependencies",
            title: "Packages",
            unit: "packages",
            meaning: "Packages that its lock file pins, itself not counted.",
        },
        format: whole,
        of: |target| Value::number(target.costs.dependencies.map(f64::from)),
    },
    CostColumn {
        head: Head {
            key: "binary_bytes",
            title: "Program size",
            unit: "bytes",
            meaning: "Size of the built file; unknown for scripts.",
        },
        format: size,
        of: |target| Value::number(target.costs.binary_bytes.map(|bytes| bytes as f64)),
    },
    CostColumn {
        head: Head {
            key: "build_seconds",
            title: "First build",
            unit: "seconds",
            meaning: "Time of the first build, dependencies included; – if unknown.",
        },
        format: seconds,
        of: |target| Value::number(target.costs.build_seconds),
    },
    CostColumn {
        head: Head {
            key: "start_up_seconds",
            title: "Start-up",
            unit: "seconds",
            meaning: "Median time from starting the process to its “listening on” line.",
        },
        format: seconds,
        of: |target| {
            let times = &target.costs.start_up_seconds;
            Value::number((!times.is_empty()).then(|| median(times)))
        },
    },
    CostColumn {
        head: Head {
            key: "idle_cpu_share",
            title: "Idle CPU",
            unit: "share, 0 to 1 per processor",
            meaning: "CPU use while clients are connected and silent, as a share of one processor.",
        },
        format: percent,
        of: |target| Value::number(target.costs.idle.map(|idle| idle.cpu_share())),
    },
    CostColumn {
        head: Head {
            key: "memory_per_connection_bytes",
            title: "Memory per connection",
            unit: "bytes",
            meaning: "Resident memory that one more idle connection takes; what processes share counts once.",
        },
        format: size,
        of: |target| {
            Value::number(target.costs.idle.map(|idle| idle.memory_per_connection_bytes()))
        },
    },
    CostColumn {
        head: Head {
            key: "cases_passed",
            title: "Cases passed",
            unit: "cases",
            meaning: "Cases of the conformance suite that passed before the measurement.",
        },
        format: whole,
        of: cases_passed,
    },
];

/// Cases that passed, of those that judge something.
#[must_use]
pub fn cases_passed(target: &TargetRecord) -> Value {
    let Some(found) = &target.conformance else { return Value::Unknown };
    let judged = found.passed + found.failed + found.nonstrict + found.inconclusive + found.errors;
    Value::Part { part: found.passed, of: judged }
}

fn seconds(value: f64) -> String {
    time(value * 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn costs_are_written_in_the_unit_that_suits_them() {
        let results = examples::detailed_results();
        let text = |key: &str, target: usize| {
            let column = COSTS.iter().find(|it| it.head.key == key).unwrap();
            (column.of)(&results.run.targets[target]).text(column.format)
        };
        assert_eq!(text("lines_of_code", 0), "97");
        assert_eq!(text("start_up_seconds", 0), "2.00 ms");
        assert_eq!(text("idle_cpu_share", 0), "0.01 %");
        assert_eq!(text("memory_per_connection_bytes", 0), "6.06 KiB");
        assert_eq!(text("binary_bytes", 3), "–");
        assert_eq!(text("cases_passed", 0), "51 of 52");
    }
}
