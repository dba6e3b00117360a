//! What the gallery's documents say of measurements: Markdown and pictures, from the figures that
//! are committed.

mod leaders;

pub use leaders::leaders;

use crate::bounded::Bounded;
use crate::columns::{COSTS, CPU, LOST, MEMORY, ranking_text, ranking_title};
use crate::format::digits;
use crate::gallery_results::{GalleryResults, MeasuredEntry, MeasuredFigures, MeasuredScenario};
use crate::picture::{DARK, LIGHT};
use crate::style_map::{Lettering, svg};

/// The files of the picture: for light and for dark ground.
pub const PICTURES: [&str; 2] = ["styles-light.svg", "styles-dark.svg"];

/// Costs that are said in a sentence below the table, with their words.
const SAID_COSTS: [(&str, &str); 4] = [
    ("lines_of_code", "lines of code"),
    ("dependencies", "packages"),
    ("start_up_seconds", "start-up"),
    ("memory_per_connection_bytes", "per idle connection"),
];

/// The figures of the entry called `name` for its own page, from the newest run that has it; runs
/// are named by their files, the oldest first. `None` if none has it.
#[must_use]
pub fn performance(runs: &[(String, GalleryResults)], name: &str) -> Option<String> {
    let (file, run, entry) =
        runs.iter().rev().find_map(|(file, run)| Some((file, run, run.entries.get(name)?)))?;
    let mut text =
        "| scenario | tier | ranked by | to best | CPU per delivery | lost | peak memory |\n\
                    | --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    let mut reasons = String::new();
    for scenario in &run.scenarios {
        let Some(figures) = entry.scenarios.get(&scenario.name) else { continue };
        text += &row(scenario, figures);
        if let Some(reason) = &figures.unranked {
            reasons +=
                &format!("Not ranked in {}: {}. ", scenario.name, reason.trim_end_matches('.'));
        }
    }
    text += &format!(
        "\n{reasons}{}. {} [All figures]({PATH}/{file}), and [how to read them](../../docs/reading-results.md).\n",
        said_costs(entry),
        circumstances(run, Some(entry)),
        PATH = "../../docs/results",
    );
    Some(text)
}

fn row(scenario: &MeasuredScenario, figures: &MeasuredFigures) -> String {
    let tier =
        figures.tier.map_or_else(|| "–".to_owned(), |tier| format!("{tier} of {}", scenario.tiers));
    let cpu = figures.cpu_per_delivery_ns.and_then(|range| range.median);
    format!(
        "| {} | {tier} | {} | {} | {} | {} | {} |\n",
        scenario.name,
        ranking_cell(scenario, figures),
        figures.relative.map_or_else(|| "–".to_owned(), |ratio| format!("× {}", digits(ratio))),
        cpu.map_or_else(|| "–".to_owned(), CPU.format),
        (LOST.format)(figures.lost_share),
        (MEMORY.format)(figures.peak_resident_bytes as f64),
    )
}

fn said_costs(entry: &MeasuredEntry) -> String {
    let said = SAID_COSTS.iter().filter_map(|(key, words)| {
        let value = cost(entry, key)?;
        Some(if *key == "start_up_seconds" {
            format!("{words} {value}")
        } else {
            format!("{value} {words}")
        })
    });
    said.collect::<Vec<_>>().join(", ")
}

/// When, with what, beside what and where it was measured: a sentence.
fn circumstances(run: &GalleryResults, entry: Option<&MeasuredEntry>) -> String {
    let machine = &run.machine;
    let beside = match entry {
        Some(_) => format!("beside {} other entries", run.entries.len().saturating_sub(1)),
        None => format!("{} entries", run.entries.len()),
    };
    let toolchain = entry.map_or_else(String::new, |entry| {
        entry.toolchain.iter().map(|version| format!(", {}", literal(version))).collect()
    });
    let commit = run.tool.git_commit.as_deref().unwrap_or_default();
    let at = match commit.get(..commit.len().min(9)) {
        Some(short) if !short.is_empty() => format!(" at {short}"),
        _ => String::new(),
    };
    format!(
        "Measured on {} with `{}`, {beside}, on {} processors ({}), {}{toolchain}; zillions {}{at}.",
        run.day(),
        run.command_line.join(" "),
        machine.cpus,
        literal(&machine.cpu_model),
        machine.kernel,
        run.tool.version,
    )
}

/// Text of other programs, in which nothing is Markdown or HTML.
fn literal(text: &str) -> String {
    let escaped = |c| if "\\`*[]<>|".contains(c) { Some('\\') } else { None };
    text.chars().flat_map(|c| escaped(c).into_iter().chain([c])).collect()
}

/// The run that entries are compared by: of those with the most of them, the newest. Figures of
/// different runs are not comparable.
#[must_use]
pub fn main_run(runs: &[(String, GalleryResults)]) -> Option<&(String, GalleryResults)> {
    runs.iter().filter(|(_, run)| !run.entries.is_empty()).max_by_key(|(_, run)| run.entries.len())
}

/// The cells of the entry called `name` in the gallery's table: lines of code, and CPU time per
/// delivery.
#[must_use]
pub fn cells(run: &GalleryResults, name: &str) -> [String; 2] {
    let Some(entry) = run.entries.get(name) else { return [unknown(), unknown()] };
    let lines = entry.costs.get("lines_of_code");
    let figures = run.reference.as_ref().and_then(|name| entry.scenarios.get(name));
    let cpu = figures.and_then(|figures| figures.cpu_per_delivery_ns?.median);
    [
        lines.map_or_else(unknown, |lines| format!("{lines:.0}")),
        cpu.map_or_else(unknown, CPU.format),
    ]
}

/// The figures of the entries of one style, given as `(name, language)`, side by side. The entries'
/// folders are in `impls`.
#[must_use]
pub fn style_table(run: &GalleryResults, entries: &[(&str, &str)], impls: &str) -> String {
    let scenarios = || run.scenarios.iter().map(|scenario| scenario.name.as_str());
    let heads = scenarios().map(|name| format!(" {name} |")).collect::<String>();
    let rules = scenarios().map(|_| " ---: |").collect::<String>();
    let mut text = format!(
        "| entry | language | lines | CPU per delivery |{heads} per idle connection |\n\
         | --- | --- | ---: | ---: |{rules} ---: |\n"
    );
    for (name, language) in entries {
        let [lines, cpu] = cells(run, name);
        let measured = run.entries.get(*name);
        let rankings: String = run
            .scenarios
            .iter()
            .map(|scenario| {
                let figures = measured.and_then(|entry| entry.scenarios.get(&scenario.name));
                format!(" {} |", figures.map_or_else(unknown, |it| ranking_cell(scenario, it)))
            })
            .collect();
        let idle = measured.and_then(|entry| cost(entry, "memory_per_connection_bytes"));
        text += &format!(
            "| [{name}]({impls}{name}) | {language} | {lines} | {cpu} |{rankings} {} |\n",
            idle.unwrap_or_else(unknown)
        );
    }
    text
}

/// The figure that a scenario ranks by.
fn ranking_cell(scenario: &MeasuredScenario, figures: &MeasuredFigures) -> String {
    let ranking = figures.ranking.median.unwrap_or(f64::INFINITY);
    let ranking = if figures.lower_bound { Bounded::at_least(ranking) } else { ranking.into() };
    ranking_text(scenario.rank_by, ranking)
}

fn cost(entry: &MeasuredEntry, key: &str) -> Option<String> {
    let column = COSTS.iter().find(|column| column.head.key == key)?;
    Some((column.format)(*entry.costs.get(key)?))
}

fn unknown() -> String {
    "–".to_owned()
}

/// What the figures of the styles' tables are.
#[must_use]
pub fn styles_note(file: &str, run: &GalleryResults, root: &str) -> String {
    let scenarios = run
        .scenarios
        .iter()
        .map(|scenario| format!("{} shows its {}", scenario.name, ranking_title(scenario.rank_by)));
    format!(
        "The tables below are of one run, and comparable with each other only. CPU time per delivery is \
         the median in the scenario {}; {}. – is not measured, ≥ is a lower bound. {} \
         [All figures]({root}docs/results/{file}), and \
         [how to read them]({root}docs/reading-results.md).\n",
        run.reference.as_deref().unwrap_or_default(),
        scenarios.collect::<Vec<_>>().join("; "),
        circumstances(run, None)
    )
}

/// What the figures of the gallery's table are, in a sentence or two.
#[must_use]
pub fn table_note(file: &str, run: &GalleryResults, root: &str) -> String {
    format!(
        "CPU time per delivery is the median in the scenario {}; figures of one run, comparable \
         with each other only. – is not measured. {} [All figures]({root}docs/results/{file}), and \
         [how to read them]({root}docs/reading-results.md).\n",
        run.reference.as_deref().unwrap_or_default(),
        circumstances(run, None)
    )
}

/// The picture as Markdown.
#[must_use]
pub fn picture() -> String {
    let [light, dark] = PICTURES.map(|file| format!("docs/results/{file}"));
    format!(
        "<picture>\n  <source media=\"(prefers-color-scheme: dark)\" srcset=\"{dark}\">\n  \
         <img alt=\"Map of concurrency styles by CPU time per delivery and lines of code\" \
         src=\"{light}\">\n</picture>\n"
    )
}

/// The picture of `run` as files: each name with its text. None if the run has no costs.
#[must_use]
pub fn pictures(run: &GalleryResults) -> Vec<(&'static str, String)> {
    let scenario = run.reference.as_deref().unwrap_or_default();
    let dots = run.dots();
    let lettering = |palette: &str| Lettering {
        title: (
            "What does each concurrency style cost?".to_owned(),
            format!(
                "Small dots: {} programs for one spec. Circles: their styles, at the medians. \
                 Cheap is left, short is below.",
                dots.len()
            ),
        ),
        source: format!(
            "zillions bench, scenario {scenario}, {}, {} processors ({}), {}",
            run.day(),
            run.machine.cpus,
            run.machine.cpu_model,
            run.machine.kernel
        ),
        css: format!("svg {{ {palette} }}\n{PICTURE_CSS}"),
        ..Lettering::default()
    };
    let palettes = [LIGHT, DARK];
    let drawn = PICTURES.iter().zip(palettes);
    drawn.filter_map(|(file, palette)| Some((*file, svg(&dots, &lettering(palette))?))).collect()
}

/// A picture stands alone: it brings its own looks.
const PICTURE_CSS: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif; fill: var(--ink); }
.paper { fill: var(--paper); }
.title { font: 600 26px Charter, 'Bitstream Charter', 'Sitka Text', Cambria, Georgia, serif; }
.second, .source, .tick, .axis { fill: var(--soft); }
.source, .tick, .axis { font-size: 12px; }
.grid { stroke: var(--faint); }
.frame { fill: none; stroke: var(--later); }
.thread { fill: none; stroke: var(--rule); }
.leader { stroke: var(--later); stroke-width: .75; }
.dot { fill: var(--dot); }
.style { fill: var(--first); fill-opacity: .14; stroke: var(--first); stroke-width: 1.75; }
.label { fill: var(--first); font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    fn runs() -> Vec<(String, GalleryResults)> {
        let one = GalleryResults::of(&examples::detailed_results());
        let mut newer = one.clone();
        newer.started = "2026-11-30T12:00:00Z".to_owned();
        newer.entries.retain(|name, _| name == "slow");
        vec![("one.json".to_owned(), one), ("newer.json".to_owned(), newer)]
    }

    #[test]
    fn the_table_of_a_style_has_all_its_entries_measured_or_not() {
        let (file, run) = &runs()[0];
        let text = style_table(run, &[("fast", "Rust"), ("absent", "C")], "../impls/");
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert!(rows[0].starts_with("| [fast](../impls/fast) | Rust | 97 | 13.0 µs |"), "{text}");
        assert!(rows[0].contains(" 602 µs |") && rows[0].ends_with(" 6.06 KiB |"), "{text}");
        assert!(rows[1].starts_with("| [absent](../impls/absent) | C | – | – | –"), "{text}");
        let widths: Vec<usize> = text.lines().map(|line| line.matches('|').count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        let note = styles_note(file, run, "../");
        assert!(note.contains("room shows its 99th percentile of latency"), "{note}");
        assert!(note.contains("(../docs/results/one.json)"), "{note}");
    }

    #[test]
    fn what_a_tool_chain_says_of_itself_is_text_and_nothing_else() {
        let mut runs = runs();
        let entry = runs[0].1.entries.get_mut("fast").expect("it was measured");
        entry.toolchain = vec!["# 0 \"<stdin>\" [*1.0*]".to_owned()];
        let text = performance(&runs, "fast").expect("it was measured");
        assert!(text.contains(r#", # 0 "\<stdin\>" \[\*1.0\*\]; zillions"#), "{text}");
    }

    #[test]
    fn the_page_of_an_entry_has_its_figures_and_where_they_are_from() {
        let text = performance(&runs(), "fast").expect("it was measured");
        assert!(
            text.contains("| room | 1 of 2 | 602 µs | – | 13.0 µs | 0 % | 3.00 MiB |"),
            "{text}"
        );
        assert!(text.contains("97 lines of code, 9 packages, start-up 2.00 ms, 6.06 KiB per idle"));
        assert!(
            text.contains("Measured on 2026-11-21 with `zillions bench`, beside 2 other entries")
        );
        assert!(text.contains("rustc 1.95.0") && text.contains("at abc123"), "{text}");
        assert!(text.contains("](../../docs/results/one.json)"), "{text}");
        // The newest run that has it.
        let slow = performance(&runs(), "slow").expect("it was measured");
        assert!(slow.contains("newer.json") && slow.contains("2026-11-30"), "{slow}");
        assert_eq!(performance(&runs(), "absent"), None);
    }

    #[test]
    fn what_is_not_ranked_says_why() {
        let mut runs = runs();
        let figures = runs[0].1.entries.get_mut("fast").expect("an entry");
        let room = figures.scenarios.get_mut("room").expect("a scenario");
        (room.tier, room.unranked) =
            (None, Some("NOISY in 3 of 5 trials: other programs.".to_owned()));
        room.ranking.median = None;
        let text = performance(&runs, "fast").expect("it was measured");
        assert!(text.contains("| room | – | never |"), "{text}");
        assert!(
            text.contains("\nNot ranked in room: NOISY in 3 of 5 trials: other programs. 97"),
            "{text}"
        );
    }

    #[test]
    fn entries_are_compared_within_the_run_that_has_the_most() {
        let runs = runs();
        let (file, run) = main_run(&runs).expect("a run");
        assert_eq!(file, "one.json");
        assert_eq!(cells(run, "slow"), ["61", "114 µs"]);
        assert_eq!(cells(run, "absent"), ["–", "–"]);
        assert!(table_note(file, run, "").contains("scenario crowd"));
        assert!(main_run(&[]).is_none());
    }

    #[test]
    fn the_picture_has_a_light_and_a_dark_variant_that_differ_in_colours_only() {
        let drawn = pictures(&runs()[0].1);
        let [(light_file, light), (dark_file, dark)] = &drawn[..] else { panic!("two pictures") };
        assert_eq!([*light_file, *dark_file], PICTURES);
        assert!(light != dark && light.replace(LIGHT, DARK) == *dark);
        assert!(light.len() < 100_000 && light.contains("readiness loop"), "{light}");
        assert!(light.contains(" width=\"880\" height=\""), "it has a size of its own: {light}");
        assert!(picture().contains(light_file) && picture().contains(dark_file));
    }
}
