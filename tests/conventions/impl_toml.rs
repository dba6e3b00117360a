//! docs/impl-toml.md describes the keys that the manifest has.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;
use zillions_harness::manifest::{FILE_NAME, Manifest, SlowReader, TAGS};

use crate::tree::file;

const PAGE: &str = "docs/impl-toml.md";

/// Adds the keys of `value`, with those of tables inside it behind a dot.
fn collect(value: &Value, prefix: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                collect(value, &key, keys);
                keys.insert(key);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, prefix, keys)),
        _ => {}
    }
}

#[test]
fn the_reference_of_impl_toml_documents_every_key_and_its_example_is_valid() {
    let page = &file(PAGE).expect("the page").text;
    let example = page.split_once("```toml\n").expect("an example").1;
    let example = example.split_once("```").expect("its end").0;
    let manifest: Manifest = toml::from_str(example).expect("a valid example");
    // Every field is written, whatever the example sets, and the example has each kind of table.
    let mut keys = BTreeSet::new();
    collect(&serde_json::to_value(&manifest).expect("JSON"), "", &mut keys);
    let keys_section = page.split("\n## ").find(|it| it.starts_with("Keys")).expect("the keys");
    let row = Regex::new(r"(?m)^\| `([a-z_.]+)` \|").expect("a pattern");
    let documented: BTreeSet<String> =
        row.captures_iter(keys_section).map(|it| it[1].to_owned()).collect();
    assert_eq!(documented, keys, "the table of {PAGE} beside the fields of Manifest");
    let policies =
        [SlowReader::DropNewest, SlowReader::DropOldest, SlowReader::Disconnect, SlowReader::Block];
    for policy in policies {
        let name = serde_json::to_value(policy).expect("JSON");
        let name = name.as_str().expect("a word");
        assert!(page.contains(&format!("`{name}`")), "{PAGE} does not describe {name}");
    }
    for tag in TAGS {
        assert!(page.contains(&format!("| `{tag}` |")), "{PAGE} does not describe {tag}");
    }
    // And as a file: with its sources beside it, the example passes every check of a manifest.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE_NAME), example).expect("a file");
    for source in &manifest.sources {
        std::fs::write(folder.path().join(source), "").expect("a file");
    }
    zillions_harness::manifest::Entry::read(folder.path()).expect("a valid entry");
}
