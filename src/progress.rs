//! Progress on standard error: the one place that knows how bars and spinners look.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use zillions_conformance::{Observer, SuiteEvent, TargetReport, Verdict};
use zillions_console as console;
use zillions_escape::visible;

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
        spinner.set_message(format!("building {}", visible(name)));
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

/// How far a run of the suite is, and which targets are left after it: live on a terminal, where
/// what fails stays on the screen; elsewhere a line at the beginning and at the end of each.
pub(crate) struct Suite {
    all: MultiProgress,
    bar: ProgressBar,
    running: Vec<&'static str>,
    /// The targets after this one, if it is one of several.
    left: Option<String>,
}

impl Suite {
    /// A display of the suite's run on the one of `names` at `index`; the later ones are left.
    pub(crate) fn of_several(names: &[&str], index: usize) -> Self {
        let name = visible(names[index]);
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let bar = all.add(ProgressBar::new(0));
        bar.set_style(style("{prefix} {bar:24} {pos}/{len} {elapsed} {wide_msg}"));
        if names.len() == 1 {
            bar.set_prefix(name);
            return Self { all, bar, running: Vec::new(), left: None };
        }
        let left = match &names[index + 1..] {
            [] => "none left".to_owned(),
            left => format!("{} left: {}", left.len(), visible(left.join(", "))),
        };
        if std::io::stderr().is_terminal() {
            let below = all.add(ProgressBar::no_length().with_style(style("  {wide_msg}")));
            below.set_message(left.clone());
            bar.set_prefix(format!("[{}/{}] {name}", index + 1, names.len()));
        } else {
            console::note(&format!("checking {name} ({} of {})", index + 1, names.len()));
        }
        Self { all, bar, running: Vec::new(), left: Some(left) }
    }

    /// Takes the display away; in a log, a line says how it ended.
    pub(crate) fn finish(&self, report: Option<&TargetReport>) {
        // Clearing fails only if the terminal has gone.
        let _ = self.all.clear();
        if let (Some(report), Some(left), false) =
            (report, &self.left, std::io::stderr().is_terminal())
        {
            let (name, verdict) = (visible(&report.name), report.verdict.as_str());
            console::note(&format!("{name}: {verdict} in {:.1} s; {left}", report.seconds));
        }
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
