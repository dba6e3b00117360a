//! Everything recorded, as the page carries it along.

use serde_json::Value;

use crate::merge::MergedRun;
use crate::results::Results;

use super::packed::packed;

/// Histograms are left out where the whole would be larger than this, in bytes. What is left out
/// is in the files beside the report.
const WITH_HISTOGRAMS_BYTES_MAX: usize = 3 << 20;

/// The recorded results, for those who want to compute something else from them.
pub(super) struct Raw {
    /// JSON, compressed.
    pub(super) packed: String,
    pub(super) has_histograms: bool,
}

impl Raw {
    pub(super) fn of(results: &Results, runs: &[MergedRun]) -> Self {
        let mut value = value(results, runs);
        let whole = packed(&value.to_string());
        if whole.len() <= WITH_HISTOGRAMS_BYTES_MAX {
            return Self { packed: whole, has_histograms: true };
        }
        remove_histograms(&mut value);
        Self { packed: packed(&value.to_string()), has_histograms: false }
    }
}

fn value(results: &Results, runs: &[MergedRun]) -> Value {
    let mut value = serde_json::json!({ "run": results.run, "trials": results.trials });
    if !runs.is_empty() {
        let runs: Vec<_> = runs
            .iter()
            .map(
                |run| serde_json::json!({ "name": run.name, "trials": run.trials, "run": run.run }),
            )
            .collect();
        value["merged_from"] = Value::Array(runs);
    }
    value
}

fn remove_histograms(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("hdr");
            fields.values_mut().for_each(remove_histograms);
        }
        Value::Array(values) => values.iter_mut().for_each(remove_histograms),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use crate::html::packed::unpacked;

    #[test]
    fn all_that_was_recorded_is_carried_along() {
        let results = examples::detailed_results();
        let raw = Raw::of(&results, &[]);
        assert!(raw.has_histograms);
        let text = unpacked(&raw.packed);
        assert!(text.contains("\"hdr\":\"HIST"), "histograms, too");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["trials"].as_array().unwrap().len(), results.trials.len());
    }

    #[test]
    fn without_histograms_the_percentiles_stay() {
        let mut value = value(&examples::results(), &[]);
        remove_histograms(&mut value);
        let text = value.to_string();
        assert!(!text.contains("\"hdr\"") && text.contains("arrived_p99_ns"));
    }
}
