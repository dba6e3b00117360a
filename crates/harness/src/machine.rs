//! What this machine is: recorded with every result, shown by `doctor`.

use std::fs;

use serde::Serialize;

/// Facts that a reader needs to judge a figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Operating system and kernel release, for example `Linux 6.1.0`.
    pub kernel: String,
    /// Model name of the processor.
    pub cpu_model: String,
    /// Processors this process may run on.
    pub cpus: usize,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// Processor architecture, for example `x86_64`.
    pub architecture: String,
    /// Average number of runnable processes over the last minute.
    pub load_average: f64,
    /// How the processor's speed is governed, where the system tells.
    pub cpu_governor: Option<String>,
    /// Descriptors that one process may have open.
    pub descriptor_limit: u64,
}

impl Machine {
    /// Reads the facts of this machine now; what cannot be read is empty or 0.
    pub fn read() -> Self {
        let uname = rustix::system::uname();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            cpu_model: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_bytes(),
            architecture: std::env::consts::ARCH.to_owned(),
            load_average: load_average(),
            cpu_governor: fs::read_to_string(
                "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            )
            .ok()
            .map(|text| text.trim().to_owned()),
            descriptor_limit: crate::limits::descriptor_limit(),
        }
    }
}

/// Average number of runnable processes over the last minute.
pub fn load_average() -> f64 {
    fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

fn memory_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    field(&meminfo, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
