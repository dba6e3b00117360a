//! `zillions doctor`: what this machine is, and what would make results invalid.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use serde::Serialize;
use zillions_bench::scenario::{Scenario, connections};
use zillions_harness::event_count::{self, Event};
use zillions_harness::limits::{self, DESCRIPTORS_MIN};
use zillions_harness::machine::Machine;
use zillions_harness::resources::{self, LocalPorts};
use zillions_harness::toolchain::Toolchain;
use zillions_harness::{LeftBehind, PortLease, left_behind, loopback, sample};

use crate::building::probe_all;
use crate::failure::{Failure, Outcome};
use crate::options::{Format, Global, TableWidth};
use crate::output::{self, BAD, DOUBTFUL, FAINT, GOOD, HEADING, paint};
use crate::selection::Filters;
use crate::table::{Column, Table};
use crate::targets;

/// Connections that the largest case of the suite opens, with a margin.
const DESCRIPTORS_WANTED: u64 = 2_200;
/// Connections of the largest case of the suite, which it makes within a minute.
const CONNECTIONS_OF_A_CASE: u64 = 1_100;
/// What servers, clients and floods take together, in bytes.
const MEMORY_WANTED_BYTES: u64 = 1 << 30;
/// What makes the system tell of processes, ports and memory.
const PROC_REMEDY: &str = "mount -t proc proc /proc";
/// Above this share of runnable processes per processor, times are noise.
const LOAD_PER_CPU_MAX: f64 = 0.5;

/// Examine this machine: limits, tool chains, and what would invalidate results.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  zillions doctor\n\n\
    Exit codes: 0 usable (there may be advice), 1 something is broken, 70 the tool cannot work here.")]
pub struct Arguments {
    #[command(flatten)]
    width: TableWidth,
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
    let findings = vec![
        processors(&machine),
        quota(),
        load(&machine),
        governor(&machine),
        memory(),
        descriptors(&machine),
        local_ports(),
        loopback("IPv4 loopback", IpAddr::V4(Ipv4Addr::LOCALHOST), Level::Broken),
        loopback("IPv6 loopback", IpAddr::V6(Ipv6Addr::LOCALHOST), Level::Advice),
        left_running(&left_behind()),
        proc(),
        instructions(),
        toolchains(global),
    ];
    let broken = findings.iter().filter(|finding| finding.level == Level::Broken).count();
    match arguments.format {
        Format::Human => output::print(&human(&machine, &findings, arguments.width))?,
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

/// What a container grants of the processors' time; others see it in no other way.
fn quota() -> Finding {
    let quota = resources::cpu_quota();
    finding(
        "processor quota",
        quota.is_none(),
        quota.map_or_else(
            || "none".to_owned(),
            |quota| format!("{quota} of a processor's time, by the container"),
        ),
        "what is throttled measures the quota: docker run without --cpus, or systemctl set-property \
         UNIT CPUQuota=",
    )
}

fn memory() -> Finding {
    let subject = "memory";
    let Some((bytes, by_container)) = resources::memory_available() else {
        let found = "/proc/meminfo does not tell".to_owned();
        let remedy = Some(PROC_REMEDY.to_owned());
        return Finding { level: Level::Advice, subject, found, remedy };
    };
    let limit = if by_container { ", by the container's limit" } else { "" };
    finding(
        subject,
        bytes >= MEMORY_WANTED_BYTES,
        format!("{:.1} GiB available{limit}", bytes as f64 / f64::from(1 << 30)),
        if by_container {
            "floods and many clients may end a server: docker run --memory 2g"
        } else {
            "floods and many clients may end a server: end other programs, ps --sort=-rss -eo \
             rss,comm | head shows the largest"
        },
    )
}

fn descriptors(machine: &Machine) -> Finding {
    let limit = machine.descriptor_limit;
    finding(
        "descriptors",
        limit >= DESCRIPTORS_WANTED,
        format!("at most {limit} per process"),
        &format!("cases with many clients are skipped: ulimit -n {DESCRIPTORS_WANTED}"),
    )
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

/// Each connection to a server takes one, and keeps it for a minute after its end.
fn local_ports() -> Finding {
    let subject = "local ports";
    let Some(ports) = LocalPorts::read() else {
        let found = "/proc does not tell their range".to_owned();
        let remedy = Some(PROC_REMEDY.to_owned());
        return Finding { level: Level::Advice, subject, found, remedy };
    };
    let wanted = largest_scenario().max(CONNECTIONS_OF_A_CASE);
    finding(
        subject,
        ports.free() >= wanted,
        format!(
            "{} free of {} to {}; a case or a trial takes up to {wanted}",
            ports.free(),
            ports.first,
            ports.last
        ),
        "what connects more often is not decided: sysctl -w \
         net.ipv4.ip_local_port_range='32768 60999'",
    )
}

/// Connections of the built-in scenario with the most clients.
fn largest_scenario() -> u64 {
    let scenarios = Scenario::built_in().into_iter();
    scenarios.map(|it| u64::from(connections(&it.record(false)))).max().unwrap_or(0)
}

fn loopback(subject: &'static str, ip: IpAddr, level: Level) -> Finding {
    // It can often be listened on where it cannot be connected to.
    let usable = PortLease::take(ip)
        .map_err(|error| error.to_string())
        .and_then(|_| loopback::check(ip).map_err(|error| error.to_string()));
    let remedy = match ip {
        IpAddr::V4(_) => "bring the loopback interface up: ip link set lo up",
        IpAddr::V6(_) => {
            "cases on IPv6 are skipped: sysctl -w net.ipv6.conf.lo.disable_ipv6=0 && ip link set lo up"
        }
    };
    match usable {
        Ok(()) => Finding { level: Level::Good, subject, found: "usable".to_owned(), remedy: None },
        Err(found) => Finding { level, subject, found, remedy: Some(remedy.to_owned()) },
    }
}

/// Where the figures of processes come from.
fn proc() -> Finding {
    let subject = "/proc";
    match sample::proc_readable() {
        Ok(()) => {
            Finding { level: Level::Good, subject, found: "readable".to_owned(), remedy: None }
        }
        Err(found) => {
            let remedy = format!("nothing can be measured: {PROC_REMEDY}");
            Finding { level: Level::Broken, subject, found, remedy: Some(remedy) }
        }
    }
}

/// What each delivery costs in instructions is counted by the processor.
fn instructions() -> Finding {
    let subject = "instructions";
    match event_count::check(Event::UserInstructions) {
        Ok(()) => {
            let found = "counted, in user mode".to_owned();
            Finding { level: Level::Good, subject, found, remedy: None }
        }
        Err(why) => {
            let found = format!("not counted: {}", why.reason);
            Finding { level: Level::Advice, subject, found, remedy: Some(why.remedy.to_owned()) }
        }
    }
}

fn toolchains(global: &Global) -> Finding {
    let subject = "tool chains";
    let entries = match targets::entries(&[], &Filters::default(), &global.impls) {
        Ok(entries) => entries,
        Err(failure) => {
            let remedy = Some("see docs/adding-an-implementation.md".to_owned());
            return Finding { level: Level::Broken, subject, found: failure.message, remedy };
        }
    };
    let probes = probe_all(&entries);
    let (mut missing, mut unusable, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for (entry, toolchain) in entries.iter().zip(&probes) {
        match toolchain {
            Toolchain::Present { .. } => {}
            Toolchain::Missing { .. } => missing.push(entry.name.as_str()),
            Toolchain::Unusable { reason, .. } => {
                unusable.push(entry.name.as_str());
                reasons.push(reason.as_str());
            }
        }
    }
    reasons.sort_unstable();
    reasons.dedup();
    let mut found = Vec::new();
    if !missing.is_empty() {
        found.push(format!("missing for {}", missing.join(", ")));
    }
    if !unusable.is_empty() {
        found.push(format!("unusable for {}: {}", unusable.join(", "), reasons.join("; ")));
    }
    let level = match (missing.is_empty(), unusable.is_empty()) {
        (true, true) => {
            let found = format!("all {} implementations can be built", entries.len());
            return Finding { level: Level::Good, subject, found, remedy: None };
        }
        (_, true) => Level::Advice,
        (_, false) => Level::Broken,
    };
    let remedy = "'zillions list' shows the command that installs what is missing".to_owned();
    let remedy = (!missing.is_empty()).then_some(remedy);
    Finding { level, subject, found: found.join("; "), remedy }
}

fn human(machine: &Machine, findings: &[Finding], width: TableWidth) -> String {
    let text = format!(
        "{} {}, {} processors, {:.1} GiB, {} ({})\n\n",
        paint(HEADING, "machine"),
        machine.cpu_model,
        machine.cpus,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.architecture,
    );
    let mut table = Table::new([
        Column::words(""),
        Column::words("subject").optional(1),
        Column::prose("finding"),
    ]);
    for finding in findings {
        let mark = match finding.level {
            Level::Good => paint(GOOD, "good"),
            Level::Advice => paint(DOUBTFUL, "advice"),
            Level::Broken => paint(BAD, "broken"),
        };
        table.row([mark.as_str(), finding.subject, &finding.found]);
        if let Some(remedy) = &finding.remedy {
            table.row(["", "", &paint(FAINT, remedy)]);
        }
    }
    text + &table.render(width.columns())
}
