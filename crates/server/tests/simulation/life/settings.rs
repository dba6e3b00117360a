//! How a server is configured: the dice decide.

use std::num::NonZeroU64;
use std::time::Duration;

use zillions_server::Config;
use zillions_server::admission::AdmissionLimits;
use zillions_server::config::IdleTraffic;
use zillions_server::listener_rules::{ListenerRules, Role, UnwantedSender};
use zillions_server::rate::Rates;
use zillions_server::room::RoomConfig;
use zillions_server::slow_reader::{SlowReader, SlowReaderPolicy};
use zillions_testing::Dice;

pub(super) fn room_config(dice: &mut Dice, number: usize) -> RoomConfig {
    let policies =
        [SlowReader::Drop, SlowReader::Drop, SlowReader::Disconnect, SlowReader::Backpressure];
    let ring_bytes = dice.pick(&[16, 32]) * 1024;
    let slow_reader = SlowReaderPolicy {
        reaction: dice.pick(&policies),
        lag_bytes_max: dice.pick(&[ring_bytes / 2, ring_bytes / 2, 2048]) as u64,
        eviction_timeout: Duration::from_secs(2),
    };
    let clients_max = dice.one_in(4).then_some(4);
    let (name, upstreams) = (number.to_string(), Vec::new());
    RoomConfig {
        name,
        ring_bytes,
        slow_reader,
        clients_max,
        upstreams,
        upstream_ca: None,
        cluster: None,
    }
}

pub(super) fn config(dice: &mut Dice) -> Config {
    Config {
        admission: AdmissionLimits {
            clients_max: dice.one_in(4).then_some(8),
            clients_per_ip_max: dice.one_in(4).then_some(2),
        },
        idle_timeout: None,
        idle_traffic: IdleTraffic::Sent,
        coalesce_max: Duration::from_micros(100),
        lame_duck: Duration::from_secs(4),
        drain_timeout: Duration::from_secs(2),
        handshake_timeout: Duration::from_secs(2),
    }
}

pub(super) fn listener_rules(dice: &mut Dice) -> ListenerRules {
    let rate = |per_second| NonZeroU64::new(per_second).expect("not 0");
    ListenerRules {
        role: dice.pick(&[Role::Both, Role::ListenOnly, Role::PublishOnly]),
        unwanted_sender: dice.pick(&[UnwantedSender::Discard, UnwantedSender::Disconnect]),
        clients_max: dice.one_in(3).then_some(2),
        clients_per_ip_max: dice.one_in(6).then_some(1),
        rates: Rates {
            messages: dice.one_in(3).then(|| rate(20)),
            bytes: dice.one_in(3).then(|| rate(2000)),
        },
    }
}
