//! LIFE-5: when descriptors run out.

use std::time::Duration;

use crate::case::Case;
use crate::cases::common::descriptors::{BEYOND, use_up_descriptors, with_few_descriptors};
use crate::cases::common::output::nothing_but_the_line;
use crate::context::CaseContext;
use crate::fixture::{ClientIndex, Fixture};
use crate::verdict::{Outcome, Stop};

/// How often to check whether a client was accepted.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(super) const CASES: &[Case] = &[Case::must_launching(
    "scale/descriptors-run-out",
    "LIFE-5",
    "with too few descriptors for all who connect, accepted clients are served, and later new ones too",
    descriptors_run_out,
)];

fn descriptors_run_out(context: &mut CaseContext) -> Outcome {
    with_few_descriptors(context, beyond_the_limit)
}

fn beyond_the_limit(fixture: &mut Fixture, limit: u64) -> Outcome {
    let inside = fixture.join(8, "client from before")?;
    beyond_once(fixture, limit, &inside)?;
    let note = beyond_once(fixture, limit, &inside)?;
    nothing_but_the_line(fixture)?;
    Ok(note)
}

fn beyond_once(fixture: &mut Fixture, limit: u64, inside: &[ClientIndex]) -> Outcome {
    let beyond = use_up_descriptors(fixture, limit)?;
    // Many rounds of messages give the server time to run into its limit.
    for turn in 0..20 {
        let client = inside[turn % inside.len()];
        let expected = "while descriptors are used up, accepted clients are served";
        fixture.send_until_delivered(client, inside, expected)?;
    }
    let served: Vec<ClientIndex> = beyond
        .iter()
        .copied()
        .filter(|&client| fixture.recorder.tally(client, inside[0]).received > 0)
        .collect();
    if served.len() == beyond.len() {
        let clients = beyond.len() + inside.len();
        return Err(limit_not_reached(fixture.sample()?.processes, clients, limit));
    }
    let waiting: Vec<ClientIndex> =
        beyond.iter().copied().filter(|client| !served.contains(client)).collect();
    // First those leave that were accepted: one of those that wait is accepted then.
    for &client in &served {
        fixture.close(client);
    }
    one_is_accepted(fixture, inside[0], &waiting)?;
    // Then all others.
    for client in waiting {
        fixture.close(client);
    }
    fixture.pump_for(Duration::from_millis(100))?;
    let joiners = [fixture.connect("new client")?, fixture.connect("new client")?];
    let everyone: Vec<ClientIndex> = inside.iter().copied().chain(joiners).collect();
    fixture.send_until_delivered(
        inside[0],
        &everyone,
        "once descriptors are free, new clients are served",
    )?;
    fixture.deliver(&[(joiners[0], 30), (inside[0], 30)], &everyone)?;
    joiners.into_iter().for_each(|joiner| fixture.close(joiner));
    Ok(format!("limit {limit}, {} of {} beyond it were accepted", served.len(), limit + BEYOND))
}

/// Why all clients were served. The limit is that of a process: with a process for each client none
/// of them comes near it, whatever their number.
fn limit_not_reached(processes: u64, clients: usize, limit: u64) -> Stop {
    if processes > clients as u64 {
        return Stop::Skip(format!(
            "all {clients} clients were served, by {processes} processes with a limit of {limit} \
             descriptors each"
        ));
    }
    Stop::Inconclusive(format!(
        "all {clients} clients were served: the limit of {limit} descriptors was not reached"
    ))
}

/// No client connects, so nothing but the free descriptors tells the server. Some
/// runtimes keep none waiting: with a descriptor kept for that they accept a client
/// beyond the limit and close it at once.
fn one_is_accepted(
    fixture: &mut Fixture,
    talker: ClientIndex,
    waiting: &[ClientIndex],
) -> Result<(), Stop> {
    let patience = fixture.limits.patience();
    let mut granted = fixture.granted_time();
    let accepted = |fixture: &Fixture| {
        waiting.iter().any(|&client| fixture.recorder.tally(client, talker).received > 0)
    };
    let turned_away =
        |fixture: &Fixture| waiting.iter().all(|&client| fixture.client(client).end().is_some());
    while granted.look() < patience {
        fixture.send_until_delivered(talker, &[talker], "a message once descriptors are free")?;
        if fixture.pump_until(POLL_INTERVAL, |fixture| accepted(fixture) || turned_away(fixture))? {
            return Ok(());
        }
    }
    let expected = "a client that waited for a descriptor is accepted once there are some";
    Err(fixture.failure(waiting[0], expected, format!("none of {} was", waiting.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_for_each_client_never_comes_near_the_limit() {
        assert!(matches!(limit_not_reached(129, 128, 96), Stop::Skip(_)));
    }

    #[test]
    fn a_few_processes_do_not_explain_why_all_were_served() {
        assert!(matches!(limit_not_reached(4, 128, 96), Stop::Inconclusive(_)));
    }
}
