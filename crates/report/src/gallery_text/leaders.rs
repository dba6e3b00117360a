//! Who is best under which load: the first tier of each scenario, and who needs the least memory.

use std::cmp::Ordering;

use super::{cost, ranking_cell};
use crate::columns::ranking_title;
use crate::gallery_results::{GalleryResults, MeasuredEntry, MeasuredFigures, MeasuredScenario};
use crate::record::RankBy;

/// As many are named; the others are counted.
const NAMED_MAX: usize = 6;
const IDLE_MEMORY: &str = "memory_per_connection_bytes";

/// An entry that is named, with the figure that it is named for.
struct Leader<'a> {
    name: &'a str,
    language: &'a str,
    figure: String,
}

/// A row for each scenario with the entries of its first tier, the best first, and one with the
/// entries that need the least memory for a connection that is idle. The entries' folders are in
/// `impls`.
#[must_use]
pub fn leaders(run: &GalleryResults, impls: &str) -> String {
    let mut text = "| load | by | first tier |\n| --- | --- | --- |\n".to_owned();
    for scenario in &run.scenarios {
        let leaders = first_tier(run, scenario);
        text += &row(&scenario.name, ranking_title(scenario.rank_by), &leaders, impls);
    }
    let frugal = frugal(run);
    let frugal = &frugal[..frugal.len().min(NAMED_MAX)];
    text + &row("idle connections", "memory of each", frugal, impls)
}

fn row(load: &str, by: &str, leaders: &[Leader<'_>], impls: &str) -> String {
    let named = leaders.iter().take(NAMED_MAX).map(|leader| {
        let Leader { name, language, figure } = leader;
        format!("[{name}]({impls}{name})&nbsp;({language})&nbsp;{}", figure.replace(' ', "&nbsp;"))
    });
    let others = match leaders.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        others => format!(", and {others} more"),
    };
    format!("| {load} | {by} | {}{others} |\n", named.collect::<Vec<_>>().join(" · "))
}

/// The entries that are not told apart from the best, the best first.
fn first_tier<'a>(run: &'a GalleryResults, scenario: &MeasuredScenario) -> Vec<Leader<'a>> {
    let figures_of = |entry: &'a MeasuredEntry| {
        entry.scenarios.get(&scenario.name).filter(|figures| figures.tier == Some(1))
    };
    let mut first: Vec<(&String, &MeasuredEntry, &MeasuredFigures)> = run
        .entries
        .iter()
        .filter_map(|(name, entry)| Some((name, entry, figures_of(entry)?)))
        .collect();
    first.sort_by(|(.., a), (.., b)| better_first(scenario.rank_by, a, b));
    let leader = |(name, entry, figures): (&'a String, &'a MeasuredEntry, &MeasuredFigures)| {
        Leader { name, language: &entry.language, figure: ranking_cell(scenario, figures) }
    };
    first.into_iter().map(leader).collect()
}

fn better_first(rank_by: RankBy, a: &MeasuredFigures, b: &MeasuredFigures) -> Ordering {
    let [a, b] = [a, b].map(|figures| figures.ranking.median.unwrap_or(f64::INFINITY));
    match rank_by {
        RankBy::Latency => a.total_cmp(&b),
        RankBy::Throughput | RankBy::Capacity => b.total_cmp(&a),
    }
}

/// Who needs the least memory for an idle connection comes first.
fn frugal<'a>(run: &'a GalleryResults) -> Vec<Leader<'a>> {
    let of = |entry: &MeasuredEntry| entry.costs.get(IDLE_MEMORY).copied();
    let mut measured: Vec<_> =
        run.entries.iter().filter_map(|(name, entry)| Some((of(entry)?, name, entry))).collect();
    measured.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let leader = |(_, name, entry): (f64, &'a String, &'a MeasuredEntry)| {
        Some(Leader { name, language: &entry.language, figure: cost(entry, IDLE_MEMORY)? })
    };
    measured.into_iter().filter_map(leader).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    fn run() -> GalleryResults {
        GalleryResults::of(&examples::detailed_results())
    }

    #[test]
    fn the_first_tier_is_named_the_best_first_and_no_other() {
        let mut run = run();
        let text = leaders(&run, "../impls/");
        let room = text.lines().find(|line| line.starts_with("| room |")).expect("a row");
        let best = "| [fast](../impls/fast)&nbsp;(Rust)&nbsp;602&nbsp;µs · [as-fast](";
        assert!(room.contains(best) && !room.contains("slow"), "{room}");

        let slow = run.entries.get_mut("slow").expect("an entry");
        slow.scenarios.get_mut("room").expect("it was measured").tier = Some(1);
        let text = leaders(&run, "");
        let room = text.lines().find(|line| line.starts_with("| room |")).expect("a row");
        let [fast, slow] = ["[fast]", "[slow]"].map(|name| room.find(name).expect("it is named"));
        assert!(fast < slow, "{room}");
    }

    #[test]
    fn of_many_that_are_not_told_apart_some_are_named_and_the_others_counted() {
        let mut run = run();
        let fast = run.entries["fast"].clone();
        run.entries.extend((0..9).map(|number| (format!("fast-{number}"), fast.clone())));
        let text = leaders(&run, "");
        let room = text.lines().find(|line| line.starts_with("| room |")).expect("a row");
        assert_eq!(room.matches('[').count(), NAMED_MAX, "{room}");
        assert!(room.ends_with(", and 5 more |"), "{room}");
    }

    #[test]
    fn the_least_memory_comes_first() {
        let mut run = run();
        let mut lean = run.entries["fast"].clone();
        lean.costs.insert(IDLE_MEMORY.to_owned(), 10.0);
        run.entries.insert("lean".to_owned(), lean);
        let text = leaders(&run, "");
        let idle = text.lines().last().expect("a row");
        assert!(
            idle.starts_with("| idle connections | memory of each | [lean](lean)&nbsp;(Rust)"),
            "{idle}"
        );
    }
}
