//! The rules of `promtool check metrics` (Prometheus' promlint), so that they hold where promtool
//! is not installed: names, units, types, labels and help of every metric of an exposition.

use std::collections::{HashMap, HashSet};

/// Units that are not base units, and the base unit to use.
const UNITS: &[(&str, &str)] = &[
    ("nanoseconds", "seconds"),
    ("microseconds", "seconds"),
    ("milliseconds", "seconds"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kilobytes", "bytes"),
    ("megabytes", "bytes"),
    ("gigabytes", "bytes"),
    ("kibibytes", "bytes"),
    ("mebibytes", "bytes"),
    ("gibibytes", "bytes"),
    ("bits", "bytes"),
    ("percent", "ratio"),
    ("fahrenheit", "celsius"),
    ("milligrams", "grams"),
    ("kilograms", "grams"),
    ("milliamperes", "amperes"),
    ("millivolts", "volts"),
    ("kilojoules", "joules"),
    ("millimeters", "meters"),
    ("kilometers", "meters"),
];

/// Abbreviations of units.
const ABBREVIATIONS: &[&str] =
    &["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

/// A metric's lines.
#[derive(Default)]
struct Family<'a> {
    help: &'a str,
    kind: &'a str,
}

/// Every breach of a rule, one line each.
pub(crate) fn lint(text: &str) -> Vec<String> {
    let mut families: HashMap<&str, Family<'_>> = HashMap::new();
    let mut problems = Vec::new();
    let mut samples = HashSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# HELP ") {
            let (name, help) = comment.split_once(' ').unwrap_or((comment, ""));
            families.entry(name).or_default().help = help;
        } else if let Some(comment) = line.strip_prefix("# TYPE ") {
            let (name, kind) = comment.split_once(' ').unwrap_or((comment, ""));
            let family = families.entry(name).or_default();
            if !family.kind.is_empty() {
                problems.push(format!("{name}: declared twice"));
            }
            family.kind = kind;
        } else if !line.starts_with('#') && !line.is_empty() {
            let (series, value) = line.rsplit_once(' ').unwrap_or((line, ""));
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            if value.parse::<f64>().is_err() {
                problems.push(format!("{name}: invalid value '{value}'"));
            }
            if !samples.insert(series) {
                problems.push(format!("{series}: metric not unique"));
            }
            if !families.contains_key(name) {
                problems.push(format!("{name}: neither HELP nor TYPE before its sample"));
            }
            problems.extend(labels_of(labels).flat_map(|label| lint_label(name, label)));
        }
    }
    problems.extend(families.iter().flat_map(|(name, family)| lint_name(name, family)));
    if families.is_empty() {
        problems.push("no metric".into());
    }
    problems
}

/// The names in `name="value",…}`; the values hold no comma, brace or quote.
fn labels_of(labels: &str) -> impl Iterator<Item = &str> {
    let labels = labels.strip_suffix('}').unwrap_or(labels);
    labels.split(',').filter(|label| !label.is_empty()).map(|label| match label.split_once("=\"") {
        Some((name, value)) if value.ends_with('"') => name,
        _ => label,
    })
}

fn lint_label(metric: &str, label: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !is_identifier(label) {
        problems.push(format!("{metric}: invalid label name '{label}'"));
    }
    if is_camel_case(label) {
        problems.push(format!("{metric}: label '{label}' is not in snake_case"));
    }
    if matches!(label, "le" | "quantile") {
        problems.push(format!("{metric}: label '{label}' is reserved"));
    }
    problems
}

fn lint_name(name: &str, family: &Family<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut add = |problem: String| problems.push(format!("{name}: {problem}"));
    if family.help.is_empty() {
        add("no help text".into());
    }
    match family.kind {
        "counter" if !name.ends_with("_total") => add("a counter without the suffix _total".into()),
        "counter" => {}
        "gauge" if name.ends_with("_total") => add("a gauge with the suffix _total".into()),
        "gauge" => {}
        kind => add(format!("unexpected type '{kind}'")),
    }
    if !is_identifier(name) {
        add("invalid characters; a colon is reserved for recording rules".into());
    }
    if is_camel_case(name) {
        add("not in snake_case".into());
    }
    let words: Vec<&str> = name.split('_').collect();
    for word in &words {
        if let Some((_, base)) = UNITS.iter().find(|(unit, _)| unit == word) {
            add(format!("use the base unit {base} instead of {word}"));
        }
        if ABBREVIATIONS.contains(word) {
            add(format!("'{word}' is an abbreviated unit"));
        }
        if ["counter", "gauge", "histogram", "summary", "untyped"].contains(word) {
            add(format!("'{word}' is a type, which a name must not include"));
        }
    }
    if ["bucket", "count", "sum"].contains(words.last().expect("a word")) {
        add("a suffix of histograms and summaries".into());
    }
    // A unit is the suffix, before _total only.
    let end = if name.ends_with("_total") { words.len() - 2 } else { words.len() - 1 };
    for (at, word) in words.iter().enumerate() {
        if ["bytes", "seconds", "ratio"].contains(word) && at != end {
            add(format!("the unit {word} is not the suffix"));
        }
    }
    problems
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_camel_case(name: &str) -> bool {
    name.contains(|c: char| c.is_ascii_uppercase())
}

#[test]
fn each_breach_is_found() {
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{shard=\"0\"} 1\n\
                # HELP lag_max_bytes B.\n# TYPE lag_max_bytes gauge\nlag_max_bytes 2\n";
    assert_eq!(lint(good), Vec::<String>::new());
    for (from, to, problem) in [
        ("# HELP a_total A.\n", "", "a_total: no help text"),
        ("a_total", "a", "a: a counter without the suffix _total"),
        ("lag_max_bytes", "lag_total", "lag_total: a gauge with the suffix _total"),
        ("lag_max_bytes", "lag_bytes_max", "lag_bytes_max: the unit bytes is not the suffix"),
        ("lag_max_bytes", "lag_milliseconds", "lag_milliseconds: use the base unit seconds"),
        ("lag_max_bytes", "lag_ms", "lag_ms: 'ms' is an abbreviated unit"),
        ("lag_max_bytes", "lag_gauge", "lag_gauge: 'gauge' is a type"),
        ("lag_max_bytes", "lag_count", "lag_count: a suffix of histograms"),
        ("lag_max_bytes", "job:lag", "job:lag: invalid characters"),
        ("lag_max_bytes", "lagMax", "lagMax: not in snake_case"),
        ("shard=", "shardNumber=", "a_total: label 'shardNumber' is not in snake_case"),
        ("shard=", "le=", "a_total: label 'le' is reserved"),
        ("shard=", "0=", "a_total: invalid label name '0'"),
        ("gauge", "info", "lag_max_bytes: unexpected type 'info'"),
        ("lag_max_bytes 2", "lag_max_bytes 2\nlag_max_bytes 3", "lag_max_bytes: metric not unique"),
        ("lag_max_bytes 2", "c 2", "c: neither HELP nor TYPE"),
        ("lag_max_bytes 2", "lag_max_bytes two", "lag_max_bytes: invalid value 'two'"),
    ] {
        assert!(good.contains(from), "{from}");
        let problems = lint(&good.replace(from, to));
        assert!(problems.iter().any(|it| it.starts_with(problem)), "{problem}: {problems:?}");
    }
    assert_eq!(lint(""), ["no metric"]);
}
