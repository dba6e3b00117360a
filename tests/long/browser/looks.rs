//! What the page looks like: drawn, on a phone, in the dark, on paper, read aloud.

use crate::Pages;
use crate::chromium::{Look, Tab};

/// Pages of the report that are looked at one by one.
const FRAGMENTS: [&str; 5] = [
    "",
    "#implementation-fast",
    "#implementation-absent",
    "#style-readiness-loop",
    "#compare/fast/slow",
];

fn findings(tab: &Tab<'_>, check: &str) -> Vec<String> {
    tab.ask(&format!("checks.{check}()"))
}

pub(crate) fn the_checks_find_what_is_wrong(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::PHONE);
    let _: bool = tab.ask(
        "document.querySelector('main').insertAdjacentHTML('afterbegin',
           '<p style=\"color:#ddd;background:#fff\">faint</p><h4>deep</h4><a href=\"#x\"></a>' +
           '<p style=\"width:60rem\">wide</p>'), true",
    );
    for (check, wrong) in
        [("contrast", "faint"), ("headings", "deep"), ("nameless", "a."), ("wide", "wide")]
    {
        let found = findings(&tab, check);
        assert!(found.iter().any(|it| it.contains(wrong)), "{check}: {found:?}");
    }
}

pub(crate) fn every_plot_is_drawn(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    tab.draw_all();
    let empty: Vec<String> = tab.ask(
        "[...document.querySelectorAll('.plot')]
           .filter((plot) => plot.querySelectorAll('.scatterlayer .trace, .barlayer .trace').length < 3)
           .map((plot) => plot.id)",
    );
    assert_eq!(empty, Vec::<String>::new(), "each draws its three implementations");
    let narrow: Vec<String> = tab.ask(
        "[...document.querySelectorAll('.plot')]
           .filter((plot) => plot.querySelector('.main-svg').getBoundingClientRect().width < 300)
           .map((plot) => plot.id)",
    );
    assert_eq!(narrow, Vec::<String>::new(), "each has the width of its place");
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

pub(crate) fn a_phone_never_scrolls_sideways(pages: &Pages) {
    for fragment in FRAGMENTS {
        let tab = pages.chromium.open(&pages.detailed, Look::PHONE.at(fragment));
        if fragment.is_empty() {
            tab.draw_all();
        }
        assert_eq!(findings(&tab, "wide"), Vec::<String>::new(), "{fragment}");
        let least: f64 = tab.ask(
            "Math.min(...[...document.querySelectorAll('main p, main td, main th, main a, main dd')]
               .filter((it) => it.checkVisibility())
               .map((it) => parseFloat(getComputedStyle(it).fontSize)))",
        );
        assert!(least >= 11.0, "text of {least} pixels");
    }
}

pub(crate) fn tables_fit_a_small_screen(pages: &Pages) {
    for file in [&pages.detailed, &pages.seventy] {
        for fragment in ["", "#style-actors", "#compare", "#glance"] {
            let look = Look { width: 1280, ..Look::DESKTOP };
            let tab = pages.chromium.open(file, look.at(fragment));
            // What is laid out only when it comes near, too.
            let _: bool = tab.ask(
                "document.querySelectorAll('section').forEach((it) => { it.style.contentVisibility = 'visible'; }), true",
            );
            assert_eq!(findings(&tab, "clipped"), Vec::<String>::new(), "{fragment}");
            assert_eq!(findings(&tab, "wide"), Vec::<String>::new(), "{fragment}");
        }
    }
}

pub(crate) fn without_a_script_it_is_a_readable_table(pages: &Pages) {
    let look = Look { has_script: false, ..Look::DESKTOP };
    let tab = pages.chromium.open(&pages.detailed, look);
    let rows: usize = tab.ask(
        "[...document.querySelectorAll('#glance-table tbody tr')].filter((it) => it.checkVisibility()).length",
    );
    assert_eq!(rows, 4);
    // Nothing is offered that would not work, and no place is kept for plots.
    let dead: usize = tab.ask(
        "[...document.querySelectorAll('.plot, .legend, #filters, .pick, button, #raw-link')]
           .filter((it) => it.checkVisibility()).length",
    );
    assert_eq!(dead, 0);
    assert_eq!(findings(&tab, "contrast"), Vec::<String>::new());
    let page = pages.chromium.open(&pages.detailed, look.at("#implementation-fast"));
    assert!(
        page.ask::<bool>("document.querySelector('#implementation-fast code').checkVisibility()")
    );
    let style = pages.chromium.open(&pages.detailed, look.at("#style-readiness-loop"));
    assert!(
        style
            .ask::<bool>("document.querySelector('#style-readiness-loop table').checkVisibility()")
    );
}

/// The most that a report of seventy implementations may weigh, in bytes.
const SEVENTY_BYTES_MAX: u64 = 12 << 20;
/// For how long it may use a processor until it can be read, in seconds: then a machine of its own
/// draws it in less than two.
const DRAWN_SECONDS_MAX: f64 = 1.5;

pub(crate) fn a_report_of_seventy_is_light_and_soon_drawn(pages: &Pages) {
    let bytes = std::fs::metadata(&pages.seventy).expect("a page").len();
    assert!(bytes < SEVENTY_BYTES_MAX, "{bytes} bytes");
    for fragment in ["", "#style-actors", "#compare/actors-17/CSP-10"] {
        let tab = pages.chromium.open(&pages.seventy, Look::DESKTOP.at(fragment));
        tab.until("performance.getEntriesByName('first-contentful-paint').length > 0");
        let seconds = tab.processor_seconds();
        assert!(seconds < DRAWN_SECONDS_MAX, "{seconds} s for '{fragment}'");
        assert_eq!(tab.complaints(), Vec::<String>::new());
    }
}

pub(crate) fn light_and_dark_have_enough_contrast(pages: &Pages) {
    for look in [Look::DESKTOP, Look::DARK] {
        for fragment in FRAGMENTS {
            let tab = pages.chromium.open(&pages.detailed, look.at(fragment));
            let faint = findings(&tab, "contrast");
            assert_eq!(faint, Vec::<String>::new(), "{fragment}, dark: {}", look.is_dark);
        }
    }
}

pub(crate) fn dark_mode_is_dark(pages: &Pages) {
    let brightness = |look: Look| -> f64 {
        let tab = pages.chromium.open(&pages.detailed, look);
        tab.ask(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)
               .reduce((sum, channel) => sum + Number(channel), 0) / 3",
        )
    };
    let (light, dark) = (brightness(Look::DESKTOP), brightness(Look::DARK));
    assert!(light > 230.0 && dark < 40.0, "{light}, {dark}");
}

pub(crate) fn everything_has_a_name(pages: &Pages) {
    for fragment in FRAGMENTS {
        let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP.at(fragment));
        assert_eq!(findings(&tab, "nameless"), Vec::<String>::new(), "{fragment}");
        assert_eq!(findings(&tab, "headings"), Vec::<String>::new(), "{fragment}");
        let titles: usize = tab.ask(
            "[...document.querySelectorAll('h1')].filter((it) => it.checkVisibility()).length",
        );
        assert_eq!(titles, 1, "{fragment}");
    }
}

pub(crate) fn on_paper_everything_is_shown(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look { medium: "print", ..Look::DESKTOP });
    let hidden: usize = tab.ask(
        "[...document.querySelectorAll('.implementation')].filter((it) => !it.checkVisibility()).length",
    );
    assert_eq!(hidden, 0);
}
