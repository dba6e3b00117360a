//! The report: one HTML file that works offline.
//!
//! The content security policy of the page forbids the network and every script but its own two,
//! whose hashes it lists: what a server wrote to its log is shown and never run.

mod advice;
mod cells;
mod drawing;
mod drawings;
mod ids;
mod implementation;
mod method;
mod overview;
mod packed;
mod rate_drawings;
mod raw;
mod scenario;
mod source;
mod style;
mod style_page;
mod whisker;

use std::sync::LazyLock;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::analysis::{ScenarioAnalysis, analyse};
use crate::merge::{Merged, MergedRun};
use crate::plots;
use crate::results::Results;
use crate::style_map;

use drawing::Drawing;
use ids::Ids;
use implementation::Implementation;
use method::Method;
use overview::Overview;
use packed::packed;
use raw::Raw;
use scenario::Scenario;
use style_page::{StylePage, style_pages};

/// Our own script: what stands out, filters, sorting, drawing, two implementations side by side,
/// moving the focus.
const SCRIPT: &str = concat!(
    include_str!("../templates/state.js"),
    include_str!("../templates/plots.js"),
    include_str!("../templates/tables.js"),
    include_str!("../templates/compare.js"),
    include_str!("../templates/pages.js"),
);

/// The script that draws, which the page unpacks when it draws for the first time.
static DRAWING_SCRIPT: LazyLock<String> = LazyLock::new(|| packed(plots::script()));

/// The content security policy of the page. Megabytes are hashed for it.
static POLICY: LazyLock<String> = LazyLock::new(|| policy(&[plots::script(), SCRIPT]));

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
    let page = Page {
        policy: &POLICY,
        style_map: map(analyses, &ids),
        styles: style_pages(&results.run.targets, analyses, &ids),
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
        raw: Raw::of(results, runs),
        drawing_script: &DRAWING_SCRIPT,
        script: SCRIPT,
    };
    page.render().expect("the template's values can be written to memory")
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    policy: &'static str,
    overview: Overview<'a>,
    scenarios: Vec<Scenario<'a>>,
    scaling: Vec<Drawing>,
    /// The map of styles; absent where no costs are known.
    style_map: Option<StyleMap>,
    styles: Vec<StylePage<'a>>,
    implementations: Vec<Implementation<'a>>,
    method: Method,
    raw: Raw,
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

/// The map of styles, and the scenario that its costs are from.
struct StyleMap {
    svg: String,
    scenario: String,
    dots: Vec<style_map::Dot>,
}

fn map(analyses: &[ScenarioAnalysis<'_>], ids: &Ids) -> Option<StyleMap> {
    let reference = style_map::reference(analyses)?;
    let dots = style_map::dots(reference);
    let link = |dot: &style_map::Dot| (dot.style.clone(), format!("#{}", ids.style(&dot.style)));
    let lettering =
        style_map::Lettering { links: dots.iter().map(link).collect(), ..Default::default() };
    let svg = style_map::svg(&dots, &lettering)?;
    Some(StyleMap { svg, scenario: reference.scenario.name.clone(), dots })
}

#[cfg(test)]
mod tests;
