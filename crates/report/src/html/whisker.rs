//! A figure and its interval as a small drawing in a table's cell: a dot on a line.

use crate::statistics::Estimate;

const WIDTH: f64 = 150.0;
const MARGIN: f64 = 6.0;
const MIDDLE: f64 = 8.0;

/// The scale that the drawings of one column share; logarithmic, because what is compared is
/// ratios.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// A scale that holds all of `estimates`; `None` if none of them has a place on it.
    pub(super) fn of<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> Option<Self> {
        let has_place = |value: &f64| value.is_finite() && *value > 0.0;
        let values: Vec<f64> =
            estimates.flat_map(|it| [it.low, it.median, it.high]).filter(has_place).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        // At least a factor of two wide, or noise would fill the column.
        let widen = (2.0 / (high / low)).max(1.0).sqrt();
        (!values.is_empty()).then(|| Self { low: low / widen, high: high * widen })
    }

    /// Pixels from the left.
    fn x(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        MARGIN + share.clamp(0.0, 1.0) * (WIDTH - 2.0 * MARGIN)
    }

    /// The drawing; the figures beside it say the same in words. What is infinite is an arrow, and a
    /// lower bound a bar from which an arrow leads.
    pub(super) fn svg(&self, estimate: &Estimate) -> String {
        let (low, high) = (self.x(estimate.low), self.x(estimate.high));
        let (median, tip) = (self.x(estimate.median), WIDTH - 1.0);
        let arrow = format!("<path d=\"M{0} 3L{tip} {MIDDLE}L{0} 13z\"/>", tip - 8.0);
        let mark = if !estimate.value().is_exact() {
            format!("<path d=\"M{median:.1} 3h2v10h-2z\"/>{arrow}")
        } else if estimate.median.is_finite() {
            format!("<circle cx=\"{median:.1}\" cy=\"{MIDDLE}\" r=\"4\"/>")
        } else {
            arrow
        };
        format!(
            "<svg class=\"whisker\" width=\"{WIDTH}\" height=\"16\" viewBox=\"0 0 {WIDTH} 16\" \
             aria-hidden=\"true\"><path class=\"axis\" d=\"M0 {MIDDLE}H{WIDTH}\"/>\
             <path class=\"interval\" d=\"M{low:.1} {MIDDLE}H{high:.1}\"/>{mark}</svg>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::Bound;

    #[test]
    fn what_is_larger_lies_further_to_the_right_and_within_the_drawing() {
        let figures = [Estimate::exact(1.0, 2.0, 3.0), Estimate::exact(90.0, 100.0, 110.0)];
        let scale = Scale::of(figures.iter()).unwrap();
        assert!(scale.x(1.0) < scale.x(2.0) && scale.x(2.0) < scale.x(100.0));
        assert!(scale.x(0.0) >= MARGIN && scale.x(f64::INFINITY) <= WIDTH - MARGIN);
    }

    #[test]
    fn equal_figures_still_have_a_scale_and_none_have_none() {
        let one = Estimate::exact(5.0, 5.0, 5.0);
        let scale = Scale::of([one].iter()).unwrap();
        assert!((scale.x(5.0) - WIDTH / 2.0).abs() < 0.1);
        let never = Estimate::exact(f64::INFINITY, f64::INFINITY, f64::INFINITY);
        assert!(Scale::of([never].iter()).is_none());
        assert!(scale.svg(&never).contains("<path d=\"M"), "an arrow and no dot");
        let drawn = scale.svg(&Estimate { bound: Bound::AtLeast, ..one });
        assert!(!drawn.contains("<circle") && drawn.contains("z\"/><path d=\"M"), "{drawn}");
        assert!(!scale.svg(&never).contains("NaN") && !scale.svg(&never).contains("inf"));
    }
}
