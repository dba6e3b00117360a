//! The JSON Schemas of the files, published in `docs/schema/`.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::compare::Comparison;
use crate::gallery_results::GalleryResults;
use crate::record::{RunRecord, TrialRecord};

/// A published schema.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedSchema {
    /// Its file's name in `docs/schema/`.
    pub file: &'static str,
    /// Its text.
    pub text: String,
}

/// The schemas of all files of a results folder, of a comparison, and of committed figures.
///
/// # Panics
///
/// If a JSON value cannot be written as text, which does not happen.
#[must_use]
pub fn published() -> Vec<PublishedSchema> {
    let generate = || SchemaSettings::draft2020_12().into_generator();
    [
        ("results-3.run.json", generate().into_root_schema_for::<RunRecord>()),
        ("results-3.trial.json", generate().into_root_schema_for::<TrialRecord>()),
        ("compare-3.json", generate().into_root_schema_for::<Comparison>()),
        ("gallery-results-1.json", generate().into_root_schema_for::<GalleryResults>()),
    ]
    .into_iter()
    .map(|(file, schema)| {
        let value = Value::from(schema);
        let text = serde_json::to_string_pretty(&value).expect("a JSON value has a text") + "\n";
        PublishedSchema { file, text }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::compare::{Thresholds, compare};
    use crate::examples;
    use crate::record::TrialResult;

    #[test]
    fn the_published_schemas_are_those_of_the_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema");
        for schema in published() {
            let path = folder.join(schema.file);
            if std::env::var_os("ZILLIONS_UPDATE").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &schema.text).unwrap();
            }
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == schema.text,
                "docs/schema/{} is out of date: run ZILLIONS_UPDATE=1 cargo test -p zillions-report",
                schema.file
            );
        }
    }

    #[test]
    fn records_keep_to_their_schemas_and_others_do_not() {
        let results = examples::results();
        let [run, trial, ..] = published().map_to_validators();
        assert!(run.is_valid(&serde_json::to_value(&results.run).unwrap()));
        for record in &results.trials {
            assert!(trial.is_valid(&serde_json::to_value(record).unwrap()));
        }
        assert!(!run.is_valid(&serde_json::to_value(&results.trials[0]).unwrap()));
    }

    #[test]
    fn a_comparison_keeps_to_its_schema_also_where_a_figure_is_infinite() {
        let base = examples::results();
        let mut new = examples::results();
        for trial in &mut new.trials {
            if let TrialResult::Measured(figures) = &mut trial.result {
                figures.pairs.dropped = figures.pairs.delivered;
            }
        }
        let comparison = compare(&base, &new, Thresholds::default()).unwrap();
        let value = serde_json::to_value(comparison).unwrap();
        assert!(value.to_string().contains("null"), "nothing is infinite: {value}");
        let [_, _, schema, _] = published().map_to_validators();
        assert!(schema.is_valid(&value), "{value}");
    }

    #[test]
    fn committed_figures_keep_to_their_schema() {
        let [.., schema] = published().map_to_validators();
        let text = GalleryResults::of(&examples::detailed_results()).to_json();
        assert!(schema.is_valid(&serde_json::from_str(&text).unwrap()), "{text}");
        assert!(!schema.is_valid(&serde_json::to_value(examples::results().run).unwrap()));
    }

    trait Validators {
        fn map_to_validators(self) -> [jsonschema::Validator; 4];
    }

    impl Validators for Vec<PublishedSchema> {
        fn map_to_validators(self) -> [jsonschema::Validator; 4] {
            let validators: Vec<_> = self
                .iter()
                .map(|schema| serde_json::from_str(&schema.text).unwrap())
                .map(|value: Value| jsonschema::validator_for(&value).unwrap())
                .collect();
            validators.try_into().unwrap()
        }
    }
}
