//! `zillions doctor`: what this machine is, and what would make results invalid.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use serde::Serialize;
use zillions_harness::limits::{self, DESCRIPTORS_MIN};
use zillions_harness::machine::Machine;
use zillions_harness::toolchain::Toolchain;
use zillions_harness::{LeftBehind, PortLease, left_behind};

use crate::building::probe_all;
use crate::failure::{Failure, Outcome};
use crate::options::{Format, Global};
use crate::output::{self, BAD, DOUBTFUL, FAINT, GOOD, HEADING, paint};
use crate::targets;

/// Connections that the largest case of the suite opens, with a margin.
const DESCRIPTORS_WANTED: u64 = 2_200;
/// Above this share of runnable processes per processor, times are noise.
const LOAD_PER_CPU_MAX: f64 = 0.5;

/// Examine this machine: limits, tool chains, and what would invalidate results.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  zillions doctor\n\n\
    Exit codes: 0 usable (there may be advice), 1 something is broken, 70 the tool cannot work here.")]
pub struct Arguments {
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// `zillions.doctor/1`.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    machine: Machine,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    subject: &'static str,
    found: String,
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Good,
    Advice,
    Broken,
}

/// Examines the machine and prints the findings.
///
/// # Errors
/// When something is broken.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    limits::ensure_minimum(DESCRIPTORS_MIN).map_err(Failure::harness)?;
    let machine = Machine::read();
    let mut findings = vec![
        processors(&machine),
        load(&machine),
        governor(&machine),
        descriptors(&machine),
        loopback("IPv4 loopback", IpAddr::V4(Ipv4Addr::LOCALHOST), Level::Broken),
        loopback("IPv6 loopback", IpAddr::V6(Ipv6Addr::LOCALHOST), Level::Advice),
        left_running(&left_behind()),
    ];
    findings.push(toolchains(global));
    let broken = findings.iter().filter(|finding| finding.level == Level::Broken).count();
    match arguments.format {
        Format::Human => output::print(&human(&machine, &findings))?,
        Format::Json => {
            output::print_json(&Report { schema: "zillions.doctor/1", machine, findings })?;
        }
    }
    if broken == 0 { Ok(()) } else { Err(Failure::fail(format!("{broken} problems"))) }
}

fn finding(subject: &'static str, good: bool, found: String, remedy: &str) -> Finding {
    let level = if good { Level::Good } else { Level::Advice };
    Finding { level, subject, found, remedy: (!good).then(|| remedy.to_owned()) }
}

fn processors(machine: &Machine) -> Finding {
    finding(
        "processors",
        machine.cpus >= 2,
        machine.cpus.to_string(),
        "server and load generator share one processor: compare CPU per delivery, not rates",
    )
}

fn load(machine: &Machine) -> Finding {
    finding(
        "load",
        machine.load_average <= LOAD_PER_CPU_MAX * machine.cpus as f64,
        format!("{:.2} over the last minute", machine.load_average),
        "other programs are busy: close them before you measure",
    )
}

fn governor(machine: &Machine) -> Finding {
    let name = machine.cpu_governor.as_deref();
    finding(
        "CPU speed",
        name.is_none_or(|name| name == "performance"),
        name.map_or_else(|| "no governor reported".to_owned(), |name| format!("governor '{name}'")),
        "the processor changes its speed while measuring: cpupower frequency-set -g performance",
    )
}

fn descriptors(machine: &Machine) -> Finding {
    finding(
        "descriptors",
        machine.descriptor_limit >= DESCRIPTORS_WANTED,
        format!("at most {} per process", machine.descriptor_limit),
        &format!("cases with many clients are skipped: ulimit -n {DESCRIPTORS_WANTED}"),
    )
}

fn loopback(subject: &'static str, ip: IpAddr, level: Level) -> Finding {
    match PortLease::take(ip) {
        Ok(_) => Finding { level: Level::Good, subject, found: "usable".to_owned(), remedy: None },
        Err(error) => Finding {
            level,
            subject,
            found: error.to_string(),
            remedy: Some("bring the loopback interface up: ip link set lo up".to_owned()),
        },
    }
}

/// Processes whose tool was killed: they may hold ports, and take time from what is measured.
fn left_running(left: &[LeftBehind]) -> Finding {
    let names = left
        .iter()
        .map(|it| format!("{} ({}), started by process {}", it.pid, it.command, it.tool_pid));
    let found = match left {
        [] => "nothing of an earlier run".to_owned(),
        _ => format!(
            "still running after the end of their tool: {}",
            names.collect::<Vec<_>>().join("; ")
        ),
    };
    let pids: Vec<String> = left.iter().map(|it| it.pid.to_string()).collect();
    finding(
        "left behind",
        left.is_empty(),
        found,
        &format!("end them: kill -KILL {}", pids.join(" ")),
    )
}

fn toolchains(global: &Global) -> Finding {
    let subject = "tool chains";
    let entries = match targets::entries(&[], &global.impls) {
        Ok(entries) => entries,
        Err(failure) => {
            let remedy = Some("see docs/adding-an-implementation.md".to_owned());
            return Finding { level: Level::Broken, subject, found: failure.message, remedy };
        }
    };
    let probes = probe_all(&entries);
    let missing: Vec<&str> = entries
        .iter()
        .zip(&probes)
        .filter(|(_, toolchain)| matches!(toolchain, Toolchain::Missing { .. }))
        .map(|(entry, _)| entry.name.as_str())
        .collect();
    let found = match missing.as_slice() {
        [] => format!("all {} implementations can be built", entries.len()),
        names => format!("missing for {}", names.join(", ")),
    };
    finding(
        subject,
        missing.is_empty(),
        found,
        "'zillions list' shows the command that installs them",
    )
}

fn human(machine: &Machine, findings: &[Finding]) -> String {
    let mut text = format!(
        "{} {}, {} processors, {:.1} GiB, {} ({})\n\n",
        paint(HEADING, "machine"),
        machine.cpu_model,
        machine.cpus,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.architecture,
    );
    for finding in findings {
        let mark = match finding.level {
            Level::Good => paint(GOOD, "good  "),
            Level::Advice => paint(DOUBTFUL, "advice"),
            Level::Broken => paint(BAD, "broken"),
        };
        text += &format!("{mark} {}: {}\n", finding.subject, finding.found);
        if let Some(remedy) = &finding.remedy {
            text += &format!("       {}\n", paint(FAINT, remedy));
        }
    }
    text
}
