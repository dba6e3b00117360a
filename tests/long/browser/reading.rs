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

fn choose(tab: &Tab<'_>, field: &str, value: &str) {
    let _: bool = tab.ask(&format!(
        "(() => {{ const field = document.querySelector('#filters [name={field}]');
           field.value = '{value}';
           return field.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"
    ));
}

fn click(tab: &Tab<'_>, selector: &str) {
    let _: bool = tab.ask(&format!("document.querySelector(`{selector}`).click(), true"));
}

/// The names of what is drawn in a plot of the scenario `room`.
const DRAWN: &str = "document.getElementById('plot-room-percentiles').data
    .filter((trace) => trace.visible === true).map((trace) => trace.name)";

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
    choose(&tab, "library", "asyncio");
    assert_eq!(names(&tab), Vec::<String>::new());
    click(&tab, "#filters [type=reset]");
    tab.until("document.querySelectorAll('#glance-table tbody tr:not([hidden])').length === 4");
    tab.until(&format!("{DRAWN}.length === 3"));
    assert_eq!(tab.ask::<String>("document.getElementById('filter-count').textContent"), "");
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

/// A button in the head of the table of everything.
fn head(text: &str) -> String {
    format!(
        "[...document.querySelectorAll('#glance-table .sort')]
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
    assert_eq!(names(&tab), ["slow", "fast", "as-fast", "dying"], "its lines are not known");
    assert_eq!(sort_by("Lines of code"), "descending");
    assert_eq!(names(&tab), ["as-fast", "fast", "slow", "dying"], "nor are they now");
    assert_eq!(sort_by("Implementation"), "ascending");
    assert_eq!(names(&tab), ["as-fast", "dying", "fast", "slow"]);
    let marked: usize = tab.ask("document.querySelectorAll('#glance-table [aria-sort]').length");
    assert_eq!(marked, 1);
    assert_eq!(sort_by("crowd"), "ascending");
    assert_eq!(names(&tab)[2..], ["slow", "dying"], "by place in that scenario");
}

pub(crate) fn a_legend_hides_lines(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    tab.draw_all();
    let button = "#scenario-room .legend [data-name=slow]";
    click(&tab, button);
    tab.until(&format!("String({DRAWN}) === 'fast,as-fast'"));
    let pressed: String = tab.ask(&format!("document.querySelector('{button}').ariaPressed"));
    assert_eq!(pressed, "false");
    let elsewhere: usize = tab.ask(
        "document.getElementById('plot-crowd-percentiles').data.filter((it) => it.visible === true).length",
    );
    assert_eq!(elsewhere, 3, "other scenarios are left alone");
    click(&tab, button);
    tab.until(&format!("{DRAWN}.length === 3"));
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
    tab.until("document.querySelector('#glance-table tbody tr').cells[0].dataset.key === 'slow'");

    let _: bool = tab.ask("document.querySelector('#scenario-room .legend button').focus(), true");
    tab.press(" ");
    tab.until("document.activeElement.ariaPressed === 'false'");

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
    let comments: usize =
        tab.ask("document.querySelectorAll('#implementation-fast .s-comment').length");
    assert!(comments > 0, "the program is highlighted");

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
             ? JSON.parse(document.getElementById('raw').textContent).run.schema : link.href; })()",
    );
    assert_eq!(schema, zillions_report::record::SCHEMA);
}
