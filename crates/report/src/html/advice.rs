//! The answer to the question of a scenario, in sentences.

use crate::analysis::ScenarioAnalysis;
use crate::columns::ranking_text;
use crate::figures::Figures;
use crate::format::{bytes, digits, percent, time};
use crate::record::RankBy;
use crate::row::Row;

use super::ids::Ids;

/// A cost is clearly less if it is at most this share of the other.
const CLEARLY_LESS: f64 = 1.0 / 1.5;
/// More names than this are counted and not listed.
const NAMES_MAX: usize = 4;
/// Likewise for those that lost messages.
const LOSERS_MAX: usize = 3;

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Text(String),
    Target { name: String, id: String },
}

impl Word {
    /// The name of a target; empty if it is text.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Text(_) => "",
            Self::Target { name, .. } => name,
        }
    }

    /// The id of a target's page, or the text.
    pub(super) fn id_or_text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Target { id, .. } => id,
        }
    }
}

/// Sentences for `analysis`; none if nothing is ranked.
pub(super) fn advice(analysis: &ScenarioAnalysis<'_>, ids: &Ids) -> Vec<Vec<Word>> {
    let ranked = |is_first: bool| -> Vec<Ranked<'_>> {
        analysis
            .rows
            .iter()
            .filter_map(Ranked::of)
            .filter(|it| (it.tier == 1) == is_first)
            .collect()
    };
    let (first, others) = (ranked(true), ranked(false));
    let bounds: Vec<Ranked<'_>> =
        analysis.rows.iter().filter_map(Ranked::generator_bound).collect();
    let mut sentences: Vec<Vec<Word>> =
        generator_bound(analysis.scenario.rank_by, &bounds, ids).into_iter().collect();
    if first.is_empty() {
        return sentences;
    }
    sentences.push(answer(analysis, &first, !bounds.is_empty(), ids));
    sentences.extend(cheapest_of_first_tier(&first, ids));
    sentences.extend(cheaper_of_other_tiers(&first, &others, analysis.scenario.rank_by, ids));
    sentences.extend(losses(&first, ids));
    sentences
}

/// A ranked row with its figures.
struct Ranked<'a> {
    row: &'a Row<'a>,
    figures: &'a Figures,
    /// 0 for what was faster than the load generator.
    tier: usize,
}

impl<'a> Ranked<'a> {
    fn of(row: &'a Row<'a>) -> Option<Self> {
        Some(Self { row, figures: row.figures.as_ref()?, tier: row.rank.tier()? })
    }

    fn generator_bound(row: &'a Row<'a>) -> Option<Self> {
        Some(Self { row, figures: row.figures.as_ref().filter(|_| row.generator_bound)?, tier: 0 })
    }

    fn word(&self, ids: &Ids) -> Word {
        let name = self.row.target.name.clone();
        Word::Target { id: ids.get(&name), name }
    }
}

/// A cost to weigh against speed.
#[derive(Clone, Copy)]
enum Cost {
    Cpu,
    Memory,
    Lines,
}

const COSTS: [Cost; 3] = [Cost::Cpu, Cost::Memory, Cost::Lines];

impl Cost {
    fn of(self, it: &Ranked<'_>) -> Option<f64> {
        match self {
            Self::Cpu => it.figures.cpu_per_delivery_ns.map(|cpu| cpu.median),
            Self::Memory => it.figures.peak_resident_bytes.map(|bytes| bytes as f64),
            Self::Lines => it.row.target.costs.lines.map(|lines| f64::from(lines.code)),
        }
        .filter(|value| *value > 0.0)
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Cpu => format!("{} of CPU time per delivery", time(value)),
            Self::Memory => format!("{} of memory", bytes(value as u64)),
            Self::Lines => format!("{value:.0} lines of code"),
        }
    }
}

/// The targets that were faster than the load generator.
fn generator_bound(rank_by: RankBy, targets: &[Ranked<'_>], ids: &Ids) -> Option<Vec<Word>> {
    let least = targets.iter().map(|it| it.figures.ranking.median).fold(f64::INFINITY, f64::min);
    let least = ranking_text(rank_by, least.into());
    let mut words = names(targets, ids);
    words.push(Word::Text(match targets {
        [] => return None,
        [_] => format!(
            " is faster than the load generator: at least {least}, above every ranked figure."
        ),
        _ => format!(
            " are faster than the load generator: at least {least} each, above every ranked figure; \
             these trials cannot distinguish them."
        ),
    }));
    Some(words)
}

fn answer(
    analysis: &ScenarioAnalysis<'_>,
    first: &[Ranked<'_>],
    has_bounds: bool,
    ids: &Ids,
) -> Vec<Word> {
    let rank_by = analysis.scenario.rank_by;
    let (one, many) = match rank_by {
        RankBy::Latency => {
            (" has the lowest latency: a 99th percentile of ", " have the lowest latencies")
        }
        RankBy::Throughput => (" delivers the most: ", " deliver the most"),
        RankBy::Capacity => (" carries the most within the limits: ", " carry the most"),
    };
    let value = |it: &Ranked<'_>| ranking_text(rank_by, it.figures.ranking.value());
    let mut words = Vec::new();
    if has_bounds {
        words.push(Word::Text("Of the others, ".to_owned()));
    }
    words.extend(names(first, ids));
    let text = match first {
        [only] => format!("{one}{}.", value(only)),
        [best, .., last] => format!(
            "{many}, from {} to {}; these trials cannot distinguish them.",
            value(best),
            value(last)
        ),
        [] => String::new(),
    };
    words.push(Word::Text(text));
    words
}

/// The names, joined by commas and a last "and".
fn names(targets: &[Ranked<'_>], ids: &Ids) -> Vec<Word> {
    let shown =
        targets.len().min(if targets.len() > NAMES_MAX { NAMES_MAX - 1 } else { NAMES_MAX });
    let mut words = Vec::new();
    for (at, target) in targets[..shown].iter().enumerate() {
        let is_last = at + 1 == targets.len();
        if at > 0 {
            words.push(Word::Text(if is_last { " and " } else { ", " }.to_owned()));
        }
        words.push(target.word(ids));
    }
    if shown < targets.len() {
        words.push(Word::Text(format!(" and {} others", targets.len() - shown)));
    }
    words
}

/// The targets of the first tier that cost clearly least.
fn cheapest_of_first_tier(first: &[Ranked<'_>], ids: &Ids) -> Option<Vec<Word>> {
    if first.len() < 2 {
        return None;
    }
    let mut words = Vec::new();
    for cost in COSTS {
        let mut costs: Vec<(f64, &Ranked<'_>)> =
            first.iter().filter_map(|it| Some((cost.of(it)?, it))).collect();
        costs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let [(least, target), (next, _), ..] = &costs[..] else { continue };
        if least / next > CLEARLY_LESS {
            continue;
        }
        words.push(Word::Text(if words.is_empty() { "Of these, " } else { "; " }.to_owned()));
        words.push(target.word(ids));
        words.push(Word::Text(format!(
            " needs {}, the next {}",
            cost.text(*least),
            cost.text(*next).split(" of ").next().unwrap_or_default()
        )));
    }
    words.push(Word::Text(".".to_owned()));
    (words.len() > 1).then_some(words)
}

/// The targets of other tiers that cost clearly less than all of the first tier, and the price.
fn cheaper_of_other_tiers(
    first: &[Ranked<'_>],
    others: &[Ranked<'_>],
    rank_by: RankBy,
    ids: &Ids,
) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    for cost in COSTS {
        let least = |targets: &[Ranked<'_>]| {
            targets
                .iter()
                .enumerate()
                .filter_map(|(at, it)| Some((cost.of(it)?, at)))
                .min_by(|a, b| a.0.total_cmp(&b.0))
        };
        let (Some((best, _)), Some((value, at))) = (least(first), least(others)) else { continue };
        let other = &others[at];
        let Some(ratio) = other.figures.relative.filter(|_| value / best <= CLEARLY_LESS) else {
            continue;
        };
        words.push(Word::Text(if words.is_empty() { "Cheaper: " } else { "; " }.to_owned()));
        words.push(other.word(ids));
        let what = match rank_by {
            RankBy::Latency => "the latency",
            RankBy::Throughput | RankBy::Capacity => "the rate",
        };
        words.push(Word::Text(format!(
            ", {} instead of {} at best, for {} times {what}",
            cost.text(value),
            cost.text(best).split(" of ").next().unwrap_or_default(),
            digits(ratio.median)
        )));
    }
    words.push(Word::Text(".".to_owned()));
    (words.len() > 1).then_some(words)
}

/// The targets of the first tier that lost messages, those that lost most first.
fn losses(first: &[Ranked<'_>], ids: &Ids) -> Option<Vec<Word>> {
    let mut losers: Vec<&Ranked<'_>> =
        first.iter().filter(|it| it.figures.lost_share > 0.0).collect();
    losers.sort_by(|a, b| b.figures.lost_share.total_cmp(&a.figures.lost_share));
    let shown = losers.len().min(LOSERS_MAX);
    let mut words = Vec::new();
    for target in &losers[..shown] {
        if !words.is_empty() {
            words.push(Word::Text(", ".to_owned()));
        }
        words.push(target.word(ids));
        words.push(Word::Text(format!(" lost {}", percent(target.figures.lost_share))));
    }
    words.push(Word::Text(match losers.len() - shown {
        _ if losers.is_empty() => return None,
        0 => " of the expected deliveries.".to_owned(),
        rest => format!(" of the expected deliveries, and {rest} more lost some."),
    }));
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::analyse;
    use crate::examples;
    use crate::record::{LinesRecord, Measurement, TrialResult};
    use crate::results::Results;

    fn text(results: &Results, scenario: usize) -> Vec<String> {
        let ids = Ids::of(&results.run.targets);
        let sentence = |words: &Vec<Word>| {
            let word = |word: &Word| match word {
                Word::Text(text) => text.clone(),
                Word::Target { name, .. } => name.clone(),
            };
            words.iter().map(word).collect::<String>()
        };
        advice(&analyse(results)[scenario], &ids).iter().map(sentence).collect()
    }

    fn results_with(target: &str, change: impl Fn(&mut Measurement)) -> Results {
        let mut results = examples::results();
        for trial in results.trials.iter_mut().filter(|trial| trial.target == target) {
            if let TrialResult::Measured(figures) = &mut trial.result {
                change(figures);
            }
        }
        results
    }

    #[test]
    fn the_first_tier_is_named_and_not_ranked() {
        let said = text(&examples::results(), 0);
        assert!(
            said[0].starts_with("fast and as-fast have the lowest latencies, from "),
            "{said:?}"
        );
        assert!(said[0].ends_with("; these trials cannot distinguish them."), "{said:?}");
        let said = text(&examples::results(), 1);
        assert!(said[0].starts_with("fast and as-fast deliver the most, from "), "{said:?}");
    }

    #[test]
    fn what_costs_clearly_less_is_said_with_its_price() {
        let mut results = results_with("slow", |figures| {
            figures.server.as_mut().unwrap().peak_resident_bytes /= 3;
        });
        for (target, code) in results.run.targets.iter_mut().zip([100, 300, 400]) {
            target.costs.lines = Some(LinesRecord { code, ..LinesRecord::default() });
        }
        let said = text(&results, 0);
        assert_eq!(said[1], "Of these, fast needs 100 lines of code, the next 300 lines.");
        assert!(said[2].starts_with("Cheaper: slow, 1.00 MiB of memory instead of 3.00 MiB"));
        assert!(said[2].ends_with(" times the latency."), "{said:?}");
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn losses_of_the_first_tier_are_named() {
        let results = results_with("fast", |figures| figures.pairs.dropped = 400);
        let said = text(&results, 1);
        assert!(said.iter().any(|it| it.starts_with("fast lost 9.09 % of")), "{said:?}");
    }

    #[test]
    fn what_is_faster_than_the_load_generator_comes_first_and_is_not_ranked() {
        let results = results_with("fast", |figures| {
            figures.generator.cpu_seconds = figures.window_seconds;
            figures.deliveries_arrived *= 9;
        });
        let said = text(&results, 1);
        assert!(said[0].starts_with("fast is faster than the load generator: "), "{said:?}");
        assert!(said[0].ends_with(", above every ranked figure."), "{said:?}");
        assert!(said[1].starts_with("Of the others, as-fast delivers the most: "), "{said:?}");
        // At a fixed rate no server delivers more.
        assert!(text(&results, 0)[0].starts_with("as-fast has the lowest latency"));
        let alike = results_with("fast", |figures| {
            figures.generator.cpu_seconds = figures.window_seconds;
        });
        assert!(text(&alike, 1)[0].starts_with("as-fast delivers the most: "));
    }

    #[test]
    fn where_nothing_is_ranked_nothing_is_advised() {
        let mut results = examples::results();
        results.trials.retain(|trial| trial.block == 0);
        assert!(text(&results, 0).is_empty());
    }
}
