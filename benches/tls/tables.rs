//! What was measured, as Markdown.

use crate::contenders::Contender;
use crate::trial::Figures;

/// What one scenario measured: for each contender its trials, in the order of the rounds.
pub(crate) struct Measured<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) contenders: &'a [Contender],
    pub(crate) trials: &'a [Vec<Figures>],
}

/// The columns of [`figures`].
pub(crate) const FIGURES_HEAD: &str = "\
| scenario | server | transport | deliveries/s | deliveries per CPU second | CPU per delivery | server busy | receiver busy | disturbed |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// The columns of [`ratios`].
pub(crate) const RATIOS_HEAD: &str = "\
| scenario | server | CPU per delivery with TLS, in that over plain TCP | CPU per delivery with TLS, in that of nats-server with TLS | deliveries/s with TLS, in those of nats-server with TLS |
| --- | --- | --- | --- | --- |";

/// A trial in which a side waited longer for a processor is shown as disturbed.
const WAITED_SHARE_MAX: f64 = 0.05;

fn cpu_per_delivery(it: &Figures) -> f64 {
    it.server_cpu / it.deliveries
}

fn per_second(it: &Figures) -> f64 {
    it.deliveries / it.seconds
}

/// A row for each contender: medians of the rounds, and in brackets the lowest and the highest.
pub(crate) fn figures(measured: &Measured<'_>) -> Vec<String> {
    let rows = measured.contenders.iter().zip(measured.trials);
    rows.map(|(contender, trials)| {
        let of = |figure: fn(&Figures) -> f64, show: fn(f64) -> String| {
            spread(trials.iter().map(figure).collect(), show)
        };
        let share = |figure: fn(&Figures) -> f64| {
            percent(middle(&sorted(trials.iter().map(figure).collect())))
        };
        let disturbed = trials.iter().filter(|it| it.waited_share > WAITED_SHARE_MAX).count();
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {disturbed} of {} |",
            measured.scenario,
            contender.name,
            if contender.has_tls { "TLS" } else { "plain TCP" },
            of(per_second, count),
            of(|it| it.deliveries / it.server_cpu, count),
            of(cpu_per_delivery, duration),
            share(|it| it.server_cpu / it.seconds),
            share(|it| it.receiver_cpu / it.seconds),
            trials.len(),
        )
    })
    .collect()
}

/// A row for each server: what TLS costs it, and how it compares with NATS. Each ratio is of two
/// trials of one round.
pub(crate) fn ratios(measured: &Measured<'_>) -> Vec<String> {
    let trials = |name: &str, has_tls: bool| {
        let mut contenders = measured.contenders.iter();
        let index = contenders.position(|it| it.name == name && it.has_tls == has_tls);
        &measured.trials[index.expect("each server is measured with TLS and without")]
    };
    let nats = trials("nats-server", true);
    let encrypted = measured.contenders.iter().filter(|it| it.has_tls);
    encrypted
        .map(|contender| {
            let (own, plain) = (trials(contender.name, true), trials(contender.name, false));
            let beside = |others: &[Figures], figure: fn(&Figures) -> f64| {
                let pairs = own.iter().zip(others);
                spread(pairs.map(|(own, other)| figure(own) / figure(other)).collect(), ratio)
            };
            let beside_nats = |figure: fn(&Figures) -> f64| match contender.name {
                "nats-server" => "1".to_owned(),
                _ => beside(nats, figure),
            };
            format!(
                "| {} | {} | {} | {} | {} |",
                measured.scenario,
                contender.name,
                beside(plain, cpu_per_delivery),
                beside_nats(cpu_per_delivery),
                beside_nats(per_second),
            )
        })
        .collect()
}

/// The highest share of messages at a rate that were not sent alone.
pub(crate) fn late_share_max(measured: &Measured<'_>) -> f64 {
    measured.trials.iter().flatten().map(|it| it.late_share).fold(0.0, f64::max)
}

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

/// The median of sorted figures.
fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

fn spread(figures: Vec<f64>, show: fn(f64) -> String) -> String {
    let sorted = sorted(figures);
    let [low, median, high] = [sorted[0], middle(&sorted), sorted[sorted.len() - 1]].map(show);
    format!("{median} [{low} – {high}]")
}

/// Three digits that matter.
fn digits(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn count(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", digits(value / 1e6)),
        _ => format!("{} k", digits(value / 1e3)),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        1e-6.. => format!("{} µs", digits(seconds * 1e6)),
        _ => format!("{} ns", digits(seconds * 1e9)),
    }
}

fn ratio(value: f64) -> String {
    digits(value)
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
