//! The plots of the report, drawn by plotly in the reader's browser.

use plotly::common::{
    AxisSide, DashType, ErrorData, ErrorType, Line, Marker, Mode, Orientation, Title,
};
use plotly::configuration::DisplayModeBar;
use plotly::layout::{Axis, AxisType, BarMode, Legend, Margin, TraceOrder};
use plotly::{Bar, Configuration, Layout, Plot, Scatter};

use crate::analysis::{Figures, Row, ScenarioAnalysis, Standing, latency_ns};

/// Distinguishable with any colour vision (Okabe and Ito), and on light and dark ground.
const COLORS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c"];
/// The colour of what never arrived.
const LOST_COLOR: &str = "#d55e00";
const ARRIVED_COLOR: &str = "#0072b2";

const QUANTILES: [(f64, &str); 8] = [
    (0.0, "min"),
    (0.5, "50 %"),
    (0.75, "75 %"),
    (0.9, "90 %"),
    (0.95, "95 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
];

/// Pixels per bar, and for everything around the bars.
const BAR_PIXELS: usize = 34;
const BAR_PLOT_PIXELS: usize = 130;
const CURVE_PIXELS: usize = 460;

/// The script that draws; once per page. It asks for nothing from any network.
pub(crate) fn script() -> String {
    let sources = Plot::offline_js_sources();
    // The second script typesets formulas, of which there are none.
    let end = "</script>";
    sources.find(end).map_or(String::new(), |at| sources[..at + end.len()].to_owned())
}

/// Latency by percentile, one curve per target. A curve ends where messages never arrived.
pub(crate) fn latency_curves(analysis: &ScenarioAnalysis<'_>, id: &str) -> String {
    let mut plot = Plot::new();
    for (at, (name, figures)) in shown(analysis).into_iter().enumerate() {
        let (x, y): (Vec<f64>, Vec<f64>) = QUANTILES
            .iter()
            .map(|&(quantile, _)| {
                (stretch(quantile), latency_ns(&figures.latency, figures.expected, quantile) / 1e6)
            })
            // Beyond the samples there is nothing to show.
            .filter(|&(x, y)| y.is_finite() && x <= figures.expected as f64)
            .unzip();
        let dash = [DashType::Solid, DashType::Dash, DashType::Dot][at / COLORS.len() % 3].clone();
        plot.add_trace(
            Scatter::new(x, y)
                .name(name)
                .mode(Mode::LinesMarkers)
                .line(Line::new().color(COLORS[at % COLORS.len()]).width(2.0).dash(dash))
                .hover_template("%{y:.3~g} ms"),
        );
    }
    let x_axis = Axis::new()
        .type_(AxisType::Log)
        .title(Title::with_text("percentile of all expected deliveries"))
        .tick_values(QUANTILES.iter().map(|&(quantile, _)| stretch(quantile)).collect())
        .tick_text(QUANTILES.iter().map(|&(_, name)| name).collect());
    let y_axis =
        Axis::new().type_(AxisType::Log).title(Title::with_text("ms")).tick_format("~g").n_ticks(8);
    plot.set_layout(
        layout(CURVE_PIXELS)
            .x_axis(x_axis)
            .y_axis(y_axis)
            .margin(Margin::new().left(60).right(20).top(20).bottom(60)),
    );
    finish(plot, id)
}

/// Percentiles are drawn by the logarithm of one in how many deliveries is slower.
fn stretch(quantile: f64) -> f64 {
    1.0 / (1.0 - quantile)
}

/// Deliveries per second with their intervals, and beside them what never arrived.
pub(crate) fn throughput_bars(analysis: &ScenarioAnalysis<'_>, id: &str) -> String {
    // The first bar is drawn at the bottom.
    let rows: Vec<_> = shown(analysis).into_iter().rev().collect();
    let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    let rates: Vec<_> = rows.iter().map(|(_, figures)| figures.deliveries_per_second).collect();
    let arrived: Vec<f64> = rates.iter().map(|rate| rate.median).collect();
    let lost: Vec<f64> = rows
        .iter()
        .map(|(_, figures)| {
            let share = figures.failed_share.min(0.9999);
            figures.deliveries_per_second.median * share / (1.0 - share)
        })
        .collect();
    let above = rates.iter().map(|rate| rate.high - rate.median).collect();
    let below = rates.iter().map(|rate| rate.median - rate.low).collect();
    let mut plot = Plot::new();
    plot.add_trace(
        Bar::new(arrived, names.clone())
            .name("arrived")
            .orientation(Orientation::Horizontal)
            .marker(Marker::new().color(ARRIVED_COLOR))
            .error_x(
                ErrorData::new(ErrorType::Data).symmetric(false).array(above).array_minus(below),
            )
            .hover_template("%{x:.3s}/s arrived"),
    );
    plot.add_trace(
        Bar::new(lost, names)
            .name("never arrived")
            .orientation(Orientation::Horizontal)
            .marker(Marker::new().color(LOST_COLOR))
            .hover_template("%{x:.3s}/s never arrived"),
    );
    let x_axis = Axis::new()
        .title(Title::with_text("deliveries per second"))
        .tick_format("~s")
        .side(AxisSide::Bottom);
    plot.set_layout(
        layout(BAR_PLOT_PIXELS + BAR_PIXELS * rows.len())
            .bar_mode(BarMode::Stack)
            .x_axis(x_axis)
            .y_axis(Axis::new().auto_margin(true))
            .margin(Margin::new().left(20).right(20).top(20).bottom(60)),
    );
    finish(plot, id)
}

/// The rows with figures and how the plot names them.
fn shown<'a>(analysis: &'a ScenarioAnalysis<'_>) -> Vec<(String, &'a Figures)> {
    let name = |row: &Row<'_>| match row.standing {
        Standing::Ranked { .. } => row.target.name.clone(),
        Standing::Unranked { .. } => format!("{} (not ranked)", row.target.name),
    };
    analysis.rows.iter().filter_map(|row| Some((name(row), row.figures.as_ref()?))).collect()
}

fn layout(height: usize) -> Layout {
    let transparent = "rgba(0,0,0,0)";
    Layout::new()
        .height(height)
        .paper_background_color(transparent)
        .plot_background_color(transparent)
        .legend(
            Legend::new()
                .trace_order(TraceOrder::Normal)
                .orientation(Orientation::Horizontal)
                .y(1.02)
                .y_anchor(plotly::common::Anchor::Bottom),
        )
}

fn finish(mut plot: Plot, id: &str) -> String {
    plot.set_configuration(
        Configuration::new()
            .responsive(true)
            .display_logo(false)
            .display_mode_bar(DisplayModeBar::False),
    );
    plot.to_inline_html(Some(id))
}
