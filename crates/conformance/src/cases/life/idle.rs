//! LIFE-4: what an idle server uses of the processor.

use std::time::{Duration, Instant};

use zillions_harness::CpuDemand;

use crate::case::Case;
use crate::cases::common::descriptors::{use_up_descriptors, with_few_descriptors};
use crate::client::ConnectOptions;
use crate::context::CaseContext;
use crate::fixture::{Fixture, Flood, FloodPace};
use crate::verdict::{Outcome, Stop};

/// What is sent past clients that do not read, in bytes: more than the system
/// keeps for them. And the time for it.
const BACKLOG_BYTES: u64 = 6 << 20;
const BACKLOG_TIME: Duration = Duration::from_secs(3);
/// LIFE-4's figure: fraction of one core.
const IDLE_CPU_MAX: f64 = 0.05;
/// On a busy machine a server that spins gets little of a core, too, but it
/// wants one all the time. One that is idle wants one less than the first part
/// of a watch; one that spins, more than the second of all of them. (The system
/// counts waiting only when it is over, hence all of them.) And one that spins keeps
/// a processor until it is taken away, while one that looks after something every now
/// and then has done so in less than the third figure, however long it waited for it.
const IDLE_WANTED: f64 = 0.25;
const SPINNING_WANTED: f64 = 0.8;
const SPINNING_TURN: Duration = Duration::from_micros(300);
/// How long an idle server is watched at once.
const IDLE_WATCH: Duration = Duration::from_millis(1000);
/// How often, until one watch finds it idle: a runtime may tidy up first.
const IDLE_WATCHES: usize = 4;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "life/idle-cpu",
        "LIFE-4",
        "with twenty idle clients it uses next to no CPU time",
        idle_cpu,
    )
    .launching()
    .should()
    .alone(),
    Case::must(
        "life/idle-cpu-of-odd-clients",
        "LIFE-4",
        "with clients that stopped reading, ended their stream, hold a frame open or were reset, likewise",
        idle_cpu_of_odd_clients,
    )
    .at_its_pace()
    .launching()
    .should()
    .alone(),
    Case::must_launching(
        "life/idle-cpu-without-descriptors",
        "LIFE-4",
        "while descriptors are used up and clients wait to be accepted, likewise",
        idle_cpu_without_descriptors,
    )
    .should()
    .alone(),
];

fn idle_cpu(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(20, "idle client")?;
    fixture.deliver(&[(clients[0], 20)], &clients)?;
    next_to_no_cpu(fixture)
}

fn idle_cpu_of_odd_clients(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "idle client")?;
    let stalled = fixture.connect_with("stalled client", ConnectOptions::SMALL)?;
    let ended = fixture.connect_with("stalled client that has ended", ConnectOptions::SMALL)?;
    let holder = fixture.connect("client that holds a frame open")?;
    let recovered =
        fixture.connect_with("client that resumes reading later", ConnectOptions::SMALL)?;
    let gone = [
        fixture.connect_with("stalled client that resets", ConnectOptions::SMALL)?,
        fixture.connect("client that resets in mid-frame")?,
    ];
    fixture.await_served(clients[0], &[clients[0], stalled, ended, holder, recovered, gone[0]])?;
    fixture.queue_bytes(holder, &[200, 1, 2]);
    fixture.queue_bytes(gone[1], &[200, 1, 2]);
    for index in [stalled, ended, recovered, gone[0]] {
        fixture.set_reading(index, false)?;
    }
    let flood = Flood {
        senders: vec![clients[0]],
        pace: FloodPace::Echoes,
        bytes: BACKLOG_BYTES,
        lengths: [200; 2],
    };
    fixture.flood(&flood, BACKLOG_TIME)?;
    fixture.finish_sending(ended);
    fixture.send_until_delivered(clients[0], &clients, "a message beside odd clients")?;
    for odd in gone {
        fixture.reset(odd);
    }
    fixture.set_reading(recovered, true)?;
    fixture.send_until_delivered(clients[0], &clients, "a message after odd clients have left")?;
    next_to_no_cpu(fixture)
}

fn idle_cpu_without_descriptors(context: &mut CaseContext) -> Outcome {
    with_few_descriptors(context, |fixture, limit| {
        let clients = fixture.join(2, "idle client")?;
        use_up_descriptors(fixture, limit)?;
        for _ in 0..4 {
            fixture.send_until_delivered(
                clients[0],
                &clients,
                "while descriptors are used up, accepted clients are served",
            )?;
        }
        next_to_no_cpu(fixture)
    })
}

fn next_to_no_cpu(fixture: &mut Fixture) -> Outcome {
    let mut least = f64::INFINITY;
    let pid = fixture.server()?.pid();
    let (started, at_first) = (Instant::now(), demand_of(pid));
    for _ in 0..IDLE_WATCHES {
        let (used_before, before) = (cpu_seconds(fixture)?, demand_of(pid));
        let watched = Instant::now();
        fixture.pump_for(IDLE_WATCH)?;
        // The time of a process that has ended meanwhile is gone from the sum.
        let used = (cpu_seconds(fixture)? - used_before).max(0.0);
        least = least.min(used / watched.elapsed().as_secs_f64());
        let wanted = part_wanted(demand_of(pid).since(before), watched);
        if least < IDLE_CPU_MAX && wanted < IDLE_WANTED {
            return Ok(format!("{:.1} % of one core", least * 100.0));
        }
    }
    let demand = demand_of(pid).since(at_first);
    let wanted = part_wanted(demand, started);
    if least < IDLE_CPU_MAX && (wanted < SPINNING_WANTED || demand.turn() < SPINNING_TURN) {
        return Ok(format!("{:.1} % of one core of a busy machine", least * 100.0));
    }
    Err(Stop::fail(
        format!("less than {:.0} % of one core with idle clients", IDLE_CPU_MAX * 100.0),
        format!(
            "{:.0} % in the quietest of {IDLE_WATCHES} seconds; it wanted a core {:.0} % of the time",
            least * 100.0,
            wanted * 100.0
        ),
    ))
}

/// Nothing where the system does not tell.
fn demand_of(pid: u32) -> CpuDemand {
    CpuDemand::of(pid).unwrap_or_default()
}

/// For which part of the time since `began` the server worked or waited for a
/// processor.
fn part_wanted(demand: CpuDemand, began: Instant) -> f64 {
    demand.wanted().as_secs_f64() / began.elapsed().as_secs_f64()
}

fn cpu_seconds(fixture: &Fixture) -> Result<f64, Stop> {
    let sample = fixture.sample()?;
    Ok(sample.cpu_seconds)
}
