//! The page as text; `tests/long/browser` looks at it with a browser.

use super::packed::unpacked;
use super::*;
use crate::examples;
use crate::merge::merge;
use crate::record::{RankBy, TrialResult};

/// The page without the drawing library's script.
fn page_of(results: &Results) -> String {
    report(results).replace(DRAWING_SCRIPT.as_str(), "")
}

/// What the page unpacks: tables of trials, and programs.
fn packs(page: &str) -> Vec<String> {
    let packs = page.split("class=\"pack\">").skip(1);
    packs.map(|rest| unpacked(rest.split('<').next().unwrap_or_default())).collect()
}

/// The page of the detailed example, which most tests read.
fn page() -> &'static str {
    static PAGE: LazyLock<String> = LazyLock::new(|| page_of(&examples::detailed_results()));
    &PAGE
}

/// The page of the plain example.
fn plain_page() -> &'static str {
    static PAGE: LazyLock<String> = LazyLock::new(|| page_of(&examples::results()));
    &PAGE
}

/// The part of `page` from the element with this id to the end of its section or article.
fn part<'a>(page: &'a str, id: &str) -> &'a str {
    let from = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id}"));
    let rest = &page[from..];
    let ends = ["</section>", "</article>"].into_iter().filter_map(|end| rest.find(end));
    &rest[..ends.min().unwrap_or(rest.len())]
}

#[test]
fn the_same_results_give_the_same_report() {
    let results = examples::detailed_results();
    assert!(report(&results) == report(&results));
}

#[test]
fn the_report_asks_nothing_of_any_network() {
    let page = page();
    for wanted in ["<script src", "<link", "@import", "url(", "src=\"http", "fetch("] {
        assert!(!page.contains(wanted), "{wanted}");
    }
}

#[test]
fn only_the_two_scripts_of_the_page_may_run() {
    let whole = report(&examples::results());
    let script = plots::script();
    assert!(script.len() > 1_000_000, "{} bytes", script.len());
    assert_eq!(unpacked(&DRAWING_SCRIPT), script, "it is packed as it is");
    assert_eq!(whole.matches(DRAWING_SCRIPT.as_str()).count(), 1, "it is embedded once");
    assert!(!script.contains("MathJax.tex"), "formulas are not typeset");
    let hash = |script: &str| BASE64.encode(Sha256::digest(script));
    let policy = whole.split("Content-Security-Policy").nth(1).unwrap_or_default();
    let policy = policy.split('>').next().unwrap_or_default();
    assert!(policy.contains(&hash(script)) && policy.contains(&hash(SCRIPT)), "{policy}");
    assert_eq!(policy.matches("sha256-").count(), 2, "{policy}");
    // Everything else that looks like a script is data.
    assert_eq!(whole.matches("<script>").count(), 1);
}

#[test]
fn the_first_view_answers_each_question_in_words() {
    let page = page();
    let card = part(page, "card-room");
    assert!(card.contains("href=\"#implementation-fast\">fast</a> and "), "{card}");
    assert!(card.contains("these trials cannot distinguish them"), "{card}");
    assert!(card.contains("class=\"badge\">1</span>"), "{card}");
    assert!(part(page, "top").contains("Noise floor"), "{}", part(page, "top"));
}

#[test]
fn every_target_is_shown_with_its_reason_where_it_has_no_rank() {
    let page = page();
    for text in [
        "as-fast",
        "apt-get install ghc",
        "order/fifo (ORDER-2)",
        "failed in 5 of 5 trials",
        "15 VALID",
        "5 FAILED",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(packs(page).iter().any(|table| table.contains("assertion failed")), "its log");
}

#[test]
fn an_implementation_has_a_page_with_its_program_its_costs_and_its_style() {
    let page = page();
    let fast = part(page, "implementation-fast");
    for text in [
        "rustc 1.95.0",
        "href=\"https://example.org/a?b=c&",
        "51 of 52",
        "life/idle-cpu",
        "Memory per connection",
        "97",
        "// A ",
        "Its style: readiness loop",
        "Slow-reader policy",
    ] {
        assert!(fast.contains(text), "{text}: {fast}");
    }
    assert!(
        packs(fast).iter().any(|program| program.contains("<span class=\"s-comment")
            && program.contains("A &lt;comment&gt; &amp; more.")),
        "its program is highlighted"
    );
    // What was never measured has its page, too, and says why.
    assert!(part(page, "implementation-absent").contains("ghc is not installed"));
    assert!(!page.contains("href=\"javascript:"), "a script address is not a link");
}

#[test]
fn a_part_without_data_does_not_appear() {
    let page = plain_page();
    assert!(!page.contains("Latency against offered rate"));
    assert!(!page.contains("id=\"scaling\""));
    assert!(!part(page, "implementation-fast").contains("Does it conform to the spec?"));
    assert!(!part(page, "implementation-fast").contains("The program"));
}

#[test]
fn a_style_has_a_page_and_a_place_on_the_map() {
    let page = page();
    let style = part(page, "style-readiness-loop");
    for text in ["which sockets are ready", "href=\"#implementation-fast\"", "Median of all"] {
        assert!(style.contains(text), "{text}: {style}");
    }
    let map = part(page, "styles");
    assert!(map.contains("<a href=\"#style-readiness-loop\">") && map.contains("<svg"), "{map}");
    assert!(map.contains("href=\"#scenario-crowd\""), "where servers are never idle");
    // Without lines of code there is no map.
    assert!(!plain_page().contains("id=\"styles\""));
}

#[test]
fn a_scenario_shows_no_plot_in_which_all_are_alike() {
    let page = page();
    let plots = |page: &str, part_id: &str| -> Vec<String> {
        let rest = part(page, part_id).split(" id=\"plot-").skip(1);
        rest.map(|it| it.split('"').next().unwrap_or_default().to_owned()).collect()
    };
    // All deliver what is sent, lose nothing, and take the same memory.
    assert_eq!(plots(page, "scenario-room"), ["room-percentiles", "room-trade-off"]);
    let mut results = examples::detailed_results();
    for trial in results.trials.iter_mut().filter(|trial| trial.target == "slow") {
        if let TrialResult::Measured(figures) = &mut trial.result {
            // Less than 1 %: more, and its 99th percentile would have no place.
            figures.pairs.dropped = 20;
            figures.server.as_mut().unwrap().peak_resident_bytes *= 2;
        }
    }
    let ids = ["room-percentiles", "room-trade-off", "room-memory", "room-lost"];
    assert_eq!(plots(&page_of(&results), "scenario-room"), ids);
}

#[test]
fn what_an_entry_is_a_door_to_is_counted_and_shown_as_it_is() {
    let mut results = examples::detailed_results();
    let mut behind = results.run.targets[0].sources[0].clone();
    behind.path = "../../crates/x/src/lib.rs".to_owned();
    results.run.targets[0].sources.push(behind);
    let page = page_of(&results);
    let fast = part(&page, "implementation-fast");
    assert!(fast.contains("1 of its 2 files are outside its folder"), "{fast}");
    assert_eq!(fast.matches("<details class=\"source\" open>").count(), 1);
    assert_eq!(fast.matches("<details class=\"source\">").count(), 1);
    assert_eq!(packs(fast).len(), 1, "what is elsewhere is not highlighted");
}

#[test]
fn rates_that_were_tried_are_drawn_against_latency_and_loss() {
    let page = page();
    let limit = part(page, "scenario-limit");
    assert!(
        limit.contains("plot-limit-latency-by-rate") && limit.contains("plot-limit-lost-by-rate")
    );
    assert!(limit.contains("data-key=\"4000\""), "{limit}");
    assert!(!part(page, "scenario-room").contains("by-rate"));
}

#[test]
fn a_percentile_of_few_deliveries_is_a_bound_wherever_the_page_has_it() {
    let mut results = examples::detailed_results();
    for trial in results.trials.iter_mut().filter(|trial| trial.target != "slow") {
        if let TrialResult::Measured(figures) = &mut trial.result {
            examples::deliver_only(figures, 12);
        }
    }
    let page = page_of(&results);
    let room = part(&page, "scenario-room");
    assert!(
        room.contains("Not ranked: its p99 latency is a lower bound: a trial has 12 "),
        "{room}"
    );
    // In the table of figures, where it is drawn, and in the table of its percentiles.
    assert!(room.contains("data-bound=\"least\">≥ "), "{room}");
    assert!(
        room.contains("<td class=\"drawn\" data-key=\"158080\" data-bound=\"least\">"),
        "{room}"
    );
    let cell = |text: &str| room.matches(text).count();
    assert!(cell("data-bound=\"least\">≥ ") > 6, "{room}");
    for id in ["implementation-fast", "glance"] {
        assert!(part(&page, id).contains("≥ 158 µs"), "{}", part(&page, id));
    }
    let trials = packs(&page).into_iter().find(|table| table.contains("Last receiver")).unwrap();
    assert!(trials.contains("data-bound=\"least\">≥ "), "{trials}");
}

#[test]
fn scenarios_that_differ_in_clients_only_are_drawn_over_them() {
    let mut results = examples::results();
    let mut larger = examples::scenario("larger-room", RankBy::Latency);
    larger.clients = 64;
    results.run.scenarios.push(larger);
    for trial in results.trials.clone().into_iter().filter(|trial| trial.scenario == "room") {
        let (scenario, order) = ("larger-room".to_owned(), trial.order + 1_000);
        results.trials.push(crate::record::TrialRecord { scenario, order, ..trial });
    }
    let page = page_of(&results);
    let scaling = part(&page, "scaling");
    assert!(scaling.contains("8 clients") && scaling.contains("64 clients"), "{scaling}");
}

#[test]
fn how_the_senders_write_is_said_where_it_is_unusual() {
    let mut results = examples::results();
    let said = "header and body with two calls";
    assert!(!part(&page_of(&results), "scenario-room").contains(said));
    let room = results.run.scenarios.iter_mut().find(|scenario| scenario.name == "room");
    room.expect("a scenario of the examples").split_writes = true;
    assert!(part(&page_of(&results), "scenario-room").contains(said));
}

#[test]
fn texts_from_outside_cannot_break_the_page() {
    let hostile = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}";
    let mut results = examples::detailed_results();
    for target in &mut results.run.targets {
        target.summary = hostile.to_owned();
        target.library = hostile.to_owned();
        target.style = hostile.to_owned();
        target.toolchain = vec![hostile.to_owned()];
        target.url = format!("https://{hostile}");
        target.sources.iter_mut().for_each(|file| {
            file.path = hostile.to_owned();
            file.text = hostile.to_owned();
        });
    }
    results.run.targets[2].name = hostile.to_owned();
    results.run.machine.cpu_model = hostile.to_owned();
    results.run.scenarios[0].question = hostile.to_owned();
    for trial in &mut results.trials {
        if trial.target == "slow" {
            trial.target = hostile.to_owned();
        }
        if let TrialResult::Failed { reason, log } = &mut trial.result {
            *reason = hostile.to_owned();
            *log = vec![hostile.to_owned()];
        }
    }
    let page = page_of(&results);
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "it would run");
    for pack in packs(&page) {
        assert!(!pack.contains("<script") && !pack.contains("<img"), "it would run: {pack}");
    }
    assert_eq!(page.matches("<script>").count(), 1);
    // In data for the script no element can end.
    assert_eq!(page.matches("</script>").count(), page.matches("<script").count());
}

#[test]
fn tables_and_plots_can_be_read_aloud() {
    let page = page();
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
    let plots = page.matches("class=\"plot\"").count();
    assert!(plots >= 8, "{plots}");
    assert_eq!(page.matches("class=\"plot\" id=\"plot-").count(), plots);
    assert_eq!(page.matches("role=\"img\" aria-label=").count(), plots);
    assert_eq!(page.matches("<summary>Figures and method").count(), plots, "one click away");
    assert!(page.contains("href=\"#main\">Skip"));
    assert!(page.contains("<html lang=\"en\""));
}

#[test]
fn ids_are_unique_and_links_within_the_page_lead_somewhere() {
    let page = page();
    let values = |attribute: &str| -> Vec<String> {
        let ends_with_quote = |rest: &str| rest.split('"').next().unwrap_or_default().to_owned();
        page.split(&format!(" {attribute}=\"")).skip(1).map(ends_with_quote).collect()
    };
    let ids = values("id");
    for id in &ids {
        assert_eq!(ids.iter().filter(|it| *it == id).count(), 1, "{id}");
    }
    let links: Vec<_> = values("href")
        .into_iter()
        .filter_map(|it| it.strip_prefix('#').map(str::to_owned))
        .collect();
    assert!(links.len() > 20);
    for link in links {
        assert!(ids.contains(&link), "#{link}");
    }
}

#[test]
fn a_run_without_trials_still_gives_a_page() {
    let mut results = examples::results();
    results.trials.clear();
    let page = page_of(&results);
    assert!(page.contains("Nothing was measured"));
}

#[test]
fn a_report_of_several_runs_says_which_figures_come_from_which() {
    let mut second = examples::results();
    second.run.started = "2026-11-23T12:00:00Z".to_owned();
    let one = examples::results();
    let runs = vec![("results/one".to_owned(), one), ("results/<two>".to_owned(), second)];
    let page = merged_report(&merge(runs).unwrap()).replace(DRAWING_SCRIPT.as_str(), "");
    assert!(
        part(&page, "method").contains("results/&#60;two&#62;")
            || part(&page, "method").contains("results/&lt;two&gt;")
    );
    let room = part(&page, "scenario-room");
    assert!(room.contains(">1, 2</td>"), "the runs of a row: {room}");
    assert!(room.contains("10 of 10"));
    assert!(!plain_page().contains(">Runs</th>"));
}

#[test]
fn the_limit_of_the_machine_stands_with_each_table_and_only_where_it_was_measured() {
    let page = page_of(&examples::with_limits());
    for (scenario, sentence) in
        [("room", "a loop of one send() per message"), ("crowd", "a receiver that only calls recv")]
    {
        let part = part(&page, &format!("scenario-{scenario}"));
        assert!(part.contains(sentence) && part.contains(">Of the limit<"), "{part}");
        assert!(part.contains(">0.80"), "{part}");
    }
    let of_trials = packs(&page).join("");
    assert!(of_trials.contains("send-loop") && of_trials.contains("bare-receiver"));
    assert!(!plain_page().contains("Of the limit"));
}
