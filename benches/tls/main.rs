//! What TLS costs: zillions-server with both engines beside NATS core, each with TLS and, for
//! reference, over plain TCP.
//!
//! ```sh
//! scripts/brokers
//! PATH="$PATH:$PWD/target/brokers/bin" cargo bench --bench tls [-- --quick]
//! ```
//!
//! One publisher, which receives its own messages, and 8 or 32 subscribers; bodies of 64 bytes; TLS
//! 1.3 with AES-128-GCM and a certificate on P-256 for all. Every client receives every message, and
//! every byte of it is compared with what was sent: the publisher never is more than a window ahead
//! of the slowest client, so no server drops anything.
//!
//! Each trial has a server process of its own. The trials of a round run in random order. Where there
//! are two processors, server and clients have different ones.

mod client;
mod contenders;
mod script;
mod tables;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use zillions_bench::pin::Pinning;
use zillions_harness::interrupt;
use zillions_testing::Dice;

use contenders::{Certificate, Contender};
use tables::Measured;
use trial::{Figures, Pace, Plan};

const SCENARIOS: [(&str, usize, Pace); 3] = [
    ("1 to 8, saturated", 8, Pace::Saturated),
    ("1 to 32, saturated", 32, Pace::Saturated),
    ("1,000/s to 32", 32, Pace::PerSecond(1000)),
];
/// Wrong arguments, as with the tools.
const USAGE: u8 = 64;
/// The benchmark could not measure, as with the tools.
const FAILED: u8 = 70;
/// More messages that were not sent alone are worth a warning.
const LATE_SHARE_MAX: f64 = 0.01;

/// Measures zillions-server and NATS with TLS and over plain TCP.
#[derive(Debug, Parser)]
#[command(name = "tls")]
struct Arguments {
    /// One short round, to see that everything works: its figures say nothing.
    #[arg(long)]
    quick: bool,
    /// How many times each server is measured in each scenario.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// What decides the order of the trials.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The NATS server: a path, or a name on PATH.
    #[arg(long, value_name = "PROGRAM", env = "NATS_SERVER", default_value = "nats-server")]
    nats: PathBuf,
    /// Another build of zillions-server, to measure in the same rounds.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where nobody reads it there is nothing to say.
            let _ = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let outcome = interrupt::install().map_err(|it| it.to_string()).and_then(|()| run(&arguments));
    // If ctrl-C ended a server, its handler exits.
    interrupt::wait_if_pending();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tls: error: {error}");
            FAILED.into()
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let certificate = Certificate::new().map_err(|error| format!("the certificate: {error}"))?;
    let contenders = contenders::all(&arguments.nats, arguments.before.as_deref(), &certificate)?;
    let pinning = Pinning::choose(true, 1);
    introduce(&contenders, &pinning, arguments.seed);
    let (rounds, warm_up, measure) = match arguments.quick {
        true => (1, Duration::from_millis(100), Duration::from_millis(200)),
        false => (arguments.rounds, Duration::from_millis(400), Duration::from_millis(1200)),
    };
    let mut dice = Dice::new(arguments.seed);
    let mut trials = vec![vec![Vec::<Figures>::new(); contenders.len()]; SCENARIOS.len()];
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for (scenario, index) in shuffled(contenders.len(), &mut dice) {
            let (_, subscribers, pace) = SCENARIOS[scenario];
            let plan = Plan { subscribers, pace, warm_up, measure };
            let measured = contenders[index].measure(&plan, &certificate, &pinning, round)?;
            trials[scenario][index].push(measured);
        }
    }
    show(&contenders, &trials);
    Ok(())
}

/// Every contender in every scenario once, in random order.
fn shuffled(contenders: usize, dice: &mut Dice) -> Vec<(usize, usize)> {
    let pairs = |scenario| (0..contenders).map(move |index| (scenario, index));
    let mut rest: Vec<_> = (0..SCENARIOS.len()).flat_map(pairs).collect();
    let mut order = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        order.push(rest.swap_remove(dice.below(rest.len())));
    }
    order
}

fn introduce(contenders: &[Contender], pinning: &Pinning, seed: u64) {
    for contender in contenders.iter().filter(|it| !it.has_tls) {
        println!("{}: {}", contender.name, contender.version());
    }
    match pinning.generator.first() {
        Some(cpu) => println!("servers on processors {:?}, clients on {cpu}", pinning.servers),
        None => println!("one processor for servers and clients: nothing is pinned"),
    }
    println!("TLS 1.3, TLS_AES_128_GCM_SHA256, a certificate on P-256; seed {seed}");
}

fn show(contenders: &[Contender], trials: &[Vec<Vec<Figures>>]) {
    let measured: Vec<_> = SCENARIOS
        .iter()
        .zip(trials)
        .map(|(&(scenario, ..), trials)| Measured { scenario, contenders, trials })
        .collect();
    println!("\n{}", tables::FIGURES_HEAD);
    measured.iter().flat_map(tables::figures).for_each(|row| println!("{row}"));
    println!("\n{}", tables::RATIOS_HEAD);
    measured.iter().flat_map(tables::ratios).for_each(|row| println!("{row}"));
    for it in &measured {
        let late = tables::late_share_max(it);
        if late > LATE_SHARE_MAX {
            let (scenario, late) = (it.scenario, tables::percent(late));
            println!("\n{scenario}: in one trial {late} of the messages were not sent alone");
        }
    }
}
