//! Plots as plotly understands them, drawn in the reader's browser.
//!
//! Every trace is named after its target, so that the page can hide and show it; the page draws
//! its own legend, which a keyboard can reach.

use plotly::common::{
    AxisSide, DashType, ErrorData, ErrorType, HoverInfo, Line, Marker, MarkerSymbol, Mode,
    Orientation, Title,
};
use plotly::configuration::DisplayModeBar;
use plotly::layout::{Axis, AxisType, BarMode, Legend, Margin};
use plotly::{Bar, Configuration, Layout, Plot, Scatter};
use serde_json::Value;

use std::sync::LazyLock;

/// Distinguishable with any colour vision (Okabe and Ito), on light and dark ground alike.
const COLORS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8c8c8c"];
/// How the second and third target of a colour differ from the first, in the dashes of SVG.
const DASHES: [&str; 3] = ["", "7 4", "2 3"];
/// The colour of what never arrived.
const LOST_COLOR: &str = "#c8553d";

/// Pixels per bar, and for everything around the bars.
const BAR_PIXELS: usize = 30;
const BAR_PLOT_PIXELS: usize = 96;
const CURVE_PIXELS: usize = 420;

/// How a target is drawn everywhere in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pen(pub(crate) usize);

impl Pen {
    /// As CSS writes it.
    pub(crate) fn color(self) -> &'static str {
        COLORS[self.0 % COLORS.len()]
    }

    /// As SVG's `stroke-dasharray`; empty for a whole line.
    pub(crate) fn dash(self) -> &'static str {
        DASHES[self.0 / COLORS.len() % DASHES.len()]
    }

    fn line(self) -> Line {
        let dash = match self.0 / COLORS.len() % DASHES.len() {
            0 => DashType::Solid,
            1 => DashType::Dash,
            _ => DashType::Dot,
        };
        Line::new().color(self.color()).width(2.0).dash(dash)
    }

    fn symbol(self) -> MarkerSymbol {
        match self.0 / COLORS.len() % DASHES.len() {
            0 => MarkerSymbol::Circle,
            1 => MarkerSymbol::Square,
            _ => MarkerSymbol::Diamond,
        }
    }
}

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
    pub(crate) pen: Pen,
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
        let (mode, size) = if is_joined { (Mode::LinesMarkers, 6) } else { (Mode::Markers, 11) };
        let marker = Marker::new().color(one.pen.color()).symbol(one.pen.symbol()).size(size);
        let mut trace = Scatter::new(across, up)
            .name(one.name.clone())
            .mode(mode)
            .line(one.pen.line())
            .marker(marker)
            .hover_template(format!("%{{x:{}}}, %{{y:{}}}", x.format, y.format));
        if !one.errors.is_empty() {
            let (below, above) = one.errors.iter().copied().unzip();
            trace = trace.error_y(errors(below, above));
        }
        plot.add_trace(trace);
    }
    plot.set_layout(
        layout(CURVE_PIXELS)
            .x_axis(x.axis())
            .y_axis(y.axis())
            .margin(Margin::new().left(64).right(16).top(12).bottom(56)),
    );
    finish(plot)
}

/// One target in a plot of bars.
#[derive(Clone, Debug)]
pub(crate) struct BarRow {
    pub(crate) name: String,
    pub(crate) pen: Pen,
    pub(crate) value: f64,
    /// The interval, if there is one.
    pub(crate) interval: Option<(f64, f64)>,
    /// What never arrived, drawn behind the bar; 0 for nothing.
    pub(crate) lost: f64,
}

/// Horizontal bars with their intervals, the first at the top.
pub(crate) fn bars(rows: &[BarRow], x: &Scale) -> Value {
    let mut plot = Plot::new();
    // The first bar is drawn at the bottom.
    for row in rows.iter().rev() {
        let mut bar = Bar::new(vec![row.value], vec![row.name.clone()])
            .name(row.name.clone())
            .orientation(Orientation::Horizontal)
            .marker(Marker::new().color(row.pen.color()))
            .hover_template(format!("%{{x:{}}}", x.format));
        if let Some((low, high)) = row.interval {
            bar = bar.error_x(errors(vec![row.value - low], vec![high - row.value]));
        }
        plot.add_trace(bar);
        if row.lost > 0.0 {
            plot.add_trace(
                Bar::new(vec![row.lost], vec![row.name.clone()])
                    .name(row.name.clone())
                    .orientation(Orientation::Horizontal)
                    .marker(Marker::new().color(LOST_COLOR).opacity(0.45))
                    .hover_info(HoverInfo::X)
                    .hover_template(format!("%{{x:{}}} never arrived", x.format)),
            );
        }
    }
    plot.set_layout(
        layout(BAR_PLOT_PIXELS + BAR_PIXELS * rows.len())
            .bar_mode(BarMode::Stack)
            .x_axis(x.axis().side(AxisSide::Bottom))
            .y_axis(Axis::new().auto_margin(true).type_(AxisType::Category))
            .margin(Margin::new().left(20).right(24).top(8).bottom(56)),
    );
    finish(plot)
}

fn errors(below: Vec<f64>, above: Vec<f64>) -> ErrorData {
    ErrorData::new(ErrorType::Data).symmetric(false).array(above).array_minus(below).thickness(1.5)
}

fn layout(height: usize) -> Layout {
    let transparent = "rgba(0,0,0,0)";
    Layout::new()
        .height(height)
        .show_legend(false)
        .paper_background_color(transparent)
        .plot_background_color(transparent)
        .legend(Legend::new())
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
