//! The report: one HTML file that works offline.
//!
//! The content security policy of the page forbids the network and every script but its own two,
//! whose hashes it lists: what a server wrote to its log is shown and never run.

mod advice;
mod cells;
mod drawing;
mod drawings;
mod escape;
mod ids;
mod implementation;
mod method;
mod overview;
mod rate_drawings;
mod scenario;
mod source;
mod style;
mod whisker;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::analysis::{ScenarioAnalysis, analyse};
use crate::merge::{Merged, MergedRun};
use crate::plots;
use crate::results::Results;

use drawing::Drawing;
use escape::json_in_html;
use ids::Ids;
use implementation::Implementation;
use method::Method;
use overview::Overview;
use scenario::Scenario;

/// Our own script: filters, sorting, drawing, moving the focus.
const SCRIPT: &str = include_str!("../templates/report.js");

/// The whole report of one run.
///
/// # Panics
///
/// If a JSON value cannot be written as text, which does not happen.
#[must_use]
pub fn report(results: &Results) -> String {
    page(results, &analyse(results), &[])
}

/// The whole report of several runs.
///
/// # Panics
///
/// As [`report`].
#[must_use]
pub fn merged_report(merged: &Merged) -> String {
    page(&merged.results, &merged.analyse(), &merged.runs)
}

fn page(results: &Results, analyses: &[ScenarioAnalysis<'_>], runs: &[MergedRun]) -> String {
    let ids = Ids::of(&results.run.targets);
    let drawing_script = plots::script();
    let page = Page {
        policy: policy(&[drawing_script, SCRIPT]),
        overview: Overview::of(results, analyses, runs, &ids),
        scenarios: analyses
            .iter()
            .filter(|analysis| analysis.rows.iter().any(|row| !row.trials.is_empty()))
            .map(|analysis| Scenario::of(analysis, &results.trials, &ids, runs))
            .collect(),
        scaling: drawings::scaling(analyses),
        implementations: results
            .run
            .targets
            .iter()
            .map(|target| Implementation::of(target, analyses, &ids))
            .collect(),
        method: Method::of(results, analyses, runs),
        raw: json_in_html(&raw(results, runs)),
        drawing_script,
        script: SCRIPT,
    };
    page.render().expect("the template's values can be written to memory")
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    policy: String,
    overview: Overview<'a>,
    scenarios: Vec<Scenario<'a>>,
    scaling: Vec<Drawing>,
    implementations: Vec<Implementation<'a>>,
    method: Method,
    raw: String,
    drawing_script: &'static str,
    script: &'static str,
}

/// The content security policy of a page with these scripts. Styles may be inline: the drawing
/// library places its labels with them.
fn policy(scripts: &[&str]) -> String {
    let hashes: Vec<String> = scripts
        .iter()
        .map(|script| format!("'sha256-{}'", BASE64.encode(Sha256::digest(script))))
        .collect();
    format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data: blob:; \
         base-uri 'none'; form-action 'none'",
        hashes.join(" ")
    )
}

/// Everything recorded.
fn raw(results: &Results, runs: &[MergedRun]) -> serde_json::Value {
    let mut value = serde_json::json!({ "run": results.run, "trials": results.trials });
    if !runs.is_empty() {
        let runs: Vec<_> = runs
            .iter()
            .map(
                |run| serde_json::json!({ "name": run.name, "trials": run.trials, "run": run.run }),
            )
            .collect();
        value["merged_from"] = serde_json::Value::Array(runs);
    }
    value
}

#[cfg(test)]
mod tests;
