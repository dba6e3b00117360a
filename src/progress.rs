//! Progress on standard error: the one place that knows how bars and spinners look.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use zillions_conformance::{Observer, SuiteEvent, Verdict};

use crate::output::{BAD, paint};

/// The style of a bar; an invalid template gives the default one.
pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A bar across the terminal, followed by `position/count` and `unit`, which is itself a template.
pub(crate) fn total(count: usize, unit: &str) -> ProgressBar {
    ProgressBar::new(count as u64)
        .with_style(style(&format!("{{wide_bar}} {{pos}}/{{len}} {unit}")))
}

/// Builds that run side by side: a spinner for each, above one bar for all.
pub(crate) struct Builds {
    all: MultiProgress,
    total: ProgressBar,
}

impl Builds {
    pub(crate) fn new(count: usize) -> Self {
        let all = MultiProgress::new();
        let total = all.add(total(count, "built, {elapsed}"));
        Self { all, total }
    }

    /// Shows that `name` is being built.
    pub(crate) fn start(&self, name: &str) -> ProgressBar {
        let spinner = self.all.insert_before(&self.total, ProgressBar::new_spinner());
        spinner.set_message(format!("building {name}"));
        spinner.enable_steady_tick(Duration::from_millis(120));
        spinner
    }

    /// Takes away the spinner that [`Builds::start`] returned, and counts the build.
    pub(crate) fn done(&self, spinner: &ProgressBar) {
        spinner.finish_and_clear();
        self.total.inc(1);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.total.finish_and_clear();
    }
}

/// One line that says how far a run is; what fails stays on the screen.
pub(crate) struct Suite {
    bar: ProgressBar,
    running: Vec<&'static str>,
}

impl Suite {
    /// A display of the suite's run on the server called `name`.
    pub(crate) fn new(name: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = "{prefix} {bar:24} {pos}/{len} {elapsed} {wide_msg}";
        bar.set_style(style(template));
        bar.set_prefix(name.to_owned());
        Self { bar, running: Vec::new() }
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self) {
        self.bar.set_message(self.running.join(", "));
    }
}

impl Observer for Suite {
    fn event(&mut self, event: SuiteEvent<'_>) {
        match event {
            SuiteEvent::Started { cases, .. } => self.bar.set_length(cases.len() as u64),
            SuiteEvent::CaseStarted { case } => self.running.push(case.id),
            SuiteEvent::CaseFinished { report } => {
                self.running.retain(|id| *id != report.id);
                self.bar.inc(1);
                if report.verdict == Verdict::Fail && report.known_failure.is_none() {
                    self.bar.println(format!("{} {}", paint(BAD, "fail"), report.id));
                }
            }
        }
        self.show();
    }
}
