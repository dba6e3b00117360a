//! A browser, and pages in it, for tests that wait for what they expect.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams,
    SetScriptExecutionDisabledParams,
};
use chromiumoxide::cdp::browser_protocol::input::{DispatchKeyEventParams, DispatchKeyEventType};
use chromiumoxide::cdp::browser_protocol::log::EventEntryAdded;
use chromiumoxide::cdp::browser_protocol::network::EventRequestWillBeSent;
use chromiumoxide::cdp::browser_protocol::performance::{
    DisableParams, EnableParams, EnableTimeDomain, GetMetricsParams,
};
use chromiumoxide::cdp::js_protocol::runtime::{
    EvaluateParams, EventConsoleApiCalled, EventExceptionThrown,
};
use chromiumoxide::{Browser, BrowserConfig, Page};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

/// How long a page may take to become what a test expects; on a loaded machine that is long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names under which systems install it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The checks that run in the page.
const CHECKS: &str = include_str!("checks.js");

/// The installed browser, if there is one: `CHROME` names it, or it is in the `PATH`.
pub(crate) fn installed() -> Option<PathBuf> {
    let named = env::var_os("CHROME").map(PathBuf::from).filter(|path| path.is_file());
    let folders = env::var_os("PATH").unwrap_or_default();
    let candidates = env::split_paths(&folders)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|path| path.is_file());
    named.or(candidates)
}

/// A running browser with a profile of its own; it ends when this is dropped.
pub(crate) struct Chromium {
    runtime: Runtime,
    browser: Mutex<Browser>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    pub(crate) fn start(executable: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let profile = tempfile::tempdir().expect("a folder");
        let config = BrowserConfig::builder()
            .chrome_executable(executable)
            .user_data_dir(profile.path())
            // Its sandbox refuses to run as root, which containers do; the pages are our own.
            .no_sandbox()
            .new_headless_mode()
            .viewport(None)
            .launch_timeout(PATIENCE)
            .request_timeout(PATIENCE)
            .build()
            .expect("a configuration");
        let browser = runtime.block_on(async {
            let (browser, mut handler) = Browser::launch(config).await.expect("the browser starts");
            tokio::spawn(async move { while handler.next().await.is_some() {} });
            browser
        });
        Self { runtime, browser: Mutex::new(browser), _profile: profile }
    }

    /// Opens `file`, at the fragment of `look`, and waits until it has been read.
    pub(crate) fn open(&self, file: &Path, look: Look) -> Tab<'_> {
        self.open_address(&format!("file://{}{}", file.display(), look.fragment), look)
    }

    /// Opens an address, and waits until it has been read.
    pub(crate) fn open_address(&self, address: &str, look: Look) -> Tab<'_> {
        let complaints = Arc::default();
        let requests = Arc::default();
        let browser = self.browser.lock().unwrap_or_else(PoisonError::into_inner);
        let page = self.runtime.block_on(async {
            let page = browser.new_page("about:blank").await.expect("a page");
            listen(&page, &complaints, &requests).await;
            page.execute(look.metrics()).await.expect("a size");
            page.execute(look.media()).await.expect("a medium");
            let scripts = SetScriptExecutionDisabledParams::new(!look.has_script);
            page.execute(scripts).await.expect("scripts or none");
            // They are collected already, and by the wall clock.
            page.execute(DisableParams {}).await.expect("no metrics");
            let running =
                EnableParams::builder().time_domain(EnableTimeDomain::ThreadTicks).build();
            page.execute(running).await.expect("metrics");
            page.goto(address).await.expect("the page opens");
            page
        });
        let tab = Tab { runtime: &self.runtime, page, complaints, requests };
        tab.until("document.readyState === 'complete'");
        let _: bool = tab.ask(&format!("{CHECKS}; true"));
        tab
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let browser = self.browser.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.runtime.block_on(async {
            // Whether it ended by itself or not, nothing is left to do about it.
            let _ = browser.close().await;
            let _ = browser.wait().await;
        });
    }
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
    pub(crate) medium: &'static str,
    /// With its `#`, and before that a query if there is one.
    pub(crate) fragment: &'static str,
    /// Whether the page may run scripts.
    pub(crate) has_script: bool,
}

impl Look {
    pub(crate) const DESKTOP: Self =
        Self { width: 1300, is_dark: false, medium: "screen", fragment: "", has_script: true };
    pub(crate) const DARK: Self = Self { is_dark: true, ..Self::DESKTOP };
    pub(crate) const PHONE: Self = Self { width: 390, ..Self::DESKTOP };

    pub(crate) fn at(self, fragment: &'static str) -> Self {
        Self { fragment, ..self }
    }

    fn metrics(self) -> SetDeviceMetricsOverrideParams {
        let is_mobile = self.width < 600;
        SetDeviceMetricsOverrideParams::new(i64::from(self.width), 844_i64, 1.0, is_mobile)
    }

    fn media(self) -> SetEmulatedMediaParams {
        let scheme = if self.is_dark { "dark" } else { "light" };
        SetEmulatedMediaParams::builder()
            .media(self.medium)
            .feature(MediaFeature::new("prefers-color-scheme", scheme))
            .feature(MediaFeature::new("prefers-reduced-motion", "reduce"))
            .build()
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

/// Writes down what the page complains of, and what it asks for.
async fn listen(page: &Page, complaints: &Lines, requests: &Lines) {
    let note = |lines: &Lines, text: String| {
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    };
    let mut entries = page.event_listener::<EventEntryAdded>().await.expect("log entries");
    let mut calls = page.event_listener::<EventConsoleApiCalled>().await.expect("console calls");
    let mut thrown = page.event_listener::<EventExceptionThrown>().await.expect("exceptions");
    let mut sent = page.event_listener::<EventRequestWillBeSent>().await.expect("requests");
    page.enable_log().await.expect("a log");
    page.enable_runtime().await.expect("a runtime");
    let (complaints, requests) = (Arc::clone(complaints), Arc::clone(requests));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(event) = entries.next() => note(&complaints, event.entry.text.clone()),
                Some(event) = calls.next() => note(&complaints, format!("{:?}", event.args)),
                Some(event) = thrown.next() => {
                    note(&complaints, format!("{:?}", event.exception_details));
                }
                Some(event) = sent.next() => note(&requests, event.request.url.clone()),
                else => break,
            }
        }
    });
}

/// An open page.
pub(crate) struct Tab<'a> {
    runtime: &'a Runtime,
    page: Page,
    complaints: Lines,
    requests: Lines,
}

impl Tab<'_> {
    /// The directive of the page's policy that refuses it to fetch something from elsewhere.
    pub(crate) fn refused_fetch(&self) -> String {
        self.ask(
            "new Promise((resolve) => {
               addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective));
               fetch('http://127.0.0.1:9/').then(() => resolve('fetched'), () => {});
             })",
        )
    }

    /// What an expression gives; a promise is awaited.
    pub(crate) fn ask<T: DeserializeOwned>(&self, expression: &str) -> T {
        let question = EvaluateParams::builder()
            .expression(expression)
            .await_promise(true)
            .return_by_value(true)
            .build()
            .expect("an expression");
        let answer = self.runtime.block_on(self.page.evaluate_expression(question));
        let answer = answer.unwrap_or_else(|error| panic!("{expression}: {error}"));
        answer.into_value().unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&self, condition: &str) {
        let patience_ms = PATIENCE.as_millis() / 2;
        let is_so: bool = self.ask(&format!(
            "new Promise((resolve) => {{
               const end = performance.now() + {patience_ms};
               const look = () => {{
                 if ({condition}) resolve(true);
                 else if (performance.now() > end) resolve(false);
                 else setTimeout(look, 20);
               }};
               look();
             }})"
        ));
        assert!(is_so, "it never came to be that {condition}");
    }

    /// For how long the page has used a processor, in seconds: whatever else runs on the machine.
    pub(crate) fn processor_seconds(&self) -> f64 {
        let metrics = self.runtime.block_on(self.page.execute(GetMetricsParams {}));
        let metrics = metrics.expect("metrics");
        let task = metrics.result.metrics.iter().find(|metric| metric.name == "TaskDuration");
        task.expect("the duration of all tasks").value
    }

    /// Presses a key and lets it go: `Tab`, `Enter` or ` `.
    pub(crate) fn press(&self, key: &str) {
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, None),
            "Enter" => ("Enter", 13, Some("\r")),
            " " => ("Space", 32, Some(" ")),
            other => panic!("no key {other}"),
        };
        let event = |kind| {
            let event = DispatchKeyEventParams::builder()
                .r#type(kind)
                .key(key)
                .code(code)
                .windows_virtual_key_code(number);
            match (text, DispatchKeyEventType::KeyUp) {
                (Some(text), _) => event.text(text),
                (None, _) => event,
            }
        };
        for kind in [DispatchKeyEventType::KeyDown, DispatchKeyEventType::KeyUp] {
            let event = event(kind).build().expect("a key event");
            self.runtime.block_on(self.page.execute(event)).expect("the key is pressed");
        }
    }

    /// What the page wrote to the console, or threw.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The addresses that it asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings every plot into view and waits until it is drawn.
    pub(crate) fn draw_all(&self) {
        let plots: usize = self.ask("document.querySelectorAll('.plot').length");
        for at in 0..plots {
            let plot = format!("document.querySelectorAll('.plot')[{at}]");
            let _: bool = self.ask(&format!("{plot}.scrollIntoView(), true"));
            self.until(&format!("{plot}.dataset.state === 'drawn'"));
        }
    }
}
