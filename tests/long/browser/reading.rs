//! What a reader does: filter, sort, hide, follow links, use the keyboard alone.

use crate::Pages;
use crate::chromium::{Look, Tab};

/// The names in the table of everything, as far as they are shown, in their order.
fn names(tab: &Tab<'_>) -> Vec<String> {
    tab.ask(
        "[...document.querySelectorAll('#glance-table tbody tr')]
           .filter((row) => row.checkVisibility()).map((row) => row.cells[0].dataset.key)",
    )
}

/// The same of the table of costs.
fn names_by_cost(tab: &Tab<'_>) -> Vec<String> {
    tab.ask(
        "[...document.querySelectorAll('#costs-table tbody tr')].map((row) => row.cells[0].dataset.key)",
    )
}

fn choose(tab: &Tab<'_>, field: &str, value: &str) {
    let _: bool = tab.ask(&format!(
        "(() => {{ const field = document.querySelector('#filters [name={field}]');
           field.value = '{value}';
           return field.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"
    ));
}

fn click(tab: &Tab<'_>, selector: &str) {
    let _: bool = tab.ask(&format!("document.querySelector(`{selector}`).click(), true"));
}

/// The names of what is drawn in a plot of the scenario `room`, which is brought into view.
const DRAWN: &str = "(document.getElementById('plot-room-percentiles').scrollIntoView(),
    document.getElementById('plot-room-percentiles').data
      .filter((trace) => trace.visible === true).map((trace) => trace.name))";

/// The colours of that, by name.
const COLORS: &str = "(document.getElementById('plot-room-percentiles').scrollIntoView(),
    Object.fromEntries(document.getElementById('plot-room-percentiles').data
      .map((trace) => [trace.name, trace.line.color])))";
const GREY: &str = "#c2bfb6";

pub(crate) fn filters_choose_rows_and_lines(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    tab.draw_all();
    assert_eq!(names(&tab), ["fast", "as-fast", "slow", "dying"]);
    choose(&tab, "language", "Python");
    assert_eq!(names(&tab), ["slow"]);
    assert_eq!(
        tab.ask::<String>("document.getElementById('filter-count').textContent"),
        "1 of 4 shown"
    );
    tab.until(&format!("String({DRAWN}) === 'slow'"));
    let rows: Vec<String> = tab.ask(
        "[...document.querySelectorAll('#table-room tbody tr')]
           .filter((row) => row.checkVisibility()).map((row) => row.cells[1].dataset.key)",
    );
    assert_eq!(rows, ["slow"], "every table follows");

    choose(&tab, "language", "Rust");
    choose(&tab, "style", "async/await");
    assert_eq!(names(&tab), ["as-fast"], "two filters hold both");
    choose(&tab, "library", "eventlib");
    assert_eq!(names(&tab), Vec::<String>::new());
    click(&tab, "#filters [type=reset]");
    tab.until("document.querySelectorAll('#glance-table tbody tr:not([hidden])').length === 4");
    tab.until(&format!("{DRAWN}.length === 3"));
    assert_eq!(tab.ask::<String>("document.getElementById('filter-count').textContent"), "");
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

/// A button in the heads of the tables of everything.
fn head(text: &str) -> String {
    format!(
        "[...document.querySelectorAll('#glance .sort')]
           .find((it) => it.textContent.includes('{text}'))"
    )
}

pub(crate) fn heads_sort(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    let sort_by = |text: &str| {
        let _: bool = tab.ask(&format!("{}.click(), true", head(text)));
        tab.ask::<String>(&format!("{}.closest('th').getAttribute('aria-sort')", head(text)))
    };
    assert_eq!(sort_by("Lines of code"), "ascending");
    let by_cost = || names_by_cost(&tab);
    assert_eq!(by_cost(), ["slow", "fast", "as-fast", "dying"], "its lines are not known");
    assert_eq!(sort_by("Lines of code"), "descending");
    assert_eq!(by_cost(), ["as-fast", "fast", "slow", "dying"], "nor are they now");
    assert_eq!(sort_by("Implementation"), "ascending");
    assert_eq!(names(&tab), ["as-fast", "dying", "fast", "slow"]);
    let marked: usize = tab.ask("document.querySelectorAll('#glance-table [aria-sort]').length");
    assert_eq!(marked, 1);
    assert_eq!(sort_by("crowd"), "ascending");
    assert_eq!(names(&tab)[2..], ["slow", "dying"], "by place in that scenario");
}

pub(crate) fn a_search_finds_by_any_word(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    for (words, found) in [
        ("loop", vec!["fast"]),
        ("PYTHON eventlib", vec!["slow"]),
        ("thread & queue", vec!["fast", "as-fast", "slow", "dying"]),
        ("rust csp", vec!["dying"]),
        ("nothing of this", vec![]),
    ] {
        choose(&tab, "q", words);
        assert_eq!(names(&tab), found, "{words}");
    }
    // What was not measured is found, too.
    choose(&tab, "q", "promises");
    let unmeasured: usize =
        tab.ask("document.querySelectorAll('#unmeasured tbody tr:not([hidden])').length");
    assert_eq!(unmeasured, 1);
    assert!(tab.ask::<bool>("new URLSearchParams(location.search).get('q') === 'promises'"));
    let again = pages.chromium.open(&pages.detailed, Look::DESKTOP.at("?q=csp&language=Rust"));
    assert_eq!(names(&again), ["dying"], "the address remembers it");
    assert_eq!(again.complaints(), Vec::<String>::new());
}

pub(crate) fn a_legend_lets_lines_go_grey(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    tab.draw_all();
    click(&tab, "#scenario-room .legend [data-name=slow]");
    tab.until(&format!("{COLORS}.slow === '{GREY}'"));
    assert!(tab.ask::<bool>(&format!("{COLORS}.fast !== '{GREY}'")));
    let elsewhere: usize = tab.ask("document.querySelectorAll('.legend [data-name=slow]').length");
    assert_eq!(elsewhere, 0, "what stands out does so everywhere");
    let shown: Vec<String> = tab.ask("new URLSearchParams(location.search).getAll('show')");
    assert_eq!(shown, ["fast", "as-fast", "dying"]);
    let _: bool = tab.ask(
        "(() => { const more = document.querySelector('#scenario-crowd .legend select');
           more.value = 'slow';
           return more.dispatchEvent(new Event('change', { bubbles: true })); })()",
    );
    tab.until(&format!("{COLORS}.slow !== '{GREY}'"));
    let ticked: usize = tab.ask("document.querySelectorAll('.pick input:checked').length");
    assert_eq!(ticked, 4);
}

pub(crate) fn of_seventy_a_few_stand_out(pages: &Pages) {
    let count = "new Set([...document.querySelectorAll('.plot[data-state=drawn]')]
        .flatMap((plot) => plot.data).map((trace) => trace.line.color)).size";
    let tab = pages.chromium.open(&pages.seventy, Look::DESKTOP.at("#scenario-capacity"));
    tab.until("document.querySelectorAll('.plot[data-state=drawn]').length > 0");
    let colors: usize = tab.ask(count);
    assert!((2..=6).contains(&colors), "five leaders and grey: {colors}");
    // Eight at most.
    let _: bool = tab.ask(
        "[...document.querySelectorAll('.pick input:not(:checked)')].slice(0, 5).forEach((it) => it.click()), true",
    );
    let ticked: Vec<String> = tab.ask(
        "[...document.querySelectorAll('.pick input:checked')].map((it) => it.closest('tr').dataset.name)",
    );
    assert_eq!(ticked.len(), 8);
    let said: String = tab.ask("document.getElementById('chosen-count').textContent");
    assert!(said.starts_with("Eight stand out already"), "{said}");
    let query: String = tab.ask("location.search");
    assert_eq!(query.matches("show=").count(), 8, "{query}");
    assert_eq!(tab.complaints(), Vec::<String>::new());

    let again =
        pages.chromium.open(&pages.seventy, Look::DESKTOP.at("?show=actors-17&show=CSP-10"));
    let ticked: Vec<String> = again.ask(
        "[...document.querySelectorAll('.pick input:checked')].map((it) => it.closest('tr').dataset.name)",
    );
    assert_eq!(ticked.len(), 2, "{ticked:?}");
    let link: String = again.ask("document.getElementById('compare-chosen').getAttribute('href')");
    assert_eq!(link, "#compare/actors-17/CSP-10");
    // A long table shows its first rows and what stands out, until it is asked for all.
    let shown = "[...document.querySelectorAll('#table-capacity tbody tr')].filter((it) => it.checkVisibility()).length";
    let first: usize = again.ask(shown);
    assert!((20..=22).contains(&first), "{first}");
    click(&again, "#scenario-capacity .whole");
    assert_eq!(again.ask::<usize>(shown), 70);
}

pub(crate) fn two_stand_side_by_side(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP.at("#compare/slow/fast"));
    tab.until("document.title === 'slow and fast – zillions bench'");
    assert!(!tab.ask::<bool>("document.getElementById('results').checkVisibility()"));
    let row = |title: &str| -> Vec<String> {
        tab.ask(&format!(
            "[...[...document.querySelectorAll('#compared tr')].find((it) => it.cells[0].textContent === '{title}').cells]
               .map((it) => it.textContent)"
        ))
    };
    assert_eq!(row("Lines of code"), ["Lines of code", "61 better", "97", "× 1.59"]);
    assert_eq!(row("99th percentile of latency")[2], "602 µs better");
    assert_eq!(row("Language"), ["Language", "Python", "Rust", ""]);
    let programs: usize = tab.ask("document.querySelectorAll('#compared details.source').length");
    assert_eq!(programs, 2);
    tab.until("document.querySelectorAll('#compared .s-comment').length > 0");
    // Only what differs.
    let rows = "[...document.querySelectorAll('#compared tbody tr')].filter((it) => it.checkVisibility()).length";
    let before: usize = tab.ask(rows);
    click(&tab, "#compare-form [name=differing]");
    let after: usize = tab.ask(rows);
    assert!(after < before && after > 0, "{after} of {before}");
    // Another one.
    let _: bool = tab.ask(
        "(() => { const left = document.querySelector('#compare-form [name=left]');
           left.value = 'as-fast';
           return left.dispatchEvent(new Event('change', { bubbles: true })); })()",
    );
    assert_eq!(tab.ask::<String>("location.hash"), "#compare/as-fast/fast");
    click(&tab, "#compare-swap");
    assert_eq!(tab.ask::<String>("location.hash"), "#compare/fast/as-fast");
    assert_eq!(tab.complaints(), Vec::<String>::new());
    // A link from a page leads here.
    let page = pages.chromium.open(&pages.detailed, Look::DESKTOP.at("#implementation-slow"));
    click(&page, "#implementation-slow .compare-link");
    page.until("document.title.startsWith('slow and ')");
}

pub(crate) fn every_trial_is_unpacked(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    click(&tab, "#scenario-room details.packed summary");
    tab.until("document.querySelectorAll('#scenario-room .trials tbody tr').length === 25");
    assert!(tab.ask::<bool>(
        "document.querySelector('#scenario-room .trials').textContent.includes('assertion failed')"
    ));
    let sorts: usize = tab.ask("document.querySelectorAll('#scenario-room .trials .sort').length");
    assert!(sorts > 10, "{sorts}");
}

pub(crate) fn a_keyboard_is_enough(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    tab.press("Tab");
    tab.until("document.activeElement.matches('.skip')");
    tab.press("Enter");
    tab.until("location.hash === '#main'");

    let _: bool = tab.ask(&format!("{}.focus(), true", head("Lines of code")));
    let ring: String = tab.ask("getComputedStyle(document.activeElement).outlineStyle");
    assert_ne!(ring, "none", "one sees where one is");
    tab.press("Enter");
    tab.until("document.querySelector('#costs-table tbody tr').cells[0].dataset.key === 'slow'");

    let _: bool = tab.ask("document.querySelector('#scenario-room .legend button').focus(), true");
    tab.press(" ");
    tab.until("document.activeElement.matches('.legend select')");

    let _: bool = tab.ask("document.querySelector('#scenario-room figure summary').focus(), true");
    tab.press("Enter");
    tab.until("document.querySelector('#scenario-room figure details').open");
    // What scrolls can be scrolled without a mouse.
    let stuck: usize = tab.ask("document.querySelectorAll('.scroll:not([tabindex=\"0\"])').length");
    assert_eq!(stuck, 0);
}

pub(crate) fn an_address_leads_to_an_implementation(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP.at("#implementation-fast"));
    tab.until("document.getElementById('implementation-fast').checkVisibility()");
    assert!(!tab.ask::<bool>("document.getElementById('results').checkVisibility()"));
    tab.until("document.activeElement.id === 'implementation-fast-title'");
    assert_eq!(tab.ask::<String>("document.title"), "fast – zillions bench");
    // The program is highlighted.
    tab.until("document.querySelectorAll('#implementation-fast .s-comment').length > 0");

    let scenario = pages.chromium.open(&pages.detailed, Look::DESKTOP.at("#scenario-crowd"));
    assert!(scenario.ask::<bool>("document.getElementById('results').checkVisibility()"));
    scenario.until(
        "Math.abs(document.getElementById('scenario-crowd').getBoundingClientRect().top) < 200",
    );
    let unknown = pages.chromium.open(&pages.detailed, Look::DESKTOP.at("#%E0%A4%A"));
    assert!(unknown.ask::<bool>("document.getElementById('results').checkVisibility()"));
    assert_eq!(unknown.complaints(), Vec::<String>::new());
}

pub(crate) fn links_lead_there_and_back(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    click(&tab, "#glance-table a[href='#implementation-slow']");
    tab.until("document.getElementById('implementation-slow').checkVisibility()");
    tab.until("document.title.startsWith('slow – ')");
    click(&tab, "#implementation-slow a[href='#scenario-room']");
    tab.until("document.getElementById('results').checkVisibility()");
    assert!(tab.ask::<String>("document.title").starts_with("Which style for my case?"));
    // Plots that were hidden until now are drawn in their full width.
    tab.draw_all();
    let _: bool = tab.ask("history.back(), true");
    tab.until("document.getElementById('implementation-slow').checkVisibility()");
}

pub(crate) fn the_raw_results_can_be_taken_along(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    let schema: String = tab.ask(
        "(() => { const link = document.getElementById('raw-link');
           link.addEventListener('click', (event) => event.preventDefault());
           link.click();
           return link.href.startsWith('blob:')
             ? unpack(document.getElementById('raw')).then((text) => JSON.parse(text).run.schema) : link.href; })()",
    );
    assert_eq!(schema, zillions_report::record::SCHEMA);
}
