//! END: half-close, end of file, resets.

use std::fs;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::client::{ConnectOptions, End};
use crate::room::{ClientIndex, Flood, IN_FLIGHT_MAX, Room};
use crate::verdict::{Note, Outcome, Stop};

/// Descriptors that a server may have more than before, once all clients are
/// gone: a log file or an event queue opened lazily.
const DESCRIPTORS_SLACK: u64 = 4;

/// Time for clients that come and go; a server that takes long for each message
/// ends it by time.
const LEAVING_TIME: Duration = Duration::from_secs(6);

/// Clients that come and go one after the other, to see whether a thread or a
/// process is left of each.
const PAST_CLIENTS: u64 = 300;

/// Every so-manieth client that leaves does so with messages queued for it.
const STALLED_EVERY: usize = 25;
/// What is sent past it, in bytes: more than the system keeps for it. And the
/// time for it, by which slow servers end it.
const BACKLOG_BYTES: u64 = 512 * 1024;
const BACKLOG_TIME: Duration = Duration::from_millis(500);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "end/frames-before-end",
        "END-1",
        "what a client sends right before it closes its sending side reaches the others",
        frames_before_end,
    )
    .quick(),
    Case::must(
        "end/frame-before-close",
        "END-1",
        "what a client sends right before it closes its socket reaches the others",
        frame_before_close,
    ),
    Case::must(
        "end/echo-after-end",
        "END-2",
        "a client that has closed its sending side still gets its own messages",
        echo_after_end,
    )
    .should(),
    Case::must(
        "end/close-after-end",
        "END-2",
        "the server closes the connection of a client that has closed its sending side",
        close_after_end,
    )
    .should(),
    Case::must(
        "end/reset-after-connect",
        "END-3",
        "two hundred clients that reset right after connecting end nothing but themselves",
        reset_after_connect,
    )
    .quick(),
    Case::must(
        "end/reset-in-mid-frame",
        "END-3",
        "clients that reset in the middle of a frame end nothing but themselves",
        reset_in_mid_frame,
    ),
    Case::must(
        "end/reset-while-written-to",
        "END-3",
        "clients that reset while the server writes to them end nothing but themselves",
        reset_while_written_to,
    )
    .quick(),
    Case::must(
        "end/descriptors-given-back",
        "END-4",
        "after five hundred clients have left in every way, the server holds no more descriptors than before",
        descriptors_given_back,
    )
    .launching(),
    Case::must(
        "end/threads-and-processes-given-back",
        "END-4",
        "after three hundred clients have left, no thread or process is left of most of them",
        threads_and_processes_given_back,
    )
    .launching(),
];

fn frames_before_end(room: &mut Room) -> Outcome {
    let listeners = room.join(2, "listener")?;
    for _ in 0..50 {
        let sender = room.connect("client that ends its stream")?;
        send_and_end(room, sender, IN_FLIGHT_MAX as u32)?;
        came_before_end(room, sender, IN_FLIGHT_MAX as u32, &listeners)?;
        room.close(sender);
    }
    Ok(Note::new())
}

fn send_and_end(room: &mut Room, sender: ClientIndex, count: u32) -> Result<(), Stop> {
    for _ in 0..count {
        room.say(sender, 100);
    }
    room.flush()?;
    room.finish_sending(sender);
    Ok(())
}

fn came_before_end(
    room: &mut Room,
    sender: ClientIndex,
    count: u32,
    to: &[ClientIndex],
) -> Result<(), Stop> {
    let expected = format!("{count} whole messages that a client sent before it ended");
    room.await_message(sender, count - 1, to, &expected)?;
    for &receiver in to {
        let received = room.recorder.tally(receiver, sender).received;
        if received != count {
            return Err(room.failure(receiver, expected, format!("{received} of them")));
        }
    }
    Ok(())
}

fn frame_before_close(room: &mut Room) -> Outcome {
    let listeners = room.join(2, "listener")?;
    for _ in 0..50 {
        let sender = room.connect("client that closes")?;
        // One message only: the server's echo may meet a closed socket, and
        // the reset that answers it may overtake further ones.
        room.say(sender, 100);
        room.flush()?;
        room.close(sender);
        came_before_end(room, sender, 1, &listeners)?;
    }
    Ok(Note::new())
}

fn echo_after_end(room: &mut Room) -> Outcome {
    let listener = room.join(1, "listener")?[0];
    for _ in 0..10 {
        let sender = room.connect("client that ends its stream")?;
        room.settle(sender, &[sender, listener])?;
        let last = room.recorder.sent(sender) + IN_FLIGHT_MAX as u32 - 1;
        send_and_end(room, sender, IN_FLIGHT_MAX as u32)?;
        room.await_message(sender, last, &[sender], "its own messages, after it ended its stream")?;
        room.close(sender);
    }
    Ok(Note::new())
}

fn close_after_end(room: &mut Room) -> Outcome {
    let sender = room.join(1, "client that ends its stream")?[0];
    send_and_end(room, sender, 1)?;
    let patience = room.trial.patience();
    let ended = room.pump_until(patience, |room| room.client(sender).end().is_some())?;
    match room.client(sender).end() {
        Some(End::EndOfFile) => Ok(Note::new()),
        end => {
            let came = match end {
                Some(End::Broken(error)) => format!("{error} instead of an end of file"),
                _ => format!("still open after {:.0} s", patience.as_secs_f64()),
            };
            debug_assert!(ended || end.is_none());
            Err(room.failure(sender, "the server closes its side, too", came))
        }
    }
}

fn reset_after_connect(room: &mut Room) -> Outcome {
    let stayers = room.join(2, "stayer")?;
    for turn in 0..200 {
        let client = room.connect("client that resets at once")?;
        room.reset(client);
        if turn % 20 == 0 {
            room.deliver(&[(stayers[0], 30), (stayers[1], 30)], &stayers)?;
        }
    }
    newcomer_is_served(room, &stayers)
}

/// Those who stayed go on, and somebody new is served.
fn newcomer_is_served(room: &mut Room, stayers: &[ClientIndex]) -> Outcome {
    room.insist(stayers[0], stayers, "a message after others were reset")?;
    let newcomer = room.connect("newcomer")?;
    room.settle(newcomer, &[newcomer])?;
    room.deliver(&[(stayers[0], 30), (newcomer, 30)], stayers)?;
    Ok(Note::new())
}

fn reset_in_mid_frame(room: &mut Room) -> Outcome {
    let stayers = room.join(2, "stayer")?;
    for turn in 0..60usize {
        let client = room.connect("client that resets in mid-frame")?;
        let (_, frame) = room.frame_of_next(client, 200);
        room.queue_bytes(client, &frame[..1 + turn * 3]);
        room.flush()?;
        if turn % 2 == 0 {
            // Every other one only after the server has seen the part.
            room.fence(stayers[0], &stayers, "a message beside an incomplete frame")?;
        }
        room.reset(client);
        room.deliver(&[(stayers[1], 30)], &stayers)?;
    }
    room.check_violations()?;
    newcomer_is_served(room, &stayers)
}

fn reset_while_written_to(room: &mut Room) -> Outcome {
    let stayers = room.join(2, "stayer")?;
    for turn in 0..20 {
        let client = room.connect_with("client that does not read", ConnectOptions::STALLED)?;
        let flood =
            Flood { senders: vec![stayers[0]], steady: true, bytes: 96 * 1024, length: 250 };
        room.flood(&flood, Duration::from_millis(100))?;
        if turn % 2 == 0 {
            for _ in 0..50 {
                room.say(stayers[0], 250);
            }
            room.flush()?;
        }
        room.reset(client);
        room.insist(stayers[0], &stayers, "a message after a client was reset")?;
    }
    newcomer_is_served(room, &stayers)
}

fn descriptors_given_back(room: &mut Room) -> Outcome {
    let stayer = room.join(1, "stayer")?;
    leave_in_every_way(room, &stayer, 40)?;
    let before = lowest_descriptors(room, 0)?;
    let left = leave_in_every_way(room, &stayer, 500)?;
    let after = lowest_descriptors(room, before + DESCRIPTORS_SLACK)?;
    if after <= before + DESCRIPTORS_SLACK {
        return Ok(format!("{before} descriptors before, {after} after {left} clients"));
    }
    Err(Stop::fail(
        format!("about {before} descriptors, as before the clients came"),
        format!("{after} after {left} clients have come and gone"),
    ))
}

fn threads_and_processes_given_back(room: &mut Room) -> Outcome {
    let stayer = room.join(1, "stayer")?[0];
    let count = |room: &Room| -> Result<u64, Stop> {
        let sample = room.sample()?;
        Ok(sample.threads + sample.processes + ended_children(room)?)
    };
    let (before, started) = (count(room)?, Instant::now());
    let mut left = 0;
    while left < PAST_CLIENTS && started.elapsed() < LEAVING_TIME {
        let guest = room.connect("guest")?;
        room.settle(guest, &[guest, stayer])?;
        room.close(guest);
        left += 1;
    }
    // A pool may keep some for later; one for each is a leak.
    let allowed = before + left / 2;
    let patience = room.trial.patience();
    let mut now = count(room)?;
    room.pump_until(patience, |room| {
        now = count(room).unwrap_or(now);
        now <= allowed
    })?;
    if now <= allowed {
        return Ok(format!("{before} before, {now} after {left} clients"));
    }
    Err(Stop::fail(
        format!("at most {allowed} threads and processes: {before} before, and half a guest's"),
        format!("{now} after {left} clients have come and gone"),
    ))
}

/// Processes that the server has started, that have ended, and that it has not
/// asked about: the system keeps an entry for each.
fn ended_children(room: &Room) -> Result<u64, Stop> {
    let tasks = format!("/proc/{}/task", room.server()?.pid());
    let Ok(threads) = fs::read_dir(tasks) else { return Ok(0) };
    let lists = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")));
    let ended = |pid: &&str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state stands behind the name, which is in brackets.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    Ok(lists.flatten().map(|list| list.split_whitespace().filter(ended).count() as u64).sum())
}

/// Waits until the server holds at most `wanted` descriptors, or for a second
/// longer than anything changes; returns how many it holds then.
fn lowest_descriptors(room: &mut Room, wanted: u64) -> Result<u64, Stop> {
    /// Looks without a change after which the number counts as settled.
    const STEADY_LOOKS: u32 = 20;
    let mut lowest = u64::MAX;
    let mut steady = 0;
    while steady < STEADY_LOOKS {
        let sample = room.sample()?;
        if sample.descriptors <= wanted {
            return Ok(sample.descriptors);
        }
        steady = if sample.descriptors < lowest { 0 } else { steady + 1 };
        lowest = lowest.min(sample.descriptors);
        room.pump_until(Duration::from_millis(50), |_| false)?;
    }
    Ok(lowest)
}

/// A client stops reading until messages have to wait for it, and leaves.
fn leave_with_a_backlog(
    room: &mut Room,
    stayer: ClientIndex,
    leaver: ClientIndex,
) -> Result<(), Stop> {
    room.settle(stayer, &[stayer, leaver])?;
    room.set_reading(leaver, false)?;
    let flood = Flood { senders: vec![stayer], steady: true, bytes: BACKLOG_BYTES, length: 250 };
    room.flood(&flood, BACKLOG_TIME)?;
    room.insist(stayer, &[stayer], "a message beside a client that does not read")?;
    room.reset(leaver);
    Ok(())
}

fn leave_in_every_way(
    room: &mut Room,
    stayer: &[ClientIndex],
    count: usize,
) -> Result<usize, Stop> {
    let started = Instant::now();
    let mut left = 0;
    while left < count && started.elapsed() < LEAVING_TIME {
        let turn = left;
        left += 1;
        let slow = turn % STALLED_EVERY == 0;
        let options = if slow { ConnectOptions::SMALL } else { ConnectOptions::default() };
        let leaver = room.connect_with("leaver", options)?;
        if slow {
            leave_with_a_backlog(room, stayer[0], leaver)?;
            continue;
        }
        match turn % 4 {
            0 => room.close(leaver),
            1 => {
                room.say(leaver, 30);
                room.flush()?;
                room.reset(leaver);
            }
            2 => {
                room.queue_bytes(leaver, &[9, 1]);
                room.flush()?;
                room.finish_sending(leaver);
                room.pump(Duration::ZERO)?;
                room.close(leaver);
            }
            _ => {
                room.settle(leaver, &[leaver, stayer[0]])?;
                room.close(leaver);
            }
        }
        if turn % 50 == 0 {
            room.insist(stayer[0], stayer, "a message while clients come and go")?;
        }
    }
    room.insist(stayer[0], stayer, "a message after clients have come and gone")?;
    Ok(left)
}
