//! What the page must not do: ask the network, or run what somebody else wrote.

use zillions_report::examples;
use zillions_report::record::TrialResult;
use zillions_report::results::Results;

use crate::Pages;
use crate::chromium::Look;

const HOSTILE: &str = "</script><script>window.ran = 1</script>\"'><img src=x onerror='window.ran = 1'>\
                       <a href=\"javascript:window.ran = 1\">";

/// Results in which every text from a manifest or a server tries to break out.
pub(crate) fn hostile_results() -> Results {
    let mut results = examples::detailed_results();
    for target in &mut results.run.targets {
        for text in [&mut target.language, &mut target.style, &mut target.library] {
            *text = HOSTILE.to_owned();
        }
        target.summary = HOSTILE.to_owned();
        target.queue_limit = HOSTILE.to_owned();
        target.toolchain = vec![HOSTILE.to_owned()];
        for file in &mut target.sources {
            file.text = HOSTILE.to_owned();
        }
    }
    let name = results.run.targets[2].name.clone();
    results.run.targets[2].name = HOSTILE.to_owned();
    for trial in &mut results.trials {
        if trial.target == name {
            trial.target = HOSTILE.to_owned();
        }
        if let TrialResult::Failed { reason, log } = &mut trial.result {
            *reason = HOSTILE.to_owned();
            log.push(HOSTILE.to_owned());
        }
    }
    results
}

pub(crate) fn nothing_is_fetched(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    tab.draw_all();
    let is_own = |address: &String| {
        ["file:", "data:", "blob:", "about:"].iter().any(|scheme| address.starts_with(scheme))
    };
    let requests = tab.requests();
    assert!(requests.iter().any(|it| it.starts_with("file:")), "requests are seen: {requests:?}");
    let foreign: Vec<_> = requests.iter().filter(|it| !is_own(it)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert_eq!(tab.refused_fetch(), "connect-src");
}

pub(crate) fn no_script_but_its_own_runs(pages: &Pages) {
    let tab = pages.chromium.open(&pages.detailed, Look::DESKTOP);
    let refused: String = tab.ask(
        "new Promise((resolve) => {
           addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective));
           const script = document.createElement('script');
           script.textContent = 'window.ran = 1';
           document.body.append(script);
         })",
    );
    assert_eq!(refused, "script-src-elem");
    assert!(tab.ask::<bool>("window.ran === undefined"));
}

pub(crate) fn hostile_texts_do_nothing(pages: &Pages) {
    for fragment in
        ["", "#implementation-fast", "#implementation-dying", "#compare/fast/dying", "#compare"]
    {
        let tab = pages.chromium.open(&pages.hostile, Look::DESKTOP.at(fragment));
        if fragment.is_empty() {
            tab.draw_all();
            let _: bool = tab.ask(
                "document.querySelectorAll('details').forEach((it) => { it.open = true; }), true",
            );
            tab.until("!document.querySelector('details.packed .pack')");
            assert!(
                tab.ask::<bool>("document.body.textContent.includes('window.ran')"),
                "it is shown"
            );
        }
        assert!(tab.ask::<bool>("window.ran === undefined"), "it ran");
        let images: usize = tab.ask("document.querySelectorAll('img, a[href^=javascript]').length");
        assert_eq!(images, 0);
        assert_eq!(tab.complaints(), Vec::<String>::new());
    }
}
