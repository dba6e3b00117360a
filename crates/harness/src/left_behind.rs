//! What a tool that was killed has left running, for `zillions doctor`.

use std::path::PathBuf;

use procfs::process::{Process, all_processes};
use serde::Serialize;
use zillions_escape::visible;

use crate::marker;

/// A process that a tool started, which runs no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// Its process id.
    pub pid: i32,
    /// Its command line, made safe to show.
    pub command: String,
    /// The process id that the tool had.
    pub tool_pid: u32,
}

/// Every process of this user (of all users, for root) whose tool has ended without it.
///
/// Processes of other containers are not looked at: their tools have ids of their own.
#[must_use]
pub fn left_behind() -> Vec<LeftBehind> {
    let Ok(processes) = all_processes() else { return Vec::new() };
    let Some(here) = Process::myself().ok().and_then(|it| namespace(&it)) else {
        return Vec::new();
    };
    let mut found: Vec<LeftBehind> = processes
        .flatten()
        .filter(|process| namespace(process).as_ref() == Some(&here))
        .filter_map(|process| {
            let (tool_pid, tool_runs) = marker::tool_of(&marker::of(&process)?)?;
            let command = visible(process.cmdline().ok()?.join(" "));
            (!tool_runs).then_some(LeftBehind { pid: process.pid, command, tool_pid })
        })
        .collect();
    found.sort_by_key(|it| it.pid);
    found
}

/// The namespace that a process' id belongs to.
fn namespace(process: &Process) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{}/ns/pid", process.pid)).ok()
}
