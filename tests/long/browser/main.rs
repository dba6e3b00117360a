//! The report and the chat page in a real browser: what a reader sees, clicks and hears of them.
//!
//! Without a browser the tests are skipped and say so; where `CI` is `true` that is a failure.

mod chat;
mod chromium;
mod looks;
mod reading;
mod safety;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Trial};
use zillions_report::{examples, html};

use chromium::{Chromium, installed};

/// A test looks at pages.
type Test = fn(&Pages);

const TESTS: [(&str, Test); 28] = [
    ("the_checks_find_what_is_wrong", looks::the_checks_find_what_is_wrong),
    ("every_plot_is_drawn_and_nothing_is_complained_of", looks::every_plot_is_drawn),
    ("a_phone_never_scrolls_sideways", looks::a_phone_never_scrolls_sideways),
    ("tables_fit_1280_pixels", looks::tables_fit_a_small_screen),
    ("without_a_script_it_is_a_readable_table", looks::without_a_script_it_is_a_readable_table),
    (
        "a_report_of_seventy_is_light_and_soon_drawn",
        looks::a_report_of_seventy_is_light_and_soon_drawn,
    ),
    ("light_and_dark_have_enough_contrast", looks::light_and_dark_have_enough_contrast),
    ("dark_mode_is_dark", looks::dark_mode_is_dark),
    ("everything_has_a_name_and_headings_skip_no_level", looks::everything_has_a_name),
    ("on_paper_every_implementation_is_shown", looks::on_paper_everything_is_shown),
    ("filters_choose_rows_and_lines", reading::filters_choose_rows_and_lines),
    ("heads_sort_up_and_down_and_the_unknown_comes_last", reading::heads_sort),
    ("a_search_finds_by_any_word", reading::a_search_finds_by_any_word),
    ("a_legend_lets_lines_go_grey", reading::a_legend_lets_lines_go_grey),
    (
        "of_seventy_a_few_stand_out_and_the_address_remembers_them",
        reading::of_seventy_a_few_stand_out,
    ),
    ("two_implementations_stand_side_by_side", reading::two_stand_side_by_side),
    ("every_trial_is_unpacked_when_it_is_asked_for", reading::every_trial_is_unpacked),
    ("a_keyboard_is_enough", reading::a_keyboard_is_enough),
    ("an_address_leads_to_an_implementation", reading::an_address_leads_to_an_implementation),
    ("links_lead_there_and_back", reading::links_lead_there_and_back),
    ("the_raw_results_can_be_taken_along", reading::the_raw_results_can_be_taken_along),
    ("nothing_is_fetched_and_nothing_could_be", safety::nothing_is_fetched),
    ("no_script_but_its_own_runs", safety::no_script_but_its_own_runs),
    ("hostile_texts_are_shown_and_do_nothing", safety::hostile_texts_do_nothing),
    ("two_chat_pages_and_a_program_hear_each_other", chat::two_pages_and_a_program_hear_each_other),
    ("hostile_chat_messages_are_shown_and_do_nothing", chat::hostile_messages_do_nothing),
    ("a_chat_page_connects_again_and_says_so", chat::a_page_connects_again),
    ("the_chat_page_is_readable_on_a_phone_and_by_name", chat::it_is_readable),
];

/// The browser, and the reports that it looks at.
pub(crate) struct Pages {
    pub(crate) chromium: Chromium,
    /// A report of everything that a record may hold.
    pub(crate) detailed: PathBuf,
    /// A gallery of seventy in eleven scenarios.
    pub(crate) seventy: PathBuf,
    /// The detailed report, with texts that try to break out.
    pub(crate) hostile: PathBuf,
    _folder: tempfile::TempDir,
}

impl Pages {
    fn new(browser: &std::path::Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, page: String| {
            let path = folder.path().join(name);
            fs::write(&path, page).expect("a page");
            path
        };
        let detailed = write("detailed.html", html::report(&examples::detailed_results()));
        let hostile = write("hostile.html", html::report(&safety::hostile_results()));
        let seventy = write("seventy.html", html::report(&examples::gallery(70)));
        Self { chromium: Chromium::start(browser), detailed, hostile, seventy, _folder: folder }
    }
}

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(chat::room::ROLE) {
        return chat::room::serve();
    }
    let mut arguments = Arguments::from_args();
    // One browser, one page at a time: a page in the background is not drawn.
    arguments.test_threads = Some(1);
    let Some(browser) = installed() else { return without_browser(&arguments) };
    let pages: Arc<OnceLock<Pages>> = Arc::default();
    let trials = TESTS.map(|(name, test)| {
        let (pages, browser) = (Arc::clone(&pages), browser.clone());
        Trial::test(name, move || {
            test(pages.get_or_init(|| Pages::new(&browser)));
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    // The browser ends here; what exits at once would leave it behind.
    drop(pages);
    conclusion.exit_code()
}

fn without_browser(arguments: &Arguments) -> ExitCode {
    let reason = "no browser: install chromium (apt-get install chromium), or set CHROME to one";
    if env::var_os("CI").is_some_and(|ci| ci == "true") {
        eprintln!("{reason}; where CI is true that is a failure");
        return ExitCode::FAILURE;
    }
    eprintln!("skipped, {reason}");
    let trials = TESTS.map(|(name, _)| Trial::test(name, || Ok(())).with_ignored_flag(true));
    libtest_mimic::run(arguments, trials.into()).exit_code()
}
