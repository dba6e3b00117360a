//! Figures for people: three digits and a unit.

use crate::bounded::Bound;
use crate::statistics::Estimate;

/// A time in nanoseconds; what never arrived took for ever.
#[must_use]
pub fn time(ns: f64) -> String {
    match ns {
        ns if !ns.is_finite() => "never".to_owned(),
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{} µs", digits(ns / 1e3)),
        ns if ns < 1e9 => format!("{} ms", digits(ns / 1e6)),
        ns => format!("{} s", digits(ns / 1e9)),
    }
}

/// A number of things, with k, M or G.
#[must_use]
pub fn count(number: f64) -> String {
    match number {
        number if number < 1e3 => digits(number),
        number if number < 1e6 => format!("{} k", digits(number / 1e3)),
        number if number < 1e9 => format!("{} M", digits(number / 1e6)),
        number => format!("{} G", digits(number / 1e9)),
    }
}

/// A number without decimals.
#[must_use]
pub fn whole(value: f64) -> String {
    format!("{value:.0}")
}

/// An amount of memory.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 1024.0 {
        format!("{} MiB", digits(mebibytes))
    } else {
        format!("{} GiB", digits(mebibytes / 1024.0))
    }
}

/// A size in the unit that suits it.
#[must_use]
pub fn size(value: f64) -> String {
    match value {
        value if value.abs() < 1024.0 => format!("{value:.0} B"),
        value if value.abs() < f64::from(1 << 20) => format!("{} KiB", digits(value / 1024.0)),
        value => bytes(value.max(0.0) as u64),
    }
}

/// A share of 1 in percent; what is not quite nothing is not shown as nothing.
#[must_use]
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => "< 0.01 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// The interval of an estimate, each end as `each` writes it; that of a bound may have no upper one.
#[must_use]
pub fn interval(estimate: &Estimate, each: impl Fn(f64) -> String) -> String {
    if estimate.bound == Bound::AtLeast && estimate.high == f64::INFINITY {
        return format!("≥ {}", each(estimate.low));
    }
    let (low, high) = (each(estimate.low), each(estimate.high));
    // One unit is enough where both ends have the same.
    match (low.rsplit_once(' '), high.rsplit_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} – {high}"),
        _ => format!("{low} – {high}"),
    }
}

/// Three significant digits.
#[must_use]
pub fn digits(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.9995 => format!("{number:.3}"),
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        assert_eq!(time(950.0), "950 ns");
        assert_eq!(time(84_230.0), "84.2 µs");
        assert_eq!(time(1_234_567.0), "1.23 ms");
        assert_eq!(time(60e9), "60.0 s");
        assert_eq!(time(f64::INFINITY), "never");
        assert_eq!(count(0.0), "0");
        assert_eq!(digits(0.0221), "0.022");
        assert_eq!(count(171_400.0), "171 k");
        assert_eq!(count(53.2e6), "53.2 M");
        assert_eq!(bytes(3 << 20), "3.00 MiB");
        assert_eq!(bytes(3 << 30), "3.00 GiB");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(1e-7), "< 0.01 %");
        assert_eq!(percent(0.0123), "1.23 %");
        assert_eq!(percent(0.5), "50.0 %");
    }

    #[test]
    fn an_interval_says_its_unit_once_where_it_can() {
        let bound = Bound::Exact;
        let estimate = |low, high| Estimate { median: low, low, high, samples: 5, bound };
        assert_eq!(interval(&estimate(84_000.0, 91_000.0), time), "84.0 – 91.0 µs");
        assert_eq!(interval(&estimate(840_000.0, 1.1e6), time), "840 µs – 1.10 ms");
        let never = estimate(840_000.0, f64::INFINITY);
        assert_eq!(interval(&never, time), "840 µs – never");
        // What is open is not "never".
        assert_eq!(interval(&Estimate { bound: Bound::AtLeast, ..never }, time), "≥ 840 µs");
    }
}
