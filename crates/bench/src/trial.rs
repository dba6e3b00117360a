//! One trial: a fresh server or one that runs already, a load, samples at the window's borders.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use zillions_harness::event_count::Event;
use zillions_harness::resources::{Throttled, cpu_throttled};
use zillions_harness::{Launch, PortLease, Sample, Server, StartError, StartOptions, loopback};
use zillions_load::{GeneratorUse, LoadError, Outcome, Phase, Plan, WireFormat};
use zillions_report::record::{
    AnomaliesRecord, ArrivalsRecord, DisturbancesRecord, ExtrasRecord, GeneratorRecord,
    GeneratorThreadRecord, LostConnectionRecord, Measurement, PairsRecord, ProgramRecord,
    ScenarioRecord, ScheduleLagRecord, ServerRecord, TrialResult,
};

use crate::access::Access;
use crate::cpu_times::CpuTimes;
use crate::disturbance::Neighbours;
use crate::order;
use crate::patience::{END_SECONDS_MAX, READY_SECONDS_MAX, STOP_SECONDS_MAX};
use crate::pin::{Pinning, restrict_to};
use crate::remote::{Elsewhere, NotStarted, RemoteReading};
use crate::scenario::load_plan;
use crate::subject::Subject;

/// Lines of its log that are recorded when a trial fails.
const LOG_LINES: usize = 20;
/// A trial reports at most this many lost connections one by one.
const LOST_RECORDED_MAX: usize = 20;

/// A closed loop waits for a round that has lost a message.
const STUCK: &str = "not one message of the window was sent: a round before it lost some, and was \
                     waited for";

/// What the server's process tree and the processors had used at one moment.
struct Reading {
    at: Instant,
    server: Option<Sample>,
    cpu: Option<CpuTimes>,
    throttled: Option<Throttled>,
    /// What the other machine says, if the server runs on one.
    remote: Option<RemoteReading>,
}

impl Reading {
    fn take(server: &Subject<'_>, pinning: &Pinning) -> Self {
        let remote = server.remote_reading();
        Self {
            at: Instant::now(),
            server: remote.map_or_else(|| server.sample(), |remote| remote.server),
            remote,
            cpu: CpuTimes::read(&pinning.used()),
            throttled: cpu_throttled(),
        }
    }
}

/// Readings at the beginning of the load and at both ends of the window.
#[derive(Default)]
struct Readings {
    idle: Option<Reading>,
    start: Option<Reading>,
    end: Option<Reading>,
    /// The busiest other programs.
    programs: Vec<ProgramRecord>,
}

/// Runs one trial of `scenario`; whatever goes wrong with the server or the machine is in the
/// result.
///
/// What runs already is left running. `wire` is the protocol that the server speaks, `rate` the messages per second of an open loop, `tag` tells its messages from those of any
/// other trial.
#[must_use]
pub fn run(
    access: &Access,
    wire: WireFormat,
    scenario: &ScenarioRecord,
    rate: Option<f64>,
    pinning: &Pinning,
    tag: u32,
) -> TrialResult {
    let load_threads = pinning.load_threads;
    let plan = Plan { wire, load_threads, ..load_plan(scenario, rate, tag) };
    run_load(access, pinning, |addresses, observe| {
        zillions_load::run_threads(addresses, &plan, |thread| pin(pinning, thread), observe)
    })
}

/// Starts a server unless it runs already, and takes readings of it while `load` is carried out on
/// the generator's processor.
pub(crate) fn run_load(
    access: &Access,
    pinning: &Pinning,
    load: impl FnOnce(&[SocketAddr], &mut dyn FnMut(Phase)) -> Result<Outcome, LoadError> + Send,
) -> TrialResult {
    // Held for as long as the server has its port.
    let lease;
    let server = match access {
        Access::Running(running) => Subject::Running(running),
        Access::Remote(remote) => match remote.try_start() {
            Ok(server) => Subject::Remote(server),
            Err(error) => return Blame::from(error).result(Vec::new()),
        },
        Access::Launch(launch) => {
            lease = match PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
                Ok(lease) => lease,
                Err(error) => return TrialResult::Prevented { reason: error.to_string() },
            };
            match start(launch, &lease.address().to_string(), pinning) {
                Ok(server) => Subject::Started(server),
                Err(blame) => return blame.result(Vec::new()),
            }
        }
    };
    let (outcome, readings) = carry_out(&server, pinning, load);
    let result = match finish(&server, outcome, &readings, pinning) {
        Ok(measurement) => TrialResult::Measured(Box::new(measurement)),
        Err(blame) => blame.result(server.log_tail(LOG_LINES)),
    };
    server.stop(STOP_SECONDS_MAX);
    result
}

/// Why a trial gave no figures, each in one line, and who is to blame.
#[derive(Debug)]
pub(crate) enum Blame {
    Server(String),
    Machine(String),
}

impl Blame {
    fn result(self, log: Vec<String>) -> TrialResult {
        match self {
            // Without the loopback device no server seems to answer.
            Self::Server(reason) => match loopback::check(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
                Ok(()) => TrialResult::Failed { reason, log },
                Err(error) => TrialResult::Prevented { reason: error.to_string() },
            },
            Self::Machine(reason) => TrialResult::Prevented { reason },
        }
    }

    pub(crate) fn into_reason(self) -> String {
        match self {
            Self::Server(reason) | Self::Machine(reason) => reason,
        }
    }
}

impl From<StartError> for Blame {
    fn from(error: StartError) -> Self {
        let reason = error.to_string();
        if error.is_the_machines() || matches!(error, StartError::Starved { .. }) {
            Self::Machine(reason)
        } else {
            Self::Server(reason)
        }
    }
}

impl From<NotStarted> for Blame {
    fn from(error: NotStarted) -> Self {
        if error.is_the_machines { Self::Machine(error.reason) } else { Self::Server(error.reason) }
    }
}

impl From<LoadError> for Blame {
    fn from(error: LoadError) -> Self {
        let reason = error.to_string();
        match error {
            LoadError::Machine(_) | LoadError::System(_) => Self::Machine(reason),
            _ => Self::Server(reason),
        }
    }
}

/// How servers are started, here and by the helper on another machine.
pub(crate) fn start_options() -> StartOptions {
    StartOptions {
        ready_seconds_max: READY_SECONDS_MAX,
        event: Some(Event::UserInstructions),
        ..StartOptions::default()
    }
}

/// Starts the server on its processors, which it inherits from this thread.
pub(crate) fn start(launch: &Launch, address: &str, pinning: &Pinning) -> Result<Server, Blame> {
    let cannot_pin =
        |error| Blame::Machine(format!("cannot pin the server to its processors: {error}"));
    restrict_to(&pinning.servers).map_err(cannot_pin)?;
    let server = Server::start(launch, address, &start_options()).map_err(Blame::from);
    restrict_to(&pinning.all).map_err(cannot_pin)?;
    server
}

/// Lets a thread of the load generator run on its own processor only.
fn pin(pinning: &Pinning, thread: usize) {
    if let Some(&cpu) = pinning.generator.get(thread) {
        // If it cannot be pinned, the verdict shows whether that mattered.
        let _ = restrict_to(&[cpu]);
    }
}

/// Runs the load on a thread of its own and takes readings meanwhile.
fn carry_out(
    server: &Subject<'_>,
    pinning: &Pinning,
    load: impl FnOnce(&[SocketAddr], &mut dyn FnMut(Phase)) -> Result<Outcome, LoadError> + Send,
) -> (Result<Outcome, LoadError>, Readings) {
    let addresses = server.addresses();
    // One slot per phase: the generator never waits for the reader.
    let (phases, reached) = mpsc::sync_channel(3);
    let mut readings = Readings::default();
    let mut before: Option<Neighbours> = None;
    let outcome = thread::scope(|scope| {
        let generator = scope.spawn(move || {
            pin(pinning, 0);
            load(&addresses, &mut |phase| {
                let _ = phases.try_send(phase);
            })
        });
        while let Ok(phase) = reached.recv() {
            let reading = Some(Reading::take(server, pinning));
            match phase {
                Phase::WarmUp => {
                    readings.idle = reading;
                    before = Some(Neighbours::look());
                }
                Phase::Measure => readings.start = reading,
                Phase::Drain => {
                    readings.end = reading;
                    readings.programs = before.as_ref().map_or_else(Vec::new, |before| {
                        Neighbours::look().busiest_since(before, &server.processes())
                    });
                }
            }
        }
        generator.join()
    });
    match outcome {
        Ok(outcome) => (outcome, readings),
        // A bug in the generator must not count as the server's failure.
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn finish(
    server: &Subject<'_>,
    outcome: Result<Outcome, LoadError>,
    readings: &Readings,
    pinning: &Pinning,
) -> Result<Measurement, Blame> {
    let failed = |reason: &str| Blame::Server(reason.to_owned());
    if let Some(status) = ended(server, &outcome, readings) {
        return Err(failed(&format!("the server ended in mid-trial ({status})")));
    }
    let outcome = outcome?;
    if outcome.extras.rounds.is_stuck {
        return Err(failed(STUCK));
    }
    // A generator that got no time to send shows nothing about the server.
    if outcome.pairs.expected() > 0 && outcome.pairs.delivered == 0 {
        return Err(failed("the server hung: not one message of the window was delivered"));
    }
    let (Some(start), Some(end)) = (&readings.start, &readings.end) else {
        return Err(failed("the server could not be sampled"));
    };
    if server.is_sampled() && (start.server.is_none() || end.server.is_none()) {
        return Err(failed("the server could not be sampled: none of its processes was found"));
    }
    let idle = readings.idle.as_ref().and_then(|reading| reading.server).unwrap_or_default();
    let here_seconds = (end.at - start.at).as_secs_f64();
    let there = start.remote.zip(end.remote).map(|(start, end)| Elsewhere::between(&start, &end));
    // The way there and back takes its time, so the other machine's clock counts for its samples.
    let sampled_seconds = there.map_or(here_seconds, |there| there.seconds);
    let sampled = start.server.zip(end.server);
    let server_record = sampled.map(|(before, after)| ServerRecord {
        start_seconds: server.start_seconds(),
        idle_resident_bytes: idle.resident_bytes,
        ..server_record(&before, &after, sampled_seconds)
    });
    let cpu = end.cpu.zip(start.cpu).map(|(end, start)| end.since(start));
    let capacity = here_seconds * pinning.used().len() as f64;
    // What is the server's own time and what is others' nobody knows without its processes.
    let others_cpu_share = cpu.zip(server_record.as_ref()).map(|(cpu, server)| {
        let servers_own = if there.is_some() { 0.0 } else { server.cpu_seconds };
        let own = servers_own + outcome.generator.iter().map(|it| it.cpu_seconds).sum::<f64>();
        let here = ((cpu.busy_seconds - own) / capacity).clamp(0.0, 1.0);
        // Whichever machine is disturbed, the trial is.
        there.and_then(|it| it.others_cpu_share(server.cpu_seconds)).map_or(here, |it| it.max(here))
    });
    let throttled = end.throttled.zip(start.throttled);
    let share = |seconds: f64| (seconds / capacity).clamp(0.0, 1.0);
    let disturbances = DisturbancesRecord {
        steal_share: cpu.map(|cpu| share(cpu.stolen_seconds)),
        soft_interrupt_share: cpu.map(|cpu| share(cpu.soft_interrupt_seconds)),
        throttled_periods: throttled.map(|(end, start)| end.periods.saturating_sub(start.periods)),
        programs: readings.programs.clone(),
    };
    let throttled_here = throttled.map(|(end, start)| end.seconds - start.seconds);
    let throttled_there = there.and_then(|it| it.throttled_seconds);
    let throttled_seconds = throttled_here.into_iter().chain(throttled_there).reduce(f64::max);
    let measured = measurement(&outcome, server_record, pinning);
    Ok(Measurement { others_cpu_share, throttled_seconds, disturbances, ..measured })
}

/// What a server's process tree used between two samples.
fn server_record(before: &Sample, after: &Sample, sampled_seconds: f64) -> ServerRecord {
    ServerRecord {
        start_seconds: None,
        sampled_seconds,
        // A child that ended in the window took its time with it.
        cpu_seconds: (after.cpu_seconds - before.cpu_seconds).max(0.0),
        idle_resident_bytes: 0,
        peak_resident_bytes: after.resident_bytes_peak,
        threads: after.threads,
        processes: after.processes,
        voluntary_context_switches: after
            .context_switches_voluntary
            .saturating_sub(before.context_switches_voluntary),
        involuntary_context_switches: after
            .context_switches_involuntary
            .saturating_sub(before.context_switches_involuntary),
        user_instructions: after
            .counted
            .zip(before.counted)
            .and_then(|(after, before)| after.since(&before)),
    }
}

/// How the server ended, if it has.
///
/// The end of a process closes its connections before anybody can see that it has ended, and a
/// wrapper ends later still. So where the connections say that the server may be gone, its end is
/// waited for.
fn ended(
    server: &Subject<'_>,
    outcome: &Result<Outcome, LoadError>,
    readings: &Readings,
) -> Option<String> {
    let may_have_ended = match outcome {
        Ok(outcome) => {
            let sampled = readings.end.as_ref().is_some_and(|reading| reading.server.is_some());
            outcome.are_all_lost || !sampled
        }
        Err(error) => error.may_be_the_servers_end(),
    };
    server.ended(if may_have_ended { END_SECONDS_MAX } else { 0.0 })
}

/// Without what others did to it.
fn measurement(outcome: &Outcome, server: Option<ServerRecord>, pinning: &Pinning) -> Measurement {
    let (pairs, anomalies, traffic) = (outcome.pairs, outcome.anomalies, outcome.traffic);
    Measurement {
        window_seconds: traffic.window_seconds,
        messages_written: traffic.messages_written,
        messages_held_back: traffic.messages_held_back,
        deliveries_arrived: traffic.deliveries_arrived,
        bytes_arrived: traffic.bytes_arrived,
        late: traffic.late,
        pairs: PairsRecord {
            delivered: pairs.delivered,
            reordered: pairs.reordered,
            dropped: pairs.dropped,
            cut_off: pairs.cut_off,
            pending: pairs.pending,
            unsent: pairs.unsent,
        },
        anomalies: AnomaliesRecord {
            duplicated: anomalies.duplicated,
            corrupted: anomalies.corrupted,
            invented: anomalies.invented,
            reordered: anomalies.reordered,
        },
        order: order::judge(&outcome.sample),
        extras: extras(outcome),
        latency: ArrivalsRecord::new(&outcome.latencies.delivery),
        service: ArrivalsRecord::new(&outcome.latencies.service),
        last_receiver: ArrivalsRecord::new(&outcome.latencies.last_receiver),
        schedule_lag: ScheduleLagRecord::new(&outcome.latencies.schedule_lag),
        generator: generator(&outcome.generator, pinning),
        server,
        others_cpu_share: None,
        throttled_seconds: None,
        disturbances: DisturbancesRecord::default(),
        lost_connections: outcome
            .lost
            .iter()
            .take(LOST_RECORDED_MAX)
            .map(|lost| LostConnectionRecord {
                client: lost.client as u32,
                at_seconds: lost.at_seconds,
                reason: lost.reason.clone(),
            })
            .collect(),
    }
}

fn generator(threads: &[GeneratorUse], pinning: &Pinning) -> GeneratorRecord {
    let record = |(thread, used): (usize, &GeneratorUse)| GeneratorThreadRecord {
        cpu: pinning.generator.get(thread).copied(),
        sampled_seconds: used.sampled_seconds,
        cpu_seconds: used.cpu_seconds,
        ready_wait_seconds: used.ready_wait_seconds,
        reads: used.reads,
        deliveries_arrived: used.deliveries_arrived,
    };
    GeneratorRecord::new(threads.iter().enumerate().map(record).collect())
}

fn extras(outcome: &Outcome) -> ExtrasRecord {
    let extras = &outcome.extras;
    ExtrasRecord {
        untimed_expected: extras.filler_expected,
        untimed_delivered: extras.filler_delivered,
        churn_connections: extras.churn.connections,
        churn_failures: extras.churn.failed,
        stalled_disconnected: extras.stalled_disconnected,
        rounds: extras.rounds.rounds,
        rounds_incomplete: extras.rounds.incomplete,
    }
}
