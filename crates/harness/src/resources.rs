//! What this machine has left for a run: local ports, memory, and what a container grants.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The local ports that outgoing connections get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalPorts {
    /// First of the range.
    pub first: u16,
    /// Last of it.
    pub last: u16,
    /// How many of them a socket has now, also those of connections that were closed a moment ago.
    pub used: u64,
}

impl LocalPorts {
    /// The range and its use; `None` where `/proc` does not tell.
    #[must_use]
    pub fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let mut bounds = text.split_whitespace().map_while(|word| word.parse::<u16>().ok());
        let (first, last) = (bounds.next()?, bounds.next()?);
        let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
        let ports = sockets.map(|socket| socket.local_address.port());
        let used: BTreeSet<u16> = ports.filter(|port| (first..=last).contains(port)).collect();
        Some(Self { first, last, used: used.len() as u64 })
    }

    /// How many connections to one address can be made now.
    #[must_use]
    pub fn free(&self) -> u64 {
        (u64::from(self.last) + 1).saturating_sub(u64::from(self.first) + self.used)
    }
}

/// The range of local ports is smaller than what is needed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{clients} clients need as many local ports, and this machine has {ports}: give it more with \
     sysctl -w net.ipv4.ip_local_port_range='32768 60999', or ask for fewer clients"
)]
pub struct TooFewPorts {
    /// Connections asked for.
    pub clients: u64,
    /// Ports of the range.
    pub ports: u64,
}

/// Makes sure that `clients` connections to one address can be made at all.
///
/// # Errors
/// When the range of local ports is too small.
pub fn ensure_local_ports(clients: u64) -> Result<(), TooFewPorts> {
    let Some(range) = LocalPorts::read() else { return Ok(()) };
    // Those in use may be shared by connections to other addresses.
    let ports = LocalPorts { used: 0, ..range }.free();
    if ports < clients { Err(TooFewPorts { clients, ports }) } else { Ok(()) }
}

/// Memory that programs can get now, in bytes, and whether a container's limit decides it.
#[must_use]
pub fn memory_available() -> Option<(u64, bool)> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    let free = kibibytes * 1024;
    let granted = Cgroups::read().memory_left().filter(|&left| left < free);
    Some((granted.unwrap_or(free), granted.is_some()))
}

/// How many processors' time a container grants this process, if it limits it.
#[must_use]
pub fn cpu_quota() -> Option<f64> {
    Cgroups::read().cpu_quota()
}

/// How a container's quota has held a group of processes back since it began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttled {
    /// For how long, in seconds.
    pub seconds: f64,
    /// In how many periods of the quota.
    pub periods: u64,
}

/// How a container's quota has held this process's group back; `None` if nothing tells.
#[must_use]
pub fn cpu_throttled() -> Option<Throttled> {
    Cgroups::read().throttled()
}

/// The control groups of this process, of either version; see cgroups(7).
#[derive(Debug, Default)]
struct Cgroups {
    unified: Vec<PathBuf>,
    memory: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
}

impl Cgroups {
    fn read() -> Self {
        let list = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(Path::new("/sys/fs/cgroup"), &list)
    }

    /// The folders of the groups that `list`, in the form of `/proc/self/cgroup`, names.
    fn of(root: &Path, list: &str) -> Self {
        let mut groups = Self::default();
        for line in list.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            if controllers.is_empty() {
                groups.unified = upwards(root, path);
            }
            for controller in controllers.split(',') {
                match controller {
                    "memory" => groups.memory = upwards(&root.join(controllers), path),
                    "cpu" => groups.cpu = upwards(&root.join(controllers), path),
                    _ => {}
                }
            }
        }
        groups
    }

    fn memory_left(&self) -> Option<u64> {
        let left = |folder: &PathBuf, limit: &str, used: &str| -> Option<u64> {
            let limit: u64 = read(folder, limit)?.parse().ok()?;
            let used: u64 = read(folder, used)?.parse().ok()?;
            Some(limit.saturating_sub(used.saturating_sub(reclaimable(folder))))
        };
        let unified = self.unified.iter().filter_map(|it| left(it, "memory.max", "memory.current"));
        let legacy = self
            .memory
            .iter()
            .filter_map(|it| left(it, "memory.limit_in_bytes", "memory.usage_in_bytes"));
        unified.chain(legacy).min()
    }

    fn cpu_quota(&self) -> Option<f64> {
        let share = |quota: &str, period: &str| -> Option<f64> {
            let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
            (quota > 0.0 && period > 0.0).then(|| quota / period)
        };
        let unified = self.unified.iter().filter_map(|folder| {
            let text = read(folder, "cpu.max")?;
            let (quota, period) = text.split_once(' ')?;
            share(quota, period)
        });
        let legacy = self.cpu.iter().filter_map(|folder| {
            share(&read(folder, "cpu.cfs_quota_us")?, &read(folder, "cpu.cfs_period_us")?)
        });
        unified.chain(legacy).min_by(f64::total_cmp)
    }

    /// Of the group that was held back most: a limit above holds for those below, too.
    fn throttled(&self) -> Option<Throttled> {
        let fields = |folder: &PathBuf, name: &str, per_second: f64| -> Option<Throttled> {
            let stat = read(folder, "cpu.stat")?;
            let field = |name: &str| {
                stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            };
            let seconds = field(name)?.parse::<f64>().ok()? / per_second;
            let periods = field("nr_throttled").and_then(|it| it.parse().ok()).unwrap_or(0);
            Some(Throttled { seconds, periods })
        };
        let unified = self.unified.iter().filter_map(|it| fields(it, "throttled_usec", 1e6));
        let legacy = self.cpu.iter().filter_map(|it| fields(it, "throttled_time", 1e9));
        unified.chain(legacy).max_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}

/// What of a group's memory holds pages of files that have not been used for long, in bytes.
fn reclaimable(folder: &Path) -> u64 {
    let stat = read(folder, "memory.stat").unwrap_or_default();
    let field = |name: &str| {
        stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    field("total_inactive_file").or_else(|| field("inactive_file")).unwrap_or(0)
}

/// A group's folder and those above it, whose limits hold for it too.
fn upwards(root: &Path, path: &str) -> Vec<PathBuf> {
    let folder = root.join(path.trim_start_matches('/'));
    folder.ancestors().take_while(|it| it.starts_with(root)).map(Path::to_owned).collect()
}

fn read(folder: &Path, name: &str) -> Option<String> {
    Some(fs::read_to_string(folder.join(name)).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn the_time_that_a_group_was_held_back_is_read_from_either_version() {
        let root = written(&[
            ("a/cpu.stat", "usage_usec 9\nnr_throttled 3\nthrottled_usec 250000\n"),
            ("a/b/cpu.stat", "usage_usec 9\nnr_throttled 4\nthrottled_usec 1500000\n"),
        ]);
        let held_back = Throttled { seconds: 1.5, periods: 4 };
        assert_eq!(Cgroups::of(root.path(), "0::/a/b\n").throttled(), Some(held_back));
        let root =
            written(&[("cpu,cpuacct/c/cpu.stat", "nr_throttled 1\nthrottled_time 2000000000\n")]);
        let groups = Cgroups::of(root.path(), "4:cpu,cpuacct:/c\n");
        assert_eq!(groups.throttled(), Some(Throttled { seconds: 2.0, periods: 1 }));
        assert_eq!(Cgroups::of(root.path(), "0::/\n").throttled(), None);
    }

    #[test]
    fn the_lowest_limit_of_a_group_and_those_above_it_holds() {
        let root = written(&[
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "950\n"),
            ("a/memory.stat", "anon 900\ninactive_file 50\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/memory.current", "10\n"),
            ("a/cpu.max", "max 100000\n"),
            ("a/b/cpu.max", "50000 100000\n"),
        ]);
        let groups = Cgroups::of(root.path(), "0::/a/b\n");
        assert_eq!(groups.memory_left(), Some(100));
        assert_eq!(groups.cpu_quota(), Some(0.5));
    }

    #[test]
    fn the_first_version_is_read_as_well() {
        let root = written(&[
            ("memory/x/memory.limit_in_bytes", "5000\n"),
            ("memory/x/memory.usage_in_bytes", "6000\n"),
            ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        let groups = Cgroups::of(root.path(), "4:memory:/x\n1:cpu,cpuacct:/\n0::/\n");
        assert_eq!(groups.memory_left(), Some(0));
        assert_eq!(groups.cpu_quota(), None, "no quota is set");
    }

    #[test]
    fn a_port_that_is_taken_is_not_free() {
        let ports = |used| LocalPorts { first: 40_000, last: 40_019, used };
        assert_eq!((ports(0).free(), ports(5).free(), ports(30).free()), (20, 15, 0));
        let here = LocalPorts::read().expect("Linux tells");
        assert!(here.first <= here.last && here.free() > 0, "{here:?}");
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        assert!(LocalPorts::read().is_some_and(|ports| ports.used > 0));
    }
}
