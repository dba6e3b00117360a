//! The map of styles: CPU time per delivery against lines of code, as SVG.
//!
//! Each implementation is a dot, each style a circle at the medians of its implementations, tied to
//! them by threads. The drawing is text that needs no script; the report embeds it, and the
//! repository's README shows it as a picture.

mod labels;

use std::collections::BTreeMap;

use crate::analysis::ScenarioAnalysis;
use crate::format::{digits, time};
use crate::markup::escaped;
use crate::record::RankBy;
use crate::row::Row;
use crate::statistics::median;
use crate::verdict::Validity;

use labels::{Obstacle, place};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 28.0;
const BOTTOM: f64 = 56.0;
/// Without a title; a picture has one, and takes more.
const TOP: f64 = 18.0;
const TITLE_TOP: f64 = 84.0;
const SOURCE_BOTTOM: f64 = 78.0;

/// Radius of an implementation, and of a style with one; each further one adds area.
const DOT_RADIUS: f64 = 3.0;
const STYLE_RADIUS: f64 = 5.0;

/// One implementation on the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    /// Its name.
    pub name: String,
    /// Its style.
    pub style: String,
    /// CPU time of the server per delivery, in nanoseconds.
    pub cpu_per_delivery_ns: f64,
    /// Lines of code of all its sources.
    pub lines_of_code: f64,
}

/// What decides whether an implementation is on the map, and where.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its style; empty if it says none.
    pub style: &'a str,
    /// CPU time of the server per delivery, in nanoseconds, if there were deliveries.
    pub cpu_per_delivery_ns: Option<f64>,
    /// Lines of code of all its sources, if their languages are known.
    pub lines_of_code: Option<f64>,
    /// Number of trials that were VALID or CLIENT-BOUND: the CPU time is the server's own in both.
    pub usable_trials: usize,
    /// Number of trials in which it violated the spec.
    pub incorrect_trials: usize,
}

impl Dot {
    /// The dot of `candidate`, wherever its figures come from; `None` unless it has a style, lines
    /// and deliveries, a trial that was not disturbed, and none in which it violated the spec.
    #[must_use]
    pub fn of(candidate: Candidate<'_>) -> Option<Self> {
        let is_known = |value: &f64| *value > 0.0;
        let cpu_per_delivery_ns = candidate.cpu_per_delivery_ns.filter(is_known)?;
        let lines_of_code = candidate.lines_of_code.filter(is_known)?;
        let is_drawn = !candidate.style.is_empty()
            && candidate.usable_trials > 0
            && candidate.incorrect_trials == 0;
        is_drawn.then(|| Self {
            name: candidate.name.to_owned(),
            style: candidate.style.to_owned(),
            cpu_per_delivery_ns,
            lines_of_code,
        })
    }
}

/// The scenario that costs are compared in: the first that ranks by throughput, for there a server
/// has no idle time to charge to a delivery; otherwise the first that was measured.
#[must_use]
pub fn reference<'a, 'b>(analyses: &'b [ScenarioAnalysis<'a>]) -> Option<&'b ScenarioAnalysis<'a>> {
    let mut measured = analyses.iter().filter(|it| it.rows.iter().any(|row| row.figures.is_some()));
    let first = measured.next()?;
    let is_feed = |it: &&ScenarioAnalysis<'_>| it.scenario.rank_by == RankBy::Throughput;
    Some(std::iter::once(first).chain(measured).find(is_feed).unwrap_or(first))
}

/// The dots of `analysis`.
#[must_use]
pub fn dots(analysis: &ScenarioAnalysis<'_>) -> Vec<Dot> {
    let candidate = |row: &Row<'_>| {
        Dot::of(Candidate {
            name: &row.target.name,
            style: &row.target.style,
            cpu_per_delivery_ns: row.figures.as_ref()?.cpu_per_delivery_ns.map(|cpu| cpu.median),
            lines_of_code: row.target.costs.lines.map(|lines| f64::from(lines.code)),
            usable_trials: row.number_of(Validity::Valid) + row.number_of(Validity::ClientBound),
            incorrect_trials: row.number_of(Validity::Incorrect),
        })
    };
    analysis.rows.iter().filter_map(candidate).collect()
}

/// What is written on the map beside the dots.
#[derive(Clone, Debug, Default)]
pub struct Lettering {
    /// A title and a line below it; empty for none.
    pub title: (String, String),
    /// Where the figures are from; empty for none.
    pub source: String,
    /// CSS for what stands alone; empty where a page has it.
    pub css: String,
    /// Where the circle of each style leads; styles without an entry are no links.
    pub links: BTreeMap<String, String>,
}

/// The map; `None` without dots.
#[must_use]
pub fn svg(dots: &[Dot], lettering: &Lettering) -> Option<String> {
    let map = Map::of(dots, lettering)?;
    let (title, second) = &lettering.title;
    // Without a size of its own a picture is shown as small as browsers like.
    let size = if lettering.css.is_empty() {
        String::new()
    } else {
        format!("width=\"{WIDTH}\" height=\"{:.0}\" ", map.height)
    };
    let mut svg = format!(
        "<svg class=\"map\" xmlns=\"http://www.w3.org/2000/svg\" {size}viewBox=\"0 0 {WIDTH} {:.0}\" \
         role=\"group\" aria-label=\"Map of {} styles by CPU time per delivery and lines of code\">\n",
        map.height,
        map.styles.len()
    );
    if !lettering.css.is_empty() {
        svg += &format!(
            "<style>{}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
            lettering.css
        );
    }
    if !title.is_empty() {
        svg += &format!(
            "<text class=\"title\" x=\"{LEFT}\" y=\"38\">{}</text>\n\
             <text class=\"second\" x=\"{LEFT}\" y=\"62\">{}</text>\n",
            escaped(title),
            escaped(second)
        );
    }
    svg += &map.axes();
    svg += &map.threads();
    svg += &map.dots();
    svg += &map.circles(lettering);
    if !lettering.source.is_empty() {
        svg += &format!(
            "<text class=\"source\" x=\"{LEFT}\" y=\"{:.0}\">{}</text>\n",
            map.height - 14.0,
            escaped(&lettering.source)
        );
    }
    Some(svg + "</svg>\n")
}

/// A logarithmic axis, in pixels from `from` to `to`.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis that holds all of `values` with some room at both ends.
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) =
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), it| (low.min(it), high.max(it)));
        // At least a factor of two wide, or noise would fill the map.
        let widen = (2.0 / (high / low)).max(1.0).sqrt() * (high / low).powf(0.06).max(1.05);
        Self { low: low / widen, high: high * widen, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share * (self.to - self.from)
    }

    /// Round values within the axis: 1, 2 and 5 of each decade, or more where that gives few.
    fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.high / self.low < 5.0 {
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]
        } else if self.high / self.low < 12.0 {
            &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]
        } else if self.high / self.low < 2_000.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        decades
            .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// A style at the medians of its implementations.
struct Style<'a> {
    name: &'a str,
    x: f64,
    y: f64,
    radius: f64,
    dots: Vec<&'a Dot>,
    cpu_per_delivery_ns: f64,
    lines_of_code: f64,
}

/// The map, with everything at its place.
struct Map<'a> {
    x: Axis,
    y: Axis,
    styles: Vec<Style<'a>>,
    height: f64,
}

impl<'a> Map<'a> {
    fn of(dots: &'a [Dot], lettering: &Lettering) -> Option<Self> {
        if dots.is_empty() {
            return None;
        }
        let top = if lettering.title.0.is_empty() { TOP } else { TITLE_TOP };
        let bottom = if lettering.source.is_empty() { BOTTOM } else { SOURCE_BOTTOM };
        let height = HEIGHT + top - TOP + bottom - BOTTOM;
        let cpu = dots.iter().map(|dot| dot.cpu_per_delivery_ns);
        let x = Axis::of(cpu, LEFT, WIDTH - RIGHT);
        let lines = dots.iter().map(|dot| dot.lines_of_code);
        let y = Axis::of(lines, height - bottom, top);
        let mut by_style: BTreeMap<&str, Vec<&Dot>> = BTreeMap::new();
        for dot in dots {
            by_style.entry(&dot.style).or_default().push(dot);
        }
        let middle = |dots: &[&Dot], of: fn(&Dot) -> f64| {
            median(&dots.iter().map(|dot| of(dot)).collect::<Vec<_>>())
        };
        let styles = by_style.into_iter().map(|(name, dots)| {
            let cpu_per_delivery_ns = middle(&dots, |dot| dot.cpu_per_delivery_ns);
            let lines_of_code = middle(&dots, |dot| dot.lines_of_code);
            Style {
                name,
                x: x.at(cpu_per_delivery_ns),
                y: y.at(lines_of_code),
                radius: STYLE_RADIUS * (dots.len() as f64).sqrt().min(2.5),
                dots,
                cpu_per_delivery_ns,
                lines_of_code,
            }
        });
        let styles = styles.collect();
        Some(Self { x, y, styles, height })
    }

    fn axes(&self) -> String {
        let (left, right) = (self.x.from, self.x.to);
        let (bottom, top) = (self.y.from, self.y.to);
        let mut svg = String::new();
        for tick in self.x.ticks() {
            let x = self.x.at(tick);
            svg += &format!(
                "<path class=\"grid\" d=\"M{x:.1} {top:.0}V{bottom:.0}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\n",
                bottom + 18.0,
                short(&time(tick))
            );
        }
        for tick in self.y.ticks() {
            let y = self.y.at(tick);
            svg += &format!(
                "<path class=\"grid\" d=\"M{left:.0} {y:.1}H{right:.0}\"/>\
                 <text class=\"tick\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{tick:.0}</text>\n",
                left - 8.0,
                y + 4.0
            );
        }
        svg + &format!(
            "<path class=\"frame\" d=\"M{left:.0} {top:.0}V{bottom:.0}H{right:.0}\"/>\n\
             <text class=\"axis\" x=\"{right:.0}\" y=\"{:.0}\" text-anchor=\"end\">CPU time per delivery →</text>\n\
             <text class=\"axis\" transform=\"translate(14 {top:.0}) rotate(-90)\" text-anchor=\"end\">lines of code →</text>\n",
            bottom + 40.0
        )
    }

    fn threads(&self) -> String {
        let mut path = String::new();
        for style in self.styles.iter().filter(|style| style.dots.len() > 1) {
            for dot in &style.dots {
                let (x, y) = self.place_of(dot);
                path += &format!("M{:.1} {:.1}L{x:.1} {y:.1}", style.x, style.y);
            }
        }
        format!("<path class=\"thread\" d=\"{path}\"/>\n")
    }

    fn place_of(&self, dot: &Dot) -> (f64, f64) {
        (self.x.at(dot.cpu_per_delivery_ns), self.y.at(dot.lines_of_code))
    }

    fn dots(&self) -> String {
        let dots = self.styles.iter().flat_map(|style| &style.dots);
        dots.map(|dot| {
            let (x, y) = self.place_of(dot);
            format!(
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{DOT_RADIUS}\" data-name=\"{0}\">\
                 <title>{0}, {1}: {2} per delivery, {3:.0} lines</title></circle>\n",
                escaped(&dot.name),
                escaped(&dot.style),
                time(dot.cpu_per_delivery_ns),
                dot.lines_of_code
            )
        })
        .collect()
    }

    fn circles(&self, lettering: &Lettering) -> String {
        let circles: Vec<Obstacle> = self.styles.iter().map(|it| (it.x, it.y, it.radius)).collect();
        let texts: Vec<&str> = self.styles.iter().map(|style| style.name).collect();
        let frame = [self.x.from, self.y.to, WIDTH - 4.0, self.y.from];
        let labels = place(&circles, &texts, frame);
        let mut svg = String::new();
        for (style, label) in self.styles.iter().zip(labels) {
            let implementations = match style.dots.as_slice() {
                [only] => only.name.clone(),
                dots => format!("{} implementations", dots.len()),
            };
            let drawn = format!(
                "{}<circle class=\"style\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\">\
                 <title>{}, {implementations}: {} per delivery, {} lines, medians</title></circle>\
                 <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                label.leader.map_or_else(String::new, |(x, y)| format!(
                    "<path class=\"leader\" d=\"M{:.1} {:.1}L{x:.1} {y:.1}\"/>",
                    style.x, style.y
                )),
                style.x,
                style.y,
                style.radius,
                escaped(style.name),
                time(style.cpu_per_delivery_ns),
                digits(style.lines_of_code),
                label.x,
                label.y,
                escaped(style.name),
            );
            svg += &match lettering.links.get(style.name) {
                Some(link) => format!("<a href=\"{}\">{drawn}</a>\n", escaped(link)),
                None => drawn + "\n",
            };
        }
        svg
    }
}

/// `5.00 µs` as an axis says it: `5 µs`.
fn short(text: &str) -> String {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    format!("{number} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::analyse;
    use crate::examples;

    fn dot(name: &str, style: &str, cpu: f64, lines: f64) -> Dot {
        Dot {
            name: name.to_owned(),
            style: style.to_owned(),
            cpu_per_delivery_ns: cpu,
            lines_of_code: lines,
        }
    }

    #[test]
    fn a_style_lies_at_the_medians_of_its_implementations() {
        let dots = [
            dot("a", "CSP", 1_000.0, 100.0),
            dot("b", "CSP", 2_000.0, 200.0),
            dot("c", "CSP", 9_000.0, 150.0),
            dot("d", "actors & <more>", 5_000.0, 300.0),
        ];
        let map = Map::of(&dots, &Lettering::default()).expect("dots");
        let csp = &map.styles[0];
        assert_eq!((csp.name, csp.cpu_per_delivery_ns, csp.lines_of_code), ("CSP", 2_000.0, 150.0));
        assert!(map.x.at(1_000.0) < map.x.at(9_000.0), "cheap is left");
        assert!(map.y.at(100.0) > map.y.at(300.0), "short is below");
        let svg = svg(&dots, &Lettering::default()).expect("dots");
        assert!(svg.contains(">actors &amp; &lt;more&gt;</text>"), "{svg}");
        assert_eq!(svg.matches("class=\"dot\"").count(), 4);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_map_of_one_dot_has_a_scale_and_one_of_none_is_none() {
        let only = [dot("a", "CSP", 1_000.0, 100.0)];
        let svg_of_one = svg(&only, &Lettering::default()).expect("a dot");
        assert!(!svg_of_one.contains("NaN"), "{svg_of_one}");
        assert_eq!(svg(&[], &Lettering::default()), None);
    }

    #[test]
    fn costs_are_compared_where_servers_are_never_idle() {
        let results = examples::detailed_results();
        let analyses = analyse(&results);
        let reference = reference(&analyses).expect("a measured scenario");
        assert_eq!(reference.scenario.name, "crowd");
        let names: Vec<String> = dots(reference).into_iter().map(|dot| dot.name).collect();
        assert_eq!(names, ["fast", "as-fast", "slow"], "what has figures and lines");
    }

    #[test]
    fn ticks_are_round_and_few() {
        let axis = |low: f64, high: f64| Axis { low, high, from: 0.0, to: 1.0 }.ticks();
        assert_eq!(axis(90.0, 600.0), [100.0, 150.0, 200.0, 300.0, 500.0]);
        assert_eq!(axis(90.0, 6_000.0), [100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0]);
        assert_eq!(axis(180.0, 420.0), [200.0, 300.0, 400.0]);
        assert_eq!(short("5.00 µs"), "5 µs");
        assert_eq!(short("100 µs"), "100 µs");
        assert_eq!(short("2.50 ms"), "2.5 ms");
    }
}
