//! What a scenario decided, with what certainty, and what was not told apart: in sentences.

use serde::Serialize;

use crate::analysis::ScenarioAnalysis;
use crate::cost::Cost;
use crate::cost_tiers;
use crate::format::percent;
use crate::noise::NoiseFloor;
use crate::record::{LoadRecord, ScenarioRecord};
use crate::row::Row;
use crate::statistics::{CONFIDENCE, Estimate};
use crate::told_apart::{TRIALS_FORESEEN_MAX, Tie, confidence, of_row, ties};
use crate::verdict::Validity;

/// More names than this are counted and not listed.
const NAMES_MAX: usize = 4;
/// So many tiers are described in a sentence, and more of them counted; the results have all.
const TIERS_MAX: usize = 3;
/// Up to so many samples the 95 % interval of a median reaches from the least to the greatest.
const WHOLE_RANGE_MAX: usize = 6;
/// With more samples, equal targets have separate intervals more rarely than this.
const SEPARATED_BY_CHANCE_MAX: f64 = 0.01;

/// A tier whose targets are not told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undecided {
    /// The tier, from 1.
    pub tier: usize,
    /// Its targets, best median first.
    pub targets: Vec<String>,
    /// How many trials of each would separate the first of them from another, if they go on as they
    /// began; absent if more than 1000.
    pub trials_needed: Option<usize>,
}

impl Undecided {
    /// Its targets, and what would separate them.
    fn text(&self, is_search: bool) -> String {
        let targets: Vec<&str> = self.targets.iter().map(String::as_str).collect();
        let needed = match self.trials_needed {
            // A search has steps, and no repeats that narrow them.
            _ if is_search => "within one step of the search's rates".to_owned(),
            Some(needed) => format!("about {needed} trials of each may separate some of them"),
            None => format!("not even {TRIALS_FORESEEN_MAX} trials of each are likely to do it"),
        };
        format!("{} ({needed})", names(&targets))
    }
}

/// The ties of a scenario, by the positions of its rows.
#[must_use]
pub fn ties_of(analysis: &ScenarioAnalysis<'_>) -> Vec<Tie<usize>> {
    let ranked: Vec<(usize, usize, Estimate)> = analysis
        .rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| Some((at, row.rank.tier()?, of_row(row, analysis.scenario)?)))
        .collect();
    let figures: Vec<Estimate> = ranked.iter().map(|it| it.2).collect();
    let tiers: Vec<usize> = ranked.iter().map(|it| it.1).collect();
    let noise_factor = analysis.noise.as_ref().map_or(1.0, NoiseFloor::factor);
    let better = |a, b| analysis.scenario.rank_by.is_better(a, b);
    let ties = ties(&figures, &tiers, noise_factor, better);
    let place = |at: usize| ranked[at].0;
    ties.into_iter()
        .map(|it| Tie { leader: place(it.leader), other: place(it.other), ..it })
        .collect()
}

/// What was decided and with what certainty, in one sentence.
#[must_use]
pub fn sentence(analysis: &ScenarioAnalysis<'_>) -> String {
    let ranked: Vec<&Row<'_>> =
        analysis.rows.iter().filter(|row| row.rank.tier().is_some()).collect();
    let tiers = ranked.iter().filter_map(|row| row.rank.tier()).max().unwrap_or(0);
    let first: Vec<&str> = ranked
        .iter()
        .filter(|row| row.rank.tier() == Some(1))
        .map(|row| row.target.name.as_str())
        .collect();
    match (ranked.len(), tiers) {
        (0, _) => "Nothing was decided: none is ranked.".to_owned(),
        (1, _) => format!("Nothing was decided: {} alone is ranked.", first[0]),
        (number, 1) => format!("Nothing was decided: all {number} ranked ones share one tier."),
        (number, tiers) => {
            let verb = if first.len() == 1 { "leads" } else { "lead" };
            format!(
                "Decided: {} {verb}; {number} ranked ones are in {tiers} tiers, {}.",
                names(&first),
                certainty(analysis.scenario, &ranked)
            )
        }
    }
}

/// How certain the tiers are. That of a fixed number of trials is of each comparison: two equal
/// targets have separate ranges in 2 of C(2n, n) cases.
fn certainty(scenario: &ScenarioRecord, ranked: &[&Row<'_>]) -> String {
    if matches!(scenario.load, LoadRecord::Search { .. }) {
        return "apart by at least one step of the search's rates".to_owned();
    }
    if scenario.looks_max > 1 {
        return format!(
            "with {} certainty for all of them together: up to {} looks at intervals of {}",
            percent(CONFIDENCE),
            scenario.looks_max,
            percent(confidence(scenario.looks_max))
        );
    }
    let trials = ranked.iter().map(|row| row.number_of(Validity::Valid)).min().unwrap_or(0);
    format!("with {} certainty for each comparison", percent(1.0 - separated_by_chance(trials)))
}

fn separated_by_chance(trials: usize) -> f64 {
    if trials > WHOLE_RANGE_MAX {
        return SEPARATED_BY_CHANCE_MAX;
    }
    let orders: f64 = (1..=trials).map(|it| (trials + it) as f64 / it as f64).product();
    2.0 / orders
}

/// What a scenario decided by one cost of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CostDecision {
    /// Key of the column that has the cost.
    pub by: &'static str,
    /// What was decided, in one sentence.
    pub decided: String,
    /// The tiers whose targets are not told apart.
    pub undecided: Vec<Undecided>,
}

impl CostDecision {
    /// All of it in a sentence or two.
    #[must_use]
    pub fn text(&self) -> String {
        match not_told_apart(&self.undecided, false) {
            None => self.decided.clone(),
            Some(sentence) => format!("{} {sentence}", self.decided),
        }
    }
}

/// What was decided by each cost that at least two targets are ranked by. The certainty is that of
/// the figure that the scenario ranks by.
#[must_use]
pub fn by_cost(analysis: &ScenarioAnalysis<'_>) -> Vec<CostDecision> {
    let rows = &analysis.rows;
    let of_cost = |cost: Cost| {
        let ranked = cost_tiers::ranked(rows, cost);
        let number = ranked.len();
        let tiers = ranked.last().filter(|_| number > 1)?.1.tier;
        let first: Vec<&str> = ranked
            .iter()
            .filter(|(_, it)| it.tier == 1)
            .map(|(at, _)| rows[*at].target.name.as_str())
            .collect();
        let (title, verb) = (cost.title(), if first.len() == 1 { "leads" } else { "lead" });
        let decided = match tiers {
            1 => format!("By {title}: all {number} share one tier."),
            _ => format!("By {title}: {} {verb}; {number} are in {tiers} tiers.", names(&first)),
        };
        let tier_of = |at: usize| Some(rows[at].figures.as_ref()?.costs.get(&cost)?.tier);
        let undecided = group(rows, cost_tiers::ties_by(rows, cost, &analysis.cost_noise), tier_of);
        Some(CostDecision { by: cost.key(), decided, undecided })
    };
    Cost::ALL.into_iter().filter_map(of_cost).collect()
}

/// The tiers with more than one target.
#[must_use]
pub fn undecided(analysis: &ScenarioAnalysis<'_>) -> Vec<Undecided> {
    group(&analysis.rows, ties_of(analysis), |at| analysis.rows[at].rank.tier())
}

/// Ties between rows, put together by their tiers.
fn group(
    rows: &[Row<'_>],
    ties: Vec<Tie<usize>>,
    tier_of: impl Fn(usize) -> Option<usize>,
) -> Vec<Undecided> {
    let mut found: Vec<Undecided> = Vec::new();
    for tie in ties {
        let (leader, other) = (&rows[tie.leader], &rows[tie.other]);
        let Some(tier) = tier_of(tie.other) else { continue };
        let name = |row: &Row<'_>| row.target.name.clone();
        match found.iter_mut().find(|it| it.tier == tier) {
            Some(known) => {
                known.targets.push(name(other));
                let both = known.trials_needed.into_iter().chain(tie.trials_needed);
                known.trials_needed = both.min();
            }
            None => found.push(Undecided {
                tier,
                targets: vec![name(leader), name(other)],
                trials_needed: tie.trials_needed,
            }),
        }
    }
    found
}

/// What was not told apart and what it would take, in one sentence; `None` if everything ranked is in
/// a tier of its own.
#[must_use]
pub fn what_it_would_take(analysis: &ScenarioAnalysis<'_>) -> Option<String> {
    let is_search = matches!(analysis.scenario.load, LoadRecord::Search { .. });
    not_told_apart(&undecided(analysis), is_search)
}

/// The best tiers whose targets are not told apart, and how many more there are.
fn not_told_apart(undecided: &[Undecided], is_search: bool) -> Option<String> {
    let (described, counted) = undecided.split_at(undecided.len().min(TIERS_MAX));
    let described: Vec<String> = described.iter().map(|it| it.text(is_search)).collect();
    let more = match counted.len() {
        0 => String::new(),
        1 => "; and one more tier".to_owned(),
        number => format!("; and {number} more tiers"),
    };
    (!described.is_empty()).then(|| format!("Not told apart: {}{more}.", described.join("; ")))
}

fn names(all: &[&str]) -> String {
    match all {
        [] => String::new(),
        [one] => (*one).to_owned(),
        few if few.len() <= NAMES_MAX => {
            let (last, others) = few.split_last().unwrap_or((&"", &[]));
            format!("{} and {last}", others.join(", "))
        }
        many => {
            format!("{} and {} more", many[..NAMES_MAX - 1].join(", "), many.len() + 1 - NAMES_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::analyse;
    use crate::examples;

    #[test]
    fn what_was_decided_is_said_with_its_certainty() {
        let mut results = examples::results();
        let said = sentence(&analyse(&results)[0]);
        assert_eq!(
            said,
            "Decided: fast and as-fast lead; 3 ranked ones are in 2 tiers, with 99.2 % certainty \
             for each comparison."
        );
        results.run.scenarios[0].looks_max = 6;
        let said = sentence(&analyse(&results)[0]);
        let expected = "with 95.0 % certainty for all of them together: up to 6 looks at intervals \
                        of 99.2 %.";
        assert!(said.ends_with(expected), "{said}");
    }

    #[test]
    fn what_was_not_told_apart_is_named_with_what_it_would_take() {
        let results = examples::results();
        let analyses = analyse(&results);
        let found = undecided(&analyses[0]);
        assert_eq!((found.len(), found[0].tier), (1, 1));
        assert_eq!(found[0].targets, ["fast", "as-fast"]);
        let needed = found[0].trials_needed.expect("they differ by half a percent");
        let said = what_it_would_take(&analyses[0]).unwrap();
        assert_eq!(
            said,
            format!(
                "Not told apart: fast and as-fast (about {needed} trials of each may separate some of them)."
            )
        );
    }

    #[test]
    fn of_many_tiers_the_best_are_described_and_the_others_counted() {
        let tier = |tier| Undecided {
            tier,
            targets: vec!["a".to_owned(), "b".to_owned()],
            trials_needed: None,
        };
        let said = |tiers: usize| {
            not_told_apart(&(1..=tiers).map(tier).collect::<Vec<_>>(), true).unwrap_or_default()
        };
        let each = "a and b (within one step of the search's rates)";
        assert_eq!(said(0), "");
        assert_eq!(said(3), format!("Not told apart: {each}; {each}; {each}."));
        assert_eq!(said(4), format!("Not told apart: {each}; {each}; {each}; and one more tier."));
        assert!(said(9).ends_with("; and 6 more tiers."), "{}", said(9));
    }

    #[test]
    fn where_nothing_is_ranked_nothing_was_decided() {
        let mut results = examples::results();
        results.trials.retain(|trial| trial.target == "fast");
        let analyses = analyse(&results);
        assert_eq!(sentence(&analyses[0]), "Nothing was decided: fast alone is ranked.");
        assert_eq!(what_it_would_take(&analyses[0]), None);
        results.trials.clear();
        assert_eq!(sentence(&analyse(&results)[0]), "Nothing was decided: none is ranked.");
    }

    #[test]
    fn three_trials_separate_equal_targets_in_one_comparison_of_ten() {
        let chances = [3, 4, 5].map(separated_by_chance);
        assert_eq!(chances, [2.0 / 20.0, 2.0 / 70.0, 2.0 / 252.0]);
        assert!(separated_by_chance(6) < SEPARATED_BY_CHANCE_MAX);
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(names(&["a", "b", "c", "d"]), "a, b, c and d");
        assert_eq!(names(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
