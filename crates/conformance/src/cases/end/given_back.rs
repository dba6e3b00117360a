//! END-4: what is left of clients that have gone.

use std::fs;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::cases::common::ends::END_SEEN;
use crate::cases::common::memory::{PART_TIME, until_steady};
use crate::cases::common::slow_readers::leave_a_backlog;
use crate::client::ConnectOptions;
use crate::fixture::{ClientIndex, Fixture};
use crate::verdict::{Outcome, Stop};

/// Descriptors that a server may have more than before, once all clients are
/// gone: a log file or an event queue opened lazily.
const DESCRIPTORS_SLACK: u64 = 4;
/// Time for clients that come and go; a server that takes long for each message
/// ends it by time.
const LEAVING_TIME: Duration = Duration::from_secs(8);
/// Clients that come and go one after the other, to see whether a thread or a
/// process is left of each.
const PAST_CLIENTS: u64 = 300;
/// Clients that come and go in a part of that load.
const PASSING_CLIENTS: usize = 250;
/// One in so many clients that leave does so with messages queued for it.
const STALLED_EVERY: usize = 24;
/// A way to leave for a client that reads.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// At once.
    Close,
    /// At once, with a reset.
    Reset,
    /// Its stream ends first.
    EndThenClose,
    /// With a message on its way.
    SendThenReset,
    /// In the middle of a frame, at the stream's end.
    CutThenClose,
    /// In the middle of a frame, with a reset.
    CutThenReset,
    /// After it has sent and received.
    SendThenClose,
    /// After it has received, without ever sending.
    ReceiveThenReset,
}
/// Each of them so often that what a single one leaves behind shows.
const WAYS: [Way; 8] = [
    Way::Close,
    Way::Reset,
    Way::EndThenClose,
    Way::SendThenReset,
    Way::CutThenClose,
    Way::CutThenReset,
    Way::SendThenClose,
    Way::ReceiveThenReset,
];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "end/descriptors-given-back",
        "END-4",
        "after five hundred clients have left in every way, the server holds no more descriptors than before",
        descriptors_given_back,
    )
    .at_its_pace()
    .launching(),
    Case::must(
        "end/threads-and-processes-given-back",
        "END-4",
        "after three hundred clients have left, no thread or process is left of most of them",
        threads_and_processes_given_back,
    )
    .launching(),
    Case::must(
        "memory/past-clients",
        "END-4",
        "memory stops growing while clients come and go",
        past_clients,
    )
    .sending(512 << 10)
    .launching()
    .alone(),
];

fn descriptors_given_back(fixture: &mut Fixture) -> Outcome {
    let stayer = fixture.join(1, "stayer")?[0];
    leave_in_every_way(fixture, stayer, 40)?;
    let before = lowest_descriptors(fixture, 0)?;
    let left = leave_in_every_way(fixture, stayer, 500)?;
    let after = lowest_descriptors(fixture, before + DESCRIPTORS_SLACK)?;
    if after <= before + DESCRIPTORS_SLACK {
        return Ok(format!("{before} descriptors before, {after} after {left} clients"));
    }
    Err(Stop::fail(
        format!("about {before} descriptors, as before the clients connected"),
        format!("{after} after {left} clients have come and gone"),
    ))
}

fn threads_and_processes_given_back(fixture: &mut Fixture) -> Outcome {
    let stayer = fixture.join(1, "stayer")?[0];
    let count = |fixture: &Fixture| -> Result<u64, Stop> {
        let sample = fixture.sample()?;
        Ok(sample.threads + sample.processes + ended_children(fixture)?)
    };
    let (before, started) = (count(fixture)?, Instant::now());
    let mut left = 0;
    while left < PAST_CLIENTS && started.elapsed() < LEAVING_TIME {
        let guest = fixture.connect("guest")?;
        fixture.await_served(guest, &[guest, stayer])?;
        fixture.close(guest);
        left += 1;
    }
    // A pool may keep some for later; one for each is a leak.
    let allowed = before + left / 2;
    let patience = fixture.limits.patience();
    let mut now = count(fixture)?;
    fixture.pump_while_granted(patience, |fixture| {
        now = count(fixture).unwrap_or(now);
        now <= allowed
    })?;
    if now <= allowed {
        return Ok(format!("{before} before, {now} after {left} clients"));
    }
    Err(Stop::fail(
        format!(
            "at most {allowed} threads and processes: {before} before, and one for every other client"
        ),
        format!("{now} after {left} clients have come and gone"),
    ))
}

/// Processes that the server has started, that have ended, and that it has not
/// waited for: the system keeps an entry for each.
fn ended_children(fixture: &Fixture) -> Result<u64, Stop> {
    let tasks = format!("/proc/{}/task", fixture.server()?.pid());
    let Ok(threads) = fs::read_dir(tasks) else { return Ok(0) };
    let lists = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")));
    let ended = |pid: &&str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    Ok(lists.flatten().map(|list| list.split_whitespace().filter(ended).count() as u64).sum())
}

/// Waits until the server holds at most `wanted` descriptors, or does nothing any more;
/// returns how many it holds then.
fn lowest_descriptors(fixture: &mut Fixture, wanted: u64) -> Result<u64, Stop> {
    /// For how long it does nothing then.
    const STEADY: Duration = Duration::from_secs(1);
    let mut lowest = fixture.sample()?.descriptors;
    fixture.pump_until_silent(STEADY, |fixture| {
        lowest = fixture.sample().map_or(lowest, |sample| lowest.min(sample.descriptors));
        lowest <= wanted
    })?;
    Ok(lowest)
}

/// `leaver` leaves.
fn leave(
    fixture: &mut Fixture,
    stayer: ClientIndex,
    leaver: ClientIndex,
    way: Way,
) -> Result<(), Stop> {
    match way {
        Way::Close | Way::Reset => {}
        Way::EndThenClose => {
            fixture.finish_sending(leaver);
            fixture.pump(Duration::ZERO)?;
        }
        Way::SendThenReset => {
            fixture.send(leaver, 30);
            fixture.flush()?;
        }
        Way::CutThenClose | Way::CutThenReset => {
            fixture.queue_bytes(leaver, &[9, 1]);
            fixture.flush()?;
            // The server has read the part, because it has read what was sent later.
            fixture.send_until_delivered(
                stayer,
                &[stayer],
                "a message beside an incomplete frame",
            )?;
            if let Way::CutThenClose = way {
                fixture.finish_sending(leaver);
                fixture.pump(Duration::ZERO)?;
            }
        }
        Way::SendThenClose => fixture.await_served(leaver, &[leaver, stayer])?,
        Way::ReceiveThenReset => fixture.await_served(stayer, &[leaver, stayer])?,
    }
    match way {
        Way::Reset | Way::SendThenReset | Way::CutThenReset | Way::ReceiveThenReset => {
            fixture.reset(leaver);
        }
        Way::Close | Way::EndThenClose | Way::CutThenClose | Way::SendThenClose => {
            fixture.close(leaver);
        }
    }
    Ok(())
}

/// `leaver` leaves while messages wait for it: with a reset, or after its stream has
/// ended, and then with a reset or without.
fn leave_with_a_backlog(
    fixture: &mut Fixture,
    stayer: ClientIndex,
    leaver: ClientIndex,
    way: usize,
) -> Result<(), Stop> {
    leave_a_backlog(fixture, stayer, leaver)?;
    let (ends, resets) = [(false, true), (true, false), (true, true)][way % 3];
    if ends {
        fixture.finish_sending(leaver);
        fixture.send_until_delivered(
            stayer,
            &[stayer],
            "a message beside a client that has ended its stream",
        )?;
    }
    if resets {
        fixture.reset(leaver);
        // The server sees it before it can write again.
        fixture.pump_for(END_SEEN)?;
    } else {
        fixture.close(leaver);
    }
    Ok(())
}

/// At most `count` clients come and go; returns how many did in the time there is.
fn leave_in_every_way(
    fixture: &mut Fixture,
    stayer: ClientIndex,
    count: usize,
) -> Result<usize, Stop> {
    let started = Instant::now();
    let mut left = 0;
    while left < count && started.elapsed() < LEAVING_TIME {
        let (round, turn) = (left / STALLED_EVERY, left % STALLED_EVERY);
        left += 1;
        if turn == 0 {
            let leaver = fixture.connect_with("stalled leaver", ConnectOptions::SMALL)?;
            leave_with_a_backlog(fixture, stayer, leaver, round)?;
        } else {
            let leaver = fixture.connect("leaver")?;
            leave(fixture, stayer, leaver, WAYS[(round + turn) % WAYS.len()])?;
        }
    }
    fixture.send_until_delivered(
        stayer,
        &[stayer],
        "a message after clients have come and gone",
    )?;
    Ok(left)
}

fn past_clients(fixture: &mut Fixture) -> Outcome {
    let stayer = fixture.join(1, "stayer")?[0];
    until_steady(fixture, |fixture| {
        let started = Instant::now();
        let mut clients = 0;
        while clients < PASSING_CLIENTS && started.elapsed() < 3 * PART_TIME {
            let guest = fixture.connect_with("guest", ConnectOptions::STALLED)?;
            for _ in 0..4 {
                fixture.send(guest, 200);
                fixture.send(stayer, 200);
            }
            fixture.pump(Duration::from_millis(1))?;
            if clients % 2 == 0 {
                fixture.close(guest)
            } else {
                fixture.reset(guest)
            }
            clients += 1;
        }
        fixture.send_until_delivered(stayer, &[stayer], "a message while clients come and go")?;
        // What a past client may leave behind unnoticed, in all.
        Ok(clients as u64 * 2048)
    })
}
