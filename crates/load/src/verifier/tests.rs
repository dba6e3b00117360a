use std::time::Duration;

use super::*;
use crate::filler::Filler;
use crate::outcome::Anomalies;
use crate::plan::Load;
use crate::wire::WireFormat;

const TAG: u32 = 9;
const WINDOW: Window = Window { start_ns: 1_000, end_ns: 2_000 };

/// A trial on paper: what is sent, and frames to hand to receivers at will.
struct Paper {
    verifier: Verifier,
    clients: usize,
    written: Vec<u32>,
}

impl Paper {
    fn new(clients: usize, senders: usize) -> Self {
        let plan = Plan {
            wire: WireFormat::Zillions,
            clients,
            senders,
            stalled: 0,
            churn_per_second: 0.0,
            filler: Filler::default(),
            split_writes: false,
            load: Load::Saturate,
            body_bytes: vec![20],
            warm_up: Duration::ZERO,
            measure: Duration::from_micros(1),
            late_after: Duration::from_nanos(500),
            quiet: Duration::ZERO,
            drain_max: Duration::ZERO,
            ready_max: Duration::ZERO,
            load_threads: 1,
            tag: TAG,
        };
        let mut verifier = Verifier::new(&plan);
        verifier.open(WINDOW);
        Self { verifier, clients, written: vec![0; senders] }
    }

    /// Sends a message 10 ns after it was meant to be; its frame.
    fn send(&mut self, sender: u16, intended_ns: u64) -> Vec<u8> {
        let stamp = self.verifier.send(sender, intended_ns);
        self.verifier.written(sender, stamp.sequence, intended_ns + 10, self.clients as u32);
        self.written[usize::from(sender)] += 1;
        let mut frame = Vec::new();
        body::append_frame(stamp, 20, TAG, &mut frame);
        frame
    }

    fn pairs(&self, endings: &[Ending]) -> Pairs {
        self.verifier.pairs(endings, &self.written, true)
    }
}

#[test]
fn deliveries_are_timed_from_the_intended_and_from_the_actual_send() {
    let mut paper = Paper::new(2, 1);
    let frame = paper.send(0, 1_000);
    paper.verifier.receive(0, &frame, 1_100);
    paper.verifier.receive(1, &frame, 1_300);
    let verifier = &paper.verifier.account;
    assert_eq!((verifier.delivery.min(), verifier.delivery.max()), (100, 300));
    assert_eq!((verifier.service.min(), verifier.service.max()), (90, 290));
    assert_eq!((verifier.last_receiver.len(), verifier.last_receiver.max()), (1, 300));
    let expected = Pairs { delivered: 2, ..Pairs::default() };
    assert_eq!(paper.pairs(&[Ending::Quiet; 2]), expected);
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let mut paper = Paper::new(1, 1);
    let stream: Vec<u8> = (0..5).flat_map(|i| paper.send(0, 1_000 + i)).collect();
    for piece in stream.chunks(7) {
        paper.verifier.receive(0, piece, 1_500);
    }
    assert_eq!(paper.pairs(&[Ending::Quiet]).delivered, 5);
    assert!(paper.verifier.account.counts.anomalies.is_none());
}

#[test]
fn messages_outside_the_window_are_checked_but_do_not_count() {
    let mut paper = Paper::new(1, 1);
    let early = paper.send(0, 999);
    let inside = paper.send(0, 1_999);
    let late = paper.send(0, 2_000);
    for frame in [&early, &inside, &late, &late] {
        paper.verifier.receive(0, frame, 2_100);
    }
    assert_eq!(paper.pairs(&[Ending::Quiet]), Pairs { delivered: 1, ..Pairs::default() });
    assert_eq!(paper.verifier.account.delivery.len(), 1);
    assert_eq!(paper.verifier.account.counts.anomalies.duplicated, 1);
}

#[test]
fn drops_are_found_in_the_middle_and_at_the_end() {
    let mut paper = Paper::new(2, 1);
    let frames: Vec<_> = (0..4).map(|i| paper.send(0, 1_000 + i)).collect();
    paper.verifier.receive(0, &frames[0], 1_100);
    paper.verifier.receive(0, &frames[2], 1_100);
    let pairs = paper.pairs(&[Ending::Quiet; 2]);
    assert_eq!(pairs, Pairs { delivered: 2, dropped: 6, ..Pairs::default() });
    assert_eq!(pairs.expected(), 4 * 2);
}

#[test]
fn what_a_lost_or_a_busy_receiver_lacks_at_the_end_is_no_drop() {
    let mut paper = Paper::new(2, 1);
    let frames: Vec<_> = (0..4).map(|i| paper.send(0, 1_000 + i)).collect();
    for receiver in 0..2 {
        paper.verifier.receive(receiver, &frames[1], 1_100);
    }
    let pairs = paper.pairs(&[Ending::Lost, Ending::Busy]);
    let expected = Pairs { delivered: 2, dropped: 2, cut_off: 2, pending: 2, ..Pairs::default() };
    assert_eq!(pairs, expected);
}

#[test]
fn messages_that_the_server_did_not_take_are_charged_when_they_were_due() {
    let mut paper = Paper::new(3, 1);
    let frame = paper.send(0, 1_000);
    for receiver in 0..3 {
        paper.verifier.receive(receiver, &frame, 1_100);
    }
    paper.verifier.send(0, 1_001); // queued, never written
    paper.verifier.refuse(0, 1_002); // not even queued
    let endings = [Ending::Quiet; 3];
    let charged = paper.verifier.pairs(&endings, &paper.written, true);
    assert_eq!(charged, Pairs { delivered: 3, unsent: 6, ..Pairs::default() });
    let saturating = paper.verifier.pairs(&endings, &paper.written, false);
    assert_eq!(saturating, Pairs { delivered: 3, ..Pairs::default() });
}

#[test]
fn every_kind_of_fault_is_told_apart() {
    let mut paper = Paper::new(1, 2);
    let first = paper.send(1, 1_000);
    let second = paper.send(1, 1_001);
    let mut corrupted = paper.send(0, 1_002);
    corrupted[20] ^= 1;
    let mut invented = Vec::new();
    let stamp = Stamp { intended_ns: 1_003, sequence: 77, sender: 0 };
    body::append_frame(stamp, 20, TAG, &mut invented);
    for frame in [&second, &first, &second, &corrupted, &invented] {
        paper.verifier.receive(0, frame, 1_100);
    }
    let anomalies = paper.verifier.account.counts.anomalies;
    let one_each = Anomalies { duplicated: 1, corrupted: 1, invented: 1, reordered: 1 };
    assert_eq!(anomalies, one_each);
    let pairs = paper.pairs(&[Ending::Quiet]);
    assert_eq!(pairs, Pairs { delivered: 1, reordered: 1, dropped: 1, ..Pairs::default() });
}

#[test]
fn late_deliveries_are_counted() {
    let mut paper = Paper::new(1, 1);
    let frames: Vec<_> = (0..2).map(|i| paper.send(0, 1_000 + i)).collect();
    paper.verifier.receive(0, &frames[0], 1_500);
    paper.verifier.receive(0, &frames[1], 1_502);
    assert_eq!(paper.verifier.account.counts.late, 1);
}

#[test]
fn probes_are_verified_and_otherwise_passed_over() {
    let mut paper = Paper::new(1, 1);
    let mut probe = Vec::new();
    let stamp = Stamp { intended_ns: 1_500, sequence: 0, sender: PROBE_SENDER };
    body::append_frame(stamp, 20, TAG, &mut probe);
    paper.verifier.receive(0, &probe, 1_600);
    assert!(paper.verifier.account.counts.anomalies.is_none());
    assert_eq!(paper.verifier.account.counts.arrived, 0);
    assert_eq!(paper.verifier.served(), 1);
}
