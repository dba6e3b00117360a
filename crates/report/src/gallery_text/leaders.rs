//! Who is best under which load: the first tier of each scenario, and who needs the least memory.

use super::{cost, ranking_cell};
use crate::columns::ranking_title;
use crate::gallery_results::{GalleryResults, MeasuredEntry, MeasuredScenario};

/// As many are named; the others are counted.
const NAMED_MAX: usize = 6;
const IDLE_MEMORY: &str = "memory_per_connection_bytes";

/// An entry that may be named, and the figure that it is named for.
struct Leader<'a> {
    name: &'a str,
    language: &'a str,
    figure: String,
    /// The best come first by it.
    key: f64,
}

/// A row for each scenario with the entries of its first tier, the best first, and one with the
/// entries that need the least memory for a connection that is idle. The entries' folders are in
/// `impls`.
#[must_use]
pub fn leaders(run: &GalleryResults, impls: &str) -> String {
    let mut text = "| load | by | first tier |\n| --- | --- | --- |\n".to_owned();
    for scenario in &run.scenarios {
        let first_tier = best_first(run, |entry| in_first_tier(entry, scenario));
        text += &row(&scenario.name, ranking_title(scenario.rank_by), &first_tier, impls);
    }
    let mut frugal = best_first(run, idle_memory);
    // The others are no tier, and not counted.
    frugal.truncate(NAMED_MAX);
    text + &row("idle connections", "memory of each", &frugal, impls)
}

fn row(load: &str, by: &str, leaders: &[Leader<'_>], impls: &str) -> String {
    let named = leaders.iter().take(NAMED_MAX).map(|leader| {
        let Leader { name, language, figure, .. } = leader;
        format!("[{name}]({impls}{name})&nbsp;({language})&nbsp;{}", figure.replace(' ', "&nbsp;"))
    });
    let others = match leaders.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        others => format!(", and {others} more"),
    };
    format!("| {load} | {by} | {}{others} |\n", named.collect::<Vec<_>>().join(" · "))
}

/// The entries that have a figure to be named for, with what the best come first by.
fn best_first<'a>(
    run: &'a GalleryResults,
    of: impl Fn(&MeasuredEntry) -> Option<(f64, String)>,
) -> Vec<Leader<'a>> {
    let with_figure = |(name, entry): (&'a String, &'a MeasuredEntry)| {
        let (key, figure) = of(entry)?;
        Some(Leader { name, language: &entry.language, figure, key })
    };
    let mut leaders: Vec<Leader<'_>> = run.entries.iter().filter_map(with_figure).collect();
    leaders.sort_by(|a, b| a.key.total_cmp(&b.key));
    leaders
}

/// The figure of an entry that is not told apart from the best.
fn in_first_tier(entry: &MeasuredEntry, scenario: &MeasuredScenario) -> Option<(f64, String)> {
    let figures = entry.scenarios.get(&scenario.name).filter(|it| it.tier == Some(1))?;
    let key = scenario.rank_by.sort_key(figures.ranking.median?);
    Some((key, ranking_cell(scenario, figures)))
}

fn idle_memory(entry: &MeasuredEntry) -> Option<(f64, String)> {
    Some((*entry.costs.get(IDLE_MEMORY)?, cost(entry, IDLE_MEMORY)?))
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
