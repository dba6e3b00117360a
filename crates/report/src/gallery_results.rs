//! The figures of one run, small enough to be committed: `docs/results/*.json`.
//!
//! What the gallery's documents say of an implementation is written from these files. Each names
//! the machine, the versions and the commit, and has a hash of each program that was measured, so
//! that figures of an older program are recognized.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zillions_source::hash_of_texts;

use crate::analysis::{ScenarioAnalysis, analyse};
use crate::columns::{COSTS, Value};
use crate::record::{MachineRecord, RankBy, SourceRecord, TargetRecord, TargetStatus, ToolRecord};
use crate::results::Results;
use crate::row::Row;
use crate::statistics::Estimate;
use crate::style_map::{self, Candidate, Dot};
use crate::verdict::Validity;

/// The name and version that every file begins with.
pub const SCHEMA: &str = "zillions.gallery-results/1";

/// The figures of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GalleryResults {
    /// Name and version of the format: `zillions.gallery-results/1`.
    pub schema: String,
    /// Start of the run, in UTC, as RFC 3339.
    pub started: String,
    /// Command line of the run, without folders.
    pub command_line: Vec<String>,
    /// The tool that measured.
    pub tool: ToolRecord,
    /// The machine that it measured on.
    pub machine: MachineRecord,
    /// Name of the scenario that costs are compared in.
    pub reference: Option<String>,
    /// The scenarios, in the order in which they were asked for.
    pub scenarios: Vec<MeasuredScenario>,
    /// What was measured, by name.
    pub entries: BTreeMap<String, MeasuredEntry>,
}

/// One scenario of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredScenario {
    /// Name of the scenario.
    pub name: String,
    /// The figure that it ranks by.
    pub rank_by: RankBy,
    /// Number of tiers.
    pub tiers: usize,
    /// Number of ranked implementations.
    pub ranked: usize,
}

/// One implementation as it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredEntry {
    /// Programming language.
    pub language: String,
    /// Style of concurrency.
    pub style: String,
    /// Versions of its toolchain, one line per probe.
    pub toolchain: Vec<String>,
    /// SHA-256 of its sources, in hexadecimal.
    pub sources_hash: String,
    /// Costs beyond speed by the keys of their columns, in the units of those; unknown ones are
    /// absent.
    pub costs: BTreeMap<String, f64>,
    /// Its figures, by the name of the scenario.
    pub scenarios: BTreeMap<String, MeasuredFigures>,
}

/// The figures of an implementation in a scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredFigures {
    /// Tier, from 1; absent if it is not ranked.
    pub tier: Option<usize>,
    /// Why it is not ranked; absent if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unranked: Option<String>,
    /// Whether the ranking figure is a lower bound: the load generator was the bottleneck, or it is
    /// a percentile with fewer than ten samples above it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lower_bound: bool,
    /// Number of valid trials.
    pub valid_trials: usize,
    /// Number of trials that the load generator limited; absent for none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub client_bound_trials: usize,
    /// Number of trials in which it violated the spec; absent for none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub incorrect_trials: usize,
    /// Number of trials.
    pub trials: usize,
    /// The figure that the scenario ranks by, in the unit of its column.
    pub ranking: Range,
    /// Ratio of it to the best of the scenario; absent for the best, and where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative: Option<f64>,
    /// CPU time of the server per delivery, in nanoseconds; absent without deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_per_delivery_ns: Option<Range>,
    /// Share of the expected deliveries that were lost, 0 to 1.
    pub lost_share: f64,
    /// Peak of resident memory, in bytes.
    pub peak_resident_bytes: u64,
    /// Threads at the end of the window.
    pub threads: u64,
}

/// A median and its 95 % interval; null is infinite: it never arrived, or a lower bound has no
/// upper end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// Median over the valid trials.
    pub median: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
}

/// A file of figures that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GalleryResultsError {
    /// The file or its folder.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what [`GalleryResults::to_json`] writes.
    #[error("'{}': {what} (write it again with 'zillions report DIR --figures FILE')", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl GalleryResults {
    /// The figures of `results`.
    #[must_use]
    pub fn of(results: &Results) -> Self {
        let analyses = analyse(results);
        let run = &results.run;
        let measured = run.targets.iter().filter(|it| it.status == TargetStatus::Measured);
        Self {
            schema: SCHEMA.to_owned(),
            started: run.started.clone(),
            command_line: run.command_line.iter().map(|word| without_folder(word)).collect(),
            tool: run.tool.clone(),
            machine: run.machine.clone(),
            reference: style_map::reference(&analyses).map(|it| it.scenario.name.clone()),
            scenarios: analyses.iter().map(measured_scenario).collect(),
            entries: measured
                .map(|target| (target.name.clone(), measured_entry(target, &analyses)))
                .filter(|(_, entry)| !entry.scenarios.is_empty())
                .collect(),
        }
    }

    /// As JSON, a line for each implementation.
    ///
    /// # Panics
    ///
    /// If a value cannot be written as JSON, which does not happen.
    #[must_use]
    pub fn to_json(&self) -> String {
        let scenarios: Vec<String> =
            self.scenarios.iter().map(|it| format!("    {}", line(it))).collect();
        let entries: Vec<String> = self
            .entries
            .iter()
            .map(|(name, entry)| format!("    {}: {}", line(name), line(entry)))
            .collect();
        format!(
            "{{\n  \"schema\": {},\n  \"started\": {},\n  \"command_line\": {},\n  \"tool\": {},\n  \
             \"machine\": {},\n  \"reference\": {},\n  \"scenarios\": [\n{}\n  ],\n  \"entries\": {{\n{}\n  }}\n}}\n",
            line(&self.schema),
            line(&self.started),
            line(&self.command_line),
            line(&self.tool),
            line(&self.machine),
            line(&self.reference),
            scenarios.join(",\n"),
            entries.join(",\n")
        )
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// [`GalleryResultsError`].
    pub fn read(path: &Path) -> Result<Self, GalleryResultsError> {
        let text = fs::read_to_string(path)
            .map_err(|source| GalleryResultsError::Read { path: path.to_owned(), source })?;
        let damaged = |what: String| GalleryResultsError::Damaged { path: path.to_owned(), what };
        let results: Self = serde_json::from_str(&text).map_err(|it| damaged(it.to_string()))?;
        if results.schema != SCHEMA {
            return Err(damaged(format!("it is '{}' and not '{SCHEMA}'", results.schema)));
        }
        Ok(results)
    }

    /// Reads every file of `folder`, the oldest run first; none if there is no such folder.
    ///
    /// # Errors
    ///
    /// [`GalleryResultsError`].
    pub fn read_all(folder: &Path) -> Result<Vec<(String, Self)>, GalleryResultsError> {
        let unreadable = |source| GalleryResultsError::Read { path: folder.to_owned(), source };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(unreadable)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                found.push((name, Self::read(&path)?));
            }
        }
        found.sort_by(|a, b| (&a.1.started, &a.0).cmp(&(&b.1.started, &b.0)));
        Ok(found)
    }

    /// Without the figures of programs that have changed: `current` has the hash of the sources of
    /// each as it is now.
    #[must_use]
    pub fn of_current(mut self, current: &BTreeMap<String, String>) -> Self {
        self.entries.retain(|name, entry| current.get(name) == Some(&entry.sources_hash));
        self
    }

    /// What was measured as dots of the map of styles.
    #[must_use]
    pub fn dots(&self) -> Vec<Dot> {
        let dot = |(name, entry): (&String, &MeasuredEntry)| {
            let figures = entry.scenarios.get(self.reference.as_ref()?)?;
            Dot::of(Candidate {
                name,
                style: &entry.style,
                cpu_per_delivery_ns: figures.cpu_per_delivery_ns.and_then(|range| range.median),
                lines_of_code: entry.costs.get("lines_of_code").copied(),
                usable_trials: figures.valid_trials + figures.client_bound_trials,
                incorrect_trials: figures.incorrect_trials,
            })
        };
        self.entries.iter().filter_map(dot).collect()
    }

    /// The day of the run, as in `2026-11-28`.
    #[must_use]
    pub fn day(&self) -> &str {
        self.started.split('T').next().unwrap_or_default()
    }
}

/// SHA-256 of `sources`, of their paths and texts in this order, in hexadecimal.
#[must_use]
pub fn sources_hash(sources: &[SourceRecord]) -> String {
    hash_of_texts(sources.iter().flat_map(|source| [source.path.as_str(), &source.text]))
}

/// The last part of a path: the folders of a machine are of no use on another.
fn without_folder(word: &str) -> String {
    word.rsplit('/').find(|part| !part.is_empty()).unwrap_or(word).to_owned()
}

fn measured_scenario(analysis: &ScenarioAnalysis<'_>) -> MeasuredScenario {
    let tiers: Vec<usize> = analysis.rows.iter().filter_map(|row| row.rank.tier()).collect();
    MeasuredScenario {
        name: analysis.scenario.name.clone(),
        rank_by: analysis.scenario.rank_by,
        tiers: tiers.iter().copied().max().unwrap_or(0),
        ranked: tiers.len(),
    }
}

fn measured_entry(target: &TargetRecord, analyses: &[ScenarioAnalysis<'_>]) -> MeasuredEntry {
    let cost = |column: &crate::columns::CostColumn| {
        let value = match (column.of)(target) {
            Value::Part { part, .. } => f64::from(part),
            value => value.main()?.exact()?,
        };
        Some((column.head.key.to_owned(), rounded(value)?))
    };
    let of_scenario = |analysis: &ScenarioAnalysis<'_>| {
        let row = analysis.rows.iter().find(|row| row.target.name == target.name)?;
        Some((analysis.scenario.name.clone(), measured_figures(row)?))
    };
    MeasuredEntry {
        language: target.language.clone(),
        style: target.style.clone(),
        toolchain: target.toolchain.clone(),
        sources_hash: sources_hash(&target.sources),
        costs: COSTS.iter().filter_map(cost).collect(),
        scenarios: analyses.iter().filter_map(of_scenario).collect(),
    }
}

fn measured_figures(row: &Row<'_>) -> Option<MeasuredFigures> {
    let figures = row.figures.as_ref()?;
    Some(MeasuredFigures {
        tier: row.rank.tier(),
        unranked: row.rank.reason().map(str::to_owned),
        lower_bound: row.lower_bound || !figures.ranking.value().is_exact(),
        valid_trials: row.number_of(Validity::Valid),
        client_bound_trials: row.number_of(Validity::ClientBound),
        incorrect_trials: row.number_of(Validity::Incorrect),
        trials: row.trials.len(),
        ranking: figures.ranking.into(),
        relative: figures.relative.and_then(|ratio| rounded(ratio.median)),
        cpu_per_delivery_ns: figures.cpu_per_delivery_ns.map(Range::from),
        lost_share: rounded(figures.lost_share).unwrap_or(0.0),
        // Entries are always started, and so measured.
        peak_resident_bytes: figures.peak_resident_bytes.unwrap_or_default(),
        threads: figures.threads.unwrap_or_default(),
    })
}

impl From<Estimate> for Range {
    fn from(estimate: Estimate) -> Self {
        let Estimate { median, low, high, .. } = estimate;
        Self { median: rounded(median), low: rounded(low), high: rounded(high) }
    }
}

/// Five significant digits, which is more than any figure is good for; `None` if it is infinite.
fn rounded(value: f64) -> Option<f64> {
    value.is_finite().then(|| format!("{value:.4e}").parse().unwrap_or(value))
}

/// Whether there is none of what is counted.
fn is_none(number: &usize) -> bool {
    *number == 0
}

/// As one line of JSON.
fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a record can be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn what_is_written_is_read_and_is_small() {
        let mut results = examples::detailed_results();
        results.run.command_line[0] = "/somewhere/else/zillions".to_owned();
        let written = GalleryResults::of(&results);
        assert_eq!(written.command_line, ["zillions", "bench"]);
        let names: Vec<&String> = written.entries.keys().collect();
        assert_eq!(names, ["as-fast", "fast", "slow"], "what has figures");
        assert_eq!(written.reference.as_deref(), Some("crowd"));
        let text = written.to_json();
        assert!(text.len() < 2_000 * 3 * 3, "{} bytes", text.len());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        fs::write(&path, &text).unwrap();
        assert_eq!(GalleryResults::read(&path).unwrap(), written);
        let all = GalleryResults::read_all(folder.path()).unwrap();
        assert_eq!(all, [("run.json".to_owned(), written)]);
        assert_eq!(GalleryResults::read_all(&folder.path().join("gone")).unwrap(), []);
    }

    #[test]
    fn figures_of_a_scenario_are_those_of_the_report() {
        let written = GalleryResults::of(&examples::detailed_results());
        let slow = &written.entries["slow"].scenarios["room"];
        assert_eq!((slow.tier, slow.valid_trials, slow.trials), (Some(2), 5, 5));
        assert!(slow.relative.is_some_and(|ratio| ratio > 2.0));
        assert_eq!(written.entries["slow"].costs["lines_of_code"], 61.0);
        assert_eq!(written.scenarios[0].tiers, 2);
        assert_eq!(written.scenarios[0].ranked, 3);
    }

    #[test]
    fn what_never_arrived_is_null_and_comes_back() {
        let mut results = examples::results();
        for trial in results.trials.iter_mut().filter(|trial| trial.target == "slow") {
            if let crate::record::TrialResult::Measured(figures) = &mut trial.result {
                figures.pairs.dropped = figures.pairs.delivered;
            }
        }
        let text = GalleryResults::of(&results).to_json();
        assert!(text.contains("\"median\":null"), "{text}");
        let read: GalleryResults = serde_json::from_str(&text).unwrap();
        assert_eq!(read.entries["slow"].scenarios["room"].ranking.median, None);
    }

    #[test]
    fn a_percentile_of_few_deliveries_is_a_lower_bound_and_comes_back_as_one() {
        let mut results = examples::detailed_results();
        for trial in results.trials.iter_mut().filter(|trial| trial.target == "slow") {
            if let crate::record::TrialResult::Measured(figures) = &mut trial.result {
                examples::deliver_only(figures, 12);
            }
        }
        let text = GalleryResults::of(&results).to_json();
        let read: GalleryResults = serde_json::from_str(&text).unwrap();
        let figures = &read.entries["slow"].scenarios;
        assert!(figures["room"].lower_bound && !figures["crowd"].lower_bound);
        assert_eq!((figures["room"].tier, figures["room"].ranking.high), (None, None));
        let page =
            crate::gallery_text::performance(&[("x.json".to_owned(), read)], "slow").unwrap();
        assert!(page.contains("| room | – | ≥ "), "{page}");
        assert!(page.contains("Not ranked in room: its p99 latency is a lower bound: "), "{page}");
    }

    #[test]
    fn figures_of_a_program_that_has_changed_are_left_out() {
        let written = GalleryResults::of(&examples::detailed_results());
        let hash = |name: &str| written.entries[name].sources_hash.clone();
        let current =
            [("fast".to_owned(), hash("fast")), ("slow".to_owned(), "another".to_owned())];
        let current = written.clone().of_current(&current.into());
        assert_eq!(current.entries.keys().collect::<Vec<_>>(), ["fast"]);
        assert_eq!(current.dots().len(), 1);
        assert_eq!(written.dots().len(), 3);
        assert_eq!(written.day(), "2026-11-21");
    }

    #[test]
    fn the_map_of_a_report_and_of_committed_figures_has_the_same_dots() {
        let names = |change: &dyn Fn(&mut crate::record::Measurement), number: usize| {
            let mut results = examples::detailed_results();
            results.run.targets[1].style.clear();
            let of_slow = results.trials.iter_mut().filter(|it| it.target == "slow");
            for trial in of_slow.filter(|it| it.scenario == "crowd").take(number) {
                if let crate::record::TrialResult::Measured(figures) = &mut trial.result {
                    change(figures);
                }
            }
            let written = GalleryResults::of(&results);
            let read: GalleryResults = serde_json::from_str(&written.to_json()).unwrap();
            let analyses = analyse(&results);
            let of_report = style_map::dots(style_map::reference(&analyses).unwrap());
            let sorted = |dots: Vec<Dot>| {
                let mut names: Vec<String> = dots.into_iter().map(|dot| dot.name).collect();
                names.sort();
                names
            };
            let names = sorted(of_report);
            assert_eq!(names, sorted(read.dots()));
            names
        };
        let all = ["fast", "slow"];
        assert_eq!(names(&|_| {}, 0), all, "without a style there is no dot");
        assert_eq!(names(&|it| it.generator.cpu_seconds = it.window_seconds, 5), all);
        let noisy = |it: &mut crate::record::Measurement| it.others_cpu_share = Some(0.5);
        assert_eq!(names(&noisy, 4), all, "one trial was not disturbed");
        assert_eq!(names(&noisy, 5), ["fast"]);
        assert_eq!(names(&|it| it.anomalies.duplicated = 1, 1), ["fast"]);
    }

    #[test]
    fn the_hash_tells_sources_apart_by_name_text_and_cut() {
        let source = |path: &str, text: &str| SourceRecord {
            path: path.to_owned(),
            text: text.to_owned(),
            ..SourceRecord::default()
        };
        let hashes = [
            sources_hash(&[source("a", "bc")]),
            sources_hash(&[source("ab", "c")]),
            sources_hash(&[source("a", "b"), source("c", "")]),
            sources_hash(&[]),
        ];
        for (at, hash) in hashes.iter().enumerate() {
            assert_eq!(hash.len(), 64);
            assert!(!hashes[at + 1..].contains(hash));
        }
    }

    #[test]
    fn a_file_of_something_else_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let written = GalleryResults::of(&examples::results()).to_json();
        for text in ["{}", &written.replace("results/1", "results/9")] {
            fs::write(&path, text).unwrap();
            let error = GalleryResults::read(&path).unwrap_err().to_string();
            assert!(error.contains("zillions report DIR --figures FILE"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
