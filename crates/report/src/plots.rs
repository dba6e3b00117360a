//! Plots as plotly understands them, drawn in the reader's browser.
//!
//! Every trace is named after its target, and has no colour: the page gives colours to the few
//! targets that the reader chose, and draws the others grey.

use std::sync::LazyLock;

use plotly::common::{ErrorData, ErrorType, Mode, Title};
use plotly::configuration::DisplayModeBar;
use plotly::layout::{Axis, AxisType, HoverMode, Margin};
use plotly::{Configuration, Layout, Plot, Scatter};
use serde_json::Value;

const HEIGHT_PIXELS: usize = 420;

/// The script that draws, without the tags around it; once per page. It asks for nothing from
/// any network.
pub(crate) fn script() -> &'static str {
    static SCRIPT: LazyLock<String> = LazyLock::new(|| {
        // The second script typesets formulas, of which there are none.
        let sources = Plot::offline_js_sources();
        let inner = sources.split_once('>').map_or("", |(_, rest)| rest);
        inner.split("</script>").next().unwrap_or_default().to_owned()
    });
    &SCRIPT
}

/// One target in a plot of lines or points.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// How far the interval of each point reaches below and above it; empty for no intervals.
    pub(crate) errors: Vec<(f64, f64)>,
}

/// What an axis shows.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) title: &'static str,
    pub(crate) is_logarithmic: bool,
    /// Where it is marked, and with what; empty to leave it to plotly.
    pub(crate) ticks: Vec<(f64, &'static str)>,
    /// In d3's format language.
    pub(crate) format: &'static str,
}

impl Scale {
    pub(crate) fn new(title: &'static str, is_logarithmic: bool, format: &'static str) -> Self {
        Self { title, is_logarithmic, ticks: Vec::new(), format }
    }

    fn axis(&self) -> Axis {
        let kind = if self.is_logarithmic { AxisType::Log } else { AxisType::Linear };
        let axis = Axis::new()
            .type_(kind)
            .title(Title::with_text(self.title))
            .auto_margin(true)
            .zero_line(false);
        if self.ticks.is_empty() {
            return axis.tick_format(self.format).n_ticks(7);
        }
        axis.tick_values(self.ticks.iter().map(|&(value, _)| value).collect())
            .tick_text(self.ticks.iter().map(|&(_, text)| text).collect())
    }
}

/// A line through the points of each series.
pub(crate) fn lines(series: &[Series], x: &Scale, y: &Scale) -> Value {
    curves(series, x, y, true)
}

/// The points of each series, with their intervals.
pub(crate) fn points(series: &[Series], x: &Scale, y: &Scale) -> Value {
    curves(series, x, y, false)
}

fn curves(series: &[Series], x: &Scale, y: &Scale, is_joined: bool) -> Value {
    let mut plot = Plot::new();
    for one in series {
        let (across, up): (Vec<f64>, Vec<f64>) = one.points.iter().copied().unzip();
        let mode = if is_joined { Mode::LinesMarkers } else { Mode::Markers };
        let mut trace = Scatter::new(across, up)
            .name(one.name.clone())
            .mode(mode)
            .hover_template(format!("%{{x:{}}}, %{{y:{}}}", x.format, y.format));
        if !one.errors.is_empty() {
            let (below, above) = one.errors.iter().copied().unzip();
            trace = trace.error_y(errors(below, above));
        }
        plot.add_trace(trace);
    }
    plot.set_layout(
        layout()
            .x_axis(x.axis())
            .y_axis(y.axis())
            .margin(Margin::new().left(64).right(16).top(12).bottom(56)),
    );
    let mut value = finish(plot);
    let points = || series.iter().flat_map(|one| &one.points);
    thin_out(&mut value, "xaxis", x, points().map(|point| point.0));
    thin_out(&mut value, "yaxis", y, points().map(|point| point.1));
    value
}

/// A logarithmic axis over more than this factor is marked at 1, 2 and 5 of each decade only.
const ALL_DIGITS_MAX: f64 = 8.0;

fn thin_out(plot: &mut Value, axis: &str, scale: &Scale, values: impl Iterator<Item = f64>) {
    let (low, high) =
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), it| (low.min(it), high.max(it)));
    let is_wide = scale.is_logarithmic && scale.ticks.is_empty() && high / low > ALL_DIGITS_MAX;
    if is_wide && let Some(axis) = plot.pointer_mut(&format!("/layout/{axis}")) {
        // The library's type of this key takes numbers only.
        axis["dtick"] = Value::from("D2");
    }
}

fn errors(below: Vec<f64>, above: Vec<f64>) -> ErrorData {
    ErrorData::new(ErrorType::Data).symmetric(false).array(above).array_minus(below).thickness(1.5)
}

fn layout() -> Layout {
    let transparent = "rgba(0,0,0,0)";
    Layout::new()
        .height(HEIGHT_PIXELS)
        .show_legend(false)
        .hover_mode(HoverMode::Closest)
        .paper_background_color(transparent)
        .plot_background_color(transparent)
}

fn finish(mut plot: Plot) -> Value {
    plot.set_configuration(
        Configuration::new()
            .responsive(true)
            .display_logo(false)
            .display_mode_bar(DisplayModeBar::False),
    );
    // The library's own text of the plot is the one that its script reads.
    serde_json::from_str(&plot.to_json()).unwrap_or(Value::Null)
}
