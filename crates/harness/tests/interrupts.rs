//! Ctrl-C at any moment leaves nothing running: not even what is being started.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use zillions_harness::group::Group;
use zillions_harness::interrupt;

/// Where this is set, this executable is the tool that gets interrupted; what it
/// starts has the value as an argument.
const TOOL: &str = "ZILLIONS_TEST_INTERRUPTED_TOOL";
const THREADS: usize = 8;
const ROUNDS: usize = 20;

/// Starts one process after the other on several threads until it is interrupted.
fn be_the_tool(mark: &str) {
    interrupt::install().expect("a handler");
    for _ in 0..THREADS {
        let mark = mark.to_owned();
        thread::spawn(move || {
            let mut groups = Vec::new();
            loop {
                let mut command = Command::new("sh");
                command.args(["-c", "sleep 60", &mark]).stdout(Stdio::null());
                groups.push(Group::spawn(command).expect("it starts"));
                groups.truncate(4);
            }
        });
    }
    eprintln!("at it");
    loop {
        thread::park();
    }
}

fn mentioning(mark: &str) -> Vec<String> {
    let processes = procfs::process::all_processes().expect("/proc");
    let lines = processes.flatten().filter_map(|process| process.cmdline().ok());
    lines.map(|line| line.join(" ")).filter(|line| line.contains(mark)).collect()
}

#[test]
fn an_interrupt_in_the_midst_of_starting_leaves_nothing_running() {
    const NAME: &str = "an_interrupt_in_the_midst_of_starting_leaves_nothing_running";
    if let Ok(mark) = std::env::var(TOOL) {
        return be_the_tool(&mark);
    }
    for round in 0..ROUNDS {
        let mark = format!("interrupted-{}-{round}", std::process::id());
        // A background job's ignored signals would be inherited.
        let mut tool = Command::new("env")
            .arg("--default-signal=INT,QUIT,HUP")
            .arg(std::env::current_exe().expect("a path"))
            .args([NAME, "--exact", "--nocapture", "--skip", &mark])
            .env(TOOL, &mark)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(tool.stderr.take().expect("a pipe")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "at it")));
        let pid = Pid::from_child(&tool);
        kill_process(pid, Signal::INT).expect("it is there");
        assert_eq!(tool.wait().expect("it ends").code(), Some(130));
        assert_eq!(mentioning(&mark), Vec::<String>::new(), "in round {round}");
    }
}
