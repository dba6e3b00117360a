//! The verdict on a trial: whether its figures describe the server.

use std::fmt;

use serde::Serialize;

use crate::percentile::lag_p99_ns;
use crate::record::{DisturbancesRecord, GeneratorThreadRecord, Measurement, Role};

/// A generator that is busy for more than this share of the window is the bottleneck, or close to
/// it.
pub const GENERATOR_BUSY_SHARE_MAX: f64 = 0.9;

/// With fewer deliveries per read a saturated generator is not the bottleneck, however busy: one
/// that lags behind finds many deliveries in a socket, and in bulk each costs next to nothing. One
/// that finds few is waiting for the server, in many small steps.
pub const DELIVERIES_PER_READ_MIN: f64 = 16.0;

/// Limit on the lag of the generator behind its own schedule, at the 99th percentile.
pub const SCHEDULE_LAG_P99_NS_MAX: u64 = 1_000_000;

/// Limit on the share of the window in which other programs kept the generator from its processor.
pub const READY_WAIT_SHARE_MAX: f64 = 0.05;

/// Limit on the share of the processors in use that other programs used.
pub const OTHERS_CPU_SHARE_MAX: f64 = 0.10;

/// Limit on the share of the processors in use that a hypervisor gave to other machines.
pub const STEAL_SHARE_MAX: f64 = 0.05;

/// Soft interrupts are named beside other programs above this share of the processors in use. They
/// make no trial NOISY: those of the loopback device are the trial's own work.
const SOFT_INTERRUPT_SHARE_NAMED: f64 = 0.05;

/// A target that lost a larger share of the deliveries is not ranked: one that does next to nothing
/// would be first.
pub const LOST_SHARE_RANKED_MAX: f64 = 0.5;

/// A target with fewer valid trials than this is not ranked: its interval would say nothing.
pub const VALID_TRIALS_MIN: usize = 3;

/// Whether a trial's figures describe the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validity {
    /// They describe the server.
    Valid,
    /// They describe the load generator: the server could have done more.
    ClientBound,
    /// Something else used the machine.
    Noisy,
    /// The server violated the spec under this load.
    Incorrect,
}

impl fmt::Display for Validity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Valid => "VALID",
            Self::ClientBound => "CLIENT-BOUND",
            Self::Noisy => "NOISY",
            Self::Incorrect => "INCORRECT",
        })
    }
}

/// The verdict on one trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether its figures describe the server.
    pub validity: Validity,
    /// Why; empty for a valid trial.
    pub reason: String,
}

/// Judges one trial. The gravest finding decides.
#[must_use]
pub fn judge(trial: &Measurement) -> Verdict {
    let (validity, reason) = incorrect(trial)
        .map(|reason| (Validity::Incorrect, reason))
        .or_else(|| noisy(trial).map(|reason| (Validity::Noisy, reason)))
        .or_else(|| client_bound(trial).map(|reason| (Validity::ClientBound, reason)))
        .unwrap_or((Validity::Valid, String::new()));
    Verdict { validity, reason }
}

/// Judges one trial in its role. That the load generator is the bottleneck is what a limit of the
/// machine is about.
#[must_use]
pub fn judge_as(role: Role, trial: &Measurement) -> Verdict {
    let verdict = judge(trial);
    if role == Role::Yardstick && verdict.validity == Validity::ClientBound {
        return Verdict { validity: Validity::Valid, reason: String::new() };
    }
    verdict
}

fn incorrect(trial: &Measurement) -> Option<String> {
    let anomalies = &trial.anomalies;
    let found: Vec<_> = [
        (anomalies.corrupted, "corrupted"),
        (anomalies.invented, "invented"),
        (anomalies.duplicated, "duplicated"),
        (anomalies.reordered, "reordered"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{number} messages {what}"))
    .chain((!trial.order.violation.is_empty()).then(|| trial.order.violation.clone()))
    .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

fn noisy(trial: &Measurement) -> Option<String> {
    let mut found = Vec::new();
    // A quota and a hypervisor keep a process waiting, too: they are told before other programs.
    if let Some(seconds) = trial.throttled_seconds.filter(|&seconds| seconds > 0.0) {
        let milliseconds = seconds * 1e3;
        let periods = trial.disturbances.throttled_periods.filter(|&number| number > 0);
        let periods = periods.map_or_else(String::new, |it| format!(" in {it} of its periods"));
        found.push(format!(
            "the container's quota held processes back for {milliseconds:.0} ms{periods}"
        ));
    }
    if let Some(share) = trial.disturbances.steal_share.filter(|&share| share > STEAL_SHARE_MAX) {
        found.push(format!(
            "the hypervisor gave {:.0} % of the processors to other machines",
            share * 100.0
        ));
    }
    if let Some(others) = by_others(trial) {
        found.push(others + &busiest(&trial.disturbances));
    }
    (!found.is_empty()).then(|| found.join("; "))
}

/// What other programs of this machine did.
fn by_others(trial: &Measurement) -> Option<String> {
    let (name, thread) = gravest(trial, GeneratorThreadRecord::waiting_share);
    let waited = thread.waiting_share().min(1.0);
    if waited > READY_WAIT_SHARE_MAX {
        return Some(format!(
            "other programs kept {name} waiting for {:.0} % of the time",
            waited * 100.0
        ));
    }
    let others = trial.others_cpu_share.filter(|&share| share > OTHERS_CPU_SHARE_MAX)?;
    Some(format!("other programs used {:.0} % of the processors", others * 100.0))
}

/// The thread of the load generator with the largest share, and what it is called: each is judged
/// by itself, because an idle one does not make up for one that lags behind.
fn gravest(
    trial: &Measurement,
    share: impl Fn(&GeneratorThreadRecord) -> f64,
) -> (String, GeneratorThreadRecord) {
    let threads = trial.generator.each(trial.deliveries_arrived);
    let largest = (0..threads.len())
        .max_by(|&a, &b| share(&threads[a]).total_cmp(&share(&threads[b])))
        .unwrap_or_default();
    let name = match threads.len() {
        1 => "the load generator".to_owned(),
        number => format!("thread {} of {number} of the load generator", largest + 1),
    };
    (name, threads[largest])
}

/// The busiest of the other programs; nothing where none was seen.
fn busiest(disturbances: &DisturbancesRecord) -> String {
    let text = |name: &str, share: f64| format!("{name} {:.0} %", share * 100.0);
    let programs = disturbances.programs.iter().map(|it| text(&it.name, it.cpu_share));
    let programs: Vec<String> = programs.collect();
    if programs.is_empty() {
        return String::new();
    }
    let soft_interrupts =
        disturbances.soft_interrupt_share.filter(|&share| share > SOFT_INTERRUPT_SHARE_NAMED);
    let soft_interrupts = soft_interrupts.map_or_else(String::new, |share| {
        let percent = share * 100.0;
        format!("; soft interrupts, the trial's own included, took {percent:.0} % of all in use")
    });
    format!(" (busiest, of one processor: {}{soft_interrupts})", programs.join(", "))
}

fn client_bound(trial: &Measurement) -> Option<String> {
    let (name, thread) =
        gravest(trial, |thread| if is_ahead(trial, thread) { 0.0 } else { thread.busy_share() });
    let busy = thread.busy_share().min(1.0);
    if busy > GENERATOR_BUSY_SHARE_MAX && !is_ahead(trial, &thread) {
        return Some(format!("{name} was busy for {:.0} % of the time", busy * 100.0));
    }
    let lag_ns = lag_p99_ns(&trial.schedule_lag);
    (trial.schedule_lag.count > 0 && lag_ns.least() > SCHEDULE_LAG_P99_NS_MAX as f64).then(|| {
        let lag = lag_ns.text(|ns| format!("{:.1} ms", ns / 1e6));
        format!("the load generator was {lag} behind its schedule (p99)")
    })
}

/// Whether a busy generator was still waiting for the server. Where messages are due at fixed
/// times, or the next round waits for the last delivery, its being busy is itself a delay.
fn is_ahead(trial: &Measurement, thread: &GeneratorThreadRecord) -> bool {
    let is_saturating = trial.schedule_lag.count == 0 && trial.extras.rounds == 0;
    let reads = thread.reads as f64;
    is_saturating && reads * DELIVERIES_PER_READ_MIN > thread.deliveries_arrived as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::measurement;
    use crate::record::{GeneratorRecord, ProgramRecord};

    fn validity(change: impl FnOnce(&mut Measurement)) -> (Validity, String) {
        let mut trial = measurement();
        change(&mut trial);
        let verdict = judge(&trial);
        (verdict.validity, verdict.reason)
    }

    #[test]
    fn a_trial_without_findings_is_valid() {
        assert_eq!(validity(|_| {}), (Validity::Valid, String::new()));
    }

    #[test]
    fn a_busy_generator_makes_a_trial_client_bound() {
        let (validity, reason) = validity(|t| t.generator.cpu_seconds = 0.97 * t.window_seconds);
        assert_eq!(validity, Validity::ClientBound);
        assert_eq!(reason, "the load generator was busy for 97 % of the time");
    }

    #[test]
    fn a_saturated_generator_that_finds_few_deliveries_in_a_socket_is_waiting_for_the_server() {
        let saturated = |t: &mut Measurement, per_read: u64| {
            t.generator.cpu_seconds = t.window_seconds;
            t.generator.reads = t.deliveries_arrived / per_read;
            t.schedule_lag.count = 0;
        };
        assert_eq!(validity(|t| saturated(t, 2)).0, Validity::Valid);
        assert_eq!(validity(|t| saturated(t, 100)).0, Validity::ClientBound);
        let scheduled = |t: &mut Measurement| {
            saturated(t, 2);
            t.schedule_lag.count = 500;
        };
        assert_eq!(validity(scheduled).0, Validity::ClientBound);
        let in_rounds = |t: &mut Measurement| {
            saturated(t, 2);
            t.extras.rounds = 9;
        };
        assert_eq!(validity(in_rounds).0, Validity::ClientBound);
        let unknown = |t: &mut Measurement| {
            saturated(t, 2);
            t.generator.reads = 0;
        };
        assert_eq!(validity(unknown).0, Validity::ClientBound);
    }

    #[test]
    fn a_generator_behind_its_schedule_makes_a_trial_client_bound() {
        let (validity, reason) = validity(|t| t.schedule_lag.lag_p99_ns = 2_500_000);
        assert_eq!(validity, Validity::ClientBound);
        // 500 messages are too few for a 99th percentile.
        assert!(reason.contains("was ≥ 2.5 ms behind"), "{reason}");
    }

    #[test]
    fn other_programs_make_a_trial_noisy_whatever_else_was_found() {
        let busy = |t: &mut Measurement| {
            t.others_cpu_share = Some(0.4);
            t.generator.cpu_seconds = t.window_seconds;
        };
        assert_eq!(validity(busy).0, Validity::Noisy);
        let waiting =
            |share: f64| validity(|t| t.generator.ready_wait_seconds = share * t.window_seconds);
        assert_eq!(waiting(0.2).0, Validity::Noisy);
        let (_, reason) = waiting(246.0);
        assert!(reason.ends_with("waiting for 100 % of the time"), "{reason}");
        let (validity, reason) = validity(|t| t.throttled_seconds = Some(0.04));
        assert_eq!(validity, Validity::Noisy);
        assert_eq!(reason, "the container's quota held processes back for 40 ms");
    }

    #[test]
    fn whatever_disturbed_a_trial_is_named_and_never_blamed_on_anybody_else() {
        let program = |name: &str, cpu_share| ProgramRecord { name: name.to_owned(), cpu_share };
        let (found, reason) = validity(|t| {
            t.throttled_seconds = Some(0.04);
            t.generator.cpu_seconds = t.window_seconds;
            t.others_cpu_share = Some(0.4);
            t.disturbances = DisturbancesRecord {
                steal_share: Some(0.12),
                soft_interrupt_share: Some(0.07),
                throttled_periods: Some(2),
                programs: vec![program("cc1plus", 0.62), program("kernel threads", 0.03)],
            };
        });
        assert_eq!(found, Validity::Noisy);
        assert_eq!(
            reason,
            "the container's quota held processes back for 40 ms in 2 of its periods; the \
             hypervisor gave 12 % of the processors to other machines; other programs used 40 % of \
             the processors (busiest, of one processor: cc1plus 62 %, kernel threads 3 %; soft \
             interrupts, the trial's own included, took 7 % of all in use)"
        );
        let (found, reason) = validity(|t| {
            t.disturbances.steal_share = Some(0.06);
            t.generator.cpu_seconds = t.window_seconds;
        });
        assert_eq!(found, Validity::Noisy);
        assert_eq!(reason, "the hypervisor gave 6 % of the processors to other machines");
        let quiet = |t: &mut Measurement| {
            t.disturbances.steal_share = Some(0.01);
            t.disturbances.soft_interrupt_share = Some(0.5);
            t.disturbances.programs = vec![program("sshd", 0.02)];
        };
        assert_eq!(validity(quiet), (Validity::Valid, String::new()));
    }

    #[test]
    fn each_thread_of_the_generator_is_judged_by_itself() {
        let with = |change: fn(&mut GeneratorThreadRecord)| {
            validity(|t| {
                let mut threads = t.generator.each(t.deliveries_arrived).repeat(3);
                change(&mut threads[1]);
                t.generator = GeneratorRecord::new(threads);
            })
        };
        assert_eq!(with(|_| {}), (Validity::Valid, String::new()));
        let (found, reason) = with(|it| it.cpu_seconds = 0.97 * it.sampled_seconds);
        assert_eq!(found, Validity::ClientBound);
        assert_eq!(reason, "thread 2 of 3 of the load generator was busy for 97 % of the time");
        let (found, reason) = with(|it| it.ready_wait_seconds = 0.5 * it.sampled_seconds);
        assert_eq!(found, Validity::Noisy);
        assert!(
            reason.contains("thread 2 of 3 of the load generator waiting for 50 %"),
            "{reason}"
        );
    }

    #[test]
    fn a_violation_of_the_spec_outweighs_everything() {
        let (validity, reason) = validity(|t| {
            t.anomalies.corrupted = 2;
            t.anomalies.reordered = 1;
            t.others_cpu_share = Some(0.4);
        });
        assert_eq!(validity, Validity::Incorrect);
        assert_eq!(reason, "2 messages corrupted, 1 messages reordered");
    }

    #[test]
    fn receivers_that_contradict_one_another_make_a_trial_incorrect() {
        let (validity, reason) = validity(|t| t.order.violation = "#1 and #2 disagree".to_owned());
        assert_eq!((validity, reason.as_str()), (Validity::Incorrect, "#1 and #2 disagree"));
    }
}
