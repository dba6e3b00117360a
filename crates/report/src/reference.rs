//! The page that explains every key of the result files: `docs/results-format.md`.
//!
//! It is written from the schemas, and so from the doc comments of the records and of the columns.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::columns::{FIGURES, FigureColumn};
use crate::schema::published;

const INTRODUCTION: &str = "\
# Format of the results

Every key of the files in a results folder, of a comparison, and of the figures in
`docs/results`. This page is generated from the
records in `crates/report` (`ZILLIONS_UPDATE=1 cargo test -p zillions-report`); their JSON Schemas
are in [docs/schema](schema). [reading-results.md](reading-results.md) explains what the figures mean.

Units end the names of keys. A percentile whose name begins with `arrived_` covers the
deliveries that arrived; every other p50, p99 or p999 counts lost deliveries as infinitely late.
Those that begin with `arrived_` or `lag_` stand beside the `count` that they are of: with fewer
than ten above it, a percentile is a lower bound (p99: a count below 1000; p999: below 10,000).
Keys that are not marked *optional* are always there.
";

/// The text of the page.
///
/// # Panics
///
/// If writing to a string fails, which it does not.
#[must_use]
pub fn results_format() -> String {
    let mut page = INTRODUCTION.to_owned();
    let parts = ["`run.json`", "`trials/*.json`", "A comparison", "Committed figures"];
    let mut described = BTreeSet::new();
    for (title, schema) in parts.into_iter().zip(published()) {
        let value: Value = serde_json::from_str(&schema.text).expect("a schema is JSON");
        writeln!(page, "\n## {title}\n\nSchema: [{0}](schema/{0}).", schema.file)
            .expect("a string can be written to");
        describe(&mut page, &value);
        // What two files have in common is described once.
        for name in order(&value).into_iter().filter(|name| described.insert(name.clone())) {
            let definition = &value["$defs"][&name];
            page += &format!("\n### {}\n", heading(&name));
            describe(&mut page, definition);
        }
    }
    page + &summary()
}

/// The names of the definitions, in the order in which they are first referred to.
fn order(root: &Value) -> Vec<String> {
    fn visit(value: &Value, root: &Value, found: &mut Vec<String>, seen: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    if key == "$defs" {
                        continue;
                    }
                    visit(value, root, found, seen);
                    let name = value.as_str().filter(|_| key == "$ref").and_then(definition_name);
                    if let Some(name) = name.filter(|name| seen.insert((*name).to_owned())) {
                        found.push(name.to_owned());
                        visit(&root["$defs"][name], root, found, seen);
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|it| visit(it, root, found, seen)),
            _ => {}
        }
    }
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    visit(root, root, &mut found, &mut seen);
    found
}

fn definition_name(reference: &str) -> Option<&str> {
    reference.strip_prefix("#/$defs/")
}

/// `ScenarioRecord` as a heading: without what all of them have.
fn heading(name: &str) -> &str {
    name.strip_suffix("Record").unwrap_or(name)
}

/// A link to the definition with this name.
fn link(name: &str) -> String {
    let title = heading(name);
    format!("[{title}](#{})", title.to_lowercase())
}

/// The keys of an object, or the values of a choice.
fn describe(page: &mut String, schema: &Value) {
    *page += &format!("\n{}\n", text(schema));
    if let Some(choices) = schema["oneOf"].as_array() {
        if choices.iter().any(|choice| choice.get("const").is_some()) {
            *page += "\n| value | meaning |\n| --- | --- |\n";
            for choice in choices {
                *page += &format!("| {} | {} |\n", value_text(&choice["const"]), text(choice));
            }
            return;
        }
        for choice in choices {
            let kind = value_text(&choice["properties"]["kind"]["const"]);
            *page += &format!("\n`kind` {kind}: {}\n", text(choice));
            if let Some(name) = choice["$ref"].as_str().and_then(definition_name) {
                *page += &format!("\nIts other keys are those of {}.\n", link(name));
            }
            keys(page, choice);
        }
        return;
    }
    keys(page, schema);
}

fn keys(page: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let own: Vec<_> = properties.iter().filter(|(_, it)| it.get("const").is_none()).collect();
    if own.is_empty() {
        return;
    }
    *page += "\n| key | type | meaning |\n| --- | --- | --- |\n";
    let required = schema["required"].as_array();
    for (key, property) in own {
        let is_required = required.is_some_and(|it| it.iter().any(|name| name == key));
        let optional = if is_required { "" } else { " *optional*" };
        let (kind, meaning) = (kind_of(property), text(property));
        *page += &format!("| `{key}`{optional} | {kind} | {meaning} |\n");
    }
}

fn value_text(value: &Value) -> String {
    format!("`{}`", value.as_str().unwrap_or_default())
}

/// A description in one line.
fn text(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or_default();
    description.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn kind_of(property: &Value) -> String {
    if let Some(name) = property["$ref"].as_str().and_then(definition_name) {
        return link(name);
    }
    if let Some(choices) = property["anyOf"].as_array() {
        return choices.iter().map(kind_of).collect::<Vec<_>>().join(" or ");
    }
    match &property["type"] {
        Value::String(kind) if kind == "array" => {
            format!("array of {}", kind_of(&property["items"]))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            kinds.join(" or ")
        }
        _ => "any".to_owned(),
    }
}

/// The figures of `zillions bench --format json`, which are the columns of the report.
fn summary() -> String {
    let mut page = "\n## Figures of `zillions bench --format json`\n\nThe `figures` of a row have \
                    the keys of the report's columns. A value is a number, or an object with \
                    `median`, `low` and `high`; what is infinite or unknown is null. A percentile \
                    with fewer than ten deliveries above it is an object with `at_least` alone.\n\n\
                    | key | column | unit | meaning |\n| --- | --- | --- | --- |\n"
        .to_owned();
    let has_value = |column: &&&FigureColumn| column.of_target.is_some();
    for column in FIGURES.iter().filter(has_value) {
        let head = &column.head;
        page +=
            &format!("| `{}` | {} | {} | {} |\n", head.key, head.title, head.unit, head.meaning);
    }
    page
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_of_the_format_is_that_of_the_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results-format.md");
        if std::env::var_os("ZILLIONS_UPDATE").is_some() {
            fs::write(&path, results_format()).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == results_format(),
            "docs/results-format.md is out of date: run ZILLIONS_UPDATE=1 cargo test -p zillions-report"
        );
    }

    #[test]
    fn every_key_and_every_value_has_a_meaning() {
        let page = results_format();
        let without: Vec<_> = page.lines().filter(|line| line.ends_with("|  |")).collect();
        assert!(without.is_empty(), "no doc comment: {without:#?}");
        assert!(page.contains("`arrived_p99_ns`") && page.contains("`max_latency_p99_ms`"));
    }

    #[test]
    fn every_link_leads_to_a_heading() {
        let page = results_format();
        let headings: Vec<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .map(str::to_lowercase)
            .collect();
        for target in page.split("](#").skip(1) {
            let target = target.split(')').next().unwrap_or_default();
            assert_eq!(headings.iter().filter(|it| *it == target).count(), 1, "{target}");
        }
    }
}
